"""A Hugging Face hub on loopback that serves folders and can fail on purpose, and Python processes that use it.

huggingface_hub reads its environment when it is imported, so what talks to this hub runs in a process of its own.
"""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

NAME = "someone/tiny-reranker"  # the model of the fixture `hub`
REPOSITORY = Path(__file__).resolve().parent.parent
OPEN = """
import json, sys
from crossrank import Reranker
from crossrank.checkpoint.source import locate
from crossrank.errors import CrossrankError

spec, revision = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
try:
    reranker = Reranker(spec, revision=revision)
    logits = reranker.score([("fox", "The quick brown fox"), ("fox", "Zebras jump")], raw=True).tolist()
    print(json.dumps({"logits": logits, "folder": str(locate(spec, revision=revision).folder)}))
except CrossrankError as exc:
    print(json.dumps({"error": type(exc).__name__, "message": str(exc)}))
"""


AT_ONCE = (
    """
import time
waits, sleep = [], time.sleep
def noted(seconds):
    waits.append(seconds)
    sleep(seconds)
time.sleep = noted
"""
    + OPEN
    + """
assert sum(waits) < 1, waits
"""
)


@dataclass(frozen=True)
class Answer:
    """What the hub says instead of the truth."""

    status: int
    code: str = ""  # X-Error-Code, by which huggingface_hub tells failures apart
    body: bytes = b""


