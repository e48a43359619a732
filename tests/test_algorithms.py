"""Decisions from given evidence. Oracles: scipy.stats.binomtest, the sequential boundaries, hand-made counts."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from smoothcert import ABSTAIN, Noise, compose
from smoothcert.algorithms import ALGORITHMS, Algorithm, Fixed, Predict, Radius, Target
from smoothcert.bounds.confidence import Bound
from smoothcert.certification import sampler_of
from smoothcert.evidence import Counts, Evidence, Look
from smoothcert.inputs.input import Input
from smoothcert.model.classifier import CallableClassifier
from smoothcert.runs.question import Question

SMOOTHING = compose(Noise(0.5))


def evidence(mode: str, selection: Counts, estimation: Counts, *looks: Look) -> Evidence:
    return Evidence(mode, estimation, selection, looks)


def exact(k: int, n: int, alpha: float) -> float:
    return float(binomtest(k, n, alternative="greater").proportion_ci(1 - alpha).low)


def test_fixed_is_certify_of_cohen() -> None:
    votes = evidence("fixed", {3: 90, 5: 10}, {3: 9_000, 5: 600, 7: 400})
    certificate = Fixed(100, 10_000).decide(votes, SMOOTHING)
    p_lower = exact(9_000, 10_000, 0.001)
    assert certificate.prediction == 3
    assert certificate.p_lower == pytest.approx(p_lower, rel=1e-8)
    assert certificate.p_lower < p_lower
    assert certificate.radius == pytest.approx(0.5 * norm.ppf(p_lower), rel=1e-7)
    assert (certificate.alpha, certificate.smoothing, certificate.reason) == (0.001, SMOOTHING.recipe, "")
    assert certificate.evidence is votes
    assert certificate.algorithm == {"mode": "fixed", "n0": 100, "n": 10_000, "alpha": 0.001, "bound": "one-sided"}


def test_fixed_takes_its_class_from_selection_alone() -> None:
    """The favourite of the estimation sample is another class: certifying it would use the sample twice."""
    certificate = Fixed(100, 1000).decide(evidence("fixed", {1: 51, 2: 49}, {2: 990, 1: 10}), SMOOTHING)
    assert (certificate.prediction, certificate.radius) == (ABSTAIN, 0.0)
    assert certificate.reason == "no majority: class 1 got 10 of 1000 votes"


def test_a_class_that_estimation_never_saw() -> None:
    assert Fixed(10, 1000).decide(evidence("fixed", {1: 10}, {2: 1000}), SMOOTHING).prediction == ABSTAIN


def test_two_sided_certifies_below_one_half() -> None:
    votes = evidence("fixed", {0: 100}, {0: 4_500, 1: 1_900, 2: 1_800, 3: 1_800})
    assert Fixed(100, 10_000).decide(votes, SMOOTHING).prediction == ABSTAIN
    certificate = Fixed(100, 10_000, bound="two-sided").decide(votes, SMOOTHING)
    p_lower, p_upper = exact(4_500, 10_000, 0.0008), 1 - exact(8_100, 10_000, 0.0002)
    assert certificate.prediction == 0
    assert certificate.radius == pytest.approx(0.25 * (norm.ppf(p_lower) - norm.ppf(p_upper)), rel=1e-6)


def test_slack_is_taken_off() -> None:
    votes = evidence("fixed", {0: 100}, {0: 9_990, 1: 10})
    without = Fixed(100, 10_000).decide(votes, SMOOTHING)
    with_ = Fixed(100, 10_000).decide(replace(votes, slack=1e-4), SMOOTHING)
    assert with_.p_lower == pytest.approx(without.p_lower - 1e-4, rel=1e-12)
    assert with_.p_upper == pytest.approx(without.p_upper + 1e-4, rel=1e-9)
    assert with_.radius < without.radius


@pytest.mark.parametrize(
    ("agreeing", "low", "high"),
    [(1000, 40_000, 55_000), (990, 3_000, 12_000), (900, 3_000, 15_000), (520, 60_000, 100_000)],
)
@pytest.mark.parametrize("bound", ["one-sided", "two-sided"])
def test_radius_draws_as_few_as_reach_95_percent(agreeing: int, low: int, high: int, bound: str) -> None:
    algorithm = Radius(bound=bound)  # type: ignore[arg-type]
    pilot = {0: agreeing, 1: 1000 - agreeing}
    n = algorithm.second_stage(pilot, SMOOTHING)
    share = agreeing / 1000

    def expected(size: int) -> float:
        votes = evidence("fixed", {0: 1}, {0: int(share * size), 1: int((1 - share) * size)})
        total = sum(votes.estimation.values())
        return Fixed(1, total, bound=bound).decide(votes, SMOOTHING).radius  # type: ignore[arg-type]

    assert low <= n <= high
    assert expected(n) >= 0.949 * expected(100_000)
    assert expected(int(0.9 * n)) < 0.95 * expected(100_000)


def test_radius_stops_after_a_hopeless_pilot() -> None:
    assert Radius().second_stage({0: 480, 1: 520 - 60, 2: 60}, SMOOTHING) == 0
    certificate = Radius().decide(evidence("radius", {0: 480, 1: 460, 2: 60}, {}), SMOOTHING)
    assert (certificate.prediction, certificate.radius) == (ABSTAIN, 0.0)
    assert certificate.reason == "futile: class 0 got 480 of 1000 pilot votes"


def looks_of(algorithm: Target, p: float, seed: int) -> tuple[Look, ...]:
    rng = np.random.default_rng(seed)
    looks, count, seen = [], 0, 0
    for n in algorithm.test(SMOOTHING).looks:
        count, seen = count + int(rng.binomial(n - seen, p)), n
        looks.append(Look(n, 4, count))
    return tuple(looks)


def test_target_claims_in_order_at_the_boundaries() -> None:
    algorithm = Target((0.25, 0.5, 1.0), n=10_000)
    test = algorithm.test(SMOOTHING)
    first, second, third = test.boundaries
    at = 3
    for count, claimed in [(first[at] - 1, 0), (first[at], 1), (second[at] - 1, 1), (second[at], 2)]:
        looks = (*(Look(n, 4, min(n // 2, count)) for n in test.looks[:at]), Look(test.looks[at], 4, count))
        votes = evidence("target", {}, {4: count, 0: test.looks[at] - count}, *looks)
        certificate = algorithm.decide(votes, SMOOTHING)
        assert certificate.radius == (0.0, 0.25, 0.5, 1.0)[claimed]
        assert certificate.prediction == (4 if claimed else ABSTAIN)
    assert all(a <= b <= c for a, b, c in zip(first, second, third, strict=True))


def test_target_says_why_it_abstains() -> None:
    algorithm = Target((0.5,), n=1000)
    looks = looks_of(algorithm, 0.5, 1)
    votes = evidence("target", {}, {4: looks[-1].count, 0: 1000 - looks[-1].count}, *looks)
    assert algorithm.decide(votes, SMOOTHING).reason.startswith("target missed: class 4 got ")
    votes = evidence("target", {}, {4: looks[1].count, 0: looks[1].n - looks[1].count}, *looks[:2])
    assert algorithm.decide(votes, SMOOTHING).reason.startswith("futile: class 4 got ")


def test_a_claimed_target_echoes_its_p_star() -> None:
    algorithm = Target((0.25, 0.5), n=5000)
    looks = looks_of(algorithm, 0.99, 2)[:8]
    votes = evidence("target", {}, {4: looks[-1].count, 0: looks[-1].n - looks[-1].count}, *looks)
    certificate = algorithm.decide(votes, SMOOTHING)
    assert certificate.radius == 0.5
    assert certificate.p_lower == pytest.approx(SMOOTHING.p_star({"noise": 0.5}), rel=1e-12)


@pytest.mark.parametrize(
    ("counts", "prediction"),
    [({0: 60, 1: 40}, ABSTAIN), ({0: 80, 1: 20}, 0), ({2: 50, 1: 50}, ABSTAIN), ({1: 40, 0: 10, 2: 10, 3: 10}, 1)],
)
def test_predict_is_hung_and_fithian(counts: Counts, prediction: int) -> None:
    top_two = sorted(counts.values())[-2:]
    oracle = binomtest(max(top_two), sum(top_two), 0.5).pvalue <= 0.001
    certificate = Predict(sum(counts.values())).decide(evidence("predict", {}, counts), SMOOTHING)
    assert certificate.prediction == prediction
    assert (prediction != ABSTAIN) == oracle
    assert bool(certificate.reason) == (prediction == ABSTAIN)


@pytest.mark.parametrize(
    ("algorithm", "largest"),
    [
        (Fixed(n=100_000), 0.5 * 3.811456563),
        (Fixed(n=9), 0.0),
        (Fixed(n=10), 0.5 * norm.ppf(0.001 ** (1 / 10))),
        (Fixed(n=10, bound="two-sided"), 0.0),
        (Radius(n=10_000), 0.5 * 3.198577515),
        (Target((0.25, 0.5, 3.0)), 0.5),
        (Target((3.0,)), 0.0),
        (Target((30.0,)), 0.0),
        (Predict(10), 0.0),
        (Predict(11), float("inf")),
    ],
    ids=repr,
)
def test_preflight_reach(algorithm: Algorithm, largest: float) -> None:
    assert algorithm.largest(SMOOTHING) == pytest.approx(largest, rel=1e-5)


@pytest.mark.parametrize("algorithm", [Fixed(), Radius(bound="two-sided"), Target((0.1, 0.2)), Predict()], ids=repr)
def test_recipes_come_back(algorithm: Algorithm) -> None:
    recipe = {"algorithm": algorithm.recipe, "smoothing": SMOOTHING.recipe}
    assert Question.of(recipe).algorithm == algorithm
    assert algorithm.recipe["mode"] in ALGORITHMS
    least, most = algorithm.samples(SMOOTHING)
    assert 0 < least <= most


@pytest.mark.parametrize("beyond", [(), (3.0,), (30.0,), (2.5, 3.0, 30.0)], ids=str)
@pytest.mark.parametrize("n", [1000, 100_000])
def test_radii_out_of_reach_cost_nothing(beyond: tuple[float, ...], n: int) -> None:
    """The fewest samples are those of the radii within reach, and unanimous votes end after as many."""
    within = (0.25, 0.5) if n == 1000 else (0.25, 0.5, 1.0)
    alone, algorithm = Target(within, n), Target((*within, *beyond), n)
    assert algorithm.largest(SMOOTHING) == within[-1]
    assert algorithm.samples(SMOOTHING) == alone.samples(SMOOTHING)
    least, _ = algorithm.samples(SMOOTHING)
    assert least < n
    classifier, x = CallableClassifier(lambda batch: np.zeros(len(batch), int)), Input.of(np.zeros(2, np.float32))
    sampler = sampler_of(algorithm, classifier, SMOOTHING, x, key=0, index=0)
    assert algorithm.draw(sampler, SMOOTHING).samples == least


@pytest.mark.parametrize("bound", ["one-sided", "two-sided"])
@pytest.mark.parametrize(("n0", "n"), [(1000, 100_000), (77, 2000), (5000, 20_000)], ids=str)
def test_radius_mode_never_draws_fewer_samples_than_it_promises(bound: Bound, n0: int, n: int) -> None:
    """1,000 random pilots of 1 to 6 classes, each setting: the least is undercut by 1 % at most, and nearly reached."""
    rng, algorithm = np.random.default_rng(n0), Radius(n0, n, bound=bound)
    least, most = algorithm.samples(SMOOTHING)
    drawn = []
    for _ in range(1000):
        shares = rng.dirichlet([rng.choice([0.2, 1.0, 20.0]), *rng.uniform(0.01, 1, rng.integers(6))])
        stage = algorithm.second_stage(Counter(rng.choice(len(shares), n0, p=shares).tolist()), SMOOTHING)
        drawn += [n0 + stage] * bool(stage)
    assert n0 + 0.99 * (least - n0) <= min(drawn) <= 1.1 * least
    assert max(drawn) <= most


def test_a_prediction_within_reach_can_be_made() -> None:
    """Where all votes agree there is an answer; at an alpha that equals the p-value there is none."""
    for n, alpha in itertools.product(range(2, 20), (0.25, 0.125, 0.0625, 0.001, 0.05)):
        algorithm = Predict(n, alpha)
        made = algorithm.decide(evidence("predict", {}, {0: n}), SMOOTHING).prediction == 0
        assert made == (algorithm.largest(SMOOTHING) > 0)


@pytest.mark.parametrize("bad", [(), (0.0,), (-1.0, 1.0), (1.0, 0.5), (0.5, 0.5), (float("nan"),)])
def test_radii_must_ascend(bad: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="ascending radii"):
        Target(bad)
