"""The attackers' transformations by name. Oracle: the single functions, one after the other, in the order given."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from smoothcert import transforms
from smoothcert.errors import DataError
from smoothcert.inputs.levels import EIGHT_BIT
from smoothcert.smoothing import PARTS, TRANSFORMS, Transform
from smoothcert.smoothing.color import MIDDLE
from smoothcert.smoothing.shear import shear
from smoothcert.smoothing.transform import attacked, transform_of

from .test_resolvability import chroma_turned

Image = NDArray[np.uint8]
RNG = np.random.default_rng(2)
IMAGES = {
    "grey": RNG.integers(0, 256, (13, 18), dtype=np.uint8),
    "colour": RNG.integers(0, 256, (18, 13, 3), dtype=np.uint8),
    "one colour": RNG.integers(0, 256, (9, 9, 1), dtype=np.uint8),
}
MANNERS = [  # options of all transformations: each takes those that it has
    {"border": border, "interpolation": interpolation, "about": about, "luma": "bt601"}
    for border, interpolation, about in itertools.product(
        ("black", "wrap", "reflect101", "replicate"), ("bilinear", "nearest", "bicubic"), ("0", "mid")
    )
]


def coloured(image: Image, name: str, value: float) -> Image:
    """Oracle: the matrix exponential of a turn about grey, in double precision."""
    matrix = chroma_turned(*((value, 1.0) if name == "hue" else (0.0, value)))
    return np.asarray(np.rint(image @ matrix.T).clip(0, 255), np.uint8)


def compressed(image: Image, quality: int | None) -> Image:
    """Oracle: OpenCV, whose blue comes first."""
    if quality is None:
        return image
    swapped = image[..., ::-1] if image.shape[-1] == 3 and image.ndim == 3 else image
    _, content = cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, quality])
    found = np.asarray(cv2.imdecode(content, cv2.IMREAD_UNCHANGED), np.uint8).reshape(image.shape)
    return found[..., ::-1] if swapped is not image else found


def takes(name: str, image: Image) -> bool:
    """Whether the transformation has a meaning for the image: those of colours need three."""
    return name not in ("hue", "saturation") or (image.ndim == 3 and image.shape[2] == 3)


def pixelated(image: Image, factor: float) -> Image:
    """Oracle: OpenCV down, and back by the pixel in which each centre lies."""
    sides = [max(1, int(side * factor)) for side in image.shape[:2]]
    small = cv2.resize(image, sides[::-1], interpolation=cv2.INTER_AREA).reshape(*sides, *image.shape[2:])
    y, x = (np.array((np.arange(n) + 0.5) * m / n, int) for n, m in zip(image.shape, sides, strict=False))
    return np.asarray(small[y][:, x], np.uint8)


def defocused(image: Image, radius: float) -> Image:
    """Oracle: SciPy's sums of whole numbers over the disc."""
    down, right = np.mgrid[-int(radius) : int(radius) + 1, -int(radius) : int(radius) + 1]
    disc = (down**2 + right**2 <= radius * radius).astype(int)
    planes = image.reshape(*image.shape[:2], -1).astype(int)
    sums = [ndimage.correlate(planes[..., c], disc, mode="mirror") for c in range(planes.shape[2])]
    return np.asarray(np.rint(np.stack(sums, 2) / disc.sum()), np.uint8).reshape(image.shape)


def averaged(images: list[Image]) -> Image:
    """Oracle: NumPy."""
    return np.asarray(np.rint(np.mean(np.array(images, float), 0)), np.uint8)


