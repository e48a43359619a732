"""Target mode claims a false target no more often than alpha allows.

Oracle: the procedure itself, look by look, as exact programmes over the counts of two and of three classes. They share
nothing with `SequentialTest` but the boundaries that it hands out.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import convolve2d
from scipy.special import gammaln, xlog1py, xlogy

from smoothcert.bounds.confidence import SAFE, SequentialTest, boundary, geometric_looks

QUICK = ("test_every_target_counts",)

Boundaries = Sequence[Sequence[int]]
Setting = tuple[tuple[float, ...], float, tuple[int, ...]]  # targets, alpha, looks


def step_laws(m: int, ps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of Binomial(m, p), a row for each p."""
    k = np.arange(m + 1)
    ways = gammaln(m + 1) - gammaln(k + 1) - gammaln(m - k + 1)
    return np.exp(ways + xlogy(k, ps[:, None]) + xlog1py(m - k, -ps[:, None]))


def false_claims(
    boundaries: Boundaries, looks: Sequence[int], p0s: Sequence[float], ps: NDArray[np.float64]
) -> NDArray[np.float64]:
    """P(some false target is claimed) for each p of class A in [1/2, 1). Class B has 1 - p: all are false for it.

    The favourite is followed until the first claim, then that class; a target is false for p <= p0. Futility, which
    can only lose claims, is left out.
    """
    true = (np.array(p0s) < ps[:, None]).sum(axis=1)
    size = next_fast_len(looks[-1] + 1, real=True)
    count = np.arange(size)
    law = np.zeros((len(p0s), len(ps), size))  # by true targets claimed so far, all for A; by p; by the votes for A
    law[0, :, 0] = 1
    wrong, seen = np.zeros(len(ps)), 0
    for look, n in enumerate(looks):
        law = irfft(rfft(law, size) * rfft(step_laws(n - seen, ps), size), size)
        seen, b_leads = n, n - count > count
        claims_b = b_leads & (n - count >= boundaries[0][look])
        wrong += law[0][:, claims_b].sum(axis=1)
        law[0][:, claims_b] = 0
        for claimed, bounds in enumerate(boundaries):
            claims_a = count >= bounds[look]
            if claimed == 0:
                claims_a &= ~b_leads
            moved = law[claimed][:, claims_a]
            law[claimed][:, claims_a] = 0
            is_false = claimed >= true
            wrong += np.where(is_false, moved.sum(axis=1), 0)
            if claimed + 1 < len(p0s):
                law[claimed + 1][:, claims_a] += np.where(is_false[:, None], 0, moved)
    return wrong


def worst(p0s: tuple[float, ...], alpha: float, boundaries: Boundaries, looks: tuple[int, ...]) -> float:
    """The most false claims, as a part of alpha, with p at each target and just above it, and in a tie."""
    ps = np.array([0.5, *p0s, *np.nextafter(p0s[:-1], 1)])
    return float(false_claims(boundaries, looks, p0s, ps).max()) / alpha


def setting(random: np.random.Generator, most: int = 2000) -> Setting:
    """1 to 6 targets, often close to each other and to 1/2, n from 8 to `most`, looks as they are or at random."""
    n = round(np.exp(random.uniform(np.log(8), np.log(most))))
    first = 0.5 + random.choice([0, 0.003, 0.01, 0.03, 0.1, 0.3]) * random.random()
    gaps = random.choice([1e-4, 0.001, 0.005, 0.02, 0.1]) * (1 - first) * random.random(random.integers(0, 6)) + 1e-6
    p0s = tuple(float(p) for p in first + np.cumsum([0, *gaps]))
    looks = geometric_looks(64, n)
    if n < 200 and random.random() < 0.5:
        looks = (*sorted({int(look) for look in random.integers(1, n, random.integers(0, 6))}), n)
    return p0s, float(random.choice([0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.3, 0.45])), looks


@pytest.mark.parametrize("seed", range(4))
def test_false_claims_stay_within_alpha(seed: int) -> None:
    """5,500 random settings for each seed, most of them of few votes, where what was once wrong was found."""
    random = np.random.default_rng(seed)
    for i in range(5500):
        p0s, alpha, looks = setting(random, 300 if i % 10 else 2000)
        assert worst(p0s, alpha, SequentialTest(p0s, alpha, looks).boundaries, looks) <= 1, (p0s, alpha, looks)


