"""pair.dedup: the same picture with the same caption, or nearly so; one of them stays.

A picture that comes again with another caption is another pair, and so is a caption under another picture: for these there are
image.dedup.* and text.dedup.*. Pictures are compared first, since a caption may stand under many; captions then by their words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from ...curator.columns import buffers, fixed_column, fixed_rows
from ...curator.dedup.preference import order_by
from ...curator.dedup.spill import spacious
from ...curator.options import DedupOptions, Options, judge, measure, search
from ...curator.stage import Columns, Dedup, Entered, Floats, Ints, Pairs, Value
from ..image import phash, phash_index
from ..text.fss import ShingleSets, shingle_sets
from ..text.jaccard import jaccard
from ..text.tokens import tokens_of

CLIP_SCORE = "pair.clip_score.score"
_FLAT = 3.0  # contrast under which a thumbnail has no structure, as in image.dedup.perceptual [grey levels]
_AT_A_TIME = 1 << 20  # pairs of captions
_MOST = 1000  # captions of one picture that others are compared with: a logo may have a million


class PairDedupOptions(DedupOptions):
    """What the same picture is, and what the same caption."""

    image: Literal["perceptual", "exact"] = measure(
        "perceptual",
        "Which pictures are the same. perceptual: those as similar as `image_threshold`, re-encoded, resized or cropped ones among them."
        " exact: files of equal bytes; needs no image.decode. A picture without structure is the same by its bytes only.",
    )
    image_threshold: float = search(
        0.8,
        "Similarity of two pictures in the sense of image.dedup.perceptual at or above which they are the same.",
        ge=0.5,
        le=phash.ENOUGH,
    )
    threshold: float = judge(
        0.8,
        "Jaccard index of two captions' sets of words at or above which they are duplicates where the pictures are the same. Words are"
        " those of text.dedup.fuzzy: case and punctuation do not count, nor does order. 1: equal sets, COYO's (image_phash, text).",
        ge=0,
        le=1,
    )
    pairs_from: float = search(
        0.5, "Pairs are kept from this Jaccard index on, so that the threshold can move above it without a new search.", ge=0, le=1
    )


_WORDS = (
    Value("words", pa.large_binary(), "Hashes of the distinct words of the caption: uint64, little-endian, ascending.", sketch=True),
    Value("fingerprint", pa.uint64(), "Hash of the list of lower-cased words; of the bytes where there is none.", sketch=True),
    Value("word_count", pa.int64(), "Words of the caption, repeated ones too: of two captions the longer one is kept."),
)
_THUMB = Value("thumb", pa.binary(phash.SIDE**2), "Grey thumbnail, 32 x 32 bytes, as of image.dedup.perceptual.", sketch=True)


class PairDedup(Dedup):
    """Drop a pair whose picture and caption are those of a kept one.

    Without `keep` the best caption is kept: by `pair.clip_score` where a stage of this name ran before, then the one of more words, then
    the larger picture. The similarity in the ledger is that of the captions. Of a picture with more than 1,000 captions the 1,000 that are
    preferred are those that others are compared with; such pictures are counted.
    """

    name: ClassVar[str] = "pair.dedup"
    version: ClassVar[int] = 2
    reason: ClassVar[str] = "duplicate_pair"
    Options: ClassVar[type[Options]] = PairDedupOptions
    options: PairDedupOptions
    prefers: ClassVar[tuple[str, ...]] = (CLIP_SCORE,)
    values: ClassVar[tuple[Value, ...]] = (_THUMB, *_WORDS)

    def __init__(self, options: PairDedupOptions) -> None:
        super().__init__(options)
        self._looks = options.image == "perceptual"
        self.values = (_THUMB, *_WORDS) if self._looks else _WORDS  # type: ignore[misc]

    @property
    def needs(self) -> tuple[str, ...]:
        """The caption, and the grey picture where looks count."""
        return ("gray64", "text") if self._looks else ("text",)

    @property
    def threshold(self) -> float:
        """Captions at or above this similarity are duplicates, where the pictures are the same."""
        return self.options.threshold

    def search_key(self) -> dict[str, Any]:
        """Only a threshold under `pairs_from` asks for a new search."""
        return {**super().search_key(), "pairs_from": self._floor}

    @property
    def _floor(self) -> float:
        return min(self.options.threshold, self.options.pairs_from)

    def sketch(self, batch: pa.RecordBatch) -> Columns:
        """The words of each caption, and the thumbnail of its picture."""
        tokens = tokens_of(batch.column("text"))
        sets = shingle_sets(tokens, 1)
        data = pa.py_buffer(sets.hashes.astype("<u8", copy=False).tobytes())
        words = pa.Array.from_buffers(pa.large_binary(), batch.num_rows, [None, pa.py_buffer(8 * sets.offsets), data])
        found = {"words": words, "fingerprint": pa.array(tokens.fingerprints), "word_count": pa.array(np.diff(tokens.offsets))}
        if self._looks:
            found["thumb"] = fixed_column(phash.thumbnails(fixed_rows(batch.column("gray64"), np.uint8, (64, 64))))
        return found

    def preference(self, entered: Entered) -> Ints:
        """By `keep`; without it the best caption, then the larger picture, more bytes, input order."""
        if self.options.keep is not None:
            return super().preference(entered)
        order = order_by(entered, ["largest", "longest"])
        order = order[np.argsort(-entered.column("word_count").to_numpy()[order], kind="stable")]
        return order[np.argsort(-_clip_scores(entered)[order], kind="stable")]

    def details(self, entered: Entered, dropped: Ints, twins: Ints, similarity: Floats) -> list[str]:
        """Whether the two pictures are one file."""
        digests = fixed_rows(entered.column("digest"), np.uint64, (2,))
        same = (digests[dropped] == digests[twins]).all(1)
        return ["the same image file" if one else "another file of the same picture" for one in same.tolist()]

    def pairs(self, entered: Entered) -> Pairs:
        """Every pair of the same picture whose captions are as similar as the floor.

        Pairs of the same picture and the same caption are searched once, for the most preferred of them.
        """
        order = self.order(entered)
        picture, alike, notes = self._pictures(entered, order)
        kinds = _kinds(picture, entered.column("fingerprint").to_numpy()[order])
        captions = _sets(entered.column("words").take(pa.array(order[kinds.first])))
        found = [_copies(kinds)]
        for a, b in _candidates(picture[kinds.first], alike):
            similarity = jaccard(captions, a, b)
            near = similarity >= self._floor
            found += _all_members(kinds, a[near], b[near], similarity[near])
        one, other, similarity = (np.concatenate(each) for each in zip(*found, strict=True))
        notes |= {"capped_pictures": int((np.bincount(picture[kinds.first]) > _MOST).sum())}
        return Pairs(order[one], order[other], similarity, notes)

    def way(self, count: int) -> str:
        """As image.dedup.perceptual does."""
        return phash_index.way(count) if self._looks else ""

    def _pictures(self, entered: Entered, order: Ints) -> tuple[Ints, Ints, dict[str, int]]:
        """(n,) the number of each record's picture, records in order; (p, 2) numbers of pictures that look the same; notes."""
        digest = fixed_rows(entered.column("digest"), np.uint64, (2,))[order]
        if not self._looks:
            return _numbered(digest), np.zeros((0, 2), np.int64), {}
        rank = np.empty(entered.size, np.int64)
        rank[order] = np.arange(entered.size)
        thumbs = spacious((entered.size, phash.SIDE, phash.SIDE), np.uint8, entered.workspace)
        structured = np.zeros(entered.size, np.bool_)
        for at, column in entered.chunks("thumb"):
            rows, place = fixed_rows(column, np.uint8, (phash.SIDE, phash.SIDE)), rank[at]
            thumbs[place], structured[place] = phash.equalised(rows), phash.contrast(rows) >= _FLAT
            digest[place] = np.where(structured[place, None], phash.names(thumbs[place]), digest[place])
        picture = _numbered(digest)
        places = np.flatnonzero(structured)
        number, first = np.unique(picture[places], return_index=True)
        by = np.argsort(first)
        heads = places[first[by]]  # ascending: the first of each picture
        found = phash_index.near_pairs(phash.to_front(thumbs, heads), self.options.image_threshold, entered.workspace)
        return picture, number[by][np.stack([found.a, found.b], 1)], found.notes


