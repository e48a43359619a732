"""Bounds from counts. Oracles: scipy.stats.binomtest, mpmath, exact enumeration in rationals, simulation."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from math import comb

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtri

from smoothcert.bounds.confidence import (
    BOUNDS,
    SAFE,
    Bound,
    SequentialTest,
    binomial_p_value,
    binomial_ppf,
    boundary,
    crossing_probability,
    geometric_looks,
    lower_confidence_bound,
    margin,
    upper_confidence_bound,
)

ALPHAS = (0.001, 0.05, 0.3)
SIZES = (1, 2, 5, 30, 200)


# --- Clopper-Pearson --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [1e-6, *ALPHAS])
@pytest.mark.parametrize("n", [1, 2, 10, 1000, 100_000])
def test_lower_bound_agrees_with_binomtest(n: int, alpha: float) -> None:
    """Oracle: binomtest(alternative="greater").proportion_ci."""
    for k in {0, 1, n // 2, n - 1, n}:
        ours = lower_confidence_bound(k, n, alpha)
        theirs = stats.binomtest(k, n, alternative="greater").proportion_ci(1 - alpha).low
        assert ours == pytest.approx(theirs, rel=1e-7, abs=5e-12)  # what binomtest's root finder resolves
        upper = stats.binomtest(k, n, alternative="less").proportion_ci(1 - alpha).high
        assert upper_confidence_bound(k, n, alpha) == pytest.approx(upper, rel=1e-7, abs=5e-12)


@pytest.mark.parametrize(
    ("n", "p_lower", "quantile"),
    [(100_000, 0.999930924833, 3.811456563), (10_000, 0.999309463003, 3.198577515)],
)
def test_lower_bound_when_all_agree(n: int, p_lower: float, quantile: float) -> None:
    """Oracle: alpha^(1/n), alpha = 0.001, and its normal quantile."""
    ours = lower_confidence_bound(n, n, 0.001)
    assert ours == pytest.approx(p_lower, abs=2e-12)
    assert ours == pytest.approx(0.001 ** (1 / n), rel=1e-12)
    assert ndtri(ours) == pytest.approx(quantile, abs=2e-9)


def tail(k: int, n: int, p: float) -> mp.mpf:
    """P(Binomial(n, p) >= k), summed over its shorter side to 40 digits."""
    q = mp.mpf(p)
    above = range(k, n + 1)
    shorter = above if len(above) < k else range(k)
    side = mp.fsum(mp.binomial(n, i) * q**i * (1 - q) ** (n - i) for i in shorter)
    return side if shorter is above else 1 - side


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("n", [1, 2, 17, 100, 600, 100_000, 1_000_000, 10_000_000])
def test_lower_bound_is_on_the_safe_side_by_a_billionth(n: int, alpha: float) -> None:
    """Oracle: the binomial tail at the bound, in 40 digits: below alpha, by no more than the margin asked for."""
    middle = {n // 3, n // 2, n * 9 // 10} if n < 1000 else set()
    with mp.workdps(40):
        for k in {1, 2, *middle, n - 1, n} & set(range(1, n + 1)):
            at_lower = tail(k, n, lower_confidence_bound(k, n, alpha)) / mp.mpf(alpha)
            slack = mp.mpf(3e-9) + 3e-16 * n  # a few units in the last place of a bound near 1
            assert 1 - slack < at_lower < 1
            if (
                n <= 10_000_000 and 2 * k > n
            ):  # a runner-up's few votes; near 1, where nothing can be certified, doubles are too coarse
                at_upper = (1 - tail(n - k + 1, n, upper_confidence_bound(n - k, n, alpha))) / mp.mpf(alpha)
                assert 1 - mp.mpf(3e-9) < at_upper < 1


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("n", [10**8, 10**9, 2**31 - 1])
def test_lower_bound_is_safe_where_doubles_are_coarse(n: int, alpha: float) -> None:
    """Oracle: all n agree with probability p^n, in 40 digits, at most alpha for p below the bound."""
    with mp.workdps(40):
        assert mp.mpf(lower_confidence_bound(n, n, alpha)) ** n < alpha


@cache
def pmf(n: int, p: float) -> np.ndarray:
    return stats.binom.pmf(np.arange(n + 1), n, p)


def lower_error(n: int, p: float, bound: Callable[[int], float]) -> float:
    """P(bound(K) > p), K ~ Binomial(n, p): summed over every K."""
    return float(sum(w for k, w in enumerate(pmf(n, p)) if bound(k) > p))


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("n", SIZES)
def test_lower_bound_covers(n: int, alpha: float) -> None:
    """Exact coverage; worst just below each value that the bound takes, where it comes within 1e-6 of alpha."""
    bounds = [lower_confidence_bound(k, n, alpha) for k in range(n + 1)]
    worst = [b * (1 - 1e-12) for b in bounds[1:]]
    errors = [lower_error(n, p, bounds.__getitem__) for p in [*worst, *np.linspace(0.001, 0.999, 97)]]
    assert max(errors) <= alpha
    assert max(errors) > alpha * (1 - 1e-6)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("n", SIZES)
def test_upper_bound_covers(n: int, alpha: float) -> None:
    """Exact coverage of 1 - p by the mirror image."""
    bounds = [upper_confidence_bound(k, n, alpha) for k in range(n + 1)]
    for p in [*(b * (1 + 1e-12) for b in bounds[:-1]), *np.linspace(0.001, 0.999, 97)]:
        assert sum(w for k, w in enumerate(pmf(n, min(p, 1.0))) if bounds[k] < p) <= alpha


def test_coverage_check_sees_a_bound_that_is_too_high() -> None:
    """The bounds of 1.05 alpha, and of k + 1 successes, fail the check above."""
    n, alpha = 200, 0.05
    for wrong in (
        lambda k: lower_confidence_bound(k, n, 1.05 * alpha),
        lambda k: lower_confidence_bound(min(k + 1, n), n, alpha),
        lambda k: k / n - 1.645 * np.sqrt(k / n * (1 - k / n) / n),  # the normal approximation
    ):
        worst = [max(wrong(k) * (1 - 1e-12), 1e-9) for k in range(1, n + 1)]
        assert max(lower_error(n, p, wrong) for p in worst) > alpha


@pytest.mark.parametrize(
    ("k", "n", "alpha"), [(-1, 5, 0.05), (6, 5, 0.05), (0, 0, 0.05), (1, 5, 0.0), (1, 5, 0.5), (1, 5, float("nan"))]
)
def test_lower_bound_refuses(k: int, n: int, alpha: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        lower_confidence_bound(k, n, alpha)


# --- Margin -----------------------------------------------------------------------------------------------------------

LAWS = {
    "three-way tie": (1 / 3, 1 / 3, 1 / 3),
    "two-way tie": (0.5, 0.5, 0.0),
    "near tie": (0.45, 0.44, 0.11),
    "below half": (0.46, 0.3, 0.24),
    "clear": (0.8, 0.15, 0.05),
    "two small": (0.9, 0.05, 0.05),
    "nearly all": (0.98, 0.01, 0.01),
    "class behind": (0.2, 0.5, 0.3),
    "four": (0.4, 0.2, 0.2, 0.2),
    "six": (0.5, 0.1, 0.1, 0.1, 0.1, 0.1),
}


def multinomial(n: int, law: tuple[float, ...]) -> list[tuple[tuple[int, ...], float]]:
    """Every outcome of n draws from the law, with its probability."""
    outcomes = []
    for ends in itertools.combinations(range(n + len(law) - 1), len(law) - 1):
        edges = (-1, *ends, n + len(law) - 1)
        outcomes.append(tuple(b - a - 1 for a, b in itertools.pairwise(edges)))
    return list(zip(outcomes, stats.multinomial.pmf(outcomes, n, law), strict=True))


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_margin_covers(law: tuple[float, ...], alpha: float, bound: Bound) -> None:
    """Exact, over every multinomial outcome: p_lower <= p of the class and p_upper >= p of the runner-up."""
    n = {3: 60, 4: 25, 6: 10}[len(law)]
    error = 0.0
    for counts, weight in multinomial(n, law):
        p_lower, p_upper = margin(counts[0], max(counts[1:]), n, alpha, bound)
        error += weight * (p_lower > law[0] or (bound == "two-sided" and p_upper < max(law[1:])))
    assert error <= alpha


def test_margin_check_sees_a_bound_on_the_wrong_class() -> None:
    """p_upper from the least other count is no bound on the runner-up."""
    law, n, alpha, error = (0.6, 0.3, 0.1), 60, 0.05, 0.0
    for counts, weight in multinomial(n, law):
        p_lower, p_upper = margin(counts[0], min(counts[1:]), n, alpha, "two-sided")
        error += weight * (p_lower > law[0] or p_upper < max(law[1:]))
    assert error > alpha


def test_margin_of_many_classes_by_simulation() -> None:
    """100,000 draws of 20 classes, n = 500: the runner-up among many equals costs nothing."""
    alpha, n, runs = 0.05, 500, 100_000
    law = np.array([0.24, *[0.04] * 19])
    counts = np.random.default_rng(3).multinomial(n, law, runs)
    pairs, times = np.unique(np.stack([counts[:, 0], counts[:, 1:].max(axis=1)], axis=1), axis=0, return_counts=True)
    wrong = 0
    for (k, other), t in zip(pairs.tolist(), times.tolist(), strict=True):
        p_lower, p_upper = margin(k, other, n, alpha, "two-sided")
        wrong += t * (p_lower > law[0] or p_upper < law[1])
    assert stats.binomtest(wrong, runs, alpha, alternative="greater").pvalue > 1e-3


@given(st.integers(1, 5000), st.data(), st.sampled_from([0.001, 0.05]))
def test_margin_is_consistent(n: int, data: st.DataObject, alpha: float) -> None:
    k = data.draw(st.integers(0, n))
    other = data.draw(st.integers(0, n - k))
    p_lower, p_upper = margin(k, other, n, alpha, "one-sided")
    assert (p_lower, p_upper) == (lower_confidence_bound(k, n, alpha), 1 - p_lower)
    low, high = margin(k, other, n, alpha, "two-sided")
    assert low == lower_confidence_bound(k, n, 0.8 * alpha)
    assert high == min(1 - low, upper_confidence_bound(other, n, 0.2 * alpha))


def test_margin_refuses_another_bound() -> None:
    with pytest.raises(ValueError, match="bound: expected one of one-sided, two-sided, got 'both'"):
        margin(5, 1, 10, 0.05, "both")  # type: ignore[arg-type]


# --- p-value and quantile ---------------------------------------------------------------------------------------------


def test_p_value_agrees_with_binomtest() -> None:
    """Oracle: binomtest(k, n, 1/2).pvalue."""
    pairs = [(k, n) for n in range(1, 41) for k in range(n + 1)]
    pairs += [(n // 2 + d, n) for n in (999, 1000, 100_000) for d in (-300, -100, -1, 0, 1, 2, 33, 200)]
    for k, n in pairs:
        assert binomial_p_value(k, n) == pytest.approx(stats.binomtest(k, n, 0.5).pvalue, rel=1e-9), (k, n)
    assert binomial_p_value(0, 0) == 1


@pytest.mark.parametrize("alpha", [0.001, 0.05])
def test_p_value_rejects_a_tie_no_more_often_than_alpha(alpha: float) -> None:
    for n in range(1, 200):
        rejected = sum(w for k, w in enumerate(pmf(n, 0.5)) if binomial_p_value(k, n) <= alpha)
        assert rejected <= alpha * (1 + 1e-12)


def test_quantile_agrees_with_scipy() -> None:
    """Oracle: scipy.stats.binom.ppf."""
    for m, p, level in itertools.product((1, 10, 360, 10_000), (0.001, 0.05), (0.5, 0.95, 0.999)):
        assert binomial_ppf(level, m, p) == stats.binom.ppf(level, m, p)


# --- Looks ------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 500), st.integers(1, 200_000), st.floats(1.01, 3.0), st.sampled_from([1, 2, 32, 64]))
def test_looks_ascend_to_the_last(first: int, last: int, growth: float, multiple: int) -> None:
    looks = geometric_looks(first, last, growth, multiple)
    assert looks[-1] == last
    assert all(a < b for a, b in itertools.pairwise(looks))
    assert all(n % multiple == 0 for n in looks[:-1])
    assert looks[0] >= min(first, last)
    # Growing as asked, up to the rounding to multiples: neither skips nor crowds.
    assert all(b <= (a + 1) * growth + multiple for a, b in itertools.pairwise(looks))
    assert len(looks) <= 3 + np.log(max(last / first, 1)) / np.log(growth)


def test_looks_of_the_default_schedule() -> None:
    looks = geometric_looks(64, 100_000)
    assert looks[:5] == (64, 96, 128, 160, 192)
    assert looks[-1] == 100_000
    assert 30 <= len(looks) <= 36
    assert geometric_looks(64, 50) == (50,)


# --- The crossing programme -------------------------------------------------------------------------------------------

EVERY_VOTE = tuple(range(1, 41))


@cache
def exact_law(m: int, p: Fraction) -> list[Fraction]:
    return [comb(m, k) * p**k * (1 - p) ** (m - k) for k in range(m + 1)]


def exact_crossing(bounds: tuple[int, ...], looks: tuple[int, ...], p: Fraction) -> list[Fraction]:
    """P(crossed by look j), j = 1..K, in rational arithmetic: the naive programme, every count kept."""
    law, seen, crossed, by_look = {0: Fraction(1)}, 0, Fraction(0), []
    for b, n in zip(bounds, looks, strict=True):
        step, after = exact_law(n - seen, p), {}
        for c, w in law.items():
            for k, v in enumerate(step):
                after[c + k] = after.get(c + k, Fraction(0)) + w * v
        crossed += sum((w for c, w in after.items() if c >= b), Fraction(0))
        law, seen = {c: w for c, w in after.items() if c < b}, n
        by_look.append(crossed)
    return by_look


SMALL = {
    "every vote": EVERY_VOTE,
    "tens": (10, 20, 30, 40),
    "uneven": (3, 4, 17, 40),
    "one look": (40,),
}


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("p0", [Fraction(1, 2), Fraction(11, 20), Fraction(4, 5), Fraction(19, 20)], ids=str)
@pytest.mark.parametrize("looks", SMALL.values(), ids=SMALL)
def test_boundary_against_rationals(looks: tuple[int, ...], p0: Fraction, alpha: float) -> None:
    """The programme's own crossing probability, the spending rule kept at every look, and no count to spare."""
    bounds = boundary(float(p0), alpha, looks)
    crossed = exact_crossing(bounds, looks, p0)
    assert crossing_probability(bounds, looks, float(p0)) == pytest.approx(float(crossed[-1]), rel=1e-12, abs=1e-15)
    spend = [alpha * j / (2 * len(looks)) for j in range(1, len(looks))] + [alpha]
    assert all(float(c) <= s for c, s in zip(crossed, spend, strict=True))
    for j, b in enumerate(bounds):
        lower = (*bounds[:j], b - 1)
        assert float(exact_crossing(lower, looks[: j + 1], p0)[-1]) > spend[j], "a smaller count would do"


