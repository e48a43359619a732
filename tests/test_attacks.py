"""The attackers' transformations by name. Oracle: the single functions, one after the other, in the order given."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from smoothcert import transforms
from smoothcert.smoothing import PARTS
from smoothcert.transforms.attacks import ATTACKS, IDENTITY, Manner, attacked

Image = NDArray[np.uint8]
RNG = np.random.default_rng(2)
IMAGES = {
    "grey": RNG.integers(0, 256, (13, 18), dtype=np.uint8),
    "colour": RNG.integers(0, 256, (18, 13, 3), dtype=np.uint8),
    "one colour": RNG.integers(0, 256, (9, 9, 1), dtype=np.uint8),
}
MANNERS = [
    Manner(border, interpolation, about)
    for border, interpolation, about in itertools.product(
        ("black", "wrap", "reflect101", "replicate"), ("bilinear", "nearest", "bicubic"), (0.0, 0.5)
    )
]
SINGLE: dict[str, tuple[list[Any], Callable[[Image, Any, Manner], Image]]] = {
    "brightness": ([-0.3, 0.001, 0.7, 3.0], lambda x, b, how: transforms.brightness(x, b)),
    "contrast": ([0.0, 0.4, 1.001, 2.5], lambda x, c, how: transforms.contrast(x, c, how.about)),
    "gamma": ([0.3, 0.99, 2.0], lambda x, g, how: transforms.gamma(x, g)),
    "blur": ([0.01, 1.0, 6.0], lambda x, v, how: transforms.gaussian_blur(x, v)),
    "translation": (
        [(1, 0), (0.0, 0.5), (-2.25, 1.5), (30.0, 0.0)],
        lambda x, d, how: transforms.translate(x, d[1], d[0], how.border, how.interpolation),
    ),
    "rotation": ([0.01, -15.0, 90.0, 360.0], lambda x, a, how: transforms.rotate(x, a, how.border, how.interpolation)),
    "scaling": ([0.5, 0.999, 1.3], lambda x, f, how: transforms.scale(x, f, how.border, how.interpolation)),
}


def test_every_attack_is_here_and_has_an_identity() -> None:
    assert ATTACKS.keys() == IDENTITY.keys() == SINGLE.keys()
    assert PARTS.keys() - {"noise"} == ATTACKS.keys()


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("name", SINGLE)
def test_one_attack_is_its_function(name: str, image: Image) -> None:
    """With the border, interpolation and fixed point asked for; the image itself is left alone."""
    values, function = SINGLE[name]
    before = image.copy()
    for value, how in itertools.product(values, MANNERS):
        out = attacked(image, [(name, value, how)])
        np.testing.assert_array_equal(out, function(image, value, how))
        assert (out.dtype, out.shape) == (np.uint8, image.shape)
    np.testing.assert_array_equal(image, before)


def test_down_comes_first_in_translations() -> None:
    image = np.zeros((5, 7), np.uint8)
    image[1, 1] = 255
    assert np.argwhere(attacked(image, [("translation", (2, 3), Manner())])).tolist() == [[3, 4]]


def test_several_are_applied_in_order() -> None:
    """Each rounded and saturated before the next: of every two, in either order, with a manner of its own."""
    image = IMAGES["colour"]
    for (first, second), (one, two) in itertools.product(
        itertools.permutations(SINGLE, 2), itertools.islice(itertools.permutations(MANNERS, 2), 0, 200, 37)
    ):
        a, b = SINGLE[first][0][1], SINGLE[second][0][-1]
        expected = SINGLE[second][1](SINGLE[first][1](image, a, one), b, two)
        np.testing.assert_array_equal(attacked(image, [(first, a, one), (second, b, two)]), expected)
    assert (attacked(image, [("brightness", 0.9, Manner()), ("brightness", -0.9, Manner())]) <= 26).all()


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("name", SINGLE)
def test_the_identity_changes_nothing(name: str, image: Image) -> None:
    """Left out, and when the function itself is called with it; whole or not, as (0, 0) or (0.0, 0.0)."""
    identity = IDENTITY[name]
    for how in MANNERS:
        np.testing.assert_array_equal(SINGLE[name][1](image, identity, how), image)
        for value in {identity, tuple(map(int, identity)) if isinstance(identity, tuple) else int(identity)}:
            np.testing.assert_array_equal(attacked(image, [(name, value, how)]), image)
    np.testing.assert_array_equal(attacked(image, [(name, value, Manner()) for name, value in IDENTITY.items()]), image)
    np.testing.assert_array_equal(attacked(image, []), image)


def test_identities_between_attacks_change_nothing() -> None:
    image, how = IMAGES["grey"], Manner("wrap")
    plain = [(name, SINGLE[name][0][1], how) for name in SINGLE]
    mixed = [step for name, value, manner in plain for step in ((name, IDENTITY[name], manner), (name, value, manner))]
    np.testing.assert_array_equal(attacked(image, mixed), attacked(image, plain))


def test_names_that_there_are_not() -> None:
    with pytest.raises(KeyError):
        attacked(IMAGES["grey"], [("fog", 1.0, Manner())])
