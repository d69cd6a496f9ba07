"""docs/observability.md is true: its examples run, its tables have every field and every metric."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry

from crossrank import observe

TEXT = (Path(__file__).resolve().parent.parent / "docs" / "observability.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in row.split("|")[1:-1]] for row in re.findall(r"^\| `.*\|$", TEXT, re.MULTILINE)]


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    """In order, in one session; they end all that they began."""
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    for block in blocks:
        exec(compile(block, "docs/observability.md", "exec"), names)
    assert len(blocks) == 5
    out = capsys.readouterr().out
    assert "ModelOpened(model='crossrank-mini', backend='native'" in out
    assert "RankingDone(model='crossrank-mini', call='rank', documents=2, pairs=2" in out
    assert 'crossrank_documents_total{model="crossrank-mini"} 2.0' in str(names["page"])
    assert 'crossrank_models_opened_total{backend="native"' in str(names["page"])
    assert not observe.listening()


def test_the_table_has_every_event_with_its_fields() -> None:
    """In their order."""
    told = {row[0].strip("`"): re.findall(r"`(\w+)`", row[2]) for row in ROWS if "crossrank_" not in row[0]}
    assert told == {kind.__name__: [field.name for field in fields(kind)] for kind in get_args(observe.Event)}
    for line in re.findall(r"```json\n(.*?)\n```", TEXT, re.DOTALL):
        example = json.loads(line)
        assert list(example)[1:] == told[example["event"]]


def test_the_table_has_every_metric_with_its_labels() -> None:
    """As they are registered."""
    registry = CollectorRegistry()
    end = observe.to_prometheus(registry)
    there = {}
    for collector in registry._collector_to_names:
        (family,) = collector.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        there[name] = set(collector._labelnames)
    end()
    told = {row[0].strip("`"): set(row[1].split(", ")) for row in ROWS if "crossrank_" in row[0]}
    assert told == there
