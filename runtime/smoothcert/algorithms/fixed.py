"""CERTIFY of Cohen, Rosenfeld, Kolter 2019 (section 3.2)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..certificate import Certificate
from ..confidence import Bound, margin
from ..evidence import Evidence, top
from ..sampling import ESTIMATION, SELECTION, Sampler
from ..smoothing import Smoothing
from .base import abstain, conclude, exact_margin, require_sizes, totals


@dataclass(frozen=True)
class Fixed:
    """CERTIFY of Cohen et al.: n0 votes choose the class, n fresh votes bound its probability, looked at once."""

    n0: int = 100
    n: int = 100_000
    alpha: float = 0.001
    bound: Bound = "one-sided"

    def __post_init__(self) -> None:
        require_sizes(self.n, self.alpha, self.n0, self.bound)

    @property
    def recipe(self) -> dict[str, Any]:
        """Mode, sample sizes, failure probability, bound."""
        return {"mode": "fixed", **asdict(self)}

    def draw(self, sampler: Sampler) -> Evidence:
        """n0 votes for selection, n for estimation."""
        selection = sampler.counts(SELECTION, 0, self.n0)
        estimation = sampler.counts(ESTIMATION, 0, self.n)
        return sampler.evidence("fixed", selection, estimation)

    def decide(self, evidence: Evidence, smoothing: Smoothing) -> Certificate:
        """The selected class with its radius, or abstain where its probability cannot be told from the others'."""
        prediction = top(evidence.selection)
        n = sum(evidence.estimation.values())
        votes = evidence.estimation.get(prediction, 0)
        p_lower, p_upper = exact_margin(evidence, prediction, n, self.alpha, self.bound)
        radius = smoothing.radius(p_lower, p_upper)
        if radius > 0:
            return conclude(self, smoothing, evidence, prediction, radius, p_lower, p_upper)
        reason = f"no majority: class {prediction} got {votes} of {n} votes"
        return abstain(self, smoothing, evidence, reason, p_lower, p_upper)

    def consistent(self, evidence: Evidence, smoothing: Smoothing) -> bool:
        """n0 and n votes."""
        return totals(evidence) == (self.n0, self.n) and not evidence.looks

    def samples(self, smoothing: Smoothing) -> tuple[int, int]:
        """n0 + n, always."""
        return self.n0 + self.n, self.n0 + self.n

    def reachable(self, smoothing: Smoothing) -> float:
        """Radius when all n votes agree."""
        return smoothing.radius(*margin(self.n, 0, self.n, self.alpha, self.bound))
