"""What the attacker's 8-bit rotations and scalings can make of an image, over a whole interval of the parameter.

An exact warp puts into each pixel the interpolant at the source position R(-a)(p - c) + c, or (p - c) / a + c, p the
pixel and c the middle. As the parameter runs, the position draws an arc or a segment, and the interpolant along it
changes at no more than the rates of the cells it crosses: that bounds its values between the values at both ends.
OpenCV's 8-bit warp misses the position and the value a little. Its sources, and experiment, say by how much:

- 5.0, 1, 3 or 4 channels: the inverse matrix is found in float64 and rounded to float32, the position is
  M0 x + (M1 y + M2) in float32, fused or not, and so is the interpolation. At most 4 roundings of S, a bound of
  |M0 x| + |M1 y| + |M2|, move the position: 2^-22 S. Used: twice that, and 0.001 levels; 2^-16 levels are needed.
- 4.x, and 2 channels in 5.0: fixed point. Two roundings to 1/1024 pixel, then one to 1/32 pixel (bilinear) or to whole
  pixels (nearest, not counted as a miss), and weights to 1/32768. Used: 1/1024 or 1/64 + 1/1024 pixels, each with
  0.0002 more, and 0.02 levels; 2 units in each of the weights come to 0.016. Versions other than 5.0 get the larger
  of the two kinds.

Both blend what lies beyond the border pixel by pixel. Values round to the nearest level, ties either way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import require
from .checks import eight_bit, require_name
from .geometry import SCALES, WARP_BORDERS

FAR = 2.0**14  # pixels; OpenCV's fixed point keeps positions in 16 bits
_STEP = 0.5  # pixels that a position may move in one step; a box must not reach over more than 2 cells
_STEPS = 1024  # at most in each part; beyond, distant pixels get the image's whole range
_BLOCK = 8192  # pixels worked on at a time, to stay in the processor's cache

Floats = NDArray[np.float64]
Bounds = tuple[Floats, Floats]


class Slack(NamedTuple):
    """How far OpenCV's positions, in pixels along x or y, and its values, in levels, lie from the exact ones."""

    pixels: float
    levels: float


