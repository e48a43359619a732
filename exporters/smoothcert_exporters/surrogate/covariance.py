"""The noise on codes: one covariance for all inputs, fitted to the differences that real transformations make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Covariance:
    """S = factor factor' + diag(deviations^2): factor (d, k), deviations (d,) > 0."""

    factor: Array
    deviations: Array

    def deltas(self, differences: NDArray[Any]) -> Array:
        """sqrt(D' S^-1 D) of each row of differences (n, d), by a solve of k by k (Woodbury)."""
        scaled = np.asarray(differences, float) / self.deviations
        if not self.factor.shape[1]:
            return np.asarray(np.sqrt((scaled**2).sum(1)))
        inner = self.factor / self.deviations[:, None]
        within = scaled @ inner
        solved = np.linalg.solve(np.eye(inner.shape[1]) + inner.T @ inner, within.T).T
        squares = (scaled**2).sum(1) - (within * solved).sum(1)
        return np.asarray(np.sqrt(np.maximum(squares, 0)))

    def times(self, scale: float) -> Covariance:
        """The covariance of noise so many times as large."""
        return Covariance(self.factor * scale, self.deviations * scale)


def fit(differences: NDArray[Any], *, rank: int, floor: float) -> Covariance:
    """The shape of S for differences (n, d): proportional to the root of E[D D'], the least noise for its cost.

    Of all S with E[D' S^-1 D] = 1 it has the least trace. The `rank` strongest directions are kept, what is left of the
    others is one deviation for all, and `floor`, as a share of the root's mean eigenvalue, is added to it, so that no
    direction is without noise. Scaled so that E[D' S^-1 D] is about 1.
    """
    rows = np.asarray(differences, float) / np.sqrt(len(differences))
    width = rows.shape[1]
    if len(rows) < width:
        roots, directions = np.linalg.svd(rows, full_matrices=False)[1:]
    else:
        squares, columns = np.linalg.eigh(rows.T @ rows)
        roots, directions = np.sqrt(np.maximum(squares, 0))[::-1], columns.T[::-1]
    kept = min(rank, len(roots))
    rest = float(roots[kept:].sum()) / max(1, width - kept)
    level = rest + floor * float(roots.sum()) / width + 1e-9
    above = np.maximum(roots[:kept] - rest, 0)
    factor = _signed(directions[:kept]).T * np.sqrt(above)
    shape = Covariance(factor, np.full(width, np.sqrt(level)))
    return shape.times(float(np.sqrt((shape.deltas(differences) ** 2).mean())))


def _signed(directions: Array) -> Array:
    """Directions with their largest entry positive: which of the two a library finds is chance."""
    largest = np.abs(directions).argmax(1)
    return np.asarray(directions * np.sign(directions[np.arange(len(directions)), largest])[:, None])
