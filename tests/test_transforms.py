"""The transformation layer. Oracles: single OpenCV calls, scipy.ndimage, numpy.roll and rot90, hand-made cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from smoothcert import Blur, transforms
from smoothcert.transforms import heat, pixels, warps

LAYOUTS = {"CHW": (3, 12, 17, 1), "HWC": (1, 12, 17, 3), "grey": (1, 12, 17, 1), "square": (3, 16, 16, 1)}
HEAT = ["reflect101", "reflect", "wrap"]
SCIPY = {"reflect101": "mirror", "reflect": "reflect", "wrap": "grid-wrap", "black": "grid-constant"}
UNITS = pytest.mark.parametrize("unit", [1.0, 255.0])

Batch = NDArray[np.float32]
Form = Callable[[NDArray[Any], NDArray[Any], NDArray[Any]], None]


def levels(*shape: int, seed: int = 1) -> NDArray[np.uint8]:
    """A random 8-bit image."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def smooth(*shape: int, seed: int = 1) -> NDArray[np.uint8]:
    """A random 8-bit image that varies slowly from pixel to pixel (H, W, ...)."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    image = ndimage.gaussian_filter(noise, (2, 2, *(0,) * (len(shape) - 2)), mode="mirror")
    return np.rint((image - image.min()) / np.ptp(image) * 255).astype(np.uint8)


def values(shape: tuple[int, ...], unit: float = 1.0, seed: int = 2) -> Batch:
    """Floats from 0.02 to 1 units."""
    return (np.random.default_rng(seed).uniform(0.02, 1, shape) * unit).astype(np.float32)


def heated(image: NDArray[Any], variances: Any, border: str) -> Batch:
    """Images (len(variances), *image.shape) blurred by the smoothing's form."""
    out = np.empty((len(variances), *image.shape), np.float32)
    heat.blur(heat.spectrum(image, border), variances, border, out)
    return out


def plane(image: NDArray[Any]) -> NDArray[Any]:
    """A grey image (H, W) in canonical shape."""
    return image[None, :, :, None]


# The attacker's forms, pixel by pixel.


@pytest.mark.parametrize("b", [-1.2, -0.3, 0.0, 0.1, 0.502, 2.0])
def test_brightness_is_a_saturated_sum(b: float) -> None:
    """Oracle: cv2.add and cv2.subtract of whole levels."""
    image = levels(9, 11, 3)
    offset = np.full_like(image, min(round(255 * abs(b)), 255))
    np.testing.assert_array_equal(transforms.brightness(image, b), (cv2.add if b >= 0 else cv2.subtract)(image, offset))


@pytest.mark.parametrize("c", [0.0, 0.25, 0.5, 0.8, 1.0, 1.3, 4.0])
@pytest.mark.parametrize("about", [0.0, 0.5])
def test_contrast_is_opencvs_linear_map(c: float, about: float) -> None:
    """Oracle: cv2.addWeighted, c x + 0 x + beta; save at halves, which its float32 may round either way."""
    image = levels(9, 11, 3)
    result = about * 255 + c * (image - about * 255)
    clear = abs(result % 1 - 0.5) > 1e-3
    expected = cv2.addWeighted(image, c, image, 0, 255 * about * (1 - c))
    np.testing.assert_array_equal(transforms.contrast(image, c, about)[clear], expected[clear])
    if about == 0:
        expected = cv2.convertScaleAbs(image, alpha=c)
        np.testing.assert_array_equal(transforms.contrast(image, c)[clear], expected[clear])


def test_contrast_keeps_its_fixed_point() -> None:
    grey = np.array([[127, 128], [0, 255]], np.uint8)
    np.testing.assert_array_equal(transforms.contrast(grey, 0.0, 0.5), np.full((2, 2), 128))  # 127.5 to even
    np.testing.assert_array_equal(transforms.contrast(grey, 3.0, 0.5), [[126, 129], [0, 255]])


@pytest.mark.parametrize("g", [0.3, 1.0, 2.2])
def test_gamma_is_the_formula_level_by_level(g: float) -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    expected = [[round(255 * (x / 255) ** g) for x in row] for row in image.tolist()]
    np.testing.assert_array_equal(transforms.gamma(image, g), expected)


# The attacker's blur.


