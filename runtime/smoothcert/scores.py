"""What a difference of scores is measured by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def scales(table: NDArray[Any]) -> NDArray[Any]:
    """What differences of a row's scores are a share of, (rows, 1): the largest score, infinite ones aside.

    At most ten times the larger of the two best scores, or 1 where both are 0: -1e9 for a class that is masked would
    cover any difference.
    """
    sizes = np.abs(np.where(np.isfinite(table), table, 0.0))
    two = np.argsort(np.where(np.isfinite(table), table, -np.inf), axis=1)[:, -2:]
    best: NDArray[Any] = 10 * np.take_along_axis(sizes, two, axis=1).max(axis=1, keepdims=True, initial=0.0)
    found: NDArray[Any] = np.minimum(sizes.max(axis=1, keepdims=True, initial=0.0), np.where(best > 0, best, 1.0))
    return found
