"""What the attacker's 8-bit warps can make of an image, over a whole interval of the parameter.

Along the way of a position (`motions`) the interpolant changes no faster than the slopes of the cells it crosses allow:
that, and its values at both ends, bound it. OpenCV misses both a little; how far is read from its sources, and measured
by the tests:

- 5.0.0 with 1, 3 or 4 channels rounds the inverse matrix, found in float64, to float32; takes M0 x + (M1 y + M2) and
  the interpolant in float32, fused or not. Four roundings of S >= |M0 x| + |M1 y| + |M2| move the position by at most
  2^-22 S: twice that is granted. Six roundings of the value come to 0.0001 levels: 0.001 is granted.
- 4.x, and 5.0.0 with 2 channels, rounds twice to 1/1024 pixel, then to 1/32 pixel (bilinear) or to whole ones (nearest,
  which is no miss): 1/1024 + 1/64 or 1/1024 pixels, granted with 0.0002 more. Weights are multiples of 1/32768, one
  unit off at most in two of them, 0.016 levels: 0.02 is granted. Versions not known get the larger of both.

Both take what lies beyond the border pixel by pixel, and round to the nearest level, ties either way.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import require
from ..inputs.levels import EIGHT_BIT
from ..machine import cores
from .checks import Image, eight_bit, require_name
from .motions import Bounds, Floats, Motion, Sweep
from .warps import WARP_BORDERS

FAR = 2.0**14  # pixels; OpenCV's fixed point keeps positions in 16 bits
_STEP = 0.75  # pixels that a position may move in one step, so that its box meets 2 cells a side at most
_STEPS = 4096  # at most in each part; beyond, distant pixels get the image's whole range
_BLOCK = 8192  # pixels worked on at a time, to stay in the processor's cache
_LARGE = 2 * _BLOCK  # pixels of an image whose parts are worth threads

Ints = NDArray[np.int64]


def enclose(
    motion: Motion,
    image: Image,
    low: float,
    high: float,
    *,
    border: str = "black",
    interpolation: str = "bilinear",
    pieces: int = 4,
) -> Iterator[tuple[Image, Image]]:
    """For each of `pieces` equal parts of [low, high], ascending: two images, the lowest and highest levels.

    Between them lies, pixel by pixel, what the warp of that motion, by `warps.warped`, makes of the image (H, W[, C])
    for every value of that part, its ends included. `ArgumentError` for bicubic.
    """
    image = eight_bit(image)
    require_name("border", border, WARP_BORDERS)
    require(
        interpolation != "bicubic",
        "enclosure: expected bilinear or nearest, got bicubic, which overshoots the pixels it blends; "
        "certify against bilinear instead",
    )
    require_name("interpolation", interpolation, ("nearest", "bilinear"))
    require(
        max(image.shape[:2]) <= FAR and image.size <= 4 * math.prod(image.shape[:2]),
        f"enclosure: expected at most {FAR:g} x {FAR:g} pixels of 4 channels, got shape {image.shape}; make it smaller",
    )
    require(
        "ALGO_HINT_APPROX" not in cv2.getBuildInformation(),
        "enclosure: expected an OpenCV that blends in float32, got one built with ALGO_HINT_APPROX; install another",
    )
    least, most = motion.limits
    ordered = least <= low <= high <= most
    require(ordered, f"{motion.name}: expected {least:g} <= low <= high <= {most:g}, got low {low:g} and high {high:g}")
    require(pieces >= 1, f"enclosure: expected 1 piece or more, got {pieces}")
    ends = np.minimum(np.linspace(low, high, pieces + 1), high).tolist()
    bounds = partial(_between, motion, image, border, interpolation)
    if pieces > 1 and math.prod(image.shape[:2]) >= _LARGE and cores() > 1:
        return _pool().map(bounds, pairwise(ends))
    return map(bounds, pairwise(ends))


def misses(channels: int, interpolation: str, extent: float, stretch: float) -> tuple[float, float]:
    """How far, in pixels along x or y and in levels, OpenCV may miss; extent: the image's diagonal, in pixels."""
    # |M0 x| + |M1 y| <= stretch extent, and |M2| = |c - M c| <= (1 + stretch) extent / 2.
    floating = 2.0**-21 * (0.5 + 1.5 * stretch) * extent
    if cv2.__version__ == "5.0.0" and channels != 2:
        return floating, 0.001
    fixed = 1 / 1024 + 0.0002 + (1 / 64 if interpolation == "bilinear" else 0)
    return max(floating, fixed), 0.02


class _Source:
    """An image that goes on beyond its border, up to a number of pixels."""

    def __init__(self, image: Image, border: str, margin: int) -> None:
        height, width = image.shape[:2]
        pixels = image.reshape(height, width, -1)
        if border == "black":
            pixels = np.pad(pixels, ((1, 1), (1, 1), (0, 0)))
        self.planes = np.ascontiguousarray(pixels.reshape(-1, pixels.shape[2]).T, dtype=float)  # (C, rows * columns)
        # Flat index of the column x and of the row y, from -margin.
        self.tables = _indices(width, border, margin), _indices(height, border, margin) * pixels.shape[1]
        self.margin, self.middle = margin, np.array([[width - 1], [height - 1]]) / 2  # (2, 1), x and y

    def at(self, x: Ints, y: Ints) -> Floats:
        """Levels (C, n) of the pixels (x, y), which may lie outside."""
        columns, rows = self.tables
        return self.planes.take(columns.take(x + self.margin, mode="clip") + rows.take(y + self.margin, mode="clip"), 1)


