"""How far a set of attacks moves the code of one image: attack by attack, or over whole intervals by a known slope."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, DataError
from ..inputs.input import Input
from ..inputs.spatial import Raw
from .coded import CodeLaw, Codes, image_of, planar
from .cutting import MOST, Cutting, enclosable, farthest
from .ranges import Range
from .transform import Transform, attacked

_AT_ONCE = 512  # images encoded together
_SAME = 1e-6  # deviations by which another machine's rounding may differ
_CELL = 0.1  # deviations that a code may move between the middle of a cell and its ends
_FLAT = 1e-9  # a slope below which cells are as wide as those of this one


class Distance(NamedTuple):
    """Attacks `first` to `second` move the code by `deviations` at most, in standard deviations of the noise.

    Of a planar transformation, (`first`, `second`) is the one attack (down, right).
    """

    first: float
    second: float
    deviations: float


@dataclass(frozen=True, eq=False)
class Coverage:
    """The attacks of a range on one image, and how far each moves its code. `DataError` for what is no 8-bit image."""

    codes: Codes
    law: CodeLaw
    x: Input
    transform: Transform
    range: Range

    @cached_property
    def raw(self) -> Raw:
        return self.x.raw or self.x.image()

    @cached_property
    def _origin(self) -> NDArray[np.float64]:
        (origin,) = self.codes.of(image_of(self.x)[None], self.law.step)
        return np.asarray(origin)

    @cached_property
    def listed(self) -> list[tuple[float, float]] | None:
        """The members of the range, in order, as pairs; None for an interval that has no end of them."""
        r = self.range
        if self.transform.is_planar():
            return sorted(self._planar)
        try:
            values = sorted(self.transform.members_on(r, self.raw.sides))
        except ArgumentError:
            if r.points is not None:
                raise
            return None
        return [(value, value) for value in values]

    @property
    def _planar(self) -> Sequence[tuple[float, float]]:
        """The points of a lattice; `ArgumentError` for a disc: fractions of a pixel are attacks, and have no end."""
        r, name = self.range, self.transform.name
        values = type(self.transform).listed(r)
        if values is None:
            way = f"{name}=0:{r.high:g}:{2 * math.ceil(r.high) + 1}"
            raise ArgumentError(f"surrogate: expected a grid of translations, got {name} {r}; name points, {way}")
        return values

    def distances(self) -> tuple[Distance, ...]:
        """Those of all attacks, in their order.

        Of a grid, at its points; of a range with finitely many outcomes, at one value of each; of any other interval,
        over cells side by side. `ArgumentError` for an interval of a transformation, or an encoder, without bounds.
        """
        pieces = self._cells() if self.listed is None else self.listed
        return tuple(Distance(*piece, d) for piece, d in zip(pieces, self._bounds(pieces), strict=True))

    def problem(self, found: Sequence[Distance]) -> str:
        """Why these are no distances of this image, whoever cut the cells; empty where they are."""
        pieces = [row[:2] for row in found]
        ends = [self.range.low, *(high for _, high in pieces)]
        side_by_side = ends[-1] == self.range.high and [low for low, _ in pieces] == ends[:-1]
        if not (side_by_side if self.listed is None else pieces == self.listed):
            return "the distances are not those of all attacks"
        bounds = zip(found, self._bounds(pieces), strict=True)
        more = [row for row, bound in bounds if bound > row.deviations * (1 + _SAME) + _SAME]
        return f"an attack moves the code farther than {more[0].deviations:.6g} deviations" if more else ""

    def _bounds(self, pieces: Sequence[tuple[float, float]]) -> list[float]:
        """A bound on the deviations that the attacks of each piece move the code by."""
        if self.listed is not None:
            return self._moved([piece if self.transform.is_planar() else piece[0] for piece in pieces])
        (steep, rest), raw = self.slope, enclosable(self.raw)
        middles = self._moved([(low + high) / 2 for low, high in pieces])
        return [
            middle + steep * farthest(raw, self.transform, *piece) + rest
            for middle, piece in zip(middles, pieces, strict=True)
        ]

    def codes_of(self, values: Sequence[Any]) -> NDArray[np.float64]:
        """The codes of the image under single attacks, in whole steps."""
        found = []
        for at in range(0, len(values), _AT_ONCE):
            attacks = [(self.transform, value) for value in values[at : at + _AT_ONCE]]
            images = [planar(self.raw.processed(attacked(self.raw.image, [one]))) for one in attacks]
            found.append(self.codes.of(np.stack(images), self.law.step))
        return np.concatenate(found)

    def _moved(self, values: Sequence[Any]) -> list[float]:
        """The deviations that single attacks move the code by."""
        found: list[float] = self.law.distances(self.codes_of(values) - self._origin).tolist()
        return found

    @cached_property
    def slope(self) -> tuple[float, float]:
        """Of codes, see `Codes.slope`; `ArgumentError` where it is not known, or images under attack have no bounds."""
        slope, r = self.codes.slope(self.law), self.range
        if type(self.transform).enclose is Transform.enclose or slope is None:
            what = "whose effect on an image can be bounded" if slope else "with an encoder whose slope is known"
            raise ArgumentError(
                f"surrogate: expected an interval of a transformation {what}, or a grid, got {self.transform.name} "
                f"{r}; name points, {self.transform.name}={r.low:g}:{r.high:g}:POINTS"
            )
        return slope

    def _cells(self) -> list[tuple[float, float]]:
        """Cells so narrow that the encoder's slope adds little to the distance of their middles."""
        allowed, bound = _CELL / max(self.slope[0], _FLAT), partial(farthest, enclosable(self.raw), self.transform)
        cuts = Cutting(self.transform, self.range, allowed, bound).slices
        if cuts is None:
            what = f"{self.transform.name} {self.range}"
            raise DataError(f"surrogate: {what} needs more than {MOST} cells; take a part of it, or a grid")
        return cuts
