"""Beyond one machine: adapters that put a `Reranker` on Ray and Spark. The clusters themselves are others' business.

Nothing here is loaded by anything else but the command line, and Ray and Spark are imported where they are opened.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossrank.cluster.run import rank_dataset

__all__ = ["rank_dataset"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'crossrank.cluster' has no attribute {name!r}")
    from crossrank.cluster.run import rank_dataset

    return rank_dataset
