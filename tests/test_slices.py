"""Slices of rotation and scaling: what they cover, what they promise on classifiers whose truth is known, and the run.

Keys are fixed: every test passes or fails always. Unsound variants are shown to be found out by the same checks.
"""

from __future__ import annotations

import functools
import json
import math
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage, stats
from scipy.special import ndtr, ndtri

from smoothcert import ABSTAIN, Certificate, Evidence, Noise, OrtClassifier, compose
from smoothcert.algorithms import Slices
from smoothcert.algorithms.boxes import outwards, pieces_of
from smoothcert.bounds.confidence import SequentialTest
from smoothcert.certification import run, sampler_of
from smoothcert.errors import DataError
from smoothcert.evidence import Look, Slice
from smoothcert.inputs.datasets import open_dataset
from smoothcert.inputs.spatial import Raw, Spatial
from smoothcert.model.classifier import CallableClassifier
from smoothcert.model.preprocess import Preprocess, raw_image
from smoothcert.runs.asked import Files, new_run
from smoothcert.runs.folder import LEDGER, RECIPE, RunFolder
from smoothcert.runs.opening import open_run
from smoothcert.runs.recipe import run_key
from smoothcert.smoothing import TRANSFORMS, Attack, Range, Smoothing, slicing
from smoothcert.smoothing.cutting import Cutting, enclosable, farthest
from smoothcert.smoothing.slicing import PixelSlicing
from smoothcert.transforms import rotate, scale

from .conftest import IMAGES, MODEL, Result
from .models import half_space, linear

QUICK = (
    "test_a_single_value_is_one_slice",
    "test_shares_of_alpha_add_up_to_no_more",
    "test_a_comfortable_margin_is_certified",
)

Cli = Callable[..., Result]
Image = NDArray[np.uint8]
WARPS: dict[str, Callable[..., Image]] = {"rotation": rotate, "scaling": scale}
KEY = 7


def sliced(name: str, low: float, high: float, *, n0: int | None = None, **options: Any) -> Slices:
    """With slices of half a deviation that share alpha, unless a pilot is asked for: see test_reach.py."""
    return Slices(Attack.of({name: (low, high)}), n0=n0, **options)


def noise(sigma: float) -> Smoothing:
    return compose(Noise(sigma))


def smooth(*shape: int, seed: int = 1) -> Image:
    field = np.random.default_rng(seed).standard_normal(shape)
    field = ndimage.gaussian_filter(field, (2, 2, *(0,) * (len(shape) - 2)), mode="mirror")
    return np.rint((field - field.min()) / np.ptp(field) * 255).astype(np.uint8)


def rough(*shape: int, seed: int = 1) -> Image:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def as_raw(image: Image, spatial: Spatial = Spatial()) -> Raw:  # noqa: B008 - a frozen value
    found = raw_image(image) or pytest.fail("no image")
    return Raw(found.image, spatial)


# --- Geometry ---------------------------------------------------------------------------------------------------------

CIRCLE = Spatial(resize=32, antialias=True, mask="circle")
RAWS: dict[str, tuple[Raw, float]] = {
    "grey": (as_raw(smooth(32, 32)), 0.5),
    "rough": (as_raw(rough(32, 32)), 0.5),
    "odd": (as_raw(smooth(33, 47)), 0.25),
    "colours last": (as_raw(smooth(64, 64, 3)), 0.5),
    "colours first": (as_raw(smooth(3, 33, 20)), 0.25),
    "four colours": (as_raw(rough(12, 17, 4)), 0.5),
    "averaged, in a circle": (as_raw(smooth(96, 96, 3), CIRCLE), 0.5),
    "shrunk, cropped": (as_raw(smooth(40, 51), Spatial(resize=24, crop=17, mask="rectangle", share=0.8)), 0.25),
    "enlarged": (as_raw(rough(13, 13), Spatial(resize=30, interpolation="nearest")), 0.5),
}
RANGES = {"rotation": (-5.0, 3.0), "scaling": (0.93, 1.04)}
of_raws = pytest.mark.parametrize("name", RAWS)
of_kinds = pytest.mark.parametrize("kind", RANGES)


def seen(raw: Raw, mode: Slices, value: float) -> NDArray[np.int64]:
    """What the model sees of the attacked image, by the attacker's own functions."""
    attacked = WARPS[mode.name](raw.image, value, mode.border, mode.interpolation)
    return raw.processed(attacked).astype(np.int64).reshape(-1)


def cut_of(mode: Slices, raw: Raw, sigma: float) -> list[tuple[float, float]]:
    """The slices of half a deviation."""
    return PixelSlicing(enclosable(raw), mode.transform, sigma).cut(mode.whole, 0.5)


@functools.cache
def cuts_of(kind: str, name: str) -> list[tuple[float, float]]:
    raw, sigma = RAWS[name]
    return cut_of(sliced(kind, *RANGES[kind]), raw, sigma)