@pytest.mark.parametrize("border", heat.ATTACK_BORDERS)
@pytest.mark.parametrize("variance", [0.05, 0.6, 3.0])
def test_gaussian_blur_is_opencvs(border: str, variance: float) -> None:
    """Oracle: one cv2.GaussianBlur with the kernel size written out; to wrap, of the middle of nine copies."""
    image, sigma = levels(20, 23, 3), variance**0.5
    size = round(6 * sigma + 1) | 1
    code = {"reflect101": 4, "reflect": 2, "replicate": 1, "black": 0, "wrap": 0}[border]
    shown = np.tile(image, (3, 3, 1)) if border == "wrap" else image
    expected = cv2.GaussianBlur(shown, (size, size), sigma, borderType=code)
    expected = expected[20:40, 23:46] if border == "wrap" else expected
    np.testing.assert_array_equal(transforms.gaussian_blur(image, variance, border), expected)


@pytest.mark.parametrize("border", ["reflect101", "reflect", "black"])
def test_gaussian_blur_is_a_cut_and_sampled_gaussian(border: str) -> None:
    """Oracle: scipy.ndimage.gaussian_filter with a kernel as long; one level for OpenCV's 8-bit weights."""
    image = smooth(31, 37)
    radius = ((round(6 * 2**0.5 + 1) | 1) - 1) // 2
    expected = ndimage.gaussian_filter(image.astype(float), 2**0.5, mode=SCIPY[border], radius=radius)
    assert np.abs(transforms.gaussian_blur(image, 2.0, border) - expected).max() <= 1


@pytest.mark.parametrize("border", heat.HEAT_BORDERS)
def test_an_attacker_of_a_blur_has_its_border(border: str) -> None:
    """Oracle: the part's own exact form, of the same border, within rounding; another border is farther off."""
    image = levels(12, 14, 1)
    part = Blur(1.0, border=border)
    out = np.repeat(image[None, None].astype(np.float32), 1, axis=0)
    part.act(out, np.array([4.0]), 255.0)
    gaps = {
        name: np.abs(Blur(1.0, border=name).transform.apply(image, 4.0) - out[0, 0]).max() for name in heat.HEAT_BORDERS
    }
    assert min(gaps, key=lambda name: gaps[name]) == border
    assert gaps[border] < 3


def test_blur_by_no_variance_and_of_single_rows() -> None:
    image = levels(5, 6)
    blurred = transforms.gaussian_blur(image, 0.0)
    np.testing.assert_array_equal(blurred, image)
    assert not np.shares_memory(blurred, image)
    row = levels(1, 9)
    assert (np.ptp(transforms.gaussian_blur(np.repeat(row, 5, 0), 1.0).astype(int), axis=0) == 0).all()
    assert transforms.gaussian_blur(row, 1.0).shape == row.shape


# The attacker's warps.


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("border", "mode"), [("black", "constant"), ("wrap", "wrap"), ("reflect101", "reflect"), ("replicate", "edge")]
)
@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-1, 5), (-15, 30), (40, -1)], ids=str)
def test_whole_pixel_translation_is_exact(interpolation: str, border: str, mode: str, shift: tuple[int, int]) -> None:
    """Oracle: a window of the image padded by numpy.pad, also for shifts beyond its size."""
    image, (dx, dy), far = levels(9, 11, 3), shift, 60
    padded = np.pad(image, ((far, far), (far, far), (0, 0)), mode=mode)  # type: ignore[call-overload]
    expected = padded[far - dy : far - dy + 9, far - dx : far - dx + 11]
    np.testing.assert_array_equal(transforms.translate(image, dx, dy, border, interpolation), expected)


@pytest.mark.parametrize("border", ["wrap", "reflect101", "black"])
@pytest.mark.parametrize("shift", [(0.5, 0.25), (-3.75, 8.5), (30.25, -41.5)], ids=str)
def test_sub_pixel_translation_is_linear_interpolation(border: str, shift: tuple[float, float]) -> None:
    """Oracle: scipy.ndimage.shift of order 1; one level for rounding."""
    image, (dx, dy) = levels(9, 11), shift
    expected = ndimage.shift(image.astype(float), (dy, dx), order=1, mode=SCIPY[border])
    assert np.abs(transforms.translate(image, dx, dy, border) - expected).max() <= 0.75


