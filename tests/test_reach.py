"""Slices whose class and reach a pilot chooses, each tested with all of alpha: wrong no more often than alpha allows.

Truth is made up where votes are cast: the probability of class 1 at the middle of every slice. Unsound variants, as
somebody might write them, are shown to be found out by the same checks. Oracles: `claim_probability`, counted through
by hand, and the binomial test.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr

from smoothcert import ABSTAIN, Noise, compose
from smoothcert.algorithms import Slices, pilot
from smoothcert.algorithms import slices as module
from smoothcert.bounds.confidence import SequentialTest, crossing_probability, expected_votes, first_looks
from smoothcert.evidence import Evidence, Look
from smoothcert.sampling import Sampler
from smoothcert.smoothing import Attack, Range
from smoothcert.smoothing.offsets import NONE, Piece
from smoothcert.smoothing.slicing import Cut
from smoothcert.smoothing.transform import TRANSFORMS
from smoothcert.smoothing.widths import numbers

SMOOTHING = compose(Noise(0.5))
LENGTH, WORST = 12.0, 7.3  # deviations that the range moves the image by; where the attack is that the class is lost to
ALPHA = 0.05


@dataclass(frozen=True)
class Line:
    """Slices of an image that an attack of value a moves by a deviations, along a line."""

    def cut(self, whole: Range, allowed: float) -> list[Cut]:
        ends = np.linspace(whole.low, whole.high, math.ceil((whole.high - whole.low) / (2 * allowed)) + 1).tolist()
        return list(pairwise(ends))

    def pieces(self, allowed: float) -> list[Piece]:
        return [NONE]

    def covers(self, cuts: Sequence[Cut], whole: Range, allowed: float, pieces: Sequence[Piece] = (NONE,)) -> bool:
        return all(high - low <= 2 * allowed for low, high in cuts)

    def middle(self, cut: Cut) -> float:
        return sum(cut) / 2

    def points(self, whole: Range, count: int) -> list[float]:
        return cast(list[float], np.linspace(whole.low, whole.high, count).tolist())

    def numbers(self, parts: Sequence[Cut], allowed: Sequence[float]) -> list[list[float]]:
        return [[(high - low) / (2 * reach) for reach in allowed] for low, high in parts]


@dataclass(frozen=True)
class Votes:
    """A sampler of made-up votes: class 1 with the probability that holds at a value, else class 0.

    `away`: how sure the class is where nothing is lost. `lost`: at the middle of the slice that holds the worst attack
    it has exactly the probability that the slice must exceed, whatever the reach. That is as bad as theory allows.
    """

    random: np.random.Generator
    away: float = 0.995
    lost: bool = True
    value: float | None = None
    slack: float = 0.0
    cast: list[int] = field(default_factory=list)

    @property
    def made(self) -> Votes:
        return self

    @property
    def x(self) -> None:
        return None

    def at(self, value: float) -> Votes:
        return replace(self, value=value)

    @property
    def p(self) -> float:
        return worst_middles().get(self.value or 0.0, self.away) if self.lost else self.away

    def counts(self, stage: int, first: int, last: int) -> Counter[int]:
        right = int(self.random.binomial(last - first, self.p))
        self.cast.append(last - first)
        return +Counter({1: right, 0: last - first - right})

    def evidence(self, mode: str, selection: Any, estimation: Any) -> Evidence:
        return Evidence(mode, dict(estimation), dict(selection), attack_model="integer")


@functools.cache
def worst_middles() -> dict[float, float]:
    """By the middle of the slice that holds the worst attack, the probability that its reach asks for."""
    cuts = {reach: Line().cut(Range(0.0, LENGTH), reach) for reach in pilot.REACHES}
    holds = {reach: next(c for c in found if c[0] <= WORST <= c[1]) for reach, found in cuts.items()}
    found: dict[float, float] = {}
    for reach, cut in holds.items():  # ascending: of two with one middle, the one that asks for less
        found.setdefault(sum(cut) / 2, float(ndtr(reach)))
    return found


@pytest.fixture
def mode(monkeypatch: pytest.MonkeyPatch) -> Slices:
    monkeypatch.setattr(Slices, "slicing", lambda *_: Line())
    monkeypatch.setattr(module, "_moved", lambda sampler, steps: sampler.at(steps[0][1]))
    return Slices(Attack.of({"rotation": (0.0, LENGTH)}), n=2000, alpha=ALPHA)


def drawn(mode: Slices, votes: Votes) -> Evidence:
    return mode.draw(cast(Sampler, votes), SMOOTHING)


Procedure = Callable[[Slices, Votes], int]  # the class that is certified, or ABSTAIN


def honest(mode: Slices, votes: Votes) -> int:
    evidence = drawn(mode, votes)
    assert mode.consistent(evidence, SMOOTHING)
    return mode.decide(evidence, SMOOTHING).prediction


def tried_again(mode: Slices, votes: Votes) -> int:
    """Unsound: a lost input is drawn again, with another pilot, up to four times."""
    return next((found for _ in range(4) if (found := honest(mode, votes)) != ABSTAIN), ABSTAIN)


def reach_of_the_votes(mode: Slices, votes: Votes) -> int:
    """Unsound: the reach is one for which the votes that count turn out to suffice."""
    for reach in pilot.REACHES[:6]:
        test = mode.test(SMOOTHING, 1, 0.0, reach)
        middles = [sum(cut) / 2 for cut in Line().cut(mode.whole, reach)]
        if all(stands(test, votes.at(value)) for value in middles):
            return 1
    return ABSTAIN


def stands(test: SequentialTest, votes: Votes) -> bool:
    count, seen = 0, 0
    for n in test.looks:
        count, seen = count + votes.counts(0, seen, n)[1], n
        if test.claims(n, count):
            return True
        if test.futile(n, count, 0):
            return False
    return False


def looked_at_every_vote(mode: Slices, votes: Votes) -> int:
    """Unsound: a slice stands once its last votes would do at a first look, whenever that is."""
    for cut in Line().cut(mode.whole, 1.0):
        test, there = mode.test(SMOOTHING, 1, 0.0, 1.0), votes.at(sum(cut) / 2)
        first = test.looks[0]
        right = np.concatenate([[0], np.cumsum(there.random.random(8 * first) < there.p)])
        if not (right[first:] - right[:-first] == first).any():
            return ABSTAIN
    return 1


def wrong(mode: Slices, procedure: Procedure, runs: int, seed: int = 1) -> int:
    random = np.random.default_rng(seed)
    return sum(procedure(mode, Votes(random)) != ABSTAIN for _ in range(runs))


def within(count: int, runs: int) -> bool:
    """Whether so many are compatible with at most alpha each."""
    return bool(stats.binomtest(count, runs, ALPHA, alternative="greater").pvalue > 1e-3)


def test_a_class_that_one_attack_takes_is_certified_no_more_often_than_alpha(mode: Slices) -> None:
    """Of inputs as bad as there can be, and close to as often: alpha is not divided among the slices."""
    found = wrong(mode, honest, 1000)
    assert within(found, 1000)
    assert found > 0.5 * ALPHA * 1000


@pytest.mark.parametrize("procedure", [tried_again, reach_of_the_votes, looked_at_every_vote])
def test_unsound_variants_are_found_out(mode: Slices, procedure: Procedure) -> None:
    assert not within(wrong(mode, procedure, 250), 250)


def test_an_input_that_no_attack_changes_is_certified(mode: Slices) -> None:
    """With about as many votes as its costs foresee."""
    random, spent = np.random.default_rng(2), list[float]()
    for _ in range(200):
        votes = Votes(random, lost=False)
        evidence = drawn(mode, votes)
        assert mode.decide(evidence, SMOOTHING).prediction == 1
        assert sum(votes.cast) == evidence.samples
        test = mode.test(SMOOTHING, 1, 0.0, evidence.reach)
        expected = expected_votes(test.boundaries[0], test.looks, 0.995) * len(evidence.slices)
        spent.append(sum(evidence.estimation.values()) / expected)
    assert 0.95 < np.mean(spent) < 1.05


def test_a_class_that_is_unsure_gets_a_shorter_reach(mode: Slices) -> None:
    random, reaches = np.random.default_rng(3), list[float]()
    for away in (0.85, 0.95, 0.99, 0.9999):
        found = [drawn(mode, Votes(random, away, lost=False)).reach for _ in range(40)]
        reaches.append(float(np.mean(found)))
    assert reaches == sorted(reaches)
    assert reaches[0] <= 0.6 < 0.65 < reaches[-1]


def test_a_coin_is_given_up_for_its_pilot(mode: Slices) -> None:
    votes = Votes(np.random.default_rng(4), 0.5, lost=False)
    evidence = drawn(mode, votes)
    assert sum(votes.cast) == evidence.samples <= 16 * (mode.n0 or 0)
    assert not evidence.slices
    found = mode.decide(evidence, SMOOTHING)
    assert found.prediction == ABSTAIN
    assert found.reason.startswith("lost in the pilot: class ")
    assert mode.consistent(evidence, SMOOTHING)


def test_where_the_first_votes_leave_it_open_more_decide(mode: Slices) -> None:
    """At .76, above what the shortest reach needs, nearly all are certified; just below it all are given up."""
    for away, least in ((0.76, 9), (0.66, 0)):
        found = [drawn(mode, Votes(np.random.default_rng(seed), away, lost=False)) for seed in range(10)]
        assert all(mode.consistent(evidence, SMOOTHING) for evidence in found)
        assert all(sum(look.n for look in e.pilot) == sum(e.selection.values()) for e in found)
        certified = [mode.decide(evidence, SMOOTHING).prediction == 1 for evidence in found]
        assert least <= sum(certified) <= 10 * least
        assert least or not any(evidence.slices for evidence in found)


# --- The test of one slice --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.001, 0.05])
def test_a_given_class_has_all_of_alpha_and_no_more(alpha: float) -> None:
    for reach in pilot.REACHES:
        p0 = float(ndtr(reach))
        test = SequentialTest((p0,), alpha, first_looks(p0, alpha, 20_000), given=True)
        crossed = crossing_probability(test.boundaries[0], test.looks, p0)
        assert 0.9 * alpha < crossed <= alpha
        assert test.claims(test.looks[0], test.looks[0]) == 1
        assert test.looks[0] < 1.5 * math.log(alpha) / math.log(p0) + 5


def test_the_votes_that_a_slice_takes_are_foreseen() -> None:
    test, random = SequentialTest((0.84,), 0.01, first_looks(0.84, 0.01, 2000), given=True), np.random.default_rng(5)
    spent = []
    for _ in range(2000):
        steps = random.binomial(np.diff([0, *test.looks]), 0.95)
        count = np.cumsum(steps)
        spent.append(next(n for n, k in zip(test.looks, count.tolist(), strict=True) if test.claims(n, k)))
    expected = expected_votes(test.boundaries[0], test.looks, 0.95)
    assert abs(np.mean(spent) - expected) < 4 * np.std(spent) / math.sqrt(len(spent))


# --- How many slices --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_numbers_of_slices_follow_the_measured_distances(power: float) -> None:
    """A distance that grows as a power of the width, whatever the power; few enclosures."""
    calls: list[float] = []

    def distance(low: float, high: float) -> float:
        calls.append(high - low)
        return float((high - low) ** power)

    allowed = [0.05, 0.1, 0.3]
    ((found,),) = [numbers(TRANSFORMS["rotation"](), [(-1.0, 1.0)], allowed, distance)]
    assert found == pytest.approx([2 / (0.9 * a) ** (1 / power) for a in allowed], rel=0.05)
    assert len(calls) <= 8


def test_a_floor_that_no_width_goes_below_needs_too_many() -> None:
    ((few, many),) = numbers(TRANSFORMS["rotation"](), [(0.0, 1.0)], [0.1, 1.0], lambda low, high: 0.3 + high - low)
    assert few == math.inf
    assert 1 <= many < 3


# --- Evidence ---------------------------------------------------------------------------------------------------------

FORGED: dict[str, Callable[[Evidence], Evidence]] = {
    "no pilot": lambda e: replace(e, pilot=(), reach=0.0, selection={}),
    "another reach": lambda e: replace(e, reach=0.77),
    "a wider reach": lambda e: replace(e, reach=3.0),
    "a vote at one point more": lambda e: replace(e, pilot=(replace(e.pilot[0], count=1), *e.pilot[1:])),
    "a point less": lambda e: replace(e, pilot=e.pilot[1:]),
    "more votes at a point": lambda e: replace(e, pilot=(Look(99, 1, 64), *e.pilot[1:])),
    "another class": lambda e: replace(e, pilot=tuple(replace(look, label=0) for look in e.pilot)),
    "a class of fewer votes": lambda e: replace(e, selection={1: 100, 0: 220}),
    "slices left out": lambda e: replace(e, slices=()),
    "open, and no more votes": lambda e: cast_anew(e, 64, 45),
    "more votes that nothing asked for": lambda e: cast_anew(e, 16 * 64, 16 * 64),
}


def cast_anew(evidence: Evidence, n: int, count: int) -> Evidence:
    """With the same votes at every attack of the pilot: n, of which `count` are for the class."""
    looks, rest = tuple(Look(n, 1, count) for _ in evidence.pilot), len(evidence.pilot) * (n - count)
    return replace(evidence, pilot=looks, selection={1: len(looks) * count, **({0: rest} if rest else {})})


@pytest.mark.parametrize("how", FORGED)
def test_forged_pilots_are_not_consistent(mode: Slices, how: str) -> None:
    evidence = drawn(mode, Votes(np.random.default_rng(6), lost=False))
    assert mode.consistent(evidence, SMOOTHING)
    assert not mode.consistent(FORGED[how](evidence), SMOOTHING)


def test_verify_knows_the_reach_by_the_pilot(mode: Slices) -> None:
    evidence = drawn(mode, Votes(np.random.default_rng(7), lost=False))
    assert mode.problems(cast(Any, None), evidence, SMOOTHING) == []
    for reach in (1.7, 2.0):
        cuts = Line().cut(mode.whole, reach)
        forged = replace(evidence, reach=reach, slices=tuple(module.Slice(*cut) for cut in cuts))
        (found,) = mode.problems(cast(Any, None), forged, SMOOTHING)
        assert found == f"expected a reach of {evidence.reach:g} deviations by its pilot, got {reach:g}"


def test_recipes_of_earlier_versions_mean_what_they_did() -> None:
    mode = Slices(Attack.of({"rotation": (-1, 1)}), n0=None)
    assert "n0" not in mode.recipe
    assert mode.test(SMOOTHING, 20).alpha == mode.alpha / 32
    assert Slices.before == {"n0": None}