class _Kinds(NamedTuple):
    """Records, by their place in the order of preference, sorted into kinds: one picture with one caption.

    first    (k,) int64      place of the most preferred record of each kind
    members  (n,) int64      all places, kind after kind, ascending in each
    starts   (k + 1,) int64  where each kind's members begin
    """

    first: Ints
    members: Ints
    starts: Ints


def _kinds(picture: Ints, caption: Any) -> _Kinds:
    """Kinds in order of the number of their picture, those of one picture by preference."""
    by = np.lexsort((caption, picture))  # stable, so that places ascend in a kind
    opens = np.ones(len(by), np.bool_)
    opens[1:] = (np.diff(picture[by]) != 0) | (caption[by][1:] != caption[by][:-1])
    begin = np.flatnonzero(opens)
    sizes = np.diff(np.append(begin, len(by)))
    sort = np.lexsort((by[begin], picture[by[begin]]))
    members = by[_ranges(begin[sort], sizes[sort])].astype(np.int64)
    starts = np.append(0, np.cumsum(sizes[sort])).astype(np.int64)
    return _Kinds(members[starts[:-1]], members, starts)


_Found = tuple[Ints, Ints, Floats]


def _copies(kinds: _Kinds) -> _Found:
    """Every record with the first of its kind."""
    heads = np.repeat(kinds.first, np.diff(kinds.starts))
    others = heads != kinds.members
    return heads[others], kinds.members[others], np.ones(int(others.sum()))