@pytest.mark.parametrize("border", ["wrap", "reflect101", "black", "replicate"])
def test_bicubic_half_pixel_by_hand(border: str) -> None:
    """OpenCV's cubic (a = -0.75) half-way between pixels weighs its four neighbours -3, 19, 19, -3 thirty-seconds."""
    image = np.zeros((1, 9), np.uint8)
    image[0, 4] = 100
    moved = transforms.translate(image, 0.5, 0, border, "bicubic")
    np.testing.assert_array_equal(moved, [[0, 0, 0, 0, 59, 59, 0, 0, 0]])
    grey = transforms.translate(image + np.uint8(100), 0.5, 0, border, "bicubic")  # what is below 0 above is seen here
    np.testing.assert_array_equal(grey[0, 2:8], [100, 91, 159, 159, 91, 100])


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("border", warps.WARP_BORDERS)
@pytest.mark.parametrize("name", ["rotate", "scale", "translate"])
def test_warps_are_single_opencv_calls(interpolation: str, border: str, name: str) -> None:
    """Oracle: one cv2.warpAffine; within a level where positions are folded back first (bicubic, mirrored borders)."""
    image = smooth(24, 31, 3)
    middle = (15.0, 11.5)
    form, matrix = {
        "rotate": (lambda *a: transforms.rotate(image, 17.0, *a), cv2.getRotationMatrix2D(middle, 17.0, 1)),
        "scale": (lambda *a: transforms.scale(image, 0.8, *a), cv2.getRotationMatrix2D(middle, 0, 0.8)),
        "translate": (
            lambda *a: transforms.translate(image, 2.3, -1.6, *a),
            np.array([[1, 0, 2.3], [0, 1, -1.6]]),
        ),
    }[name]
    code, mode = warps.INTERPOLATIONS[interpolation], warps.BORDERS[border]
    expected = cv2.warpAffine(image, matrix, (31, 24), flags=code, borderMode=mode).astype(int)
    folded = interpolation == "bicubic" and border in ("wrap", "reflect101")
    assert np.abs(form(border, interpolation) - expected).max() <= folded


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [8, 9, 32])
@pytest.mark.parametrize("turns", [1, 2, 3, -1, 4])
@pytest.mark.parametrize("border", warps.WARP_BORDERS)
def test_quarter_turns_are_rot90(interpolation: str, size: int, turns: int, border: str) -> None:
    image = levels(size, size, 3)
    np.testing.assert_array_equal(transforms.rotate(image, 90.0 * turns, border, interpolation), np.rot90(image, turns))


def test_rotation_against_scipy() -> None:
    """Oracle: scipy.ndimage.rotate (clockwise in image coordinates) of order 1, with black beyond the edge."""
    image = smooth(25, 25)
    expected = ndimage.rotate(image.astype(float), 20.0, order=1, reshape=False, mode="grid-constant")
    assert np.abs(transforms.rotate(image, 20.0) - expected).max() <= 1


def test_rotation_runs_counter_clockwise_and_scaling_outwards() -> None:
    image = np.zeros((21, 21), np.uint8)
    image[10, 15] = 255  # five pixels right of the middle
    bright = np.unravel_index(transforms.rotate(image, 53.13).argmax(), image.shape)
    assert bright == (6, 13)  # 3 right of the middle and 4 up
    image[10, 16] = 200
    assert transforms.scale(image, 0.5)[10, 13] == 200
    assert transforms.scale(image, 2.0)[10, 20] == 255


@pytest.mark.parametrize("border", ["wrap", "reflect101"])
def test_bicubic_far_outside(border: str) -> None:
    """A tenth of the size shows copies side by side. Oracle: the same warp of an image padded by numpy.pad."""
    image, far = levels(12, 9), 70
    padded = np.pad(image, far, mode="wrap" if border == "wrap" else "reflect")
    matrix = cv2.getRotationMatrix2D((4.0, 5.5), 0, 0.1) @ np.array([[1, 0, -far], [0, 1, -far], [0, 0, 1]])
    expected = cv2.warpAffine(padded, matrix, (9, 12), flags=cv2.INTER_CUBIC).astype(int)
    assert np.abs(transforms.scale(image, 0.1, border, "bicubic") - expected).max() <= 1
    np.testing.assert_array_equal(transforms.scale(np.full((7, 1), 9, np.uint8), 0.02, border, "bicubic"), 9)


