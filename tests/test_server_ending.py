"""How a server's processes begin and end: signals, workers that die, keys that change; in processes of their own."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest

from crossrank.server.settings import MB

HERE = Path(__file__).parent
WAIT_S = 60.0
LONG_S = 1_000  # for calls to end in, where a test says when they do
TICK_S = 0.02
NEVER = threading.Event()  # other processes tell nobody when they are so far: they are looked at


def until(true: Callable[[], Any], what: str) -> Any:
    """Wait, within a bound, until something is so; what it gave."""
    end = time.monotonic() + WAIT_S
    while not (found := true()):
        assert time.monotonic() < end, f"{what} did not happen"
        NEVER.wait(TICK_S)
    return found


def command_of(pid: int) -> bytes:
    """What a process was started as; nothing of one that has ended, whether somebody has waited for it or not."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


class Process:
    """A server in a process; killed at the end of the `with` if it is still there."""

    def __init__(self, folder: Path, *settings: str, environ: dict[str, str] | None = None) -> None:
        self.folder = folder
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "serve_slowly.py"), str(folder), "port=0", *settings],
                stderr=log,
                env={**os.environ, **(environ or {})},
            )

    @property
    def port(self) -> int:
        address = self.folder / "address"
        return urlsplit(until(lambda: address.exists() and address.read_text(), "listening")).port

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines that are written to their end."""
        lines = (self.folder / "log").read_text().rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def said(self, message: str) -> int:
        """How many lines of the log say it."""
        return sum(message in line["message"] for line in self.log)

    def __enter__(self) -> Self:
        try:
            until(lambda: self.ask("GET", "/ready")[0] == 200, "being ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        workers = self.workers()
        self.process.kill()  # first, or it would start others
        self.process.wait()
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def ask(self, method: str, path: str, body: Any = None, key: str | None = None) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of an answer; status 0 where there is none."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            said = answer.read()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, json.loads(said or b"null")
        except (OSError, HTTPException):
            return 0, {}, None
        finally:
            connection.close()

    def rank(self, query: str = "q", *, key: str | None = None) -> tuple[int, dict[str, str], Any]:
        return self.ask("POST", "/crossrank/v1/rank", {"query": query, "documents": ["a"]}, key)

    def pid(self) -> int:
        """The process that answered a call; 0 where none did."""
        status, _, said = self.rank()
        return said["hits"][0]["tokens"] if status == 200 else 0

    def workers(self) -> list[int]:
        """The worker processes that live."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        return [pid for pid in found if b"spawn_main" in command_of(pid)]

    def two_workers(self) -> list[int]:
        """Both, once there are two."""
        return until(lambda: len(found := self.workers()) == 2 and found, "two workers")

    def came(self) -> None:
        until((self.folder / "came").exists, "a call")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_ends_it_when_all_is_answered(number: signal.Signals, workers: int, folder: Path) -> None:
    """What is in progress is finished; what comes is told to go elsewhere; then it exits with 0."""
    with Process(folder, f"workers={workers}", f"shutdown_s={LONG_S}") as server, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.rank, "wait")
        server.came()
        server.process.send_signal(number)
        until(lambda: server.ask("GET", "/ready")[0] in (503, 0), "draining")
        if workers == 1:
            status, headers, said = server.rank()
            assert (status, said["error"]["code"], headers["connection"]) == (503, "unavailable", "close")
            assert int(headers["retry-after"]) >= 1
            assert server.ask("GET", "/health")[0] == 200
        assert server.process.poll() is None
        (folder / "go").touch()
        assert waiting.result()[0] == 200
        assert server.process.wait(WAIT_S) == 0
    assert server.log[-1]["message"] == "stopped"


def test_calls_in_progress_get_their_time_and_no_more(folder: Path) -> None:
    """After it they are answered with 503, and it exits with 0."""
    with Process(folder, "shutdown_s=0.3", f"last_s={WAIT_S}") as server, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.rank, "wait")
        server.came()
        server.process.terminate()
        assert waiting.result()[0] == 503
        assert server.process.wait(WAIT_S) == 0


