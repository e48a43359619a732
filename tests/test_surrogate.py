"""Surrogates: distances, coverage, samples and certificates, on bundles whose truth is known in closed form."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper
from scipy.special import ndtr, ndtri
from scipy.stats import chi2, norm

from smoothcert import ABSTAIN, OrtClassifier, SmoothcertError, certify, certify_radius, certify_targets, predict
from smoothcert.bounds.covariance import Covariance
from smoothcert.draws import FARTHEST, Stream, double_normal
from smoothcert.model.preprocess import prepared
from smoothcert.smoothing import smoothing_of
from smoothcert.smoothing.bundle import CodeNoise
from smoothcert.smoothing.coded import OnCodes, image_of
from smoothcert.smoothing.published import Published
from smoothcert.smoothing.ranges import Range
from smoothcert.smoothing.transform import attacked
from smoothcert.surrogate_file import OpenBundle, open_surrogate

from . import models
from .surrogates import STEP, write_bundle

IMAGE = (1, 6, 6)
SIZE = 36


def picture(seed: int, low: int = 60, high: int = 190) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(low, high, (6, 6)).astype(np.uint8)


def random_bundle(folder: Path, seed: int, name: str, trained: tuple[float, float], **more: Any) -> OpenBundle:
    d = 7
    rng = np.random.default_rng(seed)
    m = 2 if name == "translation" else 1
    more = {"a1": rng.normal(size=(d, m)), "factor": rng.normal(size=(d, 3)) / 4, **more}
    matrix, normal = rng.normal(size=(d, SIZE)) / 6, rng.normal(size=d)
    deviations = rng.uniform(0.2, 0.6, d)
    return open_surrogate(
        write_bundle(
            folder, name=name, trained=trained, matrix=matrix, normal=normal, image=IMAGE, deviations=deviations, **more
        )
    )


# Distances: theory.md section 6.


@pytest.mark.parametrize(
    ("shift", "delta"), [((0.5, 0.2), 0.820855), ((0.4, 0.0), 0.383131), ((0.0, 0.3), 1.0), ((0.4, 0.6), 2.036367)]
)
def test_distances_of_the_theory(shift: tuple[float, float], delta: float) -> None:
    covariance = Covariance(0.5 * np.array([[2.0], [0.0]]), np.array([0.3, 0.3]))
    assert covariance.distances(np.array([shift]))[0] == pytest.approx(delta, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(0, 5), st.floats(1e-3, 1e3))
def test_distances_are_those_of_the_inverse_and_never_below(seed: int, d: int, k: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    covariance = Covariance(scale * rng.normal(size=(d, k)), rng.uniform(0.1, 1, d))
    shifts = rng.normal(size=(4, d))
    whole = covariance.factor @ covariance.factor.T + np.diag(covariance.deviations**2)
    exact = np.sqrt(np.einsum("ij,ij->i", shifts @ np.linalg.inv(whole), shifts))
    found = covariance.distances(shifts)
    assert found == pytest.approx(exact, rel=1e-6)
    assert (found >= exact * (1 - 1e-8)).all()
    assert covariance.scaled(2.0).distances(shifts) == pytest.approx(found / 2, rel=1e-9)


def test_a_factor_far_above_the_deviations_cancels_nothing() -> None:
    """Woodbury's formula leaves nothing but rounding here: 1e16 - 1e16."""
    covariance = Covariance(np.array([[1e8], [0.0]]), np.array([1e-8, 1e-8]))
    assert covariance.distances(np.array([[1e8, 0.0]]))[0] == pytest.approx(1.0, rel=1e-6)


def test_stretch_is_the_farthest_of_unit_vectors() -> None:
    rng = np.random.default_rng(3)
    covariance, matrix = Covariance(rng.normal(size=(6, 2)), rng.uniform(0.1, 1, 6)), rng.normal(size=(6, 9))
    units = rng.normal(size=(20_000, 9))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    found = covariance.distances(units @ matrix.T).max()
    whole = covariance.factor @ covariance.factor.T + np.diag(covariance.deviations**2)
    exact = math.sqrt(np.linalg.eigvalsh(matrix.T @ np.linalg.inv(whole) @ matrix).max())
    assert found <= covariance.stretch(matrix)
    assert exact <= covariance.stretch(matrix) <= exact * (1 + 1e-5)


