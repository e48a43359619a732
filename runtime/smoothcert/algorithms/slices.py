"""A range of one geometric attack on one input, slice by slice: theory.md section 7; Li et al. 2021 (TSS)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np

from ..bounds.confidence import SequentialTest, geometric_looks
from ..certificate import Certificate
from ..errors import ArgumentError, DataError, require
from ..evidence import Evidence, Look, Slice, top
from ..inputs.input import Input
from ..inputs.spatial import Raw
from ..sampling import ESTIMATION, Sampler
from ..smoothing import TRANSFORMS, Attack, Noise, Smoothing, Transform
from ..smoothing.cutting import MOST, Cutting, enclosable, farthest
from ..smoothing.transform import attacked, transform_of
from .base import Algorithm, conclude, require_sizes, totals, why_only_abstain
from .sequential import claims, drawn, possible

_SHARE = 0.5  # of a standard deviation of the noise: what an image may move within a slice


@dataclass(frozen=True)
class Slices(Algorithm):
    """Is the class kept under every rotation, or scaling, of the range? Pixel noise alone; no calibration.

    Within a slice, what the model sees moves by at most sigma / 2 in l2, by a bound that is proved for the code that
    runs (`transforms.enclosure`). A slice stands when the noise certifies that distance around the image at its middle:
    sequentially, with at most n votes, and an equal share of alpha for each slice. One that is futile ends it.
    """

    mode: ClassVar[str] = "slices"
    attack: Attack
    n: int = 100_000
    alpha: float = 0.001
    border: str = "black"
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        require_sizes(self.n, self.alpha)
        known = [name for name, kind in TRANSFORMS.items() if kind.enclose is not Transform.enclose]
        ranges = dict(self.attack)
        one = len(ranges) == 1 and self.name in known and ranges[self.name].points is None
        require(
            one, f"slices: expected one interval of {' or '.join(known)}, such as rotation=-10:10, got {self.attack}"
        )
        whole = ranges[self.name]
        TRANSFORMS[self.name].coordinate(whole.low)  # refuses factors that are not above 0
        # Refuses what it cannot enclose; nothing is computed before its parts are asked for.
        self.transform.enclose(np.zeros((1, 1), np.uint8), whole.low, whole.high)

    @property
    def name(self) -> str:
        """The attack's."""
        return self.attack.ranges[0][0]

    @property
    def transform(self) -> Transform:
        return transform_of(self.name, {"border": self.border, "interpolation": self.interpolation})

    @property
    def named(self) -> Mapping[str, Transform]:
        return {self.name: self.transform}

    def attack_models(self, smoothing: Smoothing) -> tuple[str, ...]:
        """Slices are cut of 8-bit images alone."""
        return ("integer",)

    def needed(self, smoothing: Smoothing) -> float:
        alone = len(smoothing.parts) == 1 and smoothing.guarantee == "exact"
        if not alone or not isinstance(smoothing.parts[0], Noise):
            raise ArgumentError("slices: expected a smoothing of noise alone; the attack itself is not smoothed")
        return smoothing.p_star({"noise": _SHARE * smoothing.parts[0].sigma})

    def test(self, smoothing: Smoothing, slices: int, slack: float = 0.0) -> SequentialTest:
        """The test of one slice. Shares of alpha are rounded down to a power of two, so that inputs share tests."""
        share = self.alpha / 2 ** math.ceil(math.log2(max(slices, 1)))
        return SequentialTest((self.needed(smoothing) + slack,), share, geometric_looks(64, self.n))

    def cut(self, raw: Raw, smoothing: Smoothing) -> list[tuple[float, float]]:
        """The slices, side by side over the whole range; `DataError` where they would be more than `MOST`."""
        allowed, whole = self._allowed(raw, smoothing), self.attack.ranges[0][1]
        cutting = Cutting(self.transform, whole, allowed, partial(farthest, raw, self.transform))
        cuts = cutting.slices
        if cuts is None:
            advice = cutting.advice(smoothing.parts[0].scale)
            raise DataError(f"slices: {self.attack} needs more than {MOST} slices, the most there may be; {advice}")
        return cuts

    def _allowed(self, raw: Raw, smoothing: Smoothing) -> float:
        enclosable(raw)
        self.needed(smoothing)
        return _SHARE * smoothing.parts[0].scale

    def pieces(self, x: Input, smoothing: Smoothing) -> int:
        slices = len(self.cut(enclosable(x.raw), smoothing))
        require(self.claimable(smoothing, slices), f"{slices} slices: {why_only_abstain(self, smoothing)}")
        return slices

    def problems(self, x: Input, evidence: Evidence, smoothing: Smoothing) -> list[str]:
        """Whoever cut the slices, the distance must hold in each: other processors round, and cut, otherwise."""
        try:
            raw = enclosable(x.raw)
            allowed, slices = self._allowed(raw, smoothing), evidence.slices
            if len(slices) <= MOST and all(farthest(raw, self.transform, s.low, s.high) <= allowed for s in slices):
                return []
        except (DataError, ValueError) as error:
            return [str(error)]
        return ["the slices are not those of this image: it moves farther in one than sigma / 2"]

    def draw(self, sampler: Sampler, smoothing: Smoothing) -> Evidence:
        """Votes, slice by slice from the identity outwards, until one is futile."""
        raw = enclosable(sampler.x.raw)
        cuts = self.cut(raw, smoothing)
        test = self.test(smoothing, len(cuts), sampler.made.slack)
        slices = [Slice(low, high) for low, high in cuts]
        votes: Counter[int] = Counter()
        label: int | None = None
        for i in self._order(cuts):
            pixels = np.empty_like(sampler.x.pixels)
            raw.place(attacked(raw.image, [(self.transform, sum(cuts[i]) / 2)]), pixels)
            there = replace(sampler, x=sampler.x.moved(pixels))
            looks, more = drawn(there, ESTIMATION + 8 * (i + 1), test, label)
            slices[i] = replace(slices[i], looks=looks)
            votes.update(more)
            label = looks[-1].label
            if not test.claims(looks[-1].n, looks[-1].count):
                break
        return replace(sampler.evidence(self.mode, {}, votes), slices=tuple(slices))

    def _order(self, cuts: Sequence[tuple[float, float]]) -> list[int]:
        return sorted(range(len(cuts)), key=lambda i: abs(sum(cuts[i]) / 2 - self.transform.identity))

    def decide(self, evidence: Evidence, smoothing: Smoothing) -> Certificate:
        """The class that every slice claims; the last look of each is replayed."""
        test = self.test(smoothing, len(evidence.slices), evidence.slack)
        order = self._order([(s.low, s.high) for s in evidence.slices])
        for done, i in enumerate(order):
            s = evidence.slices[i]
            if not claims(test, s.looks):
                last = s.looks[-1] if s.looks else Look(0, 0, 0)
                where = f"{self.name} {s.low:.4g}:{s.high:.4g} after {done} of {len(order)} slices stood"
                reason = f"slice lost: {where}, class {last.label} got {last.count} of {last.n} votes"
                return conclude(self, smoothing, evidence, reason=reason)
        p_lower = test.p0s[0] - evidence.slack
        label = evidence.slices[order[0]].looks[-1].label
        return conclude(self, smoothing, evidence, label, 0.0, p_lower, 1 - p_lower)

    def consistent(self, evidence: Evidence, smoothing: Smoothing) -> bool:
        """Slices side by side over the whole range, looks at the schedule until each stands, one class throughout."""
        ((_, whole),) = self.attack
        slices = evidence.slices
        ends = [whole.low, *(s.high for s in slices)]
        if not slices or ends[-1] != whole.high or [s.low for s in slices] != ends[:-1] or ends != sorted(ends):
            return False
        test = self.test(smoothing, len(slices), evidence.slack)
        total, kept, label, lost = 0, 0, None, False
        for i in self._order([(s.low, s.high) for s in slices]):
            looks = slices[i].looks
            if lost != (not looks):
                return False
            if lost:
                continue
            if not possible(test, looks, label):
                return False
            total, kept, label = total + looks[-1].n, kept + looks[-1].count, looks[-1].label
            lost = not test.claims(looks[-1].n, looks[-1].count)
        once = sum(bool(s.looks) for s in slices) == 1  # then the votes are the first slice's
        followed = not once or label == top(evidence.estimation)
        agree = totals(evidence) == (0, total) and evidence.estimation.get(label or 0, 0) == kept
        return agree and followed and not evidence.looks

    def samples(self, smoothing: Smoothing) -> tuple[int, int]:
        """Of one slice: the first look that unanimous votes end, and n."""
        test = self.test(smoothing, 64)
        return next((n for n in test.looks if test.claims(n, n)), self.n), self.n

    def largest(self, smoothing: Smoothing) -> float:
        """Infinite where unanimous votes claim a slice."""
        return float("inf") if self.claimable(smoothing, 64) else 0.0

    def claimable(self, smoothing: Smoothing, slices: int) -> bool:
        """Whether unanimous votes claim a slice, of so many that share alpha."""
        return bool(self.test(smoothing, slices).claims(self.n, self.n))