@pytest.mark.parametrize("p", [Fraction(1, 10), Fraction(1, 2), Fraction(7, 10), Fraction(99, 100)], ids=str)
def test_crossing_probability_against_rationals_at_other_p(p: Fraction) -> None:
    for looks in SMALL.values():
        bounds = boundary(0.6, 0.05, looks)
        exact = float(exact_crossing(bounds, looks, p)[-1])
        assert crossing_probability(bounds, looks, float(p)) == pytest.approx(exact, rel=1e-9, abs=1e-14)


def simulated_crossings(bounds: tuple[int, ...], looks: tuple[int, ...], p: float, runs: int, seed: int) -> int:
    """Runs of Binomial votes that cross at any look."""
    rng = np.random.default_rng(seed)
    steps = rng.binomial(np.diff([0, *looks]), p, (runs, len(looks)))
    return int((np.cumsum(steps, axis=1) >= np.array(bounds)).any(axis=1).sum())


@pytest.mark.parametrize("p", [0.5, 0.6, 0.63])
def test_crossing_probability_against_simulation(p: float) -> None:
    looks = geometric_looks(64, 2000)
    bounds = boundary(0.6, 0.05, looks)
    crossed = simulated_crossings(bounds, looks, p, 200_000, 1)
    expected = crossing_probability(bounds, looks, p)
    assert stats.binomtest(crossed, 200_000, expected).pvalue > 1e-4


