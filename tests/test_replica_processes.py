"""Replicas in processes of their own: the same bits, whoever is killed; and no process outlives whom it works for."""

import asyncio
import json
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from crossrank import CrossEncoder, Reranker
from crossrank.backends.process import ProcessBackend
from crossrank.backends.replicas import Replicas
from crossrank.cli.main import cli, run
from crossrank.engine.open import _open_replica, open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair
from crossrank.engine.replicate import on_cores, replicated
from crossrank.engine.scorer import Scorer
from crossrank.errors import ReplicaError, UsageError, WeightsError
from crossrank.machine import usable_cores
from crossrank.numa import Domain
from crossrank.testing import write_safetensors
from forked import holds_in_a_child

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
pytestmark = pytest.mark.skipif(len(CORES) < 2, reason="needs two cores of Linux")
BOUND_S = 60  # no wait of a test may be longer
QUERY = "how do foxes jump"
DOCUMENTS = [f"the quick brown fox {i} jumps over the lazy dog " * (i % 5 + 1) for i in range(120)]


@pytest.fixture(scope="module")
def folder(checkpoint: Callable[..., Path]) -> str:
    return str(checkpoint("bert", hidden=48))


@pytest.fixture(scope="module")
def expected(folder: str) -> list[float]:
    """What one model says."""
    with Reranker(folder, cache=None) as reranker:
        return logits(reranker)


@pytest.fixture(scope="module")
def two(folder: str) -> Iterator[Reranker]:
    with Reranker(folder, cache=None, replicas=2) as reranker:
        yield reranker


def logits(reranker: Reranker) -> list[float]:
    return reranker.score([(QUERY, text) for text in DOCUMENTS], raw=True).tolist()


def processes(reranker: Reranker) -> list[int]:
    """Numbers of the processes that are its replicas now; waits while one is being replaced."""
    replicas = reranker._engine.scorer.backend
    assert isinstance(replicas, Replicas)
    while (changed := replicas._changed) and any(slot.opening for slot in replicas._slots):
        assert changed.wait(BOUND_S)
    return [slot.backend._process.pid for slot in replicas._slots]


def until(condition: Callable[[], object]) -> None:
    stop = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < stop
        time.sleep(0)


def zombies(numbers: Sequence[int]) -> list[int]:
    """Those of these processes of ours that ended and that nobody has waited for."""
    found = []
    for number in numbers:
        try:
            state, parent = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:  # nothing is left of it
            continue
        if int(parent) == os.getpid() and state == "Z":
            found.append(number)
    return found


def test_the_same_bits_as_one_model(two: Reranker, expected: list[float], folder: str) -> None:
    """Whatever else is in the batch; through every class that opens models."""
    assert logits(two) == expected
    assert [logits(two) for _ in range(3)] == [expected] * 3
    assert two.score([(QUERY, DOCUMENTS[7])], raw=True).tolist() == [expected[7]]
    threads = max(2, usable_cores())
    assert (two.facts.replicas, two.facts.threads, two.facts.device) == (2, threads, "cpu")
    assert repr(two).endswith(f"{threads} threads in 2 replicas)")
    one, both = CrossEncoder(folder), CrossEncoder(folder, replicas=2)
    pairs = [(QUERY, text) for text in DOCUMENTS]
    assert both.predict(pairs).tolist() == one.predict(pairs).tolist()


def test_both_have_a_share(two: Reranker) -> None:
    """Each process has computed some of it, on cores of its own."""
    used = [Path(f"/proc/{number}/stat") for number in processes(two)]
    before = [sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13])) for stat in used]
    until(
        lambda: (
            logits(two)
            and all(
                sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13])) > ticks
                for stat, ticks in zip(used, before, strict=True)
            )
        )
    )
    one, other = (os.sched_getaffinity(number) for number in processes(two))
    assert one
    assert other
    assert sorted([*one, *other]) == CORES