@pytest.mark.parametrize(
    ("factor", "deviations"),
    [(np.zeros((2, 1)), [1.0, 0.0]), (np.full((2, 1), np.nan), [1.0, 1.0]), (np.zeros((3, 1)), [1.0, 1.0])],
    ids=["no noise in a direction", "nan", "shapes"],
)
def test_what_is_no_covariance_is_refused(factor: NDArray[np.float64], deviations: list[float]) -> None:
    with pytest.raises(ValueError, match="covariance: expected"):
        Covariance(factor, np.array(deviations))


# Samples.


def test_double_normals_are_normal_and_addressed() -> None:
    """Kolmogorov-Smirnov's law of 400,000 draws; the same draws in any batch."""
    out = np.empty((8000, 50))
    double_normal(Stream(7, 1, 2), 0, out)
    ordered = np.sort(out.ravel())
    n = ordered.size
    gap = np.abs(ndtr(ordered) - (np.arange(n) + 0.5) / n).max()
    assert gap < 1.95 / math.sqrt(n)  # P = .001
    assert abs(out).max() < FARTHEST
    for size, first in ((50, 17), (7, 123), (50, 7999)):
        part = np.empty((1, size))
        double_normal(Stream(7, 1, 2), first, part)
        if size == 50:
            assert (part[0] == out[first]).all()
    correlation = np.corrcoef(out[:, :6].T) - np.eye(6)
    assert abs(correlation).max() < 5 / math.sqrt(len(out))
    assert abs(np.corrcoef(out[1:, 0], out[:-1, 0])[0, 1]) < 5 / math.sqrt(len(out))


def test_samples_of_an_attacked_image_are_shifted_by_the_very_steps_of_its_code(tmp_path: Path) -> None:
    """What makes the certificate exact in float arithmetic: rounding commutes with whole steps, bit by bit."""
    opened = random_bundle(tmp_path, 0, "brightness", (-0.2, 0.2), b1=np.linspace(-0.3, 0.3, 7))
    smoothing = opened.smoothing(CodeNoise(sigma1=0.4, sigma2=0.3))
    x, moved = picture(1), attacked(picture(1)[..., None], [(smoothing.transform, 0.13)])[..., 0]
    batches = []
    for image in (x, moved):
        samples = smoothing.perturbation.samples(prepared(image))
        out = np.empty((300, *samples.shape), samples.dtype)
        samples.fill(Stream(5, 0, 1), 40, out)
        batches.append(out.astype(np.float64) / STEP)
    steps = opened.of(image_of(prepared(moved))[None]) - opened.of(image_of(prepared(x))[None])
    assert (np.rint(batches[0]) == batches[0]).all()
    assert (batches[1] - batches[0] == steps).all()
    assert np.abs(steps).max() > 10


@pytest.mark.parametrize(("first", "count"), [(0, 1), (31, 1), (31, 2), (5, 60), (64, 33), (95, 5)])
def test_samples_are_the_same_in_any_batch(tmp_path: Path, first: int, count: int) -> None:
    samples = (
        random_bundle(tmp_path, 0, "brightness", (-0.2, 0.2)).smoothing().perturbation.samples(prepared(picture(1)))
    )
    whole, part = (np.full((size, *samples.shape), np.nan, np.float32) for size in (100, count))
    samples.fill(Stream(5, 0, 1), 0, whole)
    samples.fill(Stream(5, 0, 1), first, part)
    assert (part[: 100 - first] == whole[first : first + count]).all()


def test_samples_have_the_law_that_is_claimed(tmp_path: Path) -> None:
    """Their mean and covariance, and chi-squared of the distance, of 40,000 draws."""
    opened = random_bundle(tmp_path, 4, "brightness", (-0.2, 0.2))
    smoothing = opened.smoothing(CodeNoise(sigma=1.3))
    covariance, x = opened.covariance(smoothing.noise), prepared(picture(2))
    samples = smoothing.perturbation.samples(x)
    n = 40_000
    out = np.empty((n, *samples.shape), samples.dtype)
    samples.fill(Stream(11, 3, 1), 0, out)
    centred = out.astype(np.float64) - opened.of(image_of(x)[None]) * STEP
    whole = covariance.factor @ covariance.factor.T + np.diag(covariance.deviations**2)
    root = np.linalg.cholesky(np.linalg.inv(whole))
    white = centred @ root
    assert abs(white.mean(0)).max() < 4.5 / math.sqrt(n)
    assert abs(white.T @ white / n - np.eye(7)).max() < 6 / math.sqrt(n)
    lengths = np.sort(chi2.cdf(np.square(white).sum(1), 7))
    assert np.abs(lengths - (np.arange(n) + 0.5) / n).max() < 1.95 / math.sqrt(n)


