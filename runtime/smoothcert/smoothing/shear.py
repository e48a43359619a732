"""Random shear."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..errors import require
from ..transforms.motions import Floats, Motion, Sweep, straight
from ..transforms.warps import warped
from .geometry import Enclosed, Warped
from .transform import Image, Kind, Transform

LIMITS = (-10.0, 10.0)  # columns a row


def shear(image: Image, k: float, border: str = "black", interpolation: str = "bilinear") -> Image:
    """The image sheared sideways: a row y pixels below the middle moves k y pixels right; the shape stays."""
    require(LIMITS[0] <= k <= LIMITS[1], f"shear: expected {LIMITS[0]:g} to {LIMITS[1]:g} columns a row, got {k:g}")
    return warped(image, np.array([[1, k, -k * (image.shape[0] - 1) / 2], [0, 1, 0]], float), border, interpolation)


def _path(low: float, high: float) -> tuple[float, float, float]:
    return low, high, math.hypot(1.0, max(abs(low), abs(high)))


def _sweep(offsets: Floats, first: float, last: float) -> Sweep:
    """A pixel k y columns to the left of its place."""
    return straight(offsets, np.stack([-offsets[1], np.zeros_like(offsets[1])]), first, last)


SHEARING = Motion("shear", LIMITS, _path, _sweep)


@dataclass(frozen=True)
class ShearRows(Enclosed):
    """Rows moved sideways, the more the farther they are from the middle: so many columns for each row."""

    name: ClassVar[str] = "shear"
    unit: ClassVar[str] = "columns a row"
    kind: ClassVar[Kind] = "additive"
    identity: ClassVar[Any] = 0.0
    help: ClassVar[str] = "rows are moved sideways, the more the farther from the middle"
    example: ClassVar[str] = "shear=-0.1:0.1"
    motion: ClassVar[Motion] = SHEARING
    limits: ClassVar[tuple[float, float]] = LIMITS
    widest: ClassVar[float] = 0.5

    def apply(self, image: Image, value: Any) -> Image:
        return shear(image, value, self.border, self.interpolation)


@dataclass(frozen=True)
class Shear(Warped):
    """Shear of the 8-bit image about its middle row by N(0, scale^2) columns a row; see `Warped`."""

    transforms: ClassVar[type[Transform]] = ShearRows
    help: ClassVar[str] = "standard deviation in columns a row"
