"""As few samples as give nearly the whole radius: theory.md section 8."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import ClassVar

from ..bounds.confidence import Bound, margin
from ..certificate import Certificate
from ..errors import require
from ..evidence import Counts, Evidence, runner_up, top
from ..sampling import ESTIMATION, SELECTION, Sampler
from ..smoothing import Smoothing
from .base import Algorithm, conclude, require_sizes, totals
from .fixed import Fixed

EFFICIENCY = 0.95  # of the radius that n samples would give: what the second stage is sized for
PILOT = 1000
_PILOTS = 1000  # outcomes of the pilot that `samples` looks at


@dataclass(frozen=True)
class Radius(Algorithm):
    """Two stages: n0 pilot votes choose the class and how many of at most n fresh votes are worth drawing.

    The second stage, which alone enters the bound, is the smallest sample expected to reach 95 % of the radius that n
    votes would give. Abstains after the pilot where n votes would not be expected to certify anything.
    """

    mode: ClassVar[str] = "radius"
    n0: int = PILOT
    n: int = 100_000
    alpha: float = 0.001
    bound: Bound = "one-sided"
    attack: None = field(default=None, init=False)

    def __post_init__(self) -> None:
        require_sizes(self.n, self.alpha, self.n0, self.bound)

    @property
    def estimation(self) -> Fixed:
        """What the second stage is decided by."""
        return Fixed(self.n0, self.n, self.alpha, self.bound)

    def draw(self, sampler: Sampler, smoothing: Smoothing) -> Evidence:
        pilot = sampler.counts(SELECTION, 0, self.n0)
        n = self.second_stage(pilot, smoothing)
        estimation = sampler.counts(ESTIMATION, 0, n) if n else Counter[int]()
        return sampler.evidence(self.mode, pilot, estimation)

    def second_stage(self, pilot: Counts, smoothing: Smoothing) -> int:
        """Votes to draw after the pilot: 0 where all n would be expected to end in abstention."""
        prediction = top(pilot)
        shares = pilot[prediction] / self.n0, runner_up(pilot, prediction) / self.n0

        def expected(n: int) -> float:
            k, other = (int(share * n) for share in shares)
            return smoothing.radius(*margin(k, other, n, self.alpha, self.bound))

        goal = EFFICIENCY * expected(self.n)
        if goal <= 0:
            return 0
        low, high = 0, self.n
        while high - low > max(1, low // 100):
            middle = (low + high) // 2
            low, high = (low, middle) if expected(middle) >= goal else (middle, high)
        return high

    def decide(self, evidence: Evidence, smoothing: Smoothing) -> Certificate:
        """As `Fixed`, on the second stage."""
        if evidence.estimation:
            return replace(self.estimation.decide(evidence, smoothing), algorithm=self.recipe)
        prediction = top(evidence.selection)
        reason = f"futile: class {prediction} got {evidence.selection[prediction]} of {self.n0} pilot votes"
        return conclude(self, smoothing, evidence, reason=reason)

    def consistent(self, evidence: Evidence, smoothing: Smoothing) -> bool:
        pilot, n = totals(evidence)
        return pilot == self.n0 and n == self.second_stage(evidence.selection, smoothing) and not evidence.looks

    def needed(self, smoothing: Smoothing) -> float:
        return 0.5

    def samples(self, smoothing: Smoothing) -> tuple[int, int]:
        """The pilot and about the least second stage that one of some pilots calls for; the pilot and n."""
        tops = range(self.n0, 0, -max(1, self.n0 // _PILOTS))
        pilots = ({0: k, 1: other} for k in tops for other in {min(k, self.n0 - k), 0})
        stages = [stage for pilot in pilots if (stage := self.second_stage(pilot, smoothing))]
        return self.n0 + min(stages, default=self.n), self.n0 + self.n

    def largest(self, smoothing: Smoothing) -> float:
        """Radius when all n votes agree. `ValueError` for smoothings that have none."""
        require(
            smoothing.main is not None,
            "radius mode: a smoothing of several parameters has no radius; use fixed or target mode with an `attack`",
        )
        return self.estimation.largest(smoothing)
