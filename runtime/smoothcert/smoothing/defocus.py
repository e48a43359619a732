"""Defocus blur: every point becomes a disc, as before a lens that is out of focus."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import require
from ..transforms.checks import eight_bit
from .ranges import Range
from .transform import Image, Kind, Transform

MOST = 100.0  # pixels of radius


def defocus(image: Image, radius: float) -> Image:
    """Each pixel the mean of those within `radius` pixels of it, by cv2.filter2D, reflect101 beyond the border.

    As `defocus_blur` of Hendrycks and Dietterich 2019 (ImageNet-C) with `alias_blur=0.1`, which leaves the disc as it
    is. Sums are whole numbers; the mean alone is rounded, halves to even.
    """
    image = eight_bit(image)
    _require_radius(radius)
    height, width = image.shape[:2]
    disc = _disc(int(radius * radius))
    total = cv2.filter2D(image.reshape(height, width, -1).astype(float), -1, disc)  # by a Fourier transform if large
    return np.asarray(np.rint(np.rint(total) / disc.sum()), np.uint8).reshape(image.shape)


@dataclass(frozen=True)
class Defocus(Transform):
    """Blurred by a disc of a radius in pixels, 0 to 100.

    A radius counts by the pixels that lie within it: a new disc begins where its square reaches a sum of two squares,
    so that an interval has finitely many, 14 of them from 0 to 5, and all are its members.
    """

    name: ClassVar[str] = "defocus-blur"
    unit: ClassVar[str] = "radius, pixels"
    kind: ClassVar[Kind] = "listed"
    identity: ClassVar[Any] = 0.0
    help: ClassVar[str] = "each point becomes a disc: finitely many results, all enumerated"
    example: ClassVar[str] = "defocus-blur=0:5"
    limits: ClassVar[tuple[float, float]] = (0.0, MOST)

    def apply(self, image: Image, value: Any) -> Image:
        return defocus(image, value)

    def members(self, r: Range) -> tuple[Any, ...]:
        """The least radius of the range, and every one at which the disc becomes larger."""
        _require_radius(r.low)
        _require_radius(r.high)
        if r.points:
            return Transform.members(self, r)
        return (r.low, *(radius for radius in _steps() if r.low < radius <= r.high))


def _require_radius(radius: float) -> None:
    require(0 <= radius <= MOST, f"defocus-blur: expected a radius of 0 to {MOST:g} pixels, got {radius:g}")


@lru_cache(maxsize=32)
def _disc(square: int) -> NDArray[np.float64]:
    """1 where a pixel's squared distance from the middle is at most `square`, 0 elsewhere."""
    across = np.arange(-math.isqrt(square), math.isqrt(square) + 1)
    return np.asarray(np.add.outer(across**2, across**2) <= square, float)


@lru_cache(maxsize=1)
def _steps() -> tuple[float, ...]:
    """The least radius of every disc but the first."""
    squares = range(int(MOST) + 1)
    sums = {a * a + b * b for a in squares for b in squares[: a + 1]}
    return tuple(_least(square) for square in sorted(sums) if 0 < square <= MOST**2)


def _least(square: int) -> float:
    """The least float whose square, as floats multiply, is so large: products are rounded, but never fall."""
    radius = math.sqrt(square)
    while radius * radius < square:
        radius = math.nextafter(radius, math.inf)
    while (below := math.nextafter(radius, 0)) * below >= square:
        radius = below
    return radius
