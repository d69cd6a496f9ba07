"""What tells models apart without reading them whole: names, sizes and samples of their files.

It knows files; not what is in them.
"""

import os
from hashlib import blake2b
from pathlib import Path

from crossrank.checkpoint.source import ONNX_WANTED, WANTED

BLOCK, BLOCKS = 4096, 64  # what is read of a file


def digest_of(folder: Path, about: object = "") -> str:
    """32 hexadecimal digits for the model in `folder`, and for what else they shall depend on.

    Of each file that belongs to a model count its name, its size and blocks from all over it; what else lies there, a
    calibration or a model card, changes nothing.
    """
    digest = blake2b(repr(about).encode(), digest_size=16)
    for file in sorted({file for pattern in (*WANTED, *ONNX_WANTED) for file in folder.glob(pattern)}):
        with file.open("rb", buffering=0) as content:
            size = os.fstat(content.fileno()).st_size
            digest.update(f"{file.relative_to(folder)}:{size}:".encode())
            for place in range(0, size, max(BLOCK, size // BLOCKS)):
                content.seek(place)
                digest.update(content.read(BLOCK))
    return digest.hexdigest()
