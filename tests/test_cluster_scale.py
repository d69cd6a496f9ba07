"""Jobs on a Ray cluster of several nodes: the bits of one process, whatever is killed; bad input is told in time."""

import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clusters import Dataset, Nodes, Score, cluster, driver, make_dataset, scores, write
from crossrank import Reranker
from crossrank.cluster import rank_dataset
from crossrank.errors import CrossrankError, InputFileError, UsageError

SOAKS = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
PAIRS = 1_000_000 if SOAKS else 100_000
ROUNDS = 20 if SOAKS else 5
NODES = 2  # of one CPU each; the head is a third, without any
BOUND_S = 600.0

pytestmark = [pytest.mark.scale, pytest.mark.timeout(7_200 if SOAKS else 900)]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with cluster(NODES) as made:
        yield made


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """For faults: some 30 partitions of a second or less."""
    return make_dataset(tmp_path_factory.mktemp("data") / "set", queries=600, depth=20, documents=2_000)


@pytest.fixture(scope="module")
def expected(dataset: Dataset) -> dict[int, Score]:
    with Reranker(cache=None, device="cpu") as ranker:
        return dataset.expected(ranker)


@contextmanager
def connection(nodes: Nodes, **options: object) -> Iterator[None]:
    """This process is a driver, by itself: `rank_dataset` takes the connection that there is."""
    import ray

    ray.init(nodes.address, log_to_driver=False, **options)
    try:
        yield
    finally:
        ray.shutdown()


def finished(process: "subprocess.Popen[str]") -> str:
    """What the command said, which ended well."""
    try:
        _, told = process.communicate(timeout=BOUND_S)
    finally:
        process.kill()
    assert process.returncode == 0, told
    return told


def test_many_short_pairs_get_the_bits_of_one_process(nodes: Nodes, tmp_path: Path) -> None:
    """From Parquet to Parquet on several nodes; the manifest adds up."""
    large = make_dataset(tmp_path / "set", queries=PAIRS // 100, depth=100, documents=PAIRS // 20, seed=1)
    finished(driver(large, tmp_path / "out", nodes.address))
    with Reranker(cache=None, device="cpu") as ranker:
        assert scores(tmp_path / "out") == large.expected(ranker)
    shown = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert shown["state"] == "complete"
    assert shown["totals"]["rows"] == shown["totals"]["scored"] == PAIRS
    assert len({entry["worker"] for entry in shown["entries"]}) == NODES


@pytest.mark.parametrize("round_", range(ROUNDS))
@pytest.mark.parametrize("victim", ["worker", "node", "driver"])
def test_whoever_is_killed_each_row_is_there_once_and_right(
    victim: str, round_: int, nodes: Nodes, dataset: Dataset, expected: dict[int, Score], tmp_path: Path
) -> None:
    """At a random moment after the first partition, a second one not excluded; a driver's job is gone on with."""
    chance = random.Random(f"{victim} {round_}")
    out = tmp_path / "out"
    process = driver(dataset, out, nodes.address, "--partition-rows", "400", "--scratch", str(tmp_path / "scratch"))
    for _ in range(chance.choice((1, 1, 2))):
        wait_for(out, process, chance.randrange(1, 20))
        if victim == "worker":
            kill_worker(chance)
        elif victim == "node":
            nodes.kill(chance.choice(nodes.nodes))
            nodes.add_one()
        else:
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=BOUND_S)
            options = ("--partition-rows", "400", "--scratch", str(tmp_path / "scratch"), "--resume")
            process = driver(dataset, out, nodes.address, *options)
    finished(process)
    assert scores(out) == expected
    assert json.loads((out / "manifest.json").read_text())["totals"]["rows"] == len(expected)


def wait_for(out: Path, process: "subprocess.Popen[str]", partitions: int) -> None:
    """Until so many partitions more are there than now, or the job has ended."""
    before = len(list(out.glob("scores/part-*")))
    ends = time.monotonic() + BOUND_S
    while len(list(out.glob("scores/part-*"))) < before + partitions and process.poll() is None:
        assert time.monotonic() < ends, "the job does nothing"
        threading.Event().wait(0.02)


def kill_worker(chance: random.Random) -> None:
    """One of the pool's actors, of this test's own cluster, as the kernel does when memory is short."""
    ours = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue
        if command.startswith(b"ray::") and b"MapWorker" in command and MARK.encode() in environment:
            ours.append(int(folder.name))
    if ours:
        os.kill(chance.choice(ours), signal.SIGKILL)


MARK = f"CROSSRANK_TEST={os.getpid()}"
os.environ["CROSSRANK_TEST"] = str(os.getpid())  # inherited by all processes of the cluster


