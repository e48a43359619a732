"""Random shear."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..bounds.laws import Normal
from ..draws import FARTHEST
from ..errors import require
from ..transforms import warps
from ..transforms.enclosure import enclose
from .geometry import Warp, Warped
from .part import Part
from .ranges import Range
from .transform import Image, Kind, Transform


@dataclass(frozen=True)
class ShearRows(Warp):
    """Rows moved sideways, the more the farther they are from the middle: so many columns for each row."""

    name: ClassVar[str] = "shear"
    unit: ClassVar[str] = "columns a row"
    kind: ClassVar[Kind] = "additive"
    identity: ClassVar[Any] = 0.0
    help: ClassVar[str] = "rows are moved sideways, the more the farther from the middle"
    example: ClassVar[str] = "shear=-0.1:0.1"
    widest: ClassVar[float] = 0.5

    def apply(self, image: Image, value: Any) -> Image:
        return warps.shear(image, value, self.border, self.interpolation)

    def enclose(self, image: Image, low: float, high: float) -> Iterator[tuple[Image, Image]]:
        return enclose("shear", image, low, high, border=self.border, interpolation=self.interpolation)


@dataclass(frozen=True)
class Shear(Warped):
    """Shear of the 8-bit image about its middle row by N(0, scale^2) columns a row; with a calibration.

    Borders and interpolations as for `Rotation`.
    """

    transforms: ClassVar[type[Transform]] = ShearRows
    help: ClassVar[str] = "standard deviation in columns a row"
    laws: ClassVar[Mapping[str, type[Any]]] = {"normal": Normal}
    scale: float
    law: str = "normal"
    border: str = "black"
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        Part.__post_init__(self)
        require(self.scale <= 0.5, f"shear: expected a scale of at most 0.5 columns a row, got {self.scale:g}")

    def require_measurable(self, r: Range) -> None:
        most = warps.SHEARS[1] - FARTHEST * self.scale  # a draw ahead of or behind an attack shears further
        fits = -most <= r.low and r.high <= most
        require(fits, f"attack: expected shear within {-most:.3g}:{most:.3g} for a scale of {self.scale:g}, got {r}")
