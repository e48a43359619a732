"""The promise itself: on classifiers whose true radius is known, certificates are wrong no more often than alpha.

And not needlessly weak: every mode comes near what its samples allow. Each test runs a mode 2,000 times, with fixed
keys, so that it passes or fails always; the last part shows that the same checks catch unsound procedures.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from smoothcert import (
    ABSTAIN,
    Certificate,
    Evidence,
    Noise,
    OrtClassifier,
    certify,
    certify_radius,
    certify_targets,
    compose,
    predict,
)
from smoothcert.algorithms import Fixed
from smoothcert.bounds.confidence import (
    BOUNDS,
    Bound,
    SequentialTest,
    binomial_p_value,
    crossing_probability,
    geometric_looks,
    lower_confidence_bound,
    margin,
)
from smoothcert.sampling import ESTIMATION, SELECTION, Sampler

from .marks import slow_but
from .models import half_space, linear, slabs
from .samples import sampler

QUICK = (
    "test_two_sided_certifies_what_one_sided_cannot",
    "test_integer_truth",
    "test_noise_of_another_sigma_is_caught",
)

RUNS, ALPHA, SIGMA, KEY, SIZE = 2000, 0.05, 0.5, 20, 8
NOISE = compose(Noise(SIGMA))
Mode = Callable[[int], Certificate]  # of the run's index


def consistent(wrong: int, runs: int, alpha: float) -> bool:
    """Whether so many wrong runs are compatible with a probability of at most alpha each."""
    return bool(stats.binomtest(wrong, runs, alpha, alternative="greater").pvalue > 1e-3)


def agrees(count: int, runs: int, probability: float) -> bool:
    """Whether a count is compatible with exactly this probability."""
    return bool(stats.binomtest(count, runs, min(1.0, probability)).pvalue > 1e-4)


# --- Classifiers with known answers -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Truth:
    """The smoothed classifier at the input: probabilities by class, the answer, how far it holds (0: a tie)."""

    law: tuple[float, ...]
    label: int
    radius: float

    @property
    def top_two(self) -> tuple[float, float]:
        first, second = sorted(self.law, reverse=True)[:2]
        return first, second

    def belied_by(self, certificate: Certificate) -> bool:
        """The certificate promises what is false."""
        beyond = certificate.radius > self.radius or self.radius == 0
        return certificate.prediction != ABSTAIN and (certificate.prediction != self.label or beyond)


def slab_truth(cuts: Sequence[float], sigma: float = SIGMA) -> Truth:
    """Oracle of `slabs` with a unit direction, at 0: a shift by t along it is the worst of that norm.

    The ratio of two classes' probabilities is monotone in t, so every other class overtakes at one point.
    """
    edges = np.array([-np.inf, *cuts, np.inf])

    def law(t: float) -> NDArray[np.float64]:
        return np.diff(ndtr((edges - t) / sigma))

    here = law(0.0)
    label, second = np.argsort(-here)[:2].tolist()
    if here[label] - here[second] < 1e-12:
        return Truth(tuple(here.tolist()), label, 0.0)
    crossings = []
    for other in set(range(len(here))) - {label}:
        far = 8 * sigma * np.sign(other - label)
        if law(far)[other] > law(far)[label]:
            crossings.append(abs(brentq(lambda t, other=other: law(t)[label] - law(t)[other], 0.0, far, xtol=1e-14)))
    return Truth(tuple(here.tolist()), label, min(crossings))


def cuts_of(*law: float) -> list[float]:
    """Cuts that give the classes, in order, these probabilities at 0."""
    return [float(SIGMA * ndtri(p)) for p in itertools.accumulate(law[:-1])]


DIRECTION = np.random.default_rng(1).standard_normal(SIZE)
DIRECTION /= np.linalg.norm(DIRECTION)
ZERO = np.zeros(SIZE, np.float32)


def float_case(cuts: Sequence[float], batch_size: int = 256) -> tuple[OrtClassifier, Truth]:
    """The slabs classifier of float inputs, and the truth about it at 0."""
    return OrtClassifier(slabs((SIZE,), DIRECTION, cuts), threads=1, batch_size=batch_size), slab_truth(cuts)


@functools.cache
def sum_law(std: float, terms: int) -> NDArray[np.float64]:
    """The law of the sum of integer normals round(std N), centred: from normal cell probabilities, by convolution."""
    reach = int(9 * std) + 2
    edges = np.arange(-reach, reach + 2) - 0.5
    one = np.diff(ndtr(edges / std))
    law = np.ones(1)
    for _ in range(terms):
        law = np.convolve(law, one)
    return law


@dataclass(frozen=True)
class IntegerCase:
    """8-bit half-space: class 1 where the sum of the noise is at least -`margin` levels."""

    sigma: float
    margin: int

    @property
    def x(self) -> NDArray[np.uint8]:
        return np.arange(100, 100 + SIZE, dtype=np.uint8)

    @property
    def classifier(self) -> OrtClassifier:
        cut = int(self.x.sum()) - self.margin - 0.5
        return OrtClassifier(half_space((SIZE,), np.ones(SIZE), -cut / 255), threads=1, batch_size=256)

    @property
    def truth(self) -> Truth:
        """Oracle: exact convolution, and the shortest integer shift that leaves class 1 no majority."""
        law = sum_law(255 * self.sigma, SIZE)
        centre = len(law) // 2
        p = float(law[centre - self.margin :].sum())
        shift = next(s for s in itertools.count() if law[centre - self.margin + s :].sum() <= 0.5)
        each, rest = divmod(shift, SIZE)
        norm = np.sqrt((SIZE - rest) * each**2 + rest * (each + 1) ** 2)
        return Truth((1 - p, p), 1, float(norm / 255))

    @property
    def theorem(self) -> float:
        """sigma Phi^-1(p): the most that Gaussian smoothing can promise."""
        return float(self.sigma * ndtri(self.truth.law[1]))


WIDE, COARSE = IntegerCase(0.5, 462), IntegerCase(1 / 255, 3)  # noise of 127.5 levels, and of 1


def outcomes(mode: Mode, runs: int = RUNS) -> list[Certificate]:
    """The mode's certificates, each from votes of its own."""
    return [mode(index) for index in range(runs)]


