"""Laws of a random transformation parameter, on the line where attacks add up.

Multiplicative parameters (contrast, gamma) live there as their logarithms, so that every attack is a shift of the law.
All densities here are log-concave: the likelihood ratio of a shift is monotone, and Neyman and Pearson's worst set is a
half-line. Arrays in, arrays out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]


class Law(Protocol):
    """A log-concave law of scale `scale` on the line."""

    name: ClassVar[str]
    smooth: ClassVar[bool]  # whether the density is absolutely continuous, as the path bound needs it

    @property
    def scale(self) -> float:
        """In the unit of the parameter, or of its logarithm."""

    def cdf(self, y: Any) -> Any:
        """P(Y <= y)."""

    def sf(self, y: Any) -> Any:
        """P(Y > y)."""

    def ppf(self, p: Any) -> Any:
        """The y with P(Y <= y) = p."""

    def isf(self, p: Any) -> Any:
        """The y with P(Y > y) = p."""

    def pdf(self, y: Array) -> Array:
        """Density at y; 0 off the support."""

    def score(self, y: Array) -> Array:
        """-d log density / dy at points of the support: what a shift to the right adds to the log-likelihood."""


@dataclass(frozen=True)
class Normal:
    """N(0, scale^2)."""

    name: ClassVar[str] = "normal"
    smooth: ClassVar[bool] = True
    scale: float

    def cdf(self, y: Any) -> Any:
        return ndtr(np.divide(y, self.scale))

    def sf(self, y: Any) -> Any:
        return ndtr(np.divide(y, -self.scale))

    def ppf(self, p: Any) -> Any:
        return self.scale * ndtri(p)

    def isf(self, p: Any) -> Any:
        return -self.scale * ndtri(p)

    def pdf(self, y: Array) -> Array:
        return np.asarray(np.exp(-0.5 * np.square(y / self.scale)) / (self.scale * math.sqrt(2 * math.pi)))

    def score(self, y: Array) -> Array:
        return y / self.scale**2


@dataclass(frozen=True)
class LogNormal(Normal):
    """exp of N(0, scale^2), by its logarithm."""

    name: ClassVar[str] = "lognormal"


@dataclass(frozen=True)
class LogRayleigh:
    """Rayleigh of the given scale, by its logarithm."""

    name: ClassVar[str] = "rayleigh"
    smooth: ClassVar[bool] = True
    scale: float

    def cdf(self, y: Any) -> Any:
        return -np.expm1(-self._half_square(y))

    def sf(self, y: Any) -> Any:
        return np.exp(-self._half_square(y))

    def ppf(self, p: Any) -> Any:
        return math.log(self.scale) + 0.5 * np.log(-2 * np.log1p(-np.asarray(p)))

    def isf(self, p: Any) -> Any:
        return math.log(self.scale) + 0.5 * np.log(-2 * np.log(p))

    def pdf(self, y: Array) -> Array:
        half = self._half_square(y)
        return np.asarray(2 * half * np.exp(-half))

    def score(self, y: Array) -> Array:
        return np.asarray(2 * self._half_square(y) - 2)

    def _half_square(self, y: Any) -> Any:
        return 0.5 * np.exp(2 * (np.asarray(y) - math.log(self.scale)))


@dataclass(frozen=True)
class Exponential:
    """Exponential with mean `scale`."""

    name: ClassVar[str] = "exponential"
    smooth: ClassVar[bool] = False
    scale: float

    def cdf(self, y: Any) -> Any:
        return -np.expm1(-np.maximum(y, 0) / self.scale)

    def sf(self, y: Any) -> Any:
        return np.exp(-np.maximum(y, 0) / self.scale)

    def ppf(self, p: Any) -> Any:
        return -self.scale * np.log1p(-np.asarray(p))

    def isf(self, p: Any) -> Any:
        return -self.scale * np.log(p)

    def pdf(self, y: Array) -> Array:
        return np.where(y >= 0, np.exp(-np.maximum(y, 0) / self.scale) / self.scale, 0)

    def score(self, y: Array) -> Array:
        return np.full_like(y, 1 / self.scale)


@dataclass(frozen=True)
class Uniform:
    """Uniform on [0, scale]."""

    name: ClassVar[str] = "uniform"
    smooth: ClassVar[bool] = False
    scale: float

    def cdf(self, y: Any) -> Any:
        return np.clip(np.divide(y, self.scale), 0, 1)

    def sf(self, y: Any) -> Any:
        return np.clip(1 - np.divide(y, self.scale), 0, 1)

    def ppf(self, p: Any) -> Any:
        return self.scale * np.asarray(p)

    def isf(self, p: Any) -> Any:
        return self.scale * (1 - np.asarray(p))

    def pdf(self, y: Array) -> Array:
        return np.where((y >= 0) & (y <= self.scale), 1 / self.scale, 0)

    def score(self, y: Array) -> Array:
        return np.zeros_like(y)


@dataclass(frozen=True)
class FoldedNormal:
    """|N(0, scale^2)|."""

    name: ClassVar[str] = "folded-normal"
    smooth: ClassVar[bool] = False
    scale: float

    def cdf(self, y: Any) -> Any:
        return 1 - self.sf(y)

    def sf(self, y: Any) -> Any:
        return 2 * ndtr(-np.maximum(y, 0) / self.scale)

    def ppf(self, p: Any) -> Any:
        return self.scale * ndtri(0.5 + 0.5 * np.asarray(p))

    def isf(self, p: Any) -> Any:
        return -self.scale * ndtri(0.5 * np.asarray(p))

    def pdf(self, y: Array) -> Array:
        return np.where(y >= 0, 2 * Normal(self.scale).pdf(y), 0)

    def score(self, y: Array) -> Array:
        return y / self.scale**2


@dataclass(frozen=True)
class Rayleigh:
    """Rayleigh of the given scale: the length of a vector of two N(0, scale^2)."""

    name: ClassVar[str] = "rayleigh"
    smooth: ClassVar[bool] = True
    scale: float

    def cdf(self, y: Any) -> Any:
        return -np.expm1(-0.5 * np.square(np.maximum(y, 0) / self.scale))

    def sf(self, y: Any) -> Any:
        return np.exp(-0.5 * np.square(np.maximum(y, 0) / self.scale))

    def ppf(self, p: Any) -> Any:
        return self.scale * np.sqrt(-2 * np.log1p(-np.asarray(p)))

    def isf(self, p: Any) -> Any:
        return self.scale * np.sqrt(-2 * np.log(p))

    def pdf(self, y: Array) -> Array:
        y = np.maximum(y, 0) / self.scale
        return np.asarray(y * np.exp(-0.5 * y * y) / self.scale)

    def score(self, y: Array) -> Array:
        return np.asarray(y / self.scale**2 - 1 / np.maximum(y, 1e-300))