def overshoot(mode: Slices, raw: Raw, sigma: float, cuts: list[tuple[float, float]], count: int = 400) -> float:
    """By how much, in standard deviations, what is seen leaves its slice's ball of sigma / 2, at the most.

    Of `count` random values of the range, and of every slice's ends, their neighbours and its middle.
    """
    worst = -1.0
    for number, (low, high) in enumerate(cuts):
        middle = seen(raw, mode, (low + high) / 2)
        drawn = np.random.default_rng(number).uniform(low, high, -(-count // len(cuts))).tolist()
        for value in (low, math.nextafter(low, high), *drawn, math.nextafter(high, low), high, (low + high) / 2):
            squares = int(np.square(seen(raw, mode, value) - middle).sum())
            worst = max(worst, math.sqrt(squares) / 255 / sigma - 0.5)
    return worst


@of_raws
@of_kinds
def test_nothing_in_a_slice_is_farther_than_half_sigma(kind: str, name: str) -> None:
    raw, sigma = RAWS[name]
    worst = overshoot(sliced(kind, *RANGES[kind]), raw, sigma, cuts_of(kind, name))
    assert -0.3 < worst <= 0


@of_kinds
@pytest.mark.parametrize(
    "options",
    [{"border": "wrap"}, {"border": "reflect101"}, {"border": "replicate"}, {"interpolation": "nearest"}],
    ids=lambda o: next(iter(o.values())),
)
def test_nor_with_other_borders_and_pixels(kind: str, options: dict[str, str]) -> None:
    low, high = (-2.0, 2.0) if kind == "rotation" else (0.97, 1.02)
    mode, raw = sliced(kind, low, high, **options), as_raw(smooth(20, 27))
    assert overshoot(mode, raw, 0.5, cut_of(mode, raw, 0.5)) <= 0


def test_a_distance_too_small_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slicing, "farthest", lambda *arguments, **named: farthest(*arguments, **named) / 2)
    mode, (raw, sigma) = sliced("rotation", -5, 3), RAWS["grey"]
    assert overshoot(mode, raw, sigma, cut_of(mode, raw, sigma)) > 0.2


@of_raws
@of_kinds
def test_slices_lie_side_by_side_over_the_range_and_are_always_the_same(kind: str, name: str) -> None:
    (raw, sigma), mode, cuts = RAWS[name], sliced(kind, *RANGES[kind]), cuts_of(kind, name)
    assert (cuts[0][0], cuts[-1][1]) == RANGES[kind]
    assert all(a[1] == b[0] for a, b in pairwise(cuts))
    assert all(low < high for low, high in cuts)
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        assert cut_of(mode, Raw(raw.image.copy(), raw.spatial), sigma) == cuts
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize("value", [0.0, 7.3])
def test_a_single_value_is_one_slice(value: float) -> None:
    assert cut_of(sliced("rotation", value, value), RAWS["grey"][0], 0.5) == [(value, value)]


def fewest(mode: Slices, raw: Raw, sigma: float, points: int = 1500) -> int:
    """Oracle: greedy slices by dense sampling, each as wide as the sampled distances to its middle allow."""
    ((_, whole),) = mode.attack
    states = np.stack([seen(raw, mode, v) for v in np.linspace(whole.low, whole.high, points).tolist()])

    def fits(first: int, last: int) -> bool:
        far = states[first : last + 1] - states[(first + last) // 2]
        return bool(np.square(far).sum(1).max() <= (255 * sigma / 2) ** 2)

    first, count = 0, 0
    while first < points - 1:
        last = first + 1
        while last < points - 1 and fits(first, last + 1):
            last += 1
        first, count = last, count + 1
    return count


@of_kinds
@pytest.mark.parametrize("name", ["grey", "rough", "shrunk, cropped"])
def test_hardly_more_slices_than_are_needed(kind: str, name: str) -> None:
    raw, sigma = RAWS[name]
    mode = sliced(kind, *RANGES[kind])
    needed = fewest(mode, raw, sigma)
    assert needed <= len(cuts_of(kind, name)) <= 1.3 * needed + 2


def test_few_slices_for_a_small_range() -> None:
    """Where one is enough by dense sampling, there are two at the most."""
    mode, raw = sliced("rotation", -0.2, 0.2), as_raw(smooth(32, 32))
    assert fewest(mode, raw, 0.5) == 1
    assert len(cut_of(mode, raw, 0.5)) <= 2


@pytest.mark.parametrize(
    "spatial", [Spatial(resize=20), Spatial(resize=20, antialias=True), Spatial(resize=48), CIRCLE], ids=str
)
def test_a_brighter_image_is_seen_brighter(spatial: Spatial) -> None:
    """What the enclosure's way through the pipeline rests on."""
    raw = as_raw(rough(40, 43, 3), spatial)
    for seed in range(60):
        random = np.random.default_rng(seed)
        image = random.integers(0, 256, raw.image.shape)
        few = random.random(image.shape) < (1, 0.1, 0.001)[seed % 3]
        brighter = np.minimum(image + few * random.integers(0, 3, image.shape), 255)
        assert (raw.processed(image.astype(np.uint8)) <= raw.processed(brighter.astype(np.uint8))).all()


@pytest.mark.parametrize("name", ["bicubic", "lanczos"])
def test_a_pipeline_that_overshoots_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected nearest, bilinear or area to resize by"):
        cut_of(sliced("rotation", -1, 1), as_raw(smooth(40, 40), Spatial(resize=20, interpolation=name)), 0.5)


def test_too_many_slices_are_an_error_of_that_input() -> None:
    with pytest.raises(DataError, match="rotation 0:360 needs more than 4096 slices, the most there may be; raise"):
        cut_of(sliced("rotation", 0, 360), as_raw(rough(32, 32)), 0.02)


TOO_MANY: dict[str, tuple[str, float, float, Image, float]] = {
    "all angles": ("rotation", -180, 180, rough(16, 16), 0.06),
    "angles on one side": ("rotation", 5, 200, rough(16, 16), 0.03),
    "factors": ("scaling", 0.02, 50, rough(16, 16), 0.02),
    "factors, smooth": ("scaling", 0.1, 10, smooth(16, 16), 0.02),
    "factors below 1": ("scaling", 0.05, 0.9, rough(16, 16), 0.02),
}


@pytest.mark.parametrize("case", TOO_MANY)
def test_the_advice_on_too_many_slices_helps(case: str) -> None:
    """Refused within 5 s of processor time; the sigma, and the part of the range, that it names can be cut."""
    name, low, high, image, sigma = TOO_MANY[case]
    raw, start = as_raw(image), time.process_time()
    with pytest.raises(DataError, match="needs more than 4096 slices") as refused:
        cut_of(sliced(name, low, high), raw, sigma)
    assert time.process_time() - start < 5
    advice = re.search(rf"raise sigma to ([\d.]+)( or take {name} ([-\d.]+):([-\d.]+))?$", str(refused.value))
    assert advice is not None
    assert len(cut_of(sliced(name, low, high), raw, float(advice[1]))) <= 4096
    if advice[2]:
        part = float(advice[3]), float(advice[4])
        assert low <= part[0] < part[1] <= high
        assert len(cut_of(sliced(name, *part), raw, sigma)) > 30


@pytest.mark.parametrize(
    ("name", "low", "high", "image", "sigma"),
    [
        ("rotation", -180, 180, rough(16, 16), 0.5),
        ("rotation", -30, 60, smooth(16, 16), 0.1),
        ("scaling", 0.1, 10, smooth(16, 16), 0.2),
        ("scaling", 0.02, 50, rough(16, 16), 0.2),
    ],
)
def test_the_number_of_slices_is_foreseen(name: str, low: float, high: float, image: Image, sigma: float) -> None:
    """Within a third, up to what flat parts of the range count for at least."""
    mode, raw = sliced(name, low, high), as_raw(image)
    cutting = Cutting(TRANSFORMS[name](), Range(low, high), sigma / 2, functools.partial(farthest, raw, mode.transform))
    found = len(cut_of(mode, raw, sigma))
    assert 0.67 * found <= sum(cutting.counts) <= 1.33 * found + 16 * 32


def test_a_wide_range_over_a_flat_image_is_few_slices() -> None:
    """Nothing moves: slices as wide as they may be, however wide the range."""
    flat = as_raw(np.zeros((16, 16), np.uint8))
    assert len(cut_of(sliced("rotation", -180, 180), flat, 0.5)) == 12
    assert len(cut_of(sliced("scaling", 0.02, 50), flat, 0.5)) < 100


@pytest.mark.parametrize(
    ("attack", "options", "message"),
    [
        ({}, {}, "expected one interval of numbers"),
        ({"rotation": (-1, 1), "scaling": (0.9, 1)}, {}, "got rotation -1:1, scaling 0.9:1"),
        ({"rotation": (-1, 1, 5)}, {}, "grid"),
        ({"translation": (0, 1)}, {}, "got translation 0:1"),
        ({"scaling": (0, 1)}, {}, "expected a factor > 0 for scaling"),
        ({"scaling": (-0.5, 1)}, {}, "expected a factor > 0 for scaling"),
        ({"scaling": (0.001, 1)}, {}, "scaling: expected 0.01 <= low"),
        ({"rotation": (0, 1e7)}, {}, "rotation: expected"),
        ({"rotation": (-1, 1)}, {"border": "mirror"}, "border: expected one of"),
        ({"rotation": (-1, 1)}, {"interpolation": "bicubic"}, "bicubic"),
        ({"rotation": (-1, 1)}, {"n": 0}, "at least 1 sample"),
        ({"rotation": (-1, 1)}, {"alpha": 0.5}, "failure probability"),
    ],
    ids=str,
)
def test_it_refuses_at_once(attack: dict[str, Any], options: dict[str, Any], message: str) -> None:
    """Where it is built, before anything is read or written."""
    with pytest.raises(ValueError, match=message):
        Slices(Attack.of(attack), **options)


# --- Soundness: half-spaces along the way that the attack moves the image ---------------------------------------------

SIGMA, ALPHA, N = 0.5, 0.2, 512


@dataclass(frozen=True)
class Way:
    """Class 1 where `weights` . levels >= `cut`: a half-space across the way that rotation moves an image.

    The weights are the difference of the images at the middle and at the end of the last slice: of all half-spaces,
    the one for which the distance in that slice counts in full. Under rounded Gaussian noise the score is, but for 1 %
    of a level, normal of variance |weights|^2 (std^2 + 1/12).
    """

    mode: Slices
    raw: Raw
    cuts: list[tuple[float, float]]
    weights: NDArray[np.int64]
    cut: float

    @staticmethod
    def of(mode: Slices, start: float | None = None) -> Way:
        """From the middle of the last slice, or from another start."""
        raw = as_raw(smooth(12, 12, seed=2))
        cuts = cut_of(mode, raw, SIGMA)
        weights = seen(raw, mode, sum(cuts[-1]) / 2 if start is None else start) - seen(raw, mode, cuts[-1][1])
        return Way(mode, raw, cuts, weights, 0.0)

    @staticmethod
    def hardest(n0: int | None = None) -> Way:
        """Of ranges 0:high, the one whose last slice is fullest: elsewhere the last is what was left over."""
        ways = [Way.of(sliced("rotation", 0, high, n0=n0, n=N, alpha=ALPHA)) for high in np.arange(8, 25, 0.5).tolist()]
        return max(ways, key=lambda way: way.deviation)

    @property
    def deviation(self) -> float:
        return float(np.linalg.norm(self.weights) * math.sqrt((255 * SIGMA) ** 2 + 1 / 12))

    def score(self, value: float) -> int:
        return int(self.weights @ seen(self.raw, self.mode, value))

    @functools.cached_property
    def least(self) -> int:
        """The least score of the range, by dense search."""
        ((_, whole),) = self.mode.attack
        return min(self.score(value) for value in np.linspace(whole.low, whole.high, 2001).tolist())

    def lowered(self, score: float, probability: float) -> Way:
        """With class 1 of that probability, or the next below it, where an image has this score."""
        cut = math.ceil(score - self.deviation * float(ndtri(probability)) + 1e-9) + 0.5
        return replace(self, cut=cut)

    def probability(self, score: float) -> float:
        """Of class 1."""
        return float(ndtr((score - self.cut) / self.deviation))

    @property
    def middles(self) -> list[float]:
        """Probabilities of class 1 at the middles of the slices."""
        return [self.probability(self.score(sum(cut) / 2)) for cut in self.cuts]

    @property
    def classifier(self) -> CallableClassifier:
        def labels(batch: NDArray[np.float32]) -> NDArray[np.int64]:
            levels = np.rint(batch * np.float32(255)).reshape(len(batch), -1)
            return (levels @ self.weights.astype(float) >= self.cut).astype(np.int64)

        return CallableClassifier(labels, batch_size=32)

    def certificate(self, index: int) -> Certificate:
        return run(self.mode, self.classifier, noise(SIGMA), self.raw.image[..., 0], key=KEY, index=index)


def within(wrong: int, runs: int, probability: float) -> bool:
    """Whether so many are compatible with at most this probability each."""
    return bool(stats.binomtest(wrong, runs, probability, alternative="greater").pvalue > 1e-3)


def wrong_share(runs: int, n0: int | None = None) -> tuple[int, list[float]]:
    """False certificates of runs on a half-space that some rotation of the range only just leaves."""
    way = Way.hardest(n0)
    way = way.lowered(way.least, 0.5)
    assert 0.49 < way.probability(way.least) < 0.5  # class 0 answers there
    return sum(way.certificate(i).prediction == 1 for i in range(runs)), way.middles


@pytest.mark.slow
@pytest.mark.parametrize("n0", [None, 10])
def test_a_class_that_some_angle_flips_is_hardly_ever_certified(n0: int | None) -> None:
    """With a pilot of few votes too, which does not see it."""
    wrong, middles = wrong_share(400, n0)
    assert middles[-1] > 0.64  # hard: nearly what a slice needs, .69
    assert min(middles[:-1]) > 0.8
    assert within(wrong, 400, ALPHA)


def test_a_false_distance_certifies_what_is_false(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slicing, "farthest", lambda *arguments, **named: farthest(*arguments, **named) / 2)
    wrong, _ = wrong_share(100)
    assert not within(wrong, 100, ALPHA)


@pytest.mark.parametrize("n0", [None, 320])
@pytest.mark.parametrize("high", [6.0, 16.5])
def test_a_comfortable_margin_is_certified(high: float, n0: int | None) -> None:
    """Class 1 keeps 90 % at the worst angle: no slice is in doubt."""
    way = Way.of(sliced("rotation", 0, high, n0=n0, n=N, alpha=ALPHA))
    way = way.lowered(way.least, 0.9)
    found = [way.certificate(i) for i in range(40)]
    assert sum(certificate.prediction == 1 for certificate in found) >= 39
    assert np.mean([c.evidence.samples for c in found]) <= (n0 or 0) + (50 if n0 else 100) * len(way.cuts)
    assert all(way.mode.consistent(c.evidence, noise(SIGMA)) for c in found)


def claim_probability(test: SequentialTest, p: float) -> float:
    """Oracle: that a class of probability p is claimed before it is futile, by the exact programme over counts."""
    mass, claimed, before = {0: 1.0}, 0.0, 0
    for n in test.looks:
        step = stats.binom.pmf(np.arange(n - before + 1), n - before, p)
        law = np.zeros(n + 1)
        for count, share in mass.items():
            law[count : count + len(step)] += share * step
        claimed += sum(law[k] for k in range(n + 1) if test.claims(n, k))
        mass = {k: law[k] for k in range(n + 1) if not test.claims(n, k) and not test.futile(n, k, 0)}
        before = n
    return claimed


def claims_at_the_threshold(runs: int) -> tuple[int, int, Way]:
    """How often the last slice is reached, and claimed, where its middle has exactly the probability it must exceed."""
    way = Way.hardest()
    way = way.lowered(way.score(sum(way.cuts[-1]) / 2), way.mode.needed(noise(SIGMA)))
    last = [way.certificate(i).evidence.slices[-1].looks for i in range(runs)]
    test = way.mode.test(noise(SIGMA), len(way.cuts))
    return sum(map(bool, last)), sum(bool(x) and bool(test.claims(x[-1].n, x[-1].count)) for x in last), way


def test_a_slice_at_its_threshold_is_claimed_no_more_often_than_its_share() -> None:
    reached, claimed, way = claims_at_the_threshold(700)
    assert way.middles[-1] == pytest.approx(float(ndtr(0.5)), abs=1e-4)
    assert reached > 600
    assert within(claimed, reached, ALPHA / len(way.cuts))
    exact = claim_probability(way.mode.test(noise(SIGMA), len(way.cuts)), way.middles[-1])
    assert 0.3 * ALPHA / len(way.cuts) < exact <= ALPHA / len(way.cuts)
    assert stats.binomtest(claimed, reached, exact).pvalue > 1e-3


def test_a_share_that_is_not_divided_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    true = Slices.test
    monkeypatch.setattr(Slices, "test", lambda mode, noise, count, *others: true(mode, noise, 1, *others))
    reached, claimed, way = claims_at_the_threshold(200)
    assert not within(claimed, reached, ALPHA / len(way.cuts))


def test_shares_of_alpha_add_up_to_no_more() -> None:
    mode = sliced("rotation", -10, 10)
    for count in (1, 2, 5, 8, 9, 63, 64, 65, 4096):
        assert 0.5 * mode.alpha < count * mode.test(noise(0.5), count).alpha <= mode.alpha


# --- What a lost input costs ------------------------------------------------------------------------------------------


def test_a_lost_input_ends_at_its_first_futile_slice() -> None:
    """Of both directions from the identity, slices come nearest first; votes are cast for those alone."""
    mode = sliced("rotation", -12, 12, n=1024)
    way = Way.of(mode, 0.0)
    way = way.lowered(way.score(4.0), 0.5)
    called: list[int] = []
    base = way.classifier

    def counted(batch: NDArray[np.float32]) -> NDArray[np.int64]:
        called.append(len(batch))
        return base._function(batch)

    classifier, image = CallableClassifier(counted, batch_size=32), way.raw.image[..., 0]
    run(mode, classifier, noise(SIGMA), image, key=KEY)
    called.clear()  # the first time, rows are tried for whether they mix
    found = run(mode, classifier, noise(SIGMA), image, key=KEY)
    assert found.prediction == ABSTAIN
    slices = found.evidence.slices
    assert [(s.low, s.high) for s in slices] == way.cuts
    order = sorted(range(len(slices)), key=lambda i: abs(slices[i].low + slices[i].high))
    reached = [bool(slices[i].looks) for i in order]
    assert reached == sorted(reached, reverse=True)
    assert 2 < sum(reached) < len(slices) / 2
    assert sum(called) == found.evidence.samples == sum(s.looks[-1].n for s in slices if s.looks)
    lost = slices[order[sum(reached) - 1]]
    assert lost.low <= 6
    assert lost.high >= 2
    words = rf"slice lost: rotation {lost.low:.4g}:{lost.high:.4g} after {sum(reached) - 1} of {len(slices)} slices"
    counts = rf"stood, class 1 got {lost.looks[-1].count} of {lost.looks[-1].n} votes"
    assert re.fullmatch(f"{words} {counts}", found.reason)


def test_scaling_starts_from_the_factor_1() -> None:
    mode = sliced("scaling", 1.05, 1.3)
    image = smooth(12, 12)
    found = run(mode, lambda batch: (batch[:, 0, 0] > 9).astype(int), noise(0.5), image, key=KEY)
    assert found.prediction == 0
    coin = run(mode, lambda batch: (batch[:, 5, 5] > image[5, 5] / 255).astype(int), noise(0.5), image, key=KEY)
    assert [bool(s.looks) for s in coin.evidence.slices] == [True] + [False] * (len(coin.evidence.slices) - 1)
    assert coin.evidence.slices[0].low == 1.05


# --- Evidence ---------------------------------------------------------------------------------------------------------


@functools.cache
def evidences() -> tuple[Slices, Evidence, Evidence, Evidence]:
    """Of one mode: an input that stood, one that was lost midway, one lost at once."""
    mode = sliced("rotation", -12, 12, n=1024)
    way = Way.of(mode, 0.0)
    stood = way.lowered(way.least, 0.95).certificate(0)
    midway = way.lowered(way.score(4.0), 0.5).certificate(1)
    at_once = way.lowered(way.score(0.0), 0.5).certificate(2)
    assert [c.prediction for c in (stood, midway, at_once)] == [1, ABSTAIN, ABSTAIN]
    return mode, stood.evidence, midway.evidence, at_once.evidence


def test_json_keeps_all_of_the_evidence() -> None:
    for evidence in evidences()[1:]:
        again = Evidence.from_json(json.loads(json.dumps(evidence.to_json())))
        assert again == evidence
        assert evidences()[0].consistent(again, noise(SIGMA))
    plain = Evidence("fixed", {1: 5})
    assert "slices" not in plain.to_json()
    assert Evidence.from_json(plain.to_json()) == plain


def changed(evidence: Evidence, at: int, **values: Any) -> Evidence:
    slices = list(evidence.slices)
    slices[at] = replace(slices[at], **values)
    return replace(evidence, slices=tuple(slices))


def relook(evidence: Evidence, at: int, look: Callable[[Look], Look]) -> Evidence:
    """With the last look of that slice changed."""
    looks = evidence.slices[at].looks
    return changed(evidence, at, looks=(*looks[:-1], look(looks[-1])))


def longer(evidence: Evidence) -> Evidence:
    """One more look where the first slice stood already, and its votes."""
    n, label, count = (lambda x: (x.n, x.label, x.count))(evidence.slices[0].looks[-1])
    after = {64: 96, 96: 128}[n]
    looks = (*evidence.slices[0].looks, Look(after, label, count + after - n))
    more = dict(evidence.estimation) | {label: evidence.estimation[label] + after - n}
    return replace(changed(evidence, 0, looks=looks), estimation=more)


def unreached(evidence: Evidence) -> int:
    return next(i for i, s in enumerate(evidence.slices) if not s.looks)


def split(evidence: Evidence) -> int:
    """A slice whose votes do not all agree."""
    return next(i for i, s in enumerate(evidence.slices) if s.looks and s.looks[-1].count < s.looks[-1].n)


def last_reached(evidence: Evidence) -> int:
    order = outwards(evidence.slices, pieces_of(evidence), 0.0)
    return next(i for i in reversed(order) if evidence.slices[i].looks)


FORGED: dict[str, Callable[[Evidence, Evidence, Evidence], Evidence]] = {
    "no slices": lambda a, b, c: replace(a, slices=()),
    "the last slice dropped": lambda a, b, c: replace(a, slices=a.slices[:-1]),
    "the first slice dropped": lambda a, b, c: replace(a, slices=a.slices[1:]),
    "a slice dropped": lambda a, b, c: replace(a, slices=a.slices[:3] + a.slices[4:]),
    "a slice twice": lambda a, b, c: replace(a, slices=a.slices[:4] + a.slices[3:]),
    "another order": lambda a, b, c: replace(a, slices=a.slices[::-1]),
    "a gap": lambda a, b, c: changed(a, 3, low=a.slices[3].low + 1e-9),
    "an overlap": lambda a, b, c: changed(a, 3, low=a.slices[3].low - 1e-9),
    "a narrower range": lambda a, b, c: changed(a, 0, low=a.slices[0].low + 1),
    "a wider range": lambda a, b, c: changed(a, -1, high=a.slices[-1].high + 1),
    "there and back": lambda a, b, c: replace(
        a, slices=(Slice(-12.0, 20.0, a.slices[0].looks), Slice(20.0, 12.0, a.slices[1].looks)),
        estimation={1: a.slices[0].looks[-1].count + a.slices[1].looks[-1].count,
                    0: sum(s.looks[-1].n - s.looks[-1].count for s in a.slices[:2])}),
    "another label in a slice": lambda a, b, c: relook(a, 3, lambda x: replace(x, label=0)),
    "other labels everywhere": lambda a, b, c: replace(
        a, slices=tuple(replace(s, looks=tuple(replace(x, label=5) for x in s.looks)) for s in a.slices)),
    "a count raised": lambda a, b, c: relook(a, split(a), lambda x: replace(x, count=x.n)),
    "a count above n": lambda a, b, c: relook(a, 3, lambda x: replace(x, count=x.n + 1)),
    "a count below 0": lambda a, b, c: relook(b, last_reached(b), lambda x: replace(x, count=-1)),
    "a count that falls": lambda a, b, c: changed(
        b, last_reached(b), looks=(Look(64, 1, 50), Look(96, 1, 49))),
    "not at the schedule": lambda a, b, c: relook(a, 3, lambda x: replace(x, n=x.n - 1)),
    "a look too many": lambda a, b, c: longer(a),
    "a slice passed over": lambda a, b, c: changed(a, 3, looks=()),
    "votes added": lambda a, b, c: replace(a, estimation=dict(a.estimation) | {1: a.estimation[1] + 1}),
    "votes moved": lambda a, b, c: replace(
        a, estimation=dict(a.estimation) | {1: a.estimation[1] - 2, 8: 2}),
    "a selection": lambda a, b, c: replace(a, selection={1: 5}),
    "looks of their own": lambda a, b, c: replace(a, looks=(Look(64, 1, 64),)),
    "a lost slice that stopped at will": lambda a, b, c: changed(
        b, last_reached(b), looks=(Look(64, 1, 45),)),
    "looks after the lost slice": lambda a, b, c: replace(
        changed(b, unreached(b), looks=(Look(64, 1, 64),)),
        estimation=dict(b.estimation) | {1: b.estimation[1] + 64}),
    "not the favourite": lambda a, b, c: replace(
        changed(c, last_reached(c), looks=(Look(64, 4, 1),)), estimation={1: 63, 4: 1}),
}  # fmt: skip


@pytest.mark.parametrize("how", FORGED)
def test_forged_evidence_is_not_consistent(how: str) -> None:
    mode, *true = evidences()
    forged = FORGED[how](*true)
    assert forged not in true
    assert not mode.consistent(forged, noise(SIGMA))


def test_votes_do_not_depend_on_threads_or_batches() -> None:
    weights = np.random.default_rng(3).standard_normal((144, 4))
    model, image = linear((1, 12, 12), weights, np.zeros(4)), smooth(12, 12)
    mode = sliced("rotation", -6, 6, n=2000)
    found = {
        run(mode, OrtClassifier(model, threads=threads, batch_size=size), noise(0.5), image, key=KEY)
        .evidence.to_json()
        .__str__()
        for threads, size in ((1, 32), (2, 32), (2, 7), (1, 1000), (2, None))
    }
    assert len(found) == 1


# --- Models of every layout -------------------------------------------------------------------------------------------


def test_one_channel_is_the_same_in_every_layout() -> None:
    """The address of a pixel's noise is its place, and one channel has the same places in all of them."""
    weights, image = np.random.default_rng(4).standard_normal(144), smooth(12, 12)
    bias = -float(weights @ image.reshape(-1) / 255) + 3.0
    mode = sliced("rotation", -3, 3, n=500)
    found = [
        run(mode, OrtClassifier(half_space(shape, weights, bias), threads=1), noise(0.5), x, key=KEY)
        for shape in ((1, 12, 12), (12, 12, 1), (144,), (12, 12))
        for x in (image, image[..., None], image[None])
    ]
    assert found[0].evidence.samples > 0
    assert all(certificate == found[0] for certificate in found)


@pytest.mark.parametrize("shape", [(3, 12, 14), (12, 14, 3)], ids=["planar", "interleaved"])
def test_colours_first_or_last_are_the_same_image(shape: tuple[int, ...]) -> None:
    """A half-space through the colours at one corner of the model's input, to which the image's corner must come."""
    image = smooth(12, 14, 3)
    weights = np.zeros(shape)
    weights[(slice(None), 6, 7) if shape[0] == 3 else (6, 7)] = (1, -2, 1)
    middle = float(np.array([1, -2, 1]) @ image[6, 7] / 255)
    classifier = OrtClassifier(half_space(shape, weights, 2.5 - middle), threads=1)
    mode = sliced("rotation", -2, 2, n=500)
    first, last = (run(mode, classifier, noise(0.5), x, key=KEY) for x in (np.moveaxis(image, -1, 0), image))
    assert first == last
    assert first.prediction == 1


def test_the_model_sees_the_attacked_image_behind_the_pipeline() -> None:
    """Votes for a bright middle under a mask that blacks it out, or not; 8-bit pixels, as the attacker's code has."""
    image = np.zeros((40, 40), np.uint8)
    image[16:24, 16:24] = 255
    weights = np.zeros((20, 20))
    weights[9:11, 9:11] = 1
    mode = sliced("rotation", -1, 1, n=500)
    for brightness, prediction in ((255, 1), (0, 0)):
        spatial = Preprocess(spatial=Spatial(resize=20, antialias=True, mask="circle"))
        classifier = OrtClassifier(half_space((1, 20, 20), weights, -2.0), threads=1, preprocess=spatial)
        assert run(mode, classifier, noise(0.5), np.minimum(image, brightness), key=KEY).prediction == prediction


def test_data_that_are_no_8_bit_images_are_refused() -> None:
    mode, classifier = sliced("rotation", -1, 1), OrtClassifier(half_space((4, 4), np.ones(16), 0.0), threads=1)
    for x in (np.zeros((4, 4), np.float32), np.zeros(16, np.uint8)):
        with pytest.raises(DataError, match="expected 8-bit images"):
            run(mode, classifier, noise(0.5), x, key=KEY)
    with pytest.raises(DataError, match="fits the model"):
        run(mode, classifier, noise(0.5), np.zeros((5, 4), np.uint8), key=KEY)


# --- Runs -------------------------------------------------------------------------------------------------------------

ROTATION = ("--mode", "slices", "--attack", "rotation=-4:4")
RUN = ("certify", MODEL, "six.npz", "--smooth", "noise=0.5", *ROTATION, "--n", 2000, "--nonce", "s", "--quiet")


def timeless(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in RunFolder(folder).entries()]


def write(folder: Path, entries: list[dict[str, Any]]) -> None:
    (folder / LEDGER).write_text("".join(json.dumps(entry) + "\n" for entry in entries))


@pytest.fixture
def whole(cli: Cli, few_digits: Path) -> list[dict[str, Any]]:
    assert cli(*RUN, "--run", "whole").code == 0
    return timeless(Path("whole"))


def test_a_run_names_its_attack_and_verifies(cli: Cli, few_digits: Path) -> None:
    result = cli(*RUN[:-1], "--run", "r")
    assert result.code == 0
    said = r"6 inputs, 48 to 2,000 samples for each of about \d+ slices, p_lower above 0.691462 needed, by input more"
    assert re.search(said, result.out)
    assert "slices mode" in result.out
    assert "│ rotation -4:4 │             100.0% │" in result.out
    assert cli("verify", "r").out == "r: 6 entries (attack model integer), 0 problems\n"
    assert cli("report", "r", "--fail-under", "0=0.9").code == 0
    assert all(entry["evidence"]["attack_model"] == "integer" for entry in timeless(Path("r")))


@pytest.mark.parametrize("options", [("--threads", 1), ("--batch-size", 7), ("--batch-size", 500)], ids=str)
def test_the_ledger_does_not_depend_on_how_it_was_computed(
    cli: Cli, whole: list[dict[str, Any]], options: tuple[Any, ...]
) -> None:
    assert cli(*RUN, *options, "--run", "r").code == 0
    assert timeless(Path("r")) == whole


def test_shards_and_torn_ledgers_give_the_whole(cli: Cli, whole: list[dict[str, Any]]) -> None:
    for i in (1, 2):
        assert cli(*RUN, "--shard", f"{i}/2", "--run", f"part{i}").code == 0
    assert cli("merge", "merged", "part1", "part2").code == 0
    assert timeless(Path("merged")) == whole
    assert cli("verify", "merged").code == 0
    content = Path("whole", LEDGER).read_bytes()
    Path("whole", LEDGER).write_bytes(content[: len(content) * 2 // 3])
    assert cli(*RUN, "--run", "whole").code == 0
    assert timeless(Path("whole")) == whole


def test_killed_and_resumed(tmp_path: Path) -> None:
    with np.load(IMAGES) as archive:
        np.savez(tmp_path / "six.npz", x=archive["x"][:12], y=archive["y"][:12])
    command = [sys.executable, "-c", "from smoothcert.cli.app import main; main()", *map(str, RUN), "--run"]
    ledger = tmp_path / "killed" / LEDGER
    for _ in range(3):
        process = subprocess.Popen([*command, "killed"], cwd=tmp_path, stdout=subprocess.DEVNULL)
        size = ledger.stat().st_size if ledger.exists() else 0
        while process.poll() is None and (not ledger.exists() or ledger.stat().st_size <= size):
            time.sleep(0.005)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert 0 < len(RunFolder(tmp_path / "killed").entries()) < 12
    for name in ("killed", "whole"):
        subprocess.run([*command, name], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert timeless(tmp_path / "killed") == timeless(tmp_path / "whole")


def test_an_input_of_too_many_slices_fails_alone(cli: Cli) -> None:
    Path("m.onnx").write_bytes(half_space((32, 32), np.ones(1024), 1.0))
    np.savez("d.npz", x=np.stack([np.zeros_like(rough(32, 32)), rough(32, 32), np.zeros_like(rough(32, 32))]))
    run = ("--smooth", "noise=0.02", "--mode", "slices", "--attack", "rotation=-20:20", "-q", "--run", "r")
    result = cli("certify", "m.onnx", "d.npz", *run)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "1 of 3 inputs failed, the first: slices: rotation -20:20 needs more than 4096 slices" in result.err
    assert ["error" in entry for entry in RunFolder(Path("r")).entries()] == [False, True, False]
    assert cli("verify", "r").code == 0


def test_a_first_input_of_too_many_slices_refuses_the_run(cli: Cli) -> None:
    Path("m.onnx").write_bytes(half_space((32, 32), np.ones(1024), 1.0))
    np.savez("d.npz", x=np.stack([rough(32, 32), np.zeros_like(rough(32, 32))]))
    run = ("--smooth", "noise=0.02", "--mode", "slices", "--attack", "rotation=-20:20", "-q", "--run", "r")
    result = cli("certify", "m.onnx", "d.npz", *run)
    assert (result.code, result.err.count("\n"), Path("r").exists()) == (2, 1, False)
    assert "slices: rotation -20:20 needs more than 4096 slices, the most there may be; raise" in result.err


def test_the_preflight_counts_slices_and_the_time_to_cut_them(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("m.onnx").write_bytes(half_space((16, 16), np.ones(256), 1.0))
    np.savez("d.npz", x=np.stack([rough(16, 16)] * 30))
    run = ("--smooth", "noise=0.5", "--mode", "slices", "--attack", "rotation=-20:20", "--n", 200, "-q", "--run", "r")
    x = OrtClassifier("m.onnx", threads=1).prepare(rough(16, 16))
    covers, (slices, _) = PixelSlicing.covers, sliced("rotation", -20, 20, n0=320, n=200).pieces(x, noise(0.5))
    asked = sliced("rotation", -20, 20, n0=320, n=200)
    fewest, most = (len(asked.slicing(x, noise(0.5)).cut(asked.whole, reach)) for reach in (1.0, 0.5))
    assert fewest <= slices <= most

    def slowly(*arguments: Any) -> bool:
        time.sleep(0.5)
        return covers(*arguments)

    monkeypatch.setattr(PixelSlicing, "covers", slowly)
    monkeypatch.setattr("smoothcert.cli.show.complete", lambda folder, run: iter(()))
    Path("r").mkdir()
    out = cli("certify", "m.onnx", "d.npz", *run).out
    found = re.search(
        r"48 to 200 samples for each of about (\d+) slices.*: (\d+) min if votes agree$", out, re.MULTILINE
    )
    assert found is not None
    assert int(found[1]) == slices
    assert int(found[2]) >= 30 * slices * 0.5 / 60


def test_an_image_too_large_to_enclose_fails_alone(cli: Cli) -> None:
    Path("m.onnx").write_bytes(half_space((4, 4), np.ones(16), 1.0))
    for i, width in enumerate((8, 16400, 9)):
        Path("f").mkdir(exist_ok=True)
        cv2.imwrite(f"f/{i}.png", np.full((8, width), 99, np.uint8))
    run = ("--smooth", "noise=0.5", *ROTATION, "--resize", 4, "--crop", 4, "-q", "--run", "r")
    assert cli("certify", "m.onnx", "f", *run).code == 2
    assert ["error" in entry for entry in RunFolder(Path("r")).entries()] == [False, True, False]


def forged(entries: list[dict[str, Any]], how: str) -> int:
    """Change the entry of most slices; its index."""
    entries = sorted(entries, key=lambda entry: len(entry["evidence"]["slices"]))
    entry, other = entries[-1], entries[0]
    assert len(other["evidence"]["slices"]) < len(entry["evidence"]["slices"])
    evidence, certificate = entry["evidence"], entry["certificate"]
    slices = evidence["slices"]
    match how:
        case "prediction":
            certificate["prediction"] = 1 - certificate["prediction"]
        case "a radius":
            certificate["radius"] = 0.5
        case "p_lower":
            certificate["p_lower"] += 0.01
        case "a count":
            slices[1][2][-1][2] -= 12
        case "a count that stands":
            slices[1][2][-1][2] -= 1
        case "votes":
            evidence["estimation"][str(certificate["prediction"])] += 1
        case "slices of another image":
            entry["evidence"] = evidence | {k: other["evidence"][k] for k in ("slices", "estimation")}
            certificate["prediction"] = other["certificate"]["prediction"]
        case "one wide slice":
            label = certificate["prediction"]
            evidence["slices"] = [[-4.0, 4.0, [[64, label, 64]]]]
            evidence["estimation"] = {str(label): 64}
        case "a wider reach":
            evidence["reach"] = 2.0
        case "a vote of the pilot":
            evidence["pilot"][0][2] -= 1
        case "no pilot":
            del evidence["pilot"], evidence["reach"]
        case "slack":
            evidence["slack"] = 0.0004
        case "no slices":
            del evidence["slices"]
    return int(entry["index"])


@pytest.mark.parametrize(
    "how",
    ["prediction", "a radius", "p_lower", "a count", "a count that stands", "votes", "slices of another image",
     "one wide slice", "a wider reach", "a vote of the pilot", "no pilot", "slack", "no slices"],
)  # fmt: skip
def test_verify_finds_the_forgery(cli: Cli, whole: list[dict[str, Any]], how: str) -> None:
    assert cli("verify", "whole").code == 0
    index = forged(whole, how)
    write(Path("whole"), [entry | {"seconds": 0.0} for entry in whole])
    result = cli("verify", "whole")
    assert result.code == 1
    assert f"wrong: input {index}: " in result.out


def test_a_run_of_an_earlier_version_is_what_it_was(cli: Cli, few_digits: Path) -> None:
    """Its recipe has no n0: half a deviation, the first slice's class, alpha shared. Drawn again, the same votes."""
    files, folder = Files(Path(MODEL), Path("six.npz")), RunFolder(Path("old"))
    mode, classifier = sliced("rotation", -4, 4, n=2000), OrtClassifier(MODEL, threads=1)
    begun = new_run(files, classifier, open_dataset(files.data, None), noise(0.5), mode)
    folder.begin(begun.question.recipe)
    assert "n0" not in folder.recipe()["algorithm"]
    run = open_run(folder.recipe(), threads=1)
    write(folder.path, [run.entry(i) for i in range(6)])
    evidence = [entry["evidence"] for entry in timeless(Path("old"))]
    assert all(e["selection"] == {} and e["slices"][0][2][0][0] == 64 and "reach" not in e for e in evidence)
    result = cli("verify", "old", "--redraw", 2)
    assert (result.code, result.out.count("0 problems")) == (0, 1)


@pytest.mark.parametrize("slices", [[5], "wide"])
def test_slices_that_are_none_are_no_entry(cli: Cli, whole: list[dict[str, Any]], slices: object) -> None:
    whole[0]["evidence"]["slices"] = slices
    write(Path("whole"), [entry | {"seconds": 0.0} for entry in whole])
    result = cli("verify", "whole")
    assert (result.code, result.out) == (2, "")
    assert "line 1: expected a ledger entry" in result.err


def test_verify_finds_a_wider_range(cli: Cli, whole: list[dict[str, Any]]) -> None:
    recipe = Path("whole", RECIPE)
    recipe.write_text(recipe.read_text().replace("high = 4.0", "high = 9.0"))
    result = cli("verify", "whole")
    assert (result.code, result.out.count("not drawn under this run's key")) == (1, 6)


@pytest.mark.parametrize("case", ["more slices than there may be", "no image"])
def test_verify_finds_a_certificate_of_what_cannot_be_cut(cli: Cli, case: str) -> None:
    """An entry whose evidence is right but for the slices: there are none of this input."""
    Path("m.onnx").write_bytes(half_space((1024,), np.ones(1024), 1.0))
    x = rough(32, 32) if case != "no image" else rough(1024)
    np.savez("d.npz", x=x[None])
    mode, smoothing = sliced("rotation", -20, 20), noise(0.02)
    classifier, data = OrtClassifier("m.onnx", threads=1), open_dataset(Path("d.npz"), None)
    folder = RunFolder(Path("r"))
    files, prepared = Files(Path("m.onnx"), Path("d.npz")), classifier.prepare(x)
    recipe = folder.begin(new_run(files, classifier, data, smoothing, mode).question.recipe)
    sampler = sampler_of(mode, classifier, smoothing, prepared, key=run_key(recipe), index=0)
    looks = (Look(64, 1, 64),)
    evidence = replace(sampler.evidence("slices", {}, {1: 64}), slices=(Slice(-20.0, 20.0, looks),))
    certificate = mode.decide(evidence, smoothing)
    assert certificate.prediction == 1
    assert mode.consistent(evidence, smoothing)
    entry = {"index": 0, "name": "d.npz[0]", "label": None, "input": data.load(0).sha256, "base": 1, "seconds": 0.0}
    write(Path("r"), [entry | {"certificate": certificate.to_json(), "evidence": evidence.to_json()}])
    result = cli("verify", "r")
    assert (result.code, result.err) == (1, "")
    assert "wrong: input 0: " in result.out


def test_verify_reads_images_as_the_model_did(cli: Cli) -> None:
    """Colours first by --layout, though the shape alone would say last."""
    Path("m.onnx").write_bytes(half_space((4, 9, 3), np.ones(108), 1.0))
    np.savez("d.npz", x=np.stack([rough(4, 9, 3)]))
    assert cli("certify", "m.onnx", "d.npz", *RUN[3:], "--layout", "nchw", "--run", "r").code == 0
    assert cli("verify", "r").out == "r: 1 entries (attack model integer), 0 problems\n"


def test_verify_accepts_the_slices_of_another_processor(cli: Cli) -> None:
    """Kernels of other instructions round otherwise; slices that they chose are as good where they hold here."""
    np.savez("rough.npz", x=rough(2, 96, 96))
    before = cv2.useOptimized()
    try:
        cv2.setUseOptimized(False)
        assert cli("certify", MODEL, "rough.npz", *RUN[3:], "--resize", 32, "--antialias", "--run", "r").code == 0
    finally:
        cv2.setUseOptimized(before)
    assert cli("verify", "r").out == "r: 2 entries (attack model integer), 0 problems\n"


# --- Refusals ---------------------------------------------------------------------------------------------------------

DIGITS = {"x": np.zeros((2, 32, 32), np.uint8)}
FLOATS, VECTORS = {"x": np.zeros((2, 32, 32), np.float32)}, {"x": np.zeros((2, 1024), np.uint8)}
NOISE = ("--smooth", "noise=0.5")
AND_ROTATION = (*NOISE, "--attack", "rotation=-5:5")
BAD: dict[str, tuple[dict[str, Any], tuple[Any, ...], str]] = {
    "no attack": (DIGITS, NOISE, "expected --attack NAME=LOW:HIGH, such as rotation=-10:10, got none"),
    "two attacks": (DIGITS, (*AND_ROTATION, "--attack", "scaling=0.9:1.1"), "expected one interval of numbers"),
    "a grid": (DIGITS, (*NOISE, "--attack", "rotation=-5:5:3"), "expected one interval of numbers"),
    "another attack": (DIGITS, (*NOISE, "--attack", "blur=1"), "expected an attack of rotation or"),
    "a factor of 0": (DIGITS, (*NOISE, "--attack", "scaling=0:1"), "expected a factor > 0 for scaling"),
    "a factor below 0": (DIGITS, (*NOISE, "--attack", "scaling=-1:1"), "expected a factor > 0 for scaling"),
    "a factor too small": (DIGITS, (*NOISE, "--attack", "scaling=0.001:1"), "scaling: expected 0.01"),
    "too far around": (DIGITS, (*NOISE, "--attack", "rotation=0:1e7"), "rotation: expected"),
    "rotation smoothed": (DIGITS, ("--smooth", "rotation=5", *AND_ROTATION[2:]), "calibration is needed"),
    "contrast smoothed": (DIGITS, ("--smooth", "contrast=1", *AND_ROTATION[2:]), "expected a smoothing of noise alone"),
    "two parts": (DIGITS, ("--smooth", "contrast=1", *AND_ROTATION), "expected a smoothing of noise alone"),
    "the path bound": (DIGITS, (*AND_ROTATION, "--guarantee", "path"), "expected a smoothing of noise alone"),
    "no smoothing": (DIGITS, AND_ROTATION[2:], "expected at least one NAME=SCALE"),
    "radii": (DIGITS, (*AND_ROTATION, "--radii", "1"), "--radii: expected with --mode target alone"),
    "two-sided": (DIGITS, (*AND_ROTATION, "--bound", "two-sided"), "--bound and --n0 have no meaning there"),
    "n0": (DIGITS, (*AND_ROTATION, "--n0", 10), "--bound and --n0 have no meaning there"),
    "a calibration": (DIGITS, (*AND_ROTATION, "--calibration", "d.npz"), "expected a calibration file"),
    "few votes": (DIGITS, (*AND_ROTATION, "--n", 9), "could only abstain"),
    "a border": (DIGITS, (*AND_ROTATION, "--border", "mirror"), "Invalid value for '--border'"),
    "bicubic": ({"x": np.zeros((2, 40, 40), np.uint8)},
                (*AND_ROTATION, "--resize", 32, "--interpolation", "bicubic"), "expected nearest, bilinear or area"),
    "floats": (FLOATS, AND_ROTATION, "expected 8-bit images"),
    "vectors": (VECTORS, AND_ROTATION, "expected 8-bit images"),
    "another size": ({"x": np.zeros((2, 28, 28), np.uint8)}, AND_ROTATION, "got uint8 (28, 28)"),
    "resized to another size": (DIGITS, (*AND_ROTATION, "--resize", 16), "got uint8 (16, 16)"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(cli: Cli, case: str) -> None:
    arrays, options, message = BAD[case]
    np.savez("d.npz", **arrays)
    result = cli("certify", MODEL, "d.npz", "--mode", "slices", *options, "--run", "r")
    assert (result.code, result.err.count("\n")) == (2, 1), result.err
    assert message in result.err
    assert not Path("r").exists()
