"""PREDICT of Cohen, Rosenfeld, Kolter 2019 (section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ..bounds.confidence import SAFE, binomial_p_value
from ..certificate import Certificate
from ..evidence import Evidence, runner_up, top
from ..sampling import ESTIMATION, Sampler
from ..smoothing import Smoothing
from .base import Algorithm, conclude, require_sizes, totals


@dataclass(frozen=True)
class Predict(Algorithm):
    """PREDICT of Cohen et al.: the favourite of n votes, unless it could be a tie (Hung and Fithian 2019)."""

    mode: ClassVar[str] = "predict"
    certifies: ClassVar[bool] = False
    n: int = 1000
    alpha: float = 0.001
    attack: None = field(default=None, init=False)

    def __post_init__(self) -> None:
        require_sizes(self.n, self.alpha)

    def draw(self, sampler: Sampler, smoothing: Smoothing) -> Evidence:
        return sampler.evidence(self.mode, {}, sampler.counts(ESTIMATION, 0, self.n))

    def decide(self, evidence: Evidence, smoothing: Smoothing) -> Certificate:
        """The favourite, with probability 1 - alpha the smoothed classifier's own answer; or abstain."""
        prediction = top(evidence.estimation)
        votes, other = evidence.estimation[prediction], runner_up(evidence.estimation, prediction)
        allowed = self.alpha * SAFE - self.n * evidence.slack  # n draws differ from their law by n slack at most
        if binomial_p_value(votes, votes + other) <= allowed:
            return conclude(self, smoothing, evidence, prediction)
        reason = f"no majority: the top two classes got {votes} and {other} of {self.n} votes"
        return conclude(self, smoothing, evidence, reason=reason)

    def consistent(self, evidence: Evidence, smoothing: Smoothing) -> bool:
        return totals(evidence) == (0, self.n) and not evidence.looks

    def goal(self, smoothing: Smoothing) -> str:
        return "no radius"

    def needed(self, smoothing: Smoothing) -> float:
        return 0.5

    def samples(self, smoothing: Smoothing) -> tuple[int, int]:
        return self.n, self.n

    def largest(self, smoothing: Smoothing) -> float:
        """Infinite where unanimous votes are an answer: a prediction has no radius."""
        return float("inf") if binomial_p_value(self.n, self.n) <= self.alpha * SAFE else 0.0