P0S = (0.5, 0.5001, 0.55, 0.6, 0.75, 0.9, 0.99, 0.999, 0.9999, 0.99993)
SCHEDULES = {
    "n=1": (1,),
    "n=10": geometric_looks(64, 10),
    "n=100": geometric_looks(64, 100),
    "n=1000": geometric_looks(64, 1000),
    "n=10,000": geometric_looks(64, 10_000),
    "n=100,000": geometric_looks(64, 100_000),
    "every vote to 300": tuple(range(1, 301)),
    "one look": (5000,),
    "sparse": (1, 2, 5000, 5001),
}


@pytest.mark.parametrize("alpha", [1e-6, 0.001, 0.05, 0.3])
@pytest.mark.parametrize("looks", SCHEDULES.values(), ids=SCHEDULES)
def test_boundary_keeps_alpha(looks: tuple[int, ...], alpha: float) -> None:
    """P(crossing) at p0 is at most alpha for every p0, and most of it is spent where counts are fine enough."""
    for p0 in P0S:
        bounds = boundary(p0, alpha, looks)
        assert len(bounds) == len(looks)
        assert all(0 < b <= n + 1 for b, n in zip(bounds, looks, strict=True))
        crossed = crossing_probability(bounds, looks, p0)
        assert crossed <= alpha * (1 + 1e-12)
        if min(p0, 1 - p0) * looks[-1] > 400 and alpha >= 0.001:
            assert crossed > 0.75 * alpha