def _indices(size: int, border: str, margin: int) -> Ints:
    """Which pixel of a row stands at -margin ... size + margin; a black border is a ring of pixels already added."""
    index = np.arange(-margin, size + margin + 1)
    if border == "black":
        return index.clip(-1, size) + 1
    if border == "wrap":
        return index % size
    if border == "replicate" or size == 1:
        return index.clip(0, size - 1)
    return (size - 1) - abs(index % (2 * size - 2) - (size - 1))


@functools.lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="smoothcert-enclosure")


if hasattr(os, "register_at_fork"):  # a child has the pool's lists but none of its threads, and would wait for ever
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _between(
    motion: Motion, image: Image, border: str, interpolation: str, part: tuple[float, float]
) -> tuple[Image, Image]:
    """The lowest and highest levels on one part of the interval."""
    low, high = part
    height, width = image.shape[:2]
    first, last, stretch = motion.path(low, high)
    extent = math.hypot(width, height)
    source = _Source(image, border, math.ceil(min(extent * stretch, FAR)) + 3)
    granted = misses(len(source.planes), interpolation, extent, stretch)
    steps = min(max(math.ceil((last - first) * max(extent / 2 / _STEP, 1)), 1), _STEPS)
    times = np.linspace(first, last, steps + 1).tolist()
    offsets = np.indices((width, height), float).transpose(0, 2, 1).reshape(2, -1) - source.middle
    lowest, highest = np.empty((2, len(source.planes), height * width), np.uint8)
    bounds = _linear if interpolation == "bilinear" else _nearest
    for begin in range(0, height * width, _BLOCK):
        block = slice(begin, begin + _BLOCK)
        least = np.full(lowest[:, block].shape, np.inf)
        greatest = -least
        for step in pairwise(times):
            lower, upper = bounds(source, motion.sweep(offsets[:, block], *step), *granted)
            least, greatest = np.minimum(least, lower), np.maximum(greatest, upper)
        lowest[:, block] = np.ceil(least - 0.5).clip(EIGHT_BIT.lowest, EIGHT_BIT.highest)
        highest[:, block] = np.floor(greatest + 0.5).clip(EIGHT_BIT.lowest, EIGHT_BIT.highest)
    return lowest.T.reshape(image.shape), highest.T.reshape(image.shape)


def _nearest(source: _Source, sweep: Sweep, pixels: float, levels: float) -> Bounds:
    """The least and greatest (C, n) of the pixels whose squares the boxes touch; `pixels` that positions may miss."""
    first = np.floor(sweep.box[0] + (source.middle + 0.5 - pixels)).astype(np.int64)
    last = np.floor(sweep.box[1] + (source.middle + 0.5 + pixels)).astype(np.int64)
    touched = [source.at(x, y) for x in (first[0], last[0]) for y in (first[1], last[1])]
    return _or_whole(source, first, last - first > 1, np.min(touched, 0), np.max(touched, 0))


def _linear(source: _Source, sweep: Sweep, pixels: float, levels: float) -> Bounds:
    """Bounds (C, n) of the bilinear interpolant, before it is rounded; `pixels` and `levels` may be missed."""
    low, high = sweep.box[0] + (source.middle - pixels), sweep.box[1] + (source.middle + pixels)
    corner = np.floor(low).astype(np.int64)
    low, high = low - corner, high - corner
    x, y = corner
    patch = np.stack([[source.at(x + i, y + j) for i in range(3)] for j in range(3)])  # (y, x, C, n)
    across = np.diff(patch, axis=1)
    slope_x = _slopes(across, low[1], high[1], high[0] > 1)
    slope_y = _slopes(np.diff(patch, axis=0).swapaxes(0, 1), low[0], high[0], high[1] > 1)
    start, end = (_value(patch, across, position + (source.middle - corner)) for position in (sweep.start, sweep.end))
    # Along the way the value changes at rates between falling <= 0 and rising >= 0: it lies above the lines that fall
    # at those rates from both ends, so above the point where they meet, and likewise below.
    by_x = [slope * speed[0] for slope in slope_x for speed in sweep.speed]
    by_y = [slope * speed[1] for slope in slope_y for speed in sweep.speed]
    falling = np.minimum(np.minimum.reduce(by_x) + np.minimum.reduce(by_y), 0)
    rising = np.maximum(np.maximum.reduce(by_x) + np.maximum.reduce(by_y), 0)
    share = np.divide(rising, rising - falling, out=np.zeros_like(rising), where=rising > falling)
    tilt = (start - end + falling * sweep.span) * share
    steepest = np.maximum(slope_x[1], -slope_x[0]) + np.maximum(slope_y[1], -slope_y[0])
    miss = pixels * steepest + levels
    return _or_whole(source, corner, high > 2, end + tilt - miss, start - tilt + miss)


def _or_whole(source: _Source, corner: Ints, wide: NDArray[np.bool_], lower: Floats, upper: Floats) -> Bounds:
    """The bounds, but the image's whole range where a box is too wide or too far out: no interpolant leaves it."""
    whole = np.any(wide | (abs(corner) > FAR), axis=0)
    if not whole.any():
        return lower, upper
    least, greatest = source.planes.min(1, keepdims=True), source.planes.max(1, keepdims=True)
    return np.where(whole, least, lower), np.where(whole, greatest, upper)


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
