"""Zoom, rotational and motion blur. Oracles: means of OpenCV's warps by NumPy, SciPy's zoom, box filters, and floats
around every step."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from smoothcert import OrtClassifier, transforms
from smoothcert.algorithms import Enumerate, Slices
from smoothcert.certification import run
from smoothcert.smoothing import Attack, Noise, Range
from smoothcert.smoothing.smears import MotionBlur, RotationalBlur, ZoomBlur
from smoothcert.transforms.means import mean
from smoothcert.transforms.warps import WARP_BORDERS

from .conftest import IMAGES, MODEL

Image = NDArray[np.uint8]
RNG = np.random.default_rng(5)
COLOUR = RNG.integers(0, 256, (15, 12, 3), dtype=np.uint8)
SMOOTH = cv2.GaussianBlur(RNG.integers(0, 256, (40, 40), dtype=np.uint8), (9, 9), 3)


def rounded(images: list[Any]) -> Image:
    return np.asarray(np.rint(np.mean(np.array(images, float), 0)), np.uint8)


def test_a_mean_is_rounded_once() -> None:
    images = [RNG.integers(0, 256, (5, 6, 3), dtype=np.uint8) for _ in range(7)]
    np.testing.assert_array_equal(mean(images), rounded(images))
    np.testing.assert_array_equal(mean(images[:1]), images[0])
    halves = [np.array([[0, 1, 2, 255]], np.uint8), np.array([[1, 2, 3, 255]], np.uint8)]
    assert mean(halves).tolist() == [[0, 2, 2, 255]]  # halves to even
    assert mean([np.full((2, 2), 255, np.uint8)] * 70_000).tolist() == [[255, 255], [255, 255]]


# --- Zoom -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("factor", "copies"), [(1, 1), (1.009, 1), (1.01, 2), (1.15, 16), (1.5, 51), (1.07, 8)])
def test_zoom_blur_is_the_mean_of_enlarged_copies(factor: float, copies: int) -> None:
    """As many as decimal fractions say, whatever floats make of 1 + 7 / 100."""
    enlarged = [transforms.scale(COLOUR, (100 + i) / 100) for i in range(copies)]
    np.testing.assert_array_equal(ZoomBlur().apply(COLOUR, factor), rounded(enlarged))


def test_zoom_blur_by_another_s_zoom() -> None:
    """SciPy's affine transformation, in float64: within the rounding of the copies."""
    middle = (np.array(SMOOTH.shape) - 1) / 2
    factors = 1 + 0.05 * np.arange(11)
    copies = [
        ndimage.affine_transform(SMOOTH.astype(float), np.eye(2) / f, middle - middle / f, order=1) for f in factors
    ]
    apart = ZoomBlur(step=0.05).apply(SMOOTH, 1.5) - np.mean(copies, 0)
    assert abs(apart).max() < 1.5


@pytest.mark.parametrize("step", [0.01, 0.03, 0.1])
def test_no_factor_gives_what_no_member_gives(step: float) -> None:
    image = RNG.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    blur = ZoomBlur(step)
    for low, high in ((1.0, 1.5), (1.234, 1.321), (1.1, 1.1)):
        members = blur.members(Range(low, high))
        images = [blur.apply(image, factor).tobytes() for factor in members]
        assert len(set(images)) == len(images)
        steps = [1 + step * i for i in range(52)] + [round(1 + step * i, 9) for i in range(52)]
        near = [math.nextafter(s, to) for s in steps for to in (0.0, s, math.inf)]
        walked = {f for f in (*near, *np.linspace(low, high, 200).tolist()) if low <= f <= high}
        assert {blur.apply(image, factor).tobytes() for factor in walked} == set(images)
    assert len(ZoomBlur().members(Range(1, 1.5))) == 51


# --- Rotation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("border", WARP_BORDERS)
@pytest.mark.parametrize(("angle", "rotations"), [(10.0, 10), (-7.5, 10), (180.0, 3), (0.0, 10), (30, 1)])
def test_rotational_blur_is_the_mean_of_rotations(angle: float, rotations: int, border: str) -> None:
    turned = [transforms.rotate(COLOUR, angle * i / rotations, border) for i in range(rotations + 1)]
    blur = RotationalBlur(border, rotations=rotations)
    np.testing.assert_array_equal(blur.apply(COLOUR, angle), rounded(turned))


def test_rotational_blur_turns_about_the_middle_and_to_one_side() -> None:
    """Rings do not change; SciPy's rotations, which count the angle the same way round, give the same mean."""
    turned = [ndimage.rotate(SMOOTH.astype(float), 2.0 * i, reshape=False, order=1) for i in range(11)]
    apart = RotationalBlur().apply(SMOOTH, 20.0) - np.mean(turned, 0)
    y, x = np.mgrid[:40, :40] - 19.5
    assert abs(apart)[np.hypot(y, x) < 18].max() < 1.5


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_rotational_blurs_lie_in_their_enclosure(interpolation: str) -> None:
    """Random images and intervals; the ends of every piece, the floats beside them, and angles between."""
    for _ in range(25):
        height, width = RNG.integers(1, 16, 2)
        image = RNG.integers(0, 256, (height, width, RNG.choice([1, 3])), dtype=np.uint8)
        low = RNG.uniform(-20, 20)
        high = low + 10 ** RNG.uniform(-4, 0.5)
        blur = RotationalBlur(str(RNG.choice(WARP_BORDERS)), interpolation, rotations=int(RNG.integers(1, 7)))
        pieces = list(blur.enclose(image, low, high))
        ends = [low + (high - low) * i / len(pieces) for i in range(len(pieces) + 1)]
        near = [math.nextafter(end, to) for end in ends for to in (-math.inf, end, math.inf)]
        for angle in (*near, low, high, *RNG.uniform(low, high, 12)):
            if low <= angle <= high:
                found = blur.apply(image, angle)
                assert any(((lo <= found) & (found <= hi)).all() for lo, hi in pieces)


