"""The worst attack of a whole set: theory.md section 3.

In every coordinate but one, the worst case grows with the distance from the identity, and the ends decide
(docs/theory.md has the proof). The exception is the scale of an affine group whose shift is attacked too: there the
interval is covered by cells. An attack of a cell is a small change of scale followed by the attack at the cell's
centre; what the small change can cost is known exactly, so that the bound holds all over the cell. The cell with the
worst bound is halved until that is near a value that is reached.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Mapping

from .joint_laws import JointLaws
from .laws import Law, Normal
from .neyman_pearson import threshold, worst

Interval = tuple[float, float]
Point = dict[str, float]

_EVALUATIONS = 48  # cells halved in a cover, at most
_FAR = 100.0  # standard deviations, or units of the coordinate where those are longer: nothing survives it
_NEAR = 0.005  # of what is missing to 1: how near the bound comes


def line_threshold(law: Law, shift: float, level: float = 0.5) -> float:
    """The p_star of one parameter shifted alone: its law is log-concave, and so the worst set is a half-line."""
    if shift >= 0:
        return float(law.cdf(law.ppf(level) + shift))
    return float(law.sf(law.isf(level) + shift))


def line_worst(law: Law, shift: float, p: float) -> float:
    """The least probability, after the shift, of a class that had probability p before it."""
    p = min(max(p, 1e-300), 1 - 1e-16)
    if shift >= 0:
        return float(law.cdf(law.ppf(p) - shift))
    return float(law.sf(law.isf(p) - shift))


def point_threshold(joint: JointLaws, point: Point, level: float = 0.5) -> float:
    """The p_star of one attack, in coordinates; `level`: the probability that the class must keep."""
    if _is_far(joint, point):
        return 1.0
    moved = [name for name, shift in point.items() if shift]
    if len(moved) == 1 and joint.is_line(moved[0]):
        return line_threshold(joint.laws[moved[0]], point[moved[0]], level)
    return threshold(lambda resolution: joint.pair(point, resolution), level)


def point_worst(joint: JointLaws, point: Point, p: float) -> float:
    """The least probability, under one attack, of a class that has probability p without it."""
    if _is_far(joint, point):
        return 0.0
    moved = [name for name, shift in point.items() if shift]
    if len(moved) == 1 and joint.is_line(moved[0]):
        return line_worst(joint.laws[moved[0]], point[moved[0]], p)
    return worst(lambda resolution: joint.pair(point, resolution), p)


def _is_far(joint: JointLaws, point: Point) -> bool:
    """Whether a shift is so long that its square, or its exponential, may be no float: the safe answer is nothing."""
    return any(abs(shift) > _FAR * max(joint.laws[name].scale, 1.0) for name, shift in point.items())


def box_threshold(joint: JointLaws, box: Mapping[str, Interval], point: Callable[[Point], float]) -> float:
    """The p_star of a box of attacks; `point` gives that of a single one, or any upper bound on it."""

    def cell(centre: Point, change: Point) -> float:
        level = point(centre)
        return max(point_threshold(joint, _scaled(change, s), level) for s in (-1, 1)) if level < 1 else 1.0

    return max(_cover(joint, corner, interval, point, cell) for corner, interval in _corners(joint, box))


def box_margin(joint: JointLaws, box: Mapping[str, Interval], p_lower: float, p_upper: float) -> float:
    """The least lead over a box of a class that has p_lower at the input, over any that has p_upper at most."""

    def point(at: Point) -> float:
        return 2 - point_worst(joint, at, p_lower) - point_worst(joint, at, 1 - p_upper)

    def cell(centre: Point, change: Point) -> float:
        one, other = (min(point_worst(joint, _scaled(change, s), p) for s in (-1, 1)) for p in (p_lower, 1 - p_upper))
        return 2 - point_worst(joint, centre, one) - point_worst(joint, centre, other)

    return 1 - max(_cover(joint, corner, interval, point, cell) for corner, interval in _corners(joint, box))


def _scaled(change: Point, sign: int) -> Point:
    return {name: sign * value for name, value in change.items()}


def _corners(joint: JointLaws, box: Mapping[str, Interval]) -> Iterator[tuple[Point, Interval | None]]:
    """The corners that can be worst, each with the interval of the scale that has to be covered, if any."""
    farthest = {name: max(map(abs, interval)) for name, interval in box.items()}
    scale = joint.coupled_scale(farthest)
    ends = {}
    for name, (low, high) in box.items():
        symmetric = isinstance(joint.laws[name], Normal) and (not joint.affine or name != joint.affine.scale)
        ends[name] = {farthest[name]} if symmetric or low >= 0 else {low} if high <= 0 else {low, high}
    interval = box.get(scale) if scale else None
    if scale and interval and interval[0] < interval[1]:
        ends.pop(scale)
    else:
        interval = None
    for corner in itertools.product(*ends.values()):
        yield dict(zip(ends, corner, strict=True)), interval


def _cover(
    joint: JointLaws,
    corner: Point,
    interval: Interval | None,
    point: Callable[[Point], float],
    cell: Callable[[Point, Point], float],
) -> float:
    """The largest value over the interval of the scale, the rest fixed: an upper bound, close to a value reached."""
    affine = joint.affine
    if interval is None or affine is None:
        return point(corner)
    scale, shift = affine.scale, affine.shift

    def bounded(low: float, high: float) -> tuple[float, float, float]:
        centre, half = (low + high) / 2, (high - low) / 2
        at = corner | {scale: centre}
        if shift in corner and not affine.scale_first:  # the small change comes first, and moves the shift
            at[shift] = corner[shift] * math.exp(half)
        return -cell(at, {scale: half}), low, high

    reached = max(point(corner | {scale: k}) for k in interval)
    cells = [bounded(*interval)]
    for _ in range(_EVALUATIONS):
        upper, low, high = cells[0]
        if reached >= 1 or -upper <= reached + _NEAR * (1 - reached):
            break
        heapq.heappop(cells)
        middle = (low + high) / 2
        reached = max(reached, point(corner | {scale: middle}))
        for half in ((low, middle), (middle, high)):
            heapq.heappush(cells, bounded(*half))
    return -cells[0][0]
