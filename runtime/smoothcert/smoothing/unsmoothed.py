"""No smoothing: the base classifier itself, for algorithms that are exact without chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Never

from ..errors import ArgumentError
from .attack import Attack
from .part import Part
from .smoothing import AnyAttack, Guarantee, Smoothing

_WHY = "smoothing: expected one, such as noise, for this mode; without any, attacks are enumerated"


@dataclass(frozen=True)
class Unsmoothed(Smoothing):
    """The base classifier as it is. It promises nothing of its own: only enumeration takes it."""

    parts: ClassVar[tuple[Part, ...]] = ()
    guarantee: ClassVar[Guarantee] = "none"
    attack_models: ClassVar[tuple[str, ...]] = ()

    @property
    def recipe(self) -> dict[str, Any]:
        return {}

    @property
    def perturbation(self) -> Never:
        raise ArgumentError(_WHY)

    def p_star(self, attack: AnyAttack) -> float:
        raise ArgumentError(_WHY)

    def leads(self, attack: Attack, p_lower: float, p_upper: float) -> bool:
        raise ArgumentError(_WHY)

    def sides(self, p_lower: float, p_upper: float | None = None) -> tuple[float, float]:
        raise ArgumentError(_WHY)


UNSMOOTHED = Unsmoothed()
