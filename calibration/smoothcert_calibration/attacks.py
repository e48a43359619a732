"""The attacks that are measured: a range of them, drawn evenly from it, or on a grid of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from smoothcert.draws import Stream, uniform
from smoothcert.errors import require
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


def ordered(parts: tuple[Part, ...], attack: Attack, on_grid: bool) -> Attack:
    """The range in the parts' order, translations from 0 on; `ValueError` for one that cannot be measured."""
    given, names = dict(attack), [part.name for part in parts]
    missing, strange = [n for n in names if n not in given], [n for n in given if n not in names]
    require(not missing, f"attack: expected a range for every part, got none for {', '.join(missing)}")
    require(
        not strange, f"attack: expected ranges of {', '.join(names)}, got {', '.join(strange)}; add them to `smooth`"
    )
    ranges = []
    for part in parts:
        r = given[part.name]
        low, high = part.coordinate(r.low), part.coordinate(r.high)
        around = low <= 0 <= high and low < high if part.signed else high > 0
        require(around, f"attack: expected a range of {part.name} around the identity, {part.value(0.0):g}, got {r}")
        part.require_measurable(r)
        asked = f"{part.name}={r.low:g}:{r.high:g}"
        require(r.points is not None or not on_grid, f"attack: expected a grid, such as {asked}:41, got {asked}")
        require(r.points is None or on_grid, f"attack: expected an interval, such as {asked}, got a grid of {r}")
        ranges.append((part.name, r if part.signed else Range(0.0, r.high, r.points)))
    points = math.prod((r.points or 1) ** (1 if part.signed else 2) for part, (_, r) in zip(parts, ranges, strict=True))
    require(points <= 10**6, f"attack: expected a grid of at most a million attacks, got {points:,}")
    return Attack(tuple(ranges))