def wrong(truth: Truth, certificates: Iterable[Certificate]) -> int:
    """How many certificates are false."""
    return sum(truth.belied_by(c) for c in certificates)


def median_radius(certificates: Iterable[Certificate]) -> float:
    """The median radius, abstentions counted as 0."""
    return float(np.median([c.radius for c in certificates]))


# --- certify ----------------------------------------------------------------------------------------------------------

FIXED_LAWS = {  # the middle class lies between the other two
    "clear": (0.1, 0.9),
    "likely": (0.3, 0.7),
    "near a tie": (0.48, 0.52),
    "tie": (0.5, 0.5),
    "nearly all": (0.006, 0.994),
    "three classes": (0.75, 0.13, 0.12),
    "below half": (0.46, 0.14, 0.13, 0.13, 0.14),
    "three-way tie": (1 / 3, 1 / 3, 1 / 3),
}


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("name", slow_but(FIXED_LAWS, "three classes"))
def test_certify(name: str, bound: Bound) -> None:
    law = FIXED_LAWS[name]
    classifier, truth = float_case(cuts_of(*law))
    n = 500
    certificates = outcomes(
        lambda i: certify(classifier, NOISE, ZERO, n0=50, n=n, alpha=ALPHA, key=KEY, index=i, bound=bound)
    )
    assert consistent(wrong(truth, certificates), RUNS, ALPHA)
    if max(law) < 0.7:
        return  # the radius is 0 or nearly: nothing to reach
    p, second = truth.top_two
    expected = NOISE.radius(*margin(round(n * p), round(n * second), n, ALPHA, bound))
    assert median_radius(certificates) >= 0.95 * expected
    assert truth.radius > expected > 0


