"""What is asked of cuDF and CuPy, and that their answers are put together as the CPU does it; see card_recorder.py for what stands in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from card_recorder import Call, recording
from d4a.curator.backends import device, rapids, sketch_cuda
from d4a.curator.columns import fixed_column
from d4a.curator.dedup import clusters, neighbours
from d4a.curator.dedup.embeddings import EmbeddingDedup, EmbeddingOptions
from d4a.curator.errors import MachineError
from d4a.curator.plan import PlannedStage
from d4a.curator.show.summary import _show_place
from d4a.curator.stage import Dedup, Machine, Workspace
from d4a.modalities.text import fss
from d4a.modalities.text.minhash import Permutations, minhash, nemo_permutations, own_permutations
from d4a.modalities.text.on_card import minhash_by, sketches_by, who_hashes, who_sketches
from d4a.modalities.text.tokens import Tokens, tokens_of
from rich.console import Console

VECTORS = json.loads(Path(__file__).parents[2].joinpath("cudf_signatures.json").read_text(encoding="utf-8"))


@pytest.fixture
def calls() -> Iterator[list[Call]]:
    device._compared.clear()
    with recording() as found:
        yield found
    device._compared.clear()


def column(*texts: str | None) -> pa.Array:
    return pa.array(texts, pa.large_string())


# ------------------------------------------------------------------------------------------------------ signatures


def test_cudf_is_asked_for_nemo_curators_signatures(calls: list[Call]) -> None:
    permuted = nemo_permutations(260, 32)
    texts = column("the same sentence, twenty-four characters long", None, "", "naïve 東京タワー")
    found = rapids.minhash(texts, 24, *permuted)
    assert found.tolist() == minhash(texts, "characters", 24, permuted).tolist() and found.dtype == np.uint32
    arrays = {"a": ("uint32", (260,)), "b": ("uint32", (260,))}
    assert calls == [
        Call("cudf.Series", (arrays["a"],)),
        Call("cudf.Series", (arrays["b"],)),
        Call("cudf.Series.from_arrow", ("string", 4, 0, 0)),  # no nulls, offsets from 0
        Call("cudf.Series.str.minhash", (1608637543,), {**arrays, "width": 24}),
        Call("cudf.Series.to_arrow", ()),
    ]


def test_64_bits_are_another_function_of_cudf(calls: list[Call]) -> None:
    permuted = own_permutations(16, 64)
    assert (
        rapids.minhash(column("a text", "another"), 5, *permuted).tolist()
        == minhash(column("a text", "another"), "characters", 5, permuted).tolist()
    )
    assert calls[3] == Call("cudf.Series.str.minhash64", (42,), {"a": ("uint64", (16,)), "b": ("uint64", (16,)), "width": 5})


def test_rows_are_split_where_a_column_would_be_too_long(calls: list[Call]) -> None:
    permuted = own_permutations(8, 32)
    texts = column(*(f"text number {k}" for k in range(10)), "x" * 400, *(f"text number {k}" for k in range(3)))[1:]
    found = rapids.minhash(texts, 3, *permuted, most=64)  # of 8 values: 8 rows; of about 13 bytes: 4 rows
    assert found.tolist() == minhash(texts, "characters", 3, permuted).tolist()
    lengths = [call.args[1] for call in calls if call.name.endswith("from_arrow")]
    assert sum(lengths) == 13 and max(lengths) == 4 and lengths[2:4] == [1, 1]
    rapids.minhash(column(*"abcdefghij"), 2, *permuted, most=64)
    assert [call.args[1] for call in calls if call.name.endswith("from_arrow")][-2:] == [8, 2]


def test_no_column_of_cudf_has_as_many_values_as_it_refuses() -> None:
    """K * rows < 2^31, for the recorder cannot hold so many."""
    portions = list(rapids._portions(np.arange(20_000_001), max(1, rapids._MOST // 260), rapids._MOST))
    assert portions[0] == (0, 8_259_552) and portions[-1][1] == 20_000_000
    assert all((end - start) * 260 < 2**31 for start, end in portions)


def test_published_vectors_come_back_through_the_card(calls: list[Call]) -> None:
    for vector in VECTORS:
        if vector["units"] != "characters":
            continue
        dtype = np.uint32 if vector["bits"] == 32 else np.uint64
        permuted = Permutations(np.array(vector["a"], dtype), np.array(vector["b"], dtype), vector["seed"])
        texts = column(*(text[0] * text[1] if isinstance(text, list) else text for text, _ in vector["rows"]))
        expected = [values or [0] * len(vector["a"]) for _, values in vector["rows"]]
        assert minhash_by("rapids", texts, "characters", vector["window"], permuted).tolist() == expected


def test_very_long_texts_stay_on_the_cpu(calls: list[Call]) -> None:
    permuted = own_permutations(4, 32)
    texts = column("short", "é" * (rapids.WIDE // 2), "a" * (rapids.WIDE - 1), None)
    assert minhash_by("rapids", texts, "characters", 5, permuted).tolist() == minhash(texts, "characters", 5, permuted).tolist()
    assert [call.args[1] for call in calls if call.name.endswith("from_arrow")] == [3]
    minhash_by("rapids", column("é" * rapids.WIDE), "characters", 5, permuted)
    assert [call.args[1] for call in calls if call.name.endswith("from_arrow")] == [3]


def test_a_card_that_computes_something_else_is_not_believed(calls: list[Call], monkeypatch: pytest.MonkeyPatch) -> None:
    permuted = own_permutations(4, 32)
    right = rapids.minhash
    monkeypatch.setattr(rapids, "minhash", lambda *given: right(*given) + np.uint32(1))
    with pytest.raises(MachineError, match="other MinHash signatures of 32 bits than the CPU") as caught:
        minhash_by("rapids", column("a text"), "characters", 5, permuted)
    assert caught.value.exit_code == 3


def test_a_card_that_fails_is_one_line(calls: list[Call], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise MemoryError("std::bad_alloc: out_of_memory: CUDA error\n at rmm/mr/...")

    monkeypatch.setattr(rapids, "minhash", fail)
    with pytest.raises(MachineError, match="failed to sketch 1 texts") as caught:
        minhash_by("rapids", column("a text"), "characters", 5, own_permutations(4, 32))
    assert caught.value.what.endswith("std::bad_alloc: out_of_memory: CUDA error") and "--workers" in caught.value.hint


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that counts a card, and libraries that are installed; what CuPy says is the recorder's."""
    monkeypatch.setattr(device.driver, "cards", lambda: (1, "the driver counts 1 device"))
    monkeypatch.setattr(device, "find_spec", lambda name: name)


