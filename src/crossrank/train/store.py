"""What took long to compute, on disk: written whole or not at all, found again by what it was computed from.

Knows arrays and folders; not what they mean.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrank.errors import CrossrankError
from crossrank.writing import refused, whole_file

Arrays = dict[str, NDArray[Any]]


def fingerprint(value: Any) -> str:
    """16 hexadecimal digits of whatever JSON can hold."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


class Store:
    """Arrays by key below a folder.

    Args:
        folder: made when something is first written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def arrays(self, stage: str, key: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
        """What `make` gives, or gave when it was last called with an equal key."""
        file = self.folder / f"{stage}-{fingerprint(key)}.npz"
        if file.is_file():
            with np.load(file, allow_pickle=False) as known:
                return {name: known[name] for name in known.files}
        made = make()
        self.write(file, made)
        return made

    def write(self, file: Path, arrays: Arrays) -> None:
        """Write an .npz whole or not at all."""
        with resumable(file), whole_file(file) as partial, partial.open("wb") as opened:
            np.savez(opened, **arrays)  # type: ignore[arg-type] # numpy's stub takes the names for its own options


@contextmanager
def resumable(place: Path) -> Iterator[None]:
    """Writing into the folder of `place`, which is made; what cannot be written is told as what a run goes on after.

    Raises:
        CrossrankError: it cannot be written.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        yield
    except CrossrankError:
        raise
    except Exception as exc:
        if not isinstance(exc, OSError) and not refused(exc):
            raise
        raise CrossrankError(
            f"{place} could not be written ({getattr(exc, 'strerror', None) or exc}). Nothing half-written is left of "
            "it. Free space or choose another folder, then go on with --resume."
        ) from exc
