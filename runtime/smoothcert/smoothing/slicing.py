"""How a range of one attack on one image is cut into slices, each within reach of the image at its middle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, require
from ..inputs.input import Input
from ..inputs.levels import EIGHT_BIT
from ..inputs.spatial import Raw
from . import offsets
from .coverage import Coverage
from .cutting import MOST, Cutting, enclosable, farthest
from .offsets import NONE, Piece
from .ranges import Range
from .transform import TRANSFORMS, Transform
from .widths import numbers

Cut = tuple[float, float]  # the lowest and the highest attack of a slice


class Slicing(Protocol):
    """The slices of one transformation's attacks on one image. `allowed`: deviations of the noise, middle to ends.

    With a range of brightness behind them, the slices of a box: each cut with each piece of brightness.
    """

    def pieces(self, allowed: float) -> list[Piece]:
        """Of brightness, covering its range; `NONE` alone where there is none."""
        ...

    def cut(self, whole: Range, allowed: float) -> list[Cut]:
        """Cuts that cover the range; `DataError` where slices would be more than `MOST`."""
        ...

    def covers(self, cuts: Sequence[Cut], whole: Range, allowed: float, pieces: Sequence[Piece] = (NONE,)) -> bool:
        """Whether these do, whoever cut them: other processors round, and so cut, otherwise."""
        ...

    def middle(self, cut: Cut) -> float:
        """The attack around which a slice's samples are drawn."""
        ...

    def points(self, whole: Range, count: int) -> list[float]:
        """At most so many attacks of the range, ascending, its ends among them."""
        ...

    def numbers(self, parts: Sequence[Cut], allowed: Sequence[float]) -> list[list[float]]:
        """About how many slices each part needs for each of the ascending reaches; infinite for too many."""
        ...


