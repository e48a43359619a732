"""Additive Gaussian noise on pixels (Cohen, Rosenfeld, Kolter 2019)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..draws import MAX_STD, Stream, float_normal, integer_normal
from ..errors import ArgumentError, DataError, require
from ..inputs.input import Input
from ..inputs.levels import EIGHT_BIT, PCM16, Levels, levels_of
from .part import Part, require_scale
from .ranges import Range
from .transform import Image, Kind, Transform


@dataclass(frozen=True)
class AddNoise(Transform):
    """x + delta, rounded and saturated: the value is delta itself, in levels, of the image's shape."""

    name: ClassVar[str] = "noise"
    unit: ClassVar[str] = "l2 norm, in [0,1] intensities for 8-bit inputs, else in the input's units"
    kind: ClassVar[Kind] = "norm"
    identity: ClassVar[Any] = 0.0
    help: ClassVar[str] = "a number is added to every pixel, each its own"
    example: ClassVar[str] = "noise=0.5"
    acts_on: ClassVar[tuple[Levels, ...]] = (EIGHT_BIT, PCM16)

    def apply(self, image: Image, value: Any) -> Image:
        return (levels_of(image) or EIGHT_BIT).rounded(image + np.asarray(value))

    def equivalent(self, image: Image, value: float) -> str:
        levels = levels_of(image)
        if levels != PCM16 or not value or not image.any():
            return ""
        decibels = 20 * math.log10(float(np.linalg.norm(image.astype(float))) / (PCM16.unit * value))
        return f"noise {value:.4g}: signal-to-noise ratio {decibels:.1f} dB"

    def members(self, r: Range) -> tuple[Any, ...]:
        raise ArgumentError(f"attack: expected a parameter to enumerate, got {self.name}; certify it by smoothing")


@dataclass(frozen=True)
class Noise(Part):
    """x + eta, eta ~ N(0, sigma^2 I): certifies an l2 ball of radius sigma (Phi^-1(p_lower) - Phi^-1(p_upper)) / 2.

    8-bit inputs get integer noise, round(255 sigma N(0, 1)) levels, and sigma and the radius are in [0,1] intensities:
    Gaussian smoothing of the classifier behind an 8-bit quantiser (theory.md section 10). 16-bit recordings get
    round(32768 sigma N(0, 1)) likewise; the table holds 1600 levels, so that sigma is at most 0.0488 there. Float
    inputs, and levels that parts ahead have made real, get float32 noise, in their own units; the certificate then
    holds up to floating-point effects, as `attack_model` says.
    """

    transforms: ClassVar[type[Transform]] = AddNoise
    help: ClassVar[str] = "standard deviation of the numbers"
    whole: ClassVar[bool] = True
    composes: ClassVar[bool] = True
    sigma: float

    def __post_init__(self) -> None:
        require_scale("noise", "a standard deviation sigma", self.sigma)

    @property
    def scale(self) -> float:  # type: ignore[override]
        return self.sigma

    @property
    def law(self) -> str:  # type: ignore[override]
        return "normal"

    def total_variation(self, x: Input) -> float:
        return x.values.size * integer_normal(x.unit * self.sigma).total_variation

    def require_data(self, x: Input) -> None:
        largest = float(np.abs(x.values).max(initial=0)) if x.levels is None else 0.0
        if np.spacing(np.float32(largest)) > self.sigma / 256:
            raise DataError(
                f"noise: sigma {self.sigma:g} is lost to float32 rounding on values up to {largest:g}; "
                "centre or scale the data, or raise sigma"
            )
        most, name = MAX_STD / x.unit, x.levels.name if x.levels else ""
        few = 0.01 if most < 0.5 else 0.5
        require(
            x.levels is None or self.sigma <= most,
            f"noise: expected sigma <= {math.floor(1e4 * most) / 1e4:.3g} for {name}, got {self.sigma:g}; it is in "
            f"[0,1] intensities: {few:g}, not {few * x.unit:.0f}",
        )

    def address(self, stream: Stream, place: int) -> Stream:
        return stream

    def begin(self, encoded: NDArray[Any], stream: Stream, first: int, out: NDArray[Any], unit: float) -> None:
        rows = out.reshape(len(out), -1)
        if out.dtype.kind == "i":
            drawn = rows if out.dtype == np.int16 else np.empty(rows.shape, np.int16)
            integer_normal(unit * self.sigma).fill(stream, first, drawn)
            rows[...] = drawn
        else:
            float_normal(stream, first, rows)
            rows *= np.float32(unit * self.sigma)
        out += encoded

    def proceed(self, stream: Stream, first: int, out: NDArray[Any], unit: float) -> None:
        self.begin(out.copy(), stream, first, out, unit)

    def act(self, out: NDArray[Any], values: NDArray[Any], unit: float) -> None:
        out += values
