"""Additive Gaussian noise on pixels (Cohen, Rosenfeld, Kolter 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ..errors import DataError, require
from ..noise import MAX_STD, Stream, float_normal, integer_normal

_DOWN = 1 - 1e-12  # ndtri is good to about 1e-15: certified radii are rounded towards zero


@dataclass(frozen=True)
class Noise:
    """x + eta, eta ~ N(0, sigma^2 I): certifies an l2 ball.

    8-bit inputs get integer noise, round(255 sigma N(0, 1)) intensity levels, and sigma and the radius are in [0,1]
    intensities; rounding commutes with integer shifts, so that this is Gaussian smoothing of the classifier behind an
    8-bit quantiser (theory.md section 10). Float inputs get float32 noise; sigma and the radius are in the input's
    own units, and the certificate then holds up to floating-point effects, as `attack_model` says.
    """

    name: ClassVar[str] = "noise"
    unit: ClassVar[str] = "l2 norm, in [0,1] intensities for 8-bit inputs, else in the input's units"
    sigma: float

    def __post_init__(self) -> None:
        require(
            0 < self.sigma <= 1e30,
            f"noise: expected a standard deviation sigma > 0, got {self.sigma:g}",
        )

    @property
    def recipe(self) -> dict[str, Any]:
        """The part as plain values, for recipes and ledgers."""
        return {self.name: self.sigma}

    def p_star(self, attack: Mapping[str, float]) -> float:
        """Top-class probability needed to survive a shift of l2 norm attack["noise"]: Phi(norm / sigma)."""
        require(
            set(attack) == {self.name},
            f"attack: expected a value for 'noise' (what is smoothed) alone, got {', '.join(attack) or 'nothing'}",
        )
        norm = attack[self.name]
        require(0 <= norm < float("inf"), f"attack: expected an l2 norm >= 0 for noise, got {norm:g}")
        return float(ndtr(norm / self.sigma))

    def radius(self, p_lower: float, p_upper: float | None = None) -> float:
        """Certified l2 radius sigma (Phi^-1(p_lower) - Phi^-1(p_upper)) / 2, p_upper = 1 - p_lower unless given.

        Rounded down; 0 where p_lower <= p_upper. Source: Cohen et al., theorem 1.
        """
        p_upper = 1 - p_lower if p_upper is None else p_upper
        if p_lower <= p_upper:
            return 0.0
        return float(self.sigma / 2 * (ndtri(p_lower) - ndtri(p_upper)) * _DOWN)

    def attack_model(self, x: NDArray[Any]) -> str:
        """`integer` for 8-bit inputs, `float-unclipped` for others."""
        return "integer" if x.dtype == np.uint8 else "float-unclipped"

    def slack(self, x: NDArray[Any]) -> float:
        """Total variation between the integers drawn for x and their law; 0, not bounded, for float inputs."""
        return x.size * integer_normal(255 * self.sigma).total_variation if x.dtype == np.uint8 else 0.0

    def dtype(self, x: NDArray[Any]) -> np.dtype[Any]:
        """Element type of the perturbed samples: int16 levels for 8-bit inputs, float32 for others.

        `DataError` where float32 cannot hold the sum of x and its noise to sigma / 256: the noise would be lost.
        """
        if x.dtype != np.uint8 and np.spacing(np.float32(np.abs(x).max(initial=0))) > self.sigma / 256:
            raise DataError(
                f"noise: sigma {self.sigma:g} is lost to float32 rounding on values up to {np.abs(x).max():g}; "
                "centre or scale the data, or raise sigma"
            )
        require(
            x.dtype != np.uint8 or 255 * self.sigma <= MAX_STD,
            f"noise: expected sigma <= {MAX_STD / 255:.2f} for 8-bit inputs, got {self.sigma:g}",
        )
        return np.dtype(np.int16 if x.dtype == np.uint8 else np.float32)

    def perturb(self, x: NDArray[Any], stream: Stream, first: int, out: NDArray[Any]) -> None:
        """Fill out[i] (shape (batch, *x.shape), C order, type `dtype(x)`) with sample first + i of the smoothed x."""
        rows = out.reshape(len(out), -1)
        if x.dtype == np.uint8:
            integer_normal(255 * self.sigma).fill(stream, first, rows)
        else:
            float_normal(stream, first, rows)
            rows *= np.float32(self.sigma)
        out += x
