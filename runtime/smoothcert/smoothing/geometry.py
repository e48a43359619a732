"""Random translation, rotation and scaling."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..bounds.laws import LogNormal
from ..draws import MAX_STD, Stream, float_normal, integer_normal
from ..errors import require
from ..inputs.input import Input
from ..transforms import warps
from ..transforms.checks import INTERPOLATIONS
from ..transforms.enclosure import enclose
from ..transforms.motions import ROTATION, SCALING, Motion
from .color import CONTRASTS
from .grid import Grid
from .part import Limited, Pair, Part
from .ranges import Range
from .transform import Image, Kind, Transform

WHOLE = "whole"
CYCLIC = "translation border=wrap interpolation=whole"  # the form whose values add up exactly


@dataclass(frozen=True)
class Warp(Transform):
    """A transformation of positions, by OpenCV's warps: `border` fills what it leaves open."""

    choices: ClassVar[Mapping[str, Sequence[str]]] = {"border": warps.WARP_BORDERS, "interpolation": [*INTERPOLATIONS]}
    border: str = "black"
    interpolation: str = "bilinear"


@dataclass(frozen=True)
class Enclosed(Warp):
    """A warp whose positions move in a way that is known, so that a range of it can be sliced."""

    motion: ClassVar[Motion]

    def enclose(self, image: Image, low: float, high: float) -> Iterator[tuple[Image, Image]]:
        return enclose(self.motion, image, low, high, border=self.border, interpolation=self.interpolation)


@dataclass(frozen=True)
class Rotate(Enclosed):
    """Turned counter-clockwise about its middle by so many degrees."""

    name: ClassVar[str] = "rotation"
    unit: ClassVar[str] = "degrees"
    kind: ClassVar[Kind] = "additive"
    identity: ClassVar[Any] = 0.0
    help: ClassVar[str] = "the image is turned around its middle"
    example: ClassVar[str] = "rotation=-10:10"
    motion: ClassVar[Motion] = ROTATION
    limits: ClassVar[tuple[float, float]] = ROTATION.limits
    widest: ClassVar[float] = 30.0

    def apply(self, image: Image, value: Any) -> Image:
        return warps.rotate(image, value, self.border, self.interpolation)


@dataclass(frozen=True)
class Scale(Enclosed):
    """Enlarged about its middle by a factor."""

    name: ClassVar[str] = "scaling"
    unit: ClassVar[str] = "factor"
    kind: ClassVar[Kind] = "factor"
    identity: ClassVar[Any] = 1.0
    help: ClassVar[str] = "the image is enlarged around its middle, below 1 shrunk"
    example: ClassVar[str] = "scaling=0.9:1.1"
    motion: ClassVar[Motion] = SCALING
    limits: ClassVar[tuple[float, float]] = SCALING.limits
    widest: ClassVar[float] = math.log(1.1)

    def apply(self, image: Image, value: Any) -> Image:
        return warps.scale(image, value, self.border, self.interpolation)


@dataclass(frozen=True)
class Translate(Warp):
    """Moved by (down, right) pixels."""

    name: ClassVar[str] = "translation"
    unit: ClassVar[str] = "l2 norm, pixels"
    kind: ClassVar[Kind] = "norm"
    identity: ClassVar[Any] = (0.0, 0.0)
    help: ClassVar[str] = "the image is moved; with border=wrap what leaves comes back"
    example: ClassVar[str] = "translation=3"

    def apply(self, image: Image, value: Any) -> Image:
        return warps.translate(image, value[1], value[0], self.border, self.interpolation)

    def members(self, r: Range) -> tuple[Any, ...]:
        fits = r.low in (0, r.high) and r.points is None
        require(fits, f"attack: expected translation=RADIUS to enumerate, got {r}")
        require(0 <= r.high <= 500, f"attack: expected a radius of 0 to 500 pixels, got {r.high:g}")
        reach = range(-int(r.high), int(r.high) + 1)
        return tuple((dy, dx) for dy in reach for dx in reach if math.hypot(dy, dx) <= r.high)


@dataclass(frozen=True)
class Warped(Limited):
    """A part that acts on the raw 8-bit image alone, by OpenCV's warps.

    Two warps of pixels are one warp up to an interpolation error, so that a calibration is needed. `border`: black,
    wrap, reflect101, replicate; `interpolation`: bilinear, nearest, bicubic. Draws ahead of or behind an attack carry
    it further: together they stay within the transformation's `limits`. Source: Fischer, Baader, Vechev 2020, section
    4; theory.md section 4.
    """

    moves: ClassVar[bool] = True
    scale: float
    law: str = "normal"
    border: str = "black"
    interpolation: str = "bilinear"