def test_rounded_draws_follow_the_rounded_law() -> None:
    """Chi-squared over whole steps, where a step is as coarse as a deviation: what the slack speaks of."""
    covariance, step = Covariance(np.array([[0.0625]]), np.array([0.0625])), 2.0**-4
    slack = covariance.rounding_variation(step, FARTHEST)
    assert 0 < slack < 1e-12
    n = 200_000
    normals = np.empty((n, 2))
    double_normal(Stream(3, 0, 1), 0, normals)
    found = np.rint((normals @ [0.0625, 0.0625]) / step)
    cells = np.arange(-3, 4)
    edges = norm.cdf((np.append(cells - 0.5, 3.5)) * step, scale=0.0625 * math.sqrt(2))
    expected = np.diff(edges) * n
    counts = np.array([(found == cell).sum() for cell in cells])
    assert np.square(counts - expected).__truediv__(expected).sum() < chi2.isf(1e-4, len(cells) - 1)


def test_slack_of_a_real_code_is_small_and_grows_with_its_size() -> None:
    small, large = (
        Covariance(np.full((d, 8), 0.1), np.full(d, 0.25)).rounding_variation(2.0**-12, FARTHEST) for d in (64, 3072)
    )
    assert small < large < 1e-6


# Certificates on a code of one number: the smoothed classifier, and so its truth, is known at every attack.


def scalar(folder: Path, deviation: float = 0.25, threshold: float = 0.62) -> OpenBundle:
    """The code is the mean intensity, class 1 above the threshold: at brightness b, P(1) = Phi((mean + b - t) / s)."""
    return open_surrogate(
        write_bundle(
            folder,
            name="brightness",
            trained=(-0.4, 0.4),
            matrix=np.full((1, SIZE), 1 / SIZE),
            normal=np.array([1.0]),
            threshold=threshold,
            image=IMAGE,
            deviations=np.array([deviation]),
        )
    )


def test_the_radius_is_the_truth_on_a_half_space(tmp_path: Path) -> None:
    """From both sides: with the true probability as p_lower, nothing less and nothing more is certified."""
    opened = scalar(tmp_path)
    x = prepared(np.full((6, 6), 120, np.uint8))
    smoothing = opened.smoothing().of_input(x)
    truth = 0.62 - 120 / 255  # the brightness at which the answer changes
    p = float(ndtr(truth / 0.25))
    below, above = ((math.floor(255 * truth) + side) / 255 for side in (0, 1))
    assert smoothing.radius(p) == pytest.approx(below, abs=1e-9)
    assert smoothing.survives({"brightness": (-below, below)}, p, 1 - p)
    assert not smoothing.survives({"brightness": (-above, above)}, p, 1 - p)
    classifier = OrtClassifier(tmp_path / "model.onnx")
    certificate = certify(classifier, opened.smoothing(), np.full((6, 6), 120, np.uint8), key=3)
    assert certificate.prediction == 0
    assert truth * 0.98 - 1 / 255 <= certificate.radius <= truth


@pytest.mark.slow
def test_wrong_certificates_are_rarer_than_alpha(tmp_path: Path) -> None:
    """1,000 runs at alpha = .05; a certificate is wrong where it goes beyond the brightness that changes the answer."""
    opened, alpha, runs = scalar(tmp_path, deviation=0.3), 0.05, 1000
    classifier, x = OrtClassifier(tmp_path / "model.onnx"), np.full((6, 6), 110, np.uint8)
    smoothing, truth = opened.smoothing(), 0.62 - 110 / 255
    found = [certify(classifier, smoothing, x, n=300, n0=20, alpha=alpha, key=run) for run in range(runs)]
    wrong = sum(c.prediction == 1 or (c.prediction == 0 and c.radius >= truth) for c in found)
    assert wrong <= 50 + 3 * math.sqrt(runs * alpha * (1 - alpha))
    assert sum(c.radius > 0.5 * truth for c in found) > 0.9 * runs


