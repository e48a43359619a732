"""One input as the model takes it, and what it was made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .datasets import fingerprint
from .levels import Levels, levels_of
from .spatial import Raw


@dataclass(frozen=True, eq=False)
class Input:
    """One input, arranged for a model.

    `layout`: (outer, height, width, inner) of the values where they are an image: colours are outer in a planar one,
    inner in an interleaved one; None where no axis is rows or columns. `levels`: those that the data are in, None for
    real numbers; values that an attack in real arithmetic has moved between the levels keep them.
    """

    values: NDArray[Any]  # in the model's shape, without a batch axis
    layout: tuple[int, int, int, int] | None
    given: NDArray[Any]  # the array that the data hold
    raw: Raw | None  # the image that `values` were made of, where that is an 8-bit image
    levels: Levels | None

    @staticmethod
    def of(
        values: NDArray[Any],
        layout: tuple[int, int, int, int] | None = None,
        given: NDArray[Any] | None = None,
        raw: Raw | None = None,
    ) -> Input:
        """The input of these values."""
        return Input(values, layout, values if given is None else given, raw, levels_of(values))

    @property
    def pixels(self) -> NDArray[Any]:
        """The values by their layout; flat where they have none."""
        return self.values.reshape(self.layout or -1)

    @property
    def is_whole(self) -> bool:
        """Whether the values are levels."""
        return self.levels is not None and self.levels.hold(self.values)

    @property
    def unit(self) -> float:
        """Full intensity: that of the levels, or 1."""
        return self.levels.unit if self.levels else 1.0

    @property
    def sha256(self) -> str:
        """Of what the data hold: type, shape and values."""
        return fingerprint(self.given)

    def moved(self, pixels: NDArray[Any]) -> Input:
        """The input with other pixels, of any layout of the same size, and nothing else that they were made of."""
        return replace(self, values=pixels.reshape(self.values.shape), raw=None)

    def image(self) -> Raw:
        """The pixels as a raw image, or a recording, of their own."""
        if self.pixels.ndim == 1:
            return Raw(self.pixels)
        outer, height, width, inner = self.pixels.shape
        return Raw(np.ascontiguousarray(np.moveaxis(self.pixels, 0, 2)).reshape(height, width, outer * inner))
