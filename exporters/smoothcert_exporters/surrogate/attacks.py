"""The transformation that a surrogate is trained for, over a range of values, and how values become parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import ArgumentError, require
from smoothcert.smoothing import Range
from smoothcert.smoothing.table import like
from smoothcert.smoothing.transform import TRANSFORMS, Image, Transform, attacked

_SUCH = "such as zoom-blur=1:1.5"


@dataclass(frozen=True)
class Attacks:
    """A transformation over a range of values: what a surrogate is trained to imitate.

    The parameter xi of a value is its coordinate less that of the identity; (down, right) for planar transformations,
    whose range is the disc 0..high. `ArgumentError` for a range that the transformation does not take, and for a
    transformation of which no value leaves images as they are: its surrogate would have no middle.
    """

    transform: Transform
    range: Range

    def __post_init__(self) -> None:
        kind, name, r = self.transform, self.transform.name, self.range
        still = kind.identity is not None
        require(still, f"transform: expected one with a value that changes nothing, got {name}; enumerate it instead")
        shift = kind.kind == "norm" and not kind.is_planar()
        require(not shift, f"transform: expected one with a parameter, got {name}, which has one a pixel; smooth by it")
        require(r.points is None, f"transform: expected {name}=LOW:HIGH, got a grid, {name}={r}")
        require(not r.is_one, f"transform: expected {name}=LOW:HIGH with LOW < HIGH, got {name}={r}")
        low, high = (0.0, kind.limits[1]) if kind.is_planar() else kind.limits
        fits = low <= r.low and r.high <= high and (r.low == 0 or not kind.is_planar())
        require(fits, f"transform: expected values of {name} from {low:g} to {high:g}, got {name}={r}; take fewer")
        if not kind.is_planar():
            inside = r.low <= kind.identity <= r.high
            require(inside, f"transform: expected a range that holds {kind.identity:g}, which changes nothing, got {r}")
            kind.coordinate(r.low), kind.coordinate(r.high)

    @staticmethod
    def of(name: str, options: Mapping[str, Any], low: float, high: float) -> Attacks:
        """The transformation of that name with those options, from low to high."""
        known = TRANSFORMS.get(name)
        require(known is not None, f"transform: expected one of {', '.join(TRANSFORMS)}, got {name!r}")
        defaults = {field.name: field.default for field in fields(known or Transform)}
        strange = sorted(options.keys() - defaults)
        words = ", ".join(defaults) or "none"
        require(not strange, f"transform: expected options of {name}: {words}, got {', '.join(strange)}")
        values = {key: like(defaults[key], value, f"transform: {name} {key}") for key, value in options.items()}
        return Attacks((known or Transform)(**values), Range(low, high))

    @staticmethod
    def parse(text: str) -> Attacks:
        """What `NAME`, `NAME=LOW:HIGH` and `NAME=LOW:HIGH,OPTION=VALUE` say; without a range, that of its example."""
        (word, _, ends), *options = (part.strip().partition("=") for part in text.split(","))
        name = next((n for n in TRANSFORMS if n.replace("_", "-") == word.replace("_", "-")), word)
        require(name in TRANSFORMS, f"transform: expected one of {', '.join(TRANSFORMS)}, {_SUCH}, got {text!r}")
        ends = ends or TRANSFORMS[name].example.partition("=")[2]
        try:
            numbers = [float(end) for end in ends.split(":")]
        except ValueError:
            numbers = []
        if TRANSFORMS[name].is_planar() and len(numbers) == 1:
            numbers = [0.0, *numbers]
        require(len(numbers) in (2, 3), f"transform: expected {name}=LOW:HIGH, {_SUCH}, got {text!r}")
        given = {key.strip(): value.strip() for key, _, value in options}
        require(len(given) == len(options), f"transform: expected each option once, got {text!r}")
        return Attacks.of(name, given, numbers[0], numbers[1])

    @property
    def name(self) -> str:
        """Of the transformation."""
        return self.transform.name

    @property
    def parameters(self) -> int:
        """Numbers in xi."""
        return 2 if self.transform.is_planar() else 1

    @property
    def span(self) -> float:
        """The largest length of xi."""
        return max(math.hypot(*self.xi(value)) for value in self.ends)

    @property
    def recipe(self) -> dict[str, Any]:
        """Plain values, from which `of` makes it again."""
        r = self.range
        return {"name": self.name, "options": self.transform.options, "low": r.low, "high": r.high}

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values at the ends of the range; one for a disc."""
        r = self.range
        return ((r.high, 0.0),) if self.transform.is_planar() else (r.low, r.high)

    def xi(self, value: Any) -> NDArray[np.float64]:
        """The parameter of a value."""
        if isinstance(value, tuple):
            return np.array(value, float)
        still = self.transform.coordinate(self.transform.identity)
        return np.array([self.transform.coordinate(value) - still])

    def values(self, rng: np.random.Generator, count: int, sides: tuple[int, int]) -> list[Any]:
        """That many random values for images of these sides: uniform in xi, or among the members of a finite range."""
        if self.transform.is_planar():
            radii, angles = self.range.high * np.sqrt(rng.random(count)), rng.uniform(0, 2 * math.pi, count)
            return list(zip((radii * np.cos(angles)).tolist(), (radii * np.sin(angles)).tolist(), strict=True))
        try:
            members = self.transform.members_on(self.range, sides)
        except ArgumentError:
            low, high = map(self.transform.coordinate, (self.range.low, self.range.high))
            drawn = map(self.transform.value, rng.uniform(low, high, count).tolist())
            return [min(max(value, self.range.low), self.range.high) for value in drawn]
        return [members[i] for i in rng.integers(len(members), size=count)]

    def apply(self, image: Image, value: Any) -> Image:
        """The 8-bit image under the attack of that value."""
        return attacked(image, [(self.transform, value)])