SINGLE: dict[str, tuple[list[Any], Callable[[Image, Any, dict[str, str]], Image]]] = {
    "brightness": ([-0.3, 0.001, 0.7, 3.0], lambda x, b, how: transforms.brightness(x, b)),
    "contrast": ([0.0, 0.4, 1.001, 2.5], lambda x, c, how: transforms.contrast(x, c, MIDDLE[how["about"]])),
    "gamma": ([0.3, 0.99, 2.0], lambda x, g, how: transforms.gamma(x, g)),
    "blur": ([0.01, 1.0, 6.0], lambda x, v, how: transforms.gaussian_blur(x, v)),
    "translation": (
        [(1, 0), (0.0, 0.5), (-2.25, 1.5), (30.0, 0.0)],
        lambda x, d, how: transforms.translate(x, d[1], d[0], how["border"], how["interpolation"]),
    ),
    "rotation": (
        [0.01, -15.0, 90.0, 360.0],
        lambda x, a, how: transforms.rotate(x, a, how["border"], how["interpolation"]),
    ),
    "scaling": (
        [0.5, 0.999, 1.3],
        lambda x, f, how: transforms.scale(x, f, how["border"], how["interpolation"]),
    ),
    "shear": ([-0.3, 0.01, 2.0], lambda x, k, how: shear(x, k, how["border"], how["interpolation"])),
    "hue": ([-30.0, 0.1, 200.0], lambda x, t, how: coloured(x, "hue", t)),
    "saturation": ([0.2, 1.01, 3.0], lambda x, f, how: coloured(x, "saturation", f)),
    "jpeg": ([1, 50, 95], lambda x, q, how: compressed(x, q)),
    "pixelate": ([0.3, 0.55, 0.97], lambda x, f, how: pixelated(x, f)),
    "defocus-blur": ([0.7, 1.5, 3.0], lambda x, r, how: defocused(x, r)),
    "zoom-blur": (
        [1.013, 1.2],
        lambda x, z, how: averaged(
            [transforms.scale(x, 1 + i / 100, "black", how["interpolation"]) for i in range(int(100 * z + 1e-9) - 99)]
        ),
    ),
    "rotational-blur": (
        [-10.0, 0.3, 45.0],
        lambda x, a, how: averaged(
            [transforms.rotate(x, a * i / 10, how["border"], how["interpolation"]) for i in range(11)]
        ),
    ),
    "motion-blur": (
        [2, 5.0],
        lambda x, n, how: averaged(
            [transforms.translate(x, i - (n - 1) / 2, 0, how["border"], how["interpolation"]) for i in range(int(n))]
        ),
    ),
}
IDENTITY = {
    "brightness": 0.0, "contrast": 1.0, "gamma": 1.0, "blur": 0.0, "translation": (0.0, 0.0), "rotation": 0.0,
    "scaling": 1.0, "shear": 0.0, "hue": 0.0, "saturation": 1.0, "jpeg": None,
    "pixelate": 1.0, "defocus-blur": 0.0, "zoom-blur": 1.0, "rotational-blur": 0.0, "motion-blur": 1.0,
}  # fmt: skip

OWN: dict[str, dict[str, Any]] = {  # options that no other transformation has, at their defaults
    "zoom-blur": {"step": 0.01},
    "rotational-blur": {"rotations": 10},
    "motion-blur": {"angle": 0.0},
}


def usual(name: str) -> Transform:
    """The transformation of that name, every option at its default."""
    return transform_of(name, {})


def test_every_transformation_is_here_and_has_an_identity() -> None:
    sounds = {name for name, its in TRANSFORMS.items() if EIGHT_BIT not in its.acts_on}  # see test_sound.py
    assert TRANSFORMS.keys() - sounds == SINGLE.keys() | {"noise"}  # which has no value but an image of its own
    assert PARTS.keys() == {name for name, its in TRANSFORMS.items() if its.kind != "listed"}  # those have no law
    assert {name: TRANSFORMS[name].identity for name in SINGLE} == IDENTITY
    assert all(TRANSFORMS[name].name == name for name in TRANSFORMS)


@pytest.mark.parametrize("name", [name for name, its in TRANSFORMS.items() if EIGHT_BIT in its.acts_on])
def test_options_are_those_of_the_transformation(name: str) -> None:
    """What a transformation has of the options asked for, and nothing of others'."""
    for how in MANNERS:
        made = transform_of(name, how)
        assert isinstance(made, TRANSFORMS[name])
        own = OWN.get(name, {})
        assert made.options.items() <= how.items() | own.items()
        assert made.options.keys() == usual(name).options.keys()
    warp = {"border", "interpolation"}
    known = dict.fromkeys(("translation", "rotation", "scaling", "shear"), warp) | {"contrast": {"about"}}
    known |= {"hue": {"luma"}, "saturation": {"luma"}, "zoom-blur": {"interpolation"}}
    known |= dict.fromkeys(("rotational-blur", "motion-blur"), warp)
    assert usual(name).options.keys() == known.get(name, set()) | OWN.get(name, {}).keys()