def test_a_second_signal_ends_it_at_once(folder: Path) -> None:
    """Whatever is in progress."""
    with Process(folder, f"shutdown_s={LONG_S}") as server, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.rank, "block")
        server.came()
        server.process.terminate()
        until(lambda: server.ask("GET", "/ready")[0] == 503, "draining")
        server.process.terminate()
        assert server.process.wait(WAIT_S) == 1
        assert waiting.result()[0] == 0


def test_a_worker_that_dies_is_replaced(folder: Path) -> None:
    """Killed from outside, or by what it does; the others go on, and the new one listens on the same port."""
    with Process(folder, "workers=2") as server:
        before = server.two_workers()
        os.kill(min(before), signal.SIGKILL)
        until(lambda: len(server.workers()) == 2 and min(before) not in server.workers(), "a new worker")
        until(server.pid, "an answer")
        assert server.rank("die")[0] == 503
        until(lambda: len(server.workers()) == 2 and server.pid(), "another new worker")
        server.process.terminate()
        assert server.process.wait(WAIT_S) == 0
    assert server.said("a worker died") == 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_call_of_a_worker_that_dies_gets_503(number: signal.Signals, folder: Path) -> None:
    """Not a broken connection: with Retry-After, so that clients send it again. Idle connections are closed."""
    with Process(folder, "workers=2") as server, ThreadPoolExecutor(1) as pool:
        workers = server.two_workers()
        idle = [HTTPConnection("127.0.0.1", server.port, timeout=WAIT_S) for _ in range(4)]
        for connection in idle:
            connection.request("GET", "/health")
            assert connection.getresponse().read() == b'{"status":"ok"}'
        waiting = pool.submit(server.rank, "wait")
        server.came()
        for pid in workers:
            os.kill(pid, number)
        status, headers, said = waiting.result()
        assert (status, headers["retry-after"], said["error"]["code"]) == (503, "1", "unavailable")
        for connection in idle:
            assert connection.sock.recv(100) == b""
            connection.close()
        assert until(server.pid, "an answer of a new worker") not in workers


def test_both_signals_reach_all_workers(folder: Path) -> None:
    """A second one ends them, too."""
    with Process(folder, "workers=2", f"shutdown_s={LONG_S}") as server, ThreadPoolExecutor(1) as pool:
        workers = server.two_workers()
        waiting = pool.submit(server.rank, "block")
        server.came()
        server.process.terminate()
        until(lambda: server.ask("GET", "/ready")[0] in (503, 0), "draining")
        server.process.terminate()
        assert server.process.wait(WAIT_S) == 0
        assert waiting.result()[0] == 503
        assert not any(map(command_of, workers))


def test_signals_to_all_processes_of_a_server_are_one(folder: Path) -> None:
    """As a terminal and systemd send them: what is in progress is finished all the same."""
    with Process(folder, "workers=2") as server, ThreadPoolExecutor(1) as pool:
        server.two_workers()
        waiting = pool.submit(server.rank, "wait")
        server.came()
        for pid in [*server.workers(), server.process.pid]:
            os.kill(pid, signal.SIGTERM)
        until(lambda: server.ask("GET", "/ready")[0] in (503, 0), "draining")
        (folder / "go").touch()
        assert waiting.result()[0] == 200
        assert server.process.wait(WAIT_S) == 0


def test_a_worker_that_starts_does_not_die_of_what_is_meant_for_all(folder: Path) -> None:
    """A terminal sends its signals to every process of a server: one that cannot obey yet is not ended by them."""
    server = Process(folder, "workers=2")
    try:
        first = until(server.workers, "a worker")[0]
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(first, number)
        with server:
            until(lambda: server.said("ready") == 2, "both workers")
            assert first in server.two_workers()
            assert server.said("a worker died") == 0
    finally:
        server.__exit__()


def test_workers_do_not_outlive_who_watches_them(folder: Path) -> None:
    """When that is killed they end, after what is in progress."""
    with Process(folder, "workers=2") as server:
        workers = server.two_workers()
        until(server.pid, "an answer")
        server.process.kill()
        server.process.wait()
        until(lambda: not any(map(command_of, workers)), "the workers' end")


