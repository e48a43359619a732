"""A range of one geometric attack on one input, slice by slice, brightness behind it or not: theory.md section 7.

Source: Li et al. 2021 (TSS).
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..bounds.confidence import SequentialTest, first_looks, geometric_looks
from ..certificate import Certificate
from ..errors import DataError, require
from ..evidence import Evidence, Look, Slice, top
from ..inputs.input import Input
from ..sampling import ESTIMATION, SELECTION, Sampler
from ..smoothing import TRANSFORMS, Attack, Range, Smoothing, Transform, offsets
from ..smoothing.color import Brighten
from ..smoothing.cutting import MOST
from ..smoothing.offsets import Piece
from ..smoothing.slicing import Slicing
from ..smoothing.transform import attacked, transform_of
from . import boxes, pilot
from .base import Algorithm, conclude, require_sizes, totals, why_only_abstain
from .pilot import HALF
from .sequential import claims, drawn, possible

_USUAL = 1.0  # the reach that most inputs get which a slice's votes agree on
_TRIED = 1.2  # distances that are bounded for each cut that is made


@dataclass(frozen=True)
class Slices(Algorithm):
    """Is the class kept under every attack of a range? By noise alone, on pixels or on the codes of a surrogate.

    `n0` pilot votes, at a few attacks of the range, choose the class, and a reach in deviations of the noise for which
    slices and votes are fewest. Within a slice, what the model sees moves by no more than that: in l2, by a bound that
    is proved for the code that runs (`transforms.enclosure`), or as codes, by their `Coverage`. A slice stands when the
    noise certifies that distance around the image at its middle: sequentially, with at most n votes. All must stand, so
    that each is tested with all of alpha: theory.md section 7. One that is futile ends it.

    With an interval of brightness behind the attack, every cut of the attack's range comes with every piece of it: a
    slice is such a pair.

    `n0` None is how earlier versions did it: half a deviation, the class of the first slice, an equal share of alpha
    for each.
    """

    mode: ClassVar[str] = "slices"
    before: ClassVar[Mapping[str, Any]] = {"n0": None}
    attack: Attack
    n: int = 100_000
    alpha: float = 0.001
    border: str = "black"
    interpolation: str = "bilinear"
    n0: int | None = 320

    def __post_init__(self) -> None:
        require_sizes(self.n, self.alpha, pilot.POINTS if self.n0 is None else self.n0)
        require(self.n0 is None or self.n0 >= pilot.POINTS, f"n0: expected {pilot.POINTS} or more, got {self.n0}")
        one = bool(self.attack.ranges) and self.name in TRANSFORMS and self.whole.points is None
        one = one and not TRANSFORMS[self.name].is_planar() and TRANSFORMS[self.name].kind != "norm"
        one = one and [name for name, _ in self.attack.ranges[1:]] in ([], [Brighten.name])
        wanted = "one interval of numbers, such as rotation=-10:10, and behind it brightness or nothing"
        one = one and not (self.name == Brighten.name and self.attack.ranges[1:])
        require(one, f"slices: expected {wanted}, got {self.attack}")
        _ = self.levels  # refuses what is no interval of intensities
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
    def levels(self) -> Piece:
        """The least and greatest offset of all pixels by brightness behind the attack."""
        return offsets.levels_in(self.attack.ranges[1][1]) if self.attack.ranges[1:] else offsets.NONE

    @property
    def named(self) -> Mapping[str, Transform]:
        return self._with_brightness(self.transform)

    def _with_brightness(self, transform: Transform) -> dict[str, Transform]:
        return {self.name: transform} | {name: Brighten() for name, _ in self.attack.ranges[1:]}

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
        return self._with_brightness(own.get(self.name, self.transform))

    def needed(self, smoothing: Smoothing) -> float:
        return smoothing.shifted(HALF)

    def goal(self, smoothing: Smoothing) -> str:
        return Algorithm.goal(self, smoothing) + ("" if self.n0 is None else ", by input more")

    def test(self, smoothing: Smoothing, slices: int, slack: float = 0.0, reach: float = HALF) -> SequentialTest:
        """The test of one slice.

        Earlier versions shared alpha, by shares rounded down to a power of two, so that inputs share tests.
        """
        p0 = smoothing.shifted(reach) + slack
        if self.n0 is not None:
            return SequentialTest((p0,), self.alpha, first_looks(p0, self.alpha, self.n), given=True)
        share = self.alpha / 2 ** math.ceil(math.log2(max(slices, 1)))
        return SequentialTest((p0,), share, geometric_looks(64, self.n))

    def slicing(self, x: Input, smoothing: Smoothing) -> Slicing:
        """The slices of one input."""
        self.needed(smoothing)
        return smoothing.slicing(x, self.transforms(smoothing)[self.name], self.levels)

    def pieces(self, x: Input, smoothing: Smoothing) -> tuple[int, float]:
        slicing, reach, about = self.slicing(x, smoothing), HALF, math.inf
        start = time.perf_counter()
        if self.n0 is not None:  # as for an input on which all of the pilot agrees
            points = slicing.points(self.whole, pilot.POINTS)
            each = self.n0 // len(points)
            reach = pilot.chosen(self._costs([Look(each, 0, each)] * len(points), slicing, smoothing, 0.0))
            about, start = sum(row[0] for row in slicing.numbers(pilot.parts(points), [reach])), time.perf_counter()
        beside = slicing.pieces(reach)
        if about > MOST:  # refuses what would be too many
            cuts, took = len(slicing.cut(self.whole, reach)), time.perf_counter() - start
        else:
            slicing.covers([(self.whole.low, self.whole.low)], self.whole, reach, beside)  # how long one takes
            cuts = math.ceil(about / len(beside))
            took = _TRIED * cuts * (time.perf_counter() - start)
        slices = cuts * len(beside)
        require(self.claimable(smoothing, slices), f"{slices} slices: {why_only_abstain(self, smoothing)}")
        return slices, took

    def problems(self, x: Input, evidence: Evidence, smoothing: Smoothing) -> list[str]:
        if not evidence.slices:
            return []  # given up for its pilot
        cuts, pieces, reach = boxes.cuts_of(evidence), boxes.pieces_of(evidence), evidence.reach or HALF
        try:
            slicing = self.slicing(x, smoothing)
            if not slicing.covers(cuts, self.whole, reach, pieces):
                return [f"the slices are not those of this image: it moves farther in one than {reach:g} deviations"]
            if self.n0 is not None:
                costs = self._costs(evidence.pilot, slicing, smoothing, evidence.slack)
                if not pilot.is_chosen(reach, costs):
                    return [f"expected a reach of {pilot.chosen(costs):g} deviations by its pilot, got {reach:g}"]
        except (DataError, ValueError) as error:
            return [str(error)]
        return []

    def draw(self, sampler: Sampler, smoothing: Smoothing) -> Evidence:
        """Votes, slice by slice from the identity outwards, or else from the upper end, until one is futile."""
        slicing = self.slicing(sampler.x, smoothing)
        found = self._piloted(sampler, slicing, smoothing)
        if pilot.hopeless(found.pilot, self.needed(smoothing), self.n0):
            return found
        reach, label = found.reach or HALF, found.pilot[0].label if found.pilot else None
        cuts, pieces = slicing.cut(self.whole, reach), slicing.pieces(reach)
        slices = [Slice(low, high) for _ in pieces for low, high in cuts]
        test = self.test(smoothing, len(slices), sampler.made.slack, reach)
        votes: Counter[int] = Counter()
        for i in boxes.outwards(slices, pieces, self._start):
            value, level = slicing.middle(cuts[i % len(cuts)]), offsets.middle(pieces[i // len(cuts)])
            there = _moved(sampler, self._steps(smoothing, value, level))
            looks, more = drawn(there, ESTIMATION + 8 * (i + 1), test, label)
            slices[i] = replace(slices[i], looks=looks)
            votes.update(more)
            label = looks[-1].label
            if not test.claims(looks[-1].n, looks[-1].count):
                break
        said = tuple(pieces) if self.levels != offsets.NONE else ()
        return replace(found, estimation=dict(votes), slices=tuple(slices), brightness=said)

    def _steps(self, smoothing: Smoothing, value: float, level: int) -> list[tuple[Transform, Any]]:
        """What the attacker does to the image, one after the other."""
        return list(zip(self.transforms(smoothing).values(), (value, offsets.brightness(level)), strict=False))

    def _piloted(self, sampler: Sampler, slicing: Slicing, smoothing: Smoothing) -> Evidence:
        """The pilot's votes, and the reach that they choose; neither where earlier versions had none."""
        if self.n0 is None:
            return sampler.evidence(self.mode, {}, {})
        points = slicing.points(self.whole, pilot.POINTS)
        each, (low, high) = self.n0 // len(points), self.levels
        levels = [low, high, offsets.middle(self.levels), low, high]  # of POINTS, its ends with both ends of the range
        moves = [self._steps(smoothing, *point) for point in zip(points, levels, strict=False)]
        samplers = [_moved(sampler, steps) for steps in moves]
        counts = [Counter(there.counts(SELECTION + 8 * (i + 1), 0, each)) for i, there in enumerate(samplers)]
        needed = self.needed(smoothing)
        for i, n in pilot.open_points(pilot.cast(counts)[0], needed).items():
            counts[i] += Counter(samplers[i].counts(SELECTION + 8 * (i + 1), each, n))
        looks, votes = pilot.cast(counts)
        reach = HALF
        if not pilot.hopeless(looks, needed, self.n0):
            reach = pilot.chosen(self._costs(looks, slicing, smoothing, sampler.made.slack))
        return replace(sampler.evidence(self.mode, votes, {}), pilot=looks, reach=reach)

    def _costs(self, votes: Sequence[Look], slicing: Slicing, smoothing: Smoothing, slack: float) -> dict[float, float]:
        """See `pilot.costs`."""
        points = slicing.points(self.whole, pilot.POINTS)
        require(len(points) == len(votes), f"expected a pilot at {len(points)} attacks, got {len(votes)}")
        parts = pilot.parts(points)

        def test(reach: float) -> SequentialTest | None:
            if smoothing.shifted(reach) + slack >= 1:
                return None
            found = self.test(smoothing, 1, slack, reach)
            return found if found.claims(self.n, self.n) else None

        return pilot.costs(votes, lambda reaches: slicing.numbers(parts, reaches), test)

    @property
    def _start(self) -> float:
        return float(self.whole.high if self.transform.identity is None else self.transform.identity)

    def decide(self, evidence: Evidence, smoothing: Smoothing) -> Certificate:
        """The class that every slice claims; the last look of each is replayed."""
        if lost := pilot.hopeless(evidence.pilot, self.needed(smoothing), self.n0):
            reason = f"lost in the pilot: class {lost.label} got {lost.count} of {lost.n} votes at one of the attacks"
            return conclude(self, smoothing, evidence, reason=reason)
        test = self.test(smoothing, len(evidence.slices), evidence.slack, evidence.reach or HALF)
        pieces = boxes.pieces_of(evidence)
        order = boxes.outwards(evidence.slices, pieces, self._start)
        for done, i in enumerate(order):
            s = evidence.slices[i]
            if not claims(test, s.looks):
                last = s.looks[-1] if s.looks else Look(0, 0, 0)
                least, most = map(offsets.brightness, pieces[i * len(pieces) // len(order)])
                behind = f" with brightness {least:.3g}:{most:.3g}" if evidence.brightness else ""
                where = f"{self.name} {s.low:.4g}:{s.high:.4g}{behind} after {done} of {len(order)} slices stood"
                reason = f"slice lost: {where}, class {last.label} got {last.count} of {last.n} votes"
                return conclude(self, smoothing, evidence, reason=reason)
        p_lower = test.p0s[0] - evidence.slack
        label = evidence.slices[order[0]].looks[-1].label
        return conclude(self, smoothing, evidence, label, 0.0, p_lower, 1 - p_lower)

    def consistent(self, evidence: Evidence, smoothing: Smoothing) -> bool:
        """Slices side by side over the whole range, looks at the schedule until each stands, one class throughout."""
        slices, first = evidence.slices, evidence.pilot
        none, needed = not first and not evidence.reach, self.needed(smoothing)
        if evidence.looks or not (none if self.n0 is None else pilot.possible(evidence, self.n0, needed)):
            return False
        if pilot.hopeless(first, needed, self.n0):
            return not (slices or evidence.brightness or evidence.estimation) and evidence.reach == HALF
        if not boxes.is_box(evidence, self.whole, self.levels, gapless=smoothing.gapless):
            return False
        test = self.test(smoothing, len(slices), evidence.slack, evidence.reach or HALF)
        total, kept, lost = 0, 0, False
        label = first[0].label if first else None
        for i in boxes.outwards(slices, boxes.pieces_of(evidence), self._start):
            looks = slices[i].looks
            if lost != (not looks):
                return False
            if lost:
                continue
            if not possible(test, looks, label):
                return False
            total, kept, label = total + looks[-1].n, kept + looks[-1].count, looks[-1].label
            lost = not test.claims(looks[-1].n, looks[-1].count)
        once = not first and sum(bool(s.looks) for s in slices) == 1  # then the votes are the first slice's
        followed = not once or label == top(evidence.estimation)
        counted = totals(evidence) == (sum(look.n for look in first), total)
        return counted and followed and evidence.estimation.get(label or 0, 0) == kept

    def samples(self, smoothing: Smoothing) -> tuple[int, int]:
        """Of one slice: the first look that unanimous votes end, and n."""
        test = self.test(smoothing, 64, 0.0, HALF if self.n0 is None else _USUAL)
        return next((n for n in test.looks if test.claims(n, n)), self.n), self.n

    def largest(self, smoothing: Smoothing) -> float:
        """Infinite where unanimous votes claim a slice."""
        return float("inf") if self.claimable(smoothing, 64) else 0.0

    def claimable(self, smoothing: Smoothing, slices: int) -> bool:
        """Whether unanimous votes claim a slice, of so many that share alpha."""
        return bool(self.test(smoothing, slices).claims(self.n, self.n))


def _moved(sampler: Sampler, steps: Sequence[tuple[Transform, Any]]) -> Sampler:
    """Of the image under those attacks, one after the other."""
    pixels, raw = np.empty_like(sampler.x.pixels), sampler.x.raw or sampler.x.image()
    raw.place(attacked(raw.image, steps), pixels)
    return replace(sampler, x=sampler.x.moved(pixels))
