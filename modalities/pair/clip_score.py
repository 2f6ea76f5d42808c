"""pair.clip_score: how well a caption fits its picture, by the cosine of a CLIP model's two embeddings.

The image is embedded here even where image.dedup.semantic uses the same model: each of the two begins a round of its own, so
that the second one looks at the survivors of the first only, which saves more than an embedding that both share.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from ...curator.options import Options, judge, measure
from ...curator.stage import Bools, Columns, Facts, Filter, Floats, Judgement, Machine, Rule, Value, judge_rules
from ...models import embed, embed_caption
from ...models.embed import ClipSpec
from ..image.network import WithNetwork


class ClipScoreOptions(Options):
    """Which model, and how good a fit is wanted."""

    model: ClipSpec = measure(
        ClipSpec(clip="ViT-B-32", weights="openai"),
        "The network: {clip: NAME, weights: TAG or FILE} or {clip: local-dir:FOLDER}, with CLIP's own tokenizer. Published thresholds are"
        " of OpenAI's weights; scores of other models lie elsewhere.",
    )
    batch_size: int = measure(16, "Pairs a forward pass [pairs]; the last batch of a unit is padded to it.", ge=1, le=4096)
    min_score: float | None = judge(
        0.28,
        "Least cosine; null: any, as where only `top_fraction` is given. With ViT-B-32 LAION-2B takes 0.28, LAION-400M 0.3, DataComp 0.25.",
        ge=-1,
        le=1,
    )
    top_fraction: float | None = judge(
        None,
        "Share of the pairs that reach this stage, best scores first, beyond which none stays: n pairs leave ceil(top_fraction * n), of"
        " equal scores the earlier pairs of the input. null: all. DataComp's 0.3 is of {clip: ViT-L-14, weights: openai}; its code"
        " keeps one pair more, and all that score as much as that one.",
        gt=0,
        le=1,
    )

    @model_validator(mode="before")
    @classmethod
    def _one_is_enough(cls, given: Any) -> Any:
        return {"min_score": None, **given} if isinstance(given, dict) and given.get("top_fraction") is not None else given

    def of_kind(self, kind: str) -> dict[str, Any]:
        """As for every stage, but the model stands there without its folder."""
        return {k: embed.key_of(self.model) if k == "model" else v for k, v in super().of_kind(kind).items()}


class ClipScore(WithNetwork, Filter):
    """Drop pairs whose caption does not fit the picture (Hessel et al. 2021, without its factor 2.5).

    The picture is cut to a centred square as for image.dedup.semantic. Of a caption the model reads the first tokens only, 75 by most. What
    is left out by `top_fraction` goes as `not_in_top_fraction`, after the rule below; its threshold is the least score within.
    """

    name: ClassVar[str] = "pair.clip_score"
    cost = "model"
    Options: ClassVar[type[Options]] = ClipScoreOptions
    options: ClipScoreOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value("score", pa.float64(), "Cosine of the embeddings of picture and caption, 4 decimals.", packed="clip_score"),
        Value("unread_tokens", pa.int64(), "Tokens of the caption behind those that the model reads.", total=True),
    )

    @property
    def network(self) -> ClipSpec:
        """The one in `model`."""
        return self.options.model

    @property
    def needs(self) -> tuple[str, ...]:
        """The picture at the network's own size, and the caption."""
        return (f"rgb{self.side}", "text")

    def prepare(self, machine: Machine) -> Facts:
        """Find the weights; refuses a model without any, or one that does not read captions."""
        return embed.facts(embed_caption.find(self.network), machine, embed_caption.libraries(self.network))

    def measure(self, batch: pa.RecordBatch) -> Columns:
        """The cosine of each pair, and how much of its caption was not read."""
        captions = embed_caption.load(*self._loaded)
        text = batch.column("text").fill_null("").to_pylist()
        score = (self.embedded(batch).astype(np.float64) * captions.embed(text).astype(np.float64)).sum(1).round(4)
        return {"score": pa.array(score), "unread_tokens": pa.array(captions.unread(text))}

    def rules(self) -> Sequence[Rule]:
        """`clip_score_low`: under `min_score`."""
        return (Rule("score", "min", "min_score", "clip_score_low"),)

    def judge(self, values: pa.Table) -> Judgement:
        """By the rule, then `not_in_top_fraction`: its threshold is the least score in there."""
        verdict = judge_rules(self.rules(), self.options, values)
        if self.options.top_fraction is not None and values.num_rows:
            score = values.column("score").cast(pa.float64()).to_numpy()
            top = _best(score, self.options.top_fraction)
            verdict.drop(~top, "not_in_top_fraction", score, float(score[top].min()))
        return verdict


def _best(score: Floats, fraction: float) -> Bools:
    """(n,) bool: the ceil(fraction * n) greatest, of equal ones the first."""
    count = int((Decimal(str(fraction)) * len(score)).to_integral_value(ROUND_CEILING))  # 0.07 * 100 is more than 7 in binary
    best = np.zeros(len(score), np.bool_)
    best[np.argsort(-score, kind="stable")[:count]] = True
    return best
