"""image.dedup.exact: files with the same bytes.

The scan digests every payload anyway, so this stage measures nothing. The same pixels in another format or with other
metadata are left to image.dedup.perceptual.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ...curator.columns import fixed_rows
from ...curator.stage import Columns, Dedup, Entered, Pairs


class ExactImage(Dedup):
    """Drop files whose bytes equal those of a kept file; without `keep` the first in input order is kept."""

    name = "image.dedup.exact"
    reason = "exact_duplicate"

    @property
    def threshold(self) -> float:
        """Equal bytes or nothing."""
        return 1.0

    def sketch(self, batch: pa.RecordBatch) -> Columns:
        """Nothing: the digest of the bytes is in every evidence."""
        return {}

    def pairs(self, entered: Entered) -> Pairs:
        """Each file with the most preferred one of the same digest, which is always kept, so that no other pair is needed."""
        order = self.order(entered)
        digests = fixed_rows(entered.column("digest"), np.uint64, (2,))[order]
        _, first, group = np.unique(digests, axis=0, return_index=True, return_inverse=True)
        a, b = order[first[group.reshape(-1)]], order
        repeats = a != b
        return Pairs(a[repeats], b[repeats], np.ones(int(repeats.sum())))