def test_every_mode_says_what_holds(tmp_path: Path) -> None:
    opened = scalar(tmp_path)
    classifier, x = OrtClassifier(tmp_path / "model.onnx"), np.full((6, 6), 120, np.uint8)
    smoothing, truth = opened.smoothing(), 0.62 - 120 / 255
    radius = certify_radius(classifier, smoothing, x, key=1)
    target = certify_targets(classifier, smoothing, x, (0.05, 0.1, 0.3), key=1)
    attacked_only = certify(classifier, opened.smoothing(attack={"brightness": (-0.1, 0.1)}), x, key=1,
                            attack={"brightness": (-0.1, 0.1)}, n=10_000)  # fmt: skip
    assert 0.9 * truth < radius.radius < truth
    assert (target.prediction, target.radius) == (0, 0.1)
    assert target.interval == pytest.approx((-0.1, 0.1))
    assert attacked_only.prediction == predict(classifier, smoothing, x, key=1).prediction == 0
    lost = certify(classifier, smoothing, x, key=1, attack={"brightness": (-0.2, 0.2)}, n=10_000)
    assert lost.prediction == ABSTAIN
    assert "attack too strong" in lost.reason


def test_a_batch_of_another_size_gives_the_same_votes(tmp_path: Path) -> None:
    opened = random_bundle(tmp_path, 8, "brightness", (-0.1, 0.1))
    found = []
    for threads in (1, 2):
        classifier = OrtClassifier(tmp_path / "model.onnx", threads=threads)
        found.append(certify(classifier, opened.smoothing(), picture(3), n=3001, key=9).evidence)
    assert found[0] == found[1]
    assert len(found[0].distances) == 53  # whole levels from -26 to 26: half a level rounds to even


# Which attacks are covered.

FINITE = [
    ("brightness", (-0.1, 0.12)),
    ("pixelate", (0.4, 1.0)),
    ("defocus-blur", (0.0, 2.5)),
    ("zoom-blur", (1.0, 1.2)),
    ("motion-blur", (1.0, 4.0)),
]


@pytest.mark.parametrize(("name", "ends"), FINITE, ids=[name for name, _ in FINITE])
def test_no_attack_of_a_finite_range_goes_farther(tmp_path: Path, name: str, ends: tuple[float, float]) -> None:
    """Brute force over 800 values: none moves the code farther than the row of its outcome says."""
    opened = random_bundle(tmp_path, 5, name, ends)
    x, covariance = prepared(picture(6, 0, 255)), opened.covariance(CodeNoise(sigma=1.0))
    smoothing = opened.smoothing(CodeNoise(sigma=1.0))
    held = smoothing.of_input(x)
    values = [int(v) for v in range(1, 5)] if name == "motion-blur" else np.linspace(*ends, 800).tolist()
    origin = opened.of(image_of(x)[None])
    for value in values:
        image = attacked(picture(6, 0, 255)[..., None], [(opened.bundle.transform, value)])
        exact = covariance.distances((opened.of(np.moveaxis(image, -1, 0)[None]) - origin) * STEP)[0]
        assert ndtr(exact) <= held.p_star({name: value}) + 1e-12
    largest = max(row.deviations for row in held.found)
    assert held.p_star({name: ends}) == pytest.approx(ndtr(largest), rel=1e-9)
    if held.main:
        low, high = held.interval(*held.sides(ndtr(largest / 2))) or (0.0, 0.0)
        inside = [value for value in values if low <= value <= high]
        assert all(held.p_star({name: value}) < ndtr(largest / 2) for value in inside)


INTERVALS = [("rotation", (-8.0, 8.0)), ("scaling", (0.9, 1.1)), ("shear", (-0.1, 0.1))]


@pytest.mark.parametrize(("name", "ends"), INTERVALS, ids=[name for name, _ in INTERVALS])
def test_intervals_are_covered_by_cells(tmp_path: Path, name: str, ends: tuple[float, float]) -> None:
    """Brute force over 500 values and cell ends; the slope costs a tenth of a deviation, and is no more than needed."""
    opened = random_bundle(tmp_path, 6, name, ends)
    x, noise = prepared(picture(7)), CodeNoise(sigma=1.0)
    held, covariance = opened.smoothing(noise).of_input(x), opened.covariance(noise)
    assert [row.second for row in held.found[:-1]] == [row.first for row in held.found[1:]]
    assert (held.found[0].first, held.found[-1].second) == ends
    origin = opened.of(image_of(x)[None])
    rng = np.random.default_rng(0)
    exact = []
    for value in sorted([*rng.uniform(*ends, 500).tolist(), *(row.first for row in held.found)]):
        image = attacked(picture(7)[..., None], [(opened.bundle.transform, value)])
        exact.append(covariance.distances((opened.of(np.moveaxis(image, -1, 0)[None]) - origin) * STEP)[0])
        (row,) = [r for r in held.found if r.first <= value < r.second]
        assert exact[-1] <= row.deviations
    assert max(row.deviations for row in held.found) < max(exact) + 0.35


