"""What stands before every scoring path: the key, the limits of one call, and whether there is room for one more.

All is decided before any work starts. It knows requests, calls and numbers; not models, nor how answers are worded.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from crossrank.errors import OverloadError
from crossrank.server.http import Request
from crossrank.server.keys import Key, Keys
from crossrank.server.quota import Quotas
from crossrank.server.refusals import FORBIDDEN, INVALID, KEY, QUOTA, UNAVAILABLE, Refusal
from crossrank.server.settings import MB, Settings
from crossrank.wire import Call

CHARACTERS_A_TOKEN = 4
NOBODY = Key("", b"")  # who calls where no keys are set
RETRY_S = 1.0  # after which a call that found no room may come again
DRAINING_RETRY_S = 5.0
FORGETTING = 0.9  # of what is known of the speed, how much a new second of work leaves


@dataclass(slots=True)
class Room:
    """What one call takes of the server while it is there."""

    body: int = 0
    work: int = 0


@dataclass(slots=True)
class Pace:
    """How much work is done in a second while there is any: what has been done in it lately, over the time that took.

    Attributes:
        clock: seconds.
        done: characters, those of long ago counting less and less.
        busy_s: the seconds in which they were done, likewise.
        since: when the last work ended or began.
    """

    clock: Callable[[], float] = time.monotonic
    done: float = 0.0
    busy_s: float = 0.0
    since: float = 0.0

    def begin(self) -> None:
        """There is work, where there was none."""
        self.since = self.clock()

    def end(self, characters: int) -> None:
        """So much of it is done."""
        now = self.clock()
        passed, self.since = now - self.since, now
        kept = FORGETTING**passed
        self.done, self.busy_s = self.done * kept + characters, self.busy_s * kept + passed

    def wait_s(self, characters: int) -> float:
        """The seconds that so much work will take; 0 while that is not known."""
        return characters * self.busy_s / self.done if self.done and self.busy_s else 0.0


@dataclass(slots=True)
class Guard:
    """The keys, the limits and the room of one server process."""

    settings: Settings
    keys: Keys
    quotas: Quotas
    pace: Pace = field(default_factory=Pace)
    draining: bool = False
    calls: int = 0
    bodies: int = 0
    work: int = 0

    def who(self, headers: Mapping[bytes, bytes]) -> Key:
        """The key of a request.

        Raises:
            Refusal: 401, none or none that is known.
        """
        if not self.keys.keys:
            return NOBODY
        given = given_key(headers)
        found = None if given is None else self.keys.find(given)
        if found is None:
            what = "no api token was given" if given is None else "invalid api token"
            raise Refusal(401, KEY, f"{what}; send the header Authorization: Bearer KEY")
        return found

    @contextmanager
    def room(self) -> Iterator[Room]:
        """A place for one call; what it takes is given back at its end, however it ends.

        Raises:
            Refusal: 503, the server is stopping.
            OverloadError: too many are there already.
        """
        if self.draining:
            raise Refusal(503, UNAVAILABLE, "the server is stopping", retry_after_s=DRAINING_RETRY_S, close=True)
        if self.calls >= self.settings.calls_max:
            raise OverloadError(f"{self.calls} calls are being answered; no more are taken", retry_after_s=RETRY_S)
        room = Room()
        self.calls += 1
        done = 0
        try:
            yield room
            done = room.work
        finally:
            self.calls -= 1
            self.bodies -= room.body
            if room.work:
                self.pace.end(done)  # of what came to nothing only the time counts
                self.work -= room.work

    def keep(self, room: Room, size: int) -> None:
        """Keep so many more bytes of a body in memory.

        Raises:
            OverloadError: all bodies together are too much.
        """
        if self.bodies + size > self.settings.bodies_mb_max * MB:
            raise OverloadError("too much is being read already", retry_after_s=RETRY_S)
        room.body += size
        self.bodies += size

    def admit(self, call: Call, key: Key, room: Room, *, beside: int = 0, pairs: int | None = None) -> None:
        """Let a call begin, after everything that can be said against it.

        Args:
            call: what is asked.
            key: who asks.
            room: the call's place.
            beside: characters that are read beside the body's, where they are not one query for each document.
            pairs: what is taken of the key's quota, where that is not the number of documents.

        Raises:
            Refusal: too much in one call, or more than the key may send.
            OverloadError: it would have to wait for too long.
        """
        documents, settings = len(call.documents), self.settings
        if documents > settings.documents_max:
            raise Refusal.too_large(f"the call has {documents:,} documents; {settings.documents_max:,} are taken")
        work = room.body + (beside or len(call.query) * documents)
        if work > settings.tokens_max * CHARACTERS_A_TOKEN:
            raise Refusal.too_large(
                f"too many tokens: the call has about {work // CHARACTERS_A_TOKEN:,}, the query counted with each "
                f"document; {settings.tokens_max:,} are taken"
            )
        wait_s = self.pace.wait_s(self.work)
        if wait_s > settings.queue_s:
            raise OverloadError(
                f"about {wait_s:.0f} s of work are waiting; no more is taken above {settings.queue_s:g}",
                retry_after_s=wait_s - settings.queue_s,
            )
        if key.documents_per_minute is not None:
            missing_s = self.quotas.take(key.digest, pairs or documents, key.documents_per_minute)
            if missing_s is not None:
                raise Refusal(
                    429,
                    QUOTA,
                    f"the key may send {key.documents_per_minute:,} documents a minute, which are used up",
                    retry_after_s=missing_s,
                )
        if not self.work:
            self.pace.begin()
        room.work = max(1, work)
        self.work += room.work

    def check_type(self, request: Request) -> None:
        """Refuse what does not say it is JSON: a web page can send that anywhere without being asked whether it may.

        Raises:
            Refusal: 415.
        """
        said = request.headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
        if said != b"application/json" and not said.endswith(b"+json"):
            raise Refusal(415, INVALID, "the content-type must be application/json", close=True)


def check_model(key: Key, name: str) -> None:
    """Refuse a model that the key may not ask.

    Raises:
        Refusal: 403.
    """
    if key.models is not None and name not in key.models:
        raise Refusal(403, FORBIDDEN, f"the key may not ask {name!r}; it may ask {', '.join(sorted(key.models))}")


def given_key(headers: Mapping[bytes, bytes]) -> bytes | None:
    """The key in the headers: `Authorization: Bearer KEY`, or Pinecone's and Azure's `Api-Key: KEY`."""
    scheme, _, key = headers.get(b"authorization", b"").strip().partition(b" ")
    if scheme.lower() == b"bearer" and key.strip():
        return key.strip()
    return headers.get(b"api-key") or None
