"""CERTIFY of Cohen, Rosenfeld, Kolter 2019 (section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..bounds.confidence import Bound, margin
from ..certificate import Certificate
from ..evidence import Evidence, runner_up, top
from ..sampling import ESTIMATION, SELECTION, Sampler
from ..smoothing import Attack, Smoothing
from .base import Algorithm, conclude, require_sizes, totals


@dataclass(frozen=True)
class Fixed(Algorithm):
    """CERTIFY of Cohen et al.: n0 votes choose the class, n fresh votes bound its probability, looked at once."""

    mode: ClassVar[str] = "fixed"
    n0: int = 100
    n: int = 100_000
    alpha: float = 0.001
    bound: Bound = "one-sided"
    attack: Attack | None = None

    def __post_init__(self) -> None:
        require_sizes(self.n, self.alpha, self.n0, self.bound)

    def draw(self, sampler: Sampler, smoothing: Smoothing) -> Evidence:
        selection = sampler.counts(SELECTION, 0, self.n0)
        estimation = sampler.counts(ESTIMATION, 0, self.n)
        return sampler.evidence(self.mode, selection, estimation)

    def decide(self, evidence: Evidence, smoothing: Smoothing) -> Certificate:
        """The selected class with its radius, or abstain where its probability is too near the others'."""
        prediction = top(evidence.selection)
        n = sum(evidence.estimation.values())
        votes = evidence.estimation.get(prediction, 0)
        other = runner_up(evidence.estimation, prediction)
        bounds = margin(votes, other, n, self.alpha, self.bound)  # of the law drawn from, `slack` off the exact one
        p_lower, p_upper = max(0.0, bounds[0] - evidence.slack), min(1.0, bounds[1] + evidence.slack)
        if smoothing.survives(self.attack, p_lower, p_upper):
            radius = smoothing.radius(p_lower, p_upper)
            interval = smoothing.interval(*smoothing.sides(p_lower, p_upper))
            return conclude(self, smoothing, evidence, prediction, radius, p_lower, p_upper, interval=interval)
        reason = f"no majority: class {prediction} got {votes} of {n} votes"
        if self.attack is not None and p_lower > p_upper:
            needed = self.needed(smoothing)
            reason = f"attack too strong: p_lower {p_lower:.6f} of class {prediction}, {needed:.6f} needed"
        return conclude(self, smoothing, evidence, p_lower=p_lower, p_upper=p_upper, reason=reason)

    def consistent(self, evidence: Evidence, smoothing: Smoothing) -> bool:
        return totals(evidence) == (self.n0, self.n) and not evidence.looks

    def needed(self, smoothing: Smoothing) -> float:
        return 0.5 if self.attack is None else smoothing.p_star(self.attack)

    def samples(self, smoothing: Smoothing) -> tuple[int, int]:
        return self.n0 + self.n, self.n0 + self.n

    def largest(self, smoothing: Smoothing) -> float:
        """Radius when all n votes agree; infinite where an attack, or several parameters, are within reach."""
        bounds = margin(self.n, 0, self.n, self.alpha, self.bound)
        if self.attack is None and smoothing.main is not None:
            return smoothing.radius(*bounds)
        return float("inf") if smoothing.survives(self.attack, *bounds) else 0.0