def test_each_domain_has_its_own_weights(
    folder: str, expected: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine of two domains: processes on their cores, and a packed file that each domain maps."""
    monkeypatch.setenv("CROSSRANK_CACHE", str(tmp_path))
    config = OpenConfig(folder, cache=None)
    scorer = open_scorer(config)
    files = set(tmp_path.glob("packed/*.weights"))
    wheres = on_cores("auto", None, [Domain(0, tuple(CORES[:1])), Domain(1, tuple(CORES[1:2]))], 2)
    opening = partial(partial, _open_replica, config, scorer.profile, Path(folder))
    both = replace(scorer, backend=replicated(opening, wheres))
    pairs = [Pair(QUERY, text) for text in DOCUMENTS]
    results = both.score(pairs).results
    assert [results[pair].logit for pair in pairs] == expected
    (other,) = set(tmp_path.glob("packed/*.weights")) - files
    assert other.stem.endswith("-1")
    for slot, mapped in zip(both.backend._slots, [files.pop(), other], strict=True):
        # The first to open a model packs in memory of its own, and leaves the file to those after it.
        maps = Path(f"/proc/{slot.backend._process.pid}/maps").read_text()
        assert (str(mapped) in maps) == (mapped != other)


@pytest.mark.parametrize("moment", ["idle", "at work"])
def test_a_killed_process_is_replaced(moment: str, two: Reranker, expected: list[float]) -> None:
    """What it was at is done again by another, and nobody notices."""
    before = processes(two)
    if moment == "idle":
        os.kill(before[0], signal.SIGKILL)
        assert logits(two) == expected
    else:
        with ThreadPoolExecutor(1) as pool, stopped(two, 0) as slot:
            asked = pool.submit(logits, two)
            until(lambda: slot.load)
            os.kill(before[0], signal.SIGKILL)
            assert asked.result(BOUND_S) == expected
    after = processes(two)
    assert after[0] != before[0]
    assert after[1] == before[1]
    assert logits(two) == expected
    assert zombies(before) == []


def test_a_second_death_over_the_same_work_is_an_error(
    two: Reranker, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names both replicas, their processes and what ended them; the next call is served."""
    replicas, before, over = two._engine.scorer.backend, processes(two), threading.Event()

    def reopen(number: int, opened: Callable[[int], object] = replicas._reopen) -> object:
        """Only then: the first one's successor might be there before its work is done again."""
        assert over.wait(BOUND_S)
        return opened(number)

    monkeypatch.setattr(replicas, "_reopen", reopen)
    with ThreadPoolExecutor(1) as pool, stopped(two, 0) as first, stopped(two, 1) as second:
        asked = pool.submit(two.rank, QUERY, DOCUMENTS[:1])  # too little to be shared
        until(lambda: first.load or second.load)
        one, other = (0, 1) if first.load else (1, 0)
        os.kill(before[one], signal.SIGKILL)
        until(lambda: (first, second)[other].load)
        os.kill(before[other], signal.SIGKILL)
        said = (
            rf"replica {other} \(process {before[other]}, cores .*killed by signal 9.*because replica {one} \(process"
        )
        with pytest.raises(ReplicaError, match=said):
            asked.result(BOUND_S)
    over.set()
    assert logits(two) == expected


@contextmanager
def stopped(reranker: Reranker, number: int) -> Iterator[object]:
    """Replica `number` takes what it is given and answers nothing, until it is killed, in the end at the latest."""
    process, slot = processes(reranker)[number], reranker._engine.scorer.backend._slots[number]
    handle = os.pidfd_open(process)
    os.kill(process, signal.SIGSTOP)
    try:
        yield slot
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)


def test_many_callers_while_processes_are_killed(two: Reranker, expected: list[float]) -> None:
    """Threads and event loops: each gets its own answers."""
    done, numbers = threading.Event(), []

    def ask(number: int) -> bool:
        pairs = [(QUERY, text) for text in DOCUMENTS[number:]]
        got = asyncio.run(two.ascore(pairs, raw=True)) if number % 2 else two.score(pairs, raw=True)
        return got.tolist() == expected[number:]

    def kill(number: int) -> bool:
        """One in the middle of something; when this is over it is replaced, and all that it was given is done again."""
        (slot, _), before = two._engine.scorer.backend._slots, processes(two)[0]
        numbers.append(before)
        until(lambda: done.is_set() or slot.load)
        os.kill(before, signal.SIGKILL)
        return ask(number) and processes(two)[0] != before and ask(number)

    with ThreadPoolExecutor(9) as pool:
        killed = pool.submit(lambda: [kill(number) for number in range(3)])
        asked = [pool.submit(ask, number % 100) for number in range(64)]
        try:
            assert all(one.result(BOUND_S) for one in asked)
        finally:
            done.set()
        assert all(killed.result(BOUND_S))
    assert logits(two) == expected
    assert len(numbers) == 3
    assert zombies(numbers) == []