def test_an_interrupted_command_says_how_to_go_on(nodes: Nodes, dataset: Dataset, tmp_path: Path) -> None:
    """Exit code 130, and with --resume nothing is done twice."""
    process = driver(dataset, tmp_path / "out", nodes.address, "--partition-rows", "400")
    wait_for(tmp_path / "out", process, 3)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=BOUND_S)
    assert process.returncode == 130, told
    assert "with --resume goes on" in told
    kept = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out" / "scores").glob("part-*")}
    assert kept
    finished(driver(dataset, tmp_path / "out", nodes.address, "--resume"))
    after = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out" / "scores").glob("part-*")}
    assert kept.items() <= after.items()


def test_bad_input_is_an_error_of_ours(nodes: Nodes, dataset: Dataset, tmp_path: Path) -> None:
    """Also where a worker is the first to see it: raised here, as what it is."""
    with connection(nodes):
        out = tmp_path / "out"
        queries, candidates, corpus = dataset.places
        write(tmp_path / "twice.jsonl", {"_id": ["d1", "d1"], "text": ["a", "b"]})
        with pytest.raises(InputFileError, match="'d1' stands a second time"):
            rank_dataset(queries, candidates, tmp_path / "twice.jsonl", tmp_path / "a", cpus_per_worker=1)
        write(tmp_path / "other.jsonl", {"_id": ["x"], "text": ["a"]})
        with pytest.raises(InputFileError, match=r"none of the 12,000 candidates .*: 12,000 missing_document"):
            rank_dataset(queries, candidates, tmp_path / "other.jsonl", tmp_path / "b", cpus_per_worker=1)
        with pytest.raises(CrossrankError, match="does not exist"):
            rank_dataset(queries, candidates, corpus, tmp_path / "c", model="/no/such/model", cpus_per_worker=1)
        (tmp_path / "more").mkdir()
        write(tmp_path / "more" / "a.parquet", {"query_id": ["q1", "q2"], "document_id": ["d1", "d1"]})
        write(tmp_path / "more" / "b.parquet", {"query_id": ["q3", "q1"], "document_id": ["d1", "d1"]})
        with pytest.raises(
            InputFileError, match=r"query 'q1' do not stand together: .*a\.parquet, row 0, .*b\.parquet"
        ):
            rank_dataset(queries, tmp_path / "more", corpus, tmp_path / "d", cpus_per_worker=1)
        (tmp_path / "more" / "b.parquet").unlink()
        write(tmp_path / "more" / "b.parquet", {"query": ["q3"], "document_id": ["d1"]})
        with pytest.raises(InputFileError, match=r"b\.parquet has no column for candidates\.query"):
            rank_dataset(queries, tmp_path / "more", corpus, tmp_path / "e", cpus_per_worker=1)
        (tmp_path / "more" / "b.parquet").unlink()
        totals = rank_dataset(queries, tmp_path / "more", corpus, out, cpus_per_worker=1)
        assert (totals.rows, totals.scored) == (2, 2)
        with pytest.raises(UsageError, match="Give --resume"):
            rank_dataset(queries, tmp_path / "more", corpus, out, cpus_per_worker=1)
        with pytest.raises(UsageError, match=r"settings\.top_k was null, is 1"):
            rank_dataset(queries, tmp_path / "more", corpus, out, cpus_per_worker=1, top_k=1, resume=True)
        assert rank_dataset(queries, tmp_path / "more", corpus, out, cpus_per_worker=1, resume=True) == totals
        with pytest.raises(UsageError, match="this process is connected to Ray at"):
            rank_dataset(queries, tmp_path / "more", corpus, out, address="127.0.0.1:1", overwrite=True)


def test_nodes_with_another_crossrank_are_refused(nodes: Nodes, dataset: Dataset, tmp_path: Path) -> None:
    """Named with their version; nothing is written."""
    skew = "import sys, types\nfake = types.ModuleType('crossrank')\nfake.__version__ = '0.0.9'\n"
    skew += "sys.modules['crossrank'] = fake\n"
    (tmp_path / "sitecustomize.py").write_text(skew)
    with (
        connection(nodes, runtime_env={"env_vars": {"PYTHONPATH": str(tmp_path)}}),
        pytest.raises(UsageError, match=r" has 0\.0\.9\. Install crossrank=="),
    ):
        rank_dataset(*dataset.places, tmp_path / "out", cpus_per_worker=1)
    assert not (tmp_path / "out").exists()


def test_what_answers_and_is_no_cluster_is_given_up_on(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a bound, where Ray itself would wait for minutes."""
    monkeypatch.setattr("crossrank.cluster.session.JOINED_S", 5.0)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(CrossrankError, match="is no Ray cluster"):
        rank_dataset(*dataset.places, tmp_path / "out", address=f"127.0.0.1:{silent.getsockname()[1]}")