@pytest.mark.parametrize("name", ["translation", "rotation", "scaling"])
def test_options_that_there_are_not(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} border: expected one of black, .*, got 'mirror'$"):
        transform_of(name, {"border": "mirror"})
    with pytest.raises(ValueError, match=f"^{name} interpolation: expected one of nearest, .*, got 'cubic'$"):
        transform_of(name, {"interpolation": "cubic"})


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("name", SINGLE)
def test_one_attack_is_its_function(name: str, image: Image) -> None:
    """With the border, interpolation and fixed point asked for; the image itself is left alone."""
    values, function = SINGLE[name]
    if not takes(name, image):
        with pytest.raises(DataError, match="3 colours"):
            attacked(image, [(usual(name), values[0])])
        return
    before = image.copy()
    for value, how in itertools.product(values, MANNERS):
        out = attacked(image, [(transform_of(name, how), value)])
        np.testing.assert_array_equal(out, function(image, value, how))
        assert (out.dtype, out.shape) == (np.uint8, image.shape)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_noise_is_added_rounded_and_saturated(image: Image) -> None:
    shift = RNG.normal(0, 90, image.shape)
    expected = np.rint(image + shift).clip(0, 255).astype(np.uint8)
    np.testing.assert_array_equal(TRANSFORMS["noise"]().apply(image, shift), expected)


def test_down_comes_first_in_translations() -> None:
    image = np.zeros((5, 7), np.uint8)
    image[1, 1] = 255
    assert np.argwhere(attacked(image, [(usual("translation"), (2, 3))])).tolist() == [[3, 4]]


def test_several_are_applied_in_order() -> None:
    """Each rounded and saturated before the next: of every two, in either order, with options of its own."""
    image = IMAGES["colour"]
    for (first, second), (one, two) in itertools.product(
        itertools.permutations(SINGLE, 2), itertools.islice(itertools.permutations(MANNERS, 2), 0, 200, 37)
    ):
        a, b = SINGLE[first][0][1], SINGLE[second][0][-1]
        expected = SINGLE[second][1](SINGLE[first][1](image, a, one), b, two)
        steps = [(transform_of(first, one), a), (transform_of(second, two), b)]
        np.testing.assert_array_equal(attacked(image, steps), expected)
    assert (attacked(image, [(usual("brightness"), 0.9), (usual("brightness"), -0.9)]) <= 26).all()


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("name", SINGLE)
def test_the_identity_changes_nothing(name: str, image: Image) -> None:
    """Left out, and when the function itself is called with it; whole or not, as (0, 0) or (0.0, 0.0)."""
    identity = IDENTITY[name]
    whole = tuple(map(int, identity)) if isinstance(identity, tuple) else identity and int(identity)
    for how in MANNERS if takes(name, image) else ():
        np.testing.assert_array_equal(SINGLE[name][1](image, identity, how), image)
        for value in (identity, whole):
            np.testing.assert_array_equal(attacked(image, [(transform_of(name, how), value)]), image)
            if value is not None:
                np.testing.assert_array_equal(transform_of(name, how).apply(image, value), image)
    np.testing.assert_array_equal(attacked(image, [(usual(name), value) for name, value in IDENTITY.items()]), image)
    np.testing.assert_array_equal(attacked(image, []), image)


def test_identities_between_attacks_change_nothing() -> None:
    image = IMAGES["colour"]
    plain = [(transform_of(name, {"border": "wrap"}), SINGLE[name][0][1]) for name in SINGLE]
    mixed = [step for transform, value in plain for step in ((transform, transform.identity), (transform, value))]
    np.testing.assert_array_equal(attacked(image, mixed), attacked(image, plain))


def test_names_that_there_are_not() -> None:
    with pytest.raises(ValueError, match=r"^attack: expected a parameter of noise, brightness, .*, got fog$"):
        transform_of("fog", {})
