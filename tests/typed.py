"""What a user's type checker sees of the public names: mypy reads this in `make check`; nothing of it is run."""

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import numpy as np
from numpy.typing import NDArray

from crossrank import Cascade, CrossEncoderReranker, Failover, Hit, Ranker, Ranking, Reranker, Stage
from crossrank.remote import RemoteReranker
from crossrank.retrieve import Pipeline, Retriever


def rankings(reranker: Reranker) -> None:
    """A ranking is a sequence of hits, and a slice of it a tuple."""
    ranking = assert_type(reranker.rank("query", ["text", {"title": "text"}], top_k=3), Ranking)
    assert_type(ranking[0], Hit)
    assert_type(ranking[:2], tuple[Hit, ...])
    assert_type([hit.score for hit in ranking], list[float | None])
    assert_type(reranker.rank_many(["query"], [["text"]]), Iterator[Ranking])
    assert_type(reranker.score([("query", "text")]), NDArray[np.float32])


async def awaited(reranker: Reranker) -> None:
    """What is awaited is of the same type as what is not."""
    assert_type(await reranker.arank("query", ["text"]), Ranking)
    assert_type(reranker.arank_many(["query"], [["text"]]), AsyncIterator[Ranking])
    assert_type(await reranker.ascore([("query", "text")]), NDArray[np.float32])


def rankers(reranker: Reranker, remote: RemoteReranker, retriever: Retriever) -> list[Ranker]:
    """Whatever ranks fits wherever a ranker is wanted; `%` makes a stage."""
    stage = assert_type(reranker % 10, Stage)
    assert_type(Pipeline(retriever, [stage]).search("query").ranking, Ranking)
    with Reranker() as opened:
        assert_type(opened, Reranker)
    assert_type(Failover([remote, reranker]).rank("query", ["text"], threshold_on="probability", priority=1), Ranking)
    assert_type(remote.rank("query", ["text"], threshold=0.5, threshold_on="score", priority=1), Ranking)
    return [reranker, remote, Cascade([stage, Stage(remote)]), Failover([remote, reranker, "input-order"])]


def mistakes(reranker: Reranker) -> None:
    """A typo is an error at the call; mypy complains of an ignored error that is none."""
    reranker.rank("query", ["text"], top=3)  # type: ignore[call-arg]
    reranker.rank("query", ["text"], 3)  # type: ignore[call-arg]
    reranker.rank(["query"], ["text"])  # type: ignore[arg-type]
    Failover([reranker]).rank("query", ["text"], threshold_on="logit")  # type: ignore[arg-type]
    Reranker(long_documents="cut")  # type: ignore[arg-type]
    CrossEncoderReranker().rerank("query", [{"content": "text"}], device="cpu")  # type: ignore[call-arg]
