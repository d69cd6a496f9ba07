"""The language guard: it warns once, of what is clearly foreign, and costs nothing where it is not wanted."""

import importlib.util
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crossrank import Reranker
from crossrank.checkpoint.card import card_languages
from crossrank.engine import language
from crossrank.engine.language import BYTES_MIN, DOUBTFUL, LanguageGuard, guard_of
from crossrank.engine.pair import Pair

ENGLISH = "The cat that sits on the roof looks at the birds, and the dog sleeps in the garden with its head on a shoe."
FOREIGN = {
    "de": "Die Katze sitzt auf dem Dach und schaut den Vögeln zu, während der Hund im Garten schläft und träumt.",
    "fr": "Le chat est assis sur le toit et regarde les oiseaux pendant que le chien dort dans le jardin.",
    "ja": "猫は屋根の上に座って、犬が庭で寝ている間に鳥を見ています。とても静かな午後でした。",
    "ru": "Кошка сидит на крыше и смотрит на птиц, пока собака спит в саду и видит сны о зиме.",
}
SHORT_ENGLISH = [
    "Berlin has a population of 3,520,031 registered inhabitants.",
    "Marie Curie and Pierre Curie discovered the element radium.",
    "Mount Kilimanjaro, the highest peak of Tanzania, is dormant.",
]
installed = pytest.mark.skipif(importlib.util.find_spec("py3langid") is None, reason="py3langid is not installed")


@pytest.fixture(autouse=True)
def _awake(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in an application; each test is a new process to the guard."""
    monkeypatch.delenv(language.VARIABLE, raising=False)
    language._turn.cache_clear()
    yield
    joined()


def joined() -> None:
    for thread in threading.enumerate():
        if thread.name == "crossrank-language":
            thread.join(timeout=60)


def pairs(*texts: str) -> list[Pair]:
    return [Pair("q", text) for text in texts]


def opening(opened: list[bool]) -> Callable[[], language.Identify]:
    """A detector that finds everything English, and notes that it was asked for."""

    def opener() -> language.Identify:
        opened.append(True)
        return lambda _: ("en", 1.0)

    return opener


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    joined()
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@installed
@pytest.mark.parametrize("code", FOREIGN)
def test_it_warns_once_of_a_foreign_language(caplog: pytest.LogCaptureFixture, code: str) -> None:
    """With the language, and what to do; however many models of that name and calls there are."""
    for _ in range(2):
        guard = LanguageGuard("mine", frozenset({"en"}))
        guard.look(pairs(*(f"{number} {FOREIGN[code]}" for number in range(DOUBTFUL))))
        assert not guard.awake
    (said,) = warnings(caplog)
    assert said.startswith(f"mine is meant for the language en, but texts here are in {code},")
    assert f"--language {code}" in said


@installed
def test_the_bundled_model_warns_and_still_ranks(caplog: pytest.LogCaptureFixture) -> None:
    """It is English; German documents are ranked all the same, by rank, score and many."""
    with Reranker(precision="fp32") as reranker:
        assert len(reranker.rank("Wo ist die Katze?", [f"{n} {FOREIGN['de']}" for n in range(4)])) == 4
    assert len(warnings(caplog)) == 1


@installed
@pytest.mark.parametrize(
    "texts",
    [
        [ENGLISH] * 8,
        ["kurz", "", "gut so"],
        ["for (int i = 0; i < n; ++i) { total += prices[i] * counts[i]; }"] * 4,
        ["Get-ChildItem -Path C:\\Temp -Recurse | Where-Object Length -gt 1MB | Remove-Item"] * 4,
        [ENGLISH, FOREIGN["de"]],
    ],
    ids=["English", "too short", "code", "commands", "one foreign text"],
)
def test_it_is_silent_otherwise(caplog: pytest.LogCaptureFixture, texts: list[str]) -> None:
    """What is not clearly foreign is no reason to speak."""
    guard = LanguageGuard("mine", frozenset({"en"}))
    guard.look(pairs(*texts))
    assert warnings(caplog) == []


def test_it_sleeps_after_enough_texts_and_opens_no_detector_for_english() -> None:
    """The guard looks at a few texts of each call, then never again."""
    opened: list[bool] = []
    guard, calls = LanguageGuard("mine", frozenset({"en"}), opener=opening(opened)), 0
    while guard.awake:
        guard.look(pairs(*[ENGLISH] * 1000))
        calls += 1
    joined()
    assert calls == language.TEXTS_MAX // language.PER_CALL
    assert opened == []


@pytest.mark.parametrize("text", SHORT_ENGLISH)
def test_a_short_english_sentence_full_of_names_opens_no_detector(text: str) -> None:
    """It takes most of a second to load, which is what a whole command takes without it."""
    opened: list[bool] = []
    guard = LanguageGuard("mine", frozenset({"en"}), opener=opening(opened))
    guard.look(pairs(*[text] * language.PER_CALL))
    joined()
    assert opened == []


def test_a_detector_that_fails_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is raised, nothing is said."""

    def broken(text: str) -> tuple[str, float]:
        raise RuntimeError(text)

    guard = LanguageGuard("mine", frozenset({"en"}), opener=lambda: broken)
    guard.look(pairs(*[FOREIGN["de"]] * DOUBTFUL))
    assert warnings(caplog) == []
    assert not guard.awake


def test_a_multilingual_model_and_an_unknown_one_have_no_guard(tmp_path: Path) -> None:
    """Only one language or two, and known, can be missed."""
    assert guard_of("cross-encoder/mmarco-mMiniLMv2-L12-H384-v1", tmp_path) is None
    assert guard_of("BAAI/bge-reranker-v2-m3", tmp_path) is None
    assert guard_of("somebody/unknown", tmp_path) is None


@installed
def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For one model, and everywhere; without the detector there is none."""
    assert guard_of("crossrank-mini", tmp_path) is not None
    with Reranker(language_guard=False) as reranker:
        assert reranker._opened().scorer.guard is None
    monkeypatch.setenv(language.VARIABLE, "off")
    assert guard_of("crossrank-mini", tmp_path) is None
    monkeypatch.delenv(language.VARIABLE)
    monkeypatch.setattr(language, "find_spec", lambda _: None)
    assert guard_of("crossrank-mini", tmp_path) is None


@pytest.mark.parametrize(
    ("card", "languages"),
    [
        ("---\nlanguage: de\n---\n# A model", {"de"}),
        ("---\nlanguage:\n- de\n- en\nlicense: mit\n---\n", {"de", "en"}),
        ("---\nlanguage:\n- en\n- multilingual\n---\n", set()),
        ("---\nlicense: mit\n---\n", set()),
        ("---\nlanguage: [\n---\n", set()),
        ("---\n- a list\n---\n", set()),
        ("---\nlanguage: de\n", set()),
        ("# A model", set()),
        ("", set()),
    ],
)
def test_the_languages_of_a_card(tmp_path: Path, card: str, languages: set[str]) -> None:
    """As its metadata list them; nothing from what lists none, or is broken."""
    (tmp_path / "README.md").write_text(card)
    assert card_languages(tmp_path) == languages


def test_no_card_says_nothing(tmp_path: Path) -> None:
    assert card_languages(tmp_path) == frozenset()
    assert BYTES_MIN > 0