def test_far_shifts_and_small_images() -> None:
    image = levels(4, 5)
    assert not transforms.translate(image, 1e300, 0).any()
    np.testing.assert_array_equal(transforms.translate(image, 1e300, 0, "replicate"), image[:, :1].repeat(5, 1))
    pixel = np.array([[77]], np.uint8)
    for border in ("wrap", "reflect101", "replicate"):
        for interpolation in warps.INTERPOLATIONS:
            assert transforms.translate(pixel, 3.3, -0.4, border, interpolation) == 77
            assert transforms.rotate(pixel, 33.0, border, interpolation) == 77


# What holds for every attacker.

ATTACKS: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "brightness": lambda image: transforms.brightness(image, 0.2),
    "contrast": lambda image: transforms.contrast(image, 1.4, 0.5),
    "gamma": lambda image: transforms.gamma(image, 0.7),
    "gaussian_blur": lambda image: transforms.gaussian_blur(image, 1.5),
    "translate": lambda image: transforms.translate(image, 1.5, -2, "wrap"),
    "rotate": lambda image: transforms.rotate(image, 10),
    "scale": lambda image: transforms.scale(image, 1.1, "replicate", "bicubic"),
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("shape", [(12, 9), (12, 9, 1), (12, 9, 3), (1, 9), (12, 1, 3)], ids=str)
def test_attackers_keep_shape_type_and_input(name: str, shape: tuple[int, ...]) -> None:
    image = levels(*shape)
    before = image.copy()
    image.flags.writeable = False
    after = ATTACKS[name](image)
    assert (after.shape, after.dtype) == (shape, np.uint8)
    assert not np.shares_memory(after, image)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(ATTACKS[name](np.repeat(image, 2, axis=1)[:, ::2]), after)  # not contiguous


@pytest.mark.parametrize("name", ATTACKS)
def test_attackers_treat_channels_alike(name: str) -> None:
    image = levels(12, 9, 3)
    single = np.stack([ATTACKS[name](image[..., c].copy()) for c in range(3)], axis=-1)
    np.testing.assert_array_equal(ATTACKS[name](image), single)


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros(4, np.uint8), np.zeros((1, 4, 4, 3), np.uint8)])
def test_what_is_no_8_bit_image(name: str, image: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="expected uint8 of shape"):
        ATTACKS[name](image)


OUT = np.zeros((1, 1, 4, 4, 1), np.float32)
IMAGE, GREY = np.zeros((1, 4, 4, 1), np.float32), np.zeros((4, 4), np.uint8)
WRONG: dict[str, tuple[Callable[[float], Any], str, tuple[float, ...]]] = {
    "brightness": (lambda b: transforms.brightness(GREY, b), "a finite b", ()),
    "contrast": (lambda c: transforms.contrast(GREY, c), "c >= 0, got", (-0.1,)),
    "about": (lambda a: transforms.contrast(GREY, 1.0, a), "from 0 to 1, got", (-0.1, 1.1)),
    "gamma": (lambda g: transforms.gamma(GREY, g), "g > 0, got", (0.0, -1.0)),
    "blur": (lambda v: transforms.gaussian_blur(GREY, v), "variance >= 0", (-0.1,)),
    "translate": (lambda d: transforms.translate(GREY, d, 0), "finite shifts", ()),
    "rotate": (lambda d: transforms.rotate(GREY, d), "finite degrees", ()),
    "scale": (lambda f: transforms.scale(GREY, f), "factor from 0.01 to 100", (0.0, -1.0, 1e3)),
    "add_brightness": (lambda b: pixels.add_brightness(OUT, [b], 1), "finite b", ()),
    "scale_contrast": (lambda c: pixels.scale_contrast(OUT, [c], 0, 1), "c >= 0, got", (-0.1,)),
    "scale_contrast about": (lambda a: pixels.scale_contrast(OUT, [1.0], a, 1), "from 0 to 1, got", (2.0,)),
    "raise_gamma": (lambda g: pixels.raise_gamma(OUT, [g], 1), "g > 0, got", (0.0, -1.0)),
    "heat": (lambda v: heated(IMAGE, [v], "wrap"), "variances >= 0", (-0.1,)),
}


@pytest.mark.parametrize("name", WRONG)
def test_parameters_out_of_range(name: str) -> None:
    call, message, out_of_range = WRONG[name]
    for value in (float("nan"), float("inf"), -float("inf"), *out_of_range):
        with pytest.raises(ValueError, match=message):
            call(value)


