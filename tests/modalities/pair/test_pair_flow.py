"""Pairs from sources to shards: stages of images work on the image, stages of text on the caption, and a drop drops both."""

import io
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from image_makers import encode, scene
from tiny_clip import save_tiny_clip

SURF, CAKE = "A man is riding a wave on top of a surfboard", "A big chocolate cake with two candles on a table"
WORDS = "Sign up for the letter of the park and get the best pictures of all our animals every week of the year"
PAIRS = {
    "one": (encode(scene(1)), f"\n {SURF}\r\n\tin  the\u0000 sea \n"),
    "one-small": (encode(scene(1).resize((240, 180)), quality=60), f"{SURF} in the sea.".upper()),
    "one-again": (encode(scene(1), quality=70), "The beach of our little town as it was in the summer"),
    "two": (encode(scene(2), "PNG"), CAKE),
    "three": (encode(scene(3)), CAKE),
    "geese": (encode(scene(5)), f"Two geese are standing at the gate. {WORDS}"),
    "swan": (encode(scene(4)), f"A white swan is swimming on the lake. {WORDS}"),
    "cat": (encode(scene(6)), "一只红色的猫坐在窗台上看着外面的雨"),
    "dog": (encode(scene(7)), "Ein alter Mann läuft mit seinem Hund über die grüne Wiese"),
    "mail": (encode(scene(8)), "Please write to jane.doe@example.org for a picture of the bridge"),
    "icon": (encode(scene(9, (40, 30))), "A very small picture of a very big house"),
    "cut": (encode(scene(10))[:900], "A picture that ends before it is complete"),
    "word": (encode(scene(11)), "thumbnail"),
    "silent": (encode(scene(12)), None),
}
STAGES = """
    - {use: text.clean, one_line: true}
    - use: text.pii
    - use: image.decode
    - {use: image.size, min_side_px: 64}
    - use: pair.caption
    - {use: text.language, keep: [en, zh], min_score: null}
    - use: pair.dedup
    - use: image.dedup.perceptual
    - use: text.dedup.exact
    - {use: text.dedup.substring, min_tokens: 15}
"""
SCORED = "    - {use: pair.clip_score, model: {clip: 'local-dir:clip'}, min_score: -1, top_fraction: 0.7}\n"
DROPPED = {
    "one-small": ("pair.dedup", "duplicate_pair", "one"),
    "one-again": ("image.dedup.perceptual", "near_duplicate", "one"),
    "three": ("text.dedup.exact", "exact_duplicate", "two"),
    "dog": ("text.language", "language_not_kept", None),
    "icon": ("image.size", "too_small", None),
    "cut": ("image.decode", "truncated_image", None),
    "word": ("pair.caption", "too_few_words", None),
    "silent": ("read", "no_caption", None),
}
CAPTIONS = {
    "one": f"{SURF} in the sea",
    "swan": "A white swan is swimming on the lake.",
    "mail": "Please write to <EMAIL> for a picture of the bridge",
}


