"""Random brightness, contrast and gamma: pixel by pixel, on unclipped real numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..bounds.laws import LogNormal, LogRayleigh, Normal
from ..draws import Stream
from ..errors import DataError, require
from ..transforms import color
from ..transforms.attacks import Manner
from .part import Kind, Part

_PLAUSIBLE = 16.0  # intensities after an attack; full intensity is 1
MIDDLE = {"0": 0.0, "mid": 0.5}  # what a contrast keeps in place, in [0,1] intensities


@dataclass(frozen=True)
class Brightness(Part):
    """x + b, b ~ N(0, scale^2) in [0,1] intensities (of full intensity for 8-bit inputs): p_star(b) = Phi(|b| / scale).

    Source: Fischer, Baader, Vechev 2020 (Statistical verification of general perturbations), theorem 3.2.
    """

    name: ClassVar[str] = "brightness"
    unit: ClassVar[str] = "[0,1] intensities for 8-bit inputs, else the input's units"
    kind: ClassVar[Kind] = "additive"
    laws: ClassVar[Mapping[str, type[Any]]] = {"normal": Normal}
    composes: ClassVar[bool] = True
    scale: float
    law: str = "normal"

    @property
    def stretch(self) -> float | None:
        return 1.0

    def apply(self, out: NDArray[Any], stream: Stream, first: int, unit: float) -> None:
        color.add_brightness(out, self.draw(stream, first, len(out)), unit)


@dataclass(frozen=True)
class Contrast(Part):
    """about + c (x - about), log c ~ N(0, scale^2): p_star(c) = Phi(|log c| / scale) on its own.

    `about`: "0", or "mid" for mid-grey. With `Brightness` (before or after), or behind or before `Gamma` (about 0), it
    makes the affine group, whose bound is an integral: theory.md section 3.
    """

    name: ClassVar[str] = "contrast"
    unit: ClassVar[str] = "factor"
    kind: ClassVar[Kind] = "factor"
    laws: ClassVar[Mapping[str, type[Any]]] = {"lognormal": LogNormal}
    composes: ClassVar[bool] = True
    scale: float
    law: str = "lognormal"
    about: Literal["0", "mid"] = "0"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.about in MIDDLE, f"contrast: expected about=0 or about=mid, got {self.about!r}")

    @property
    def manner(self) -> Manner:
        return Manner(about=MIDDLE[self.about])

    def require_data(self, x: NDArray[Any]) -> None:
        if self.about == "mid":
            _require_intensities("contrast about=mid", x)

    def apply(self, out: NDArray[Any], stream: Stream, first: int, unit: float) -> None:
        color.scale_contrast(out, self.draw(stream, first, len(out)), MIDDLE[self.about], unit)


@dataclass(frozen=True)
class Gamma(Part):
    """x^g on [0,1] intensities: log g ~ N(0, scale^2) (lognormal), or g ~ Rayleigh(scale).

    p_star(g) = Phi(|log g| / scale); with the Rayleigh law 1 - 2^(-g^2) for g >= 1 and 2^(-g^2) for g < 1, whatever the
    scale. Source: Muravev, Petiushko 2021 (multiplicative parameters); theory.md section 3.
    """

    name: ClassVar[str] = "gamma"
    unit: ClassVar[str] = "exponent"
    kind: ClassVar[Kind] = "factor"
    laws: ClassVar[Mapping[str, type[Any]]] = {"lognormal": LogNormal, "rayleigh": LogRayleigh}
    composes: ClassVar[bool] = True
    scale: float
    law: str = "lognormal"

    def require_data(self, x: NDArray[Any]) -> None:
        _require_intensities("gamma", x, least=0.0)

    def apply(self, out: NDArray[Any], stream: Stream, first: int, unit: float) -> None:
        color.raise_gamma(out, self.draw(stream, first, len(out)), unit)


def _require_intensities(name: str, x: NDArray[Any], least: float = -_PLAUSIBLE) -> None:
    """`DataError` for float data that cannot be [0,1] intensities, attacked ones included: they have another middle."""
    if x.dtype != np.uint8 and (x.min(initial=0) < least or x.max(initial=0) > _PLAUSIBLE):
        raise DataError(
            f"{name}: expected [0,1] intensities, perhaps attacked, or 8-bit images, got {x.min():g} to {x.max():g}; "
            "convert the data"
        )
