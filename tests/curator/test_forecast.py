"""What `d4a plan` says of a search by bands: the curve, and what signatures will need."""

from __future__ import annotations

import json
from pathlib import Path

# of 1 - (1 - s**rows)**bands at .5 .6 .7 .75 .8 .85 .9
CURVES = {
    "fineweb": "0.0533 0.2111 0.5645 0.7716 0.9235 0.9884 0.9996",
    "refinedweb": "0.0004 0.0163 0.3018 0.7605 0.9946 1.0000 1.0000",
    "slimpajama": "0.0011 0.0117 0.0839 0.1946 0.3988 0.6864 0.9286",
    "zyda": "0.8732 0.9882 0.9998 1.0000 1.0000 1.0000 1.0000",
    "zyda-2": "0.0001 0.0023 0.0263 0.0774 0.2042 0.4606 0.8059",
    "nemo": "0.0024 0.0258 0.1769 0.3818 0.6773 0.9240 0.9972",
}


def recipe(folder: Path, *stages: str) -> Path:
    (folder / "in").mkdir()
    for number in range(3):
        lines = [json.dumps({"text": f"record {number} {k} " + "x" * 100}) for k in range(500)]
        (folder / "in" / f"{number}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    path = folder / "r.yaml"
    head = (
        f"name: x\noutput: {{path: {folder / 'out'}}}\ntext:\n  partition_bytes: 65536\n  sources: [{{path: {folder / 'in'}}}]\n  stages:\n"
    )
    path.write_text(head + "".join(f"  - {{{stage}}}\n" for stage in stages), encoding="utf-8")
    return path


def printed(text: str) -> str:
    return " ".join(text.split())


def test_the_plan_prints_the_curve_of_every_search_by_bands(tmp_path: Path, d4a) -> None:
    fuzzy = [f"use: text.dedup.fuzzy, as: {preset}, preset: {preset}" for preset in CURVES]
    told = printed(d4a("plan", recipe(tmp_path, "use: text.dedup.exact", *fuzzy)).stdout)
    for preset, curve in CURVES.items():
        assert f"found {curve}" in told.partition(f" {preset}: ")[2].partition("sketches")[0]
    assert "similarity 0.5 0.6 0.7 0.75 0.8 0.85 0.9 0.95" in told
    assert "slimpajama: 9 bands x 13 rows" in told
    assert told.count("similarity 0.5") == len(CURVES)  # the exact one proposes nothing


def test_the_plan_prints_options_as_a_recipe_has_them(tmp_path: Path, d4a) -> None:
    assert "keep [en, zh], min_score 0.65" in printed(d4a("plan", recipe(tmp_path, "use: text.language, keep: [en, zh]")).stdout)


def test_the_estimate_rests_on_what_was_scanned(tmp_path: Path, d4a) -> None:
    path = recipe(tmp_path, "use: text.dedup.fuzzy, scheme: minhash, hashes: 1000, bits: 64")
    size = sum(file.stat().st_size for file in (tmp_path / "in").iterdir())
    assumed = printed(d4a("plan", path).stdout)
    assert f"about {-(-size // 4000)} records (assumed: 4,000 bytes of file each" in assumed
    d4a("curate", path, "--limit", "1")
    part = printed(d4a("plan", path).stdout)
    assert "about 1,500 records (500 in the 33.3% of bytes scanned so far)" in part
    assert "sketches 12.0 MB on disk (8,008 bytes each)" in part
    assert "at most 13.5 MB of temporary files" in part  # those, and 125 keys of 8 bytes
    d4a("curate", path)
    whole = printed(d4a("plan", path).stdout)
    assert "about 1,500 records (as scanned)" in whole
    assert "0.1 MB of memory" in whole
    assert "about 7 records (--limit)" in printed(d4a("plan", path, "--limit", "7").stdout)
