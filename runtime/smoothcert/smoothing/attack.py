"""Sets of attacks: for each parameter a point, an interval, a ball or a grid; together their product."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ArgumentError, require
from .grid import Grid
from .ranges import Range
from .transform import TRANSFORMS, transform_type


@dataclass(frozen=True)
class Attack:
    """A set of attacks: every combination of values of the ranges, nothing between those of a grid.

    Parameters that it leaves out stay at the identity.
    """

    ranges: tuple[tuple[str, Range], ...]

    @staticmethod
    def of(values: Mapping[str, Any] | Attack) -> Attack:
        """From `{"contrast": (0.5, 2), "brightness": 0.2}`: numbers, (low, high), (low, high, points), `Range`s."""
        if isinstance(values, Attack):
            return values
        expected = 'attack: expected a value or a range for each parameter, such as {"contrast": (0.5, 2)}'
        require(isinstance(values, Mapping), f"{expected}, got {values!r:.99}")
        return Attack(tuple((name, _range(name, value)) for name, value in values.items()))

    def __iter__(self) -> Iterator[tuple[str, Range]]:
        return iter(self.ranges)

    def require_on(self, names: Collection[str]) -> None:
        """`ArgumentError` unless the set has ranges, and of these parameters alone."""
        known = ", ".join(map(repr, names))
        strange = [name for name, _ in self if name not in names]
        require(not strange, f"attack: expected parameters that are smoothed ({known}), got {', '.join(strange)}")
        require(bool(self.ranges), f"attack: expected a value for at least one of {known}, got nothing")

    @property
    def is_grid(self) -> bool:
        """Whether the set is finite, with nothing promised between its points."""
        return any(r.points is not None for _, r in self)

    @property
    def points(self) -> tuple[tuple[Any, ...], ...]:
        """Every combination of the points of the ranges' grids, the last parameter's first."""
        return tuple(itertools.product(*(transform_type(name).grid(r).points for name, r in self)))

    @property
    def recipe(self) -> dict[str, Any]:
        """Plain values by parameter."""
        return {
            name: {"low": r.low, "high": r.high} | ({} if r.points is None else {"points": r.points})
            for name, r in self
        }

    def __str__(self) -> str:
        return self.told({})

    def told(self, manners: Mapping[str, str]) -> str:
        """The set in words, each transformation with what tells it from another of its name: `Transform.manner`."""
        mesh = ", ".join(_mesh(name, r) for name, r in self if r.points)
        each = ", ".join(f"{name} {r} {manners.get(name, '')}".rstrip() for name, r in self)
        return each + (f" (grid: {mesh}; nothing between)" if mesh else "")


def _mesh(name: str, r: Range) -> str:
    grid = TRANSFORMS[name].grid(r) if name in TRANSFORMS else Grid(name, r)
    return f"{name} every {grid.spacing:.3g}{' down and right, within the disc' * grid.is_planar}"


def _range(name: str, value: Any) -> Range:
    expected = f"attack: expected a number, (low, high) or (low, high, points) for {name}, got {value!r}"
    if isinstance(value, Range):
        return value
    try:
        if isinstance(value, Mapping):
            return Range(**{k: v for k, v in value.items() if k != "unit"})
        require(not isinstance(value, str), expected)
        numbers = value if isinstance(value, tuple | list | np.ndarray) else (value, value)
        require(len(numbers) in (2, 3) and all(p == int(p) for p in numbers[2:]), expected)
        low, high = map(float, numbers[:2])
    except (TypeError, OverflowError):
        raise ArgumentError(expected) from None
    except ValueError as error:
        raise ArgumentError(expected if "attack:" not in str(error) else str(error)) from None
    return Range(low, high, *map(int, numbers[2:]))