@pytest.mark.parametrize("p0", [0.55, 0.9, 0.99])
def test_one_look_is_the_binomial_test(p0: float) -> None:
    """Oracle: the least k with Clopper-Pearson's lower bound above p0."""
    n, alpha = 5000, 0.001
    (b,) = boundary(p0, alpha * SAFE, (n,))
    assert lower_confidence_bound(b - 1, n, alpha) <= p0 < lower_confidence_bound(b, n, alpha)


def test_crossing_check_sees_a_bound_tested_at_every_look() -> None:
    """The fixed-n bound at full alpha at each look, as one published code base had it, crosses many times too often."""
    looks = tuple(range(100, 10_001, 100))
    naive = tuple(boundary(0.8, 0.001, (n,))[0] for n in looks)
    assert crossing_probability(naive, looks, 0.8) > 0.01
    assert crossing_probability(boundary(0.8, 0.001, looks), looks, 0.8) <= 0.001


@pytest.mark.parametrize("p0", [0.5, 0.6, 0.9, 0.999])
def test_crossing_grows_with_p(p0: float) -> None:
    for looks in (geometric_looks(64, 1000), tuple(range(1, 101)), (7, 500)):
        bounds = boundary(p0, 0.05, looks)
        values = [crossing_probability(bounds, looks, p) for p in np.linspace(0.01, 0.99, 60)]
        assert all(a <= b + 1e-12 for a, b in itertools.pairwise(values))
        assert crossing_probability(bounds, looks, 0.0) == 0
        assert crossing_probability(bounds, looks, 1.0) == pytest.approx(float(any(map(int.__le__, bounds, looks))))


