"""One random parameter of a smoothing: its law, its own batched form, and the attackers' transformation it answers."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ..bounds.laws import Law, Normal
from ..draws import FARTHEST, Stream, uniform
from ..errors import ArgumentError, DataError, require, require_number
from ..inputs.input import Input
from ..transforms.checks import require_name
from .attack import Attack
from .grid import Grid
from .ranges import Range
from .transform import Transform

# What a part is to another that comes behind it. `commute`: nothing. `scale first`, `shift first`: both are of the
# affine group. `carries`: the second is pixel noise, and an attack on it passes through the first, which lengthens it
# by its `stretch` at most. `scales`: the same, and the first multiplies it by its own factor.
Relation = Literal["commute", "scale first", "shift first", "carries", "scales"]
Pair = tuple[str, str, Relation]  # forms of the part ahead and of the one behind it
_MOST_LOG = 10.0  # scale of a log factor: eight deviations of it are still a float32
LEAST, MOST = 1e-30, 1e12  # scales: beyond, their squares overflow, and draws swallow any input


def require_scale(name: str, what: str, scale: float) -> None:
    """`ArgumentError` for a scale of a law that is no positive number, or too small or large to compute with."""
    require_number(name, scale)
    require(scale > 0, f"{name}: expected {what} > 0, got {scale:g}")
    require(LEAST <= scale <= MOST, f"{name}: expected {what} from {LEAST:g} to {MOST:g}, got {scale:g}")


class Part(ABC):
    """One random parameter: neither attack nor smoothing. `compose` makes smoothings of parts.

    Subclasses are frozen dataclasses: `scale` first, `law`, then options, each with a default. Images come as
    (outer, height, width, inner), colours outer in a planar layout and inner in an interleaved one; batches have one
    axis more in front, are C-contiguous, and are filled in place. `unit` is full intensity there: 255 for 8-bit
    levels, 1 for real numbers.
    """

    transforms: ClassVar[type[Transform]]  # what attackers do
    help: ClassVar[str] = "standard deviation, of the logarithm for factors"  # what the scale is
    laws: ClassVar[Mapping[str, type[Any]]] = {"normal": Normal}  # by name, the default first
    choices: ClassVar[Mapping[str, Sequence[str]]] = {}  # what an option may be, where that is not the attackers'
    whole: ClassVar[bool] = False  # 8-bit inputs stay whole numbers
    moves: ClassVar[bool] = False  # moves pixels about, rather than changing each for itself
    encodes: ClassVar[bool] = False  # begins from an encoding of the input, such as its spectrum
    composes: ClassVar[bool] = False  # obeys its composition law exactly, without a calibration
    pairs: ClassVar[tuple[Pair, ...]] = ()  # what composes with it exactly: see the module `pairs`
    scale: float
    law: str

    def __post_init__(self) -> None:
        require_scale(self.name, "a scale", self.scale)
        low = self.law != "lognormal" or self.scale <= _MOST_LOG
        require(low, f"{self.name}: expected a scale of at most {_MOST_LOG:g}, got {self.scale:g}")
        require(self.law in self.laws, f"{self.name}: expected a law of {', '.join(self.laws)}, got {self.law!r}")
        for option, names in {**self.transforms.choices, **self.choices}.items():
            require_name(f"{self.name} {option}", getattr(self, option), names)

    @property
    def name(self) -> str:
        """The parameter's, in attacks and on the command line."""
        return self.transforms.name

    @property
    def unit(self) -> str:
        """Of an attack's values."""
        return self.transforms.unit

    @property
    def transform(self) -> Transform:
        """What attackers do, with the part's own border, interpolation and other options."""
        return self.transforms(**{f.name: getattr(self, f.name) for f in fields(self.transforms)})

    @property
    def line(self) -> Law:
        """The law of the coordinate where attacks add up and the identity is 0."""
        law: Law = self.laws[self.law](self.scale)
        return law

    @property
    def description(self) -> dict[str, Any]:
        """The part in a recipe: its name, scale and law, an attack's unit, its options, and its plugin's SHA-256."""
        options = {f.name: getattr(self, f.name) for f in fields(cast(Any, self))[1:]}
        plugin = {"plugin": self.transforms.plugin} if self.transforms.plugin else {}
        return {"part": self.name, "scale": self.scale, "law": self.law, "unit": self.unit} | options | plugin

    @property
    def label(self) -> str:
        """Name and scale, and the options that are not the default's, as one word: `gamma0.1rayleigh`."""
        options = (f for f in fields(cast(Any, self))[1:] if getattr(self, f.name) != f.default)
        return f"{self.name}{self.scale:g}" + "".join(str(getattr(self, f.name)) for f in options)

    @property
    def form(self) -> str:
        """The part as the table of pairs names it: its name, and every option but scale and law."""
        options = {k: v for k, v in self.description.items() if k not in ("part", "scale", "law", "unit", "plugin")}
        own = vars(type(self)).get("transforms")  # a subclass that inherits it is another part
        return " ".join([own.name if own else "", *(f"{k}={v}" for k, v in options.items())])

    @property
    def is_norm(self) -> bool:
        """Whether attacks are vectors, of which the length alone counts."""
        return self.transforms.kind == "norm"

    @property
    def signed(self) -> bool:
        """Whether attacks go to both sides of the identity."""
        return self.transforms.kind in ("additive", "factor")

    @property
    def stretch(self) -> float | None:
        """How many times farther apart, in l2, any draw can bring two images, at most; None where there is no bound."""
        return None

    def coordinate(self, value: float) -> float:
        """The coordinate of an attack's value; `ArgumentError` outside the range of the parameter."""
        return self.transforms.coordinate(value)

    def value(self, coordinate: float) -> float:
        """The attack's value at a coordinate."""
        return self.transforms.value(coordinate)

    def grid(self, r: Range) -> Grid:
        """The grid of attacks that the range means; `ArgumentError` for points that the part has no attacks at."""
        return self.transforms.grid(r)

    def within(self, left: float, right: float) -> Attack:
        """The attacks so far to the left and to the right of the identity, in the coordinate."""
        return Attack.of({self.name: (self.value(0.0 - left if self.signed else 0.0), self.value(right))})

    def require_data(self, x: Input) -> None:
        """`DataError` for data that the part has no meaning for."""
        if self.moves and x.pixels.ndim != 4:
            raise DataError(
                f"{self.name}: expected images, got values of shape {x.pixels.shape}; "
                "give the data rows, columns and 1, 3 or 4 colours"
            )

    def require_measurable(self, r: Range) -> None:  # noqa: B027 - most have nothing to refuse
        """`ArgumentError` where the part, or attacks of that range on it, cannot be calibrated."""

    def total_variation(self, x: Input) -> float:
        """Of the whole numbers drawn for x from their law."""
        return 0.0

    def address(self, stream: Stream, place: int) -> Stream:
        """Where the part at that place of a smoothing, from 1, draws."""
        return replace(stream, stage=stream.stage | place << 24)

    def draw(self, stream: Stream, first: int, batch: int) -> NDArray[Any]:
        """The values of samples first..first + batch - 1, each a function of its address."""
        y = self.line.ppf(uniform(stream, first, batch))
        return np.asarray(np.exp(y) if self.transforms.kind == "factor" else y)

    def encode(self, pixels: NDArray[Any]) -> Any:
        """What is computed once for an input."""
        return pixels

    def fill(self, encoded: Any, values: NDArray[Any], out: NDArray[Any], unit: float) -> None:
        """out[i] becomes the encoded input, transformed with values[i]."""
        out[...] = encoded
        self.act(out, values, unit)

    def act(self, out: NDArray[Any], values: NDArray[Any], unit: float) -> None:
        """out[i] is transformed with values[i], unrounded and unclipped, so that values combine by the law.

        `ArgumentError` for parts that act on raw 8-bit images alone, as attackers do, and combine up to an error.
        """
        raise ArgumentError(f"{self.name}: has no exact form on real numbers, but acts on 8-bit images; calibrate it")

    def begin(self, encoded: Any, stream: Stream, first: int, out: NDArray[Any], unit: float) -> None:
        """out[i] becomes the encoded input, transformed with the draw of sample first + i."""
        self.fill(encoded, self.draw(stream, first, len(out)), out, unit)

    def proceed(self, stream: Stream, first: int, out: NDArray[Any], unit: float) -> None:
        """out[i] is transformed with the draw of sample first + i."""
        self.act(out, self.draw(stream, first, len(out)), unit)


class Limited(Part):
    """A part that acts on what attackers have alone, whose values have `limits`: attack and draw together keep them."""

    def __post_init__(self) -> None:
        Part.__post_init__(self)
        most = self._farthest / FARTHEST
        require(self.scale < most, f"{self.name}: expected a scale of at most {most:.3g}, got {self.scale:g}")

    @property
    def _farthest(self) -> float:
        """The coordinate beyond which the transformation takes no value."""
        low, high = map(self.coordinate, self.transforms.limits)
        return min(-low, high)

    def require_measurable(self, r: Range) -> None:
        room = self._farthest - FARTHEST * self.scale
        fits = -room <= self.coordinate(r.low) and self.coordinate(r.high) <= room
        within = f"{self.value(-room):.3g}:{self.value(room):.3g}"
        require(fits, f"attack: expected {self.name} within {within} for a scale of {self.scale:g}, got {r}")
