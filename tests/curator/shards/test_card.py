"""The card's front matter finds the shards, its code runs, and its numbers are the manifest's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from d4a.curator.shards import card
from d4a.curator.shards.manifest import Dataset


def front_matter(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


def test_front_matter_finds_every_shard_of_its_split(small) -> None:
    root, dataset = small
    matter = front_matter((root / "README.md").read_text())
    found = {
        (config["config_name"], files["split"], path.relative_to(root).as_posix())
        for config in matter["configs"]
        for files in config["data_files"]
        for path in root.glob(files["path"])
    }
    assert found == {(shard.flow, shard.split, shard.path) for shard in dataset.shards}
    assert (matter["license"], matter["size_categories"], matter["tags"]) == ("cc-by-4.0", ["n<1K"], ["webdataset"])
    assert "task_categories" not in matter


def test_the_code_in_the_card_runs(small, monkeypatch, capsys) -> None:
    pytest.importorskip("webdataset")
    root, _ = small
    monkeypatch.chdir(root)
    blocks = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)
    for block in blocks:
        exec(block, {})
    lines = capsys.readouterr().out.splitlines()
    assert len(blocks) == 3 and len(lines) == 3 * 13
    assert "(8, 8)" in lines and "(20, 8) caption 12" in lines and "Ünïcode 海 " in lines


def test_numbers_reasons_and_limits_are_told(small) -> None:
    root, dataset = small
    text = (root / "README.md").read_text()
    assert "| `text.dedup` | 19 | 3 | 16 |" in text and "20 records in, 1 of them unreadable, 16 kept" in text
    assert "| text | `text.dedup` | `duplicate` | 3 |" in text
    assert dataset.recipe_digest in text and dataset.dataset_id in text
    assert "No stage of image, pair, text looked for personal data" in text
    assert str(root) not in text


def test_a_pair_is_searched_for_personal_data_in_both_of_its_parts(small) -> None:
    _, dataset = small
    counts = dataset.flows["pair"]
    masked = counts.model_copy(update={"stages": [*counts.stages, counts.stages[0].model_copy(update={"use": "text.pii"})]})
    text = card.render(dataset.model_copy(update={"flows": {"pair": masked}}))
    assert "No stage of pair (pictures) looked for personal data" in text


def test_nothing_kept_is_a_card_too(small) -> None:
    _, dataset = small
    text = card.render(dataset.model_copy(update={"shards": [], "licences": {}}))
    assert "no record was kept" in text and front_matter(text)["license"] == "unknown"


@pytest.mark.parametrize(
    ("whole", "by_sample", "expected"),
    [
        ("", {"text": {"CC0-1.0": 48}}, {"license": "cc0-1.0"}),
        ("Apache-2.0", {"text": {"CC0-1.0": 10}}, {"license": "apache-2.0"}),
        ("", {"text": {"ODC-By-1.0": 40, "MIT": 8}}, {"license": ["mit", "odc-by"]}),
        ("", {"text": {"CC0-1.0": 10}}, {"license": ["cc0-1.0", "unknown"]}),
        ("LicenseRef-My Own", {}, {"license": "other", "license_name": "licenseref-my-own"}),
        ("", {}, {"license": "unknown"}),
    ],
)
def test_licences_become_the_hubs_names(small, whole: str, by_sample: dict, expected: dict) -> None:
    _, dataset = small
    changed: Dataset = dataset.model_copy(update={"recipe": {"licence": whole}, "licences": by_sample})
    matter = front_matter(card.render(changed))
    assert {name: matter[name] for name in matter if name.startswith("license")} == expected


@pytest.mark.parametrize(("samples", "category"), [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**12, "n>1T")])
def test_size_categories(small, samples: int, category: str) -> None:
    _, dataset = small
    shards = [dataset.shards[0].model_copy(update={"samples": samples})]
    assert front_matter(card.render(dataset.model_copy(update={"shards": shards})))["size_categories"] == [category]


def test_a_table_survives_what_people_write(small) -> None:
    _, dataset = small
    text = card.render(dataset.model_copy(update={"licences": {"text": {"a|b\nc": 1}}}))
    assert "| text | a\\|b c | 1 |" in text


def test_the_card_is_a_file_of_the_dataset(small) -> None:
    root, dataset = small
    assert dataset.files["README.md"].bytes == Path(root / "README.md").stat().st_size