def shared_by_the_first(p0s: tuple[float, ...], alpha: float, looks: tuple[int, ...]) -> Boundaries:
    """As a first version had it: the share of alpha is what the first target allows."""
    for share in (0.98, 0.9, 0.75, 0.5):
        boundaries = [boundary(p0, share * alpha * SAFE, looks) for p0 in p0s]
        if worst(p0s[:1], alpha, boundaries[:1], looks) <= 1:
            break
    return boundaries


@pytest.mark.parametrize(
    ("p0s", "n", "alpha", "ratio"),
    [
        ((0.50621, 0.51227), 128, 0.05, 1.10699),
        ((0.5106678361746188, 0.5198753035956157), 28, 0.001, 1.14472),
        ((0.5297970699062632, 0.5556640908298747), 19, 0.2, 1.08130),
    ],
)
def test_every_target_counts(p0s: tuple[float, ...], n: int, alpha: float, ratio: float) -> None:
    """Settings in which the second target, at the share that the first allows, is claimed falsely too often."""
    looks = geometric_looks(64, n)
    assert worst(p0s, alpha, shared_by_the_first(p0s, alpha, looks), looks) == pytest.approx(ratio, rel=1e-4)
    assert worst(p0s, alpha, SequentialTest(p0s, alpha, looks).boundaries, looks) <= 1


def test_false_claims_of_a_few_hundred_settings() -> None:
    """The search above, in short."""
    random = np.random.default_rng(99)
    for _ in range(300):
        p0s, alpha, looks = setting(random)
        assert worst(p0s, alpha, SequentialTest(p0s, alpha, looks).boundaries, looks) <= 1, (p0s, alpha, looks)


def test_the_oracle_agrees_with_simulation() -> None:
    """200,000 runs of the procedure as `Target.draw` has it."""
    p0s, alpha, looks, p, runs = (0.52, 0.53, 0.56), 0.3, geometric_looks(8, 100, multiple=4), 0.525, 200_000
    boundaries = SequentialTest(p0s, alpha, looks).boundaries
    steps = np.random.default_rng(5).binomial(np.diff([0, *looks]), p, (runs, len(looks)))
    claimed, label = np.zeros(runs, int), np.zeros(runs, int)
    for look, n in enumerate(looks):
        votes = steps[:, : look + 1].sum(axis=1)
        votes = np.stack([votes, n - votes])
        label = np.where(claimed > 0, label, votes.argmax(axis=0))
        count = votes[label, np.arange(runs)]
        for j, bounds in enumerate(boundaries):
            claimed += (claimed == j) & (count >= bounds[look])
    wrong = int(((claimed > np.where(label == 0, 1, 0)) & (claimed > 0)).sum())
    expected = false_claims(boundaries, looks, p0s, np.array([p]))[0]
    assert stats.binomtest(wrong, runs, expected).pvalue > 1e-4


def false_claims_of_three(
    boundaries: Boundaries, looks: Sequence[int], p0s: Sequence[float], law: Sequence[float]
) -> float:
    """As `false_claims`, for three classes of given probabilities, the first of which alone may exceed 1/2."""
    size, seen, wrong = looks[-1] + 1, 0, 0.0
    a, b = np.indices((size, size))
    true = sum(p0 < law[0] for p0 in p0s)
    mass = np.zeros((len(p0s), size, size))  # by true targets claimed so far, all for A; by the votes for A and for B
    mass[0, 0, 0] = 1
    for look, n in enumerate(looks):
        outcomes = [(i, j) for i in range(n - seen + 1) for j in range(n - seen + 1 - i)]
        step = np.zeros((n - seen + 1, n - seen + 1))
        triples = [(i, j, n - seen - i - j) for i, j in outcomes]
        step[tuple(zip(*outcomes, strict=True))] = stats.multinomial.pmf(triples, n - seen, law)
        mass = np.stack([convolve2d(m, step)[:size, :size] for m in mass])
        seen, c = n, n - a - b
        for leads, votes in (((b > a) & (b >= c), b), ((c > a) & (c > b), c)):
            claims = leads & (votes >= boundaries[0][look])
            wrong += mass[0][claims].sum()
            mass[0][claims] = 0
        for claimed, bounds in enumerate(boundaries):
            claims = (a >= bounds[look]) & ((claimed > 0) | ((a >= b) & (a >= c)))
            moved, mass[claimed] = np.where(claims, mass[claimed], 0), np.where(claims, 0, mass[claimed])
            if claimed >= true:
                wrong += moved.sum()
            else:
                mass[claimed + 1] += moved
    return wrong


