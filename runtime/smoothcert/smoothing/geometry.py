"""Random translation, rotation and scaling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..bounds.laws import LogNormal, Normal
from ..draws import MAX_STD, Stream, float_normal, integer_normal
from ..errors import require
from ..transforms.attacks import Manner
from ..transforms.checks import INTERPOLATIONS, require_name
from ..transforms.geometry import WARP_BORDERS
from .attack import Range
from .grid import Grid
from .part import Kind, Part

WHOLE = "whole"


class _Warp(Part):
    """A part that OpenCV's warps compute, with a border and an interpolation."""

    moves: ClassVar[bool] = True
    border: str
    interpolation: str

    def __post_init__(self) -> None:
        Part.__post_init__(self)
        require_name(f"{self.name} border", self.border, WARP_BORDERS)
        require_name(f"{self.name} interpolation", self.interpolation, [*INTERPOLATIONS])

    @property
    def manner(self) -> Manner:
        return Manner(self.border, self.interpolation)


@dataclass(frozen=True)
class Rotation(_Warp):
    """Rotation of the 8-bit image about its middle by N(0, scale^2) degrees, counter-clockwise.

    Two rotations of pixels are one rotation up to an interpolation error, so that a calibration is needed. `border`:
    black, wrap, reflect101, replicate; `interpolation`: bilinear, nearest, bicubic. Source: Fischer, Baader, Vechev
    2020, section 4; theory.md section 4.
    """

    name: ClassVar[str] = "rotation"
    unit: ClassVar[str] = "degrees"
    kind: ClassVar[Kind] = "additive"
    laws: ClassVar[Mapping[str, type[Any]]] = {"normal": Normal}
    scale: float
    law: str = "normal"
    border: str = "black"
    interpolation: str = "bilinear"


@dataclass(frozen=True)
class Scaling(_Warp):
    """Scaling of the 8-bit image about its middle by a factor f, log f ~ N(0, scale^2); with a calibration.

    Borders and interpolations as for `Rotation`.
    """

    name: ClassVar[str] = "scaling"
    unit: ClassVar[str] = "factor"
    kind: ClassVar[Kind] = "factor"
    laws: ClassVar[Mapping[str, type[Any]]] = {"lognormal": LogNormal}
    scale: float
    law: str = "lognormal"
    border: str = "black"
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        super().__post_init__()
        # Draws reach 8.3 standard deviations; OpenCV scales by factors up to 100.
        require(self.scale <= 0.5, f"scaling: expected a scale of at most 0.5, got {self.scale:g}")


@dataclass(frozen=True)
class Translation(Part):
    """Translation by N(0, scale^2) pixels on each axis: p_star(d) = Phi(|d| / scale), |d| in l2.

    By default by whole pixels, round(N(0, scale^2)), and cyclic: then attacks are translations by whole pixels too, and
    the theorem is exact on 8-bit images. Another `border` (black, reflect101, replicate) or `interpolation` (bilinear,
    nearest, bicubic: fractions of a pixel) composes up to an error, and needs a calibration.
    """

    name: ClassVar[str] = "translation"
    unit: ClassVar[str] = "l2 norm, pixels"
    kind: ClassVar[Kind] = "norm"
    laws: ClassVar[Mapping[str, type[Any]]] = {"normal": Normal}
    moves: ClassVar[bool] = True
    scale: float
    law: str = "normal"
    border: str = "wrap"
    interpolation: str = WHOLE

    def __post_init__(self) -> None:
        super().__post_init__()
        require_name("translation border", self.border, WARP_BORDERS)
        require_name("translation interpolation", self.interpolation, [WHOLE, *INTERPOLATIONS])
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
    def manner(self) -> Manner:
        return Manner(self.border, "nearest" if self.interpolation == WHOLE else self.interpolation)

    def grid(self, r: Range) -> Grid:
        grid = Grid(self.name, r)
        whole = self.interpolation != WHOLE or all(v.is_integer() for point in grid.points for v in point)
        require(whole, f"attack: expected a grid of whole pixels, as draws are, got {r}; give translation={r.high:g}")
        return grid

    def drawn_slack(self, x: NDArray[Any]) -> float:
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
