"""How the positions that a warp takes its pixels from move, as its value runs over an interval.

An exact warp puts into each pixel p the interpolant at the source position R(-a)(p - c) + c for a rotation,
(p - c) / a + c for a scaling, p - a (y - c_y) e_x for a shear, c the middle: as a runs, along an arc or a segment.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .warps import SCALES

Floats = NDArray[np.float64]
Bounds = tuple[Floats, Floats]


class Sweep(NamedTuple):
    """Where the positions (2, n), (x, y) from the middle, go in one step, and how fast as its parameter runs."""

    start: Floats
    end: Floats
    box: Bounds
    speed: Bounds
    span: float


class Motion(NamedTuple):
    """How the positions move that a warp takes its pixels from, as its value runs.

    `limits`: of values. `path(low, high)`: the parameter that positions move along, from and to, and how many times
    longer than the image's diagonal a position's |x| + |y| can become. `sweep(offsets, first, last)`: where the
    positions of the pixels at these offsets (2, n) from the middle go in one step of that parameter.
    """

    name: str
    limits: tuple[float, float]
    path: Callable[[float, float], tuple[float, float, float]]
    sweep: Callable[[Floats, float, float], Sweep]


def straight(fixed: Floats, rate: Floats, first: float, last: float) -> Sweep:
    """Positions fixed + rate t, for t from first to last."""
    start, end = fixed + rate * first, fixed + rate * last
    return Sweep(start, end, (np.minimum(start, end), np.maximum(start, end)), (rate, rate), last - first)


def _arc(offsets: Floats, first: float, last: float) -> Sweep:
    """Positions turned by an angle in radians."""
    turned = np.stack([-offsets[1], offsets[0]])
    start, end = (math.cos(time) * offsets + math.sin(time) * turned for time in (first, last))
    # Less than a quarter turn: x comes to its greatest or least, the radius, where y passes 0, and y where x does.
    passes = start[::-1] * end[::-1] <= 0
    top = np.where(passes, np.copysign(np.hypot(*offsets), start + end), start)
    lower, upper = np.minimum(np.minimum(start, end), top), np.maximum(np.maximum(start, end), top)
    speed = np.stack([-upper[1], lower[0]]), np.stack([-lower[1], upper[0]])
    return Sweep(start, end, (lower, upper), speed, last - first)


def _turn(low: float, high: float) -> tuple[float, float, float]:
    first = math.radians(math.remainder(low, 360))  # `rotate` takes the same remainder
    return first, first + math.radians(min(high - low, 360.0)), 1.0


ROTATION = Motion("rotation", (-1e6, 1e6), _turn, _arc)
# Positions are linear in the factor's inverse.
SCALING = Motion(
    "scaling", SCALES, lambda low, high: (1 / high, 1 / low, 1 / low), lambda x, a, b: straight(0 * x, x, a, b)
)