def test_a_range_of_angles_has_no_end() -> None:
    with pytest.raises(ValueError, match=r"no end of members; give a grid, rotational-blur=-10:10:POINTS$"):
        Enumerate(Attack.of({"rotational-blur": (-10, 10)}))
    assert len(Enumerate(Attack.of({"rotational-blur": (-10, 10, 41)})).members()) == 41


@pytest.mark.slow
def test_slices_certify_a_whole_range_of_angles() -> None:
    """Every angle, not a grid: digits against rotational blur of up to 5 degrees either way."""
    classifier = OrtClassifier(MODEL)
    with np.load(IMAGES) as archive:
        images, labels = archive["x"][:6], archive["y"][:6]
    algorithm = Slices(Attack.of({"rotational-blur": (-5, 5)}), n=5000)
    found = [run(algorithm, classifier, Noise(0.35), x, key=1, index=i).prediction for i, x in enumerate(images)]
    assert found.count(-1) <= 2
    assert all(a in (-1, b) for a, b in zip(found, labels, strict=True))


# --- Motion -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 3, 5, 9])
def test_motion_blur_of_odd_length_is_a_box_filter(length: int) -> None:
    """Along rows, and along columns at 90 degrees; black beyond the border."""
    for angle, axis in ((0.0, 1), (180.0, 1), (90.0, 0), (-90.0, 0)):
        box = np.ones((length, 1) if axis == 0 else (1, length), np.int64)
        planes = [ndimage.correlate(COLOUR[..., c].astype(np.int64), box, mode="constant") for c in range(3)]
        expected = np.rint(np.stack(planes, 2) / length)
        np.testing.assert_array_equal(MotionBlur(angle=angle).apply(COLOUR, length), expected)


@pytest.mark.parametrize("length", [2, 4, 5, 8])
@pytest.mark.parametrize("angle", [0.0, 30.0, 45.0, 200.0])
def test_motion_blur_is_a_line(length: int, angle: float) -> None:
    """SciPy's shifts, in float64: within the rounding of the copies and OpenCV's 1/32 of a pixel."""
    places = np.arange(length) - (length - 1) / 2
    right, down = np.cos(np.radians(angle)), -np.sin(np.radians(angle))
    shifted = [ndimage.shift(SMOOTH.astype(float), (t * down, t * right), order=1) for t in places]
    apart = MotionBlur(angle=angle).apply(SMOOTH, length) - np.mean(shifted, 0)
    assert abs(apart)[6:-6, 6:-6].max() < 1.5


def test_every_whole_length_is_a_member() -> None:
    assert MotionBlur().members(Range(1, 5)) == (1, 2, 3, 4, 5)
    assert MotionBlur().members(Range(1, 9, 5)) == (1, 3, 5, 7, 9)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "zoom under 1": ({"zoom-blur": (0.9, 1.2)}, "zoom-blur: expected 1 to 10 (largest factor), got 0.9"),
    "zoom over 10": ({"zoom-blur": 11}, "zoom-blur: expected 1 to 10 (largest factor), got 11"),
    "a grid of zooms": ({"zoom-blur": (0, 2, 3)}, "zoom-blur: expected 1 to 10 (largest factor), got 0"),
    "half a turn": ({"rotational-blur": (-181, 0, 3)}, "rotational-blur: expected -180 to 180 (degrees), got -181"),
    "a fraction": ({"motion-blur": (1, 2.5)}, "motion-blur: expected whole lengths from 1 to 1000 pixels, got 2.5"),
    "fractions of a grid": ({"motion-blur": (1, 4, 3)}, "motion-blur: expected whole lengths from 1 to 1000"),
    "no length": ({"motion-blur": 0}, "motion-blur: expected whole lengths from 1 to 1000 pixels, got 0"),
    "far": ({"motion-blur": (1, 1001)}, "motion-blur: expected whole lengths from 1 to 1000 pixels, got 1001"),
}  # fmt: skip


@pytest.mark.parametrize(("attack", "message"), REFUSED.values(), ids=REFUSED)
def test_sets_that_there_are_not(attack: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - its text is compared
        Enumerate(Attack.of(attack))
    assert str(error.value).startswith(message)


def test_options_that_there_are_not() -> None:
    for make, message in (
        (lambda: ZoomBlur(step=0), "zoom-blur step: expected 0.001 to 10, got 0"),
        (lambda: ZoomBlur(step=math.nan), "zoom-blur step: expected 0.001 to 10, got nan"),
        (
            lambda: RotationalBlur(rotations=0),
            "rotational-blur rotations: expected a whole number from 1 to 1000, got 0",
        ),
        (lambda: MotionBlur(angle=math.inf), "motion-blur angle: expected finite degrees, got inf"),
        (lambda: MotionBlur(border="mirror"), "motion-blur border: expected one of black, "),
        (lambda: ZoomBlur().apply(COLOUR, 0.99), "zoom-blur: expected 1 to 10"),
        (lambda: ZoomBlur().apply(COLOUR, math.nan), "zoom-blur: expected 1 to 10"),
        (lambda: MotionBlur().apply(COLOUR, 1.5), "motion-blur: expected whole lengths"),
        (lambda: RotationalBlur().apply(COLOUR, 190), "rotational-blur: expected -180 to 180"),
    ):
        with pytest.raises(ValueError) as error:  # noqa: PT011
            make()  # type: ignore[no-untyped-call]
        assert str(error.value).startswith(message)
