"""A finite set of attacks on 8-bit images, member by member: exact, no smoothing, no statistics."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..certificate import Certificate
from ..draws import Stream
from ..errors import DataError, require
from ..evidence import Evidence, top
from ..inputs.input import Input
from ..inputs.levels import EIGHT_BIT, Levels
from ..inputs.spatial import Raw
from ..sampling import ESTIMATION, SELECTION, Sampler
from ..smoothing import UNSMOOTHED, Attack, Smoothing, Transform
from ..smoothing.perturbation import eight_bit
from ..smoothing.transform import attacked, transform_of
from ..transforms.checks import require_name
from ..transforms.warps import WARP_BORDERS
from .base import Algorithm, conclude, totals

Sides = tuple[int, int]  # height and width of an image
_MOST = 1_000_000
_SMALLEST, _LARGEST = (1, 1), (8192, 8191)
_LONGEST = (1, _MOST)  # a recording, with as many shifts one way as may be asked about


@dataclass(frozen=True)
class Enumerate(Algorithm):
    """The base classifier's answer on every attack of a finite set: certified where all are the same.

    Attacks act on the 8-bit image by the attacker's own pipeline (round, saturate). translation R: every whole-pixel
    shift of l2 norm up to R; brightness LOW:HIGH: every whole level; jpeg, pixelate, defocus-blur, zoom-blur and
    motion-blur LOW:HIGH: every value that gives another image; other parameters, a value or a grid LOW:HIGH:POINTS.
    Several are applied in the attack's order. `border` fills what warps leave open; other options are at their
    defaults, which the recipe names. Nothing is estimated: alpha is 0, and no smoothing is spoken of.
    """

    mode: ClassVar[str] = "enumerate"
    enumerates: ClassVar[bool] = True
    attack: Attack
    border: str = "black"
    alpha: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        require(self.alpha == 0, f"enumerate: expected alpha = 0, for nothing is estimated, got {self.alpha:g}")
        require_name("border", self.border, WARP_BORDERS)
        size = _size(self.values(_SMALLEST if self.by_size else None))
        require(size <= _MOST, f"attack: expected at most {_MOST:,} members, got {size:,}; take a smaller set")

    @property
    def recipe(self) -> dict[str, Any]:
        """Mode, alpha = 0, the set, its attacks' order, which a table's keys may lose, their options, and plugins."""
        asked = {"attack": self.attack.recipe, "order": list(self.named), "border": self.border}
        options = {name: {k: v for k, v in its.options.items() if k != "border"} for name, its in self.named.items()}
        if any(options.values()):
            asked["options"] = {name: its for name, its in options.items() if its}
        return {"mode": self.mode, "alpha": self.alpha, **asked} | self.plugins

    @functools.cached_property
    def named(self) -> Mapping[str, Transform]:
        return {name: transform_of(name, {"border": self.border}) for name, _ in self.attack}

    def members(self, x: Input | None = None) -> tuple[tuple[Any, ...], ...]:
        """Values of the parameters, in the attack's order, for every member; the identity first.

        Of some sets they depend on the size of the image that is attacked: `ArgumentError` for these without `x`.
        """
        if x is None or not self.by_size:
            return _members(self, None)
        sides = _raw(x).sides
        if (size := _size(self.values(sides))) > _MOST:
            raise DataError(
                f"attack: expected at most {_MOST:,} members on {_raw(x).size}, got {size:,}; take a smaller set"
            )
        return _members(self, sides)

    @property
    def by_size(self) -> bool:
        """Whether the members of some attack depend on the image's size."""
        return any(type(its).members_on is not Transform.members_on for its in self.named.values())

    def values(self, sides: Sides | None) -> list[tuple[Any, ...]]:
        """The members of each attack for itself: on images of these sides, or on all."""
        named = ((self.named[name], r) for name, r in self.attack)
        return [its.members(r) if sides is None else its.members_on(r, sides) for its, r in named]

    def perturbation(self, smoothing: Smoothing) -> Members:
        return Members(self)

    def attack_models(self, smoothing: Smoothing) -> tuple[str, ...]:
        return ("enumerated",)

    def draw(self, sampler: Sampler, smoothing: Smoothing) -> Evidence:
        selection = sampler.counts(SELECTION, 0, 1)
        return sampler.evidence(self.mode, selection, sampler.counts(ESTIMATION, 0, len(self.members(sampler.x))))

    def decide(self, evidence: Evidence, smoothing: Smoothing) -> Certificate:
        """The one answer there is, or abstain where some member changes it."""
        _require_unsmoothed(smoothing)
        prediction, members = top(evidence.selection), sum(evidence.estimation.values())
        if evidence.estimation.get(prediction) == members:
            return conclude(self, smoothing, evidence, prediction, 0.0, 1.0, 0.0)
        wrong = members - evidence.estimation.get(prediction, 0)
        reason = f"attack found: {wrong} of {members} members are not class {prediction}"
        share = 1 - wrong / members
        return conclude(self, smoothing, evidence, p_lower=share, p_upper=1 - share, reason=reason)

    def consistent(self, evidence: Evidence, smoothing: Smoothing) -> bool:
        """One vote, then one for each member; the image itself is one of them."""
        (selected, members), (least, most) = totals(evidence), _counts(self)
        fits = members == least if least == most else least <= members <= _MOST + 1  # `problems` looks at the image
        counted = selected == 1 and fits and not evidence.looks
        return counted and evidence.estimation.get(top(evidence.selection), 0) > 0

    def problems(self, x: Input, evidence: Evidence, smoothing: Smoothing) -> list[str]:
        """Whether all members were asked about, where it depends on the image how many there are."""
        asked, members = sum(evidence.estimation.values()), len(self.members(x))
        return [] if asked == members else [f"expected votes on {members:,} members for this input, got {asked:,}"]

    def goal(self, smoothing: Smoothing) -> str:
        return f"all attacks: {self.attack}"

    def needed(self, smoothing: Smoothing) -> float:
        return 1.0

    def samples(self, smoothing: Smoothing) -> tuple[int, int]:
        """The members, and the image once more; where they depend on its size, at most on one of 8192x8191 pixels."""
        least, most = _counts(self)
        return 1 + least, 1 + most

    def largest(self, smoothing: Smoothing) -> float:
        _require_unsmoothed(smoothing)
        return math.inf


