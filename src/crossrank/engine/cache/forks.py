"""Caches and forks: a child finds nothing half changed, no lock held by a thread it lacks, and no file of its parent's.

It knows locks and os.fork; not what is cached.
"""

import os
import threading
import weakref
from typing import Protocol


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
_forking = threading.Lock()  # held while a fork goes on, and while `_living` changes
_held: list[Forkable] = []


def quiet_at_forks(cache: Forkable) -> None:
    """Let forks wait until nobody is at the cache."""
    with _forking:
        _living.add(cache)


def _before() -> None:
    _forking.acquire()
    for cache in list(_living):
        cache.lock.acquire()
        _held.append(cache)
        cache.before_fork()


def _after() -> None:
    """In the parent and in the child, where this thread is the one that holds the locks."""
    while _held:
        _held.pop().lock.release()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
