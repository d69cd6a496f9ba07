"""A bounded client: so many connections, each with one call at a time, for so many seconds; latencies and throughput.

Raw sockets and bodies made beforehand: a client library would cost more than what is measured.
"""

import asyncio
import math
import socket
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle

CALL_S_MAX = 120.0


@dataclass(slots=True)
class Load:
    """What came of it.

    Attributes:
        connections: calls at a time.
        seconds: how long it took.
        latencies: seconds of each call that was answered with 200.
        refused: how many were answered otherwise.
        refusal_latencies: seconds of those.
    """

    connections: int
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    refused: int = 0
    refusal_latencies: list[float] = field(default_factory=list)

    @property
    def calls_a_second(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def quantile(self, share: float) -> float:
        """The latency that this share of the calls stayed below, in seconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")

    @property
    def median(self) -> float:
        return statistics.median(self.latencies) if self.latencies else float("nan")


def request_of(path: str, body: bytes) -> bytes:
    """The bytes of a call."""
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def load(
    port: int, requests: Sequence[bytes], connections: int, seconds: float, *, calls_a_second: float = math.inf
) -> Load:
    """Call a server on loopback with requests in turn, beginning anew when they are through.

    Args:
        port: of the server.
        requests: as `request_of` makes them.
        connections: calls at a time, at most.
        seconds: after which no more are begun.
        calls_a_second: begun at this pace, while there are connections; as fast as answers come by default.
    """
    return asyncio.run(_load(port, requests, connections, seconds, calls_a_second))


async def _load(port: int, requests: Sequence[bytes], connections: int, seconds: float, pace: float) -> Load:
    started = time.perf_counter()
    done, turn, until = Load(connections), _turns(requests, started, pace), started + seconds
    await asyncio.gather(*(_client(port, turn, until, done) for _ in range(connections)))
    done.seconds = time.perf_counter() - started
    return done


def _turns(requests: Sequence[bytes], started: float, pace: float) -> Iterator[tuple[float, bytes]]:
    """The requests, each with the time at which it is due."""
    for number, request in enumerate(cycle(requests)):
        yield started + number / pace, request


async def _client(port: int, turn: Iterator[tuple[float, bytes]], until: float, done: Load) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while time.perf_counter() < until:
            due, request = next(turn)
            await asyncio.sleep(min(due, until) - time.perf_counter())
            started = time.perf_counter()
            writer.write(request)
            async with asyncio.timeout(CALL_S_MAX):
                status, keep = await _answer(reader)
            passed = time.perf_counter() - started
            if status == 200:
                done.latencies.append(passed)
            else:
                done.refused += 1
                done.refusal_latencies.append(passed)
            if not keep:
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head[9:12]), b"connection: close" not in head


def answer_of(connection: socket.socket, request: bytes) -> bytes:
    """One call on an open connection, waited for in the caller's thread: the answer's body.

    Raises:
        OSError: it was refused, or the connection ended.
    """
    connection.sendall(request)
    with connection.makefile("rb") as answer:
        status = answer.readline()
        length = 0
        while (line := answer.readline()) not in (b"\r\n", b""):
            name, _, value = line.lower().partition(b":")
            length = int(value) if name == b"content-length" else length
        if b" 200 " not in status:
            raise OSError(f"a single call was answered with {status!r}")
        return answer.read(length)