# --- The sequential test ----------------------------------------------------------------------------------------------

FIRST_P0S = (0.5, 0.5000001, 0.52, 0.54, 0.5499, 0.55, 0.56, 0.58, 0.6, 0.65, 0.7, 0.8, 0.9, 0.99)


def worst_two_class_error(p0: float, alpha: float, n: int) -> float:
    """Largest P(class A crosses) + P(class B crosses), p_A + p_B = 1 and both at most p0, as a part of alpha."""
    test = SequentialTest((p0,), alpha, geometric_looks(64, n))
    (bounds,) = test.boundaries
    sums = (
        crossing_probability(bounds, test.looks, p) + crossing_probability(bounds, test.looks, 1 - p)
        for p in np.linspace(0.5, p0, 9)
    )
    return max(sums) / alpha


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [1e-4, 0.001, 0.01, 0.05, 0.1, 0.3])
@pytest.mark.parametrize("n", [100, 300, 1000, 10_000, 100_000])
def test_following_the_favourite_keeps_alpha(n: int, alpha: float) -> None:
    """What `SequentialTest.share` promises, by the exact programme: a false claim by either of two classes."""
    for p0 in FIRST_P0S:
        assert worst_two_class_error(p0, alpha, n) <= 1, p0


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.49])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 10, 15, 20, 30, 40, 50, 64, 80])
def test_following_the_favourite_keeps_alpha_with_few_votes(n: int, alpha: float) -> None:
    """As above where counts are coarse: a second class at 1 - p0 may cross more often than 2 % of alpha."""
    for p0 in FIRST_P0S:
        assert worst_two_class_error(p0, alpha, n) <= 1, p0