def test_a_grid_is_certified_at_its_points_alone(tmp_path: Path) -> None:
    opened = random_bundle(tmp_path, 9, "rotational-blur", (-10.0, 10.0))
    asked = {"rotational-blur": (-10, 10, 5)}
    smoothing = opened.smoothing(attack=asked).of_input(prepared(picture(1)))
    assert [row.first for row in smoothing.found] == [-10, -5, 0, 5, 10]
    assert smoothing.main is None
    assert smoothing.radius(0.99) == 0
    assert smoothing.p_star({"rotational-blur": 5}) <= smoothing.p_star(asked)
    with pytest.raises(ValueError, match="at points of the grid"):
        smoothing.p_star({"rotational-blur": (-5, 5)})


def test_translations_are_covered_in_both_directions(tmp_path: Path) -> None:
    opened = random_bundle(tmp_path, 9, "translation", (0.0, 2.0))
    asked = {"translation": (0, 2, 5)}
    smoothing = opened.smoothing(CodeNoise(sigma1=0.3, sigma2=0.3), asked)
    held = smoothing.of_input(prepared(picture(1)))
    assert {row[:2] for row in held.found} == {
        (down, right) for down in range(-2, 3) for right in range(-2, 3) if math.hypot(down, right) <= 2
    }
    certificate = certify(OrtClassifier(tmp_path / "model.onnx"), smoothing, picture(1), attack=asked, n=2000, key=1)
    assert len(certificate.evidence.distances) == 13


def test_an_attack_beyond_what_was_trained_is_certified_all_the_same(tmp_path: Path) -> None:
    """The exact certificate asks nothing of the surrogate's training."""
    opened = random_bundle(tmp_path, 2, "brightness", (-0.05, 0.05))
    smoothing = opened.smoothing(attack={"brightness": (-0.2, 0.2)}).of_input(prepared(picture(4)))
    assert smoothing.p_star({"brightness": (-0.2, 0.2)}) > smoothing.p_star({"brightness": (-0.05, 0.05)})
    with pytest.raises(ValueError, match=r"expected brightness within -0.2:0.2, got -0.3:0.3"):
        smoothing.p_star({"brightness": (-0.3, 0.3)})


# The paper's bound.


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 2.0), st.floats(0.05, 2.0), st.floats(0.0, 0.5))
def test_exact_is_never_weaker_than_the_paper(seed: int, sigma1: float, sigma2: float, error: float) -> None:
    """A random encoder, a surrogate that imitates a real transformation up to `error`, and the constants that hold.

    The real transformation is y(xi) + e(xi), |e| <= error, y' of norm bounded along a line: all constants are exact.
    """
    rng = np.random.default_rng(seed)
    d, pixels = 5, 8
    encoder, a1, along = rng.normal(size=(d, pixels)), rng.normal(size=(d, 1)), rng.normal(size=pixels)
    slope = float(np.linalg.norm(encoder @ along - a1[:, 0]))  # y = x + xi along
    lipschitz = float(np.linalg.norm(encoder, 2))
    covariance = Covariance(sigma1 * a1, np.full(d, sigma2))
    growth = math.hypot(1 / sigma1, slope / sigma2)
    for xi in (-1.0, -0.3, 0.2, 0.9):
        wrong = rng.normal(size=pixels)
        real = xi * along + error * wrong / np.linalg.norm(wrong)
        exact = covariance.distances((encoder @ real)[None])[0]
        assert exact <= (abs(xi) * growth + error * lipschitz / sigma2) * (1 + 1e-8)


