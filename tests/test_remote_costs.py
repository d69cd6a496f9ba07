"""What a remote reranker costs: counted, estimated before, and never more than its budget."""

import asyncio
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from crossrank import Ranking
from crossrank.errors import UsageError
from crossrank.remote import Budget, BudgetError, Limits, Price, VendorError, cost_usd
from crossrank.testing import FakeVendor, Fault
from vendors import opened

QUERY = "who created python"
DOCUMENTS = ["zebra", "who", "who created python", "python"]


@pytest.fixture
def server() -> Iterator[FakeVendor]:
    with FakeVendor("cohere") as server:
        yield server


def test_costs_are_counted(server: FakeVendor) -> None:
    """From what the vendor bills and a price that is given; the table is of the vendors, not of gateways."""
    with opened(server, price=Price(search_units_1k=2.5)) as reranker:
        ranking = reranker.rank(QUERY, DOCUMENTS)
        assert ranking.usage["search_units"] == 1
        assert cost_usd(ranking.usage) == pytest.approx(0.0025)
        assert cost_usd(reranker.rank(QUERY, DOCUMENTS).usage) is None
        reranker.rank(QUERY, ["other"])
        assert reranker.spent_usd == pytest.approx(0.005)
        assert reranker.spent["pairs"] == 5
    with opened(server) as reranker:
        assert "cost_nanousd" not in reranker.rank(QUERY, DOCUMENTS).usage
    with FakeVendor("voyage") as voyage, opened(voyage, "voyage:m", price=Price(tokens_1m=0.05)) as reranker:
        assert reranker.rank(QUERY, DOCUMENTS).usage["cost_nanousd"] == 40 * 50


def test_nothing_is_sent_when_the_budget_is_spent(server: FakeVendor) -> None:
    """The error says what was spent, and of what; what is known already may still be asked."""
    with opened(server, price=Price(search_units_1k=2.5), cost_max_usd=0.006) as reranker:
        for text in ("a", "b"):
            reranker.rank(QUERY, [text])
        words = r"0\.0050 dollars are spent, by estimate, of a budget of 0\.006; this query would take about 0\.0025"
        with pytest.raises(BudgetError, match=words):
            reranker.rank(QUERY, ["c"])
        reranker.rank(QUERY, ["b", "a"])
    assert len(server.calls) == 2


def test_a_query_beyond_the_budget_is_not_sent_in_part(server: FakeVendor) -> None:
    """All of its calls, or none; what failed unpaid is there to be spent again."""
    limits = Limits(documents_max=2)
    with opened(server, price=Price(search_units_1k=2.5), cost_max_usd=0.006, limits=limits) as reranker:
        with pytest.raises(BudgetError, match=r"would take about 0\.0075"):
            reranker.rank(QUERY, list("abcde"))
        server.faults.append(Fault(400))
        with pytest.raises(VendorError):
            reranker.rank(QUERY, ["a"])
        assert reranker.spent_usd == 0
        assert len(reranker.rank(QUERY, list("abcd"))) == 4
    assert len(server.calls) == 3


def test_a_budget_may_be_shared(server: FakeVendor) -> None:
    """By rerankers, also at once: together they never spend more."""
    budget = Budget(0.01)
    price = Price(search_units_1k=1.0)
    with (
        opened(server, price=price, cost_max_usd=budget) as one,
        opened(server, price=price, cost_max_usd=budget) as two,
    ):

        async def ask() -> list[Any]:
            asked = (who.arank(QUERY, [str(i)]) for i in range(10) for who in (one, two))
            return await asyncio.gather(*asked, return_exceptions=True)

        answers = asyncio.run(ask())
        assert sum(isinstance(answer, Ranking) for answer in answers) == 10
        assert sum(isinstance(answer, BudgetError) for answer in answers) == 10
        assert one.spent_usd + two.spent_usd == pytest.approx(budget.spent_usd) == pytest.approx(0.01)
    assert len(server.calls) == 10
    assert pickle.loads(pickle.dumps(budget)).spent_usd == 0
    assert repr(budget) == "Budget(0.01, spent 0.0100)"
    with pytest.raises(UsageError, match="above 0"):
        Budget(0)


def test_tokens_are_estimated_before_they_are_billed(server: FakeVendor) -> None:
    """Rather too high, the query with each document."""
    price = Price(tokens_1m=1.0)
    assert price.expected_nanousd("abc", ["abcdef", ""]) == 1000 * (2 + 3 + 2 + 1)
    assert Price(search_units_1k=1.0).expected_nanousd("q", ["a"] * 101) == 2_000_000
    assert Price().expected_nanousd("q", ["a"]) == 0
