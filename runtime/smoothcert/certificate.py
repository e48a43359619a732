"""What may be promised about one input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .evidence import Evidence

ABSTAIN = -1


@dataclass(frozen=True)
class Certificate:
    """With probability at least 1 - alpha over the sampling, g(x + d) = prediction for every |d| < radius.

    g is the smoothed classifier, never the base classifier. `prediction` is ABSTAIN and `radius` 0 where nothing can
    be promised, and `reason` says why. A prediction alone (`predict`) has radius 0. In target mode `p_lower` is the
    largest p_star claimed, and the radius itself is included. `smoothing` and `algorithm` echo what was asked for.
    """

    prediction: int
    radius: float
    p_lower: float
    p_upper: float
    alpha: float
    smoothing: dict[str, Any]
    algorithm: dict[str, Any]
    evidence: Evidence
    reason: str = ""

    @property
    def attack_model(self) -> str:
        """`integer` for 8-bit inputs and attackers, `float-unclipped` for float ones."""
        return self.evidence.attack_model

    def to_json(self) -> dict[str, Any]:
        """The outcome as plain values; what it echoes stands in the recipe, the evidence beside it in the ledger."""
        return {
            "prediction": self.prediction,
            "radius": self.radius,
            "p_lower": self.p_lower,
            "p_upper": self.p_upper,
            "reason": self.reason,
        }
