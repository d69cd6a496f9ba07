"""A model card from what was run: nothing in it is claimed that the run does not hold. It knows text only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossrank.train.config import TrainConfig
from crossrank.train.options import LossConfig, ModelConfig, NegativesConfig, TeacherConfig


@dataclass(frozen=True, slots=True)
class Told:
    """What a run knows at its end.

    Attributes:
        config: what was asked for.
        counts: by source: queries, documents, examples.
        pairs: pairs of query and document in all steps.
        device: what it ran on.
        machine: cores and memory.
        seconds: of the steps, without preparation.
        first: by set, the first stage's measure.
        last: by set, the model's measure.
        curve: (step, measures by set) on the way.
        versions: of packages.
    """

    config: TrainConfig
    counts: Mapping[str, tuple[int, int, int]]
    pairs: int
    device: str
    machine: str
    seconds: float
    first: Mapping[str, float]
    last: Mapping[str, float]
    curve: Sequence[tuple[int, Mapping[str, float]]]
    versions: Mapping[str, str]


def write_card(told: Told) -> str:
    """README.md with the hub's front matter."""
    model, train = told.config.model, told.config.train
    head = ["---", f"language: {model.language}", "pipeline_tag: text-ranking", "library_name: sentence-transformers"]
    head += [f"license: {model.licence}"] if model.licence else []
    head += [f"base_model: {model.base_name}"] if model.base_name else []
    head += ["tags: [cross-encoder, reranker, crossrank]", "---"]
    body = [
        f"# {model.name}",
        "",
        _first_sentence(model),
        "",
        "```python",
        "from crossrank import Reranker",
        "",
        'Reranker("path/to/this/folder").rank("who wrote it", ["a document", "another"])',
        "```",
        "",
        "## Evaluation",
        "",
        *_evaluation(told),
        "",
        "## Data",
        "",
        "| source | licence | queries | documents | examples | share |",
        "|---|---|---:|---:|---:|---:|",
        *_sources(told),
        "",
        _negatives(told.config.negatives),
        "",
        "## Training",
        "",
        _steps(told),
        f"- Loss: {_losses(told.config.losses)}.",
        *[f"- Teacher {_teacher(teacher)}." for teacher in told.config.teachers],
        *([f"- The weights are the mean of the last {train.average} checkpoints."] if train.average > 1 else []),
        *([f"- {model.base_note}"] if model.base_note else []),
        *([f"- Averaged with {', '.join(map(_short, model.average_with))}."] if model.average_with else []),
        f"- {_hours(told.seconds)} on {told.device} ({told.machine}), preparation not counted.",
        "- " + ", ".join(f"{name} {number}" for name, number in told.versions.items()) + ".",
        "",
        "## Limits",
        "",
        _limits(model),
        "",
    ]
    return "\n".join([*head, *body])


def _short(spec: str) -> str:
    """A folder's last two parts: where it lay is nobody's business."""
    return "/".join(Path(spec).parts[-2:])


def _first_sentence(model: ModelConfig) -> str:
    base = model.base_name or _short(model.base.removeprefix("package:"))
    return (
        "A cross-encoder that scores how well a document answers a query, trained with `crossrank train` from "
        f"`{base}`. Scores go through a sigmoid; weights are {model.precision}."
    )


def _steps(told: Told) -> str:
    model, train = told.config.model, told.config.train
    return (
        f"- {train.steps:,} steps of {train.queries_per_step} queries, {told.pairs:,} pairs in all, {model.max_length} "
        f"tokens a pair; AdamW, {train.learning_rate:g} at its peak, warm-up {train.warmup:g}, {train.schedule}, "
        f"weight decay {train.weight_decay:g}, gradient norm {train.clip:g}, dropout {train.dropout:g}, seed "
        f"{told.config.run.seed}."
    )


def _limits(model: ModelConfig) -> str:
    return (
        f"Trained on texts in {model.language!r}. A score is no probability unless it is calibrated on your own data. "
        f"Documents were cut while training where query and document had more than {model.max_length} tokens."
    )


def _evaluation(told: Told) -> list[str]:
    if not told.last:
        return ["None was run."]
    steps = [step for step, _ in told.curve]
    sets = {one.title: one for one in told.config.evaluate}
    lines = [
        "| set | measure | first stage | " + "".join(f"step {step:,} | " for step in steps) + "model |",
        "|---|---|---:|" + "---:|" * (len(steps) + 1),
    ]
    for name, value in told.last.items():
        one = sets[name]
        on_the_way = "".join(f"{measures.get(name, float('nan')):.4f} | " for _, measures in told.curve)
        asked = f"{one.candidates}, {one.depth} a query" + (f", first {one.limit} queries" if one.limit else "")
        lines.append(f"| {name} ({asked}) | {one.measure} | {told.first[name]:.4f} | {on_the_way}{value:.4f} |")
    return lines


def _sources(told: Told) -> list[str]:
    total = sum(examples for _, _, examples in told.counts.values()) or 1
    licences = {source.title: source.licence or "not stated" for source in told.config.sources}
    return [
        f"| {name} | {licences[name]} | {queries:,} | {documents:,} | {examples:,} | {examples / total:.1%} |"
        for name, (queries, documents, examples) in told.counts.items()
    ]


def _negatives(config: NegativesConfig) -> str:
    mined = f"{config.hard} hard (judged, or drawn from BM25's first {config.depth} within the source"
    mined += f", reordered by {config.ranker}" if config.ranker else ""
    drawn = f"{config.random} random ones" + (", relevant to other queries" if config.random_from == "relevant" else "")
    text = f"Each list holds up to {config.positives} relevant documents, {mined}) and {drawn}."
    if config.teacher:
        rules = [f"above the relevant one's less {config.margin:g}"] if config.margin is not None else []
        rules += [f"above {config.share:g} of the relevant one's"] if config.share is not None else []
        text += f" Mined documents that the teacher {config.teacher!r} scores {' or '.join(rules)} "
        text += "were dropped." if config.false == "drop" else "have no label; only the teacher's losses see them."
    return text


def _losses(losses: Sequence[LossConfig]) -> str:
    def one(loss: LossConfig) -> str:
        extra: list[Any] = [f"teacher {loss.teacher}"] if loss.teacher else []
        extra += [f"scale {loss.scale:g}"] if loss.scale != 1 else []
        extra += [f"temperature {loss.temperature:g}"] if loss.temperature != 1 else []
        return f"{loss.weight:g} x {loss.kind}" + (f" ({', '.join(extra)})" if extra else "")

    return " + ".join(one(loss) for loss in losses)


def _teacher(teacher: TeacherConfig) -> str:
    parts = [f"{part.weight:g} x {part.model or part.kind}" for part in teacher.parts]
    return f"{teacher.name}: " + " + ".join(parts).replace("package:", "")


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"
