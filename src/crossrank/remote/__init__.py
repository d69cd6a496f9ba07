"""Rerankers behind an HTTP API: the vendors', and any server that speaks one of their dialects.

It knows documents, rankings and the wire; no model, no tokenizer, no engine but the cache's protocol.
Names are loaded when first used, so that `names` can be asked without the libraries of the extra.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossrank.remote.budget import Budget
    from crossrank.remote.costs import Price, cost_usd
    from crossrank.remote.failures import BudgetError, VendorError
    from crossrank.remote.limits import Limits
    from crossrank.remote.names import is_remote
    from crossrank.remote.ranker import RemoteReranker, open_remote
    from crossrank.remote.retry import Retry

__all__ = [
    "Budget",
    "BudgetError",
    "Limits",
    "Price",
    "RemoteReranker",
    "Retry",
    "VendorError",
    "cost_usd",
    "is_remote",
    "open_remote",
]

_HOMES = {
    "Budget": "budget",
    "BudgetError": "failures",
    "Limits": "limits",
    "Price": "costs",
    "RemoteReranker": "ranker",
    "Retry": "retry",
    "VendorError": "failures",
    "cost_usd": "costs",
    "is_remote": "names",
    "open_remote": "ranker",
}
_LIBRARIES = ("msgspec", "httpx2")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'crossrank.remote' has no attribute {name!r}")
    from importlib import import_module

    try:
        return getattr(import_module(f"crossrank.remote.{_HOMES[name]}"), name)
    except ImportError as exc:
        if exc.name not in _LIBRARIES:
            raise
        from crossrank.errors import MissingExtra

        message = f"{exc.name} is not installed; remote rerankers need it. Run: pip install 'crossrank[remote]'"
        raise MissingExtra(message) from exc


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
