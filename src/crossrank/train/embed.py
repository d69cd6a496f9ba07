"""A bi-encoder's vectors of texts, each text embedded once in its life: vectors are kept on disk, chunk by chunk.

It knows texts and vectors; not queries or judgements.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrank.errors import MissingExtra
from crossrank.train.base import model_fingerprint
from crossrank.train.store import Store

CHUNK = 8192  # texts between writes: what an interruption costs at most

Progress = Callable[[int, int], None]  # done, total


class Embedder:
    """Unit vectors from a sentence-transformers model.

    Args:
        folder: the model's.
        store: where vectors are kept; None keeps nothing.
        device: torch's name.
        bf16: run it in bfloat16; cosines then move by less than 0.01.
        max_length: tokens of a text that are read.
    """

    def __init__(self, folder: Path, store: Store | None, *, device: str, bf16: bool, max_length: int) -> None:
        self._folder, self._device, self._bf16, self._max_length = folder, device, bf16, max_length
        self._model: Any = None
        self._known: dict[bytes, NDArray[np.float16]] = {}
        self._kept = None
        if store is not None:
            name = f"{model_fingerprint(folder)}-{max_length}{'-bf16' if bf16 else ''}"
            self._kept = (store, store.folder / "embeddings" / name)
            self._load()

    def vectors(self, texts: Sequence[str], progress: Progress) -> NDArray[np.float32]:
        """Unit vectors float32 [texts, width]."""
        keys = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
        fresh = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        # Longest first: chunks of like lengths have little padding, and a lack of memory shows at once.
        missing = sorted(fresh, key=lambda key: -len(fresh[key]))
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            vectors = self._embed([fresh[key] for key in chunk])
            self._known.update(zip(chunk, vectors, strict=True))
            if self._kept is not None:
                store, folder = self._kept
                number = len(list(folder.glob("*.npz"))) if folder.is_dir() else 0
                names = np.frombuffer(b"".join(chunk), np.uint8).reshape(-1, 16)
                store.write(folder / f"{number:05}.npz", {"keys": names, "vectors": vectors})
            progress(start + len(chunk), len(missing))
        return np.array([self._known[key] for key in keys], np.float32).reshape(len(keys), -1)

    def _load(self) -> None:
        assert self._kept is not None, "bug: nothing is kept"
        for file in sorted(self._kept[1].glob("*.npz")):
            with np.load(file, allow_pickle=False) as chunk:
                names = chunk["keys"].tobytes()
                for row, vector in enumerate(chunk["vectors"]):
                    self._known[names[16 * row : 16 * row + 16]] = vector

    def _embed(self, texts: list[str]) -> NDArray[np.float16]:
        import torch

        if self._model is None:
            self._model = _open(self._folder, self._device, self._max_length)
        kind = "cuda" if self._device.startswith("cuda") else "cpu"
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=self._bf16):
            vectors = self._model.encode(
                texts,
                batch_size=512 if kind == "cuda" else 32,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        return np.asarray(vectors, np.float16)


def _open(folder: Path, device: str, max_length: int) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as exc:
        raise MissingExtra("sentence-transformers is not installed. Run: pip install 'crossrank[train]'") from exc
    model = SentenceTransformer(str(folder), device=device, local_files_only=True)
    model.max_seq_length = min(max_length, model.max_seq_length or max_length)
    return model
