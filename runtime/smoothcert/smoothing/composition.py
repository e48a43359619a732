"""Parts applied one after the other, where a theorem covers them together: on points, sets, and the radius of one."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass

from scipy.optimize import brentq

from ..bounds.cover import Point, box_margin, box_threshold, line_worst, point_threshold
from ..bounds.error_rule import DOWN
from ..bounds.joint_laws import JointLaws
from ..bounds.laws import Law, Normal
from ..bounds.neyman_pearson import Tilt, path_threshold
from ..errors import ArgumentError, require
from ..inputs.input import Input
from .attack import Attack
from .noise import Noise
from .offsets import NONE, Piece
from .pairs import joint_laws
from .part import Part
from .perturbation import OnPixels
from .ranges import Range
from .slicing import PixelSlicing
from .smoothing import AnyAttack, Guarantee, Smoothing
from .transform import Transform

GUARANTEES: tuple[Guarantee, ...] = ("exact", "path")


@dataclass(frozen=True)
class Composition(Smoothing):
    """One part, or several applied one after the other. Made by `compose`."""

    parts: tuple[Part, ...] = ()
    guarantee: Guarantee = "exact"

    def __post_init__(self) -> None:
        joint_laws(self.parts)
        require(self.guarantee in GUARANTEES, f"guarantee: expected exact or path, got {self.guarantee!r}")
        rough = [f"{p.name} with law {p.line.name}" for p in self.parts if not p.line.smooth]
        require(
            self.guarantee == "exact" or not rough,
            f"guarantee path: needs laws with a smooth density, got {', '.join(rough)}; use exact, or another law",
        )

    @property
    def perturbation(self) -> OnPixels:
        return OnPixels(self.parts)

    @property
    def attack_models(self) -> tuple[str, ...]:
        return ("integer", "float-unclipped") if all(part.whole for part in self.parts) else ("float-unclipped",)

    @property
    def joint(self) -> JointLaws:
        """The joint law of the parts."""
        return joint_laws(self.parts)

    def p_star(self, attack: AnyAttack) -> float:
        return _p_star(self, Attack.of(attack))

    def leads(self, attack: Attack, p_lower: float, p_upper: float) -> bool:
        return self.guarantee == "exact" and _leads(self, attack, p_lower, p_upper)

    def sides(self, p_lower: float, p_upper: float | None = None) -> tuple[float, float]:
        part, p_upper = self.main, 1 - p_lower if p_upper is None else p_upper
        if part is None or p_lower <= p_upper:
            return 0.0, 0.0
        left = _side(part.line, -1, p_lower, p_upper) if part.signed else 0.0
        return left, _side(part.line, 1, p_lower, p_upper)

    def shifted(self, deviations: float) -> float:
        return self.p_star({"noise": deviations * self._alone.sigma})

    def slicing(self, x: Input, transform: Transform, levels: Piece = NONE) -> PixelSlicing:
        return PixelSlicing.of(x, transform, self._alone.sigma, levels)

    @property
    def _alone(self) -> Noise:
        """The noise, where there is nothing else."""
        if len(self.parts) != 1 or not isinstance(self.parts[0], Noise) or self.guarantee != "exact":
            raise ArgumentError("slices: expected a smoothing of noise alone; the attack itself is not smoothed")
        return self.parts[0]

    def boxes(self, attack: Attack) -> list[dict[str, tuple[float, float]]]:
        """The attack in coordinates: one box, or one for each combination of the points of grids."""
        by = {part.name: part for part in self.parts}
        attack.require_on(by)
        require(
            math.prod(r.points or 1 for _, r in attack) <= 20_000,
            f"attack: expected a grid of at most 20,000 points, got {attack}; take fewer, or the whole interval",
        )

        def sides(part: Part, r: Range) -> list[tuple[float, float]]:
            longer = self.joint.stretch(part.name) if r.high else 1.0
            values = part.grid(r).sizes if r.points else (r.low, r.high)
            at = [part.coordinate(value) * longer for value in values]
            return [(a, a) for a in at] if r.points else [(at[0], at[1])]

        names = [name for name, _ in attack]
        products = itertools.product(*(sides(by[name], r) for name, r in attack))
        return [dict(zip(names, box, strict=True)) for box in products]


@functools.lru_cache(maxsize=4096)
def _p_star(smoothing: Composition, attack: Attack) -> float:
    @functools.cache
    def bound(items: tuple[tuple[str, float], ...]) -> float:
        shift = dict(items)
        exact = point_threshold(smoothing.joint, shift)
        if smoothing.guarantee == "exact" or exact == 1:
            return exact

        def tilt(time: float, resolution: int) -> Tilt:
            return smoothing.joint.tilt({name: time * a for name, a in items}, shift, resolution)

        return max(exact, path_threshold(tilt))

    def point(shift: Point) -> float:
        return bound(tuple(sorted(shift.items())))

    return max(box_threshold(smoothing.joint, box, point) for box in smoothing.boxes(attack))


@functools.lru_cache(maxsize=4096)
def _leads(smoothing: Composition, attack: Attack, p_lower: float, p_upper: float) -> bool:
    """Whether the top class stays ahead of every other all over the set. Equal votes ask only once."""
    return all(box_margin(smoothing.joint, box, p_lower, p_upper) > 0 for box in smoothing.boxes(attack))


def _side(law: Law, sign: int, p_lower: float, p_upper: float) -> float:
    """The largest shift to that side that the margin survives, rounded down."""
    if isinstance(law, Normal):
        return float(law.ppf(p_lower) - law.ppf(p_upper)) / 2 * DOWN

    def one_sided(p: float) -> float:
        p = min(max(p, 1e-15), 1 - 1e-15)
        return float(law.ppf(p) - law.ppf(0.5) if sign > 0 else law.isf(0.5) - law.isf(p))

    if p_upper >= 1 - p_lower:
        return max(0.0, one_sided(p_lower)) * DOWN

    def margin(shift: float) -> float:
        return line_worst(law, sign * shift, p_lower) + line_worst(law, sign * shift, 1 - p_upper) - 1

    most = one_sided(max(p_lower, 1 - p_upper))
    if margin(0.0) <= 0:
        return 0.0
    return float(brentq(margin, 0.0, most, xtol=1e-14 * most)) * (1 - 1e-9) if margin(most) < 0 else most * DOWN