def test_the_papers_distances_are_its_radius(tmp_path: Path) -> None:
    """R - error Lip(F2) / (sigma2 M*) > |xi| for every row that is kept, by theorem 3."""
    opened = random_bundle(tmp_path, 1, "brightness", (-0.2, 0.2))
    x, sigma1, sigma2, p = prepared(picture(1)), 0.2, 0.3, 0.8
    published = Published("a" * 64, opened.bundle.sha256, Range(-0.2, 0.2), 1.5, 0.02, {x.sha256: 0.8})
    smoothing = opened.smoothing(CodeNoise(sigma1=sigma1, sigma2=sigma2), published=published).of_input(x)
    growth = math.hypot(1 / sigma1, 0.8 / sigma2)
    radius = float(ndtri(p)) / growth - 0.02 * 1.5 / (sigma2 * growth)
    assert smoothing.guarantee == "paper"
    assert radius - 0.4 / 64 <= smoothing.radius(p) <= min(radius, 0.2)
    with pytest.raises(SmoothcertError, match="expected an input that was measured"):
        smoothing.of_input(prepared(picture(2)))


def test_the_paper_has_no_bound_for_other_noise_or_beyond_what_was_trained(tmp_path: Path) -> None:
    opened = random_bundle(tmp_path, 1, "brightness", (-0.2, 0.2))
    published = Published("a" * 64, opened.bundle.sha256, Range(-0.2, 0.2), 1.5, 0.02, {"b" * 64: 0.8})
    noise = CodeNoise(sigma1=0.2, sigma2=0.3)
    with pytest.raises(ValueError, match="expected sigma1 and sigma2, got sigma"):
        opened.smoothing(CodeNoise(sigma=1.0), published=published)
    with pytest.raises(ValueError, match=r"expected brightness within -0.2:0.2, on which the surrogate was trained"):
        opened.smoothing(noise, {"brightness": (-0.3, 0.3)}, published)
    with pytest.raises(ValueError, match="made for another surrogate"):
        opened.smoothing(noise, published=replace(published, surrogate="c" * 64))


# What is refused.


def test_a_recipe_makes_the_smoothing_again_without_its_codes(tmp_path: Path) -> None:
    opened = random_bundle(tmp_path, 1, "rotation", (-5.0, 5.0))
    smoothing = opened.smoothing(CodeNoise(sigma1=0.2, sigma2=0.3), {"rotation": (-2, 2)})
    again = smoothing_of(json.loads(json.dumps(smoothing.recipe)))
    assert again == smoothing
    with pytest.raises(SmoothcertError, match=r"expected the bundle whose surrogate.json has SHA-256"):
        _ = again.perturbation


BAD_NOISE = [
    ({}, "expected sigma alone, or both sigma1 and sigma2, got neither"),
    ({"sigma1": 0.1}, "expected sigma alone, or both"),
    ({"sigma": 1.0, "sigma1": 0.1, "sigma2": 0.1}, "expected sigma alone, or both"),
    ({"sigma": 0.0}, "expected sigma > 0, got 0"),
    ({"sigma1": 0.5, "sigma2": 0.0}, "expected sigma2 > 0, got 0"),
    ({"sigma": math.nan}, "surrogate: expected sigma"),
]


@pytest.mark.parametrize(("values", "message"), BAD_NOISE, ids=[str(values) for values, _ in BAD_NOISE])
def test_noise_that_is_none_is_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CodeNoise(**values)


def test_noise_finer_than_the_grid_of_codes_is_refused(tmp_path: Path) -> None:
    opened = random_bundle(tmp_path, 1, "brightness", (-0.1, 0.1))
    smoothing = opened.smoothing(CodeNoise(sigma1=0.2, sigma2=1e-5))
    with pytest.raises(ValueError, match="expected deviations of at least a step of the codes"):
        smoothing.perturbation.samples(prepared(picture(1)))


def test_codes_that_float32_cannot_count_are_refused(tmp_path: Path) -> None:
    opened = random_bundle(tmp_path, 1, "brightness", (-0.1, 0.1), b1=np.full(7, 5000.0))
    with pytest.raises(SmoothcertError, match="more than a float32 counts"):
        opened.smoothing().perturbation.samples(prepared(picture(1)))


@pytest.mark.parametrize("x", [np.zeros((6, 6), np.float32), np.zeros((5, 5), np.uint8)], ids=["float", "size"])
def test_data_that_do_not_suit_are_refused(tmp_path: Path, x: NDArray[Any]) -> None:
    opened = random_bundle(tmp_path, 1, "brightness", (-0.1, 0.1))
    with pytest.raises(SmoothcertError, match="surrogate: expected"):
        opened.smoothing().perturbation.samples(prepared(x))