def test_three_classes_are_no_worse_than_two() -> None:
    """100 random settings of few votes, three laws each; and two of three classes are two classes."""
    random = np.random.default_rng(7)
    for _ in range(100):
        p0s, alpha, _ = setting(random)
        n = int(random.integers(4, 25))
        looks = (*sorted({int(look) for look in random.integers(1, n, 3)}), n)
        boundaries = SequentialTest(p0s, alpha, looks).boundaries
        two = worst(p0s, alpha, boundaries, looks)
        p = float(random.choice(p0s))
        others = (1 - p) * random.dirichlet([1.0, 0.3])
        for law in ((p, *others), (p, 1 - p, 0.0), (0.45, 0.45, 0.1)):
            three = false_claims_of_three(boundaries, looks, p0s, law) / alpha
            assert three <= max(two, 1e-12) * (1 + 1e-6), (p0s, alpha, looks, law)
            if law[2] == 0:
                assert three == pytest.approx(false_claims(boundaries, looks, p0s, np.array([p]))[0] / alpha, abs=1e-9)


def crossings(bounds: Sequence[int], looks: Sequence[int], ps: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(count >= bound at some look), for each p."""
    law, seen, crossed = np.ones((len(ps), 1)), 0, np.zeros(len(ps))
    for bound, n in zip(bounds, looks, strict=True):
        steps, seen = step_laws(n - seen, ps), n
        law = np.stack([np.convolve(row, step) for row, step in zip(law, steps, strict=True)])
        crossed += law[:, bound:].sum(axis=1)
        law = law[:, :bound]
    return crossed


@pytest.mark.parametrize("n", [1, 3, 5, 8, 16, 24, 64, 80, 96, 160, 300])
def test_any_number_of_classes_keeps_alpha_with_few_votes(n: int) -> None:
    """The worst split of the probability over any number of classes, by a knapsack over multiples of 1/120.

    A class that no target is true for counts by its crossing of the first boundary, the most probable one by that of
    its first false boundary.
    """
    parts, looks = 120, geometric_looks(64, n)
    firsts = [(p0,) for p0 in (0.5, 0.53, 0.55, 0.56, 0.6, 0.8, 0.97)]
    several = [(0.5, 0.51), (0.50621, 0.51227), (0.52, 0.53, 0.54, 0.57), (0.55, 0.6, 0.8), (0.51, 0.9)]
    for alpha, p0s in itertools.product((0.001, 0.01, 0.05, 0.2, 0.49), [*firsts, *several]):
        boundaries = SequentialTest(p0s, alpha, looks).boundaries
        grid = np.arange(parts + 1) / parts
        first = np.where(grid <= p0s[0] + 1e-12, crossings(boundaries[0], looks, grid), -np.inf)
        rest = np.zeros(parts + 1)  # the most that classes which no target is true for cross with, by their sum
        for total in range(1, parts + 1):
            one = np.arange(1, total + 1)
            rest[total] = (first[one] + rest[total - one]).max()
        worst_split = rest[parts]
        for p0, bounds in zip(p0s, boundaries, strict=True):  # where a class is at a target, the rest a little too much
            worst_split = max(worst_split, crossings(bounds, looks, np.array([p0]))[0] + rest[int((1 - p0) * parts)])
        assert worst_split <= alpha, (alpha, p0s)


def test_usual_settings_pay_two_percent() -> None:
    """Radii as people ask for them, at 1,000 votes and more."""
    radii = np.array([0.25, 0.5, 0.75, 1.0, 1.5, 2.0])
    for sigma, n, alpha in itertools.product((0.12, 0.25, 0.5, 1.0), (1000, 10_000, 100_000), (0.001, 0.05)):
        p0s = tuple(float(p) for p in stats.norm.cdf(radii / sigma) if p < 1)
        assert SequentialTest(p0s, alpha, geometric_looks(64, n)).share == 0.98
