"""A range of one geometric attack on one input, slice by slice: theory.md section 7; Li et al. 2021 (TSS)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ..bounds.confidence import SequentialTest, geometric_looks
from ..certificate import Certificate
from ..errors import DataError, require
from ..evidence import Evidence, Look, Slice, top
from ..inputs.input import Input
from ..sampling import ESTIMATION, Sampler
from ..smoothing import TRANSFORMS, Attack, Range, Smoothing, Transform
from ..smoothing.slicing import Slicing
from ..smoothing.transform import attacked, transform_of
from .base import Algorithm, conclude, require_sizes, totals, why_only_abstain
from .sequential import claims, drawn, possible

_SHARE = 0.5  # of a standard deviation of the noise: what an image may move within a slice


@dataclass(frozen=True)
class Slices(Algorithm):
    """Is the class kept under every attack of a range? By noise alone, on pixels or on the codes of a surrogate.

    Within a slice, what the model sees moves by at most half a deviation of the noise: in l2, by a bound that is proved
    for the code that runs (`transforms.enclosure`), or as codes, by their `Coverage`. A slice stands when the noise
    certifies that distance around the image at its middle: sequentially, with at most n votes, and an equal share of
    alpha for each slice. One that is futile ends it.
    """

    mode: ClassVar[str] = "slices"
    attack: Attack
    n: int = 100_000
    alpha: float = 0.001
    border: str = "black"
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        require_sizes(self.n, self.alpha)
        ranges = dict(self.attack)
        one = len(ranges) == 1 and self.name in TRANSFORMS and ranges[self.name].points is None
        one = one and not TRANSFORMS[self.name].is_planar() and TRANSFORMS[self.name].kind != "norm"
        require(one, f"slices: expected one interval of numbers, such as rotation=-10:10, got {self.attack}")
        self.transform.coordinate(self.whole.low)  # refuses factors that are not above 0
        if type(self.transform).enclose is not Transform.enclose:
            # Refuses what it cannot enclose; nothing is computed before its parts are asked for.
            self.transform.enclose(np.zeros((1, 1), np.uint8), self.whole.low, self.whole.high)

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

    @property
    def whole(self) -> Range:
        """The attacks asked about."""
        return self.attack.ranges[0][1]

    def transforms(self, smoothing: Smoothing) -> Mapping[str, Transform]:
        """The smoothing's own, where it imitates the attack."""
        own = {part.name: part.transform for part in smoothing.parts}
        return {self.name: own.get(self.name, self.transform)}

    def needed(self, smoothing: Smoothing) -> float:
        return smoothing.shifted(_SHARE)

    def test(self, smoothing: Smoothing, slices: int, slack: float = 0.0) -> SequentialTest:
        """The test of one slice. Shares of alpha are rounded down to a power of two, so that inputs share tests."""
        share = self.alpha / 2 ** math.ceil(math.log2(max(slices, 1)))
        return SequentialTest((self.needed(smoothing) + slack,), share, geometric_looks(64, self.n))

    def slicing(self, x: Input, smoothing: Smoothing) -> Slicing:
        """The slices of one input."""
        self.needed(smoothing)
        return smoothing.slicing(x, self.transforms(smoothing)[self.name])

    def pieces(self, x: Input, smoothing: Smoothing) -> int:
        slices = len(self.slicing(x, smoothing).cut(self.whole, _SHARE))
        require(self.claimable(smoothing, slices), f"{slices} slices: {why_only_abstain(self, smoothing)}")
        return slices

    def problems(self, x: Input, evidence: Evidence, smoothing: Smoothing) -> list[str]:
        cuts = [(s.low, s.high) for s in evidence.slices]
        try:
            if self.slicing(x, smoothing).covers(cuts, self.whole, _SHARE):
                return []
        except (DataError, ValueError) as error:
            return [str(error)]
        return ["the slices are not those of this image: it moves farther in one than half a deviation of the noise"]

    def draw(self, sampler: Sampler, smoothing: Smoothing) -> Evidence:
        """Votes, slice by slice from the identity outwards, or else from the upper end, until one is futile."""
        slicing, raw = self.slicing(sampler.x, smoothing), sampler.x.raw or sampler.x.image()
        transform, cuts = self.transforms(smoothing)[self.name], slicing.cut(self.whole, _SHARE)
        test = self.test(smoothing, len(cuts), sampler.made.slack)
        slices = [Slice(low, high) for low, high in cuts]
        votes: Counter[int] = Counter()
        label: int | None = None
        for i in self._order(cuts):
            pixels = np.empty_like(sampler.x.pixels)
            raw.place(attacked(raw.image, [(transform, slicing.middle(cuts[i]))]), pixels)
            there = replace(sampler, x=sampler.x.moved(pixels))
            looks, more = drawn(there, ESTIMATION + 8 * (i + 1), test, label)
            slices[i] = replace(slices[i], looks=looks)
            votes.update(more)
            label = looks[-1].label
            if not test.claims(looks[-1].n, looks[-1].count):
                break
        return replace(sampler.evidence(self.mode, {}, votes), slices=tuple(slices))

    def _order(self, cuts: Sequence[tuple[float, float]]) -> list[int]:
        identity = self.transform.identity
        start = self.whole.high if identity is None else identity
        return sorted(range(len(cuts)), key=lambda i: abs(sum(cuts[i]) / 2 - start))

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
        slices = evidence.slices
        ends = [end for s in slices for end in (s.low, s.high)]
        side_by_side = [self.whole.low, *ends[1::2]] == [*ends[::2], self.whole.high]
        if not slices or ends != sorted(ends) or (smoothing.gapless and not side_by_side):
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
