"""Which of a set's runs is its first stage, and what a run is called. It knows file names; not what is in the files."""

from pathlib import Path

ENDINGS = (".trec", ".trec.gz", ".run", ".run.gz")


def default_run(folder: Path, split: str) -> Path | None:
    """The run in `folder`/runs that is meant if none is named: the only one, else BM25's; None if that does not decide.

    Where there are runs named for the split (`NAME.<split>.trec`), only these count; those of other splits never do.
    """
    splits = {file.stem for file in (folder / "qrels").glob("*.tsv")} | {split}
    runs = sorted(file for file in (folder / "runs").glob("*") if file.name.endswith(ENDINGS))
    of_split = [run for run in runs if _stem(run).endswith(f".{split}")]
    runs = of_split or [run for run in runs if _stem(run).rpartition(".")[2] not in splits]
    exact = [run for run in runs if run_name(run, split).casefold() == "bm25"]
    alike = [run for run in runs if run_name(run, split).casefold().startswith("bm25")]
    return next((found[0] for found in (runs, exact, alike) if len(found) == 1), None)


def run_name(run: Path, split: str = "") -> str:
    """The file's name without its ending and its split: `BM25` of `BM25.test.trec.gz`."""
    return _stem(run).removesuffix(f".{split}")


def _stem(run: Path) -> str:
    ending = next((ending for ending in sorted(ENDINGS, key=len, reverse=True) if run.name.endswith(ending)), "")
    return run.name.removesuffix(ending)