@dataclass(frozen=True)
class Rotation(Warped):
    """Rotation of the 8-bit image about its middle by N(0, scale^2) degrees, counter-clockwise; see `Warped`."""

    transforms: ClassVar[type[Transform]] = Rotate
    help: ClassVar[str] = "standard deviation in degrees"


@dataclass(frozen=True)
class Scaling(Warped):
    """Scaling of the 8-bit image about its middle by a factor f, log f ~ N(0, scale^2); see `Warped`."""

    transforms: ClassVar[type[Transform]] = Scale
    help: ClassVar[str] = "standard deviation of the factor's logarithm"
    laws: ClassVar[Mapping[str, type[Any]]] = {"lognormal": LogNormal}
    law: str = "lognormal"


@dataclass(frozen=True)
class Translation(Part):
    """Translation by N(0, scale^2) pixels on each axis: p_star(d) = Phi(|d| / scale), |d| in l2.

    By default by whole pixels, round(N(0, scale^2)), and cyclic: then attacks are translations by whole pixels too, and
    the theorem is exact on 8-bit images. Another `border` (black, reflect101, replicate) or `interpolation` (bilinear,
    nearest, bicubic: fractions of a pixel) composes up to an error, and needs a calibration.
    """

    transforms: ClassVar[type[Transform]] = Translate
    help: ClassVar[str] = "standard deviation on each axis, in pixels"
    moves: ClassVar[bool] = True
    choices: ClassVar[Mapping[str, Sequence[str]]] = {"interpolation": [WHOLE, *INTERPOLATIONS]}
    pairs: ClassVar[tuple[Pair, ...]] = (
        (CYCLIC, "noise", "carries"),
        *((CYCLIC, other, "commute") for other in ("brightness", *CONTRASTS, "gamma", "blur border=wrap")),
    )
    scale: float
    law: str = "normal"
    border: str = "wrap"
    interpolation: str = WHOLE

    def __post_init__(self) -> None:
        Part.__post_init__(self)
        require(
            self.scale <= MAX_STD, f"translation: expected a scale of at most {MAX_STD:g} pixels, got {self.scale:g}"
        )

    @property
    def whole(self) -> bool:  # type: ignore[override]
        """Whether 8-bit inputs stay whole numbers: they are only moved."""
        return self.composes

    @property
    def composes(self) -> bool:  # type: ignore[override]
        """Whether translations add up exactly: whole pixels that leave on one side and come back on the other."""
        return self.border == "wrap" and self.interpolation == WHOLE

    @property
    def stretch(self) -> float | None:
        return 1.0 if self.composes else None

    @property
    def transform(self) -> Transform:
        return Translate(self.border, "nearest" if self.interpolation == WHOLE else self.interpolation)

    def grid(self, r: Range) -> Grid:
        grid = self.transforms.grid(r)
        whole = self.interpolation != WHOLE or all(v.is_integer() for point in grid.points for v in point)
        require(whole, f"attack: expected a grid of whole pixels, as draws are, got {r}; give translation={r.high:g}")
        return grid

    def require_measurable(self, r: Range) -> None:
        # Whole shifts under the attack of half a pixel are no shift of their law.
        whole = self.interpolation == WHOLE
        require(not whole, f"calibration: expected translation with interpolation=bilinear, got {self.label}")

    def total_variation(self, x: Input) -> float:
        return 2 * integer_normal(self.scale).total_variation if self.interpolation == WHOLE else 0.0

    def draw(self, stream: Stream, first: int, batch: int) -> NDArray[Any]:
        """(batch, 2) pixels, down and to the right; whole numbers where translations are."""
        if self.interpolation == WHOLE:
            shifts = np.empty((batch, 2), np.int16)
            integer_normal(self.scale).fill(stream, first, shifts)
            return shifts
        normals = np.empty((batch, 2), np.float32)
        float_normal(stream, first, normals)
        return normals.astype(float) * self.scale

    def fill(self, encoded: Any, values: NDArray[Any], out: NDArray[Any], unit: float) -> None:
        warps.cyclic_shift(encoded, values.astype(int), out)

    def act(self, out: NDArray[Any], values: NDArray[Any], unit: float) -> None:
        for i in range(len(out)):
            self.fill(out[i].copy(), values[i : i + 1], out[i : i + 1], unit)
