from typing import Any

import numpy as np
from numpy.typing import NDArray

class Encoder:
    def __init__(
        self,
        config: dict[str, Any],
        weights: dict[str, NDArray[np.generic]],
        isa: str = "auto",
        precision: str = "fp32",
        packed: str = "",
    ) -> None: ...
    @property
    def mapped(self) -> bool: ...
    @property
    def isa(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def weight_bytes(self) -> int: ...
    def run(
        self,
        ids: NDArray[np.int32],
        type_ids: NDArray[np.int32],
        offsets: NDArray[np.int32],
        threads: int,
        interruptible: bool = False,
    ) -> NDArray[np.float32]: ...

class Begun:
    def __init__(
        self,
        encoder: Encoder,
        ids: NDArray[np.int32],
        type_ids: NDArray[np.int32],
        offsets: NDArray[np.int32],
        threads: int,
        after: Begun | None = None,
    ) -> None: ...
    def wait(self, interruptible: bool = False) -> NDArray[np.float32]: ...

def isas() -> list[str]: ...
def precisions(isa: str = "auto") -> list[str]: ...
