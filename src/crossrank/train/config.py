"""A whole run as one frozen value, read from one TOML file; what contradicts itself across parts is refused here.

It knows keys and what they may be; not files of data, models or torch.
"""

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from crossrank.errors import InputFileError, UsageError
from crossrank.train.options import (
    GIVEN,
    EvaluateConfig,
    LossConfig,
    ModelConfig,
    NegativesConfig,
    RunConfig,
    SourceConfig,
    StepsConfig,
    TeacherConfig,
)
from crossrank.train.parse import build


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A whole run; see each part."""

    run: RunConfig
    model: ModelConfig
    train: StepsConfig
    sources: tuple[SourceConfig, ...]
    losses: tuple[LossConfig, ...] = (LossConfig(kind="bce"),)
    negatives: NegativesConfig = field(default_factory=NegativesConfig)
    teachers: tuple[TeacherConfig, ...] = ()
    evaluate: tuple[EvaluateConfig, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what contradicts itself across parts."""
        _check_whole(self)

    @property
    def output(self) -> Path:
        """The folder of the run."""
        return Path(self.run.output).expanduser()

    @property
    def cache(self) -> Path:
        """The folder of prepared data."""
        return Path(self.run.cache).expanduser() if self.run.cache else self.output / "prepared"

    def below_data(self, path: str) -> Path:
        """A path of the config, seen from the data root."""
        return Path(self.run.data).expanduser() / Path(path).expanduser()

    def replaced(
        self, *, output: str | None = None, steps: int | None = None, data: str | None = None
    ) -> "TrainConfig":
        """The same with another output folder, number of steps or data root; None leaves each as it is."""
        run = dataclasses.replace(self.run, output=output or self.run.output, data=data or self.run.data)
        if steps is not None and steps < 1:
            raise UsageError(f"steps must be at least 1, not {steps}.")
        return dataclasses.replace(
            self, run=run, train=dataclasses.replace(self.train, steps=steps or self.train.steps)
        )


def read_config(file: Path) -> TrainConfig:
    """The config in a TOML file; its `output`, `data`, `cache` and models `./...` are seen from the file's own folder.

    Raises:
        InputFileError: the file cannot be read or is no TOML.
        UsageError: a key or a value that cannot be taken, named with what is allowed.
    """
    try:
        given = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as exc:
        raise InputFileError(f"{file} cannot be read: {getattr(exc, 'strerror', None) or exc}.") from exc
    except tomllib.TOMLDecodeError as exc:
        raise InputFileError(f"{file} is no TOML: {exc}.") from None
    try:
        config = build(TrainConfig, given)
    except UsageError as exc:
        raise UsageError(f"{file}: {exc}") from None
    here = file.resolve().parent
    run = config.run
    cache = None if run.cache is None else str(here / Path(run.cache).expanduser())
    run = dataclasses.replace(
        run, output=str(here / Path(run.output).expanduser()), data=str(here / Path(run.data).expanduser()), cache=cache
    )
    model = dataclasses.replace(
        config.model,
        base=_seen_from(here, config.model.base),
        average_with=tuple(_seen_from(here, folder) for folder in config.model.average_with),
    )
    return dataclasses.replace(config, run=run, model=model)


def _seen_from(here: Path, spec: str) -> str:
    return str(here / spec) if spec.startswith(".") else spec


def _check_whole(config: TrainConfig) -> None:
    if not config.sources:
        raise UsageError("The config has no [[sources]]; there is nothing to train on.")
    if not config.losses:
        raise UsageError("losses is empty; leave it out for binary cross-entropy.")
    _check_unique("sources", [source.title for source in config.sources])
    _check_unique("evaluate", [one.title for one in config.evaluate])
    _check_teachers(config)
    trained = {(config.below_data(s.path).resolve(), s.split) for s in config.sources if s.kind == "beir"}
    for one in config.evaluate:
        if (config.below_data(one.path).resolve(), one.split) in trained:
            raise UsageError(
                f"{one.path}, split {one.split!r}, is under [[sources]] and under [[evaluate]]; a set that is trained "
                "on cannot measure. Give another split."
            )


def _check_teachers(config: TrainConfig) -> None:
    names = [teacher.name for teacher in config.teachers]
    _check_unique("teachers", names)
    for teacher in config.teachers:
        if not teacher.parts or teacher.name == GIVEN:
            raise UsageError(f"teachers: {teacher.name!r} needs parts, and a name other than {GIVEN!r}.")
        for part in teacher.parts:
            if (part.model is None) != (part.kind == "bm25"):
                rule = "takes no model." if part.kind == "bm25" else "needs a model."
                raise UsageError(f"teachers: a part of {teacher.name!r} of kind {part.kind!r} {rule}")
    for i, loss in enumerate(config.losses):
        if (loss.teacher is None) == (loss.kind in ("kl", "margin_mse")):
            lacks = f"needs a teacher: {', '.join([*names, GIVEN])}."
            raise UsageError(
                f"losses[{i}]: {loss.kind!r} {lacks if loss.teacher is None else 'follows labels; drop `teacher`.'}"
            )
        _check_known(f"losses[{i}].teacher", loss.teacher, [*names, GIVEN])
    filters = config.negatives
    _check_known("negatives.teacher", filters.teacher, names)  # not "given": mined documents have no given score
    if (filters.teacher is None) != (filters.margin is None and filters.share is None):
        raise UsageError("negatives: `teacher` and `margin` or `share` go together; they find false negatives.")


def _check_known(where: str, name: str | None, known: list[str]) -> None:
    if name is not None and name not in known:
        raise UsageError(f"{where} is {name!r}; the config's teachers are: {', '.join(known) or 'none'}.")


def _check_unique(where: str, names: list[str]) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(f"{where}: the name {min(twice)!r} stands there twice; set `name`.")
