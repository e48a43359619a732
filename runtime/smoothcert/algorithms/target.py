"""Is the radius at least r? Sequential: theory.md section 8."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from ..bounds.confidence import SequentialTest, geometric_looks
from ..certificate import Certificate
from ..errors import require, require_number
from ..evidence import Evidence, top
from ..sampling import ESTIMATION, Sampler
from ..smoothing import Attack, Smoothing
from .base import Algorithm, conclude, require_sizes, totals
from .sequential import claims, drawn, possible


@dataclass(frozen=True)
class Target(Algorithm):
    """Is the radius at least r_1, r_2, ...? At most n votes, until the last is claimed or the next is futile.

    The targets share one alpha: see `SequentialTest`.
    """

    mode: ClassVar[str] = "target"
    radii: tuple[float, ...] = ()
    n: int = 100_000
    alpha: float = 0.001
    attack: Attack | None = None

    def __post_init__(self) -> None:
        require_sizes(self.n, self.alpha)
        require_number("radii", *self.radii)
        ascending = all(a < b for a, b in zip(self.radii, self.radii[1:], strict=False))
        got = ", ".join(f"{r:g}" for r in self.radii) or "none"
        require(
            (self.attack is not None and not self.radii) or (len(self.radii) > 0 and self.radii[0] > 0 and ascending),
            f"radii: expected ascending radii > 0, such as 0.25,0.5, or an `attack`, got {got}",
        )
        require(
            self.attack is None or not self.radii, "target mode: expected radii or an attack, got both; leave one out"
        )

    def test(self, smoothing: Smoothing, slack: float = 0.0) -> SequentialTest:
        """The sequential test of the targets' p_star, those left out that round to 1.

        Targets with the same outcomes have the same p_star: each later one is asked for the next number above.
        """
        p0s: list[float] = []
        for attack in self.attacks(smoothing):
            p0s.append(max([smoothing.p_star(attack) + slack, *(math.nextafter(p, 1) for p in p0s[-1:])]))
        return SequentialTest(tuple(p for p in p0s if p < 1), self.alpha, geometric_looks(64, self.n))

    def attacks(self, smoothing: Smoothing) -> list[Attack]:
        """What is claimed in order: the balls of the radii, or the one set of attacks."""
        return [smoothing.ball(r) for r in self.radii] if self.attack is None else [self.attack]

    def draw(self, sampler: Sampler, smoothing: Smoothing) -> Evidence:
        looks, votes = drawn(sampler, ESTIMATION, self.test(smoothing, sampler.made.slack))
        return replace(sampler.evidence(self.mode, {}, votes), looks=looks)

    def decide(self, evidence: Evidence, smoothing: Smoothing) -> Certificate:
        """The largest target claimed; the looks are replayed."""
        test, last = self.test(smoothing, evidence.slack), evidence.looks[-1]
        if claimed := claims(test, evidence.looks):
            p_lower = test.p0s[claimed - 1] - evidence.slack
            radius = self.radii[claimed - 1] if self.radii else 0.0
            interval = smoothing.interval(radius, radius) if radius else None
            return conclude(self, smoothing, evidence, last.label, radius, p_lower, 1 - p_lower, interval=interval)
        why = "target missed" if last.n == self.n else "futile"
        goal = f"radius {self.radii[0]:g}" if self.radii else "the attack"
        reason = f"{why}: class {last.label} got {last.count} of {last.n} votes, {goal} not shown"
        return conclude(self, smoothing, evidence, reason=reason)

    def consistent(self, evidence: Evidence, smoothing: Smoothing) -> bool:
        """The looks are such as the test ends with, follow the favourite until a claim, and agree with the votes."""
        test, looks = self.test(smoothing, evidence.slack), evidence.looks
        if not possible(test, looks):
            return False
        *before, last = looks
        followed = claims(test, before) > 0 or last.label == top(evidence.estimation)
        return followed and totals(evidence) == (0, last.n) and evidence.estimation.get(last.label, 0) == last.count

    def goal(self, smoothing: Smoothing) -> str:
        largest = self.largest(smoothing)
        beyond = [f"{r:g}" for r in self.radii if r > largest]
        lower = f" ({' and '.join(beyond)} out of reach: raise n or leave {'them' if beyond[1:] else 'it'} out)"
        return Algorithm.goal(self, smoothing) + (lower if beyond and self.attack is None else "")

    def needed(self, smoothing: Smoothing) -> float:
        return smoothing.p_star(self.attacks(smoothing)[0])

    def samples(self, smoothing: Smoothing) -> tuple[int, int]:
        """The first look at which unanimous votes have claimed all that they can, and n."""
        test = self.test(smoothing)
        most = test.claims(self.n, self.n)  # the next target is futile at once
        done = (n for n in test.looks if test.claims(n, n) == most)
        return next(done, self.n), self.n

    def largest(self, smoothing: Smoothing) -> float:
        """The largest target that unanimous votes would claim; infinite for an attack that they would."""
        if self.needed(smoothing) == 1:
            return 0.0
        claims = self.test(smoothing).claims(self.n, self.n)
        return (self.radii[claims - 1] if self.radii else float("inf")) if claims else 0.0
