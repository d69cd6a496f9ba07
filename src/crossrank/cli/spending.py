"""What a command may spend on remote models, and what it did spend. It knows options and totals; not what is asked."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from crossrank.cli.printable import printable
from crossrank.remote.names import is_remote

if TYPE_CHECKING:
    from crossrank.remote import Budget, Price, RemoteReranker
    from crossrank.types import Ranker

F = TypeVar("F", bound=Callable[..., Any])
UNITS = {"units": "search_units_1k", "tokens": "tokens_1m"}
PRICE = "units=DOLLARS (for 1,000 search units) or tokens=DOLLARS (for a million), such as units=2.50"
COUNTED = {"requests": "request", "retries": "retry", "search_units": "search unit", "tokens": "token"}


@dataclass(frozen=True, slots=True)
class Spending:
    """What was asked for: a budget for all remote models of a command together, and a price in place of the table's."""

    budget: "Budget | None" = None
    price: "Price | None" = None

    @classmethod
    def of(cls, models: Iterable[str | None], max_cost: float | None, price: str | None) -> "Spending":
        """The checked options.

        Raises:
            click.UsageError: the price cannot be read, or no model costs anything.
        """
        if max_cost is None and price is None:
            return cls()
        if not any(map(is_remote, models)):
            raise click.UsageError(
                "--max-cost and --price are for remote models, such as --model cohere:rerank-v4.0-pro; a model on this "
                "machine costs nothing."
            )
        from crossrank.remote import Budget

        return cls(None if max_cost is None else Budget(max_cost), None if price is None else _price(price))

    def options(self) -> dict[str, Any]:
        """For a remote reranker: only what was asked for."""
        given = {"cost_max_usd": self.budget, "price": self.price}
        return {name: value for name, value in given.items() if value is not None}


def spending_options(command: F) -> F:
    """--max-cost and --price."""
    max_cost = click.option(
        "--max-cost",
        metavar="DOLLARS",
        type=click.FloatRange(min=0, min_open=True),
        help="Of remote models: send nothing that would cost more, by estimate, in this run.",
    )
    price = click.option("--price", metavar="PRICE", help=f"Of remote models, in place of the known one: {PRICE}.")
    return max_cost(price(command))


@contextmanager
def spending_told(rankers: "Mapping[str, Ranker]") -> Iterator[None]:
    """Says on stderr, at the end, what each remote one of them used, also if the end is a failure."""
    try:
        yield
    finally:
        for name, ranker in rankers.items():
            if hasattr(ranker, "spent_usd"):
                sys.stderr.write(f"{printable(name)}: {_told(cast('RemoteReranker', ranker))}\n")


def _told(ranker: "RemoteReranker") -> str:
    spent = ranker.spent
    counts = [_count(spent[name], noun) for name, noun in COUNTED.items() if spent.get(name)]
    if not spent.get("requests"):
        return "nothing was billed"
    unknown = "its price is not known (--price gives one)"
    return ", ".join([*counts, f"about ${ranker.spent_usd:.4f}" if "cost_nanousd" in spent else unknown])


def _count(count: int, noun: str) -> str:
    plural = noun.removesuffix("y") + "ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def _price(given: str) -> "Price":
    from crossrank.remote import Price

    unit, _, dollars = given.partition("=")
    try:
        value = float(dollars)
    except ValueError:
        value = -1.0
    if unit not in UNITS or not 0 <= value < float("inf"):
        raise click.UsageError(f"--price {given!r} cannot be read; give {PRICE}.")
    return Price(**{UNITS[unit]: value})
