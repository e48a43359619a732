"""Random whole-pixel translation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import require
from ..noise import MAX_STD, Stream, integer_normal
from .composition import Kind, Part
from .laws import Normal

_NOT_RESOLVABLE = {
    "reflect101": "translating a reflection-padded image twice is not translating it once by the sum",
    "reflect": "translating a reflection-padded image twice is not translating it once by the sum",
    "replicate": "translating an image with replicated borders twice is not translating it once by the sum",
    "black": "what a black border has swallowed does not come back; enumerate it (--mode enumerate)",
}


@dataclass(frozen=True)
class Translation(Part):
    """Cyclic translation by whole pixels, round(N(0, scale^2)) on each axis: p_star(d) = Phi(|d| / scale), |d| in l2.

    Attacks are translations by whole pixels too. Exact on 8-bit images. Other borders are refused: they do not compose.
    """

    name: ClassVar[str] = "translation"
    unit: ClassVar[str] = "l2 norm, whole pixels, cyclic"
    kind: ClassVar[Kind] = "norm"
    laws: ClassVar[Mapping[str, type[Any]]] = {"normal": Normal}
    whole: ClassVar[bool] = True
    moves: ClassVar[bool] = True
    scale: float
    law: str = "normal"
    border: str = "wrap"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.border == "wrap",
            f"translation: expected border=wrap, got {self.border!r}: {_NOT_RESOLVABLE.get(self.border, 'unknown')}",
        )
        require(
            self.scale <= MAX_STD, f"translation: expected a scale of at most {MAX_STD:g} pixels, got {self.scale:g}"
        )

    def drawn_slack(self, x: NDArray[Any]) -> float:
        return 2 * integer_normal(self.scale).total_variation

    def draw(self, stream: Stream, first: int, batch: int) -> NDArray[np.int16]:
        """(batch, 2) whole pixels, down and to the right."""
        shifts = np.empty((batch, 2), np.int16)
        integer_normal(self.scale).fill(stream, first, shifts)
        return shifts
