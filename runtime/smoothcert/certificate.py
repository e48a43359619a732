"""What may be promised about one input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .evidence import Evidence

ABSTAIN = -1


def floor_text(radius: float, digits: int = 3) -> str:
    """The radius in decimals, rounded down: never more than was certified."""
    text = f"{math.floor(radius * 10**digits) / 10**digits:.{digits}f}"
    return text if float(text) <= radius else f"{math.floor(radius * 10**digits - 1) / 10**digits:.{digits}f}"


@dataclass(frozen=True)
class Certificate:
    """With probability at least 1 - alpha over the sampling, g(attacked x) = prediction for every attack certified.

    Certified are, for smoothings of one parameter, all attacks within `radius` of the identity, in the coordinate where
    attacks add up (the logarithm, for factors); `interval` has the ends in the attack's own values and `unit`, which
    may lie farther to one side; and the set of attacks that `algorithm` names, if any. g is the smoothed classifier,
    never the base classifier; where `attack_model` is `enumerated`, it is the base classifier, and nothing is left to
    chance.

    `prediction` is ABSTAIN and `radius` 0 where nothing can be promised, and `reason` says why; a prediction alone has
    radius 0 too. In target mode `p_lower` is the largest p_star claimed, and the radius itself is included.
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
    interval: tuple[float, float] | None = None
    unit: str = ""

    @property
    def attack_model(self) -> str:
        """`integer` for whole 8-bit levels, `float-unclipped` for real numbers, `enumerated` for a finite set."""
        return self.evidence.attack_model

    def to_json(self) -> dict[str, Any]:
        """The outcome as plain values; what it echoes stands in the recipe, the evidence beside it in the ledger."""
        return {
            "prediction": self.prediction,
            "radius": self.radius,
            **({} if self.interval is None else {"interval": list(self.interval)}),
            **({"unit": self.unit} if self.radius else {}),
            "p_lower": self.p_lower,
            "p_upper": self.p_upper,
            "reason": self.reason,
        }