@pytest.mark.parametrize("p", [0.7, 0.9, 0.994])
def test_certify_is_wrong_as_often_as_its_bound(p: float) -> None:
    """Oracle: the exact probability that Clopper-Pearson's bound exceeds p; the sharpest check of the whole chain."""
    n = 500
    classifier, truth = float_case(cuts_of(1 - p, p))
    certificates = outcomes(lambda i: certify(classifier, NOISE, ZERO, n0=50, n=n, alpha=ALPHA, key=KEY + 1, index=i))
    weights = stats.binom.pmf(np.arange(n + 1), n, p)
    exact = sum(w for k, w in enumerate(weights) if lower_confidence_bound(k, n, ALPHA) > p)
    assert agrees(wrong(truth, certificates), RUNS, exact)
    votes = sum(c.evidence.estimation[truth.label] for c in certificates)
    assert agrees(votes, n * RUNS, p)


def test_two_sided_certifies_what_one_sided_cannot() -> None:
    """Top class at 0.46, the next at 0.14: the radius is real, and reached; one-sided bounds must abstain."""
    law, n = (0.46, 0.14, 0.13, 0.13, 0.14), 1000
    classifier, truth = float_case(cuts_of(*law))
    two = outcomes(
        lambda i: certify(classifier, NOISE, ZERO, n=n, alpha=ALPHA, key=KEY, index=i, bound="two-sided"), 300
    )
    one = outcomes(lambda i: certify(classifier, NOISE, ZERO, n=n, alpha=ALPHA, key=KEY, index=i), 300)
    expected = NOISE.radius(*margin(460, 140, n, ALPHA, "two-sided"))
    assert median_radius(two) >= 0.95 * expected > 0
    assert consistent(wrong(truth, two), 300, ALPHA)
    assert median_radius(one) == 0


# --- certify_radius ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("name", slow_but(["clear", "near a tie", "tie", "three classes", "below half"], "near a tie"))
def test_certify_radius(name: str, bound: Bound) -> None:
    law = FIXED_LAWS[name]
    classifier, truth = float_case(cuts_of(*law))
    n0, n = 200, 2000
    certificates = outcomes(
        lambda i: certify_radius(classifier, NOISE, ZERO, n0=n0, n=n, alpha=ALPHA, key=KEY, index=i, bound=bound)
    )
    assert consistent(wrong(truth, certificates), RUNS, ALPHA)
    if max(law) < 0.7:
        return
    p, second = truth.top_two
    whole = NOISE.radius(*margin(round(n * p), round(n * second), n, ALPHA, bound))
    assert median_radius(certificates) >= 0.95 * 0.95 * whole  # 95 % is what the second stage is sized for
    spent = np.mean([c.evidence.samples for c in certificates])
    assert spent < 0.75 * (n0 + n)


# --- certify_targets --------------------------------------------------------------------------------------------------

P_TRUE = 0.85
R_TRUE = float(SIGMA * ndtri(P_TRUE))
N_TARGET = 1500


def claim_chance(target: float, p: float, n: int = N_TARGET) -> float:
    """Oracle: the exact probability of crossing a single target's boundary, stopping for nothing else."""
    test = SequentialTest((float(ndtr(target / SIGMA)),), ALPHA, geometric_looks(64, n))
    return crossing_probability(test.boundaries[0], test.looks, p)


TARGETS = {
    "a bit under": (0.93,),
    "well under": (0.8,),
    "at the truth": (1.0,),
    "a bit over": (1.01,),
    "list through the truth": (0.5, 0.8, 1.0, 1.2),
    "list from the truth": (1.0, 1.05, 1.1),
}


