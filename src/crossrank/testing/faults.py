"""What a fake vendor does wrong when it is told to, and what it remembers of a request: values.

It knows no sockets.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from crossrank.wire import Call, Item


@dataclass(frozen=True)
class Fault:
    """What a `FakeVendor` does with one call instead of answering it rightly; `Fault()` is the right answer.

    Attributes:
        status: of the answer. From 400 on the body is an error in the vendor's own shape.
        headers: of the answer, beside or in place of its own.
        body: the bytes in place of the right ones.
        message: the vendor's words, of an error; by default those of the status.
        retry_after_s: seconds that the vendor asks to wait, as its header Retry-After.
        wait_s: seconds until it answers.
        drop: close the connection without an answer.
        hang: never answer; the connection stays open until the vendor is closed.
        trickle: send one byte of the answer, then nothing.
        cut: bytes of the body that are promised and not sent.
        change: from the right body to the one that is sent.
        items: from the right results to those that are sent.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    message: str = ""
    retry_after_s: float | None = None
    wait_s: float = 0.0
    drop: bool = False
    hang: bool = False
    trickle: bool = False
    cut: int = 0
    change: Callable[[bytes], bytes] | None = None
    items: Callable[[list[Item]], Iterable[Item]] | None = None


@dataclass(frozen=True)
class Request:
    """What came to a `FakeVendor`.

    Attributes:
        method: GET or POST.
        path: as it was asked for.
        headers: by their names in lower case; the key is in them.
        body: its bytes.
        call: what it asks, where it is a rerank call that the vendor understands.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    call: Call | None
