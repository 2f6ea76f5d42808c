"""What this machine can do: the device and precision of neural stages, and the rows of `d4a doctor`.

A card counts only when it answers the driver (a device count), never because a library imports: CUDA builds import fine
without one. Nothing heavy is imported until a function asks for it, so commands that need no device do not pay for torch.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from .backends import driver
from .backends.device import Library, bf16_instructions, choose
from .errors import MachineError
from .stage import Machine

Status = Literal["ok", "missing", "warn"]
_GIB = 2**30
# of a card for a worker: CUDA's context takes half a GiB, ViT-L-14 in fp32 1.2 (ViT-B-32 0.3), 256 images in a forward pass about one
CARD_BYTES = 3 * _GIB
_LIBRARIES = ("numpy", "numba", "pyarrow", "pillow", "pydantic", "orjson")
_ON_CARD: dict[str, Library] = {"MinHash": "cudf", "Fast Similarity Sketches": "numba_cuda", "pairs of embeddings": "cupy"}


@dataclass(frozen=True)
class Row:
    """One line of `d4a doctor`; `missing` is what some recipes need and this machine lacks, `warn` what will hurt."""

    name: str
    status: Status
    text: str


@dataclass(frozen=True)
class Report:
    """Everything that was looked at, in the order in which it is printed."""

    rows: tuple[Row, ...]
    machine: Machine

    def rows_of(self, status: Status) -> list[Row]:
        """The rows with one status."""
        return [row for row in self.rows if row.status == status]


def probe() -> Report:
    """Look at everything; imports torch and CuPy where they are installed, and takes seconds."""
    found = machine("auto")
    rows = [
        Row("python", "ok", f"{platform.python_version()} at {sys.executable} on {platform.system()} {platform.machine()}"),
        Row("d4a", "ok", f"{_version('d4a')} at {Path(__file__).parents[1]}"),
        Row("libraries", "ok", ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES)),
        Row("cores", "ok", f"{usable_cores()} usable of {os.cpu_count()}"),
        _memory(),
        _disk(),
        _torch(),
        Row("device", "ok", f"{found.device}, {found.precision}: {found.why}"),
        _card(),
        *_extras(),
        _numba_cache(),
    ]
    return Report(tuple(rows), found)


# -------------------------------------------------------------------------------------------------- devices


def machine(device: Literal["auto", "cpu", "cuda"] = "auto", neural: bool = True) -> Machine:
    """Device, and precision for neural stages. Raises MachineError for `cuda` where no card answers.

    neural  False where no stage is: the driver alone is asked, for torch takes three seconds to import
    """
    if device not in ("auto", "cpu", "cuda"):
        raise MachineError(f"unknown device {device!r}", hint="use auto, cpu or cuda")
    count, why = (0, "asked for") if device == "cpu" else cuda_devices() if neural else driver.cards()
    if device == "cuda" and not count:
        raise MachineError(f"no CUDA device answers: {why}", hint="use --device cpu or --device auto; `d4a doctor` shows what was probed")
    if not neural:
        return Machine("cuda" if count else "cpu", why=why)
    return _cuda(count, why) if count else _cpu(why)


def cuda_devices() -> tuple[int, str]:
    """(number of CUDA devices that answer, one line on who was asked): the driver, and where it counts some, torch, then CuPy."""
    count, why = driver.cards()
    if not count:
        return 0, why
    asked = [why]
    for name, ask in (("torch", _torch_devices), ("cupy", _cupy_devices)):
        if find_spec(name) is None:
            asked.append(f"{name} is not installed")
            continue
        try:
            found = ask()
        except Exception as error:  # a driver may fail in any way; what counts is that no device answered
            asked.append(f"{name}: {_first_line(error)}")
            continue
        if found:
            return found, f"{name} counts {found} device{'s' if found > 1 else ''}"
        asked.append(f"{name} counts 0 devices")
    return 0, ", ".join(asked)


def _torch_devices() -> int:
    import torch

    return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0


def _cupy_devices() -> int:
    import cupy

    return int(cupy.cuda.runtime.getDeviceCount())


def _cpu(why: str) -> Machine:
    if find_spec("torch") is None:
        return Machine("cpu", "fp32", f"{why}; without torch no neural stage can run")
    # measured beside fp32: ViT-B-32 3.8 times as fast with AMX and 2.0 times with AVX512-BF16, EfficientNet-Lite0 2.4, MiniLM 1.7
    found = bf16_instructions()
    return Machine("cpu", "bf16" if found else "fp32", f"{why}; {found or 'no AMX, no AVX512-BF16'}: {'bf16' if found else 'fp32'}")


def _cuda(count: int, why: str) -> Machine:
    if find_spec("torch") is None or not _torch_devices():
        return Machine("cuda", "fp32", f"{why}; torch sees none of them")
    import torch

    bf16 = bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return Machine("cuda", "bf16" if bf16 else "fp32", f"{why}, {torch.cuda.get_device_name(0)}; {'bf16' if bf16 else 'no bf16: fp32'}")


# ----------------------------------------------------------------------------------------------- resources


def usable_cores() -> int:
    """Cores that this process may use: its affinity, and the quota of its control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    return max(1, min(cores, int(quota) // int(period))) if quota.isdigit() and period.isdigit() else cores


def usual_workers(found: Machine) -> int:
    """Processes of a run that names no number: one a core; on a card no more than it holds, for each has a model of its own there."""
    cores = usable_cores()
    if found.device != "cuda":
        return cores
    import torch

    return on_card(cores, torch.cuda.mem_get_info(0)[0]) if torch.cuda.is_available() else cores


def on_card(cores: int, free: int) -> int:
    """Workers that share a card with so many free bytes."""
    return max(1, min(cores, free // CARD_BYTES))


def memory_bytes() -> int:
    """Memory that this process may use: the machine's, or less where one of its control groups or its Slurm job says so."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    group = Path("/sys/fs/cgroup") / _read("/proc/self/cgroup").rpartition("::")[2].lstrip("/")
    limits = [_read(str(folder / "memory.max")) for folder in (group, *group.parents) if folder.is_relative_to("/sys/fs/cgroup")]
    job = int(os.environ.get("SLURM_MEM_PER_NODE") or 0) << 20  # not every site has control groups; 0: all of the node
    return min([physical, *(int(limit) for limit in limits if limit.isdigit()), *([job] if job else [])])


def free_bytes() -> int:
    """What is free now, of the machine and of the control group."""
    free = re.search(r"MemAvailable:\s+(\d+) kB", _read("/proc/meminfo"))
    return min(memory_bytes(), int(free[1]) * 1024 if free else memory_bytes())


def memory_share() -> int:
    """What a pair search uses unless --memory says otherwise: a quarter of what is free."""
    return free_bytes() // 4


def _memory() -> Row:
    size = memory_bytes()
    text = f"{size / _GIB:.1f} GiB; pair searches would use {memory_share() / _GIB:.1f} GiB, a quarter of what is free, or --memory"
    return Row("memory", "ok" if size >= 4 * _GIB else "warn", text)


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _disk() -> Row:
    here = shutil.disk_usage(Path.cwd())
    writable = os.access(Path.cwd(), os.W_OK)
    text = f"{here.free / _GIB:.1f} GiB free of {here.total / _GIB:.1f} in {Path.cwd()}{'' if writable else ', which is not writable'}"
    return Row("disk", "ok" if writable and here.free > _GIB else "warn", text)


def _numba_cache() -> Row:
    """Where compiled kernels are kept: without such a place every process compiles them again."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    places = [Path(chosen)] if chosen else [Path(__file__).parents[1], Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")]
    for place in places:
        if os.access(next(p for p in (place, *place.parents) if p.exists()), os.W_OK):
            return Row("kernel cache", "ok", f"numba can write below {place}")
    text = f"numba can write to none of {', '.join(map(str, places))}: every process compiles again; set NUMBA_CACHE_DIR"
    return Row("kernel cache", "warn", text)


# ------------------------------------------------------------------------------------------------ libraries


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _torch() -> Row:
    if find_spec("torch") is None:
        return Row("torch", "missing", "not installed: no neural stage can run; pip install 'd4a[image]'")
    import torch

    build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    return Row("torch", "ok", f"{torch.__version__}, {build}, instruction set {torch.backends.cpu.get_cpu_capability()}")


def _card() -> Row:
    """Who would compute what CPU and card compute alike."""
    count, why = driver.cards()
    if not count:
        return Row("card", "missing", f"{why}: sketches and pair searches run on the CPU")
    chosen = {what: choose("cuda", library) for what, library in _ON_CARD.items()}
    text = "; ".join(f"{what} on the {'card' if who.backend == 'rapids' else 'CPU'}, {who.why}" for what, who in chosen.items())
    return Row("card", "ok" if all(who.backend == "rapids" for who in chosen.values()) else "warn", text)


def extras() -> dict[str, list[str]]:
    """Extra of d4a -> the distributions it needs that are not installed; from d4a's own metadata."""
    found: dict[str, list[str]] = {}
    for requirement in metadata.requires("d4a") or []:
        match = re.match(r"([A-Za-z0-9._-]+)[^;]*;.*extra == ['\"]([^'\"]+)['\"]", requirement)
        if match:
            lacking = found.setdefault(match[2], [])
            lacking += [match[1]] if _version(match[1]) == "(not installed)" else []
    return found


def _extras() -> list[Row]:
    rows = []
    for extra, lacking in extras().items():
        text = f"not installed: {', '.join(lacking)}; pip install 'd4a[{extra}]'" if lacking else "installed"
        rows.append(Row(f"extra {extra}", "missing" if lacking else "ok", text))
    return rows


def _first_line(error: Any) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
