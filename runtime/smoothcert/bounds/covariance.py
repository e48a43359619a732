"""Gaussian laws of vectors whose covariance is of low rank plus a diagonal: theory.md section 6."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import require

_UP = 1 + 1e-9  # distances are rounded up: float64 sums of squares are good to 1e-12


@dataclass(frozen=True, eq=False)
class Covariance:
    """S = F F' + diag(v^2), F of shape (d, k) and v > 0 of shape (d,), both float64.

    >>> import numpy as np
    >>> s = Covariance(0.5 * np.array([[2.0], [0.0]]), np.array([0.3, 0.3]))
    >>> round(float(s.distances(np.array([[0.5, 0.2]]))[0]), 6)
    0.820855
    """

    factor: NDArray[np.float64]
    deviations: NDArray[np.float64]

    def __post_init__(self) -> None:
        d = len(self.deviations)
        shapes = self.deviations.shape == (d,) and self.factor.ndim == 2 and len(self.factor) == d > 0
        require(shapes, f"covariance: expected (d, k) and (d,), got {self.factor.shape} and {self.deviations.shape}")
        finite = bool(np.isfinite(self.factor).all() and np.isfinite(self.deviations).all())
        require(finite and bool((self.deviations > 0).all()), "covariance: expected finite numbers, deviations above 0")

    def scaled(self, sigma: float) -> Covariance:
        """sigma^2 S."""
        return Covariance(sigma * self.factor, sigma * self.deviations)

    @property
    def least(self) -> float:
        """A lower bound on the standard deviation in any direction."""
        return float(self.deviations.min())

    @cached_property
    def _solver(self) -> NDArray[np.float64]:
        """(I + G' G)^-1 G' of shape (k, d), G = F / v."""
        g = self.factor / self.deviations[:, None]
        return np.asarray(np.linalg.solve(np.eye(g.shape[1]) + g.T @ g, g.T))

    def distances(self, shifts: NDArray[np.float64], slip: float = 0.0) -> NDArray[np.float64]:
        """sqrt(D' S^-1 D) of each row D of (n, d), in standard deviations, rounded up.

        D' S^-1 D is the least |t|^2 + |(D - F t) / v|^2 over all t: whatever t rounding leaves, the sum bounds it from
        above, and nothing cancels, as it would in Woodbury's formula. `slip` is what F t may be off by, in deviations,
        where the law is drawn on a grid; t = 0 has none.
        """
        scaled = shifts / self.deviations
        t = scaled @ self._solver.T
        rest = np.linalg.norm(scaled - t @ (self.factor / self.deviations[:, None]).T, axis=1)
        found = np.hypot(np.linalg.norm(t, axis=1), rest + slip)
        return np.asarray(np.minimum(found, np.linalg.norm(scaled, axis=1)) * _UP)

    def stretch(self, matrix: NDArray[np.float64]) -> float:
        """How many standard deviations a unit vector x, as `matrix` x of shape (d,), is long at most; rounded up.

        The largest singular value of the stacked least-squares residual: the same t for every x is as good as any.
        """
        scaled = matrix / self.deviations[:, None]
        t = self._solver @ scaled
        rest = scaled - (self.factor / self.deviations[:, None]) @ t
        return float(np.linalg.norm(np.vstack([t, rest]), 2)) * (1 + 1e-6)