def test_unknown_names_are_answered_with_the_known() -> None:
    with pytest.raises(ValueError, match=r"^border: expected one of black, wrap, reflect101, replicate, got 'mirror'$"):
        transforms.translate(GREY, 1, 0, "mirror")
    with pytest.raises(ValueError, match=r"^interpolation: expected one of nearest, bilinear, bicubic, got 'cubic'$"):
        transforms.rotate(GREY, 1, interpolation="cubic")
    with pytest.raises(
        ValueError, match=r"^blur border: expected one of reflect101, reflect, replicate, black, wrap, got"
    ):
        transforms.gaussian_blur(GREY, 1, "mirror")
    with pytest.raises(ValueError, match=r"^blur border: expected one of reflect101, reflect, wrap, got 'black'$"):
        heat.spectrum(IMAGE, "black")


def test_batches_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="one parameter a sample, 1 of them"):
        pixels.add_brightness(OUT.copy(), [0.1, 0.2], 1)
    with pytest.raises(ValueError, match="output of shape"):
        heat.blur(heat.spectrum(IMAGE, "wrap"), [1.0, 2.0], "wrap", OUT.copy())
    with pytest.raises(ValueError, match="whole shifts of shape"):
        warps.cyclic_shift(IMAGE, np.zeros((1, 2)), OUT.copy())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at most 4 channels"):
        transforms.rotate(np.zeros((4, 4, 5), np.uint8), 1.0)


# The smoothing's forms: layouts, batches.

FORMS: dict[str, tuple[Form, list[Any]]] = {
    "blur reflect101": (lambda x, v, out: heat.blur(heat.spectrum(x, "reflect101"), v, "reflect101", out), [0.3, 2, 9]),
    "blur reflect": (lambda x, v, out: heat.blur(heat.spectrum(x, "reflect"), v, "reflect", out), [0.3, 2, 9]),
    "blur wrap": (lambda x, v, out: heat.blur(heat.spectrum(x, "wrap"), v, "wrap", out), [0.3, 2, 9]),
    "cyclic": (lambda x, s, out: warps.cyclic_shift(x, s, out), [(1, 2), (-3, 40), (0, 0)]),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_forms_fill_each_plane_of_each_sample_alike(name: str, layout: str) -> None:
    """Bitwise: a plane alone, to 1e-6: a plane of an image; bitwise: a sample alone and within any batch."""
    form, parameters = FORMS[name]
    image, several = values(LAYOUTS[layout]), np.array(parameters * 7)
    out = np.empty((len(several), *image.shape), np.float32)
    form(image, several, out)
    for i in (0, 1, 2, 10, 20):
        alone = np.empty((1, *image.shape), np.float32)
        form(image, several[i : i + 1], alone)
        np.testing.assert_array_equal(alone[0], out[i])
    for outer in range(image.shape[0]):
        for inner in range(image.shape[3]):
            grey = np.empty((3, 1, *image.shape[1:3], 1), np.float32)
            form(np.ascontiguousarray(image[outer, :, :, inner])[None, :, :, None], several[:3], grey)
            np.testing.assert_allclose(out[:3, outer, :, :, inner], grey[:, 0, :, :, 0], atol=2e-6)


def test_large_batches_keep_their_bits() -> None:
    """Beyond the number of samples blurred at a time; colours over rows of odd length."""
    image, v = values((3, 31, 29, 1)), np.random.default_rng(3).exponential(1, 70)
    out = heated(image, v, "reflect101")
    for i in (0, 17, 18, 35, 69):
        np.testing.assert_array_equal(heated(image, v[i : i + 1], "reflect101")[0], out[i])
    rows = values((40, 3, 31, 29), seed=5)
    for form in (
        lambda batch, p: pixels.add_brightness(batch, p, 1),
        lambda batch, p: pixels.scale_contrast(batch, p, 0.5, 1),
        lambda batch, p: pixels.raise_gamma(batch, p, 1),
    ):
        whole = rows.copy()
        form(whole, v[:40] + 0.1)
        for i in (0, 7, 39):
            alone = rows[i : i + 1].copy()
            form(alone, v[i : i + 1] + 0.1)
            np.testing.assert_array_equal(alone[0], whole[i])


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint8])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_cyclic_shift_is_roll(dtype: type, layout: str) -> None:
    """Oracle: numpy.roll; whole types stay whole."""
    image = levels(*LAYOUTS[layout])
    shifts = np.random.default_rng(4).integers(-100, 100, (30, 2))
    out = np.empty((30, *image.shape), dtype)
    warps.cyclic_shift(image, shifts, out)
    for shift, shifted in zip(shifts, out, strict=True):
        np.testing.assert_array_equal(shifted, np.roll(image, tuple(shift), (1, 2)))


