"""What the training tests share: a tiny base, a few triples, a small set in BEIR layout, and a config over them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossrank.testing import tiny_checkpoint
from crossrank.train import TrainConfig, read_config

TOPICS = ("fox", "dog", "zebra", "python", "darwin", "zurich")


def write_jsonl(file: Path, entries: list[Mapping[str, Any]]) -> Path:
    """JSON lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    return file


def write_triples(file: Path, count: int = 24) -> Path:
    """Queries about six topics, each with the document that names its number."""
    return write_jsonl(
        file,
        [
            {
                "query": f"what is {TOPICS[i % 6]} {i}",
                "positive": f"The {TOPICS[i % 6]} is number {i}. It lives here. It jumps over things all day.",
                "negatives": [f"The {TOPICS[(i + 1) % 6]} is another thing."],
            }
            for i in range(count)
        ],
    )


def write_set(folder: Path, *, split: str = "test") -> Path:
    """Six queries over six documents, each with one relevant, in BEIR layout."""
    write_jsonl(
        folder / "corpus.jsonl",
        [{"_id": f"d{i}", "title": t.upper(), "text": f"About the {t} and more."} for i, t in enumerate(TOPICS)],
    )
    write_jsonl(folder / "queries.jsonl", [{"_id": f"q{i}", "text": f"about {t}"} for i, t in enumerate(TOPICS)])
    (folder / "qrels").mkdir(exist_ok=True)
    lines = "".join(f"q{i}\td{i}\t1\nq{i}\td{(i + 1) % 6}\t0\n" for i in range(6))
    (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + lines, encoding="utf-8")
    return folder


CONFIG = """
[run]
output = "out"
[model]
base = "base"
max_length = 40
[train]
steps = 6
queries_per_step = 2
pairs_per_forward = 4
log_every = 1
save_every = 2
threads = 1
bf16 = "off"
[negatives]
hard = 2
random = 1
[[teachers]]
name = "words"
parts = [{ kind = "bm25" }]
[[losses]]
kind = "kl"
teacher = "words"
[[losses]]
kind = "bce"
weight = 0.5
[[sources]]
path = "triples.jsonl"
kind = "triples"
"""


def write_config(folder: Path, text: str = CONFIG) -> Path:
    """A config with the data and the base that it names."""
    if not (folder / "base").exists():
        tiny_checkpoint(folder / "base", hidden=16, layers=1, max_length=64)
    write_triples(folder / "triples.jsonl")
    # The base is seen from the working directory or the hub, so that the test gives it in full.
    text = text.replace('base = "base"', f'base = "{(folder / "base").as_posix()}"')
    file = folder / "config.toml"
    file.write_text(text, encoding="utf-8")
    return file


def config_of(folder: Path, text: str = CONFIG) -> TrainConfig:
    """The same, read."""
    return read_config(write_config(folder, text))
