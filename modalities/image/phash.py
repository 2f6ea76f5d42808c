"""Perceptual hashing that survives crops and marks: cosine spectra of a 32 x 32 grey thumbnail and of windows of it.

Grey levels are made ranks first, so that no bright mark, and no bright spot that strangers share, outweighs the rest. Hashes of 23
fixed windows propose pairs (a crop resembles a window of its original); the best window is then moved until the spectra agree most,
and that agreement is the similarity. Everything up to the last division is arithmetic of whole numbers, so all machines agree. A hash
of the whole picture alone (pHash, dHash) is blind to crops of 10 % and more; a neural embedding takes other pictures of the scene for
copies, too; comparing aligned thumbnails cell by cell, without the worst, finds marks as well, with far more machinery.
"""

from __future__ import annotations

import math
from functools import cache
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from ...curator.backends.cpu import exact_part, kernel, part, read_only

Thumbs = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SIDE = 32  # of a thumbnail [cells]
TERMS = 16  # cosine terms each way in a spectrum
HASHED = 8  # of these, the lowest that make the 63-bit hash (the mean is left out)
STEPS = 64  # windows start and end on a lattice of 1/64 of the side
DEEPEST = 20  # a window leaves out at most 20/64 at each border
EVENED = 8  # grey levels: the noise of an even surface is not made structure
FRAME = 2  # the outermost 2/64 count only where a window moves there: thin frames are no structure
NEAR_BITS = 12  # hashes at most this far apart propose a pair
ENOUGH = 0.99  # a window that agrees this well is not moved any more

ODD = np.uint64(sum(1 << (HASHED * v + u) for v in range(HASHED) for u in range(1, HASHED, 2)))  # terms that mirroring negates
WEIGHTS = np.add.outer(np.arange(TERMS) ** 2, np.arange(TERMS) ** 2).astype(np.float64)
FEWEST = 2.0**-2  # a window with less than this share of the picture's energy shows something else
_COARSE = 2.0**-16  # terms are products of numbers of 8, 14 and 14 bits; so many of them count
_GAIN = 1e-4  # a smaller gain does not move a window
_GIVE_UP = 0.45  # further below the floor than this by the number of moves, no copy was ever on its way
_MOVED = 4096  # thumbnails at a time
_BLOCK = 512  # pictures compared at a time: their hashes stay in the processor's cache


def _windows() -> Ints:
    """(24, 4) int64: left, right, top and bottom margin of each window [1/64 of the side]; the whole picture, less its frame, first."""
    corners, grid = [(0, 4), (4, 0)], [(0, 8), (4, 4), (8, 0)]
    both_ways = [(*x, *y) for margins in (corners, grid) for y in margins for x in margins]
    one_way = [(0, 5), (5, 0), (0, 10), (10, 0), (7, 7)]
    trims = [(*x, 0, 0) for x in one_way] + [(0, 0, *y) for y in one_way]
    return np.array([(0, 0, 0, 0), *both_ways, *trims], np.int64) + FRAME


WINDOWS = _windows()


@cache
def cosines() -> Floats:
    """Integrals of cosines over the cells of a thumbnail, for every pair of margins.

    returns  (21, 21, 32, 16) float64   [near margin, far margin, cell, term]; times 2^14, whole numbers, 0 outside the window
    """
    near, far = np.meshgrid(np.arange(DEEPEST + 1) / STEPS, 1 - np.arange(DEEPEST + 1) / STEPS, indexing="ij")
    edges = np.arange(SIDE + 1) / SIDE
    inside = np.clip(edges, near[..., None], far[..., None])
    phase = ((inside - near[..., None]) / (far - near)[..., None])[..., None, :]
    term = np.arange(TERMS)[:, None]
    primitive = np.where(term == 0, phase, np.sin(np.pi * term * phase) / (np.pi * np.maximum(term, 1)))
    return np.ascontiguousarray(np.rint(np.diff(primitive, axis=-1) * 2**14).swapaxes(-1, -2))


def thumbnails(gray64: Thumbs) -> Thumbs:
    """(n, 64, 64) uint8 -> (n, 32, 32) uint8: means of 2 x 2 pixels, rounded."""
    four = gray64.reshape(-1, SIDE, 2, SIDE, 2).sum((2, 4), dtype=np.uint16)
    return np.asarray((four + 2) >> 2, np.uint8)


def equalised(thumbs: Thumbs) -> Thumbs:
    """(n, 32, 32) uint8: of how many of its thumbnail's cells each is lighter, 0 (none) to 255 (all).

    Darker cells that differ by no more than EVENED grey levels count in part, equal ones half.
    """
    return _equalised(one_type(thumbs))


