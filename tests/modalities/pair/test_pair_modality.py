"""The pair modality: members have the sizes that were told, and both parts come back out of them."""

import pyarrow as pa
from d4a.modalities.image.records import PAIR_COLUMNS
from d4a.modalities.pair.modality import Pair
from image_makers import encode, scene

KIND = Pair()
IMAGE = encode(scene(1, (64, 48)))


def test_members_are_as_large_as_told_and_give_back_image_and_caption():
    captions = ["Ünïcode 海, a line\nand another", ""]
    columns = [pa.array([IMAGE, b"x"]), pa.array(captions), pa.array([b'{"stars":3}', None])]
    payload = pa.table([column.cast(field.type) for column, field in zip(columns, PAIR_COLUMNS, strict=True)], schema=PAIR_COLUMNS)
    members, sizes = KIND.members(payload), KIND.sizes(payload.to_batches()[0])
    assert {suffix: [len(one) for one in found] for suffix, found in members.items()} == {s: c.to_pylist() for s, c in sizes.items()}
    assert members["json"] == [b'{"meta":{"stars":3}}', b"{}"]
    samples = [dict(zip(members, one, strict=True)) for one in zip(*members.values(), strict=True)]
    assert [KIND.payload_of(sample, "text") for sample in samples] == captions and KIND.payload_of(samples[0]) == IMAGE


def test_people_are_shown_a_thumbnail_and_the_begin_of_the_caption():
    assert [KIND.preview(data, column)[0] for data, column in ((IMAGE, "bytes"), (b"a", "text"))] == ["image/jpeg", "text/plain"]
    assert KIND.preview("海".encode() * 900, "text")[1] == "海".encode() * 600
