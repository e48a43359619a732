"""Random Gaussian blur."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..bounds.laws import Exponential, FoldedNormal, Rayleigh, Uniform
from ..errors import require
from ..transforms.blur import HEAT_BORDERS
from .part import Kind, Part

_EDGES = 1.13  # border reflect101 can lengthen an l2 vector by 1.061 an axis; the others cannot: docs/theory.md


@dataclass(frozen=True)
class Blur(Part):
    """Gaussian blur with a kernel of random VARIANCE v >= 0 in square pixels; variances of blurs in a row add up.

    Laws of v, with p_star of an attack: exponential of mean `scale`, 1 - exp(-v / scale) / 2; uniform on [0, scale],
    1/2 + v / scale; folded-normal, |N(0, scale^2)|; rayleigh of scale `scale`. The blur is the exact semigroup (each
    cosine or Fourier mode of frequency w times exp(-v w^2 / 2)); how near an 8-bit attacker's truncated kernels come to
    it is in docs/theory.md. `border`: reflect101 (OpenCV's default), reflect, or wrap, which cyclic translations need.
    """

    name: ClassVar[str] = "blur"
    unit: ClassVar[str] = "kernel variance, pixels^2"
    kind: ClassVar[Kind] = "variance"
    laws: ClassVar[Mapping[str, type[Any]]] = {
        "exponential": Exponential, "uniform": Uniform, "folded-normal": FoldedNormal, "rayleigh": Rayleigh,
    }  # fmt: skip
    moves: ClassVar[bool] = True
    composes: ClassVar[bool] = True
    scale: float
    law: str = "exponential"
    border: str = "reflect101"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.border in HEAT_BORDERS, f"blur: expected a border of {', '.join(HEAT_BORDERS)}, got {self.border!r}"
        )

    @property
    def stretch(self) -> float | None:
        return _EDGES if self.border == "reflect101" else 1.0
