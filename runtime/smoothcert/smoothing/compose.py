"""The interface of a smoothing, the table of parts, and the theorem for a list of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import require
from ..noise import Stream
from .noise import Noise


class Smoothing(Protocol):
    """A random transformation of the input, and what it certifies. Immutable; hashable by value."""

    @property
    def recipe(self) -> dict[str, Any]:
        """The smoothing as plain values."""
        ...

    def p_star(self, attack: Mapping[str, float]) -> float:
        """The top-class probability at the input above which the smoothed classifier survives the attack."""
        ...

    def radius(self, p_lower: float, p_upper: float | None = None) -> float:
        """The certified radius of the one-parameter attack, rounded down."""
        ...

    def attack_model(self, x: NDArray[Any]) -> str:
        """Which attacker the certificate speaks of: `integer` or `float-unclipped`."""
        ...

    def slack(self, x: NDArray[Any]) -> float:
        """How far the drawn law may lie from the theorem's, in total variation."""
        ...

    def dtype(self, x: NDArray[Any]) -> np.dtype[Any]:
        """Element type of the perturbed samples."""
        ...

    def perturb(self, x: NDArray[Any], stream: Stream, first: int, out: NDArray[Any]) -> None:
        """Fill out[i] with sample first + i of the smoothed x."""
        ...


PARTS = {Noise.name: Noise}  # every part by the name it has on the command line


def compose(*parts: Smoothing) -> Smoothing:
    """The smoothing that applies the parts in this order, where a theorem covers them together.

    Raises `ValueError` for a list that has none.
    """
    require(len(parts) > 0, f"compose: expected at least one part of {', '.join(PARTS)}, got none")
    require(
        len(parts) == 1,
        f"compose: no theorem for {' with '.join(n for p in parts for n in p.recipe)}; supported: one noise part "
        "(two independent noises are one, of sigma = sqrt(sigma_1^2 + sigma_2^2))",
    )
    return parts[0]


def parse_part(text: str) -> Smoothing:
    """The part that `NAME=SCALE` names on the command line, such as `noise=0.5`."""
    name, _, scale = text.partition("=")
    require(name in PARTS, f"--smooth: expected NAME=SCALE with NAME one of {', '.join(PARTS)}, got {text!r}")
    try:
        value = float(scale)
    except ValueError:
        raise ValueError(f"--smooth {name}: expected {name}=SCALE with a number, got {text!r}") from None
    return PARTS[name](value)
