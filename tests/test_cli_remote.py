"""`crossrank rank` and `crossrank eval` with remote models: what may be spent, what was, and nothing paid for twice."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crossrank.cli.main import cli, run
from crossrank.remote.vendors import VENDORS
from crossrank.testing import FakeVendor, Fault
from terminal import Terminal

MODEL = "cohere:rerank-v3.5"
PRICE = ("--price", "units=2.00")
RESULT = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVendor]:
    """Cohere, as far as the environment knows."""
    with FakeVendor("cohere", key="k") as server:
        monkeypatch.setenv("COHERE_API_KEY", "k")
        monkeypatch.setenv("CO_API_URL", server.url)
        yield server


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    file = tmp_path / "docs.txt"
    file.write_text("zebra\nwho\nwho created python\n")
    return file


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Three queries with two judged documents each."""
    folder = tmp_path / "set"
    (folder / "qrels").mkdir(parents=True)
    lines = [f'{{"_id": "d{i}", "text": "{text}"}}' for i, text in enumerate(["ab", "cd", "ef", "xx"])]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    queries = [f'{{"_id": "q{i}", "text": "{text}"}}' for i, text in enumerate(["ab", "cd", "ef"])]
    (folder / "queries.jsonl").write_text("\n".join(queries))
    judged = "\n".join(f"q{i}\td{i}\t1\nq{i}\td3\t0" for i in range(3))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}\n")
    return folder


@pytest.fixture
def crossrank(capsys: pytest.CaptureFixture[str]) -> RESULT:
    """Runs a command: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run(lambda: cli.main([*map(str, arguments)], standalone_mode=False))
        return code, *capsys.readouterr()

    return call


def test_what_was_used_is_told_at_the_end(server: FakeVendor, documents: Path, crossrank: RESULT) -> None:
    """On stderr; as dollars where a price is known; also of a failure."""
    code, out, err = crossrank("rank", "who", documents, "--model", MODEL, *PRICE)
    assert (code, out.split("\t")[2], err) == (0, "1", f"{MODEL}: 1 request, 1 search unit, 30 tokens, about $0.0020\n")
    _, _, err = crossrank("rank", "who", documents, "--model", MODEL, "--json")
    assert err == f"{MODEL}: 1 request, 1 search unit, 30 tokens, its price is not known (--price gives one)\n"
    server.faults.append(Fault(status=400))
    code, _, err = crossrank("rank", "who", documents, "--model", MODEL, *PRICE)
    assert code == 1
    assert err.startswith(f"{MODEL}: nothing was billed\n")
    assert "Cohere answered 400" in err


def test_nothing_is_sent_beyond_max_cost(server: FakeVendor, documents: Path, crossrank: RESULT) -> None:
    """Not even once; what it would have cost is said."""
    code, out, err = crossrank("rank", "who", documents, "--model", MODEL, *PRICE, "--max-cost", "0.0019")
    assert (code, out) == (1, "")
    assert "of a budget of 0.0019; this query would take about 0.0020 more, and is not sent" in err
    assert not server.requests
    assert crossrank("rank", "who", documents, "--model", MODEL, *PRICE, "--max-cost", "0.0021")[0] == 0
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--max-cost", "1"], "are for remote models"),
        (["--model", MODEL, "--max-cost", "0"], "0"),
        (["--model", MODEL, "--max-cost", "1"], "or --price"),
        (["--model", MODEL, "--price", "2.5"], "units=DOLLARS"),
        (["--model", MODEL, "--price", "units=x"], "units=DOLLARS"),
        (["--model", MODEL, "--price", "tokens=-1"], "units=DOLLARS"),
        (["--model", MODEL, "--price", "tokens=nan"], "units=DOLLARS"),
    ],
)
def test_mistakes_are_told_before_anything_is_sent(
    server: FakeVendor, documents: Path, crossrank: RESULT, options: list[str], words: str
) -> None:
    """With the remedy, and exit code 2."""
    code, out, err = crossrank("rank", "who", documents, *options)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
    assert not server.requests


@pytest.mark.parametrize("vendor", ["nim", "tei", "vllm", "vllm-score", "infinity", "llamacpp", "crossrank"])
def test_a_server_of_ones_own_is_named_by_its_variable(
    vendor: str, documents: Path, crossrank: RESULT, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As no option gives its address; without it, the error names the variable."""
    variable = VENDORS[vendor].url_variable
    assert variable is not None
    monkeypatch.delenv(variable, raising=False)
    code, _, err = crossrank("rank", "who", documents, "--model", f"{vendor}:m")
    assert code == 2
    assert f"set {variable}=http://host:port" in err
    with FakeVendor(vendor) as server:
        monkeypatch.setenv(variable, server.url)
        code, out, err = crossrank("rank", "who", documents, "--model", f"{vendor}:m")
    assert (code, out.split("\t")[2]) == (0, "1"), err


