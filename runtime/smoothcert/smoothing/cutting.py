"""A range of an attack, cut into pieces within which an image moves no farther than is allowed: theory.md section 7."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, require
from ..inputs.levels import EIGHT_BIT
from ..inputs.spatial import Raw
from ..transforms.enclosure import FAR
from . import offsets
from .offsets import NONE, Piece
from .ranges import Range
from .transform import Image, Transform, attacked

MOST = 4096  # slices of one input
_FINE = 0.9  # of what is allowed: what a slice's width aims at
_WIDE = 24  # of those: a wider range is estimated before it is cut, any other once `_TRIED` slices are cut
_TRIED = 64
_CELLS = 32  # parts of the range, in each of which one slice is measured
_COARSE = 16  # slices of a cell; a cell that needs fewer counts as so many
_SURE = 1.5  # times the most slices: an estimate above that is believed


def enclosable(raw: Raw | None) -> Raw:
    """The image itself; `DataError` for none, or too large a one; `ArgumentError` where its pipeline overshoots."""
    if raw is None:
        raise DataError("slices: expected 8-bit images, got other data; convert them")
    if max(raw.image.shape[:2]) > FAR:
        raise DataError(f"slices: expected at most {FAR:g} x {FAR:g} pixels, got {raw.image.shape}; make it smaller")
    require(raw.spatial.monotone, "slices: expected nearest, bilinear or area to resize by; the others overshoot")
    return raw


def farthest(raw: Raw, transform: Transform, low: float, high: float, pieces: Sequence[Piece] = (NONE,)) -> float:
    """How far, in l2 and [0,1] intensities, what the model sees may be from the middle of the interval of attacks.

    `pieces` of brightness behind it: how far at most from the middle of each.
    """
    middle = attacked(raw.image, [(transform, (low + high) / 2)])
    middles = [_seen(raw, middle, offsets.middle(piece)) for piece in pieces]
    found = 0
    for lowest, highest in transform.enclose(raw.image, low, high):
        for (least, greatest), there in zip(pieces, middles, strict=True):
            # What the model sees is monotone in image and brightness: bounds go through the very code that runs.
            change = np.maximum(there - _seen(raw, lowest, least), _seen(raw, highest, greatest) - there)
            found = max(found, int(np.square(change).sum()))
    return math.sqrt(found) / EIGHT_BIT.unit


def _seen(raw: Raw, image: Image, level: int) -> NDArray[np.int64]:
    """What the model sees of the image with that offset."""
    return raw.processed(offsets.brightened(image, level)).astype(np.int64)


@dataclass(frozen=True)
class Cutting:
    """How one image's range is cut, along the coordinate where attacks add up.

    `distance(low, high)` bounds how far the image moves between two values of the attack; each call costs an enclosure.
    `most`: slices that there may be.
    """

    transform: Transform
    whole: Range
    allowed: float
    distance: Callable[[float, float], float]
    most: int = MOST

    @property
    def ends(self) -> tuple[float, float]:
        """Of the range, in the coordinate that is cut along."""
        return self.transform.coordinate(self.whole.low), self.transform.coordinate(self.whole.high)

    def value(self, at: float) -> float:
        """The attack's value at a coordinate; the range's ends are exact."""
        low, high = self.ends
        if low < at < high:
            return self.transform.value(at)
        return self.whole.low if at <= low else self.whole.high

    def moved(self, low: float, high: float) -> float:
        """The distance between two coordinates."""
        return self.distance(self.value(low), self.value(high))

    @property
    def slices(self) -> list[tuple[float, float]] | None:
        """The slices' values, side by side over the whole range; None where they would be more than `most`."""
        (low, end), widest = self.ends, self.transform.widest
        if end - low > _WIDE * widest and self._too_many:
            return None
        cuts, width, least = list[tuple[float, float]](), min((end - low) / 16, widest), (end - low) / (_CELLS * MOST)
        # A first guess, for ranges that few slices cover: what is seen moves about as far as the range is wide.
        width = min(widest, width * max(1.0, self._times(self.moved(low, low + width))))
        while low < end or not cuts:
            high = min(low + width, end)
            distance = self.moved(low, high)
            if distance <= self.allowed:
                cuts.append((self.value(low), self.value(high)))
                low = high
                if len(cuts) == _TRIED and self._too_many:
                    return None
            elif high - low <= least:
                return None
            if len(cuts) == self.most and low < end:
                return None
            width = min(widest, width * min(2.0, max(0.25, self._times(distance))))
        return cuts

    def _times(self, distance: float) -> float:
        """By how much a slice of that distance may be widened, if the distance grew with the width."""
        return _FINE * self.allowed / max(distance, 1e-9)

    @property
    def _too_many(self) -> bool:
        return sum(self.counts) > _SURE * MOST

    @cached_property
    def counts(self) -> list[float]:
        """About how many slices each of `_CELLS` equal parts of the range needs; infinite where `MOST` would not do."""
        return self._counted([math.inf] * _CELLS)

    def _counted(self, before: Sequence[float]) -> list[float]:
        """`counts`, where those before, when less was allowed, are known: few then are few now."""
        cell = (self.ends[1] - self.ends[0]) / _CELLS
        middles = [self.ends[0] + (i + 0.5) * cell for i in range(_CELLS)]
        found = [n if n <= _COARSE else cell / self._fitting(m, cell) for n, m in zip(before, middles, strict=True)]
        return [n if n < MOST else math.inf for n in found]

    def _fitting(self, middle: float, cell: float) -> float:
        """About the width of a slice around `middle` that moves the image as far as is allowed."""
        widest, narrowest = cell / _COARSE, cell / (2 * MOST)
        width = cell / 256
        for _ in range(12):
            distance = self.moved(middle - width / 2, middle + width / 2)
            times = min(16.0, max(1 / 16, self._times(distance)))
            near = 0.5 <= times <= 2 and distance <= self.allowed
            if near or (times > 1 and width == widest) or (times < 1 and width == narrowest):
                return min(widest, times * width)
            width = min(widest, max(narrowest, times * width))
        return narrowest  # where the distance jumps from far too little to too much

    def advice(self, sigma: float) -> str:
        """What to do where `slices` is None: the noise, or the part around the identity, that would do by `counts`."""
        ways = []
        if times := self._more():
            ways.append(f"raise sigma to {times * sigma:g}")
        if part := self._less():
            ways.append(f"take {self.transform.name} {_inward(part[0], math.ceil)}:{_inward(part[1], math.floor)}")
        return " or ".join(ways) or "raise sigma, or take a small part of it"

    @property
    def _limit(self) -> float:
        return min(MOST, sum(self.counts)) / _SURE

    def _more(self) -> int | None:
        counts = self.counts
        for times in (2, 4, 8, 16, 32, 64):
            counts = replace(self, allowed=times * self.allowed)._counted(counts)
            if sum(counts) <= self._limit:
                return times
        return None

    def _less(self, tries: int = 3) -> tuple[float, float] | None:
        identity, (low, end) = self.transform.coordinate(self.transform.identity), self.ends
        edges = [low + i * (end - low) / _CELLS for i in range(_CELLS)] + [end]
        away = [max(a - identity, identity - b, 0.0) for a, b in pairwise(edges)]
        order = sorted(range(_CELLS), key=away.__getitem__)
        totals = accumulate(self.counts[i] for i in order)
        kept = [i for i, total in zip(order, totals, strict=True) if total <= self._limit]
        if not kept or not tries:
            return None
        part = Range(self.value(edges[min(kept)]), self.value(edges[max(kept) + 1]))
        closer = replace(self, whole=part)  # measured again: where rounding counts, widths jump
        return (part.low, part.high) if sum(closer.counts) <= MOST / _SURE else closer._less(tries - 1)


def _inward(value: float, rounded: Callable[[float], int]) -> str:
    """A value in two digits, rounded up or down."""
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1) if value else 1.0
    return f"{rounded(value / unit) * unit:.6g}"
