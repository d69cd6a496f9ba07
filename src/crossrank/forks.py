"""Forks: a child finds nothing half changed, no lock held by a thread it lacks, and no file of its parent's.

Either a fork waits until nobody is at it (`quiet_at_forks`), or the child begins it anew (`in_children`).
It knows locks and os.fork; not who takes part.
"""

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Forkable(Protocol):
    """What takes part in forks. Its lock is held for a moment at a time, and never while another such lock is."""

    @property
    def lock(self) -> threading.Lock:
        """Held by whoever changes it."""
        ...

    def before_fork(self) -> None:
        """Let go of what a child must not share; called with the lock held, in the parent."""
        ...


_living: "weakref.WeakSet[Forkable]" = weakref.WeakSet()
_forking = threading.Lock()  # held while a fork goes on, and while one of the others changes
_held: list[Forkable] = []
_anew: "weakref.WeakKeyDictionary[Any, Callable[[Any], None]]" = weakref.WeakKeyDictionary()


def quiet_at_forks(one: Forkable) -> None:
    """Let forks wait until nobody is at it."""
    with _forking:
        _living.add(one)


def in_children(owner: T, begin_anew: Callable[[T], None]) -> None:
    """Have `begin_anew(owner)` called in each forked child, as long as the owner lives."""
    with _forking:
        _anew[owner] = begin_anew


def _before() -> None:
    _forking.acquire()
    for one in list(_living):
        one.lock.acquire()
        _held.append(one)
        one.before_fork()


def _after() -> None:
    """In parent and child alike: this thread is the one that holds the locks."""
    while _held:
        _held.pop().lock.release()
    _forking.release()


def _after_in_child() -> None:
    _after()
    for owner, begin_anew in list(_anew.items()):
        begin_anew(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
