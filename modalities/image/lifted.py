"""Pairs that a network sees as one picture and whose spectra nearly agree: what an embedding adds to image.dedup.perceptual.

The network proposes, the pictures themselves decide: a cosine alone merges other views of a scene. On planted copies windows of
spectra leave little to add (README), so the bounds are strict.
"""

from __future__ import annotations

import numpy as np

from ...curator.dedup.clusters import assign, centroids, cluster_pairs
from ...curator.dedup.embeddings import EXACT_UP_TO, clusters_for, vectors_of
from ...curator.dedup.neighbours import Neighbours, neighbours
from ...curator.stage import Entered, Floats, Ints
from . import phash
from .phash_index import Found

_ITERATIONS, _VISITS, _SEED = 10, 8, 0  # as image.dedup.semantic where it is not told otherwise
_PAIRS = 1 << 15  # compared at a time
_SAME = 1e-9  # of equal thumbnails the spectra agree to 1 but for rounding
_ANY_BITS = 64  # a window need not be near: the network proposed the pair


def with_lifted(found: Found, entered: Entered, width: int, thumbs: phash.Thumbs, records: Ints, min_cosine: float, gate: float) -> Found:
    """`found` and the pairs whose embeddings have a cosine of `min_cosine` and whose spectra agree to `gate`.

    width    of an embedding
    thumbs   (f, 32, 32) uint8
    records  (f,) int64          whose they are; embeddings of other records do not matter

    The similarity of a pair is the greater of its spectra's and, where it was lifted, its cosine.
    """
    number = np.full(entered.size, -1, np.int64)
    number[records] = np.arange(len(records))
    near = _near(entered, width, min_cosine)
    a, b = number[near.a], number[near.b]
    known = (a >= 0) & (b >= 0)
    a, b, cosine = np.minimum(a, b)[known], np.maximum(a, b)[known], near.similarity[known]
    agree = _spectra(thumbs, a, b, gate, _ANY_BITS) >= gate
    a, b = np.concatenate([found.a, a[agree]]), np.concatenate([found.b, b[agree]])
    similarity = np.concatenate([found.similarity, cosine[agree]])
    order = np.lexsort((-similarity, b, a))
    a, b, similarity = a[order], b[order], similarity[order]
    new = np.ones(len(a), bool)
    new[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    notes = {"pairs_near_by_embedding": len(agree), "of_these_spectra_agree": int(agree.sum())}
    return Found(a[new], b[new], similarity[new], {**found.notes, **notes})


def meanings(thumbs: phash.Thumbs, a: Ints, b: Ints, similarity: Floats, floor: float, gate: float) -> list[str]:
    """What the similarity of each pair of thumbnails is: what `with_lifted` made of it, with the options of then, is seen by its spectra.

    floor   of the search without a network
    """
    lifted = _spectra(thumbs, a, b, floor, phash.NEAR_BITS) < similarity - _SAME
    spectra = np.zeros(len(a))
    spectra[lifted] = _spectra(thumbs, a[lifted], b[lifted], gate, _ANY_BITS)
    each = zip(lifted.tolist(), spectra.tolist(), strict=True)
    return [f"cosine of embeddings; spectra agree to {value:.3f}" if by_network else "agreement of spectra" for by_network, value in each]


def _spectra(thumbs: phash.Thumbs, a: Ints, b: Ints, floor: float, near_bits: int) -> Floats:
    """`phash.similarities` of any number of pairs; thumbnails may be on disk."""
    found = np.zeros(len(a))
    for start in range(0, len(a), _PAIRS):
        some = slice(start, start + _PAIRS)
        members, at = np.unique(np.stack([a[some], b[some]]), return_inverse=True)
        left, right = at.reshape(2, -1)
        shown = np.ascontiguousarray(thumbs[members])
        found[some] = phash.similarities(shown, phash.hashes(shown), left, right, floor, near_bits)
    return found


def _near(entered: Entered, width: int, floor: float) -> Neighbours:
    """Pairs of records above a cosine, as image.dedup.semantic finds them."""
    vectors, known = vectors_of(entered, "embedding", width)
    backend = entered.workspace.backend
    if len(vectors) <= EXACT_UP_TO:
        near = neighbours(vectors, floor, backend=backend)
    else:
        learnt = centroids(vectors, clusters_for(len(vectors), None), _ITERATIONS, _SEED, backend)
        near, _ = cluster_pairs(vectors, assign(vectors, learnt, floor, _VISITS, backend), floor, backend=backend)
    return Neighbours(known[near.a], known[near.b], near.similarity)
