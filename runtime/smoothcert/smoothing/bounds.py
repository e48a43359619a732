"""The bounds that a theorem gives: on points, sets, and the one parameter's reach."""

from __future__ import annotations

import functools
import itertools
import math
from typing import TYPE_CHECKING

from scipy.optimize import brentq

from ..bounds.cover import Point, box_margin, box_threshold, line_worst, point_threshold
from ..bounds.laws import Law, Normal
from ..bounds.neyman_pearson import Tilt, path_threshold
from ..errors import require
from .attack import Attack, Range

if TYPE_CHECKING:
    from .base import Smoothing

_DOWN = 1 - 1e-12  # quantiles are good to about 1e-15: what is certified is rounded towards the identity


@functools.lru_cache(maxsize=4096)
def p_star(smoothing: Smoothing, attack: Attack) -> float:
    """The p_star of a set of attacks, computed once for a run."""

    @functools.cache
    def bound(items: tuple[tuple[str, float], ...]) -> float:
        shift = dict(items)
        exact = point_threshold(smoothing.theorem, shift)
        if smoothing.guarantee == "exact" or exact == 1:
            return exact

        def tilt(time: float, resolution: int) -> Tilt:
            return smoothing.theorem.tilt({name: time * a for name, a in items}, shift, resolution)

        return max(exact, path_threshold(tilt))

    def point(shift: Point) -> float:
        return bound(tuple(sorted(shift.items())))

    return max(box_threshold(smoothing.theorem, box, point) for box in boxes(smoothing, attack))


@functools.lru_cache(maxsize=4096)
def leads(smoothing: Smoothing, attack: Attack, p_lower: float, p_upper: float) -> bool:
    """Whether the top class stays ahead of every other all over the set. Equal votes ask only once."""
    return all(box_margin(smoothing.theorem, box, p_lower, p_upper) > 0 for box in boxes(smoothing, attack))


def boxes(smoothing: Smoothing, attack: Attack) -> list[dict[str, tuple[float, float]]]:
    """The attack in coordinates: one box, or one for each combination of the points of grids."""
    by = {part.name: part for part in smoothing.parts}
    known = ", ".join(repr(name) for name in by)
    strange = [name for name, _ in attack if name not in by]
    require(not strange, f"attack: expected parameters that are smoothed ({known}), got {', '.join(strange)}")
    require(bool(attack.ranges), f"attack: expected a value for at least one of {known}, got nothing")
    require(
        math.prod(r.points or 1 for _, r in attack) <= 20_000,
        f"attack: expected a grid of at most 20,000 points, got {attack}; take fewer, or the whole interval",
    )
    names = [name for name, _ in attack]

    def sides(name: str, r: Range) -> list[tuple[float, float]]:
        longer = smoothing.theorem.stretch(name) if r.high else 1.0
        at = [
            by[name].coordinate(value) * longer for value in (by[name].grid(r).sizes if r.points else (r.low, r.high))
        ]
        return [(a, a) for a in at] if r.points else [(at[0], at[1])]

    return [dict(zip(names, box, strict=True)) for box in itertools.product(*(sides(name, r) for name, r in attack))]


def reach(law: Law, sign: int, p_lower: float, p_upper: float) -> float:
    """The largest shift to that side that the margin survives, rounded down."""
    if isinstance(law, Normal):
        return float(law.quantile(p_lower) - law.quantile(p_upper)) / 2 * _DOWN

    def one_sided(p: float) -> float:
        p = min(max(p, 1e-15), 1 - 1e-15)
        return float(law.quantile(p) - law.quantile(0.5) if sign > 0 else law.isf(0.5) - law.isf(p))

    if p_upper >= 1 - p_lower:
        return max(0.0, one_sided(p_lower)) * _DOWN

    def margin(shift: float) -> float:
        return line_worst(law, sign * shift, p_lower) + line_worst(law, sign * shift, 1 - p_upper) - 1

    most = one_sided(max(p_lower, 1 - p_upper))
    if margin(0.0) <= 0:
        return 0.0
    return float(brentq(margin, 0.0, most, xtol=1e-14 * most)) * (1 - 1e-9) if margin(most) < 0 else most * _DOWN
