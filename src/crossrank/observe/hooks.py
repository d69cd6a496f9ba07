"""Who listens: hooks of this process, called with every event in the thread that it happened in.

It knows events; not what anyone does with them.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

from crossrank.observe.events import Event

log = logging.getLogger("crossrank.observe")

Unsubscribe = Callable[[], None]


class Hook(Protocol):
    """Whatever takes an event. It is called where the event happens: from several threads, and it returns at once."""

    def __call__(self, event: Event, /) -> Any:
        """Take note of the event; what it returns is not looked at."""
        ...


class _Subscription:
    """One hook's place, and whether it was ever found broken."""

    __slots__ = ("broken", "hook")

    def __init__(self, hook: Hook) -> None:
        self.hook = hook
        self.broken = False

    def take(self, event: Event) -> None:
        try:
            self.hook(event)
        except Exception:
            # A call must not fail because somebody counts it; a line an event would bury the log.
            if not self.broken:
                self.broken = True
                log.exception("the hook %r failed; it stays subscribed, and is not logged again", self.hook)


class _Hooks:
    """The subscriptions. Replaced as a whole, never changed, so that reading them needs no lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.subscriptions: tuple[_Subscription, ...] = ()

    def subscribe(self, hook: Hook) -> Unsubscribe:
        mine = _Subscription(hook)
        with self._lock:
            self.subscriptions = (*self.subscriptions, mine)

        def unsubscribe() -> None:
            with self._lock:
                self.subscriptions = tuple(one for one in self.subscriptions if one is not mine)

        return unsubscribe


_HOOKS = _Hooks()


def subscribe(hook: Hook) -> Unsubscribe:
    """Call `hook` with every event from now on; what comes back ends that, and may be called twice.

    A hook that raises breaks nothing: it is logged once, and goes on to be called.
    """
    return _HOOKS.subscribe(hook)


def listening() -> bool:
    """Whether anyone takes events: ask before collecting what only an event needs."""
    return bool(_HOOKS.subscriptions)


def emit(event: Event) -> None:
    """Give the event to every hook, in the order of their subscription."""
    for subscription in _HOOKS.subscriptions:
        subscription.take(event)
