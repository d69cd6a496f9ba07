"""Cores are found by their NUMA domains, and dealt out to replicas: every core once, neighbours together."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrank.engine.replicate import Where, on_cores, on_gpus
from crossrank.errors import UsageError
from crossrank.numa import Domain, dealt, domains

Machine = Callable[[Mapping[int, str], Mapping[int, str]], Path]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Writes what Linux would show of nodes (their cores) and of cores (their threads), and gives its folder."""

    def make(nodes: Mapping[int, str], siblings: Mapping[int, str]) -> Path:
        for node, cores in nodes.items():
            (tmp_path / "node" / f"node{node}").mkdir(parents=True)
            (tmp_path / "node" / f"node{node}" / "cpulist").write_text(f"{cores}\n")
        for core, threads in siblings.items():
            (tmp_path / "cpu" / f"cpu{core}" / "topology").mkdir(parents=True)
            (tmp_path / "cpu" / f"cpu{core}" / "topology" / "thread_siblings_list").write_text(f"{threads}\n")
        return tmp_path

    return make


def test_two_sockets_with_two_threads_a_core(machine: Machine) -> None:
    """Threads of one core are beside each other, so that no two replicas share a core."""
    siblings = {core: f"{core % 4},{core % 4 + 4}" for core in range(8)}
    system = machine({0: "0-1,4-5", 1: "2-3,6-7"}, siblings)
    found = domains(system, range(8))
    assert found == (Domain(0, (0, 4, 1, 5)), Domain(1, (2, 6, 3, 7)))
    assert [one.cores for one in dealt(found, 4)] == [(0, 4), (1, 5), (2, 6), (3, 7)]


def test_domains_have_only_cores_that_may_be_used(machine: Machine) -> None:
    """Neither memory without cores nor a domain that the process is kept off counts; ten comes after two."""
    system = machine({0: "0-3", 2: "4-7", 3: "", 10: "8-11"}, {})
    assert domains(system, [1, 3, 9]) == (Domain(0, (1, 3)), Domain(10, (9,)))


def test_a_machine_that_shows_nothing_is_one_domain(tmp_path: Path) -> None:
    """As in a container that hides it, and as elsewhere than on Linux."""
    assert domains(tmp_path, [2, 0]) == (Domain(0, (0, 2)),)


def test_this_machine_is_read() -> None:
    """The cores of its domains are those of the process's affinity."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    assert usable is None or {core for one in domains() for core in one.cores} == usable


@pytest.mark.property
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.data())
def test_every_core_is_dealt_once(sizes: list[int], data: st.DataObject) -> None:
    """To replicas that have one each at least, in one domain wherever there are as many replicas as domains."""
    cores = iter(range(sum(sizes)))
    found = [Domain(number, tuple(next(cores) for _ in range(size))) for number, size in enumerate(sizes)]
    replicas = data.draw(st.integers(1, sum(sizes)))
    groups = dealt(found, replicas)
    assert len(groups) == replicas
    assert all(group.cores for group in groups)
    assert [core for group in groups for core in group.cores] == list(range(sum(sizes)))
    if replicas >= len(found):
        assert all(set(group.cores) <= set(found[group.number].cores) for group in groups)
    assert replicas != len(found) or groups == found


def test_auto_is_one_a_domain() -> None:
    """With a thread a core of its own; threads that were asked for are shared out; one domain is one replica."""
    two = [Domain(0, (0,)), Domain(1, (1,))]
    assert [where.domain for where in on_cores("auto", 2, two, 2)] == [0, 1]
    assert on_cores("auto", 8, two, 2) == [Where("cpu", 4, 0, (0,)), Where("cpu", 4, 1, (1,))]
    assert on_cores("auto", 3, two[:1], 2) == [Where("cpu", 3)]
    wide = [Domain(0, (0, 1, 2)), Domain(1, (3,))]
    assert [where.threads for where in on_cores(2, None, wide, 4)] == [3, 1]
    assert [where.threads for where in on_cores(2, 1, wide, 4)] == [1, 1]
    assert len(on_cores("auto", None, wide, 1)) == 1  # a container that allows one core's worth of time


def test_more_replicas_than_there_is_room_for_are_refused() -> None:
    """On cores as on GPUs, with what there is; a GPU that was named is one."""
    with pytest.raises(UsageError, match="replicas=3: this process may use 2 cores"):
        on_cores(3, None, [Domain(0, (0, 1))], 2)
    with pytest.raises(UsageError, match=r"replicas=3: there are 2 GPUs.*device='cpu'"):
        on_gpus(3, 2)
    with pytest.raises(UsageError, match=r"device='cuda:1', which is one device. Give devices="):
        on_gpus(2, 2, "cuda:1")
    assert on_gpus("auto", 2) == on_gpus(2, 4, "cuda") == [Where("cuda:0"), Where("cuda:1")]