@pytest.mark.parametrize("parts", TARGETS.values(), ids=TARGETS)
def test_certify_targets(parts: tuple[float, ...]) -> None:
    """A target at the true radius itself counts as false: the mode's claims include their radius."""
    classifier, truth = float_case(cuts_of(1 - P_TRUE, P_TRUE))
    radii = [R_TRUE * part for part in parts]
    certificates = outcomes(
        lambda i: certify_targets(classifier, NOISE, ZERO, radii, n=N_TARGET, alpha=ALPHA, key=KEY, index=i)
    )
    claims = Counter(c.radius for c in certificates)
    false = sum(count for radius, count in claims.items() if radius > 0.9999 * R_TRUE)
    assert consistent(false, RUNS, ALPHA)
    assert all(c.prediction == truth.label for c in certificates if c.radius > 0)
    for target in (r for r in radii if r < 0.9999 * R_TRUE):
        chance = claim_chance(target, P_TRUE)
        reached = sum(count for radius, count in claims.items() if radius >= target)
        # Stopping for futility and sharing alpha cost a few runs in a hundred, no more.
        assert stats.binomtest(reached, RUNS, chance - 0.04, alternative="less").pvalue > 1e-3
    if parts[0] == 1:
        assert false > 0.5 * ALPHA * RUNS  # alpha is spent, not hoarded
    if parts == (0.8,):
        assert claims[radii[0]] > 0.95 * RUNS
        assert np.mean([c.evidence.samples for c in certificates]) < 0.6 * N_TARGET


TIES = {
    "two": (0.5, 0.5),
    "two and a little": (0.495, 0.01, 0.495),
    "two and some": (0.45, 0.1, 0.45),
    "three": (1 / 3, 1 / 3, 1 / 3),
    "four": (0.25, 0.25, 0.25, 0.25),
}
TINY = 1e-7


@pytest.mark.parametrize("radii", [(TINY,), (TINY, 0.1, 0.2)], ids=["one target", "three targets"])
@pytest.mark.parametrize("law", TIES.values(), ids=TIES)
def test_certify_targets_at_ties(law: tuple[float, ...], radii: tuple[float, ...]) -> None:
    """p0 = 1/2: whichever class is followed, any claim is false; the choice of the class is paid for."""
    classifier, truth = float_case(cuts_of(*law))
    certificates = outcomes(
        lambda i: certify_targets(classifier, NOISE, ZERO, radii, n=1000, alpha=ALPHA, key=KEY, index=i)
    )
    assert truth.radius == 0
    assert consistent(wrong(truth, certificates), RUNS, ALPHA)
    if law == (0.5, 0.5):
        assert wrong(truth, certificates) > 0.5 * ALPHA * RUNS


@pytest.mark.parametrize("lead", [0.0, 0.02])
def test_certify_targets_at_a_corner_of_three_classes(lead: float) -> None:
    """Three half-planes' worth of classes meeting at the input, one of them `lead` ahead in its score."""
    angles = 2 * np.pi * np.arange(3) / 3
    weights = np.zeros((SIZE, 3))
    weights[:2] = np.cos(angles), np.sin(angles)
    classifier = OrtClassifier(linear((SIZE,), weights, [lead, 0.0, 0.0]), threads=1, batch_size=256)
    certificates = outcomes(
        lambda i: certify_targets(classifier, NOISE, ZERO, [TINY], n=1000, alpha=ALPHA, key=KEY, index=i)
    )
    claims = sum(c.radius > 0 for c in certificates)
    assert claims <= RUNS * ALPHA / 5  # every class has about a third: far from one half


# --- predict ----------------------------------------------------------------------------------------------------------

PREDICTED = {
    "tie": (0.5, 0.5),
    "near a tie": (0.49, 0.51),
    "majority": (0.42, 0.58),
    "clear": (0.2, 0.8),
    "tie of two in three": (0.45, 0.1, 0.45),
    "three-way tie": (1 / 3, 1 / 3, 1 / 3),
}


