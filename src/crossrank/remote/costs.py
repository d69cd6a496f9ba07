"""What a call costs, estimated from what the vendor bills: a table with its date and source, to be overridden.

It knows counts and prices; an estimate is no invoice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from crossrank.remote.limits import tokens_of

NANO = 1_000_000_000
UNIT_DOCUMENTS = 100  # of a search unit
AS_OF = "2026-11-20"
SOURCE = "the price map of litellm 1.106.2"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for what is billed; the first that is there counts.

    Attributes:
        search_units_1k: for a thousand search units; one is a query with up to 100 documents.
        tokens_1m: for a million tokens.
    """

    search_units_1k: float | None = None
    tokens_1m: float | None = None

    def nanousd(self, *, search_units: int | None, tokens: int | None) -> int | None:
        """The cost in billionths of a dollar, rounded up; None where it cannot be told."""
        if self.search_units_1k is not None:
            return None if search_units is None else ceil(search_units * self.search_units_1k * NANO / 1000)
        if self.tokens_1m is not None:
            return None if tokens is None else ceil(tokens * self.tokens_1m * NANO / 1_000_000)
        return None

    def expected_nanousd(self, query: str, texts: Sequence[str]) -> int:
        """What a call will cost, estimated before it is sent; the tokenizer is the vendor's."""
        units = ceil(len(texts) / UNIT_DOCUMENTS)
        query_tokens = 0 if self.tokens_1m is None else tokens_of(query)
        tokens = 0 if self.tokens_1m is None else sum(query_tokens + tokens_of(text) for text in texts)
        return self.nanousd(search_units=units, tokens=tokens) or 0


# By vendor and the beginning of the model's name; the longest that fits counts.
PRICES: Mapping[str, Mapping[str, Price]] = {
    "cohere": {
        "rerank-v4.0-pro": Price(search_units_1k=2.50),
        "rerank-v4.0-fast": Price(search_units_1k=2.00),
        "rerank-v3.5": Price(search_units_1k=2.00),
        "rerank-english-v3.0": Price(search_units_1k=2.00),
        "rerank-multilingual-v3.0": Price(search_units_1k=2.00),
    },
    "voyage": {
        "rerank-3": Price(tokens_1m=0.05),
        "rerank-3-lite": Price(tokens_1m=0.02),
        "rerank-2.5": Price(tokens_1m=0.05),
        "rerank-2.5-lite": Price(tokens_1m=0.02),
        "rerank-2": Price(tokens_1m=0.05),
        "rerank-2-lite": Price(tokens_1m=0.02),
    },
    "jina": {"jina-reranker-v2": Price(tokens_1m=0.05)},
    "together": {"Salesforce/Llama-Rank": Price(tokens_1m=0.10)},
}


def price_of(vendor: str, model: str | None) -> Price | None:
    """The price of a model; None for one that the table does not know."""
    names = PRICES.get(vendor, {})
    fitting = [name for name in names if (model or "").lower().startswith(name.lower())]
    return names[max(fitting, key=len)] if fitting else None


def cost_usd(usage: Mapping[str, int]) -> float | None:
    """The estimated dollars of a ranking's `usage`; None where they are not known."""
    return usage["cost_nanousd"] / NANO if "cost_nanousd" in usage else None
