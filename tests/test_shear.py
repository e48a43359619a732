"""Shear: an attacker's warp, its enclosure, slices, and a calibrated part. Oracle: OpenCV's remap, and brute force."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from smoothcert import OrtClassifier, Shear, compose
from smoothcert.algorithms import Slices
from smoothcert.certification import run
from smoothcert.smoothing import Attack, Noise
from smoothcert.smoothing.shear import SHEARING, shear
from smoothcert.transforms import warps
from smoothcert.transforms.enclosure import enclose
from smoothcert_calibration.measure import measure
from smoothcert_calibration.plan import plan_of

from .conftest import IMAGES, MODEL


def test_rows_move_as_they_should() -> None:
    """Whole shifts of rows are exact: row y moves k (y - middle) columns to the right."""
    image = np.random.default_rng(0).integers(0, 256, (5, 9, 3), dtype=np.uint8)
    sheared = shear(image, 2.0, "wrap")
    for y in range(5):
        np.testing.assert_array_equal(sheared[y], np.roll(image[y], 2 * (y - 2), axis=0))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_shears_lie_in_their_enclosure(interpolation: str) -> None:
    """150 random images and intervals, each with 32 shears inside."""
    rng = np.random.default_rng(5)
    for _ in range(150):
        height, width = rng.integers(1, 24, 2)
        image = rng.integers(0, 256, (height, width, rng.choice([1, 3, 4])), dtype=np.uint8)
        if rng.random() < 0.5:
            image = cv2.GaussianBlur(image, (5, 5), 2).reshape(image.shape)
        low = rng.uniform(-2, 2)
        high = low + 10 ** rng.uniform(-4, -0.3)
        border = str(rng.choice(warps.WARP_BORDERS))
        parts = enclose(SHEARING, image, low, high, border=border, interpolation=interpolation)
        ends = np.linspace(low, high, 5)
        for (lowest, highest), first, last in zip(parts, ends, ends[1:], strict=False):
            for k in (first, min(last, high), *rng.uniform(first, last, 6)):
                sheared = shear(image, k, border, interpolation)
                assert ((lowest <= sheared) & (sheared <= highest)).all()


@pytest.mark.slow
def test_slices_certify_digits() -> None:
    classifier = OrtClassifier(MODEL)
    with np.load(IMAGES) as archive:
        images, labels = archive["x"][:6], archive["y"][:6]
    algorithm = Slices(Attack.of({"shear": (-0.05, 0.05)}), n=5000)
    found = [run(algorithm, classifier, Noise(0.25), x, key=1, index=i) for i, x in enumerate(images)]
    assert [c.prediction for c in found].count(-1) <= 1
    assert all(c.prediction in (-1, label) for c, label in zip(found, labels, strict=True))


@pytest.mark.slow
def test_a_calibration_certifies_shears(tmp_path: Path) -> None:
    """Measured on the digits, certified on others of them; every certified class is kept by sheared digits, audited."""
    from smoothcert import certify_targets, read_calibration
    from smoothcert.inputs.datasets import open_dataset

    data = open_dataset(IMAGES)
    plan = plan_of(data, "digits", (Shear(0.1),), Attack.of({"shear": (-0.1, 0.1)}), skip=120)
    measure(plan, data, tmp_path / "shear.cal")
    smoothing = compose(Shear(0.1), Noise(0.5), calibration=read_calibration(tmp_path / "shear.cal"))
    classifier = OrtClassifier(MODEL)
    found = [certify_targets(classifier, smoothing, data.load(i).x, (0.02,), n=3000, key=2, index=i) for i in range(8)]
    assert sum(c.prediction == data.label(i) and c.radius >= 0.02 for i, c in enumerate(found)) >= 4
    with pytest.raises(ValueError, match="which was calibrated"):
        smoothing.p_star({"shear": (-0.2, 0.1)})


def test_too_wide_shears_are_refused() -> None:
    with pytest.raises(ValueError, match="scale of at most"):
        Shear(1.3)
    with pytest.raises(ValueError, match="expected shear within"):
        Shear(0.5).require_measurable(Attack.of({"shear": (-6, 6)}).ranges[0][1])
    with pytest.raises(ValueError, match="columns a row"):
        shear(np.zeros((3, 3), np.uint8), 11.0)
