"""The range of values that a set of attacks has for one parameter."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import require


@dataclass(frozen=True)
class Range:
    """The values low..high of one parameter, or a `Grid` with `points` of them; a ball of radius high for norms."""

    low: float
    high: float
    points: int | None = None

    def __post_init__(self) -> None:
        require(
            -math.inf < self.low <= self.high < math.inf,
            f"attack: expected LOW:HIGH with finite LOW <= HIGH, got {self.low:g}:{self.high:g}",
        )
        require(
            self.points is None or 2 <= self.points <= 100_000,
            f"attack: expected a grid of 2 to 100,000 points, got {self.points}",
        )

    @property
    def is_one(self) -> bool:
        """Whether the range is a single value."""
        return self.low == self.high

    def __str__(self) -> str:
        if self.is_one:
            return exact_text(self.low)
        return f"{exact_text(self.low)}:{exact_text(self.high)}" + ("" if self.points is None else f":{self.points}")


def exact_text(value: float) -> str:
    """Six digits where they are the whole value: what was certified is never rounded up."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)
