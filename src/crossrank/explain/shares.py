"""How a whole is shared among its parts, from what each does last and first. Pure arithmetic.

The mean of what a part adds to nothing and what it takes from the whole is its Shapley value exactly, if parts work
together in pairs at most: in v(S) = sum a_i + sum b_ij the former is a_i, the latter a_i + sum_j b_ij, and Shapley's
value halves each b_ij between its two (Shapley 1953; Grabisch, "k-order additive discrete fuzzy measures", 1997). Where
more parts than two do the same, or need each other, these means do not add up to the whole, and are scaled to.
"""

import math

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def shares(whole: float, empty: float, without: Values, alone: Values) -> Values:
    """Shares float64 [n], which add up to `whole` - `empty`.

    A part that changes nothing gets 0, parts that do the same get the same, and none changes its sign by scaling.

    Args:
        whole: the value of all parts together.
        empty: the value of none.
        without: float64 [n], of all parts but one; n at least 1.
        alone: float64 [n], of each part alone.
    """
    return scaled(((whole - without) + (alone - empty)) / 2, whole - empty)


def scaled(values: Values, total: float) -> Values:
    """The values, the positive ones times a factor and the negative ones divided by it, so that they add up to `total`.

    There is one such factor above 0; it is 1 where they add up already. Values of one sign are scaled alone. Where all
    have the sign that the total has not, or all are 0, the difference is spread evenly.
    """
    up, down = float(values[values > 0].sum()), float(-values[values < 0].sum())
    if up and down:
        # factor * up - down / factor = total; of the two forms of its root, each time the one that does not cancel.
        root = math.hypot(total, 2 * math.sqrt(up) * math.sqrt(down))
        factor = (total + root) / (2 * up) if total >= 0 else 2 * down / (root - total)
        return np.where(values > 0, values * factor, values / factor)
    if (up and total >= 0) or (down and total <= 0):
        return values * (total / (up - down))
    return values + (total - (up - down)) / len(values)
