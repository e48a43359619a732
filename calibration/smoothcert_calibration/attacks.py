"""The attacks that are measured: drawn evenly from a range, or on a grid of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from smoothcert.draws import Stream, uniform
from smoothcert.smoothing import Attack, Part, Range


def axes(part: Part) -> int:
    """How many numbers a value of the part has."""
    return 1 if part.signed else 2


def value_at(part: Part, r: Range, unit: Sequence[float]) -> Any:
    """The value that numbers in (0, 1), even and independent, become: even in the coordinate, or in the disc."""
    if part.signed:
        low, high = part.coordinate(r.low), part.coordinate(r.high)
        return part.value(low + unit[0] * (high - low))
    radius, angle = r.high * math.sqrt(unit[0]), 2 * math.pi * unit[1]
    return radius * math.cos(angle), radius * math.sin(angle)


def drawn_attack(parts: tuple[Part, ...], attack: Attack, stream: Stream) -> tuple[Any, ...]:
    """One value of each part, drawn evenly from its range."""
    values = []
    for place, (part, (_, r)) in enumerate(zip(parts, attack, strict=True), start=1):
        unit = uniform(part.address(stream, place), 0, axes(part))
        values.append(value_at(part, r, unit.tolist()))
    return tuple(values)
