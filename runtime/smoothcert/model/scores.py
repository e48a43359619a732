"""How far two tables of scores lie apart."""

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


def shares(gap: NDArray[Any], expected: NDArray[Any], scale: NDArray[Any] | float) -> NDArray[Any]:
    """Differences as shares of the scale, or of the score itself where that is larger; inf for what is no number."""
    sizes = np.maximum(np.abs(np.where(np.isfinite(expected), expected, 0.0)), scale)
    part: NDArray[Any] = np.divide(gap, sizes, out=np.where(gap == 0, 0.0, np.inf), where=sizes > 0)
    shown: NDArray[Any] = np.nan_to_num(part, nan=np.inf)
    return shown


def difference(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """Largest difference of a row, relative to the row's largest value: 0 for equal labels, inf for other shapes.

    Rows that hold NaN or infinite values must do so in the same places.
    """
    if ours.size != theirs.size or len(ours) != len(theirs):
        return np.inf
    if not len(ours):
        return 0.0
    a, b = (np.asarray(v).reshape(len(v), -1) for v in (ours, theirs))
    if a.dtype.kind not in "fiub" or b.dtype.kind not in "fiub":
        return 0.0 if (a == b).all() else np.inf
    if b.dtype.kind != "f":
        return float((a != b).any())
    a, b = a.astype(float), b.astype(float)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return np.inf
    gap = np.abs(np.where(finite, a, 0) - np.where(finite, b, 0))
    return float(shares(gap, b, np.maximum(scales(b), np.finfo(np.float32).tiny)).max(initial=0))
