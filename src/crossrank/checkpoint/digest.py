"""What tells models apart without reading them whole: names, sizes and samples of their files.

It knows files; not what is in them.
"""

import os
from hashlib import blake2b
from pathlib import Path

from crossrank.checkpoint.files import model_files

BLOCK, BLOCKS = 4096, 64  # what is read of a file


def digest_of(folder: Path, about: object = "") -> str:
    """32 hexadecimal digits for the model in `folder`, and for what else they shall depend on.

    Of each file count its name, its size and blocks from all over it.
    """
    digest = blake2b(repr(about).encode(), digest_size=16)
    for file in model_files(folder, onnx=True):
        with file.open("rb", buffering=0) as content:
            size = os.fstat(content.fileno()).st_size
            digest.update(f"{file.relative_to(folder)}:{size}:".encode())
            for place in range(0, size, max(BLOCK, size // BLOCKS)):
                content.seek(place)
                digest.update(content.read(BLOCK))
    return digest.hexdigest()
