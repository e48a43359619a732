"""What attackers do to 8-bit images and 16-bit recordings: for every value of one parameter, a function of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, DataError, SmoothcertError, first_line, require
from ..inputs.input import Input
from ..inputs.levels import EIGHT_BIT, Levels, levels_of
from ..transforms.checks import require_name
from .grid import Grid
from .ranges import Range

Image = NDArray[np.uint8]  # (height, width, colours)
Recording = NDArray[np.int16]  # (samples,)
Kind = Literal["additive", "factor", "norm", "variance", "listed"]
_LOG = 700.0  # logarithms of factors: beyond, they are no floats


@dataclass(frozen=True)
class Transform(ABC):
    """A family of functions of 8-bit images, as an attacker computes them: round to nearest, saturate to 0..255.

    Or of 16-bit recordings, where `acts_on` says so; `Any` of the two.

    `kind` says how two values in a row combine: `additive` ones add up, a `factor` multiplies, `norm` is the l2 length
    of a vector, `variance` adds up and is never negative, `listed` ones have no rule and are enumerated alone. Fields
    are options, such as the border of a warp. Subclasses are frozen dataclasses with every option at a default.
    """

    name: ClassVar[str]
    unit: ClassVar[str]  # of values
    kind: ClassVar[Kind]
    identity: ClassVar[Any]  # the value that changes nothing: a number, (down, right), or None where there is none
    help: ClassVar[str]  # what it does, in a few words
    example: ClassVar[str] = ""  # of a set of attacks, as on the command line
    choices: ClassVar[Mapping[str, Sequence[str]]] = {}  # what an option may be, for those that are words
    acts_on: ClassVar[tuple[Levels, ...]] = (EIGHT_BIT,)  # the levels that its inputs are in
    suffix: ClassVar[str] = ""  # of its numbers on the command line, where they may have one, such as dB
    limits: ClassVar[tuple[float, float]] = (-math.inf, math.inf)  # of values that it takes
    widest: ClassVar[float] = math.inf  # of one enclosure, in the coordinate: its cost grows with the way
    plugin: ClassVar[str] = ""  # SHA-256 of the user's file that it comes from; empty for those of the product

    def __post_init__(self) -> None:
        for option, names in self.choices.items():
            require_name(f"{self.name} {option}", getattr(self, option), names)

    @abstractmethod
    def apply(self, image: Image, value: Any) -> Image:
        """The image under the attack of that value, of the same shape; the input is not modified."""

    def encode(self, image: Image) -> Any:
        """What is computed once for an image that many values are tried on; see `begin`."""
        return None

    def begin(self, image: Image, encoded: Any, value: Any) -> Image:
        """`apply`, to the last bit, with what `encode` made of the image."""
        return self.apply(image, value)

    @classmethod
    def require_suited(cls, x: Input) -> None:
        """`DataError` for data of another kind: images where it acts on recordings, or the other way round."""
        kind = x.levels or (None if x.layout is None else EIGHT_BIT)  # real numbers in a row may be either
        cls.require_levels(kind, f"{x.values.dtype} values of shape {x.values.shape}")

    @classmethod
    def require_levels(cls, levels: Levels | None, got: str) -> None:
        """`DataError` for levels that it does not act on; None are those of real numbers in a row, which suit all."""
        if levels is not None and levels not in cls.acts_on:
            kinds = " or ".join(known.name for known in cls.acts_on)
            raise DataError(f"{cls.name}: expected {kinds}, got {got}; smoothcert parts says what acts on these")

    @property
    def options(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def manner(self) -> str:
        """The word that tells it from one of the same name and values in a table; empty where there is none."""
        return ""

    def equivalent(self, image: Image, value: float) -> str:
        """What a norm of that size is for this input, in words of its field; empty where there are none."""
        return ""

    def members(self, r: Range) -> tuple[Any, ...]:
        """Every different value of a range that has finitely many; `ArgumentError` for one that has no end of them."""
        if r.points:
            return self.grid(r).points
        require(
            r.is_one,
            f"attack: {self.name} {r} has no end of members; give a grid, {self.name}={r.low:g}:{r.high:g}:POINTS",
        )
        return (r.low,)

    def members_on(self, r: Range, sides: tuple[int, int]) -> tuple[Any, ...]:
        """`members` of the range for images of these sides (height, width), which few transformations ask about."""
        return self.members(r)

    def enclose(self, image: Image, low: float, high: float) -> Iterator[tuple[Image, Image]]:
        """For pieces of [low, high], two images between which lies all that the attack makes of this one there."""
        raise ArgumentError(f"slices: expected an attack that can be enclosed, got {self.name}")

    @classmethod
    def number(cls, text: str) -> float:
        """A number as on the command line, with or without the suffix; `ValueError` for none."""
        return float(text.removesuffix(cls.suffix) if cls.suffix else text)

    @classmethod
    def grid(cls, r: Range) -> Grid:
        """The grid of values that the range means."""
        return Grid(cls.name, r, math.nan if cls.identity is None else cls.identity)

    @classmethod
    def listed(cls, r: Range) -> tuple[Any, ...] | None:
        """The values of a range that has finitely many, up to rounding; None where it is an interval, or a disc."""
        if r.points:
            return cls.grid(r).points
        if cls.is_planar():
            return (cls.identity,) if r.high == 0 else None
        return (r.low,) if r.is_one else None

    @classmethod
    def is_planar(cls) -> bool:
        """Whether values are vectors (down, right), and a range of them is a disc."""
        return isinstance(cls.identity, tuple)

    @classmethod
    def coordinate(cls, value: float) -> float:
        """Where attacks add up and the identity is 0: the logarithm of a factor; `ArgumentError` outside the range."""
        least = {"additive": -math.inf, "listed": -math.inf, "factor": math.ulp(0.0)}.get(cls.kind, 0.0)
        want = {"factor": "a factor > 0", "norm": "an l2 norm >= 0", "variance": "a variance >= 0"}.get(cls.kind)
        require(least <= value < math.inf, f"attack: expected {want} for {cls.name}, got {value:g}")
        return math.log(value) if cls.kind == "factor" else value

    @classmethod
    def value(cls, coordinate: float) -> float:
        """The value at a coordinate; factors stay floats > 0: nothing survives e^700, or its inverse."""
        return math.exp(min(max(coordinate, -_LOG), _LOG)) if cls.kind == "factor" else coordinate

    @classmethod
    def combined(cls, first: Any, second: Any) -> Any:
        """The value of two transformations in a row."""
        if isinstance(first, tuple):
            return tuple(a + b for a, b in zip(first, second, strict=True))
        return first * second if cls.kind == "factor" else first + second


TRANSFORMS: dict[str, type[Transform]] = {}  # every transformation by name; filled by the table of parts


def transform_type(name: str) -> type[Transform]:
    """The transformation of that name; `ArgumentError` for one that the table of parts does not have."""
    require(name in TRANSFORMS, f"attack: expected a parameter of {', '.join(TRANSFORMS)}, got {name}")
    return TRANSFORMS[name]


def transform_of(name: str, options: Mapping[str, Any]) -> Transform:
    """The transformation of that name, with those of the options that it has."""
    kind = transform_type(name)
    return kind(**{f.name: options[f.name] for f in fields(kind) if f.name in options})


def attacked(image: Image, steps: Iterable[tuple[Transform, Any]]) -> Image:
    """The image under attacks one after the other, each rounded to nearest and saturated to 0..255.

    >>> import numpy as np
    >>> from smoothcert.smoothing.color import Brighten, ScaleContrast
    >>> attacked(np.full((1, 2), 250, np.uint8), [(Brighten(), 0.1), (ScaleContrast(), 0.5)])
    array([[128, 128]], dtype=uint8)
    """
    for transform, value in steps:
        if value != transform.identity:
            image = begun(transform, value, image, None)
    return image


def begun(transform: Transform, value: Any, image: Image, encoded: Any) -> Image:
    """The image under one attack, with what was computed of it once (None: nothing was)."""
    if value == transform.identity:
        return image
    if image.dtype not in (levels.dtype for levels in transform.acts_on):
        transform.require_levels(levels_of(image), f"{image.dtype} values of shape {image.shape}")
    if transform.plugin:
        return _by_plugin(transform, image, value)
    return transform.apply(image, value) if encoded is None else transform.begin(image, encoded, value)


def _by_plugin(transform: Transform, image: Image, value: Any) -> Image:
    """The image under a user's transformation, which cannot write to its input; `DataError` for what is no image."""
    shown = image.view()
    shown.flags.writeable = False
    with told(type(transform), f" at {value}"):
        found = transform.apply(shown, value)
    if not isinstance(found, np.ndarray) or found.dtype != image.dtype or found.shape != image.shape:
        got = f"{found.dtype} values of shape {found.shape}" if isinstance(found, np.ndarray) else type(found).__name__
        what = "an 8-bit image" if image.dtype == np.uint8 else "a 16-bit recording"
        raise DataError(f"{transform.name}: expected {what} of shape {image.shape} of its plugin, got {got}")
    return found


@contextmanager
def told(kind: type[Transform], where: str = "") -> Iterator[None]:
    """Make a `DataError`, one line, of what a user's transformation or part raises inside; ours pass as they are."""
    try:
        yield
    except (SmoothcertError, ArgumentError):
        raise
    except Exception as error:
        if not kind.plugin:
            raise
        what = f"{type(error).__name__}: {first_line(error)}"
        raise DataError(f"{kind.name}: its plugin failed{where}: {what}") from error


def plugins_of(transforms: Mapping[str, Transform]) -> dict[str, str]:
    """By parameter, the SHA-256 of the plugin that it comes from, for those that come from one."""
    return {name: transform.plugin for name, transform in transforms.items() if transform.plugin}