@dataclass(frozen=True, eq=False)
class PixelSlicing:
    """By noise on pixels, and an enclosure of what the attack makes of the image. `ArgumentError` where it has none.

    `levels`: the least and greatest offset of a range of brightness behind the attack.
    """

    raw: Raw
    transform: Transform
    sigma: float
    levels: Piece = NONE

    @staticmethod
    def of(x: Input, transform: Transform, sigma: float, levels: Piece = NONE) -> PixelSlicing:
        known = [name for name, kind in TRANSFORMS.items() if kind.enclose is not Transform.enclose]
        bounded = type(transform).enclose is not Transform.enclose
        require(bounded, f"slices: expected an attack of {' or '.join(known)} by noise, got {transform.name}")
        return PixelSlicing(enclosable(x.raw), transform, sigma, levels)

    def pieces(self, allowed: float) -> list[Piece]:
        return offsets.cut(self.levels, allowed * self.sigma / self._level)

    def cut(self, whole: Range, allowed: float) -> list[Cut]:
        pieces, transform = self.pieces(allowed), self.transform
        distance = partial(farthest, self.raw, transform, pieces=pieces)
        cutting = Cutting(transform, whole, allowed * self.sigma, distance, MOST // len(pieces))
        if self.levels == NONE:
            return _few(cutting.slices, transform, whole, lambda: cutting.advice(self.sigma))
        low, high = map(offsets.brightness, self.levels)
        beside = f" with brightness {low:.3g}:{high:.3g}, in {len(pieces)} pieces,"
        advice = "raise sigma, or take a smaller range of either"
        return _few(cutting.slices, transform, whole, lambda: advice, beside)

    def covers(self, cuts: Sequence[Cut], whole: Range, allowed: float, pieces: Sequence[Piece] = (NONE,)) -> bool:
        if len(cuts) * len(pieces) > MOST or not offsets.cover(pieces, self.levels):
            return False
        return all(farthest(self.raw, self.transform, *cut, pieces) <= allowed * self.sigma for cut in cuts)

    def middle(self, cut: Cut) -> float:
        return sum(cut) / 2

    def points(self, whole: Range, count: int) -> list[float]:
        return _spread(self.transform, whole, count)

    def numbers(self, parts: Sequence[Cut], allowed: Sequence[float]) -> list[list[float]]:
        pieces = [self.pieces(reach) for reach in allowed]
        lost = [self._level * max(map(offsets.farthest_offset, found)) for found in pieces]
        left = [max(reach * self.sigma - less, 1e-12) for reach, less in zip(allowed, lost, strict=True)]
        found = numbers(self.transform, parts, sorted(left), partial(farthest, self.raw, self.transform))
        place = [sorted(left).index(distance) for distance in left]
        return [[row[at] * len(its) for at, its in zip(place, pieces, strict=True)] for row in found]

    @cached_property
    def _level(self) -> float:
        """How far an offset of one level moves what the model sees, where nothing saturates."""
        black, white = (self.raw.processed(np.full_like(self.raw.image, level)).astype(float) for level in (0, 255))
        return max(float(np.linalg.norm(white - black)), 1.0) / 255 / EIGHT_BIT.unit


@dataclass(frozen=True, eq=False)
class CodeSlicing:
    """By noise on codes: members of a finite range in groups, any other interval by the encoder's slope."""

    coverage: Coverage  # of the whole range

    def _require_covered(self, whole: Range) -> None:
        """`ArgumentError` for other attacks than those whose members are known."""
        covered = f"{self.coverage.transform.name} {self.coverage.range}"
        known = whole == self.coverage.range
        require(known, f"slices: expected the attacks that the surrogate covers, {covered}, got {whole}")

    @cached_property
    def _members(self) -> list[float] | None:
        listed = self.coverage.listed
        return None if listed is None else [value for value, _ in listed]

    def pieces(self, allowed: float) -> list[Piece]:
        return [NONE]

    def cut(self, whole: Range, allowed: float) -> list[Cut]:
        transform = self.coverage.transform
        self._require_covered(whole)
        if self._members is None:
            cutting = Cutting(transform, whole, allowed, self._within)
            return _few(cutting.slices, transform, whole, lambda: "raise the noise, or take a part of the range")
        cuts, left = list[Cut](), self._members
        while left:
            size = 1
            while size < len(left) and self._within(left[0], left[size]) <= allowed:
                size += 1
            cuts.append((left[0], left[size - 1]))
            left = left[size:]
        return cuts

    def covers(self, cuts: Sequence[Cut], whole: Range, allowed: float, pieces: Sequence[Piece] = (NONE,)) -> bool:
        self._require_covered(whole)
        if self._members is None:
            held = [whole.low, *(high for _, high in cuts)] == [*(low for low, _ in cuts), whole.high]
        else:
            held = all(any(low <= member <= high for low, high in cuts) for member in self._members)
        held = held and [*pieces] == [NONE]
        return held and len(cuts) <= MOST and all(self._within(*cut) <= allowed for cut in cuts)

    def middle(self, cut: Cut) -> float:
        held = self._held(*cut)
        return held[len(held) // 2] if held else sum(cut) / 2

    def points(self, whole: Range, count: int) -> list[float]:
        members = self._members
        if members is None:
            return _spread(self.coverage.transform, whole, count)
        return [members[i] for i in sorted({round(at) for at in np.linspace(0, len(members) - 1, count).tolist()})]

    def numbers(self, parts: Sequence[Cut], allowed: Sequence[float]) -> list[list[float]]:
        if self._members is None:
            return numbers(self.coverage.transform, parts, allowed, self._within)
        cuts = [len(self.cut(self.coverage.range, reach)) / len(parts) for reach in allowed]
        return [cuts] * len(parts)

    def _held(self, low: float, high: float) -> list[float]:
        """The members of a slice."""
        return [member for member in self._members or () if low <= member <= high]

    def _within(self, low: float, high: float) -> float:
        """The deviations of the farthest attack of a slice from its middle."""
        if self._members is None:
            steep, rest = self.coverage.slope
            return steep * farthest(enclosable(self.coverage.raw), self.coverage.transform, low, high) + rest
        held, centre = self._held(low, high), self.middle((low, high))
        shifts = np.stack([self._codes[member] - self._codes[centre] for member in held])
        return float(self.coverage.law.distances(shifts).max())

    @cached_property
    def _codes(self) -> dict[float, NDArray[Any]]:
        members = self._members or []
        return dict(zip(members, self.coverage.codes_of(members), strict=True))


def _spread(transform: Transform, whole: Range, count: int) -> list[float]:
    """Attacks evenly over the range, in the coordinate where they add up."""
    at = np.linspace(transform.coordinate(whole.low), transform.coordinate(whole.high), count)[1:-1].tolist()
    inner = [min(max(transform.value(a), whole.low), whole.high) for a in at]
    return sorted({whole.low, *inner, whole.high})


def _few(
    cuts: list[Cut] | None, transform: Transform, whole: Range, advice: Callable[[], str], beside: str = ""
) -> list[Cut]:
    """The slices; `DataError`, with the advice, where they were too many."""
    if cuts is None:
        asked = f"{transform.name} {whole}{beside}"
        raise DataError(f"slices: {asked} needs more than {MOST} slices, the most there may be; {advice()}")
    return cuts
