"""A server in a process of its own, whose calls wait for a file: `python serve_slowly.py FOLDER NAME=VALUE...`.

Of a hit, `tokens` is the number of the process. The query "die" ends that process as a crash would. The settings are
those of a server, and `last_s`: what it has, after the time that calls get, for everything else that must end.
"""

import asyncio
import os
import sys
from functools import partial
from pathlib import Path

from crossrank.server import ending
from crossrank.server.serve import serve
from crossrank.server.settings import read_settings
from crossrank.types import Hit, Ranking


class Slow:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def arank(self, query, documents, **_):
        if query == "die":
            os._exit(9)
        if query == "wait":
            (self.folder / "came").touch()
            while not (self.folder / "go").exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.01)
        if query == "block":  # a thread that nothing can interrupt
            (self.folder / "came").touch()
            await asyncio.to_thread(partial(asyncio.run, asyncio.sleep(1000)))
        hits = [Hit(1, 0, 0.5, 0.0, documents[0], "", tokens=os.getpid(), truncated=False)]
        return Ranking(tuple(hits), query)

    async def ascore(self, pairs, *, raw=False):
        return [0.5] * len(pairs)

    def close(self) -> None:
        pass


def open_slow(folder: Path, _: str) -> Slow:
    return Slow(folder)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    given = dict(argument.split("=", 1) for argument in sys.argv[2:])
    ending.LAST_S = float(given.pop("last_s", ending.LAST_S))
    settings = read_settings(given, os.environ)
    tell = (folder / "address").write_text
    sys.exit(serve(settings, partial(open_slow, folder), told=tell))
