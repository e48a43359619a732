"""One random parameter: what every part of a smoothing is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ..bounds.laws import Law
from ..draws import Stream, uniform
from ..errors import DataError, require, require_number
from ..transforms.attacks import Manner
from .attack import Range
from .base import Guarantee, Smoothing
from .grid import Grid

Kind = Literal["additive", "factor", "norm", "variance"]
_MOST_LOG = 10.0  # scale of a log factor: eight deviations of it are still a float32
LEAST, MOST = 1e-30, 1e12  # scales: beyond, their squares overflow, and draws swallow any input


def require_scale(name: str, what: str, scale: float) -> None:
    """`ArgumentError` for a scale of a law that is no positive number, or too small or large to compute with."""
    require_number(name, scale)
    require(scale > 0, f"{name}: expected {what} > 0, got {scale:g}")
    require(LEAST <= scale <= MOST, f"{name}: expected {what} from {LEAST:g} to {MOST:g}, got {scale:g}")


class Part(Smoothing):
    """One random parameter. `line` is its law in the coordinate where attacks add up and the identity is 0."""

    name: ClassVar[str]
    unit: ClassVar[str]  # of an attack's values
    kind: ClassVar[Kind]
    laws: ClassVar[Mapping[str, type[Any]]]  # by name, the default first
    whole: ClassVar[bool] = False  # 8-bit inputs stay whole numbers
    moves: ClassVar[bool] = False  # moves pixels about, rather than changing each for itself
    composes: ClassVar[bool] = False  # obeys its composition law exactly, without a calibration
    scale: float
    law: str

    def __post_init__(self) -> None:
        require_scale(self.name, "a scale", self.scale)
        low = self.law != "lognormal" or self.scale <= _MOST_LOG
        require(low, f"{self.name}: expected a scale of at most {_MOST_LOG:g}, got {self.scale:g}")
        require(self.law in self.laws, f"{self.name}: expected a law of {', '.join(self.laws)}, got {self.law!r}")

    @property
    def manner(self) -> Manner:
        """The attackers' border and interpolation, as the smoothing's own."""
        return Manner()

    @property
    def line(self) -> Law:
        """The law of the coordinate."""
        law: Law = self.laws[self.law](self.scale)
        return law

    @property
    def description(self) -> dict[str, Any]:
        """The part in a recipe: its name, scale and law, an attack's unit, and its options."""
        options = {f.name: getattr(self, f.name) for f in fields(cast(Any, self))[1:]}
        return {"part": self.name, "scale": self.scale, "law": self.law, "unit": self.unit} | options

    @property
    def label(self) -> str:
        """Name and scale, and the options that are not the default's, as one word: `gamma0.1rayleigh`."""
        options = (f for f in fields(cast(Any, self))[1:] if getattr(self, f.name) != f.default)
        return f"{self.name}{self.scale:g}" + "".join(getattr(self, f.name) for f in options)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The part itself."""
        return (self,)

    @property
    def guarantee(self) -> Guarantee:
        """A part on its own has its exact bound."""
        return "exact"

    @property
    def signed(self) -> bool:
        """Whether attacks go to both sides of the identity."""
        return self.kind in ("additive", "factor")

    @property
    def stretch(self) -> float | None:
        """How many times farther apart, in l2, any draw can bring two images, at most; None where there is no bound.

        An attack on noise behind the part grows by as much.
        """
        return None

    def coordinate(self, value: float) -> float:
        """The coordinate of an attack's value; `ValueError` outside the range of the parameter."""
        least = {"additive": -math.inf, "factor": math.ulp(0.0), "norm": 0.0, "variance": 0.0}[self.kind]
        want = {"factor": "a factor > 0", "norm": "an l2 norm >= 0", "variance": "a variance >= 0"}.get(self.kind)
        require(least <= value < math.inf, f"attack: expected {want} for {self.name}, got {value:g}")
        return math.log(value) if self.kind == "factor" else value

    def value(self, coordinate: float) -> float:
        """The attack's value at a coordinate; factors stay floats > 0: nothing survives e^700, or its inverse."""
        return math.exp(min(max(coordinate, -700.0), 700.0)) if self.kind == "factor" else coordinate

    def grid(self, r: Range) -> Grid:
        """The grid of attacks that the range means; `ValueError` for points that the part has no attacks at."""
        return Grid(self.name, r)

    def combined(self, first: Any, second: Any) -> Any:
        """The value of two transformations in a row, by the composition law."""
        if isinstance(first, tuple):
            return tuple(a + b for a, b in zip(first, second, strict=True))
        return first * second if self.kind == "factor" else first + second

    def require_data(self, x: NDArray[Any]) -> None:
        """`DataError` for data that the part has no meaning for."""
        if self.moves and x.ndim != 4:
            raise DataError(
                f"{self.name}: expected images, got values of shape {x.shape}; "
                "give the data rows, columns and 1, 3 or 4 colours"
            )

    def drawn_slack(self, x: NDArray[Any]) -> float:
        """Total variation between the whole numbers drawn for x and their law."""
        return 0.0

    def draw(self, stream: Stream, first: int, batch: int) -> NDArray[Any]:
        """The values of samples first..first + batch - 1, each a function of its address."""
        y = self.line.quantile(uniform(stream, first, batch))
        return np.asarray(np.exp(y) if self.kind == "factor" else y)

    def apply(self, out: NDArray[Any], stream: Stream, first: int, unit: float) -> None:
        """Draw, and change the pixels of out[i] in place; for parts that do not move them."""
        raise NotImplementedError