def enclose(
    kind: Literal["rotation", "scaling"],
    image: NDArray[np.uint8],
    low: float,
    high: float,
    *,
    border: str = "black",
    interpolation: str = "bilinear",
    pieces: int = 4,
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """For each of `pieces` equal parts of [low, high], ascending: two images, the lowest and highest levels.

    Between them lies, pixel by pixel, what `rotate(image, a, border, interpolation)`, a in degrees, or `scale`, a a
    factor, makes of the image (H, W[, C]), for every a of that part, its ends included. `ValueError` for bicubic.
    """
    image = eight_bit(image)
    require_name("kind", kind, ("rotation", "scaling"))
    require_name("border", border, WARP_BORDERS)
    require(
        interpolation != "bicubic",
        "enclosure: expected bilinear or nearest, got bicubic, which overshoots the pixels it blends; "
        "certify against bilinear, or sample",
    )
    require_name("interpolation", interpolation, ("nearest", "bilinear"))
    require(image.ndim == 2 or image.shape[2] <= 4, f"enclosure: expected at most 4 channels, got {image.shape[-1]}")
    require(
        -math.inf < low <= high < math.inf, f"enclosure: expected finite ends, low <= high, got [{low:g}, {high:g}]"
    )
    least, most = SCALES
    require(
        kind == "rotation" or least <= low <= high <= most,
        f"scaling: expected factors from {least:g} to {most:g}, got [{low:g}, {high:g}]",
    )
    require(pieces >= 1, f"enclosure: expected 1 piece or more, got {pieces}")
    require(
        "ALGO_HINT_APPROX" not in cv2.getBuildInformation(),
        "enclosure: expected an OpenCV that interpolates exactly, got one built with ALGO_HINT_APPROX; "
        "install another build",
    )
    ends = np.minimum(np.linspace(low, high, pieces + 1), high).tolist()
    return (_part(kind, image, *part, border, interpolation) for part in pairwise(ends))


def slack(channels: int, interpolation: str, extent: float, stretch: float) -> Slack:
    """The slack for images of this diagonal, in pixels, whose positions are stretched at most so much."""
    # |M0 x| + |M1 y| <= stretch extent, and |M2| = |c - M c| <= (1 + stretch) extent / 2.
    floating = Slack(2.0**-21 * (0.5 + 1.5 * stretch) * extent, 0.001)
    if cv2.__version__.startswith("5.0.") and channels != 2:
        return floating
    fixed = Slack(1 / 1024 + 0.0002 + (1 / 64 if interpolation == "bilinear" else 0), 0.02)
    return Slack(max(floating.pixels, fixed.pixels), fixed.levels)


@dataclass(frozen=True)
class _Source:
    """An image that goes on beyond its border, up to a number of pixels."""

    planes: Floats  # (C, rows * columns) levels, flat
    tables: tuple[NDArray[np.int64], NDArray[np.int64]]  # flat index of the column x and of the row y, from -reach
    reach: int
    shape: tuple[int, ...]

    @classmethod
    def of(cls, image: NDArray[np.uint8], border: str, reach: int) -> _Source:
        pixels = image.reshape(*image.shape[:2], -1)
        if border == "black":
            pixels = np.pad(pixels, ((1, 1), (1, 1), (0, 0)))
        columns = _indices(image.shape[1], border, reach)
        rows = _indices(image.shape[0], border, reach) * pixels.shape[1]
        planes = np.ascontiguousarray(pixels.reshape(-1, pixels.shape[2]).T, dtype=float)
        return cls(planes, (columns, rows), reach, image.shape)

    def at(self, x: NDArray[np.int64], y: NDArray[np.int64]) -> Floats:
        """Levels (C, n) of the pixels (x, y), which may lie outside."""
        columns, rows = self.tables
        return self.planes.take(columns.take(x + self.reach, mode="clip") + rows.take(y + self.reach, mode="clip"), 1)


class _Sweep(NamedTuple):
    """Where the positions (2, n), (x, y) from the middle, go in one step, and how fast as its parameter runs."""

    start: Floats
    end: Floats
    box: Bounds
    speed: Bounds
    span: float


def _indices(size: int, border: str, reach: int) -> NDArray[np.int64]:
    """Which pixel of a row stands at -reach ... size + reach; a black border is a ring of pixels already added."""
    index = np.arange(-reach, size + reach + 1)
    if border == "black":
        return index.clip(-1, size) + 1
    if border == "wrap":
        return index % size
    if border == "replicate" or size == 1:
        return index.clip(0, size - 1)
    return (size - 1) - abs(index % (2 * size - 2) - (size - 1))


def _part(
    kind: str, image: NDArray[np.uint8], low: float, high: float, border: str, interpolation: str
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The lowest and highest images over one part."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].reshape(2, -1)
    offsets = np.stack([x - (width - 1) / 2, y - (height - 1) / 2])
    radius = math.hypot(*offsets[:, 0])
    if kind == "rotation":
        turn = min(high - low, 360.0)  # from `rotate`'s own reduction of the angle, which is exact
        first, stretch = math.radians(math.remainder(low, 360)), 1.0
        last = first + math.radians(turn)
    else:
        first, last = 1 / high, 1 / low  # positions are linear in it
        stretch = last
    source = _Source.of(image, border, math.ceil(min(radius * stretch, FAR)) + 3)
    allowed = slack(source.planes.shape[0], interpolation, math.hypot(width, height), stretch)
    steps = min(max(math.ceil((last - first) * max(radius / _STEP, 1)), 1), _STEPS)
    times = np.linspace(first, last, steps + 1).tolist()
    lowest, highest = np.empty((2, *source.planes.shape[:1], height * width), np.uint8)
    within = _linear if interpolation == "bilinear" else _nearest
    for begin in range(0, height * width, _BLOCK):
        block = slice(begin, begin + _BLOCK)
        bounds = [
            within(source, _sweep(kind, offsets[:, block], *step), allowed)
            for step in pairwise(times)
        ]
        lowest[:, block] = np.ceil(np.min([lower for lower, _ in bounds], 0) - 0.5).clip(0, 255)
        highest[:, block] = np.floor(np.max([upper for _, upper in bounds], 0) + 0.5).clip(0, 255)
    return lowest.T.reshape(image.shape), highest.T.reshape(image.shape)


def _sweep(kind: str, offsets: Floats, first: float, last: float) -> _Sweep:
    """The positions of the pixels at these offsets (2, n) from the middle; radians, or the factor's inverse."""
    if kind == "scaling":
        start, end = offsets * first, offsets * last
        return _Sweep(start, end, (np.minimum(start, end), np.maximum(start, end)), (offsets, offsets), last - first)
    turned = np.stack([-offsets[1], offsets[0]])
    start, end = (math.cos(time) * offsets + math.sin(time) * turned for time in (first, last))
    # Less than a quarter turn: x comes to its greatest or least, the radius, where y passes 0, and y where x does.
    passes = start[::-1] * end[::-1] <= 0
    top = np.where(passes, np.copysign(np.hypot(*offsets), start + end), start)
    lower, upper = np.minimum(np.minimum(start, end), top), np.maximum(np.maximum(start, end), top)
    speed = np.stack([-upper[1], lower[0]]), np.stack([-lower[1], upper[0]])
    return _Sweep(start, end, (lower, upper), speed, last - first)


def _nearest(source: _Source, sweep: _Sweep, allowed: Slack) -> Bounds:
    """The least and greatest (C, n) of the pixels whose squares the boxes touch."""
    middle = _middle(source)
    first = np.floor(sweep.box[0] + (middle + 0.5 - allowed.pixels)).astype(np.int64)
    last = np.floor(sweep.box[1] + (middle + 0.5 + allowed.pixels)).astype(np.int64)
    touched = [source.at(x, y) for x in (first[0], last[0]) for y in (first[1], last[1])]
    wide = (last - first > 1).any(0) | _far(first)
    return _or_whole(source, wide, (np.min(touched, 0), np.max(touched, 0)))


def _linear(source: _Source, sweep: _Sweep, allowed: Slack) -> Bounds:
    """Bounds (C, n) of the bilinear interpolant as OpenCV finds it, unrounded."""
    middle = _middle(source)
    low, high = sweep.box[0] + (middle - allowed.pixels), sweep.box[1] + (middle + allowed.pixels)
    corner = np.floor(low).astype(np.int64)
    low, high = low - corner, high - corner
    x, y = corner
    patch = np.stack([[source.at(x + i, y + j) for i in range(3)] for j in range(3)])  # (y, x, C, n)
    across = np.diff(patch, axis=1)
    slope_x = _slopes(across, low[1], high[1], high[0] > 1)
    slope_y = _slopes(np.diff(patch, axis=0).swapaxes(0, 1), low[0], high[0], high[1] > 1)
    from_x, from_y = _product(slope_x, sweep.speed, 0), _product(slope_y, sweep.speed, 1)
    start, end = (_value(patch, across, position + (middle - corner)) for position in (sweep.start, sweep.end))
    # Rates between falling <= 0 and rising >= 0, and both ends: no value lies under the two lines from the ends.
    falling, rising = np.minimum(from_x[0] + from_y[0], 0), np.maximum(from_x[1] + from_y[1], 0)
    width = rising - falling
    share = np.divide(rising, width, out=np.zeros_like(width), where=width > 0)
    tilt = (start - end + falling * sweep.span) * share
    miss = np.full_like(tilt, allowed.levels)
    for least, greatest in (slope_x, slope_y):
        miss += allowed.pixels * np.maximum(greatest, -least)
    return _or_whole(source, (high > 2).any(0) | _far(corner), (end + tilt - miss, start - tilt + miss))


def _middle(source: _Source) -> Floats:
    return np.array([[source.shape[1] - 1], [source.shape[0] - 1]]) / 2


def _far(corner: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray((abs(corner) > FAR).any(0))


def _or_whole(source: _Source, wide: NDArray[np.bool_], bounds: Bounds) -> Bounds:
    """The bounds, but the image's whole range where its box was too wide: no interpolant leaves it."""
    if not wide.any():
        return bounds
    lower, upper = source.planes.min(1, keepdims=True) - 0.4, source.planes.max(1, keepdims=True) + 0.4
    return np.where(wide, lower, bounds[0]), np.where(wide, upper, bounds[1])


def _slopes(differences: Floats, low: Floats, high: Floats, second: NDArray[np.bool_]) -> Bounds:
    """Bounds (C, n) of the slope along one axis, on boxes from low in [0, 1) to high in [0, 2] along the other.

    differences: (3 lines, 2 cells, C, n), of pixels next to each other; second: whether the box reaches the 2nd cell.
    """
    down = np.diff(differences, axis=0)
    begin = differences[0] + down[0] * low
    line = differences[0] + down[0] * np.minimum(high, 1)
    finish = line + down[1] * np.maximum(high - 1, 0)
    least, greatest = np.minimum(np.minimum(begin, line), finish), np.maximum(np.maximum(begin, line), finish)
    return (
        np.where(second, np.minimum(least[0], least[1]), least[0]),
        np.where(second, np.maximum(greatest[0], greatest[1]), greatest[0]),
    )


def _value(patch: Floats, across: Floats, position: Floats) -> Floats:
    """The interpolant (C, n) at positions (2, n) in [0, 2] on the patch (3, 3, C, n), across: its differences in x."""
    x, y = position
    rows = patch[:, 0] + across[:, 0] * np.minimum(x, 1) + across[:, 1] * np.maximum(x - 1, 0)
    return np.asarray(rows[0] + (rows[1] - rows[0]) * np.minimum(y, 1) + (rows[2] - rows[1]) * np.maximum(y - 1, 0))


def _product(slope: Bounds, speed: Bounds, axis: int) -> Bounds:
    """Bounds of the product of a slope and a speed."""
    products: list[Any] = [one * other[axis] for one in slope for other in speed]
    return np.minimum.reduce(products), np.maximum.reduce(products)