# The smoothing's colour: values.


@UNITS
def test_color_forms_are_their_formulas(unit: float) -> None:
    batch, p = values((4, 3, 8, 9), unit), np.array([0.3, 0.9, 1.0, 2.2])
    column, x = p[:, None, None, None], values((4, 3, 8, 9), unit).astype(float)
    for form, expected in (
        (lambda y: pixels.add_brightness(y, p, unit), x + column * unit),
        (lambda y: pixels.scale_contrast(y, p, 0.0, unit), column * x),
        (lambda y: pixels.scale_contrast(y, p, 0.5, unit), unit / 2 + column * (x - unit / 2)),
        (lambda y: pixels.raise_gamma(y, p, unit), unit * (x / unit) ** column),
    ):
        y = batch.copy()
        form(y)
        np.testing.assert_allclose(y, expected, rtol=2e-6, atol=3e-7 * unit)


@UNITS
def test_gamma_keeps_black_and_white_and_refuses_negatives(unit: float) -> None:
    batch = np.tile(np.array([0, unit], np.float32), (3, 50))
    expected = batch.copy()
    pixels.raise_gamma(batch, [0.01, 1.7, 30.0], unit)
    np.testing.assert_array_equal(batch, expected)
    for wrong in (-1e-9, np.nan):
        with pytest.raises(ValueError, match="expected values >= 0"):
            pixels.raise_gamma(np.full((1, 4), wrong, np.float32), [1.0], unit)


# The smoothing's blur: values.


@pytest.mark.parametrize("border", HEAT)
@pytest.mark.parametrize("variance", [2.0, 5.0])
@pytest.mark.parametrize("size", [(16, 16), (23, 31)], ids=str)
def test_heat_is_a_long_gaussian_kernel(border: str, variance: float, size: tuple[int, int]) -> None:
    """Oracle: scipy.ndimage.gaussian_filter, cut at ten standard deviations; 1e-4 for sampling at variance 2."""
    image = levels(*size).astype(np.float64) / 255
    expected = ndimage.gaussian_filter(image, variance**0.5, mode=SCIPY[border], truncate=10)
    np.testing.assert_allclose(heated(plane(image), [variance], border)[0, 0, :, :, 0], expected, atol=2e-4)


@pytest.mark.parametrize("border", HEAT)
def test_heat_damps_a_mode_by_its_factor(border: str) -> None:
    """A mode by hand: frequency w is multiplied by exp(-v w^2 / 2), whatever the variance."""
    n, k = 24, 6
    w = {"reflect101": np.pi * k / (n - 1), "reflect": np.pi * k / n, "wrap": 2 * np.pi * k / n}[border]
    row = np.cos(w * (np.arange(n) + (0.5 if border == "reflect" else 0)))
    image = plane(np.tile(row, (5, 1)))
    v = np.array([0.0, 1e-3, 0.1, 1.0, 8.0])
    np.testing.assert_allclose(
        heated(image, v, border), np.exp(-0.5 * v * w**2)[:, None, None, None, None] * image, atol=1e-6
    )


@pytest.mark.parametrize("border", HEAT)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (8, 1), (2, 3), (32, 32)], ids=str)
def test_heat_ends_in_the_identity_and_in_the_mean(border: str, size: tuple[int, int]) -> None:
    """T_0 is the identity; a large variance leaves the mode of frequency 0; axes of one pixel have nothing to blur."""
    image = plane(values(size))
    still, flat = heated(image, [0.0, 1e6], border)
    np.testing.assert_allclose(still, image, atol=1e-6)
    assert np.ptp(flat) < 1e-6
    if border != "reflect101":
        assert flat.mean() == pytest.approx(image.mean(), abs=1e-6)


# Resolvability: T_b(T_a(x)) = T_{a.b}(x), on the code that runs.

UNHURRIED = settings(deadline=None)
SEED = st.integers(0, 2**32 - 1)
AMOUNT = st.floats(-1, 1)
FACTOR = st.floats(0.2, 5)


