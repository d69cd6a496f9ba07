"""The ranker that a model's spec and a server's settings come to: what the server itself does not know.

For whoever composes a server: the command line, and the cluster.
"""

from typing import TYPE_CHECKING

from crossrank.remote.names import is_remote
from crossrank.reranker import Reranker
from crossrank.server.settings import Settings

if TYPE_CHECKING:
    from crossrank.server.models import AsyncRanker


def open_ranker(settings: Settings, spec: str) -> "AsyncRanker":
    """The ranker of a model's spec; a vendor's has no options of an engine."""
    if is_remote(spec):
        return Reranker(spec)
    return Reranker(spec, **settings.engine)
