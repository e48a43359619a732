"""Transformations that compose up to an error that was measured: theory.md section 4.

Source: Fischer, Baader, Vechev 2020 (Statistical verification of general perturbations), sections 4 and 5; the tighter
rule and its proof: docs/theory.md, section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from ..errors import CalibrationError, DataError, require
from ..evidence import Evidence
from ..noise import Stream
from ..spatial import Raw
from ..transforms.attacks import Manner, attacked
from . import pipeline
from .attack import Attack, Range
from .base import AnyAttack, Guarantee, Smoothing
from .calibration import Calibration, ErrorBounds
from .geometry import WHOLE, Translation
from .laws import Normal
from .part import Part

ErrorRule = Literal["tight", "paper"]
ERROR_RULES: tuple[ErrorRule, ...] = ("tight", "paper")
_DOWN = 1 - 1e-12


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
        title = (
            "calibrated: expected brightness, contrast, gamma, rotation, scaling or translation, each once, then noise"
        )
        require(len(names) > 1 and names[-1] == "noise" and len(set(names)) == len(names), f"{title}; got {names}")
        for part in self.moved:
            whole = isinstance(part, Translation) and part.interpolation == WHOLE
            usable = isinstance(part.line, Normal) and part.name not in ("noise", "blur") and not whole
            require(usable, f"{title}; got {part.label}" + whole * ": give it interpolation=bilinear")
        require(self.error_rule in ERROR_RULES, f"error rule: expected tight or paper, got {self.error_rule!r}")

    @property
    def guarantee(self) -> Guarantee:
        return "calibrated"

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
        """Plain values; bounds included, so that certificates can be decided again without the file."""
        calibration = self.calibration.recipe | {"error_rule": self.error_rule}
        if self.calibration.per_input:
            del calibration["bounds"]
        return super().recipe | {"calibration": calibration}

    @property
    def rho(self) -> float:
        return 1 - self.calibration.confidence

    @property
    def errors(self) -> ErrorBounds:
        return self.calibration.bounds if self.calibration.per_input else ()

    def of_input(self, fingerprint: str) -> Smoothing:
        """The smoothing with the input's own bounds, where each has its own; `DataError` for an input without."""
        if not self.calibration.per_input or self.calibration.bounds:
            return self
        if fingerprint not in self.calibration.inputs:
            raise DataError(
                "calibration: expected an input that was calibrated, for the strategy is "
                f"{self.calibration.strategy}, got another; calibrate these data, or use a dataset strategy"
            )
        return self._with(self.calibration.inputs[fingerprint])

    def of_evidence(self, evidence: Evidence) -> Smoothing:
        return self._with(evidence.errors) if self.calibration.per_input else self

    @property
    def favourable(self) -> Smoothing:
        """The smoothing with the bounds of the input that it suits best: what a run can reach at most."""
        if not self.calibration.per_input or self.calibration.bounds or not self.calibration.inputs:
            return self
        return self._with(tuple({pair for bounds in self.calibration.inputs.values() for pair in bounds}))

    def _with(self, bounds: ErrorBounds) -> Calibrated:
        return replace(self, calibration=replace(self.calibration, bounds=bounds))

    @property
    def _sigma(self) -> float:
        return self.parts[-1].scale

    def p_star(self, attack: AnyAttack) -> float:
        """As for every smoothing; attacks beyond the calibrated range are refused."""
        attack = Attack.of(attack)
        moved = self._shift(attack)

        def needed(error: float, e: float) -> float:
            distance = math.hypot(moved, error / self._sigma) * (2 - _DOWN)
            return float(ndtr(distance + ndtri(0.5 + e)) if self.error_rule == "tight" else ndtr(distance) + e)

        return min((1.0, *(needed(error, e) for error, e in self.calibration.bounds if e < 0.5)))

    def leads(self, attack: Attack, p_lower: float, p_upper: float) -> bool:
        moved = self._shift(attack)
        return any(
            math.hypot(moved, error / self._sigma) < self._most(p_lower, p_upper, e)
            for error, e in self.calibration.bounds
        )

    def _most(self, p_lower: float, p_upper: float, e: float) -> float:
        """The distance between the laws that the lead survives; 0 where it survives none."""
        if self.error_rule == "paper":
            p_lower, p_upper, e = p_lower - e, p_upper + e, 0.0
        if p_lower <= p_upper + 2 * e:
            return 0.0
        if p_upper >= 1 - p_lower:
            return max(0.0, float(ndtri(p_lower) - ndtri(0.5 + e))) * _DOWN

        def margin(distance: float) -> float:
            return float(ndtr(ndtri(p_lower) - distance) - ndtr(ndtri(p_upper) + distance)) - 2 * e

        return max(0.0, float(brentq(margin, 0.0, 40.0, xtol=1e-13)) * _DOWN - 1e-12)

    def reach(self, p_lower: float, p_upper: float | None = None) -> tuple[float, float]:
        part, p_upper = self.main, 1 - p_lower if p_upper is None else p_upper
        if part is None or p_lower <= p_upper:
            return 0.0, 0.0
        squares = (
            self._most(p_lower, p_upper, e) ** 2 - (error / self._sigma) ** 2 for error, e in self.calibration.bounds
        )
        reached = part.scale * math.sqrt(max(0.0, *squares, 0.0)) * _DOWN
        limit = dict(self.calibration.attack).get(part.name, Range(part.value(0.0), part.value(0.0)))
        left, right = part.coordinate(limit.low), part.coordinate(limit.high)
        if left > 0 or right < 0:  # what lies between the identity and the range was not measured
            return 0.0, 0.0
        return min(reached, 0.0 - left) if part.signed else 0.0, min(reached, right)

    def _shift(self, attack: Attack) -> float:
        """How far the attack moves the law, in standard deviations of the moved parts."""
        by = {part.name: part for part in self.moved}
        limits = dict(self.calibration.attack)
        known = ", ".join(repr(name) for name in by)
        require(
            "noise" not in dict(attack),
            "attack: no theorem for noise ahead of parts that bend or amplify it; leave noise out of the attack",
        )
        strange = [name for name, _ in attack if name not in by]
        require(not strange, f"attack: expected parameters that are smoothed ({known}), got {', '.join(strange)}")
        require(bool(attack.ranges), f"attack: expected a value for at least one of {known}, got nothing")
        moved = 0.0
        for name, r in attack:
            limit = limits.get(name, Range(by[name].value(0.0), by[name].value(0.0)))
            inside = r.high <= limit.high and (r.low >= limit.low or not by[name].signed)
            require(inside, f"attack: expected {name} within {limit}, which was calibrated, got {r}; calibrate more")
            listed = r.points is not None or r.low == r.high
            held = r == limit or (by[name].signed and listed and all(limit.holds(value) for value in r.grid))
            require(
                limit.points is None or held,
                f"attack: expected {name} at points of the grid {limit}, which alone were calibrated, got {r}",
            )
            moved += max(abs(by[name].coordinate(value)) for value in (r.low, r.high)) ** 2 / by[name].scale ** 2
        return math.sqrt(moved)

    def attack_model(self, x: NDArray[Any]) -> str:
        """Always `integer`: what an attacker's 8-bit pipeline rounds and cuts off is in the error."""
        return "integer"

    def slack(self, x: NDArray[Any]) -> float:
        return sum(part.drawn_slack(x) for part in self.parts)

    def dtype(self, x: NDArray[Any]) -> np.dtype[Any]:
        """int16 levels; `DataError` for what is no 8-bit image."""
        if x.dtype != np.uint8 or x.ndim != 4:
            raise DataError(
                f"calibrated: expected 8-bit images, got {x.dtype} values of shape {x.shape}; convert the data"
            )
        self.parts[-1].require_data(x)
        return np.dtype(np.int16)

    def encode(self, x: NDArray[Any], raw: Raw | None = None) -> pipeline.Encoded:
        """The raw image; `CalibrationError` where it goes another way to the model than the calibration's did."""
        raw = raw or pipeline.raw_of(x)
        measured = self.calibration
        if raw.spatial != measured.spatial:
            raise CalibrationError(
                f"calibration: made for the preprocessing {measured.spatial.recipe or 'none'}, "
                f"got {raw.spatial.recipe or 'none'}; calibrate this pipeline"
            )
        if raw.image.shape[2] != measured.colours:
            raise CalibrationError(
                f"calibration: made for images of {measured.colours} colours, got {raw.image.shape[2]}"
            )
        height, width = raw.image.shape[:2]
        inside = all(a <= n <= b for (a, b), n in zip(measured.sizes, (height, width), strict=False))
        if not inside:
            sizes = " x ".join(f"{a} to {b}" if a < b else f"{a}" for a, b in measured.sizes)
            raise DataError(
                f"calibration: made for raw images of {sizes} pixels, got {height} x {width}; calibrate those"
            )
        return pipeline.Encoded(x, None, 255.0, raw)

    def perturb(self, encoded: pipeline.Encoded, stream: Stream, first: int, out: NDArray[Any]) -> None:
        raw = cast(Raw, encoded.raw)
        for values, target in zip(drawn(self.moved, stream, first, len(out)), out, strict=True):
            raw.place(attacked(raw.image, steps(self.moved, values)), target)
        self.parts[-1].apply(out, stream, first, encoded.unit)


def drawn(parts: tuple[Part, ...], stream: Stream, first: int, batch: int) -> list[tuple[Any, ...]]:
    """The parts' own values for samples first..first + batch - 1: numbers, or (down, right)."""
    columns = (
        part.draw(replace(stream, stage=stream.stage | place << 24), first, batch).tolist()
        for place, part in enumerate(parts, start=1)
    )
    values = ([tuple(v) if isinstance(v, list) else v for v in column] for column in columns)
    return list(zip(*values, strict=True))


def steps(parts: tuple[Part, ...], values: tuple[Any, ...]) -> list[tuple[str, Any, Manner]]:
    """Values of the parts as attacks in the parts' order."""
    return [(part.name, value, part.manner) for part, value in zip(parts, values, strict=True)]