def test_an_error_in_a_process_is_told_as_here(folder: str, tmp_path: Path) -> None:
    """Of the same class, in the same words; nothing is left running."""
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in Path(folder).iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    write_safetensors(broken / "model.safetensors", {})
    with pytest.raises(WeightsError) as here:
        Reranker(str(broken))
    with pytest.raises(WeightsError) as there:
        Reranker(str(broken), replicas=2)
    assert str(there.value) == str(here.value)


def test_what_is_no_error_of_ours_says_where_it_came_from() -> None:
    """A bug in a process has its traceback as a note."""
    with pytest.raises(ZeroDivisionError) as caught:
        ProcessBackend("replica 0", (), partial(divmod, 1, 0)).opened()
    assert "In a replica's process" in caught.value.__notes__[0]


def test_a_process_that_ends_by_itself_is_told() -> None:
    """With its exit code."""
    with pytest.raises(ReplicaError, match=r"replica 7 \(process \d+\) ended with code 3"):
        ProcessBackend("replica 7", (), partial(os._exit, 3)).opened()


def test_a_frozen_program_starts_no_processes(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be copies of itself, which do the same."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(UsageError, match="frozen program"):
        Reranker(folder, replicas=2)


def test_a_process_that_hangs_is_taken_for_dead() -> None:
    """After a time that no batch takes; it is killed."""
    replica = ProcessBackend("replica 3", (), partial(time.sleep, 600))
    replica._line.socket.settimeout(0.01)
    with pytest.raises(ReplicaError, match="said nothing for 1800 seconds"):
        replica.opened()
    assert replica._process.returncode == -signal.SIGKILL


def rank_in_child(reranker: Reranker) -> list[float]:
    return logits(reranker)


def test_copies_forks_and_spawned_processes_have_replicas_of_their_own(two: Reranker, expected: list[float]) -> None:
    """They score the same, and the parent's go on."""
    before = processes(two)
    with pickle.loads(pickle.dumps(two)) as copy:
        assert logits(copy) == expected
        assert not set(processes(copy)) & set(before)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply_async(rank_in_child, (two,)).get(timeout=BOUND_S) == expected

    def forked() -> bool:
        try:
            return logits(two) == expected and not set(processes(two)) & set(before)
        finally:
            two.close()

    busy = threading.Thread(target=logits, args=(two,))
    busy.start()  # a fork in the middle of something
    assert holds_in_a_child(forked)
    busy.join(BOUND_S)
    assert (processes(two), logits(two)) == (before, expected)


def test_a_scorer_without_a_scheduler_is_served_too(two: Reranker, expected: list[float]) -> None:
    """From several threads at a time."""
    scorer: Scorer = two._engine.scorer
    pairs = [Pair(QUERY, text) for text in DOCUMENTS]
    with ThreadPoolExecutor(4) as pool:
        for outcome in pool.map(scorer.score, [pairs] * 8, timeout=BOUND_S):
            assert [outcome.results[pair].logit for pair in pairs] == expected


def test_the_command_line_takes_replicas(folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer is the same; what cannot be taken is a mistake of the caller's."""
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(DOCUMENTS))

    def ranked(*options: str) -> tuple[int, str, str]:
        arguments = ["rank", QUERY, str(texts), "--model", folder, "--json", *options]
        code = run(lambda: cli.main(arguments, standalone_mode=False))
        return (code, *capsys.readouterr())

    one, two = ranked(), ranked("--replicas", "2")
    assert json.loads(two[1])["hits"] == json.loads(one[1])["hits"]
    for options, says in [
        (("--replicas", "two"), "'two' is neither a whole number nor auto"),
        (("--replicas", "0"), "replicas=0 is too small"),
        (("--devices", "cuda:0,cpu"), "several GPUs of CUDA"),
    ]:
        code, _, said = ranked(*options)
        assert code == 2
        assert says in said
