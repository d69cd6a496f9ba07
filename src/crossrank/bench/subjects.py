"""What is measured: from models, devices and precisions to subjects, those of one model together.

It knows names and what is installed; it opens nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from crossrank.bench.shapes import SHAPES, TINY, Shape, checkpoint_of
from crossrank.checkpoint import hub
from crossrank.checkpoint.source import BUNDLED, locate
from crossrank.errors import UsageError
from crossrank.remote.names import is_remote

RUNNERS = "crossrank.bench.runners"
ALL = "all"  # precisions that the processor has
OURS, ST = "crossrank", "sentence-transformers"
RANDOM = "random weights"
OWN_MODELS = {"flashrank": "ms-marco-MiniLM-L-12-v2", "fastembed": "Xenova/ms-marco-MiniLM-L-6-v2"}


@dataclass(frozen=True, slots=True)
class Subject:
    """A model as one library runs it, on a device, in a precision.

    Attributes:
        by: the library, or "API".
        runner: the module of `runners` that opens it.
        options: what the runner is given beside the model.
        label: of device and precision as they were asked for, until it is known what they came to.
    """

    by: str
    runner: str
    options: Mapping[str, Any]
    label: str


@dataclass(frozen=True, slots=True)
class Group:
    """A model and all who run it: they are measured in turn, so that a busy moment meets all of them.

    Attributes:
        model: in tables.
        place: a folder, a name or a remote spec; a shape is written when it is its turn.
    """

    model: str
    place: str | Shape
    subjects: tuple[Subject, ...]

    @property
    def weights(self) -> str:
        """For tables: of an API, and of a folder, they are its own."""
        return RANDOM if isinstance(self.place, Shape) else "its own"

    @property
    def remote(self) -> bool:
        """Whether it is behind an API, of a vendor or of a server."""
        return isinstance(self.place, str) and is_remote(self.place)

    @property
    def billed(self) -> bool:
        """Whether asking it costs money: a vendor that is known by its address."""
        if not isinstance(self.place, str) or not self.remote:
            return False
        from crossrank.remote.vendors import VENDORS

        vendor = VENDORS.get(self.place.partition(":")[0])
        return vendor is not None and vendor.base_url is not None

    @contextmanager
    def opened(self) -> Iterator[str]:
        """The folder or name that runners are given."""
        if isinstance(self.place, Shape):
            with checkpoint_of(self.place) as folder:
                yield str(folder)
        else:
            yield self.place


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for.

    Attributes:
        models: "crossrank-mini", folders, names of the hub, remote specs.
        shapes: names of SHAPES; of a model that is in the hub's cache, its own weights are taken.
        precisions: as `Reranker` takes them, or "all".
        peers: whether other libraries that are installed are measured too.
        price: of remote models, in place of the table's: fields of `remote.Price`.
    """

    models: tuple[str, ...] = (BUNDLED,)
    shapes: tuple[str, ...] = tuple(SHAPES)
    devices: tuple[str, ...] = ("auto",)
    precisions: tuple[str, ...] = ("auto",)
    peers: bool = True
    threads: int | None = None
    allow_unverified: bool = False
    price: Mapping[str, float] | None = field(default=None)


def groups(wanted: Wanted) -> list[Group]:
    """In the order of the models; downloads what the hub's cache lacks.

    Raises:
        UsageError: an unknown shape.
        ModelError: a model cannot be had.
    """
    if unknown := set(wanted.shapes) - {*SHAPES, TINY.name}:
        raise UsageError(f"there is no shape {', '.join(map(repr, sorted(unknown)))}; there are {', '.join(SHAPES)}")
    found = [_model(model, wanted) for model in dict.fromkeys(wanted.models)]
    found += [_shape(SHAPES.get(name, TINY), wanted) for name in dict.fromkeys(wanted.shapes)]
    return [*found, *_with_own_models(wanted)] if wanted.peers else found


def _model(model: str, wanted: Wanted) -> Group:
    if is_remote(model):
        return Group(model, model, (Subject("API", f"{RUNNERS}.remote", {"price": wanted.price}, ""),))
    source = locate(model)
    name = Path(model).expanduser().resolve().name if source.name != BUNDLED and Path(model).is_dir() else source.name
    return Group(name, str(source.folder), tuple(_local(wanted)))


def _shape(shape: Shape, wanted: Wanted) -> Group:
    if hub.has(shape.known_as):
        return _model(shape.known_as, wanted)
    return Group(shape.name, shape, tuple(_local(wanted)))


def _local(wanted: Wanted) -> Iterator[Subject]:
    for device in wanted.devices:
        for precision in _precisions(wanted.precisions):
            options = {
                "device": device,
                "precision": precision,
                "threads": wanted.threads,
                "allow_unverified": wanted.allow_unverified,
            }
            yield Subject(OURS, f"{RUNNERS}.local", options, _label(device, precision))
        if wanted.peers and _installed("sentence_transformers"):
            for precision in _for_torch(wanted.precisions, device):
                options = {
                    "device": None if device == "auto" else device,
                    "precision": precision,
                    "threads": wanted.threads,
                }
                yield Subject(ST, f"{RUNNERS}.sentence_transformers", options, _label(device, precision))


def _with_own_models(wanted: Wanted) -> Iterator[Group]:
    """Libraries that run their own files only, where those have been downloaded: a benchmark downloads none."""
    for library, model in OWN_MODELS.items():
        if _installed(library) and _downloaded(library, model):
            subject = Subject(library, f"{RUNNERS}.{library}", {"threads": wanted.threads}, "")
            yield Group(model, model, (subject,))


def _precisions(asked: Sequence[str]) -> list[str]:
    from crossrank.engine.open import available_precisions

    named = [here for one in asked for here in (available_precisions()[1] if one == ALL else [one])]
    return list(dict.fromkeys(named))


def _for_torch(asked: Iterable[str], device: str) -> list[str]:
    """fp32, and a half precision where the device computes in it; of int8 there is none."""
    from crossrank.engine.open import available_precisions

    halves = ["bf16"] if device not in ("auto", "cpu") or "bf16" in available_precisions()[1] else []
    every = {"auto": ["fp32", *halves], ALL: ["fp32", *halves], "int8": []}
    return list(dict.fromkeys(here for one in asked for here in every.get(one, [one])))


def _label(device: str, precision: str) -> str:
    return " ".join(part for part in (device, precision) if part != "auto")


def _downloaded(library: str, model: str) -> bool:
    """Whether a library that keeps its files itself has the model."""
    if library == "flashrank":
        from flashrank.Config import default_cache_dir

        return (Path(default_cache_dir) / model).is_dir()
    from fastembed.common.utils import define_cache_dir

    return hub.has(model, "onnx/model.onnx", cache=str(define_cache_dir()))


def _installed(library: str) -> bool:
    return find_spec(library) is not None