def names(thumbs: Thumbs) -> Words:
    """(n, 2) uint64: blake2b-16 of each of (n, 32, 32) thumbnails, equal for equal ones."""
    found = b"".join(blake2b(thumb, digest_size=16).digest() for thumb in np.ascontiguousarray(thumbs))
    return np.frombuffer(found, np.uint64).reshape(-1, 2)


def to_front(thumbs: Thumbs, wanted: Ints) -> Thumbs:
    """The thumbnails at `wanted`, ascending, moved to the front in place: they may be many, and on disk."""
    if len(wanted) < len(thumbs):
        for start in range(0, len(wanted), _MOVED):
            some = wanted[start : start + _MOVED]
            thumbs[start : start + len(some)] = thumbs[some]
    return thumbs[: len(wanted)]


def contrast(thumbs: Thumbs) -> Floats:
    """(n,) float64: standard deviation of a thumbnail without its outermost cells [grey levels of 0 to 255]."""
    cells = thumbs[:, 1:-1, 1:-1].reshape(len(thumbs), (SIDE - 2) ** 2).astype(np.int64)
    sums, squares, count = cells.sum(1), (cells * cells).sum(1), cells.shape[1]
    return np.asarray(np.sqrt((count * squares - sums * sums).astype(np.float64)) / count)


def hashes(thumbs: Thumbs) -> Words:
    """Signs of the 63 lowest cosine terms of every window.

    thumbs   (n, 32, 32) uint8   equalised, here and below
    returns  (24, n) uint64   bit 8 v + u: term u across, v down; a window nearly without structure repeats the whole picture
    """
    return _hashes(one_type(thumbs), WINDOWS, cosines(), WEIGHTS)


class CrowdedError(Exception):
    """Too many pictures are near each other in hash to compare each pair closely."""


def similar_pairs(thumbs: Thumbs, floor: float, most: int | None = None) -> tuple[Ints, Ints, Floats]:
    """All pairs of pictures with a window of one near the other or its mirror image, and a similarity of at least `floor`.

    thumbs   (n, 32, 32) uint8
    most     pairs to look at closely; None: any number. Raises CrowdedError where there are more
    returns  a, b (p,) int64 with a < b, sorted; similarity (p,) float64

    Every picture is compared with every other: 94 comparisons of 64 bits a pair, and a closer look at about one pair in 2,000.
    """
    words, proposed, count = hashes(thumbs), [(np.zeros(0, np.int64), np.zeros(0, np.int64))], 0
    for start in range(0, len(thumbs), _BLOCK):
        proposed.append(_propose(words, start, min(start + _BLOCK, len(thumbs))))
        count += len(proposed[-1][0])
        if most is not None and count > most:
            raise CrowdedError
    a, b = (np.concatenate(each) for each in zip(*proposed, strict=True))
    similarity = similarities(thumbs, words, a, b, floor)
    near = similarity >= floor
    a, b, similarity = a[near], b[near], similarity[near]
    order = np.lexsort((b, a))
    return a[order], b[order], similarity[order]


def similarities(thumbs: Thumbs, words: Words, a: Ints, b: Ints, floor: float, near_bits: int = NEAR_BITS) -> Floats:
    """(p,) float64: how alike pictures a[k] and b[k] of (n, 32, 32) thumbnails with (24, n) hashes are; 0 where no window is near.

    What is not on its way to `floor` is given up; its similarity is too low then.
    """
    return _similarities(one_type(thumbs), words, a, b, floor, near_bits, WINDOWS, cosines(), WEIGHTS)


def one_type(thumbs: Thumbs) -> Thumbs:
    """Kernels are compiled for one kind of array: contiguous, and as read-only as those from Arrow."""
    return read_only(np.ascontiguousarray(thumbs))


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _equalised(thumbs: Thumbs) -> Thumbs:
    out, curve, levels = np.empty_like(thumbs), np.empty(256, np.uint8), 2 * EVENED + 1
    for i in range(len(thumbs)):
        twice = np.zeros(256 + levels, np.int64)  # from level - EVENED - 1 on: twice the cells that are darker, and once those as dark
        for y in range(SIDE):
            for x in range(SIDE):
                at = np.int64(thumbs[i, y, x]) + EVENED + 1
                twice[at] += 1
                twice[at + 1] += 1
        for place in range(1, len(twice)):
            twice[place] += twice[place - 1]
        for level in range(256):
            share = twice[level + 1 : level + 1 + levels].sum()
            curve[level] = (255 * share + levels * SIDE**2) // (2 * levels * SIDE**2)
        for y in range(SIDE):
            for x in range(SIDE):
                out[i, y, x] = curve[thumbs[i, y, x]]
    return out


