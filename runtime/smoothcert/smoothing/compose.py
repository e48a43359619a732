"""The composition of parts, and smoothings from text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..bounds.error_rule import ErrorRule
from ..errors import ArgumentError, require
from .calibrated import Calibrated
from .calibration import Calibration
from .composition import Composition
from .part import Part
from .smoothing import Guarantee, Smoothing
from .surrogate import Surrogate
from .table import PARTS, described, part_of
from .unsmoothed import UNSMOOTHED


def compose(
    *parts: Part,
    guarantee: Guarantee = "exact",
    calibration: Calibration | None = None,
    error_rule: ErrorRule = "tight",
) -> Smoothing:
    """The smoothing that applies the parts in this order, where a theorem covers them together.

    With a `calibration` (see `read_calibration`) the parts act on 8-bit images as an attacker's do, noise comes last,
    and what keeps them from composing exactly is in the calibration's error. Raises `ValueError` for a list that no
    theorem covers, naming those that do, and `CalibrationError` for a calibration of other parts.

    >>> from smoothcert import Brightness, Contrast, compose
    >>> smoothing = compose(Contrast(0.6), Brightness(0.6))  # c x + b
    >>> round(smoothing.p_star({"contrast": 1.4, "brightness": 0.4}), 5)
    0.83113
    """
    require(len(parts) > 0, f"compose: expected at least one part of {', '.join(PARTS)}, got none")
    for part in parts:
        require(isinstance(part, Part), f"compose: expected parts alone, all in one call, got {part!r}")
    if calibration is not None:
        require(guarantee == "exact", f"guarantee: a calibration has its own, got {guarantee}; leave it out")
        calibration.require_parts(parts[:-1])
        calibration.require_libraries()
        return Calibrated(parts, error_rule, calibration=calibration)
    return Composition(parts, guarantee)


def parse_part(text: str) -> Part:
    """The part that `NAME=SCALE[,KEY=VALUE...]` names, such as `noise=0.5` or `gamma=0.1,law=rayleigh`."""
    (name, _, scale), *options = (word.strip().partition("=") for word in text.split(","))
    require(
        name in PARTS,
        f"smoothing: expected NAME=SCALE with NAME one of {', '.join(PARTS)}, got {text!r}",
    )
    try:
        value = PARTS[name].transforms.number(scale)
    except ValueError:
        raise ArgumentError(f"`smoothing` {name}: expected {name}=SCALE with a number, got {text!r}") from None
    given = {key: option for key, _, option in options}
    require(len(given) == len(options), f"`smoothing` {name}: expected each option once, got {text!r}")
    return part_of(name, value, given, f"`smoothing` {name}")


def smoothing_of(recipe: Mapping[str, Any]) -> Smoothing:
    """The smoothing that a recipe describes, `UNSMOOTHED` for an empty one; `ArgumentError` for what is none."""
    try:
        if not recipe:
            return UNSMOOTHED
        if "surrogate" in recipe:
            return Surrogate.of(recipe)
        parts = [described(part) for part in recipe["parts"]]
        if recipe["guarantee"] == "calibrated":
            rule = recipe["calibration"]["error_rule"]
            return Calibrated(tuple(parts), rule, calibration=Calibration.of(recipe["calibration"]))
        return compose(*parts, guarantee=recipe["guarantee"])
    except (KeyError, TypeError):
        raise ArgumentError(
            f"recipe: expected a smoothing of guarantee and parts, got {dict(recipe)}; use the version that wrote it"
        ) from None
