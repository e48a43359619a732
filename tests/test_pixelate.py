"""Pixelation. Oracles: areas in whole numbers, pixel by pixel; every float around every step, image by image."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from smoothcert import certify_enumerated
from smoothcert.algorithms import Enumerate
from smoothcert.errors import DataError
from smoothcert.inputs.input import Input
from smoothcert.smoothing import Attack, Range
from smoothcert.smoothing.pixelate import Pixelate, pixelate

RNG = np.random.default_rng(3)
SIDES = [(1, 1), (1, 9), (8, 8), (13, 7), (32, 32), (49, 50)]


def overlap(side: int, small: int) -> NDArray[np.float64]:
    """(small, side): the share that each old pixel has in each new one, from exact fractions."""
    ends = [Fraction(side * i, small) for i in range(small + 1)]
    shares = [[max(Fraction(0), min(b, x + 1) - max(a, x)) / (b - a) for x in range(side)] for a, b in pairwise(ends)]
    return np.array(shares, float)


def by_hand(image: NDArray[np.uint8], factor: float) -> NDArray[np.float64]:
    """Before it is rounded: means over exact areas; each pixel then takes that in which its centre lies."""
    height, width = image.shape[:2]
    rows, columns = max(1, math.floor(height * factor)), max(1, math.floor(width * factor))
    small = np.einsum(
        "ij,jkc,lk->ilc", overlap(height, rows), image.reshape(height, width, -1).astype(float), overlap(width, columns)
    )
    y = [math.floor((Fraction(i) + Fraction(1, 2)) * rows / height) for i in range(height)]
    x = [math.floor((Fraction(i) + Fraction(1, 2)) * columns / width) for i in range(width)]
    return np.asarray(small[y][:, x].reshape(image.shape))


@pytest.mark.parametrize("shape", [(8, 8), (13, 18), (18, 13, 3), (9, 9, 1), (1, 12, 4)], ids=str)
@pytest.mark.parametrize("factor", [0.01, 0.25, 0.5, 0.6, 0.75, 0.9, 0.95, 1.0])
def test_it_is_the_mean_of_areas(shape: tuple[int, ...], factor: float) -> None:
    """To the nearest level; OpenCV adds weights in float32, so that halves may go either way."""
    image = RNG.integers(0, 256, shape, dtype=np.uint8)
    found = pixelate(image, factor)
    assert (found.dtype, found.shape) == (np.uint8, shape)
    assert abs(found - by_hand(image, factor)).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("sides", SIDES, ids=str)
def test_no_factor_gives_what_no_member_gives(sides: tuple[int, int]) -> None:
    """Floats on both sides of every step, and between them: each image is a member's; no two members share one."""
    image = RNG.integers(0, 256, (*sides, 3), dtype=np.uint8)
    for low, high in ((0.5, 1.0), (1e-9, 1.0), (0.31, 0.77), (1 / 3, 2 / 3)):
        members = Pixelate().members_on(Range(low, high), sides)
        assert members[0] == low
        images = [pixelate(image, member).tobytes() for member in members]
        assert len(set(images)) == len(images) <= sum(sides)
        steps = {k / side for side in sides for k in range(1, side + 1)}
        near = {math.nextafter(step, to) for step in steps for to in (0.0, step, math.inf)}
        walked = {f for f in (*near, *steps, *np.linspace(low, high, 2000).tolist(), *members) if low <= f <= high}
        assert {pixelate(image, factor).tobytes() for factor in walked} == set(images)


def test_the_members_are_those_of_the_image_in_hand() -> None:
    """As many as its own sides ask for, in one set with other attacks; a classifier sees each of them."""
    algorithm = Enumerate(Attack.of({"pixelate": (0.5, 1), "brightness": (0.0, 0.01)}))
    for side, pixelated in ((8, 5), (10, 6), (32, 17)):
        image = RNG.integers(0, 256, (side, side), dtype=np.uint8)
        shown: set[bytes] = set()

        def watching(batch: NDArray[np.float32], shown: set[bytes] = shown) -> NDArray[np.int64]:
            shown.update(np.rint(255 * row).astype(np.uint8).tobytes() for row in batch)
            return np.zeros(len(batch), np.int64)

        found = certify_enumerated(watching, image, {"pixelate": (0.5, 1)})
        assert sum(found.evidence.estimation.values()) == pixelated
        factors = np.linspace(0.5, 1, 999)
        assert {pixelate(image, f).tobytes() for f in factors} <= shown
        x = Input.of(image, (1, side, side, 1))
        assert len(algorithm.members(x)) == 4 * pixelated  # 0 to 3 levels brighter
        evidence = found.evidence
        assert Enumerate(Attack.of({"pixelate": (0.5, 1)})).problems(x, evidence, None) == []  # type: ignore[arg-type]
    other = Input.of(np.zeros((9, 9), np.uint8), (1, 9, 9, 1))
    problems = Enumerate(Attack.of({"pixelate": (0.5, 1)})).problems(other, evidence, None)  # type: ignore[arg-type]
    assert problems == ["expected votes on 6 members for this input, got 17"]


def test_one_factor_is_enough() -> None:
    """A classifier that only one of all factors deceives."""
    image = RNG.integers(0, 256, (32, 32), dtype=np.uint8)
    seen = pixelate(image, 0.7071)

    def deceived(batch: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.array([np.array_equal(np.rint(255 * row), seen) for row in batch], np.int64)

    found = certify_enumerated(deceived, image, {"pixelate": (0.5, 1)})
    assert found.reason == "attack found: 1 of 17 members are not class 0"


def test_a_value_and_a_grid_are_the_same_on_every_image() -> None:
    assert Pixelate().members(Range(0.7, 0.7)) == Pixelate().members_on(Range(0.7, 0.7), (9, 9)) == (0.7,)
    assert Enumerate(Attack.of({"pixelate": (0.5, 1, 3)})).members() == ((1.0,), (0.5,), (0.75,))
    with pytest.raises(ValueError, match="expected the sides of an image for the members of pixelate"):
        Enumerate(Attack.of({"pixelate": (0.5, 1)})).members()


@pytest.mark.parametrize("attack", [0, -0.5, 1.01, (0, 1), (0.5, 1.5), (0, 1, 5)], ids=str)
def test_factors_that_there_are_not(attack: object) -> None:
    with pytest.raises(ValueError, match=r"^pixelate: expected a factor above 0, up to 1, got "):
        Enumerate(Attack.of({"pixelate": attack}))


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 4 channels"):
        pixelate(np.zeros((8, 8, 5), np.uint8), 0.5)
    with pytest.raises(ValueError, match=r"up to 1, got nan$"):
        pixelate(np.zeros((8, 8), np.uint8), math.nan)
    many = {"pixelate": (0.5, 1), "rotation": (0, 1, 100_000)}
    with pytest.raises(DataError, match="at most 1,000,000 members on an image of 32x32 pixels, got 1,700,000"):
        certify_enumerated(lambda batch: np.zeros(len(batch), int), np.zeros((32, 32), np.uint8), many)
    with pytest.raises(DataError, match="expected 8-bit images"):
        certify_enumerated(lambda batch: np.zeros(len(batch), int), np.zeros((8, 8), np.float32), {"pixelate": 0.5})