def write_recipe(folder: Path, source: str, stages: str = STAGES) -> Path:
    path = folder / f"{source}.yaml"
    path.write_text(f"name: pairs\npair:\n  sources: [{{path: {source}}}]\n  stages:{stages}output: {{path: out-{source}, order: input}}\n")
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory, warm):
    """The pairs in a tar, curated: folder, dataset, ledger by key, samples by key."""
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "shards").mkdir()
    with tarfile.open(folder / "shards" / "a.tar", "w") as tar:
        for key, (image, caption) in PAIRS.items():
            for suffix, data in (("jpg", image), ("json", b'{"stars": 3}'), ("txt", None if caption is None else caption.encode())):
                if data is not None:
                    info = tarfile.TarInfo(f"{key}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return curated(folder, "shards", warm)


def curated(folder, source, warm, stages=STAGES):
    done = warm.run(["curate", str(write_recipe(folder, source, stages)), "--workers", "1"], folder, 300)
    assert done.returncode == 0, done.stderr
    out = folder / f"out-{source}"
    ledger = {Path(row["key"]).stem: row for row in pq.read_table(out / "ledger").to_pylist()}
    by_key = {Path(json.loads(sample["json"])["key"]).stem: sample for sample in read_samples(out).values()}
    return SimpleNamespace(folder=folder, out=out, ledger=ledger, samples=by_key)


def read_samples(out, split="*"):
    samples = {}
    for path in sorted(out.glob(f"pair/{split}/*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                name, _, suffix = member.name.partition(".")
                samples.setdefault(name, {})[suffix] = tar.extractfile(member).read()
    return samples


def check(made):
    """The same pairs stay whatever they came from, images byte for byte, captions as the stages left them."""
    found = {key: (row["stage"], row["reason"], row["twin"] and Path(row["twin"]).stem) for key, row in made.ledger.items()}
    assert {key: said for key, said in found.items() if said[0]} == DROPPED
    assert set(made.samples) == set(PAIRS) - set(DROPPED)
    for key, sample in made.samples.items():
        assert set(sample) == {"jpg", "json", "txt"} and sample["jpg"] == PAIRS[key][0]
        assert sample["txt"].decode() == CAPTIONS.get(key, PAIRS[key][1])
    assert made.ledger["swan"]["edited_chars"] > 90


def test_a_drop_drops_the_pair_and_what_stays_is_packed_as_it_came(made):
    check(made)
    body = json.loads(made.samples["two"]["json"])
    assert body["meta"] == {"stars": 3} and body["format"] == "png" and body["language"] == "en"


def test_files_beside_each_other_give_what_a_tar_gives(made, warm):
    folder = made.folder / "files" / "ann"
    folder.mkdir(parents=True)
    for key, (image, caption) in PAIRS.items():
        (folder / f"{key}.jpg").write_bytes(image)
        if caption is not None:
            (folder / f"{key}.txt").write_bytes(caption.encode())
    found = curated(made.folder, "files", warm)
    check(found)
    assert json.loads(found.samples["two"]["json"])["meta"] == {"owner": "ann"}


def test_the_caption_of_a_dropped_pair_is_compared_with_its_twins(made, warm):
    told = warm.run(["why", str(made.out), "one-again"], made.folder, 60).stdout
    assert "image.dedup.perceptual: near_duplicate" in told and "of our little town" in told
    assert "another file of the same picture" in warm.run(["why", str(made.out), "one-small"], made.folder, 60).stdout


def test_the_report_shows_pictures_and_captions(made):
    page = (made.out / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") >= len(PAIRS) - 2 and "Ein alter Mann läuft" in page and "The same caption." in page


def test_webdataset_and_the_pipeline_of_open_clip_read_it(made):
    """As open_clip_train.data: images of any of these suffixes, captions as txt."""
    wds = pytest.importorskip("webdataset")
    urls = [str(path) for path in sorted(made.out.glob("pair/*/*.tar"))]
    steps = [wds.SimpleShardList(urls), wds.tarfile_to_samples(), wds.decode("pilrgb")]
    steps += [wds.rename(image="jpg;png;jpeg;webp", text="txt"), wds.to_tuple("image", "text")]
    read = {text: image.size for image, text in wds.DataPipeline(*steps)}
    assert read == {sample["txt"].decode(): (320, 240) for sample in made.samples.values()}


def test_captions_of_one_image_lie_in_one_split(tmp_path, d4a):
    """Six images with five captions each: a model that is tested on one of these has not seen the image."""
    images = [{"id": k, "file_name": f"{k}.jpg"} for k in range(6)]
    captions = [{"id": 10 * k + j, "image_id": k, "caption": f"Caption {j} of picture {k}"} for k in range(6) for j in range(5)]
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco" / "captions.json").write_text(json.dumps({"images": images, "annotations": captions}))
    for k in range(6):
        (tmp_path / "coco" / f"{k}.jpg").write_bytes(encode(scene(k, (64, 48))))
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: x\npair:\n  sources: [{path: coco/captions.json}]\noutput: {path: out, split: {val: 0.5}}\n")
    d4a("curate", recipe)
    found = {split: read_samples(tmp_path / "out", split).values() for split in ("train", "val")}
    images = {split: {sample["jpg"] for sample in samples} for split, samples in found.items()}
    assert sum(map(len, found.values())) == 30 and sum(map(len, images.values())) == 6 and all(images.values())


def test_a_text_stage_that_needs_what_captions_lack_is_refused_before_anything_is_read(tmp_path, d4a):
    recipe = write_recipe(tmp_path, "shards", "\n    - use: text.url\n")
    (tmp_path / "shards").mkdir()
    said = d4a("curate", recipe, code=2).stderr
    assert "text.url reads the column 'url'" in said and "a record of pair has bytes, text, meta" in said


@pytest.mark.models
def test_scores_are_of_the_survivors_with_the_captions_that_are_packed(made, warm):
    pytest.importorskip("open_clip", reason="needs the extra image")
    save_tiny_clip(made.folder / "clip")
    scored = curated(made.folder, "shards", warm, STAGES + SCORED)
    lost = {key: row for key, row in scored.ledger.items() if row["stage"] == "pair.clip_score"}
    assert len(scored.samples) == 5 and len(lost) == 1 and set(scored.samples) | set(lost) == set(made.samples)  # ceil(0.7 * 6)
    (row,) = lost.values()
    scores = {key: json.loads(sample["json"])["clip_score"] for key, sample in scored.samples.items()}
    assert row["reason"] == "not_in_top_fraction" and row["value"] <= row["threshold"] == min(scores.values())
