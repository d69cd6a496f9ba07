"""A bar for what takes longer than a moment, on a terminal only."""

from collections.abc import Sized
from typing import Any

AFTER_S = 1.0


def ranking_bar(queries: object, *, shown: bool | None) -> Any:
    """A tqdm bar over queries; `shown` None: on a terminal, once it takes over a second."""
    from tqdm.auto import tqdm

    total = len(queries) if isinstance(queries, Sized) else None
    disable = None if shown is None else not shown
    return tqdm(total=total, desc="Ranking", unit="query", disable=disable, delay=AFTER_S if shown is None else 0)


def rows_bar(*, shown: bool | None) -> Any:
    """A tqdm bar over rows, whose total is not known yet; `shown` as above."""
    from tqdm.auto import tqdm

    disable = None if shown is None else not shown
    return tqdm(desc="Starting", unit=" rows", disable=disable, unit_scale=True)