def test_favourite_check_sees_that_nothing_is_charged() -> None:
    """At p0 = 1/2 two classes cross boundaries of the whole alpha nearly twice as often."""
    looks = geometric_looks(64, 1000)
    bounds = boundary(0.5, 0.05, looks)
    assert 2 * crossing_probability(bounds, looks, 0.5) > 1.8 * 0.05


@pytest.mark.parametrize("classes", [3, 4, 10])
@pytest.mark.parametrize("p0", [0.5, 0.52, 0.55, 0.7])
def test_two_classes_are_the_worst_case(p0: float, classes: int) -> None:
    """Over random laws with every p_k <= p0, the sum of the classes' crossings is largest for p0 and 1 - p0."""
    rng = np.random.default_rng(classes)
    laws = rng.dirichlet(np.full(classes, 0.4), 400)
    near = np.zeros((100, classes))  # two classes share nearly all
    near[:, 0] = p0
    near[:, 1:] = (1 - p0) * rng.dirichlet([8.0, *[0.1] * (classes - 2)], 100)
    laws = np.concatenate([laws, near, np.full((1, classes), 1 / classes)])
    laws = laws[laws.max(axis=1) <= p0]
    assert len(laws) > 100
    for alpha, n in ((0.001, 1000), (0.05, 300), (0.05, 3000)):
        test = SequentialTest((p0,), alpha, geometric_looks(64, n))
        (bounds,) = test.boundaries
        grid = np.linspace(0, p0, 400)
        # Rounded up to the grid: crossing grows with p, so the sum is bounded from above.
        values = np.array([crossing_probability(bounds, test.looks, p) for p in grid])
        sums = values[np.searchsorted(grid, laws - 1e-12)].sum(axis=1)
        two = values[-1] + crossing_probability(bounds, test.looks, 1 - p0)
        assert sums.max() <= two * (1 + 1e-9) + (values[1:] - values[:-1]).max()
        assert sums.max() <= alpha


@given(st.lists(st.floats(0.5, 0.999), min_size=1, max_size=4, unique=True), st.sampled_from([0.001, 0.05]), st.data())
@settings(deadline=None, max_examples=60)
def test_claims_go_in_order_and_stay(p0s: list[float], alpha: float, data: st.DataObject) -> None:
    """Claims are those of the boundaries, one after the other; more votes never claim less."""
    test = SequentialTest(tuple(sorted(p0s)), alpha, geometric_looks(64, 1000))
    j = data.draw(st.integers(0, len(test.looks) - 1))
    n = test.looks[j]
    count = data.draw(st.integers(0, n))
    claimed = data.draw(st.integers(0, len(p0s)))
    after = test.claims(n, count, claimed)
    expected = claimed
    for bounds in test.boundaries[claimed:]:
        if count < bounds[j]:
            break
        expected += 1
    assert after == expected >= claimed
    assert test.claims(n, min(count + 1, n), claimed) >= after