def test_another_classifier_than_the_one_joined_is_refused(tmp_path: Path) -> None:
    opened = random_bundle(tmp_path / "a", 1, "brightness", (-0.1, 0.1))
    random_bundle(tmp_path / "b", 2, "brightness", (-0.1, 0.1))
    with pytest.raises(SmoothcertError, match="expected the classifier that it was joined with"):
        certify(OrtClassifier(tmp_path / "b" / "model.onnx"), opened.smoothing(), picture(1), n=100)
    with pytest.raises(ValueError, match="expected an OrtClassifier"):
        certify(lambda batch: batch.sum((1, 2)) > 0, opened.smoothing(), picture(1), n=100)


def test_perturbations_do_not_depend_on_the_input_but_by_its_code(tmp_path: Path) -> None:
    """Covariance and mean are one value for all inputs: what makes the attacked input's law the same but shifted."""
    opened = random_bundle(tmp_path, 1, "brightness", (-0.1, 0.1))
    smoothing = opened.smoothing()
    laws = [smoothing.of_input(prepared(picture(seed))).perturbation for seed in (1, 2)]
    assert all(isinstance(law, OnCodes) for law in laws)
    assert (laws[0].covariance.factor == laws[1].covariance.factor).all()
    assert (laws[0].covariance.deviations == laws[1].covariance.deviations).all()


def test_an_encoder_that_mixes_its_batch_is_asked_image_by_image(tmp_path: Path) -> None:
    """Its codes then do not depend on the attacks that are encoded beside an image, and no distance is too small."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Add", ["image", "mean"], ["sum"]),
        helper.make_node("Flatten", ["sum"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["code"]),
    ]
    weights = np.full((SIZE, 1), 1 / SIZE, np.float32)
    ends = (
        [models.value("image", TensorProto.FLOAT, ("N", *IMAGE))],
        [models.value("code", TensorProto.FLOAT, ("N", 1))],
    )
    encoder = models.model(nodes, *ends, {"w": weights}, opset=13)
    mean = np.full((1, SIZE), 1 / SIZE)
    folder = write_bundle(
        tmp_path, name="brightness", trained=(-0.1, 0.1), matrix=mean, normal=np.ones(1), image=IMAGE,
    )  # fmt: skip
    (folder / "encoder.onnx").write_bytes(encoder)
    manifest = json.loads((folder / "surrogate.json").read_text())
    manifest["files"]["encoder.onnx"] = hashlib.sha256(encoder).hexdigest()
    (folder / "surrogate.json").write_text(json.dumps(manifest))
    opened, images = open_surrogate(folder), np.stack([picture(1), picture(2)])[:, None]
    assert (opened.of(images) == np.concatenate([opened.of(images[:1]), opened.of(images[1:])])).all()


@pytest.mark.parametrize(("name", "ends"), [FINITE[0], FINITE[2], FINITE[4], INTERVALS[0]], ids=str)
def test_slices_of_codes_hold_every_attack(tmp_path: Path, name: str, ends: tuple[float, float]) -> None:
    """Brute force: every attack is in a slice, no farther than half a deviation from the code at its middle."""
    opened, noise = random_bundle(tmp_path, 5, name, ends), CodeNoise(sigma=0.5)
    x, covariance = prepared(picture(6)), opened.covariance(noise)
    slicing = opened.smoothing(noise).slicing(x, opened.bundle.transform)
    cuts = slicing.cut(Range(*ends), 0.5)
    assert slicing.covers(cuts, Range(*ends), 0.5)
    assert not slicing.covers(cuts, Range(*ends), 0.01)
    assert len(cuts) > 1

    def code(attack: float) -> NDArray[np.float64]:
        image = attacked(picture(6)[..., None], [(opened.bundle.transform, attack)])
        return opened.of(np.moveaxis(image, -1, 0)[None])

    for attack in range(1, 5) if name == "motion-blur" else np.linspace(*ends, 300).tolist():
        cut = max((cut for cut in cuts if cut[0] <= attack), default=cuts[0])
        following = [other for other in cuts if other[0] > attack][:1]
        near = [covariance.distances((code(attack) - code(slicing.middle(c))) * STEP)[0] for c in [cut, *following]]
        assert min(near) <= 0.5