def _require_unsmoothed(smoothing: Smoothing) -> None:
    got = ", ".join(part.label for part in smoothing.parts)
    require(
        smoothing == UNSMOOTHED, f"enumerate: expected no smoothing, for nothing is sampled, got {got}; leave it out"
    )


def _raw(x: Input) -> Raw:
    """What is attacked; `DataError` for what is neither an 8-bit image nor a 16-bit recording."""
    return eight_bit(x, "enumerate").raw or x.image()


def _size(values: list[tuple[Any, ...]]) -> int:
    """How many combinations there are."""
    return math.prod(map(len, values))


@functools.lru_cache(maxsize=8)
def _counts(algorithm: Enumerate) -> tuple[int, int]:
    """How many members there are: at least, and at most, where they depend on the image's size."""
    if not algorithm.by_size:
        return len(algorithm.members()), len(algorithm.members())
    identity = [transform.identity for transform in algorithm.named.values()]

    def count(sides: Sides) -> int:
        values = algorithm.values(sides)
        return _size(values) + any(still not in its for still, its in zip(identity, values, strict=True))

    on_images = any(EIGHT_BIT in transform.acts_on for transform in algorithm.named.values())
    return count(_SMALLEST), count(_LARGEST if on_images else _LONGEST)


@functools.lru_cache(maxsize=8)
def _members(algorithm: Enumerate, sides: Sides | None) -> tuple[tuple[Any, ...], ...]:
    identity = tuple(transform.identity for transform in algorithm.named.values())
    return (identity, *(values for values in itertools.product(*algorithm.values(sides)) if values != identity))


@dataclass(frozen=True)
class Members:
    """Every member of the set in turn, in place of random samples."""

    algorithm: Enumerate

    def samples(self, x: Input) -> MemberImages:
        """The attacked images. `DataError` for what is no 8-bit image."""
        raw, transforms = _raw(x), tuple(self.algorithm.named.values())
        return MemberImages(self.algorithm.members(x), transforms, raw, x.values.shape, x.pixels.shape, x.levels)


@dataclass(frozen=True, eq=False)
class MemberImages:
    """Samples of `Members`: sample i is member i; past the last, they come again."""

    members: tuple[tuple[Any, ...], ...]
    transforms: tuple[Transform, ...]
    raw: Raw
    shape: tuple[int, ...]
    layout: tuple[int, ...]
    levels: Levels | None
    slack: ClassVar[float] = 0.0  # there is no law
    attack_model: ClassVar[str] = "enumerated"

    @property
    def dtype(self) -> np.dtype[Any]:
        assert self.levels is not None
        return self.levels.wide

    def fill(self, stream: Stream, first: int, out: NDArray[Any]) -> None:
        for place, target in enumerate(out.reshape(len(out), *self.layout), start=first):
            values = self.members[place % len(self.members)]
            self.raw.place(attacked(self.raw.image, zip(self.transforms, values, strict=True)), target)