def twice(form: Callable[[Batch, Any], None], a: float, b: float, composed: float, x: Batch, unit: float) -> None:
    """form(b) after form(a) is form(composed), to float32 rounding of values up to five units and their powers."""
    one, two = x.copy(), x.copy()
    form(one, [a])
    form(one, [b])
    form(two, [composed])
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=3e-6 * unit)


@UNITS
@UNHURRIED
@given(seed=SEED, a=AMOUNT, b=AMOUNT)
def test_brightness_composes(seed: int, a: float, b: float, unit: float) -> None:
    x = values((1, 3, 8, 8), unit, seed)
    twice(lambda batch, p: pixels.add_brightness(batch, p, unit), a, b, a + b, x, unit)


@UNITS
@pytest.mark.parametrize("about", [0.0, 0.5])
@UNHURRIED
@given(seed=SEED, a=FACTOR, b=FACTOR)
def test_contrast_composes(seed: int, a: float, b: float, unit: float, about: float) -> None:
    x = values((1, 3, 8, 8), unit, seed)
    twice(lambda batch, p: pixels.scale_contrast(batch, p, about, unit), a, b, a * b, x, unit)


@UNITS
@UNHURRIED
@given(seed=SEED, a=st.floats(0.3, 3), b=st.floats(0.3, 3))
def test_gamma_composes(seed: int, a: float, b: float, unit: float) -> None:
    x = values((1, 3, 8, 8), unit, seed)
    x[0, 0, 0, 0] = 0
    twice(lambda batch, p: pixels.raise_gamma(batch, p, unit), a, b, a * b, x, unit)


def contrast_then_brightness(batch: Batch, c: float, b: float, unit: float) -> Batch:
    pixels.scale_contrast(batch, [c], 0, unit)
    pixels.add_brightness(batch, [b], unit)
    return batch


def brightness_then_contrast(batch: Batch, b: float, c: float, unit: float) -> Batch:
    pixels.add_brightness(batch, [b], unit)
    pixels.scale_contrast(batch, [c], 0, unit)
    return batch


def gamma_then_contrast(batch: Batch, g: float, c: float, unit: float) -> Batch:
    pixels.raise_gamma(batch, [g], unit)
    pixels.scale_contrast(batch, [c], 0, unit)
    return batch


@UNITS
@UNHURRIED
@given(seed=SEED, b1=AMOUNT, b2=AMOUNT, c1=FACTOR, c2=FACTOR)
def test_affine_pairs_compose_in_both_orders(
    seed: int, b1: float, b2: float, c1: float, c2: float, unit: float
) -> None:
    """c x + b by (c1 c2, c2 b1 + b2); c (x + b) by (b1 + b2 / c1, c1 c2)."""
    x = values((1, 64), unit, seed)
    close = {"rtol": 1e-5, "atol": 2e-5 * unit}
    np.testing.assert_allclose(
        contrast_then_brightness(contrast_then_brightness(x.copy(), c1, b1, unit), c2, b2, unit),
        contrast_then_brightness(x.copy(), c1 * c2, c2 * b1 + b2, unit),
        **close,
    )
    np.testing.assert_allclose(
        brightness_then_contrast(brightness_then_contrast(x.copy(), b1, c1, unit), b2, c2, unit),
        brightness_then_contrast(x.copy(), b1 + b2 / c1, c1 * c2, unit),
        **close,
    )


@UNITS
@UNHURRIED
@given(seed=SEED, g1=st.floats(0.3, 3), g2=st.floats(0.3, 3), c1=FACTOR, c2=FACTOR)
def test_gamma_then_contrast_composes(seed: int, g1: float, g2: float, c1: float, c2: float, unit: float) -> None:
    """c x^g by (g1 g2, c1^g2 c2), in units."""
    x = values((1, 64), unit, seed)
    np.testing.assert_allclose(
        gamma_then_contrast(gamma_then_contrast(x.copy(), g1, c1, unit), g2, c2, unit),
        gamma_then_contrast(x.copy(), g1 * g2, c1**g2 * c2, unit),
        rtol=3e-5,
    )


VARIANCE = st.floats(1e-3, 10) | st.sampled_from([0.0, 1e-3, 0.05])


@pytest.mark.parametrize("border", HEAT)
@UNHURRIED
@given(seed=SEED, a=VARIANCE, b=VARIANCE)
def test_heat_composes(seed: int, a: float, b: float, border: str) -> None:
    x = values((2, 13, 16, 1), 1, seed)
    np.testing.assert_allclose(heated(heated(x, [a], border)[0], [b], border), heated(x, [a + b], border), atol=4e-6)


