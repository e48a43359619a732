"""The two rules for an error that was measured, as numbers: theory.md section 4.

`moved`: the attack, in standard deviations of the moved parts. (E, e): an error above E has probability e at most.
Source: Fischer, Baader, Vechev 2020 (Statistical verification of general perturbations); the tighter rule and its
proof: docs/theory.md, section 4.
"""

from __future__ import annotations

import math
from typing import Literal

from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

ErrorBounds = tuple[tuple[float, float], ...]  # (E, e): an error above E has probability e at most
ErrorRule = Literal["tight", "paper"]
ERROR_RULES: tuple[ErrorRule, ...] = ("tight", "paper")
DOWN = 1 - 1e-12  # a law's ppf is good to about 1e-15: what is certified is rounded towards the identity


def needed(distance: float, e: float, rule: ErrorRule) -> float:
    """The least p_lower that survives laws `distance` deviations apart, with exceptions of probability e < 1/2."""
    distance *= 2 - DOWN
    return float(ndtr(distance + ndtri(0.5 + e)) if rule == "tight" else ndtr(distance) + e)


def most(p_lower: float, p_upper: float, e: float, rule: ErrorRule) -> float:
    """The farthest apart, in deviations, that the laws may be for the lead to survive; 0 where it survives nothing."""
    if rule == "paper":
        p_lower, p_upper, e = p_lower - e, p_upper + e, 0.0
    if p_lower <= p_upper + 2 * e:
        return 0.0
    if p_upper >= 1 - p_lower:
        return max(0.0, float(ndtri(p_lower) - ndtri(0.5 + e))) * DOWN

    def margin(distance: float) -> float:
        return float(ndtr(ndtri(p_lower) - distance) - ndtr(ndtri(p_upper) + distance)) - 2 * e

    return max(0.0, float(brentq(margin, 0.0, 40.0, xtol=1e-13)) * DOWN - 1e-12)


def least_sigma(moved: float, bounds: ErrorBounds, p_lower: float, rule: ErrorRule) -> tuple[float, float] | None:
    """The least noise with which p_lower survives the attack, and the error that it is needed for.

    None where no noise is enough: the attack is too far by itself, or no error is bounded.
    """
    found = [(most(p_lower, 1 - p_lower, e, rule), error) for error, e in bounds if e < 0.5]
    sigmas = [(error / math.sqrt(distance**2 - moved**2), error) for distance, error in found if distance > moved]
    return min(sigmas, default=None)
