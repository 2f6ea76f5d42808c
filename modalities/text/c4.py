"""text.quality.c4: the rules of C4 (Raffel et al. 2020), which take lines out of pages and refuse pages.

Three implementations differ in constants, in marks and in what they look at, so each is a variant with its own order of rules. Sentences
need no model: terminal marks are enough for a threshold of three. A splitter of spaCy or NLTK would be a hundred times slower.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_serializer, model_validator

from ...curator.errors import MachineError
from ...curator.options import Options, data_file, judge, measure
from ...curator.stage import Facts, Ints, Machine, Rule, Transform, Value
from .bad_words import FLANK_NOT_A_TO_Z, FLANK_NOT_WORD, FLANK_WHITE, Tree, count_listed, tree
from .bitmaps import BREAK, FEED
from .c4_kernel import CHARS, LineRules, filter_lines
from .edited import edited
from .word_lists import read_bytes, words_of

Count = Annotated[int, Field(ge=0)] | Literal["off"] | None

# what an option is where a recipe says null
_LINES = {"terminal_punctuation": True, "remove_citations": True, "max_word_chars": 1000, "javascript": True, "policy": True}
_PAGES = {"max_chars": "off", "max_javascript": "off", "max_lorem_ipsum": 0, "max_curly_brackets": 0, "max_bad_words": 0}
VARIANTS: dict[str, dict[str, Any]] = {
    "c4": {**_LINES, **_PAGES, "min_words_per_line": 5, "min_sentences": 3, "max_chars": 190_000},
    "datatrove": {**_LINES, **_PAGES, "min_words_per_line": 3, "min_sentences": 5},
    "dolma": {
        **_PAGES,
        "terminal_punctuation": True,
        "remove_citations": False,
        "max_word_chars": "off",
        "javascript": False,
        "policy": False,
        "min_words_per_line": 3,
        "min_sentences": "off",
        "max_javascript": 0,
    },
}
_COUNTS = ("min_words_per_line", "max_word_chars", "min_sentences", *_PAGES)  # options that are a number or off
_LIST = "the list of bad words"
_OFF = "null: the variant's; off: no such rule"


class C4Options(Options):
    """Options of text.quality.c4; null takes the variant's value, false or off switches a rule off."""

    variant: Literal["c4", "datatrove", "dolma"] = measure(
        "c4",
        "Whose reading. c4: TensorFlow Datasets' c4_utils, which made C4; datatrove: its C4QualityFilter, which made FineWeb; dolma: tagger"
        " c4_v2 with AllenAI's configs/c4-replication, which counts phrases in the whole page and leaves white space as it is.",
    )
    terminal_punctuation: bool | None = measure(
        None, "Take out lines without an end mark: . ? ! or \", in datatrove also ', and not ... but in dolma. Null: true."
    )
    end_marks: Literal["variant", "any"] = measure(
        "variant",
        "any: every sentence-terminal mark of Unicode (。 ？ । ؟) ends a line too, with closing quotes and brackets behind it; set it for"
        " Chinese, Japanese and others, of which the variants leave nothing.",
    )
    remove_citations: bool | None = measure(
        None, "Take [1], [edit] and [citation needed] out of lines. Null: true for c4 and datatrove; not in dolma."
    )
    min_words_per_line: Count = measure(
        None, f"Fewest words of a line, or it goes: 5 in c4, which counts after citations are gone, 3 in datatrove and dolma. {_OFF}."
    )
    max_word_chars: Count = measure(None, f"Most characters of a word, or its line goes: 1000 in c4 and datatrove, off in dolma. {_OFF}.")
    javascript: bool | None = measure(
        None, "Take out lines with `javascript` in any case. Null: true for c4 and datatrove; dolma judges pages by it instead."
    )
    policy: bool | None = measure(
        None,
        "Take out lines with `terms of use`, `privacy policy`, `cookie policy`, `uses cookies`, `use of cookies` or `use cookies`,"
        " in any case. Null: true for c4 and datatrove; not in dolma.",
    )
    bad_words: str | None = data_file(
        None,
        "A file, one word or phrase a line, in UTF-8, for instance LDNOOBW's of a language; # begins a comment line, gzip or not; null: no"
        " list, rule off.",
    )
    bad_words_flanked: bool = measure(
        True,
        "Count a bad word only between flanks. c4: characters of its line but a-z; datatrove: a line's ends, or what is no letter, number"
        " or _; dolma: a line's ends or white space, and none for phrases of several words. false for Chinese, Japanese and Thai lists.",
    )
    max_chars: Count = judge(None, f"Most characters of the page as read: 190,000 in c4, off in datatrove and dolma. {_OFF}.")
    max_javascript: Count = judge(None, f"Most `javascript` in a page: 0 in dolma, off in c4 and datatrove, which take out lines. {_OFF}.")
    max_lorem_ipsum: Count = judge(None, f"Most `lorem ipsum` in a page: 0. {_OFF}.")
    max_curly_brackets: Count = judge(None, f"Most {{ in a page: 0. {_OFF}.")
    max_bad_words: Count = judge(None, f"Most bad words in a page: 0. {_OFF}.")
    min_sentences: Count = judge(None, f"Fewest sentences of the lines that stay: 3 in c4, 5 in datatrove, off in dolma. {_OFF}.")

    @model_validator(mode="before")
    @classmethod
    def _take_from_variant(cls, given: Any) -> Any:
        variant = VARIANTS.get(str(given.get("variant", "c4"))) if isinstance(given, dict) else None
        if variant is None:
            return given  # what is wrong is said by the field
        filled = {**given, **{name: value for name, value in variant.items() if given.get(name) is None}}
        return {name: None if value == "off" and name in _COUNTS else value for name, value in filled.items()}

    @model_validator(mode="after")
    def _dolma_leaves_lines_as_they_are(self) -> Self:
        if self.variant == "dolma" and (self.remove_citations or self.javascript or self.policy):
            raise ValueError("dolma has no remove_citations, javascript or policy: its lines need an end mark and words only")
        return self

    @field_serializer(*_COUNTS)
    def _write_off(self, value: Count) -> Count:
        return "off" if value is None else value


