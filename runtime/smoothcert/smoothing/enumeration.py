"""Every image that an 8-bit attacker can make of one input: nothing is random, nothing is estimated."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from ..draws import Stream
from ..errors import DataError, require
from ..inputs.spatial import Raw
from ..transforms.attacks import ATTACKS, IDENTITY, Manner, attacked
from ..transforms.checks import require_name
from ..transforms.geometry import WARP_BORDERS
from .attack import Attack, Range
from .base import Guarantee, Smoothing
from .grid import Grid
from .part import Part
from .pipeline import Encoded, raw_of

_MOST = 1_000_000


@dataclass(frozen=True)
class Enumeration(Smoothing):
    """All attacks of a finite set, on 8-bit images, by the attacker's own pipeline (round, saturate).

    translation R: every whole-pixel shift of l2 norm up to R; brightness LOW:HIGH: every whole level; other parameters,
    a value or a grid LOW:HIGH:POINTS. Several are applied in the attack's order. Sample i is member i, and member 0
    the image itself. `border` fills what translation, rotation and scaling leave open.
    """

    attack: Attack
    border: str = "black"
    parts: ClassVar[tuple[Part, ...]] = ()
    guarantee: ClassVar[Guarantee] = "enumerated"
    attack_models: ClassVar[tuple[str, ...]] = ("enumerated",)

    def __post_init__(self) -> None:
        require_name("border", self.border, WARP_BORDERS)
        strange = [name for name, _ in self.attack if name not in ATTACKS]
        known = ", ".join(ATTACKS)
        require(not strange, f"attack: expected parameters of {known} to enumerate, got {', '.join(strange)}")
        size = math.prod(len(_values(name, r)) for name, r in self.attack)
        require(size <= _MOST, f"attack: expected at most {_MOST:,} members, got {size:,}; take a smaller set")

    @property
    def recipe(self) -> dict[str, Any]:
        """The set as plain values; the order of a table's keys is no part of it, that of the attacks is."""
        order = [name for name, _ in self.attack]
        attack = {"attack": self.attack.recipe, "order": order, "border": self.border}
        return {"guarantee": self.guarantee, **attack, "parts": []}

    @property
    def members(self) -> tuple[tuple[Any, ...], ...]:
        """Values of the parameters, in the attack's order, for every member; the identity first."""
        return _members(self.attack)

    def attack_model(self, x: NDArray[Any]) -> str:
        """Always `enumerated`."""
        return "enumerated"

    def slack(self, x: NDArray[Any]) -> float:
        """None: there is no law."""
        return 0.0

    def dtype(self, x: NDArray[Any]) -> np.dtype[Any]:
        """int16 levels; `DataError` for what is no 8-bit image."""
        if x.dtype != np.uint8 or x.ndim != 4:
            raise DataError(
                f"enumerate: expected 8-bit images, got {x.dtype} values of shape {x.shape}; convert the data"
            )
        return np.dtype(np.int16)

    def encode(self, x: NDArray[Any], raw: Raw | None = None) -> Encoded:
        """The raw image, which is attacked; x itself where there is no other."""
        return Encoded(x, None, 255.0, raw or raw_of(x))

    def perturb(self, encoded: Encoded, stream: Stream, first: int, out: NDArray[Any]) -> None:
        """Fill out[i] with member first + i; past the last, they come again."""
        raw = cast(Raw, encoded.raw)
        members, names, manner = self.members, [name for name, _ in self.attack], Manner(self.border)
        for place, target in enumerate(out, start=first):
            values = members[place % len(members)]
            steps = [(name, value, manner) for name, value in zip(names, values, strict=True)]
            raw.place(attacked(raw.image, steps), target)


@functools.lru_cache(maxsize=8)
def _members(attack: Attack) -> tuple[tuple[Any, ...], ...]:
    identity = tuple(IDENTITY[name] for name, _ in attack)
    rest = itertools.product(*(_values(name, r) for name, r in attack))
    return (identity, *(values for values in rest if values != identity))


def _values(name: str, r: Range) -> tuple[Any, ...]:
    if name == "translation":
        require(r.low in (0, r.high) and r.points is None, f"attack: expected translation=RADIUS to enumerate, got {r}")
        require(0 <= r.high <= 500, f"attack: expected a radius of 0 to 500 pixels, got {r.high:g}")
        reach = range(-int(r.high), int(r.high) + 1)
        return tuple((dy, dx) for dy in reach for dx in reach if math.hypot(dy, dx) <= r.high)
    if name == "brightness" and r.points is None:
        require(r.low >= -1 and r.high <= 1, f"attack: expected brightness between -1 and 1 to enumerate, got {r}")
        return tuple(level / 255 for level in range(round(255 * r.low), round(255 * r.high) + 1))
    require(
        r.points is not None or r.low == r.high,
        f"attack: {name} {r} has no end of members; give a grid, {name}={r.low:g}:{r.high:g}:POINTS",
    )
    return Grid(name, r).points if r.points else (r.low,)
