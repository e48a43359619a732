"""Pixelation: fewer pixels, each as large as several were."""

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


def pixelate(image: Image, factor: float) -> Image:
    """The image with sides of int(side * factor) pixels, at least 1, brought back to its size.

    Down by cv2.INTER_AREA, the mean of what a pixel covers; back by the nearest pixel, centre to centre. As `pixelate`
    of Hendrycks and Dietterich 2019 (ImageNet-C) does it, there for square images and by Pillow.
    """
    image = eight_bit(image)
    _require_factor(factor)
    height, width = image.shape[:2]
    plane = image.reshape(height, width, -1)
    require(plane.shape[2] <= 4, f"pixelate: expected at most 4 channels behind the pixels, got {plane.shape[2]}")
    rows, columns = _side(height, factor), _side(width, factor)
    small = cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_AREA).reshape(rows, columns, -1)
    found = small.take(_nearest(height, rows), 0).take(_nearest(width, columns), 1)
    return np.asarray(found, np.uint8).reshape(image.shape)


@dataclass(frozen=True)
class Pixelate(Transform):
    """Shrunk by a factor in (0, 1], and enlarged again to squares of one colour.

    Factors count by the whole sides that they give: on an image of H x W pixels an interval has H + W different ones at
    most, and all of them are its members there.
    """

    name: ClassVar[str] = "pixelate"
    unit: ClassVar[str] = "factor of the sides"
    kind: ClassVar[Kind] = "listed"
    identity: ClassVar[Any] = 1.0
    help: ClassVar[str] = "the image is made of fewer pixels: finitely many results, all enumerated"
    example: ClassVar[str] = "pixelate=0.5:1"
    limits: ClassVar[tuple[float, float]] = (math.ulp(0.0), 1.0)

    def apply(self, image: Image, value: Any) -> Image:
        return pixelate(image, value)

    def members(self, r: Range) -> tuple[Any, ...]:
        """Those of a value or a grid; `ArgumentError` for an interval, which has others on every size of an image."""
        _require_factor(r.low)
        _require_factor(r.high)
        one = r.is_one or r.points is not None
        require(one, f"attack: expected the sides of an image for the members of pixelate={r}; ask `members_on`")
        return Transform.members(self, r)

    def members_on(self, r: Range, sides: tuple[int, int]) -> tuple[Any, ...]:
        """The least factor of the range, and every one at which a side of the small image becomes longer."""
        if r.is_one or r.points:
            return self.members(r)
        _require_factor(r.low)
        _require_factor(r.high)
        steps = {factor for side in set(sides) for factor in _steps(side) if r.low < factor <= r.high}
        return (r.low, *sorted(steps))


def _require_factor(factor: float) -> None:
    require(0 < factor <= 1, f"pixelate: expected a factor above 0, up to 1, got {factor:g}")


def _side(side: int, factor: float) -> int:
    """Pixels that are left of a side."""
    return max(1, int(side * factor))


@lru_cache(maxsize=64)
def _nearest(side: int, small: int) -> NDArray[np.int64]:
    """For each pixel of a side the one, of so many fewer, in which its centre lies: in whole numbers, exactly."""
    return (2 * np.arange(side) + 1) * small // (2 * side)


@lru_cache(maxsize=64)
def _steps(side: int) -> tuple[float, ...]:
    """For each 2..side the least float that leaves as many pixels of that side."""
    return tuple(_least(side, pixels) for pixels in range(2, side + 1))


def _least(side: int, pixels: int) -> float:
    """The least factor that leaves so many pixels: products of floats are rounded, but never fall as a factor grows."""
    factor = pixels / side
    while _side(side, factor) < pixels:
        factor = math.nextafter(factor, math.inf)
    while _side(side, below := math.nextafter(factor, 0)) >= pixels:
        factor = below
    return factor
