"""Instructions go where the model was trained to see them, or, when told so, before the query as text."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from crossrank import Reranker
from crossrank.cli.main import cli, run
from crossrank.engine.cache import MemoryCache
from crossrank.errors import QueryTooLongError, UnsupportedModelError, UsageError

DOCUMENTS = ["a fox", "a dog", "code of a fox"]
TASK = "Find code."


@pytest.fixture
def folder(checkpoint: Callable[..., Path]) -> str:
    return str(checkpoint("bert"))


def logits(reranker: Reranker, query: str, instruction: str | None = None) -> list[float | None]:
    return [
        hit.logit for hit in sorted(reranker.rank(query, DOCUMENTS, instruction=instruction), key=lambda h: h.index)
    ]


def test_the_prefix_is_a_line_before_the_query(folder: str) -> None:
    """Of the constructor, or of one call, which replaces it; both are what a caller would write into the query."""
    with (
        Reranker(folder, cache=None) as plain,
        Reranker(folder, instruction_mode="prefix") as prefix,
        Reranker(folder, instruction_mode="prefix", instruction=TASK) as always,
    ):
        expected = logits(plain, f"{TASK}\nfox")
        assert expected != logits(plain, "fox")
        assert logits(prefix, "fox", TASK) == logits(always, "fox") == expected
        assert logits(always, "fox", "Find dogs.") == logits(plain, "Find dogs.\nfox")
        assert logits(prefix, "fox") == logits(plain, "fox")
        assert always.score([("fox", document) for document in DOCUMENTS], raw=True).tolist() == expected
        ranking = next(iter(always.rank_many(["fox"], [DOCUMENTS])))
        assert [hit.logit for hit in sorted(ranking, key=lambda hit: hit.index)] == expected
        assert ranking.query == "fox"


def test_prepared_documents_serve_every_instruction(folder: str) -> None:
    """What is tokenised of them does not depend on it."""
    with Reranker(folder, instruction_mode="prefix", cache=None) as reranker:
        prepared = reranker.prepare([*DOCUMENTS, "fox"])
        for instruction in (None, TASK):
            told = reranker.rank("fox", prepared, instruction=instruction)
            assert told.scores == reranker.rank("fox", [*DOCUMENTS, "fox"], instruction=instruction).scores


@pytest.mark.parametrize("template", ["qwen3-reranker", "mxbai-rerank-v2"])
def test_prefix_is_text_for_models_with_a_prompt_too(template: str, checkpoint: Callable[..., Path]) -> None:
    """The authors' own instruction stays in its place, and a shared cache never takes one way for the other."""
    family = {"qwen3-reranker": "qwen3", "mxbai-rerank-v2": "qwen2"}[template]
    model = str(checkpoint(family, template=template, max_length=1024))
    cache = MemoryCache()
    options = {"template": template, "device": "cpu", "precision": "fp32", "cache": cache}
    with Reranker(model, **options) as native, Reranker(model, instruction_mode="prefix", **options) as prefix:
        asked = logits(native, "fox", TASK)
        told = prefix.rank("fox", DOCUMENTS, instruction=TASK)
        assert told.usage["cached"] == 0
        told_logits = [hit.logit for hit in sorted(told, key=lambda hit: hit.index)]
        assert told_logits != asked
        assert told_logits == pytest.approx(logits(native, f"{TASK}\nfox"), abs=1e-5)


def test_a_prefix_is_never_cut(folder: str) -> None:
    """Instruction and query together must leave room for a document, of a long one too."""
    with Reranker(folder, instruction_mode="prefix") as reranker:
        with pytest.raises(QueryTooLongError, match=r"'fox' with what stands around it has .* never cut"):
            reranker.rank("fox", DOCUMENTS, instruction="find code " * 40)
        (hit,) = reranker.rank("fox", ["The quick brown fox. " * 40], instruction=TASK)
        assert hit.tokens > 64
        assert not hit.truncated


def test_each_instruction_is_cached_for_itself(folder: str) -> None:
    """The same query and document with another instruction are scored anew."""
    with Reranker(folder, instruction_mode="prefix") as reranker:
        counts = [reranker.rank("fox", DOCUMENTS, instruction=i).usage["cached"] for i in (None, TASK, TASK, "x", None)]
    assert counts == [0, 0, 3, 0, 3]


def test_what_takes_no_instruction_says_so(folder: str) -> None:
    """The remedy is named: leave it out, or have it read as text."""
    with pytest.raises(UnsupportedModelError, match=r"takes no instruction.*instruction_mode='prefix'"):
        Reranker(folder, instruction=TASK)
    with Reranker(folder) as reranker, pytest.raises(UnsupportedModelError, match="takes no instruction"):
        reranker.rank("fox", DOCUMENTS, instruction=TASK)


@pytest.mark.parametrize("wrong", ["", " ", 7, "a\ud800"])
def test_what_is_no_instruction(folder: str, wrong: object) -> None:
    """An empty one, another type, broken Unicode: of the constructor as of a call."""
    with pytest.raises(UsageError, match=r"instruction (must be a text|holds a lone surrogate)"):
        Reranker(folder, instruction_mode="prefix", instruction=wrong)
    with Reranker(folder, instruction_mode="prefix") as reranker, pytest.raises(UsageError, match="instruction"):
        reranker.rank("fox", DOCUMENTS, instruction=wrong)


def test_an_unknown_mode(folder: str) -> None:
    with pytest.raises(UsageError, match=r"instruction_mode='text' is not available.*native, prefix"):
        Reranker(folder, instruction_mode="text")


def test_remote_models_have_their_own_way() -> None:
    """The options of the local engine are refused by name, not dropped."""
    for option, value in (("instruction_mode", "prefix"), ("max_chars", 400), ("aggregate", "first")):
        with pytest.raises(UsageError, match=option):
            Reranker("cohere:rerank-v3.5", api_key="k", **{option: value})


def test_the_command_line(folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Instructions, windows and characters, by options of the same names."""
    file = tmp_path / "documents.jsonl"
    long = {"by": {"name": "Ada"}, "body": "The quick brown fox. " * 40}
    file.write_text("".join(f"{json.dumps(line)}\n" for line in (long, {"by": {"name": "Bob"}, "body": "a fox"})))

    def hits(*options: str) -> list[dict[str, object]]:
        command = ["rank", "fox", str(file), "--model", folder, "--json", "--fields", "by.name,body", *options]
        assert run(lambda: cli.main(command, standalone_mode=False)) == 0
        return sorted(json.loads(capsys.readouterr().out)["hits"], key=lambda hit: hit["index"])

    usual = hits()
    assert usual[1]["text"] == "by.name: Bob\nbody: a fox"
    assert not usual[0]["truncated"]
    assert hits("--aggregate", "first")[0]["passage"][0] == 0
    assert hits("--aggregate", "first")[0]["truncated"]
    assert hits("--aggregate", "mean_top_2")[0]["logit"] < usual[0]["logit"]
    assert hits("--max-chars", "30")[0]["passage"] == [0, 28]
    told = hits("--instruction", TASK, "--instruction-mode", "prefix")
    assert told[1]["logit"] != usual[1]["logit"]
