"""Transformations that compose up to an error that was measured: theory.md section 4.

Source: Fischer, Baader, Vechev 2020 (Statistical verification of general perturbations), sections 4 and 5; the rules
themselves, and the tighter one's proof: `error_rule`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ..bounds.error_rule import DOWN, ERROR_RULES, ErrorBounds, ErrorRule, least_sigma, most, needed
from ..bounds.laws import Normal
from ..errors import require
from ..evidence import Evidence
from ..inputs.input import Input
from .attack import Attack
from .calibration import Calibration
from .noise import Noise
from .part import Part
from .perturbation import OnRaw
from .ranges import Range
from .smoothing import AnyAttack, Guarantee, Smoothing
from .transform import transform_type


@dataclass(frozen=True)
class Calibrated(Smoothing):
    """P(T_b(x)) + eta: Gaussian parts on the raw 8-bit image, as an attacker computes them, then P, then pixel noise.

    Attack g ahead of draw b is draw b + g up to an error e_b,g(x) = P(T_b(T_g(x))) - P(T_b+g(x)). Where |e| <= E
    but for a probability e over b, the top class survives g when

        sqrt(sum (g_i / s_i)^2 + (E / sigma)^2) < Phi^-1(p_lower) - Phi^-1(1/2 + e)    (`tight`)
                                                < Phi^-1(p_lower - e)                  (`paper`)

    for any pair (E, e) of the calibration. Certificates then claim what the calibration's strategy allows, with
    probability 1 - alpha - rho. Made by `compose`.
    """

    parts: tuple[Part, ...] = ()
    calibration: Calibration = field(kw_only=True)
    error_rule: ErrorRule = "tight"

    def __post_init__(self) -> None:
        names = [part.name for part in self.parts]
        title = "calibrated: expected parts of a normal or lognormal law, each once, then noise"
        once = len(names) > 1 and isinstance(self.parts[-1], Noise) and len(set(names)) == len(names)
        require(once, f"{title}; got {names}")
        for part in self.moved:
            normal = isinstance(part.line, Normal) and not isinstance(part, Noise)
            require(normal, f"{title}; got {part.label}")
            part.require_measurable(Range(part.value(0.0), part.value(0.0)))
            known = transform_type(part.name) is part.transforms  # which refuses parts that no table has
            require(known, f"{title}; got another {part.name} than the table of parts has")
        require(self.error_rule in ERROR_RULES, f"error rule: expected tight or paper, got {self.error_rule!r}")

    guarantee: ClassVar[Guarantee] = "calibrated"
    acts_on_raw: ClassVar[bool] = True
    attack_models: ClassVar[tuple[str, ...]] = ("integer",)

    @property
    def perturbation(self) -> OnRaw:
        return OnRaw(self.moved, self.parts[-1], self.calibration)

    @property
    def moved(self) -> tuple[Part, ...]:
        """The parts on the raw image: all but the noise."""
        return self.parts[:-1]

    @property
    def main(self) -> Part | None:
        """None on a grid, too: what lies between its points is not certified."""
        return self.moved[0] if len(self.moved) == 1 and not self.calibration.attack.is_grid else None

    @property
    def recipe(self) -> dict[str, Any]:
        """Plain values, with the bounds that inputs share: certificates can be decided again without the file."""
        calibration = self.calibration.recipe | {"error_rule": self.error_rule}
        parts = [part.description for part in self.parts]
        return {"guarantee": self.guarantee, "parts": parts, "calibration": calibration}

    @property
    def measured(self) -> Calibration:
        return self.calibration

    def with_measured(self, measured: Calibration) -> Calibrated:
        return replace(self, calibration=measured)

    def of_input(self, x: Input) -> Calibrated:
        return self.with_measured(self.calibration.of_input(x.sha256))

    def of_evidence(self, evidence: Evidence) -> Calibrated:
        own = self.calibration.per_input
        return self.with_measured(replace(self.calibration, bounds=evidence.errors)) if own else self

    @property
    def favourable(self) -> Calibrated:
        return self.with_measured(self.calibration.favourable)

    @property
    def _sigma(self) -> float:
        return self.parts[-1].scale

    def p_star(self, attack: AnyAttack) -> float:
        moved = self._moved(Attack.of(attack))
        found = (needed(math.hypot(moved, error / self._sigma), e, self.error_rule) for error, e in self._usable)
        return min((1.0, *found))

    @property
    def _usable(self) -> ErrorBounds:
        return tuple((error, e) for error, e in self.calibration.bounds if e < 0.5)

    def leads(self, attack: Attack, p_lower: float, p_upper: float) -> bool:
        moved = self._moved(attack)
        return any(
            math.hypot(moved, error / self._sigma) < most(p_lower, p_upper, e, self.error_rule)
            for error, e in self.calibration.bounds
        )

    def hint(self, attack: Attack | None, p_lower: float) -> str:
        if not self._usable:
            return "the calibration bounds no error, for it has too few inputs or draws; measure more"
        what, moved = ("this attack", self._moved(attack)) if attack else ("any radius", 0.0)
        found = least_sigma(moved, self.calibration.bounds, p_lower, self.error_rule)
        if found is None:
            farthest = max(most(p_lower, 1 - p_lower, e, self.error_rule) for _, e in self._usable)
            if farthest == 0:
                return f"p_lower = {p_lower:.4g} is too little for the calibration's errors; raise n, or measure more"
            times = math.ceil(100 * moved / farthest) / 100
            return (
                f"this attack is {moved:.3g} standard deviations of the parts away, and votes that all agree reach "
                f"{farthest:.3g} with no error at all: it needs more than {times:g} times the scale, measured anew"
            )
        sigma, error = found
        if sigma < self._sigma:
            return ""
        return (
            f"the calibration's smallest error that serves here, E = {error:.4g}, needs noise of at least "
            f"{math.ceil(1000 * sigma) / 1000:g} for {what}; this run has {self._sigma:g}"
        )

    def sides(self, p_lower: float, p_upper: float | None = None) -> tuple[float, float]:
        part, p_upper = self.main, 1 - p_lower if p_upper is None else p_upper
        if part is None or p_lower <= p_upper:
            return 0.0, 0.0
        squares = (
            most(p_lower, p_upper, e, self.error_rule) ** 2 - (error / self._sigma) ** 2
            for error, e in self.calibration.bounds
        )
        reached = part.scale * math.sqrt(max(0.0, *squares, 0.0)) * DOWN
        limit = dict(self.calibration.attack).get(part.name, Range(part.value(0.0), part.value(0.0)))
        left, right = part.coordinate(limit.low), part.coordinate(limit.high)
        if left > 0 or right < 0:  # what lies between the identity and the range was not measured
            return 0.0, 0.0
        return min(reached, 0.0 - left) if part.signed else 0.0, min(reached, right)

    def _moved(self, attack: Attack) -> float:
        """How far the attack moves the law, in standard deviations of the moved parts; 0 for what it leaves out."""
        by = {part.name: part for part in self.moved}
        require(
            self.parts[-1].name not in dict(attack),
            "attack: no theorem for noise ahead of parts that bend or amplify it; leave noise out of the attack",
        )
        attack.require_on(by)
        self.calibration.require_measured(self.moved, attack)
        ends = {name: [by[name].coordinate(value) / by[name].scale for value in (r.low, r.high)] for name, r in attack}
        return math.hypot(*(max(map(abs, both)) for both in ends.values()))
