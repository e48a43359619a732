"""Whole numbers that stand for real values: the levels of 8-bit images, and of other digital recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Levels:
    """The whole numbers lowest..highest of one element type; `unit` of them are full intensity, 1.

    `name`: of what is made of them. `wide`: the element type that holds them with noise added.
    """

    dtype: np.dtype[Any]
    lowest: int
    highest: int
    unit: float
    name: str
    wide: np.dtype[Any]

    def rounded(self, values: NDArray[Any]) -> NDArray[Any]:
        """The nearest levels, halves to even, saturated at lowest and highest."""
        return np.asarray(np.rint(values).clip(self.lowest, self.highest).astype(self.dtype))

    def are_in(self, values: NDArray[Any]) -> bool:
        """Whether real numbers are all levels: whole, from lowest to highest."""
        return bool(np.all((values >= self.lowest) & (values <= self.highest) & (np.rint(values) == values)))

    def hold(self, values: NDArray[Any]) -> bool:
        """Whether the values are of this element type."""
        return bool(values.dtype == self.dtype)


EIGHT_BIT = Levels(np.dtype(np.uint8), 0, 255, 255.0, "8-bit images", np.dtype(np.int16))
PCM16 = Levels(np.dtype(np.int16), -32768, 32767, 32768.0, "16-bit recordings", np.dtype(np.int32))
_KNOWN = (EIGHT_BIT, PCM16)


def levels_of(x: NDArray[Any]) -> Levels | None:
    """The levels that the data are in; None for real numbers."""
    return next((levels for levels in _KNOWN if levels.hold(x)), None)
