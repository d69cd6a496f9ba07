"""A Ray and a Spark of this machine's own for tests, and callers of a server who take no failure for an answer."""

import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self

import pytest

CALL_S = 60.0
OBJECT_STORE_BYTES = 80_000_000
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "1"}


@contextmanager
def own_ray(*, cpus: int = 4) -> Iterator[None]:
    """A cluster of one node, which is gone after the `with`; `cpus` is what Ray may give away, not what there is."""
    import ray

    folder = tempfile.mkdtemp(prefix="cr-ray-", dir="/tmp")  # a short path: its sockets' names have 107 characters
    os.environ.update(QUIET)
    options = {"num_cpus": cpus, "object_store_memory": OBJECT_STORE_BYTES, "log_to_driver": False}
    try:
        for last in (False, False, True):
            try:
                ray.init("local", include_dashboard=False, _temp_dir=folder, **options)
                break
            except Exception:  # its processes have half a minute to come up, which a busy machine may not give them
                ray.shutdown()
                if last:
                    raise
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def local_spark(folder: Path) -> Iterator[Any]:
    """Spark on two cores of this machine, on loopback; skips the test where there is no Spark or no Java."""
    sql = pytest.importorskip("pyspark.sql")  # only now: a run without these tests is not to wait for it
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        builder = sql.SparkSession.builder.master("local[2]")
        for name, value in {
            "ui.enabled": "false",
            "driver.host": "127.0.0.1",
            "local.dir": str(folder),
            "sql.warehouse.dir": str(folder),
            "sql.shuffle.partitions": "3",
            "sql.execution.arrow.maxRecordsPerBatch": "4",  # several batches of even a few rows
        }.items():
            builder = builder.config(f"spark.{name}", value)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        try:
            yield session
        finally:
            session.stop()


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass(slots=True)
class Callers:
    """Callers who ask a server the same thing again and again, each on its own connection, until they are told to end.

    Attributes:
        answers: what came, in order: milliseconds since the start, and the answer's `model` and best score.
        failures: what else came; nothing is asked again.
    """

    port: int
    path: str
    body: Mapping[str, Any]
    number: int = 4
    key: str = "none"
    answers: list[tuple[float, str, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(self.number)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(CALL_S)
            assert not thread.is_alive()

    def until(self, true: Callable[["Callers"], bool], what: str, *, within_s: float = CALL_S) -> None:
        """Wait until something is so of what came."""
        end = time.monotonic() + within_s
        while not true(self):
            assert time.monotonic() < end, f"{what} within {within_s:g} s; failures: {self.failures[:3]}"
            self._ended.wait(0.05)

    def _call(self) -> None:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=CALL_S)
        body, headers = (
            json.dumps(self.body),
            {"content-type": "application/json", "authorization": f"Bearer {self.key}"},
        )
        started = time.monotonic()
        while not self._ended.is_set():
            try:
                connection.request("POST", self.path, body, headers)
                answer = connection.getresponse()
                said = answer.read()
            except (HTTPException, OSError) as exc:
                self.failures.append(repr(exc))
                connection.close()
                continue
            if answer.status != 200:
                self.failures.append(f"{answer.status} {said[:200]!r}")
            else:
                found = json.loads(said)
                milliseconds = 1000 * (time.monotonic() - started)
                self.answers.append((milliseconds, found["model"], found["results"][0]["relevance_score"]))
        connection.close()
