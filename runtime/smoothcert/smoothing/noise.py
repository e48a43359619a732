"""Additive Gaussian noise on pixels (Cohen, Rosenfeld, Kolter 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..bounds.laws import Normal
from ..draws import MAX_STD, Stream, float_normal, integer_normal
from ..errors import DataError, require
from .part import Kind, Part, require_scale
from .pipeline import Encoded


@dataclass(frozen=True)
class Noise(Part):
    """x + eta, eta ~ N(0, sigma^2 I): certifies an l2 ball of radius sigma (Phi^-1(p_lower) - Phi^-1(p_upper)) / 2.

    8-bit inputs get integer noise, round(255 sigma N(0, 1)) intensity levels, and sigma and the radius are in [0,1]
    intensities; rounding commutes with integer shifts, so that this is Gaussian smoothing of the classifier behind an
    8-bit quantiser (theory.md section 10). Float inputs get float32 noise; sigma and the radius are in the input's
    own units, and the certificate then holds up to floating-point effects, as `attack_model` says. Behind parts that
    make real numbers of 8-bit inputs, the noise is float32 too.
    """

    name: ClassVar[str] = "noise"
    unit: ClassVar[str] = "l2 norm, in [0,1] intensities for 8-bit inputs, else in the input's units"
    kind: ClassVar[Kind] = "norm"
    laws: ClassVar[Mapping[str, type[Any]]] = {"normal": Normal}
    whole: ClassVar[bool] = True
    composes: ClassVar[bool] = True
    sigma: float

    def __post_init__(self) -> None:
        require_scale("noise", "a standard deviation sigma", self.sigma)

    @property
    def scale(self) -> float:  # type: ignore[override]
        """The standard deviation."""
        return self.sigma

    @property
    def law(self) -> str:  # type: ignore[override]
        """Always normal."""
        return "normal"

    def drawn_slack(self, x: NDArray[Any]) -> float:
        return x.size * integer_normal(255 * self.sigma).total_variation

    def require_data(self, x: NDArray[Any]) -> None:
        if x.dtype != np.uint8 and np.spacing(np.float32(np.abs(x).max(initial=0))) > self.sigma / 256:
            raise DataError(
                f"noise: sigma {self.sigma:g} is lost to float32 rounding on values up to {np.abs(x).max():g}; "
                "centre or scale the data, or raise sigma"
            )
        require(
            x.dtype != np.uint8 or 255 * self.sigma <= MAX_STD,
            f"noise: expected sigma <= {MAX_STD / 255:.2f} for 8-bit inputs, got {self.sigma:g}; it is in [0,1] "
            "intensities: 0.5, not 128",
        )

    def perturb(self, encoded: Encoded, stream: Stream, first: int, out: NDArray[Any]) -> None:
        self._fill(out, stream, first, encoded.unit)
        out += encoded.pixels

    def apply(self, out: NDArray[Any], stream: Stream, first: int, unit: float) -> None:
        values = np.empty_like(out)
        self._fill(values, stream, first, unit)
        out += values

    def _fill(self, out: NDArray[Any], stream: Stream, first: int, unit: float) -> None:
        """The noise of sample first + i in out[i]: int16 levels, or float32 of deviation unit sigma."""
        rows = out.reshape(len(out), -1)
        if out.dtype == np.int16:
            integer_normal(255 * self.sigma).fill(stream, first, rows)
        else:
            float_normal(stream, first, rows)
            rows *= np.float32(unit * self.sigma)