@pytest.mark.parametrize("name", slow_but(PREDICTED, "near a tie"))
def test_predict(name: str) -> None:
    """With two classes the rates are binomtest's own, exactly; with three, below alpha."""
    law = PREDICTED[name]
    classifier, truth = float_case(cuts_of(*law))
    n = 300
    certificates = outcomes(lambda i: predict(classifier, NOISE, ZERO, n=n, alpha=ALPHA, key=KEY, index=i))
    mistakes = sum(c.prediction not in (ABSTAIN, truth.label) for c in certificates)
    if truth.radius == 0:
        mistakes = sum(c.prediction != ABSTAIN for c in certificates)
    assert consistent(mistakes, RUNS, ALPHA)
    assert all(c.radius == 0 for c in certificates)
    if len(law) == 2:
        weights = stats.binom.pmf(np.arange(n + 1), n, law[1])
        answered = [w for k, w in enumerate(weights) if stats.binomtest(k, n).pvalue <= ALPHA]
        assert agrees(sum(c.prediction != ABSTAIN for c in certificates), RUNS, sum(answered))


# --- 8-bit inputs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [WIDE, COARSE], ids=["wide", "coarse"])
def test_integer_truth(case: IntegerCase) -> None:
    """What the theorem promises holds against integer shifts; with noise of many levels it is nearly all there is."""
    assert case.theorem < case.truth.radius
    if case is WIDE:
        assert case.theorem > 0.99 * case.truth.radius


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("name", slow_but(["wide", "coarse"], "coarse"))
def test_certify_integer(name: str, bound: Bound) -> None:
    """Radii beyond sigma Phi^-1(p), p by exact convolution, let alone beyond the integer attacker's: at most alpha."""
    case = {"wide": WIDE, "coarse": COARSE}[name]
    classifier, truth, smoothing, n = case.classifier, case.truth, compose(Noise(case.sigma)), 500
    certificates = outcomes(
        lambda i: certify(classifier, smoothing, case.x, n0=50, n=n, alpha=ALPHA, key=KEY, index=i, bound=bound)
    )
    limit = Truth(truth.law, truth.label, case.theorem)
    assert wrong(truth, certificates) <= wrong(limit, certificates)
    assert consistent(wrong(limit, certificates), RUNS, ALPHA)
    p = truth.law[1]
    expected = smoothing.radius(*margin(round(n * p), round(n * (1 - p)), n, ALPHA, bound))
    assert median_radius(certificates) >= 0.95 * expected
    assert agrees(sum(c.evidence.estimation[1] for c in certificates), n * RUNS, p)
    assert {c.attack_model for c in certificates} == {"integer"}


def test_certify_radius_integer() -> None:
    classifier, truth, n = WIDE.classifier, WIDE.truth, 2000
    certificates = outcomes(
        lambda i: certify_radius(classifier, NOISE, WIDE.x, n0=200, n=n, alpha=ALPHA, key=KEY, index=i)
    )
    assert consistent(wrong(Truth(truth.law, 1, WIDE.theorem), certificates), RUNS, ALPHA)
    p = truth.law[1]
    whole = NOISE.radius(*margin(round(n * p), round(n * (1 - p)), n, ALPHA, "one-sided"))
    assert median_radius(certificates) >= 0.95 * 0.95 * whole


@pytest.mark.parametrize(("part", "true"), [(0.9, True), (1.0, False), (1.02, False)], ids=["under", "at", "over"])
def test_certify_targets_integer(part: float, true: bool) -> None:
    classifier, target = WIDE.classifier, part * WIDE.theorem
    certificates = outcomes(
        lambda i: certify_targets(classifier, NOISE, WIDE.x, [target], n=N_TARGET, alpha=ALPHA, key=KEY, index=i)
    )
    claims = sum(c.radius > 0 for c in certificates)
    if true:
        chance = claim_chance(target, WIDE.truth.law[1])
        assert stats.binomtest(claims, RUNS, chance - 0.04, alternative="less").pvalue > 1e-3
    else:
        assert consistent(claims, RUNS, ALPHA)


