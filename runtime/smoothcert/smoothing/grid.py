"""The points of a grid of attacks: the one definition of what is measured, claimed, accepted and audited."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import require
from .ranges import Range

_NEAR = 1e-9  # of a number, or of 1: how far it may be from a point and still be taken for it
_EDGE = 1 + 1e-12  # a lattice point on the circle belongs to the disc
_MOST = 1000  # points to an axis of a lattice


@dataclass(frozen=True)
class Grid:
    """The grid that a range with `points` means for a parameter.

    Numbers: so many, evenly spaced, from low to high; lengths, for noise. Translations: a square lattice with so many
    points to an axis, from -high to high, within the disc of radius high. A point near the identity is the identity.
    """

    name: str
    range: Range
    identity: Any = 0.0  # of the parameter: a number, or (down, right)

    @property
    def is_planar(self) -> bool:
        """Whether points are vectors (down, right)."""
        return isinstance(self.identity, tuple)

    @property
    def spacing(self) -> float:
        """From one point to the next: in the parameter's unit, along either axis."""
        r = self.range
        return (r.high - (-r.high if self.is_planar else r.low)) / ((r.points or 2) - 1)

    def _near(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far numbers of that size may be from a point and still be taken for it."""
        return np.minimum(_NEAR * np.maximum(1.0, abs(values)), self.spacing / 1000)

    @cached_property
    def _line(self) -> NDArray[np.float64]:
        """The numbers, or the coordinates on either axis."""
        r = self.range
        line = np.linspace(-r.high if self.is_planar else r.low, r.high, r.points or 2)
        still = float(np.max(self.identity))
        return np.where(abs(line - still) <= self._near(line), still, line)

    @cached_property
    def points(self) -> tuple[Any, ...]:
        """Numbers, or (down, right); `ValueError` for a lattice that has too many, or none within the disc."""
        if not self.is_planar:
            return tuple(self._line.tolist())
        n, radius = self.range.points or 2, self.range.high
        require(n <= _MOST, f"attack: expected a grid of at most {_MOST} points to an axis for {self.name}, got {n}")
        down, right = (axis.ravel() for axis in np.meshgrid(self._line, self._line, indexing="ij"))
        inside = np.hypot(down, right) <= radius * _EDGE
        require(bool(inside.any()), f"attack: no point of the grid {self.name} {self.range} is in the disc; take more")
        return tuple(zip(down[inside].tolist(), right[inside].tolist(), strict=True))

    @property
    def sizes(self) -> tuple[float, ...]:
        """The numbers, or the different lengths of the points."""
        return tuple(sorted({math.hypot(*p) for p in self.points})) if self.is_planar else self.points

    def lacks(self, values: Sequence[Any]) -> bool:
        """Whether any of the values, numbers or (down, right), is no point of the grid."""
        found = np.asarray(values, float)
        place = np.searchsorted(self._line, found)
        left, right = (self._line[np.clip(place - side, 0, len(self._line) - 1)] for side in (1, 0))
        nearest = np.where(found - left < right - found, left, right)
        off = abs(found - nearest) > self._near(found)
        outside = self.is_planar and np.hypot(*nearest.T) > self.range.high * _EDGE
        return bool(np.any(off) or np.any(outside))