def reaching(needed: int, left: int, p: float) -> float:
    return float(stats.binom.sf(needed - 1, left, p))


@given(st.floats(0.5, 0.99), st.integers(0, 14), st.floats(0, 1), st.sampled_from([0.001, 0.05]))
@settings(deadline=None, max_examples=200)
def test_futile_means_out_of_reach(p0: float, look: int, share: float, alpha: float) -> None:
    """Oracle: binom.sf at binomtest's 98 % upper bound. Never futile where the last boundary is already reached."""
    test = SequentialTest((p0,), alpha, geometric_looks(64, 1000))
    n = test.looks[min(look, len(test.looks) - 1)]
    count, last = int(share * n), test.boundaries[0][-1]
    p_upper = stats.binomtest(count, n, alternative="less").proportion_ci(0.98).high
    chance = reaching(last - count, test.looks[-1] - n, p_upper)
    if abs(chance - 0.02) > 1e-6:
        assert test.futile(n, count, 0) == (chance < 0.02)


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 1.0))
@settings(deadline=None, max_examples=100)
def test_futility_takes_back_no_claim(seed: int, p: float) -> None:
    """The same votes with and without early stopping: stopped, the claims are those made up to there."""
    test = SequentialTest((0.55, 0.7, 0.9), 0.05, geometric_looks(64, 2000))
    counts = np.cumsum(np.random.default_rng(seed).binomial(np.diff([0, *test.looks]), p)).tolist()
    claimed, history = 0, []
    for n, count in zip(test.looks, counts, strict=True):
        claimed = test.claims(n, count, claimed)
        history.append(claimed)
    stopped = 0
    for j, (n, count) in enumerate(zip(test.looks, counts, strict=True)):
        stopped = test.claims(n, count, stopped)
        assert stopped == history[j]
        if stopped == 3 or test.futile(n, count, stopped):
            break
    assert stopped <= claimed


@pytest.mark.parametrize(("p", "p0"), [(0.62, 0.6), (0.66, 0.6), (0.93, 0.9)])
def test_futility_seldom_costs_a_claim(p: float, p0: float) -> None:
    """20,000 simulated runs: stopping early loses under 2.5 % of the claims that all n votes would have made."""
    test = SequentialTest((p0,), 0.05, geometric_looks(64, 3000))
    rng = np.random.default_rng(9)
    paths = np.cumsum(rng.binomial(np.diff([0, *test.looks]), p, (20_000, len(test.looks))), axis=1)
    crossed = paths >= np.array(test.boundaries[0])
    futile = np.zeros_like(crossed)
    for j, n in enumerate(test.looks):
        values, where = np.unique(paths[:, j], return_inverse=True)
        futile[:, j] = np.array([test.futile(n, int(v), 0) for v in values])[where]
    first_crossing = np.where(crossed.any(axis=1), crossed.argmax(axis=1), len(test.looks))
    first_futile = np.where(futile.any(axis=1), futile.argmax(axis=1), len(test.looks))
    lost = (first_futile < first_crossing) & crossed.any(axis=1)
    assert 0 <= lost.mean() < 0.025


@pytest.mark.parametrize(
    ("p0s", "alpha", "message"),
    [
        ((), 0.05, "targets: expected at least one"),
        ((0.4, 0.6), 0.05, "targets: expected 1/2 <= p0_1"),
        ((0.6, 0.6), 0.05, "targets: expected 1/2 <= p0_1"),
        ((0.6, 1.0), 0.05, "targets: expected every p0 below 1"),
        ((0.6,), 0.5, "alpha: expected"),
    ],
    ids=["none", "below half", "not ascending", "one", "alpha"],
)
def test_sequential_test_refuses(p0s: tuple[float, ...], alpha: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SequentialTest(p0s, alpha, (10,))