def test_who_computes_and_why(calls: list[Call], card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert who_hashes("cpu", "characters", 24).local() == {"backend": "cpu", "why": "the device is cpu"}
    assert who_hashes("cuda", "words", 5).backend == who_hashes("cuda", "characters", 1).backend == "cpu"
    # CuPy imports, and no device answers it: neither an import nor the driver's count says that it can compute
    assert who_hashes("cuda", "characters", 24).backend == "cpu"
    assert "cudaErrorInsufficientDriver" in who_hashes("cuda", "characters", 24).why
    assert who_sketches("cuda") == device.Choice(
        "cpu", "numba-cuda of unknown version finds no card, or no compiler; the driver counts 1 device"
    )
    monkeypatch.setattr(device, "_found_by_cupy", lambda: True)
    monkeypatch.setattr(device, "_found_by_numba", lambda: True)
    assert who_hashes("cuda", "characters", 24).backend == who_sketches("cuda").backend == "rapids"
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    for version, extra in ((13, "gpu"), (12, "gpu-cu12")):
        monkeypatch.setattr(device.driver, "cuda", lambda version=version: version)
        assert who_sketches("cuda").why == f"numba_cuda is not installed; pip install 'd4a[{extra}]'"
    monkeypatch.setattr(device.driver, "cards", lambda: (0, "the driver counts 0 devices"))
    assert who_sketches("cuda") == who_hashes("cuda", "characters", 24) == device.Choice("cpu", "the driver counts 0 devices")


@pytest.mark.parametrize("options", [{"preset": "nemo"}, {"scheme": "fss"}], ids=["minhash", "fss"])
def test_a_card_changes_no_key_and_no_byte_of_the_stage(
    options: dict[str, str], calls: list[Call], card: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sketched_on_card = []

    def sketch(*given: object, **more: object) -> object:
        """In place of the kernel, which test_sketch_cuda.py runs."""
        sketched_on_card.append(given)
        return fss.signatures(Tokens(*given[:3]), given[3])  # type: ignore[arg-type]

    monkeypatch.setattr(device, "_found_by_cupy", lambda: True)
    monkeypatch.setattr(device, "_found_by_numba", lambda: True)
    monkeypatch.setattr(sketch_cuda, "sketch", sketch)
    planned, sketches = [], []
    batch = pa.record_batch({"text": column("a text that is hashed", "ein Text in é", None)})
    for name in ("cpu", "cuda"):
        plain = PlannedStage("text.dedup.fuzzy", "text.dedup.fuzzy", "judge", options)
        planned.append(replace(plain, facts=plain.make().prepare(Machine(name))))
        stage = planned[-1].make()
        assert isinstance(stage, Dedup)
        stage.open(planned[-1].facts)
        sketches.append(stage.sketch(batch))
    assert planned[0].fingerprint() == planned[1].fingerprint() and planned[0].facts.local != planned[1].facts.local
    assert sketches[0] == sketches[1]
    hashed = [call.name for call in calls if ".str." in call.name]
    assert (hashed, len(sketched_on_card)) == ((["cudf.Series.str.minhash"], 0) if "preset" in options else ([], 1))
    shown = Console(width=200, file=StringIO())
    for one in planned:
        _show_place(shown, one)
    assert shown.file.getvalue().splitlines()[0] == "  text.dedup.fuzzy computes on the CPU: the device is cpu"  # type: ignore[attr-defined]
    assert "computes on the card: " in shown.file.getvalue()  # type: ignore[attr-defined]


def test_a_card_that_sketches_something_else_is_not_believed(calls: list[Call], monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = tokens_of(column("one text", "another text that is a little longer"))
    monkeypatch.setattr(sketch_cuda, "sketch", lambda *given: fss.signatures(Tokens(*given[:3]), given[3]) ^ np.uint32(1))
    with pytest.raises(MachineError, match="other Fast Similarity Sketches than the CPU"):
        sketches_by("rapids", tokens, 5)


# ------------------------------------------------------------------------------------------------------ embeddings


def vectors(count: int, width: int, seed: int) -> np.ndarray:
    """Some directions, each met several times with little noise, one of them exactly twice."""
    random = np.random.default_rng(seed)
    found = random.normal(size=(max(1, count // 5), width))[random.integers(0, max(1, count // 5), count)]
    found += 0.05 * random.normal(size=found.shape)
    found[-1] = found[0]
    return found.astype(np.float16)


def test_tiles_of_products_propose_the_pairs_that_the_cpu_proposes(calls: list[Call]) -> None:
    units = neighbours.unit_rows(vectors(300, 32, 1))
    i, j = rapids.alike(units[:100], units, np.float32(0.9))
    expected = np.nonzero(units[:100] @ units.T >= np.float32(0.9))
    assert (i.tolist(), j.tolist()) == (expected[0].tolist(), expected[1].tolist())
    assert len(i) > 200 and i.dtype == j.dtype == np.int64


def test_homes_and_visits_are_those_of_the_cpu(calls: list[Call], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rapids, "_PRODUCTS", 20 * 64)  # blocks of 64 rows
    data = vectors(1000, 24, 2)
    found = clusters.centroids(data, 20, 5, 0)
    found[7] = found[3]  # two equal centroids: the first is the home, and they have no border
    grid = clusters.on_grid(data)
    home, closeness = rapids.Centroids(found).nearest(grid)
    expected = clusters._nearest(grid, found)
    assert home.tolist() == expected[0].tolist() and closeness.tolist() == expected[1].tolist()
    for most in (1, 3, 19):
        reach = np.float32(clusters._reach(0.8, 24))
        looked = rapids.Centroids(found, clusters._inverse_distances(found)).visits(grid, reach, most)
        wanted = clusters.assign(data, found, 0.8, most)
        assert looked.home.tolist() == wanted.home.tolist()
        assert looked.row.tolist() == wanted.visitor.tolist() and looked.cluster.tolist() == wanted.visited.tolist()
        assert len(looked.row) > 500
    assert len(rapids.Centroids(found, clusters._inverse_distances(found)).visits(grid[:0], reach, 3).home) == 0
    assert max(call.args[0][1][0] for call in calls if call.name == "cupy.asarray") == 64


class Embedded:
    """Embeddings that reached a Dedup."""

    settled = 0

    def __init__(self, data: np.ndarray, workspace: Workspace) -> None:
        self.data, self.size, self.workspace = data, len(data), workspace

    def chunks(self, name: str) -> Iterator[tuple[np.ndarray, pa.Array]]:
        yield np.arange(self.size), fixed_column(self.data)


class Embedding(EmbeddingDedup):
    name, what = "some.embedding", "A vector"
    width = 16
    sketch = None  # type: ignore[assignment]


@pytest.mark.parametrize("options", [{"search": "exact"}, {"search": "clusters"}, {"search": "clusters", "visits": 0}])
def test_a_pair_search_is_the_same_on_a_card(options: dict[str, object], calls: list[Call], tmp_path: Path) -> None:
    data = vectors(2000, 16, 3)
    stage = Embedding(EmbeddingOptions(threshold=0.9, pairs_from=0.85, **options))
    cpu, card = (stage.pairs(Embedded(data, Workspace(tmp_path, 1 << 30, who))) for who in ("cpu", "rapids"))  # type: ignore[arg-type]
    assert cpu.a.tolist() == card.a.tolist() and cpu.b.tolist() == card.b.tolist() and len(cpu.a) > 2000
    assert cpu.similarity.tolist() == card.similarity.tolist() and cpu.notes == card.notes
    assert {"cupy.asarray", "cupy.nonzero"} <= {call.name for call in calls}


def test_a_card_that_rounds_to_fewer_bits_is_noticed(calls: list[Call], monkeypatch: pytest.MonkeyPatch) -> None:
    """As tensor cores do when they are told to. TF32 would not even matter here: its 11 bits hold most of the grid."""
    data, right = vectors(1000, 64, 2), rapids.Centroids._products
    found = clusters.centroids(data, 20, 5, 0)

    def rounded(self: rapids.Centroids, rows: np.ndarray) -> Iterator[tuple[int, object]]:
        self._found = self._found // 16 * 16  # type: ignore[attr-defined]
        yield from right(self, rows)

    monkeypatch.setattr(rapids.Centroids, "_products", rounded)
    with pytest.raises(MachineError, match="other homes and visits than the CPU"):
        clusters.assign(data, found, 0.8, None, "rapids")