@UNHURRIED
@given(seed=SEED, shifts=st.lists(st.integers(-40, 40), min_size=4, max_size=4))
def test_cyclic_shifts_compose(seed: int, shifts: list[int]) -> None:
    """Exactly."""
    x = levels(3, 7, 9, 1, seed=seed)
    a, b = np.array(shifts).reshape(2, 1, 2)
    one, two, both = np.empty((3, 1, *x.shape), np.int16)
    warps.cyclic_shift(x, a, one)
    warps.cyclic_shift(one[0], b, two)
    warps.cyclic_shift(x, a + b, both)
    np.testing.assert_array_equal(two, both)


@UNHURRIED
@given(seed=SEED, v=VARIANCE, dy=st.integers(-20, 20), dx=st.integers(-20, 20))
def test_blur_that_wraps_commutes_with_cyclic_shifts(seed: int, v: float, dy: int, dx: int) -> None:
    x, shift = values((3, 8, 9, 1), 1, seed), np.array([[dy, dx]])
    shifted, blurred_then_shifted = np.empty((2, 1, *x.shape), np.float32)
    warps.cyclic_shift(x, shift, shifted)
    warps.cyclic_shift(heated(x, [v], "wrap")[0], shift, blurred_then_shifted)
    np.testing.assert_allclose(heated(shifted[0], [v], "wrap"), blurred_then_shifted, atol=3e-6)


@pytest.mark.parametrize("border", HEAT)
@UNHURRIED
@given(seed=SEED, v=VARIANCE, b=AMOUNT, c=FACTOR)
def test_blur_commutes_with_affine_colours(seed: int, v: float, b: float, c: float, border: str) -> None:
    x = values((1, 8, 9, 3), 1, seed)
    np.testing.assert_allclose(
        contrast_then_brightness(heated(x, [v], border), c, b, 1.0),
        heated(contrast_then_brightness(x[None].copy(), c, b, 1.0)[0], [v], border),
        atol=2e-5,
    )


# What does not compose, and so has no certificate as a resolvable transformation.


@pytest.mark.parametrize("border", ["black", "reflect101", "replicate"])
def test_translation_with_borders_does_not_compose(border: str) -> None:
    """There and back is not the identity: what left the image is lost."""
    image = levels(8, 8)
    back = transforms.translate(transforms.translate(image, 3, 0, border), -3, 0, border)
    assert (back != image)[:, -3:].any()
    wrapped = transforms.translate(transforms.translate(image, 3, 0, "wrap"), -3, 0, "wrap")
    np.testing.assert_array_equal(wrapped, image)


def test_sampled_kernels_do_not_compose_at_small_variances() -> None:
    """cv2.GaussianBlur in float32, in [0,1] intensities: 0.1 twice is not 0.2; large variances nearly compose."""
    image = levels(32, 32).astype(np.float32) / 255

    def sampled(x: NDArray[Any], v: float) -> NDArray[Any]:
        return cv2.GaussianBlur(x, (0, 0), v**0.5)

    small = np.linalg.norm(sampled(sampled(image, 0.1), 0.1) - sampled(image, 0.2))
    large = np.linalg.norm(sampled(sampled(image, 4), 4) - sampled(image, 8))
    exact = heated(plane(image), [0.2], "reflect101") - heated(
        heated(plane(image), [0.1], "reflect101")[0], [0.1], "reflect101"
    )
    assert small > 0.3
    assert large < 0.02
    assert np.linalg.norm(exact) < 1e-4


def test_rounding_and_saturation_do_not_compose() -> None:
    """8 bits: brightness up and down clips; contrast down and up rounds; gamma merges levels."""
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for there_and_back in (
        transforms.brightness(transforms.brightness(image, 0.2), -0.2),
        transforms.contrast(transforms.contrast(image, 0.5), 2.0),
        transforms.gamma(transforms.gamma(image, 2.0), 0.5),
    ):
        assert (there_and_back != image).any()
    image = levels(32, 32)
    twice_blurred = transforms.gaussian_blur(transforms.gaussian_blur(image, 4.0), 4.0)
    assert (twice_blurred != transforms.gaussian_blur(image, 8.0)).any()