def test_a_table_of_a_server_that_counts_no_tokens(documents: Path) -> None:
    """Has no word of them, and bars of the scores where there are no logits."""
    with FakeVendor("tei", pages={"/info": {"max_client_batch_size": 32}}) as server:
        code, written = Terminal("rank", "who", str(documents), "--model", server.url, columns=80).end()
    assert code == 0
    assert "tokens" not in written
    assert "█" in written
    assert "3 of 3 documents" in written


def test_a_remote_model_is_evaluated(server: FakeVendor, collection: Path, crossrank: RESULT) -> None:
    """With its cost in the table and in the JSON document; beside a local one, where the column is empty."""
    code, out, err = crossrank(
        "eval", collection, "--model", MODEL, "--model", "crossrank-mini", *PRICE, "--threads", "1"
    )
    assert code == 0, err
    assert "dollars (estimate)" in out
    assert re.search(rf"{MODEL} .* 0\.0060$", out, re.MULTILINE)
    assert err == f"{MODEL}: 3 requests, 3 search units, 60 tokens, about $0.0060\n"
    _, out, _ = crossrank("eval", collection, "--model", MODEL, *PRICE, "--json")
    speed = json.loads(out)["rows"][-1]["speed"]
    assert speed["cost_usd"] == pytest.approx(0.006)
    _, out, _ = crossrank("eval", collection)
    assert "dollars" not in out


def test_what_was_ranked_is_never_paid_for_again(
    server: FakeVendor, collection: Path, tmp_path: Path, crossrank: RESULT
) -> None:
    """A budget ends it, a second run goes on, a third asks nothing; the table has the cost of all."""
    kept = ("--out", tmp_path / "results", "--model", MODEL, *PRICE)
    code, _, err = crossrank("eval", collection, *kept, "--max-cost", "0.005")
    assert code == 1
    assert "0.0040 dollars are spent" in err
    assert f"{MODEL}: 2 requests, 2 search units, 40 tokens, about $0.0040" in err
    code, out, err = crossrank("eval", collection, *kept, "--max-cost", "0.003")
    assert (code, len(server.calls)) == (0, 3)
    assert "1 request, 1 search unit, 20 tokens, about $0.0020" in err
    assert "0.0060" in out
    code, again, err = crossrank("eval", collection, *kept)
    assert (code, len(server.calls)) == (0, 3)
    assert f"{MODEL}: nothing was billed\n" in err
    assert again == out


def test_results_belong_to_who_was_asked(
    server: FakeVendor, collection: Path, tmp_path: Path, crossrank: RESULT, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another address is another ranker, whose results are not mixed in."""
    kept = ("--out", tmp_path / "results", "--model", MODEL)
    assert crossrank("eval", collection, *kept)[0] == 0
    with FakeVendor("cohere", key="k") as other:
        monkeypatch.setenv("CO_API_URL", other.url)
        code, _, err = crossrank("eval", collection, *kept)
        assert (code, len(other.calls)) == (2, 0)
    assert f"results of another {MODEL}" in err


def test_a_budget_is_of_all_models_together(server: FakeVendor, collection: Path, crossrank: RESULT) -> None:
    """The second may spend what the first has left."""
    two = ("--model", MODEL, "--model", "cohere:rerank-v4.0-pro")
    code, _, err = crossrank("eval", collection, *two, *PRICE, "--max-cost", "0.009")
    assert (code, len(server.calls)) == (1, 4)
    assert "0.0080 dollars are spent" in err


def test_options_of_this_machine_need_a_model_on_it(server: FakeVendor, collection: Path, crossrank: RESULT) -> None:
    """They would silently do nothing."""
    code, _, err = crossrank("eval", collection, "--model", MODEL, "--threads", "2", "--max-length", "99")
    assert (code, server.requests) == (2, [])
    assert "--max-length, --threads: for models on this machine" in err