@exact_part
def _multiply(left: Floats, right: Floats, out: Floats) -> None:
    """out (m, 16) = transpose of left (32, m) times right (32, 16); whole numbers below 2^53, so any order of adding gives the same."""
    for v in range(out.shape[0]):
        for u in range(TERMS):
            out[v, u] = 0.0
        for k in range(0, SIDE, 8):
            p, q, r, s = left[k, v], left[k + 1, v], left[k + 2, v], left[k + 3, v]
            t, w, x, y = left[k + 4, v], left[k + 5, v], left[k + 6, v], left[k + 7, v]
            for u in range(TERMS):
                near = p * right[k, u] + q * right[k + 1, u] + r * right[k + 2, u] + s * right[k + 3, u]
                out[v, u] += near + t * right[k + 4, u] + w * right[k + 5, u] + x * right[k + 6, u] + y * right[k + 7, u]


@part
def transform(cells: Floats, margins: Ints, table: Floats, rows: Floats, spectrum: Floats) -> None:
    """spectrum (16, 16), v down and u across, of a window of a thumbnail; `rows` (32, 16) is left with the terms of its rows."""
    _multiply(cells.T, table[margins[0], margins[1]], rows)
    _multiply(table[margins[2], margins[3]], rows, spectrum)


@exact_part
def product(one: Floats, other: Floats, mirrored: bool, weights: Floats) -> float:
    """Sum of products of terms / 2^16, each weighted by its squared frequency: natural pictures lose amplitude as frequency grows.

    Whole numbers: of 255 grey levels their sum stays below 2^50 (Parseval).
    """
    even, odd = 0.0, 0.0
    for v in range(TERMS):
        for u in range(0, TERMS, 2):
            even += weights[v, u] * np.floor(one[v, u] * _COARSE) * np.floor(other[v, u] * _COARSE)
            odd += weights[v, u + 1] * np.floor(one[v, u + 1] * _COARSE) * np.floor(other[v, u + 1] * _COARSE)
    return even - odd if mirrored else even + odd


@exact_part
def _products(weighted: Floats, other: Floats, weights: Floats) -> tuple[float, float]:
    """`product` of a spectrum that `_weighted` made with another one, and of that one with itself."""
    across, own = 0.0, 0.0
    for v in range(TERMS):
        for u in range(TERMS):
            term = np.floor(other[v, u] * _COARSE)
            across += weighted[v, u] * term
            own += weights[v, u] * term * term
    return across, own


@part
def _weighted(spectrum: Floats, mirrored: bool, weights: Floats) -> Floats:
    """What `_products` takes: terms / 2^16, times their weights; the odd ones negated where the picture is mirrored."""
    out = np.empty((TERMS, TERMS))
    for v in range(TERMS):
        for u in range(TERMS):
            term = weights[v, u] * np.floor(spectrum[v, u] * _COARSE)
            out[v, u] = -term if mirrored and u % 2 else term
    return out


@part
def signs(spectrum: Floats) -> np.uint64:
    """The hash of a spectrum (16, 16), as in `hashes`."""
    word = np.uint64(0)
    for v in range(HASHED):
        for u in range(HASHED):
            if u + v > 0 and spectrum[v, u] > 0:
                word |= np.uint64(1) << np.uint64(HASHED * v + u)
    return word


@kernel
def _hashes(thumbs: Thumbs, windows: Ints, table: Floats, weights: Floats) -> Words:
    words = np.empty((len(windows), len(thumbs)), np.uint64)
    rows, spectrum = np.empty((SIDE, TERMS)), np.empty((TERMS, TERMS))
    for i in range(len(thumbs)):
        cells = thumbs[i].astype(np.float64)
        whole = 0.0  # energy of the whole picture
        for w in range(len(windows)):
            transform(cells, windows[w], table, rows, spectrum)
            energy = product(spectrum, spectrum, False, weights)
            if w == 0:
                whole = energy
            words[w, i] = signs(spectrum) if energy >= FEWEST * whole else words[0, i]
    return words


