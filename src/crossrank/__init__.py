"""crossrank: a query and its candidates through a cross-encoder, exact and fast on the CPU you already have.

Names are loaded when first used, so that `import crossrank` costs next to nothing and loads no extra.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossrank.compat import CrossEncoder, CrossEncoderReranker
    from crossrank.composition.cascade import Cascade
    from crossrank.composition.failover import Failover
    from crossrank.composition.stage import Stage
    from crossrank.errors import CrossrankError, MissingExtra
    from crossrank.reranker import Reranker
    from crossrank.types import Hit, Ranker, Ranking

__version__ = "0.1.0"
__all__ = [
    "Cascade",
    "CrossEncoder",
    "CrossEncoderReranker",
    "CrossrankError",
    "Failover",
    "Hit",
    "MissingExtra",
    "Ranker",
    "Ranking",
    "Reranker",
    "Stage",
    "__version__",
]

_HOMES = {
    "Cascade": "composition.cascade",
    "Stage": "composition.stage",
    "Failover": "composition.failover",
    "CrossEncoder": "compat",
    "CrossEncoderReranker": "compat",
    "CrossrankError": "errors",
    "MissingExtra": "errors",
    "Reranker": "reranker",
    "Hit": "types",
    "Ranker": "types",
    "Ranking": "types",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'crossrank' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"crossrank.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
