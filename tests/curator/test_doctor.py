"""What the machine is said to be able to do."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
from d4a.curator.doctor import cuda_devices, extras, machine, memory_bytes, on_card, probe
from d4a.curator.errors import EXIT_MACHINE, MachineError


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300).stdout.split()


@pytest.fixture(scope="module")
def report():
    return probe()


def test_doctor_says_where_neural_stages_run_and_why(report):
    rows = {row.name: row for row in report.rows}
    assert {"python", "d4a", "libraries", "cores", "memory", "disk", "torch", "device", "card", "kernel cache"} <= set(rows)
    assert rows["device"].text.startswith(f"{report.machine.device}, {report.machine.precision}: ")
    assert all(row.text and "\n" not in row.text and row.status in ("ok", "missing", "warn") for row in report.rows)
    assert all("pip install 'd4a[" in row.text for row in report.rows_of("missing") if row.name.startswith("extra"))


def test_every_extra_of_the_project_has_a_row(report):
    assert {"text", "image", "detect"} <= set(extras())
    assert {f"extra {name}" for name in extras()} == {row.name for row in report.rows if row.name.startswith("extra")}


def test_cuda_without_a_card_is_one_line_and_exit_code_3():
    if cuda_devices()[0]:
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(MachineError, match="no CUDA device answers") as caught:
        machine("cuda")
    assert caught.value.exit_code == EXIT_MACHINE and "\n" not in caught.value.what and "--device cpu" in caught.value.hint


@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch (extra image)")
def test_precision_on_the_cpu_follows_what_the_processor_has():
    import torch

    found = machine("cpu")
    assert found.device == "cpu"
    has = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    assert found.precision == ("bf16" if has else "fp32") and found.why.endswith(f": {found.precision}")


def test_workers_share_a_card_as_far_as_it_goes():
    assert [on_card(64, free << 30) for free in (80, 24, 2)] == [26, 8, 1] and on_card(4, 80 << 30) == 4


def test_a_machine_without_torch_is_no_error():
    blocked = "import sys; sys.modules['torch'] = sys.modules['cupy'] = None; from d4a.curator.doctor import machine, probe; "
    code = "m = machine('auto'); print(m.device, m.precision, *[r.status for r in probe().rows if r.name == 'torch'])"
    assert run(blocked + code) == ["cpu", "fp32", "missing"]


def test_importing_doctor_imports_nothing_heavy():
    assert run("import sys, d4a.curator.doctor; print(*({'torch', 'cupy', 'numba', 'open_clip'} & set(sys.modules)))") == []


def test_memory_is_what_a_slurm_job_was_given(monkeypatch):
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "100")
    assert memory_bytes() == 100 << 20
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "0")
    assert memory_bytes() > 100 << 20
