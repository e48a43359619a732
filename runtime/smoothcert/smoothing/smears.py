"""Zoom blur, rotational blur and motion blur: means of an image and its warps, as a shutter that stays open sees."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar

from ..errors import require
from ..transforms import warps
from ..transforms.checks import INTERPOLATIONS, eight_bit
from ..transforms.enclosure import enclose
from ..transforms.means import mean
from ..transforms.motions import ROTATION
from .geometry import Warp
from .ranges import Range
from .transform import Image, Kind, Transform

MOST_ZOOM, LEAST_STEP = 10.0, 0.001
MOST_ANGLE = 180.0  # degrees
MOST_LENGTH = 1000  # pixels
_PIECES = 4  # of an interval that is enclosed


@dataclass(frozen=True)
class ZoomBlur(Transform):
    """The mean of the image enlarged about its middle by 1, 1 + step, 1 + 2 step, ... up to a factor from 1 to 10.

    After `zoom_blur` of Hendrycks and Dietterich 2019 (ImageNet-C), which counts the image itself twice, and leaves the
    last factor out. A factor counts by the copies that it adds, so that an interval has finitely many, and all are its
    members. Each copy is an 8-bit image.
    """

    name: ClassVar[str] = "zoom-blur"
    unit: ClassVar[str] = "largest factor"
    kind: ClassVar[Kind] = "listed"
    identity: ClassVar[Any] = 1.0
    help: ClassVar[str] = "the mean of enlarged copies, 0.01 apart: finitely many results, all enumerated"
    example: ClassVar[str] = "zoom-blur=1:1.5"
    choices: ClassVar[Mapping[str, Sequence[str]]] = {"interpolation": [*INTERPOLATIONS]}
    limits: ClassVar[tuple[float, float]] = (1.0, MOST_ZOOM)
    step: float = 0.01
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        Transform.__post_init__(self)
        fits = LEAST_STEP <= self.step < MOST_ZOOM
        require(fits, f"zoom-blur step: expected {LEAST_STEP:g} to {MOST_ZOOM:g}, got {self.step:g}")

    def apply(self, image: Image, value: Any) -> Image:
        _require_within(self, value)
        factors = _factors(self.step)
        # No enlarged image takes anything from beyond the border.
        copies = (warps.scale(image, f, "black", self.interpolation) for f in factors[1 : bisect_right(factors, value)])
        return mean([eight_bit(image), *copies])

    def members(self, r: Range) -> tuple[Any, ...]:
        """The least factor of the range, and every one that adds a copy."""
        _require_within(self, r.low, r.high)
        if r.points:
            return Transform.members(self, r)
        return (r.low, *(factor for factor in _factors(self.step) if r.low < factor <= r.high))


@dataclass(frozen=True)
class RotationalBlur(Warp):
    """The mean of the image and so many rotations of it, evenly up to an angle: -180 to 180 degrees.

    At an angle a, with 10 `rotations`, those by a / 10, 2 a / 10, ..., a degrees counter-clockwise about the middle,
    each an 8-bit image. The angle is a real number that results go along with: an interval has no end of members,
    and is sliced, or made a grid.
    """

    name: ClassVar[str] = "rotational-blur"
    unit: ClassVar[str] = "degrees"
    kind: ClassVar[Kind] = "listed"
    identity: ClassVar[Any] = 0.0
    help: ClassVar[str] = "the mean of the image and 10 rotations: no end of results, enumerated on a grid"
    example: ClassVar[str] = "rotational-blur=-10:10:41"
    limits: ClassVar[tuple[float, float]] = (-MOST_ANGLE, MOST_ANGLE)
    widest: ClassVar[float] = 30.0
    rotations: int = 10

    def __post_init__(self) -> None:
        Warp.__post_init__(self)
        whole = type(self.rotations) is int and 1 <= self.rotations <= 1000
        require(whole, f"rotational-blur rotations: expected a whole number from 1 to 1000, got {self.rotations}")

    def _angle(self, value: float, i: int) -> float:
        """Of rotation i: as floats are multiplied and divided, it never falls as the value grows."""
        return value * i / self.rotations

    def apply(self, image: Image, value: Any) -> Image:
        _require_within(self, value)
        angles = (self._angle(value, i) for i in range(1, self.rotations + 1))
        turned = (warps.rotate(image, angle, self.border, self.interpolation) for angle in angles)
        return mean([eight_bit(image), *turned])

    def members(self, r: Range) -> tuple[Any, ...]:
        _require_within(self, r.low, r.high)
        return Warp.members(self, r)

    def enclose(self, image: Image, low: float, high: float) -> Iterator[tuple[Image, Image]]:
        """Means of the lowest and of the highest images of each rotation: a mean never falls as its images rise."""
        _require_within(self, low, high)
        image = eight_bit(image)
        ends = [min(low + (high - low) * i / _PIECES, high) for i in range(_PIECES)] + [high]
        parts = [self._turned(image, *part) for part in pairwise(ends)]
        return ((mean([image, *lowest]), mean([image, *highest])) for lowest, highest in map(_bounds, parts))

    def _turned(self, image: Image, low: float, high: float) -> list[Iterator[tuple[Image, Image]]]:
        """For each rotation what encloses it."""
        border, interpolation = self.border, self.interpolation
        angles = [(self._angle(low, i), self._angle(high, i)) for i in range(1, self.rotations + 1)]
        return [
            enclose(ROTATION, image, *between, border=border, interpolation=interpolation, pieces=1)
            for between in angles
        ]


@dataclass(frozen=True)
class MotionBlur(Warp):
    """The mean of the image moved along a line, pixel by pixel, over a length of 1 to 1000 whole pixels.

    The line lies at `angle` degrees, counter-clockwise from the right, with the image in its middle: a length of 3 is
    the mean of the image and its shifts by 1 pixel to either side. Each shift is an 8-bit image. Lengths are whole
    numbers, of which an interval has finitely many, and all are its members.
    """

    name: ClassVar[str] = "motion-blur"
    unit: ClassVar[str] = "length, pixels"
    kind: ClassVar[Kind] = "listed"
    identity: ClassVar[Any] = 1.0
    help: ClassVar[str] = "the mean of the image moved along a line: whole lengths, all enumerated"
    example: ClassVar[str] = "motion-blur=1:5"
    limits: ClassVar[tuple[float, float]] = (1.0, float(MOST_LENGTH))
    angle: float = 0.0

    def __post_init__(self) -> None:
        Warp.__post_init__(self)
        require(math.isfinite(self.angle), f"motion-blur angle: expected finite degrees, got {self.angle:g}")

    def apply(self, image: Image, value: Any) -> Image:
        _require_whole(value)
        angle = math.radians(math.remainder(self.angle, 360))
        right, up = round(math.cos(angle), 12), round(math.sin(angle), 12)
        places = (i - (int(value) - 1) / 2 for i in range(int(value)))
        moved = [warps.translate(image, right * t, -up * t, self.border, self.interpolation) for t in places]
        return mean(moved)

    def members(self, r: Range) -> tuple[Any, ...]:
        """Every whole length of the range."""
        _require_whole(r.low, r.high)
        values = Warp.members(self, r) if r.points else range(int(r.low), int(r.high) + 1)
        _require_whole(*values)
        return tuple(map(float, values))


def _bounds(turned: list[Iterator[tuple[Image, Image]]]) -> tuple[list[Image], list[Image]]:
    """The lowest images and the highest ones, of an enclosure in one piece each."""
    lowest, highest = zip(*(next(one) for one in turned), strict=True)
    return list(lowest), list(highest)


@lru_cache(maxsize=8)
def _factors(step: float) -> tuple[float, ...]:
    """1, 1 + step, ... as decimal fractions: the very floats that 1.01, 1.02, ... stand for."""
    found = (round(1 + i * step, 12) for i in range(int((MOST_ZOOM - 1) / step) + 2))
    return tuple(factor for factor in found if factor <= MOST_ZOOM)


def _require_within(transform: Transform, *values: float) -> None:
    low, high = transform.limits
    for value in values:
        fits = low <= value <= high
        require(fits, f"{transform.name}: expected {low:g} to {high:g} ({transform.unit}), got {value:g}")


def _require_whole(*lengths: float) -> None:
    for length in lengths:
        fits = 1 <= length <= MOST_LENGTH and float(length).is_integer()
        require(fits, f"motion-blur: expected whole lengths from 1 to {MOST_LENGTH} pixels, got {length:g}")
