"""A corpus's words in files of some thousand passages each: what an interrupted build does not have to do again.

Each is named by what is in it and appears whole or not at all. It knows files and words; not BM25.
"""

import json
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from crossrank.retrieve.contract import Passage
from crossrank.retrieve.words import WORD, words_of
from crossrank.writing import whole_file

PORTION = 2_000  # passages of a segment
Segment = tuple[list[str], NDArray[np.int32], NDArray[np.int64]]  # its vocabulary; word ids; where passages begin


def lines_of(passages: Sequence[Passage]) -> list[bytes]:
    """The passages as JSON lines, which the index keeps."""
    return [
        json.dumps({"line": p.line, "text": p.text, "document": p.document}, ensure_ascii=False).encode() + b"\n"
        for p in passages
    ]


def digest_of(lines: Sequence[bytes]) -> str:
    """What tells a portion of a corpus from any other, and from those of other versions."""
    digest = blake2b(WORD.encode(), digest_size=16)
    for line in lines:
        digest.update(line)
    return digest.hexdigest()


def write_segment(file: Path, texts: list[str]) -> None:
    """The words of these texts, under that name once all is written."""
    words = words_of(texts)
    vocabulary: dict[str, int] = {}
    ids = [vocabulary.setdefault(word, len(vocabulary)) for passage in words for word in passage]
    starts = np.cumsum([0, *map(len, words)])
    with whole_file(file) as part, part.open("wb") as content:
        spelled = np.frombuffer("\n".join(vocabulary).encode(), np.uint8)
        np.savez(content, spelled=spelled, ids=np.array(ids, np.int32), starts=starts.astype(np.int64))


def read_segment(file: Path) -> Segment | None:
    """What `write_segment` wrote; None if the file is not there or not whole."""
    try:
        # NOTE: opened here, because np.load leaves a file open that is not whole.
        with file.open("rb") as opened, np.load(opened) as content:
            spelled = content["spelled"].tobytes().decode()
            return spelled.split("\n") if spelled else [], content["ids"], content["starts"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
