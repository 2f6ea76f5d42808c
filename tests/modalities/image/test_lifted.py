"""image.dedup.perceptual with `embedding`: a network proposes, the pictures' own agreement decides, and the plan knows that it costs."""

import random
import re

import image_makers as makers
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from d4a.curator.load.files import load
from d4a.curator.modality import reader_schema
from d4a.curator.plan import make_plan
from d4a.curator.stage import Machine
from d4a.modalities.image.decode import Decode, DecodeOptions
from d4a.modalities.image.modality import Image as ImageModality
from d4a.modalities.image.perceptual import Perceptual, PerceptualOptions
from entered_pictures import Reached
from pydantic import ValidationError

LITE0 = {"efficientnet": "lite0"}


@pytest.fixture(scope="module")
def files():
    pictures = [makers.scene(number) for number in range(6)]
    marked = [makers.watermarked(makers.cropped(picture, 0.2, random.Random(0))) for picture in pictures]
    return [makers.encode(picture) for picture in [*pictures, *marked]]


@pytest.fixture(scope="module")
def entered(files):
    stage = Perceptual(PerceptualOptions(embedding=LITE0))
    stage.open(stage.prepare(Machine()))
    schema = reader_schema(ImageModality())
    columns = {**{name: [None] * len(files) for name in schema.names}, "bytes": files}
    batch = Decode(DecodeOptions()).change(pa.RecordBatch.from_pydict(columns, schema=schema), frozenset({"gray64", "rgb224"}))
    return Reached({**stage.sketch(batch), "payload_bytes": pa.array([len(data) for data in files])})


def found(entered, **options):
    pairs = Perceptual(PerceptualOptions(**options)).pairs(entered)
    each = zip(pairs.a.tolist(), pairs.b.tolist(), pairs.similarity.tolist(), strict=True)
    return {(min(a, b), max(a, b)): similarity for a, b, similarity in each}, pairs.notes


def test_a_pair_is_lifted_to_its_cosine_where_its_spectra_agree_to_the_gate(entered):
    plain, _ = found(entered, threshold=0.5, pairs_from=0.5)
    vectors = np.array([np.frombuffer(row, np.float16) for row in entered.own["embedding"].to_pylist()], float)
    cosines = vectors @ vectors.T
    gate = 0.6
    near = {(a, b): cosines[a, b] for a in range(entered.size) for b in range(a + 1, entered.size) if cosines[a, b] >= 0.7}
    mine, notes = found(entered, embedding=LITE0, min_cosine=0.7, gate=gate, threshold=0.5, pairs_from=0.5)
    assert notes["pairs_near_by_embedding"] == len(near) > notes["of_these_spectra_agree"] > 0
    assert set(plain) <= set(mine)
    lifted = {pair: similarity for pair, similarity in mine.items() if similarity > plain.get(pair, 0)}
    assert lifted
    for pair, similarity in lifted.items():
        assert similarity == pytest.approx(near[pair], abs=2e-3)
        assert pair not in plain or plain[pair] >= gate
    assert found(entered, embedding=LITE0, min_cosine=1.0, threshold=0.5, pairs_from=0.5)[0] == plain


def test_options_of_the_network_belong_to_it_and_only_its_own_bounds_search_anew():
    for name, value in (("gate", 0.8), ("min_cosine", 0.9), ("batch_size", 8)):
        with pytest.raises(ValidationError, match="embedding"):
            PerceptualOptions(**{name: value})
    plain, network = PerceptualOptions(), PerceptualOptions(embedding=LITE0)
    assert plain.of_kind("measure") == {}
    assert network.of_kind("measure") == {"embedding": LITE0, "batch_size": 16}
    keys = [Perceptual(PerceptualOptions(embedding=LITE0, **more)).search_key() for more in ({}, {"threshold": 0.95}, {"gate": 0.8})]
    assert keys[0] == keys[1] != keys[2] != Perceptual(plain).search_key()


def test_the_ledger_of_pairs_says_whose_similarity_dropped_an_image(files, tmp_path, d4a):
    (tmp_path / "pairs").mkdir()
    for number in (4, 5, 10, 11):
        (tmp_path / "pairs" / f"{number}.jpg").write_bytes(files[number])
        (tmp_path / "pairs" / f"{number}.txt").write_text(f"A picture with the number {number}")
    dedup = "{use: image.dedup.perceptual, threshold: 0.9, embedding: {efficientnet: lite0}, min_cosine: 0.9}"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"name: x\npair: {{sources: [{{path: pairs}}], stages: [{{use: image.decode}}, {dedup}]}}\noutput: {{path: out, order: input}}\n"
    )
    d4a("curate", recipe)
    rows = {row["key"]: row for row in pq.read_table(tmp_path / "out" / "ledger").to_pylist()}
    assert {key: row["twin"] for key, row in rows.items()} == {"4.jpg": None, "5.jpg": None, "10.jpg": "4.jpg", "11.jpg": "5.jpg"}
    assert rows["10.jpg"]["detail"] == "agreement of spectra" and rows["10.jpg"]["similarity"] > 0.94
    spectra = re.fullmatch(r"cosine of embeddings; spectra agree to (0\.\d{3})", rows["11.jpg"]["detail"])
    assert 0.6 <= float(spectra[1]) < 0.9 <= rows["11.jpg"]["similarity"]


@pytest.mark.parametrize(("option", "rounds"), [("", 1), (", embedding: {efficientnet: lite0}", 2)])
def test_with_a_network_the_stage_sees_survivors_only(files, tmp_path, option, rounds):
    (tmp_path / "one.jpg").write_bytes(files[0])
    stages = f"[{{use: image.decode}}, {{use: image.size}}, {{use: image.dedup.perceptual{option}}}]"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"name: x\nimage: {{sources: [{{path: {tmp_path}/one.jpg}}], stages: {stages}}}\noutput: {{path: {tmp_path}/out}}\n")
    plan = make_plan(load(str(recipe)), "", Machine(), tmp_path / "out")
    assert len(plan.flows[0].rounds) == rounds
