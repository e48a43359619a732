"""The theorem for a list of parts, and the bounds that it gives: on points, sets, and the one parameter's reach."""

from __future__ import annotations

import functools
import itertools
import math
from typing import TYPE_CHECKING

from scipy.optimize import brentq

from ..errors import require
from ..neyman_pearson import Tilt, path_threshold
from .attack import Attack, Range
from .cover import Point, box_margin, box_threshold, line_worst, point_threshold
from .laws import Law, Normal
from .theorem import Affine, Theorem

if TYPE_CHECKING:
    from .base import Smoothing
    from .part import Part

_DOWN = 1 - 1e-12  # quantiles are good to about 1e-15: what is certified is rounded towards the identity
# How much a blur with border reflect101 can lengthen l2 vectors: 1.061 an axis; the other borders cannot.
_EDGES = 1.13
_SUPPORTED = (
    "supported: noise, brightness, contrast, gamma, blur, translation alone; contrast with brightness and gamma with "
    "contrast, in either order; translation with any of these, blur with any but gamma, noise after all of them"
)


@functools.cache
def find_theorem(parts: tuple[Part, ...]) -> Theorem:
    """The theorem for the parts together; `ValueError` that says what is in the way, and what there is."""
    names = [part.name for part in parts]
    by = {part.name: part for part in parts}
    title = f"compose: no theorem for {' then '.join(names)}"
    require(
        len(by) == len(names), f"{title}: each part once (two independent noises are one, of sigma = sqrt(s1^2 + s2^2))"
    )
    require("noise" not in names[:-1], f"{title}: noise comes last, for no other part may depend on it")
    rough = [part.label for part in parts if not part.composes]
    require(
        not rough,
        f"{title}: {', '.join(rough)} composes only up to an error, for which a calibration is needed: "
        "measure it (smoothcert calibrate measure), add noise as the last part, and pass `calibration`",
    )
    others = {"brightness", "blur"} & by.keys()
    require(
        "gamma" not in by or not others,
        f"{title}: gamma does not compose with {' or '.join(sorted(others))}; {_SUPPORTED}",
    )
    require(
        not {"blur", "translation"} <= by.keys() or by["blur"].description["border"] == "wrap",
        f"{title}: a cyclic translation commutes with a cyclic blur only; give blur border=wrap",
    )
    laws = {part.name: part.line for part in parts}
    noise = "noise" if "noise" in by else None
    if {"gamma", "contrast"} <= by.keys():
        require(
            by["contrast"].description["about"] == "0",
            f"{title}: contrast about 0 composes with gamma, about mid does not",
        )
        return Theorem(laws, Affine("gamma", "contrast", None, names.index("gamma") < names.index("contrast")))
    if {"contrast", "brightness"} <= by.keys():
        first = names.index("contrast") < names.index("brightness")
        return Theorem(laws, Affine("contrast", "brightness", noise, first))
    return Theorem(laws, Affine("contrast", None, noise, True) if "contrast" in by and noise else None)


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
    noisy = any(name == "noise" and r.high for name, r in attack)
    require(
        not (noisy and "gamma" in by),
        "attack: no theorem for an attack on noise behind gamma, which bends it; leave noise out of the attack",
    )
    require(
        math.prod(r.points or 1 for _, r in attack) <= 20_000,
        f"attack: expected a grid of at most 20,000 points, got {attack}; take fewer, or the whole interval",
    )
    names = [name for name, _ in attack]
    magnified = _EDGES if "blur" in by and by["blur"].description["border"] == "reflect101" else 1.0

    def sides(name: str, r: Range) -> list[tuple[float, float]]:
        at = [by[name].coordinate(value) * (magnified if name == "noise" else 1.0) for value in r.grid]
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