@dataclass
class Repository:
    """The commits of a model: each a folder's files; branches and tags point to them."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, revision: str) -> str | None:
        """The commit that a branch, tag or commit names."""
        return revision if revision in self.commits else self.refs.get(revision)


class Hub:
    """A hub of models: `add` folders, hand `url` to a process as HF_ENDPOINT, then read `requests`.

    Args:
        page: entries of a file listing that one answer holds.
    """

    def __init__(self, *, page: int = 1000) -> None:
        self.page = page
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []  # "METHOD /path", as they came
        self.answers: dict[str, Answer] = {}  # by a piece of "METHOD /path"
        self.cut_times: dict[str, int] = {}  # downloads of a file that end in the middle, as when a connection breaks
        self.short: set[str] = set()  # files that are sent without their second half, as if that were all
        self._talking = threading.Event()
        self._talking.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Conversation)
        self._server.daemon_threads = True
        self._server.hub = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        """The address, for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def add(self, name: str, folder: Path, revision: str = "main") -> str:
        """A commit with all files of a folder, to which `revision` points from now on; the commit's hash."""
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
        commit = hashlib.sha1(repr([(path, _digest(content)) for path, content in files.items()]).encode()).hexdigest()
        repository = self.repositories.setdefault(name, Repository())
        repository.commits[commit] = files
        repository.refs[revision] = commit
        return commit

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Meanwhile, take requests and answer none."""
        self._talking.clear()
        try:
            yield
        finally:
            self._talking.set()

    def downloads(self) -> list[str]:
        """The files that were asked for with GET, in order of their names, without repeats."""
        return sorted(
            {
                line.split("/resolve/")[1].split("/", 1)[1]
                for line in self.requests
                if line[:4] == "GET " and "/resolve/" in line
            }
        )

    def wait_until_talking(self) -> None:
        """Return when the hub may answer."""
        assert self._talking.wait(60), "a silence that no test ended"

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Conversation(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    @property
    def hub(self) -> Hub:
        return self.server.hub  # type: ignore[attr-defined,no-any-return]

    def log_message(self, *_: Any) -> None:
        """Say nothing; `Hub.requests` holds it all."""

    def handle(self) -> None:
        """Until the other side has had enough."""
        with suppress(ConnectionError):
            super().handle()

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        line = f"{self.command} {path}"
        if path == "/api/agent-harnesses":  # the client's own curiosity, in its own time
            return self.send(404)
        self.hub.requests.append(line)
        self.hub.wait_until_talking()
        for piece, given in self.hub.answers.items():
            if piece in line:
                return self.send(given.status, given.body, **({"X-Error-Code": given.code} if given.code else {}))
        if path.startswith("/api/models/"):
            return self.describe(path.removeprefix("/api/models/"))
        name, _, rest = path.removeprefix("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        return self.resolve(name, revision, file)

    def describe(self, path: str) -> None:
        """A model at a revision, or the list of its files."""
        name, listing, revision = path.partition("/tree/")
        if not listing:
            name, _, revision = path.partition("/revision/")
        commit = self.found(name, revision or "main")
        if commit is None:
            return
        files = self.hub.repositories[name].commits[commit]
        if not listing:
            siblings = [{"rfilename": file} for file in files]
            self.send_json({"id": name, "modelId": name, "sha": commit, "siblings": siblings, "tags": []})
            return
        entries = [{"type": "file", "path": p, "size": len(c), "oid": _digest(c)} for p, c in files.items()]
        folders = sorted({p.rsplit("/", 1)[0] for p in files if "/" in p})
        entries += [{"type": "directory", "path": p, "oid": _digest(p.encode())} for p in folders]
        start = int(parse_qs(urlsplit(self.path).query).get("cursor", ["0"])[0])
        end = start + self.hub.page
        more = f'<{self.hub.url}/api/models/{name}/tree/{commit}?recursive=true&cursor={end}>; rel="next"'
        self.send_json(entries[start:end], **({"Link": more} if end < len(entries) else {}))

    def resolve(self, name: str, revision: str, file: str) -> None:
        """A file, whole or from the byte that a Range asks for."""
        commit = self.found(name, revision)
        if commit is None:
            return
        content = self.hub.repositories[name].commits[commit].get(file)
        headers = {"X-Repo-Commit": commit}
        if content is None:
            self.send(404, **headers, **{"X-Error-Code": "EntryNotFound"})
            return
        headers |= {"ETag": f'"{_digest(content)}"', "Accept-Ranges": "bytes"}
        if self.command == "GET" and file in self.hub.short:
            content = content[: len(content) // 2]
        cut = self.command == "GET" and self.hub.cut_times.get(file, 0) > 0
        if cut:
            self.hub.cut_times[file] -= 1
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.send(206 if start else 200, content[start:], cut=cut, **headers)

    def found(self, name: str, revision: str) -> str | None:
        """The commit; without one, what the real hub answers to those who have no token."""
        repository = self.hub.repositories.get(name)
        commit = repository and repository.commit(revision)
        if repository is None:
            self.send(401, **{"X-Error-Message": "Invalid username or password."})
        elif commit is None:
            self.send(404, **{"X-Error-Code": "RevisionNotFound"})
        return commit

    def send_json(self, content: Any, **headers: str) -> None:
        self.send(200, json.dumps(content).encode(), **{"Content-Type": "application/json", **headers})

    def send(self, status: int, body: bytes = b"", *, cut: bool = False, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut


@dataclass(frozen=True)
class Machine:
    """A user's machine as far as models go: the hub it knows and its cache folder.

    Args:
        home: the cache folder, for HF_HOME.
        endpoint: the hub's address.
        settings: more environment variables.
    """

    home: Path
    endpoint: str
    settings: dict[str, str] = field(default_factory=dict)

    def python(self, code: str, *arguments: str, offline: bool = False) -> subprocess.CompletedProcess[str]:
        """A Python process that runs `code`."""
        return self._run(["-c", code, *arguments], offline)

    def crossrank(self, *arguments: str, offline: bool = False) -> subprocess.CompletedProcess[str]:
        """The `crossrank` command."""
        return self._run(["-m", "crossrank", *arguments], offline)

    def open(
        self, spec: str, revision: str | None = None, *, offline: bool = False, at_once: bool = False
    ) -> dict[str, Any]:
        """What a process gets that opens a model and scores: `logits` and `folder`, or `error` and `message`.

        `at_once`: it is an error if it waits between one try and the next.
        """
        done = self.python(AT_ONCE if at_once else OPEN, spec, *([revision] if revision else []), offline=offline)
        assert done.returncode == 0, f"not an error of ours:\n{done.stderr}"
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def _run(self, arguments: list[str], offline: bool) -> subprocess.CompletedProcess[str]:
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith("HF_") and not k.lower().endswith("_proxy")
        }
        environment = inherited | {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(self.home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_ETAG_TIMEOUT": "60",  # a busy machine's hub may take its time
            "HF_HUB_DOWNLOAD_TIMEOUT": "60",
            **({"HF_HUB_OFFLINE": "1"} if offline else {}),
            **self.settings,
        }
        return subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
