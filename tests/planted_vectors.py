"""Vectors with planted near copies, and pairs as a list."""

import numpy as np


def clustered(n, d, groups, seed, copies=0.3):
    """(n, d) float16 unit vectors: `groups` loose clouds, and copies at cosines from 0.8 to 1 of some of them."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((groups, d))[rng.integers(0, groups, n)] + 1.5 * rng.standard_normal((n, d))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    count = int(n * copies)
    cosine = rng.uniform(0.8, 1, (count, 1))
    noise = rng.standard_normal((count, d))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    vectors[n - count :] = cosine * vectors[rng.integers(0, n - count, count)] + np.sqrt(1 - cosine**2) * noise
    return vectors.astype(np.float16)


def listed(pairs):
    """(a, b, similarity) of every pair, as they are ordered."""
    return list(zip(pairs.a.tolist(), pairs.b.tolist(), pairs.similarity.tolist(), strict=True))
