"""A finite set of attacks, member by member: exact, no statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..certificate import Certificate
from ..errors import ArgumentError
from ..evidence import Evidence, top
from ..sampling import ESTIMATION, SELECTION, Sampler
from ..smoothing import Enumeration, Smoothing
from .base import abstain, conclude, totals


@dataclass(frozen=True)
class Enumerate:
    """The base classifier's answer on every member of an `Enumeration`: certified where all are the same.

    Nothing is estimated, and alpha is 0. The certificate speaks of the base classifier itself.
    """

    attack: ClassVar[None] = None
    alpha: ClassVar[float] = 0.0

    @property
    def recipe(self) -> dict[str, Any]:
        """Mode, and alpha = 0; the set of attacks stands in the smoothing's."""
        return {"mode": "enumerate", "alpha": self.alpha}

    def draw(self, sampler: Sampler) -> Evidence:
        """The image itself, then every member."""
        selection = sampler.counts(SELECTION, 0, 1)
        return sampler.evidence("enumerate", selection, sampler.counts(ESTIMATION, 0, _size(sampler.smoothing)))

    def decide(self, evidence: Evidence, smoothing: Smoothing) -> Certificate:
        """The one answer there is, or abstain where some member changes it."""
        prediction, members = top(evidence.selection), sum(evidence.estimation.values())
        if evidence.estimation.get(prediction) == members:
            return conclude(self, smoothing, evidence, prediction, 0.0, 1.0, 0.0)
        wrong = members - evidence.estimation.get(prediction, 0)
        reason = f"attack found: {wrong} of {members} members are not class {prediction}"
        share = 1 - wrong / members
        return abstain(self, smoothing, evidence, reason, share, 1 - share)

    def consistent(self, evidence: Evidence, smoothing: Smoothing) -> bool:
        """One vote, then one for each member; the image itself is one of them."""
        counted = totals(evidence) == (1, _size(smoothing)) and not evidence.looks
        return counted and evidence.estimation.get(top(evidence.selection), 0) > 0

    def needed(self, smoothing: Smoothing) -> float:
        """All members."""
        return 1.0

    def samples(self, smoothing: Smoothing) -> tuple[int, int]:
        """The members, and the image once more."""
        return 1 + _size(smoothing), 1 + _size(smoothing)

    def reachable(self, smoothing: Smoothing) -> float:
        """Always within reach."""
        return float("inf") if _size(smoothing) else 0.0


def _size(smoothing: Smoothing) -> int:
    if not isinstance(smoothing, Enumeration):
        raise ArgumentError(
            "enumerate: expected an Enumeration of attacks, got a smoothing; name the set of attacks instead"
        )
    return len(smoothing.members)
