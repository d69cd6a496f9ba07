"""What reranking costs a month, on machines of one's own and by API, as a function of the queries a day.

It knows prices and times that it is given; no vendor's name, and no machine.
"""

from dataclasses import dataclass
from math import ceil

from crossrank.remote.costs import NANO, UNIT_DOCUMENTS, Price

DAYS = 30  # of a month
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked.

    Attributes:
        documents: of a query.
        tokens: of a document.
        query_tokens: of a query; a vendor that bills tokens counts them once a document.
        peak: queries of the busiest second over those of an average one.
    """

    documents: int = 100
    tokens: int = 128
    query_tokens: int = 12
    peak: float = 4.0


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that is rented.

    Attributes:
        usd: dollars a month; an assumption of whoever reckons.
        query_s: seconds of all its cores for a query and all its documents, as measured on it.
        busy: share of the time that it may be busy in the busiest second, so that nobody waits long.
        least: how many there are in any case; 2 where one may fail.
    """

    usd: float
    query_s: float
    busy: float = 0.6
    least: int = 1

    def count(self, queries_a_day: float, load: Load) -> int:
        """How many are needed."""
        busiest = queries_a_day / DAY_S * load.peak
        return max(self.least, ceil(busiest * self.query_s / self.busy))

    def month_usd(self, queries_a_day: float, load: Load) -> float:
        """Dollars a month, whatever of it is used."""
        return self.usd * self.count(queries_a_day, load)


def api_month_usd(price: Price, queries_a_day: float, load: Load) -> float:
    """Dollars a month by a vendor's price, as far as it is for queries."""
    units = ceil(load.documents / UNIT_DOCUMENTS)
    tokens = load.documents * (load.tokens + load.query_tokens)
    nanousd = price.nanousd(search_units=units, tokens=tokens)
    assert nanousd is not None, "bug: a price without a figure"
    return nanousd / NANO * queries_a_day * DAYS


def break_even(price: Price, machine: Machine, load: Load) -> float:
    """Queries a day from which on the least machines cost no more than the API."""
    return machine.usd * machine.least / api_month_usd(price, 1.0, load)