@part
def ones(word: np.uint64) -> np.uint64:
    """Bits set; the compiler turns this into the processor's own instruction."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@kernel
def _propose(words: Words, start: int, end: int) -> tuple[Ints, Ints]:
    """Pairs (a, b), a < b, start <= b < end, with a window of one at most NEAR_BITS from the other or its mirror image."""
    block = words[:, start:end].copy()
    nearest = np.empty(end - start, np.uint64)
    a, b, found = np.empty(1024, np.int64), np.empty(1024, np.int64), 0
    for i in range(end):
        nearest[:] = np.uint64(64)
        for w in range(len(words)):
            for direction in range(2 if w else 1):
                one, others = (words[0, i], block[w]) if direction == 0 else (words[w, i], block[0])
                for j in range(end - start):
                    differing = one ^ others[j]
                    odd = ones(differing & ODD)
                    nearest[j] = min(nearest[j], ones(differing & ~ODD) + min(odd, np.uint64(32) - odd))
        for j in range(max(0, i + 1 - start), end - start):
            if nearest[j] <= np.uint64(NEAR_BITS):
                if found == len(a):
                    a, b = np.concatenate((a, np.empty_like(a))), np.concatenate((b, np.empty_like(b)))
                a[found], b[found] = i, start + j
                found += 1
    return a[:found].copy(), b[:found].copy()


@part
def _nearest_window(whole: np.uint64, words: Words, index: np.int64) -> tuple[int, int, bool]:
    """(bits, window, mirrored) of the window of picture `index` that is nearest to the whole of another."""
    bits, window, mirrored = 64, 0, False
    for w in range(len(words)):
        differing = whole ^ words[w, index]
        odd, even = int(ones(differing & ODD)), int(ones(differing & ~ODD))
        for flipped in (False, True):
            distance = even + (32 - odd if flipped else odd)
            if distance < bits:
                bits, window, mirrored = distance, w, flipped
    return bits, window, mirrored


@part
def _agreement(weighted: Floats, energy: float, window: Floats, least: float, weights: Floats) -> float:
    """Correlation of two spectra, -1 where the window holds less energy than `least`."""
    across, own = _products(weighted, window, weights)
    if own < least or own == 0 or energy == 0:
        return -1.0
    return across / math.sqrt(energy * own)


@part
def _climb(
    whole: Floats, energy: float, cells: Floats, least: float, start: Ints, mirrored: bool, floor: float, table: Floats, weights: Floats
) -> float:
    """The best agreement of `whole` with a window of `cells`, which moves uphill from `start`, one border a time."""
    rows, columns, spectrum = np.empty((SIDE, TERMS)), np.empty((SIDE, TERMS)), np.empty((TERMS, TERMS))
    weighted = _weighted(whole, mirrored, weights)
    margins = start.copy()
    transform(cells, margins, table, rows, spectrum)
    best, moved = _agreement(weighted, energy, spectrum, least, weights), 2
    moves = 0
    for step in (2, 1):
        border, back = 0, -1
        while border >= 0 and best < ENOUGH:
            if moved >= 2:
                _multiply(cells, table[margins[2], margins[3]], columns)
            elif moved >= 0:
                _multiply(cells.T, table[margins[0], margins[1]], rows)
            border, to, moved, before = -1, 0, -1, back
            for move in range(8):
                trial = margins.copy()
                trial[move // 2] += step if move % 2 else -step
                if move == before or trial[move // 2] < 0 or trial[move // 2] > DEEPEST:
                    continue
                if move < 4:
                    _multiply(columns, table[trial[0], trial[1]], spectrum)
                else:
                    _multiply(table[trial[2], trial[3]], rows, spectrum)
                agreement = _agreement(weighted, energy, spectrum, least, weights)
                if agreement > best + _GAIN:
                    best, border, to, back = agreement, move // 2, trial[move // 2], move ^ 1
            if border >= 0:
                margins[border], moved = to, border
            moves += 1
            if best < floor - _GIVE_UP / moves:
                return best
    return best


@kernel
def _similarities(
    thumbs: Thumbs, words: Words, a: Ints, b: Ints, floor: float, near_bits: int, windows: Ints, table: Floats, weights: Floats
) -> Floats:
    """(p,) float64: the best agreement of either whole with the nearest window of the other; 0 where none is near."""
    similarity = np.zeros(len(a))
    rows, spectra = np.empty((SIDE, TERMS)), np.empty((2, TERMS, TERMS))
    for p in range(len(a)):
        pair = (a[p], b[p])
        cells = (thumbs[a[p]].astype(np.float64), thumbs[b[p]].astype(np.float64))
        for k in range(2):
            transform(cells[k], windows[0], table, rows, spectra[k])
        energy = (product(spectra[0], spectra[0], False, weights), product(spectra[1], spectra[1], False, weights))
        for k in range(2):
            bits, window, mirrored = _nearest_window(words[0, pair[k]], words, pair[1 - k])
            if bits <= near_bits:
                found = _climb(
                    spectra[k], energy[k], cells[1 - k], FEWEST * energy[1 - k], windows[window], mirrored, floor, table, weights
                )
                similarity[p] = max(similarity[p], min(found, 1.0))
    return similarity