@pytest.mark.parametrize("workers", [1, 2])
def test_keys_change_on_sighup(workers: int, folder: Path) -> None:
    """The new one is taken and the old one refused; a file that is wrong changes nothing."""
    keys = folder / "keys"
    keys.write_text("old\n")
    with Process(folder, f"workers={workers}", f"api_key_file={keys}") as server:
        until(lambda: server.said("ready") == workers, "all workers")
        assert server.rank(key="old")[0] == 200
        keys.write_text("new\n")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.said("a model was reloaded") == workers, "all workers' new keys")
        assert all(server.rank(key="old")[0] == 401 and server.rank(key="new")[0] == 200 for _ in range(8))
        keys.write_text("")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.said("the old ones stay") == workers, "all workers' complaint")
        assert all(server.rank(key="new")[0] == 200 for _ in range(8))


def test_workers_share_quotas_and_metrics(folder: Path) -> None:
    """A key's documents are counted once, whoever answers; any worker tells what all have counted."""
    environ = {"CROSSRANK_API_KEY": "k"}
    with Process(folder, "workers=2", "documents_per_minute=10", environ=environ) as server:
        server.two_workers()
        started = time.monotonic()
        statuses = [server.rank(key="k")[0] for _ in range(20)]
        filled = (time.monotonic() - started) / 60 * 10  # of the ten documents a minute, while they were asked
        assert 10 <= statuses.count(200) <= min(19, 10 + filled)
        assert statuses.count(429) == 20 - statuses.count(200)
        connection = HTTPConnection("127.0.0.1", server.port, timeout=WAIT_S)
        connection.request("GET", "/metrics")
        page = connection.getresponse().read().decode()
        connection.close()
        line = next(line for line in page.splitlines() if 'route="/crossrank/v1/rank",status="429"' in line)
        assert float(line.rpartition(" ")[2]) == statuses.count(429)


def test_what_a_server_cannot_do_is_said_before_it_serves(folder: Path) -> None:
    """Exit code 2 and a sentence: a port that is taken, a host open to all, an unknown setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for arguments, says in (
            (["--port", str(taken.getsockname()[1])], "already in use. Give another --host or --port"),
            (["--host", "0.0.0.0"], "CROSSRANK_API_KEY"),
            (["--port", "-1"], "must be at least 0"),
            (["--port", "80000"], "must be at most 65,535"),
            (["--api-key-file", str(folder / "none")], "cannot be read"),
            (["--port", "0", "--model", str(folder)], "config.json"),
            (["--port", "0", "--ssl-certfile", str(folder / "none")], "cannot be used: No such file"),
            (["--port", "0", "--ssl-keyfile", str(folder / "none")], "give --ssl-certfile, too"),
        ):
            done = subprocess.run(
                [sys.executable, "-m", "crossrank", "serve", *arguments],
                capture_output=True,
                text=True,
                timeout=WAIT_S,
                check=False,
            )
            assert done.returncode == 2, done.stderr
            assert says in done.stderr
            assert "Traceback" not in done.stderr


@pytest.fixture
def served(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`crossrank serve` with the bundled model on a Unix socket."""
    path = str(folder / "s")
    process = subprocess.Popen(
        [sys.executable, "-m", "crossrank", "serve", "--uds", path], stderr=subprocess.PIPE, text=True
    )
    try:
        yield process, path
    finally:
        process.kill()
        process.communicate()


def test_the_command_serves_the_bundled_model_on_a_unix_socket(served: tuple[subprocess.Popen[str], str]) -> None:
    """It says where, answers, and Ctrl-C ends it with 0."""
    process, path = served
    assert process.stderr is not None
    told = next((line for line in process.stderr if not line.startswith("{")), "")  # the log may warn of few files
    assert told == f"crossrank serves at {path} (stop with Ctrl-C)\n"
    body = json.dumps({"query": "Who made Python?", "documents": ["Matz made Ruby.", "Guido made Python."]}).encode()
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(WAIT_S)
        raw.connect(path)
        head = f"POST /v2/rerank HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        raw.sendall(head.encode() + body)
        answer = b""
        while part := raw.recv(MB):
            answer += part
    assert [item["index"] for item in json.loads(answer.partition(b"\r\n\r\n")[2])["results"]] == [1, 0]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert not Path(path).exists()
