"""pair.caption: words and characters of captions in any script, and captions that too many pairs have."""

import numpy as np
import pyarrow as pa
import pytest
from d4a.modalities.pair.caption import Caption, CaptionOptions


def judged(captions, **options):
    """What is measured of captions, and (kept, reason, value, threshold) of each."""
    stage = Caption(CaptionOptions.model_validate(options))
    values = stage.measure(pa.RecordBatch.from_pydict({"text": pa.array(captions, pa.large_string())}))
    verdict = stage.judge(pa.table(values))
    words = [verdict.reasons[code] if not keep else "" for code, keep in zip(verdict.reason, verdict.keep, strict=True)]
    return values, list(zip(words, verdict.value.tolist(), verdict.threshold.tolist(), strict=True))


def test_words_are_those_of_split_and_single_characters_where_no_spaces_are():
    rng = np.random.default_rng(3)
    spaced = ["".join(rng.choice(list("ab é\u00a0\t.-'Ж \x1f\u3000"), 30)) for _ in range(300)]
    values, _ = judged([*spaced, "一只猫。cat 红", "日本語テキスト, ok", "", None])
    assert values["words"].to_pylist() == [*(len(text.split()) for text in spaced), 5, 8, 0, None]
    assert values["chars"].to_pylist()[-4:] == [9, 11, 0, None]
    assert values["chars"].to_pylist()[:-4] == list(map(len, spaced))


CAPTIONS = ["a cat", "cat on", "a b c d", "a red car", "thumbnail for it", *["Stock  Photo of it"] * 6, *["stock photo of IT"] * 5]


@pytest.mark.parametrize(
    ("options", "dropped"),
    [
        ({"preset": "datacomp"}, {"a cat": "too_few_words", "cat on": "too_few_words"}),
        ({"preset": "laion"}, {}),
        ({"preset": "coyo"}, {"a cat": "too_few_words", "cat on": "too_few_words", "stock photo of it": "repeated_caption"}),
        ({"preset": "coyo", "max_repeats": 11, "min_words": 2}, {"a cat": "too_short"}),
        ({"min_words": None, "min_chars": None, "max_chars": 9, "max_words": 3}, {"a b c d": "too_many_words"}),
    ],
)
def test_presets_and_limits(options, dropped):
    _, verdicts = judged(CAPTIONS, **options)
    found = {" ".join(text.lower().split()): reason for text, (reason, _, _) in zip(CAPTIONS, verdicts, strict=True) if reason}
    if "max_chars" in options:
        dropped = {**dropped, "thumbnail for it": "too_long", "stock photo of it": "too_many_words"}
    assert found == dropped


def test_a_frequent_caption_is_told_its_number_of_pairs():
    _, verdicts = judged(CAPTIONS, max_repeats=10, min_words=None, min_chars=None)
    assert verdicts[-1] == ("repeated_caption", 11.0, 10.0) and sum(reason != "" for reason, _, _ in verdicts) == 11
