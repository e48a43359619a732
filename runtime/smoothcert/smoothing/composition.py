"""Parts applied one after the other, where a theorem covers them together."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import require
from .base import Guarantee, Smoothing
from .pairs import find_theorem
from .part import Part

GUARANTEES: tuple[Guarantee, ...] = ("exact", "path")


@dataclass(frozen=True)
class Composition(Smoothing):
    """Parts applied one after the other. Made by `compose`."""

    parts: tuple[Part, ...] = ()
    guarantee: Guarantee = "exact"

    def __post_init__(self) -> None:
        find_theorem(self.parts)
        require(self.guarantee in GUARANTEES, f"guarantee: expected exact or path, got {self.guarantee!r}")
        rough = [f"{p.name} with law {p.line.name}" for p in self.parts if not p.line.smooth]
        require(
            self.guarantee == "exact" or not rough,
            f"guarantee path: needs laws with a smooth density, got {', '.join(rough)}; use exact, or another law",
        )
