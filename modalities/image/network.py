"""What stages share that look at pictures through a network: found at plan time, loaded by the first batch, fed pictures of its own size.

They inherit it. One stage that embeds for all of them was the alternative: each begins a round of its own, with fewer pictures.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...curator.columns import fixed_rows
from ...curator.stage import Facts, Machine, Stage
from ...models import embed
from ...models.embed import Spec


class WithNetwork(Stage):
    """A stage with a network, which its options name, and to which they give `batch_size` pictures at once."""

    @property
    @abstractmethod
    def network(self) -> Spec | None:
        """The one that is named, if any."""

    @cached_property
    def side(self) -> int:
        """Of the pictures that the network takes [pixels]; the batch has them as column `rgb` with this number."""
        assert self.network is not None
        return embed.shape(self.network)[0]

    def prepare(self, machine: Machine) -> Facts:
        """Find the weights; refuses a network without any."""
        spec = self.network
        return Facts() if spec is None else embed.facts(embed.find(spec), machine, embed.libraries(spec))

    def open(self, facts: Facts) -> None:
        """Remember where the weights are; the first batch loads them."""
        self._facts = facts

    def embedded(self, batch: pa.RecordBatch) -> npt.NDArray[np.float16]:
        """(n, d) float16: the embeddings of the pictures of a batch, of length 1."""
        pixels = fixed_rows(batch.column(f"rgb{self.side}"), np.uint8, (self.side, self.side, 3))
        return embed.load(*self._loaded).embed(pixels)

    @property
    def _loaded(self) -> tuple[Any, str, str, str, int]:
        """What `load` of a network is told; it loads once a process."""
        local, numeric = self._facts.local, self._facts.numeric
        return self.network, local["path"], numeric["precision"], local["device"], self.options.batch_size
