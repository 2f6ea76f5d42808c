"""The rule language: what a condition may say, and what it says when it may not."""

import numpy as np
import pytest
from d4a.modalities.image.conditions import Condition, Rules
from pydantic import TypeAdapter, ValidationError

read = TypeAdapter(Rules).validate_python


def test_a_text_is_a_condition_on_the_count():
    assert read({"person": ">= 2"}) == read({"person": {"count": ">= 2"}})
    assert read({"person": ">=2"})["person"].number == 2
    assert read({"person": {"area": "> 0.5"}})["person"].count == ">= 1"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("=> 1", r'"=> 1" is no condition; write one of >= > <= < == != and a number'),
        ("two", r'"two" is no condition'),
        (1, r'a bare number; say how to compare: ">= 1"'),
        ("> 1.5", r"compares a count with a fraction"),
        ({"confidence": ">= 50"}, r"shares from 0 to 1"),
        ({"area": 0.5}, r"a bare number"),
        ({"confidance": ">= 0.5"}, r"Extra inputs are not permitted"),
    ],
)
def test_mistakes_are_named(wrong, message):
    with pytest.raises(ValidationError, match=message):
        read({"person": wrong})


@pytest.mark.parametrize(
    ("text", "met"),
    [(">= 1", [0, 1, 1]), ("> 1", [0, 0, 1]), ("<= 1", [1, 1, 0]), ("< 1", [1, 0, 0]), ("== 1", [0, 1, 0]), ("!= 1", [1, 0, 1])],
)
def test_every_operator(text, met):
    assert Condition(count=text).met(np.array([0.0, 1.0, 2.0])).tolist() == [bool(each) for each in met]


def test_only_boxes_of_the_confidence_and_area_asked_for_count():
    boxes = [{"confidence": c, "area": a} for c, a in [(0.9, 0.01), (0.9, 0.2), (0.5, 0.2), (0.3, 0.5)]]
    assert Condition(confidence=">= 0.5", area="> 0.1").matching(boxes) == boxes[1:3]
    assert Condition(area="<= 0.01").matching(boxes) == boxes[:1]