def test_predict_integer_near_a_tie() -> None:
    case = IntegerCase(0.5, 0)  # class 1 is ahead by half of the probability that the noise sums to 0
    classifier = case.classifier
    certificates = outcomes(lambda i: predict(classifier, NOISE, case.x, n=300, alpha=ALPHA, key=KEY, index=i))
    assert consistent(sum(c.prediction != ABSTAIN for c in certificates), RUNS, ALPHA)


# --- The checks catch unsound procedures ------------------------------------------------------------------------------


def voters(classifier: OrtClassifier, runs: int = RUNS) -> Iterable[Sampler]:
    """A sampler for each run."""
    return (sampler(classifier, NOISE, ZERO, key=KEY, index=index) for index in range(runs))


def test_peeking_is_caught() -> None:
    """The fixed-n bound at full alpha, tested again after each batch of 50 until it exceeds p_star of the target."""
    classifier, truth = float_case(cuts_of(1 - P_TRUE, P_TRUE), 50)

    def peek(sampler: Sampler) -> bool:
        votes: Counter[int] = Counter()
        for n in range(50, 1001, 50):
            votes.update(sampler.counts(ESTIMATION, n - 50, n))
            if lower_confidence_bound(votes[truth.label], n, ALPHA) > P_TRUE:
                return True
        return False

    assert not consistent(sum(map(peek, voters(classifier))), RUNS, ALPHA)


def test_selecting_on_the_estimation_sample_is_caught() -> None:
    """At a tie, the class that happens to lead and its count from the same votes."""
    classifier, truth = float_case(cuts_of(0.5, 0.5))
    algorithm = Fixed(n0=500, n=500, alpha=ALPHA)

    def decide(sampler: Sampler, stage: int) -> Certificate:
        votes = sampler.counts(ESTIMATION, 0, 500)
        selection = votes if stage == ESTIMATION else sampler.counts(stage, 0, 500)
        return algorithm.decide(Evidence("fixed", votes, selection), NOISE)

    assert consistent(wrong(truth, (decide(s, SELECTION) for s in voters(classifier))), RUNS, ALPHA)
    assert not consistent(wrong(truth, (decide(s, ESTIMATION) for s in voters(classifier))), RUNS, ALPHA)


def test_following_the_favourite_for_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Target mode at a two-way tie, all of alpha on each class's boundary."""
    monkeypatch.setattr(SequentialTest, "share", property(lambda self: 1.0))
    classifier, truth = float_case(cuts_of(0.5, 0.5))
    certificates = outcomes(
        lambda i: certify_targets(classifier, NOISE, ZERO, [TINY], n=1000, alpha=ALPHA, key=KEY, index=i)
    )
    assert not consistent(wrong(truth, certificates), RUNS, ALPHA)


def test_noise_of_another_sigma_is_caught() -> None:
    """Votes under sigma 0.48, decided as if under 0.5."""
    classifier, truth = float_case(cuts_of(0.1, 0.9))
    algorithm = Fixed(n0=50, n=500, alpha=ALPHA)
    other = compose(Noise(0.48))
    samplers = (sampler(classifier, other, ZERO, key=KEY, index=index) for index in range(RUNS))
    decided = (algorithm.decide(algorithm.draw(s, NOISE), NOISE) for s in samplers)
    assert not consistent(wrong(truth, decided), RUNS, ALPHA)


@pytest.mark.parametrize("alpha", [2 * ALPHA, 3 * ALPHA])
def test_predicting_at_a_larger_alpha_is_caught(alpha: float) -> None:
    """PREDICT at a tie, alpha not as promised."""
    classifier, _ = float_case(cuts_of(0.5, 0.5))
    votes = (s.counts(ESTIMATION, 0, 300) for s in voters(classifier))
    assert not consistent(sum(binomial_p_value(v[0], 300) <= alpha for v in votes), RUNS, ALPHA)
