"""Random brightness, contrast and gamma: pixel by pixel, on unclipped real numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from numpy.typing import NDArray

from ..bounds.laws import LogNormal, LogRayleigh
from ..errors import DataError, require
from ..inputs.input import Input
from ..inputs.levels import EIGHT_BIT
from ..transforms import pixels
from .part import Pair, Part
from .ranges import Range
from .transform import Image, Kind, Transform

_PLAUSIBLE = 16.0  # intensities after an attack; full intensity is 1
MIDDLE = {"0": 0.0, "mid": 0.5}  # what a contrast keeps in place, in [0,1] intensities
CONTRASTS = tuple(f"contrast about={about}" for about in MIDDLE)  # forms


@dataclass(frozen=True)
class Brighten(Transform):
    """x + b, b in [0,1] intensities."""

    name: ClassVar[str] = "brightness"
    unit: ClassVar[str] = "[0,1] intensities for 8-bit inputs, else the input's units"
    kind: ClassVar[Kind] = "additive"
    identity: ClassVar[Any] = 0.0
    help: ClassVar[str] = "one number is added to every pixel"
    example: ClassVar[str] = "brightness=-0.1:0.1"

    def apply(self, image: Image, value: Any) -> Image:
        return pixels.brightness(image, value)

    def members(self, r: Range) -> tuple[Any, ...]:
        if r.points is not None:
            return Transform.members(self, r)
        require(r.low >= -1 and r.high <= 1, f"attack: expected brightness between -1 and 1 to enumerate, got {r}")
        unit = EIGHT_BIT.unit
        return tuple(level / unit for level in range(round(unit * r.low), round(unit * r.high) + 1))


@dataclass(frozen=True)
class Brightness(Part):
    """x + b, b ~ N(0, scale^2) in [0,1] intensities (of full intensity for 8-bit inputs): p_star(b) = Phi(|b| / scale).

    Source: Fischer, Baader, Vechev 2020 (Statistical verification of general perturbations), theorem 3.2.
    """

    transforms: ClassVar[type[Transform]] = Brighten
    help: ClassVar[str] = "standard deviation of the number"
    composes: ClassVar[bool] = True
    pairs: ClassVar[tuple[Pair, ...]] = (("brightness", "noise", "carries"),)
    scale: float
    law: str = "normal"

    @property
    def stretch(self) -> float | None:
        return 1.0

    def act(self, out: NDArray[Any], values: NDArray[Any], unit: float) -> None:
        pixels.add_brightness(out, values, unit)


@dataclass(frozen=True)
class ScaleContrast(Transform):
    """about + c (x - about): `about` is black, 0, or mid-grey, mid."""

    name: ClassVar[str] = "contrast"
    unit: ClassVar[str] = "factor"
    kind: ClassVar[Kind] = "factor"
    identity: ClassVar[Any] = 1.0
    help: ClassVar[str] = "distances from black, or mid-grey, are multiplied by a factor"
    example: ClassVar[str] = "contrast=0.7:1.4"
    choices: ClassVar[Mapping[str, Sequence[str]]] = {"about": [*MIDDLE]}
    about: Literal["0", "mid"] = "0"

    def apply(self, image: Image, value: Any) -> Image:
        return pixels.contrast(image, value, MIDDLE[self.about])


@dataclass(frozen=True)
class Contrast(Part):
    """about + c (x - about), log c ~ N(0, scale^2): p_star(c) = Phi(|log c| / scale) on its own.

    `about`: "0", or "mid" for mid-grey. With `Brightness` (before or after), or behind or before `Gamma` (about 0), it
    makes the affine group, whose bound is an integral: theory.md section 3.
    """

    transforms: ClassVar[type[Transform]] = ScaleContrast
    help: ClassVar[str] = "standard deviation of the factor's logarithm"
    laws: ClassVar[Mapping[str, type[Any]]] = {"lognormal": LogNormal}
    composes: ClassVar[bool] = True
    pairs: ClassVar[tuple[Pair, ...]] = (
        *((form, "noise", "scales") for form in CONTRASTS),
        *((form, "brightness", "scale first") for form in CONTRASTS),
    )
    scale: float
    law: str = "lognormal"
    about: Literal["0", "mid"] = "0"

    def require_data(self, x: Input) -> None:
        if self.about == "mid":
            _require_intensities("contrast about=mid", x)

    def act(self, out: NDArray[Any], values: NDArray[Any], unit: float) -> None:
        pixels.scale_contrast(out, values, MIDDLE[self.about], unit)


@dataclass(frozen=True)
class RaiseGamma(Transform):
    """x^g on [0,1] intensities."""

    name: ClassVar[str] = "gamma"
    unit: ClassVar[str] = "exponent"
    kind: ClassVar[Kind] = "factor"
    identity: ClassVar[Any] = 1.0
    help: ClassVar[str] = "every pixel is raised to a power"
    example: ClassVar[str] = "gamma=0.6:1.6"

    def apply(self, image: Image, value: Any) -> Image:
        return pixels.gamma(image, value)


@dataclass(frozen=True)
class Gamma(Part):
    """x^g on [0,1] intensities: log g ~ N(0, scale^2) (lognormal), or g ~ Rayleigh(scale).

    p_star(g) = Phi(|log g| / scale); with the Rayleigh law 1 - 2^(-g^2) for g >= 1 and 2^(-g^2) for g < 1, whatever the
    scale. Source: Muravev, Petiushko 2021 (multiplicative parameters); theory.md section 3.
    """

    transforms: ClassVar[type[Transform]] = RaiseGamma
    help: ClassVar[str] = "standard deviation of the exponent's logarithm"
    laws: ClassVar[Mapping[str, type[Any]]] = {"lognormal": LogNormal, "rayleigh": LogRayleigh}
    composes: ClassVar[bool] = True
    pairs: ClassVar[tuple[Pair, ...]] = (
        ("gamma", "noise", "carries"),
        ("gamma", "contrast about=0", "scale first"),
    )
    scale: float
    law: str = "lognormal"

    def require_data(self, x: Input) -> None:
        _require_intensities("gamma", x, least=0.0)

    def act(self, out: NDArray[Any], values: NDArray[Any], unit: float) -> None:
        pixels.raise_gamma(out, values, unit)


def _require_intensities(name: str, x: Input, least: float = -_PLAUSIBLE) -> None:
    """`DataError` for float data that cannot be [0,1] intensities, attacked ones included: they have another middle."""
    if x.levels is not None:
        return
    low, high = float(x.values.min(initial=0)), float(x.values.max(initial=0))
    if low < least or high > _PLAUSIBLE:
        raise DataError(
            f"{name}: expected [0,1] intensities, perhaps attacked, or 8-bit images, got {low:g} to {high:g}; "
            "convert the data"
        )
