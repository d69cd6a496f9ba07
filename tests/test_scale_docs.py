"""docs/scale.md is true: its tables are those of the script that makes them, its examples run."""

import json
import re
import sys
from pathlib import Path

import pytest

from scaling import free_port, local_spark, own_ray

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "scale.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"<!-- example: (\w+) -->\n```python\n(.*?)```", TEXT, re.DOTALL))
QUERY, DOCUMENTS = "who created python", ["Ruby is by Matz.", "Guido van Rossum created Python.", "Snakes eat mice."]


def test_the_tables_are_the_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python benchmarks/scale_model.py --write` would change nothing; the speeds it begins with are in the log."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import scale_model

    assert scale_model.filled(TEXT) == TEXT
    assert set(re.findall(r"<!-- model: (\w+) -->", TEXT)) == set(scale_model.TABLES)
    log = (ROOT / "benchmarks" / "LOG.md").read_text(encoding="utf-8")
    for precision, speeds in scale_model.MEASURED.items():
        for speed in speeds.values():
            table = rf"\| crossrank {precision} \| {precision} \| \d+ \| {speed:,} \|"
            line = rf": crossrank {precision} \| \d+ ms \({speed:,} pairs/s\) \|"
            assert re.search(f"{table}|{line}", log), (precision, speed)
    assert f"(best {100_000 * scale_model.TOKENISE_S:.2f})" in log
    del sys.modules["scale_model"]


def test_the_example_on_ray_is_five_lines() -> None:
    """At most, without blank ones."""
    assert set(EXAMPLES) == {"offline", "online", "spark"}
    for name in ("offline", "online"):
        assert len([line for line in EXAMPLES[name].splitlines() if line.strip()]) <= 5


@pytest.mark.scale
def test_the_examples_on_ray_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As written, but for the port."""
    serve = pytest.importorskip("ray.serve")
    monkeypatch.chdir(tmp_path)
    texts = dict(enumerate(DOCUMENTS))
    rows = {
        "queries": [{"id": "q", "text": QUERY}],
        "candidates": [{"query_id": "q", "document_id": number} for number in texts],
        "corpus": [{"id": number, "text": text} for number, text in texts.items()],
    }
    for name, lines in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    port = free_port()
    with own_ray():
        exec(compile(EXAMPLES["offline"], "docs/scale.md", "exec"), {})
        assert "scored=2" in capsys.readouterr().out
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        exec(compile(EXAMPLES["online"].replace("8000", str(port)), "docs/scale.md", "exec"), {})
        assert capsys.readouterr().out.endswith("[1, 0]\n")


@pytest.mark.scale
def test_the_example_in_spark_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the bundled model."""
    with local_spark(tmp_path) as spark:
        rows = [(QUERY, text, place) for place, text in enumerate(DOCUMENTS)]
        names = {"pairs": spark.createDataFrame(rows, "query string, document string, place int")}
        exec(compile(EXAMPLES["spark"], "docs/scale.md", "exec"), names)
        assert names["scored"].count() == 3  # type: ignore[attr-defined]
    assert re.search(r"Guido van Rossum created Python\. *\|1 ", capsys.readouterr().out)
