"""Defocus blur. Oracles: sums over discs in whole numbers, by SciPy and one by one; floats around every step."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from smoothcert.algorithms import Enumerate
from smoothcert.smoothing import Attack, Range
from smoothcert.smoothing.defocus import Defocus, defocus

RNG = np.random.default_rng(4)


def by_hand(image: NDArray[np.uint8], radius: float) -> NDArray[np.uint8]:
    """Whole sums over all pixels that are not farther than the radius; SciPy's `mirror` is OpenCV's reflect101."""
    reach = math.floor(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (x**2 + y**2 <= radius * radius).astype(np.int64)
    planes = image.reshape(*image.shape[:2], -1).astype(np.int64)
    sums = np.stack([ndimage.correlate(planes[..., c], disc, mode="mirror") for c in range(planes.shape[2])], 2)
    return np.asarray(np.rint(sums / disc.sum()), np.uint8).reshape(image.shape)


@pytest.mark.parametrize("shape", [(32, 32), (9, 14, 3), (7, 5, 1), (3, 3), (1, 8), (1, 1), (6, 6, 7)], ids=str)
@pytest.mark.parametrize("radius", [0, 0.5, 1, 1.5, 2, 3, 4.3, 5, 10, 12.5])
def test_it_is_the_mean_over_a_disc(shape: tuple[int, ...], radius: float) -> None:
    """Exactly, small images too, whose border is reflected many times over."""
    image = RNG.integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(defocus(image, radius), by_hand(image, radius))


def test_a_point_becomes_a_disc() -> None:
    image = np.zeros((9, 9), np.uint8)
    image[4, 4] = 255
    for radius, pixels in ((1, 5), (math.sqrt(2), 9), (2, 13), (3, 29)):
        disc = defocus(image, radius * (1 + 1e-12))
        assert sorted(set(disc.ravel().tolist())) == [0, round(255 / pixels)]
        assert (disc > 0).sum() == pixels


def test_no_radius_gives_what_no_member_gives() -> None:
    """Floats on both sides of every step, and everywhere between; no two members share an image."""
    image = RNG.integers(0, 256, (24, 24), dtype=np.uint8)
    for low, high, many in ((0.0, 5.0, 14), (0.0, 1.0, 2), (1.2, 4.4, 11), (2.0, 2.0, 1), (6.0, 8.0, None)):
        members = Defocus().members(Range(low, high))
        images = [defocus(image, radius).tobytes() for radius in members]
        assert len(set(images)) == len(images)
        assert many is None or len(images) == many
        near = [math.nextafter(math.sqrt(m), to) for m in range(65) for to in (0.0, math.sqrt(m), math.inf)]
        walked = {r for r in (*near, *np.linspace(low, high, 500).tolist()) if low <= r <= high}
        assert {defocus(image, radius).tobytes() for radius in walked} == set(images)


@pytest.mark.parametrize("attack", [-1, 101, (-1, 2), (0, 200), (-1, 1, 3)], ids=str)
def test_radii_that_there_are_not(attack: object) -> None:
    with pytest.raises(ValueError, match=r"^defocus-blur: expected a radius of 0 to 100 pixels, got "):
        Enumerate(Attack.of({"defocus-blur": attack}))


def test_a_grid_is_a_grid() -> None:
    assert Defocus().members(Range(0, 5, 6)) == (0, 1, 2, 3, 4, 5)
    with pytest.raises(ValueError, match=r"got nan$"):
        defocus(np.zeros((3, 3), np.uint8), math.nan)
