"""What the options of `crossrank eval` stand for: the first stage, further runs, models and their names."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b, file_digest
from pathlib import Path

from crossrank import __version__
from crossrank.checkpoint.files import model_files
from crossrank.checkpoint.source import BUNDLED, locate
from crossrank.cli.progress import waiting
from crossrank.cli.spending import Spending, spending_told
from crossrank.collection import Collection, Run, read_run
from crossrank.collection.runs import default_run, run_name
from crossrank.errors import UsageError
from crossrank.evaluate.candidates import DEPTH, FirstStage, from_bm25, from_pool, from_run, has_pools
from crossrank.remote.names import is_remote
from crossrank.reranker import Reranker

CHOOSE = "--run, --pool or --bm25 choose another."


@dataclass(frozen=True, slots=True)
class Stage:
    """What was asked for as the first stage: at most one of the three; none leaves it to the set.

    Attributes:
        run: a file.
        pool: the judged documents.
        bm25: search the corpus.
    """

    run: Path | None
    pool: bool
    bm25: bool

    def open(self, collection: Collection, folder: Path | None, split: str, depth: int | None) -> FirstStage:
        """Its candidates; a note says what was chosen where nothing was asked for."""
        if self.run is not None:
            return _of_file(self.run, split, depth)
        if self.pool:
            return from_pool(collection, depth=depth)
        if self.bm25:
            return from_bm25(collection, depth=depth or DEPTH)
        if folder is not None and (run := default_run(folder, split)):
            note = f"First stage: {run.relative_to(folder)} of the set; {CHOOSE}"
            return replace(_of_file(run, split, depth), notes=(note,))
        if has_pools(collection):
            stage = from_pool(collection, depth=depth)
            note = f"First stage: the judged documents, as most queries have relevant ones and others; {CHOOSE}"
        else:
            stage = from_bm25(collection, depth=depth or DEPTH)
            note = f"First stage: BM25 over the corpus, as no run was given or found; {CHOOSE}"
        return replace(stage, notes=(note, *stage.notes))


def further_runs(files: Sequence[Path], split: str, taken: Sequence[str]) -> dict[str, Run]:
    """Runs by the names they get in the table."""
    runs: dict[str, Run] = {}
    for file in files:
        runs[_unique(run_name(file, split), [*taken, *runs], str(file))] = read_run(file)
    return runs


def labels(models: Sequence[str], taken: Sequence[str]) -> dict[str, str]:
    """Models by the names they get in the table: a folder's last part, if that tells it apart."""
    named: dict[str, str] = {}
    for model in models or (BUNDLED,):
        short = Path(model).expanduser().resolve().name if Path(model).is_dir() else model
        named[_unique(short, [*taken, *named], model)] = model
    return named


@dataclass(frozen=True, slots=True)
class Local:
    """Options about models on this machine; remote ones have none of them."""

    max_length: int | None
    threads: int | None
    device: str
    precision: str
    allow_unverified: bool = False

    def check(self, models: Sequence[str]) -> None:
        """Raise if one was given that no model has."""
        usual = {"max_length": None, "threads": None, "device": "auto", "precision": "auto", "allow_unverified": False}
        given = [f"--{name.replace('_', '-')}" for name, value in asdict(self).items() if value != usual[name]]
        if given and models and all(map(is_remote, models)):
            raise UsageError(f"{', '.join(given)}: for models on this machine, of which none is named.")


def _opened(model: str, local: Local, spending: Spending) -> Reranker:
    """The model, with a sign of life; without a cache, which would hide what ranking costs."""
    if is_remote(model):
        return Reranker(model, cache=None, **spending.options())
    here = model == BUNDLED or Path(model).is_dir()  # a download shows its own progress
    with waiting(f"Opening {model}") if here else nullcontext():
        return Reranker(model, cache=None, **asdict(local))


@contextmanager
def open_models(named: Mapping[str, str], local: Local, spending: Spending) -> Iterator[dict[str, Reranker]]:
    """The models by their labels, closed at the end; what was spent is told then."""
    with ExitStack() as stack:
        opened = {label: stack.enter_context(_opened(model, local, spending)) for label, model in named.items()}
        stack.enter_context(spending_told(opened))
        yield opened


def identity(model: str, max_length: int | None, ranker: Reranker, revision: str | None = None) -> str:
    """What the model's results depend on: its files, how texts are cut, what computes it, crossrank's version.

    Of a remote one it is who is asked, where, and how; not the version, for results are paid for.
    """
    facts = ranker.facts
    if is_remote(model):
        return repr(facts)
    folder = locate(model, revision=revision).folder
    computed_by = (facts.backend, facts.device, facts.precision)
    digest = blake2b(repr((__version__, max_length, computed_by)).encode(), digest_size=16)
    for file in model_files(folder, onnx=facts.backend == "onnx"):
        with file.open("rb") as content:
            digest.update(file.name.encode() + file_digest(content, "sha256").digest())
    return digest.hexdigest()


def measure_names(given: str) -> list[str]:
    """Names between commas; those within parentheses separate nothing."""
    return [name.strip() for name in re.split(r",(?![^(]*\))", given) if name.strip()]


def _of_file(file: Path, split: str, depth: int | None) -> FirstStage:
    shown = f"the first {depth or DEPTH} of {file.name}"
    return from_run(read_run(file), name=run_name(file, split), origin=shown, depth=depth or DEPTH)


def _unique(short: str, taken: Sequence[str], full: str) -> str:
    if short not in taken:
        return short
    name, number = full, 2
    while name in taken:
        name, number = f"{full} ({number})", number + 1
    return name