def _candidates(picture: Ints, alike: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of kinds of one picture, or of two that look alike, some at a time; the second is among the first _MOST of its picture.

    picture  (k,) int64     of each kind, ascending
    alike    (p, 2) int64   pictures
    """
    if not len(picture):
        return
    starts = np.searchsorted(picture, np.arange(picture[-1] + 2)).astype(np.int64)
    first, sizes = starts[:-1], np.diff(starts)
    listed = np.minimum(sizes, _MOST)
    own = np.arange(len(picture), dtype=np.int64)
    rows = [(own, first[picture], np.minimum(own - first[picture], _MOST))]  # a kind, and the run that it is compared with
    for one, other, skip in ((*alike.T, 0), (*alike.T[::-1], _MOST)):  # two that are listed meet once
        count = np.maximum(sizes[one] - skip, 0)
        rows.append((_ranges(first[one] + skip, count), np.repeat(first[other], count), np.repeat(listed[other], count)))
    head, begin, size = (np.concatenate(each) for each in zip(*rows, strict=True))
    portion = np.cumsum(size) // _AT_A_TIME
    for some in np.split(np.arange(len(head)), np.flatnonzero(np.diff(portion)) + 1):
        yield np.repeat(head[some], size[some]), _ranges(begin[some], size[some])


def _all_members(kinds: _Kinds, a: Ints, b: Ints, similarity: Floats) -> list[_Found]:
    """Pairs of kinds -> pairs of records: the first of each kind with all of the other one.

    Two that are not first decide nothing: the first of their kind is kept or dropped before them.
    """
    found = []
    for head, other, skip in ((a, b, 0), (b, a, 1)):  # the pair of both firsts comes once
        begin = kinds.starts[other] + skip
        sizes = kinds.starts[other + 1] - begin
        found.append((np.repeat(kinds.first[head], sizes), kinds.members[_ranges(begin, sizes)], np.repeat(similarity, sizes)))
    return found


def _ranges(begin: Ints, sizes: Ints) -> Ints:
    """begin[0], begin[0] + 1, … of sizes[0] numbers, then those of the next."""
    return np.arange(sizes.sum()) + np.repeat(begin - np.cumsum(sizes) + sizes, sizes)


def _numbered(rows: Any) -> Ints:
    """(n, w) words -> (n,) int64: a number for each distinct row, from 0."""
    whole = np.ascontiguousarray(rows).view(f"V{rows.itemsize * rows.shape[1]}").reshape(-1)
    return np.unique(whole, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _sets(words: pa.ChunkedArray) -> ShingleSets:
    offsets, data = buffers(words)
    hashes = np.frombuffer(data[offsets[0] : offsets[-1]].tobytes(), "<u8").astype(np.uint64, copy=False)
    return ShingleSets(hashes, (offsets - offsets[0]) // 8)


def _clip_scores(entered: Entered) -> Floats:
    """(n,) float64, the least number where there is none."""
    column = entered.foreign(CLIP_SCORE)
    if column is None:
        return np.zeros(entered.size)
    return np.asarray(column.fill_null(-np.inf).to_numpy(), np.float64)