class C4(Transform):
    """Take out lines that are no sentences, and refuse pages that are no prose (C4; Raffel et al. 2020).

    Lines (of `str.splitlines`; in dolma what U+000A separates) lose outer white space and go, in this order, with a word that is too
    long; without an end mark; with too few words; with `javascript`; with a policy phrase. Pages are judged by what the lines that came so
    far hold, as in the references, which refuse a page on the way: `lorem ipsum` is looked for before `javascript`, { before policy
    phrases, bad words after those. dolma looks for all of them in the whole page, and its lines need an end mark and words only. Lines of
    white space alone go uncounted. A text of which nothing is left is refused as `empty`.

    Words are what white space separates; each Han, Kana, Thai, Lao, Khmer or Myanmar character is one, where the references see one word a
    line. A sentence ends behind terminal marks of any script and the closing quotes and brackets there, where white space or the line's
    end follows or a mark is not ASCII (。). The rest of a line is one too; marks alone are none. The references ask NLTK's punkt (c4) and
    spaCy (datatrove) instead.
    """

    name: ClassVar[str] = "text.quality.c4"
    version: ClassVar[int] = 2
    Options: ClassVar[type[Options]] = C4Options
    values: ClassVar[tuple[Value, ...]] = (
        Value("no_terminal_punctuation", pa.int64(), "Number of lines taken out for having no end mark.", total=True),
        Value("too_few_words", pa.int64(), "Number of lines taken out for having fewer words than `min_words_per_line`.", total=True),
        Value("long_word", pa.int64(), "Number of lines taken out for a word of more than `max_word_chars`.", total=True),
        Value("javascript", pa.int64(), "Number of lines taken out for `javascript`; in dolma: how often the page has it.", total=True),
        Value("policy", pa.int64(), "Number of lines taken out for a policy phrase.", total=True),
        Value("sentences", pa.int64(), "Number of sentences in the lines that stay."),
        Value(
            "lorem_ipsum",
            pa.int64(),
            "How often `lorem ipsum`, in any case, is in lines with an end mark and enough words; in dolma: in the page.",
        ),
        Value("curly_brackets", pa.int64(), "Number of { in those of these lines that have no `javascript`; in dolma: in the page."),
        Value("chars", pa.int64(), "Characters (Unicode code points) of the page as read."),
        Value(
            "bad_words",
            pa.int64(),
            "Places where a word of the list begins, in the lines that stay; in dolma: in the page. Null without a list.",
        ),
        Value("edited_chars", pa.int64(), "`chars` minus characters of the text that stays."),
    )
    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)
    options: C4Options

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._words: Tree | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def prepare(self, machine: Machine) -> Facts:
        """The digest of the word list. Raises UsageError when it cannot be read, is no UTF-8 or has no word."""
        if self.options.bad_words is None:
            return Facts()
        data = read_bytes(_LIST, self.options.bad_words)
        self._tree(data)
        return Facts(files={"bad_words_sha256": hashlib.sha256(data).hexdigest()})

    def open(self, facts: Facts) -> None:
        """Load the word list. Raises MachineError when it is not the one that was planned with."""
        if self.options.bad_words is None:
            return
        data = read_bytes(_LIST, self.options.bad_words)
        if hashlib.sha256(data).hexdigest() != facts.files["bad_words_sha256"]:
            raise MachineError(
                "the list of bad words is not the one that was planned with", self.options.bad_words, "run the command again"
            )
        self._words = self._tree(data)

    def _tree(self, data: bytes) -> Tree:
        return _list_of(self.options.bad_words or "", data, self.options.bad_words_flanked, self.options.variant == "dolma")

    def rules(self) -> Sequence[Rule]:
        """Pages; of several reasons the first is named."""
        return (
            Rule("chars", "max", "max_chars", "too_long"),
            Rule("lorem_ipsum", "max", "max_lorem_ipsum", "lorem_ipsum"),
            Rule("javascript", "max", "max_javascript", "javascript"),
            Rule("curly_brackets", "max", "max_curly_brackets", "curly_bracket"),
            Rule("bad_words", "max", "max_bad_words", "bad_word"),
            Rule("sentences", "min", "min_sentences", "too_few_sentences"),
        )

    def change(self, batch: pa.RecordBatch, wanted: frozenset[str]) -> pa.RecordBatch:
        """The batch with the lines that stay and the values; a text left empty becomes null, with the reason `empty`."""
        before = batch.column("text")
        text, counts = filter_lines(before, self._line_rules())
        names = [value.name for value in self.values if value.name not in ("bad_words", "edited_chars")]
        measured: dict[str, Any] = dict(zip(names, counts.T, strict=True))
        whole = self.options.variant == "dolma"
        measured["bad_words"] = (
            pa.nulls(len(text), pa.int64()) if self._words is None else self._count_bad(before if whole else text, self._words)
        )
        return edited(batch, text if whole else pc.utf8_trim_whitespace(text), measured, counts[:, CHARS])

    def _count_bad(self, text: pa.Array, words: Tree) -> Ints:
        variant = self.options.variant
        flank = {"c4": FLANK_NOT_A_TO_Z, "datatrove": FLANK_NOT_WORD, "dolma": FLANK_WHITE}[variant]
        return count_listed(text, words, flank, variant != "c4")

    def _line_rules(self) -> LineRules:
        options = self.options
        dolma, datatrove = options.variant == "dolma", options.variant == "datatrove"
        return LineRules(
            whole=dolma,
            breaks=FEED if dolma else BREAK,
            terminal=bool(options.terminal_punctuation),
            apostrophe=datatrove,
            any_script=options.end_marks == "any",
            ellipsis=not dolma,
            citations=bool(options.remove_citations),
            words_first=datatrove,
            min_words=_limit(options.min_words_per_line),
            max_word=_limit(options.max_word_chars),
            javascript=bool(options.javascript),
            policy=bool(options.policy),
        )


def _limit(value: Count) -> int:
    """A limit for the kernel, where 0 is none."""
    return value if isinstance(value, int) else 0


@cache
def _list_of(path: str, data: bytes, flanked: bool, phrases_free: bool) -> Tree:
    """The tree of a word list. Raises UsageError when it is no UTF-8 or has no word."""
    words = sorted(set(words_of(_LIST, path, data)))
    return tree(words, [not flanked or (phrases_free and " " in word) for word in words])
