"""Random Gaussian blur."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

from ..bounds.laws import Exponential, FoldedNormal, Rayleigh, Uniform
from ..transforms import heat
from .color import CONTRASTS
from .part import Pair, Part
from .transform import Image, Kind, Transform

BLURS = tuple(f"blur border={border}" for border in heat.HEAT_BORDERS)  # forms
_EDGES = 1.13  # border reflect101 can lengthen an l2 vector by 1.061 an axis; the others cannot: docs/theory.md


@dataclass(frozen=True)
class GaussianBlur(Transform):
    """Gaussian blur by OpenCV's sampled and cut kernel; the value is its variance in square pixels."""

    name: ClassVar[str] = "blur"
    unit: ClassVar[str] = "kernel variance, pixels^2"
    kind: ClassVar[Kind] = "variance"
    identity: ClassVar[Any] = 0.0
    help: ClassVar[str] = "Gaussian blur by a kernel of some variance"
    example: ClassVar[str] = "blur=0:2"

    def apply(self, image: Image, value: Any) -> Image:
        return heat.gaussian_blur(image, value)


@dataclass(frozen=True)
class BorderedBlur(GaussianBlur):
    """The same, with what lies beyond the edge as a part's `border` says."""

    border: str

    def apply(self, image: Image, value: Any) -> Image:
        return heat.gaussian_blur(image, value, self.border)


@dataclass(frozen=True)
class Blur(Part):
    """Gaussian blur with a kernel of random VARIANCE v >= 0 in square pixels; variances of blurs in a row add up.

    Laws of v, with p_star of an attack: exponential of mean `scale`, 1 - exp(-v / scale) / 2; uniform on [0, scale],
    1/2 + v / scale; folded-normal, |N(0, scale^2)|; rayleigh of scale `scale`. The blur is the exact semigroup (each
    cosine or Fourier mode of frequency w times exp(-v w^2 / 2)); how near an 8-bit attacker's truncated kernels come to
    it is in docs/theory.md. `border`, an attacker's too: reflect101 (OpenCV's default), reflect, or wrap, which cyclic
    translations need.
    """

    transforms: ClassVar[type[Transform]] = GaussianBlur
    help: ClassVar[str] = "scale of the variance, in square pixels"
    laws: ClassVar[Mapping[str, type[Any]]] = {
        "exponential": Exponential, "uniform": Uniform, "folded-normal": FoldedNormal, "rayleigh": Rayleigh,
    }  # fmt: skip
    moves: ClassVar[bool] = True
    encodes: ClassVar[bool] = True
    composes: ClassVar[bool] = True
    pairs: ClassVar[tuple[Pair, ...]] = (
        *((form, "noise", "carries") for form in BLURS),
        *((form, other, "commute") for form in BLURS for other in ("brightness", *CONTRASTS)),
    )
    choices: ClassVar[Mapping[str, Sequence[str]]] = {"border": heat.HEAT_BORDERS}
    scale: float
    law: str = "exponential"
    border: str = "reflect101"

    @property
    def transform(self) -> Transform:
        return BorderedBlur(self.border)

    @property
    def stretch(self) -> float | None:
        return _EDGES if self.border == "reflect101" else 1.0

    def encode(self, pixels: NDArray[Any]) -> Any:
        return heat.spectrum(pixels, self.border)

    def fill(self, encoded: Any, values: NDArray[Any], out: NDArray[Any], unit: float) -> None:
        heat.blur(encoded, values, self.border, out)

    def act(self, out: NDArray[Any], values: NDArray[Any], unit: float) -> None:
        for i in range(len(out)):
            self.fill(self.encode(out[i]), values[i : i + 1], out[i : i + 1], unit)
