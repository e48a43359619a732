"""What a smoothing makes of an image: addressed draws, the transformations themselves, the data they want.

Oracles: np.roll, arithmetic in double precision, scipy.ndimage.gaussian_filter. The laws are in test_laws.py.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from smoothcert import Blur, Brightness, Contrast, Gamma, Noise, OrtClassifier, Preprocess, Translation, compose
from smoothcert.draws import Stream, float_normal, integer_normal
from smoothcert.errors import DataError
from smoothcert.model.classifier import CallableClassifier
from smoothcert.sampling import ESTIMATION, SELECTION, Sampler
from smoothcert.smoothing import Part, Smoothing

from . import models
from .samples import KEY, made, perturbed, sampler

RNG = np.random.default_rng(8)
SMOOTHINGS: dict[str, Smoothing] = {
    "noise": compose(Noise(0.3)),
    "brightness": compose(Brightness(0.2)),
    "contrast": compose(Contrast(0.4)),
    "contrast about mid": compose(Contrast(0.4, about="mid")),
    "gamma": compose(Gamma(0.3)),
    "gamma, rayleigh": compose(Gamma(0.8, "rayleigh")),
    "blur": compose(Blur(3.0)),
    "blur, folded-normal, reflect": compose(Blur(3.0, "folded-normal", "reflect")),
    "translation": compose(Translation(2.0)),
    "contrast, brightness": compose(Contrast(0.4), Brightness(0.2)),
    "brightness, contrast about mid": compose(Brightness(0.2), Contrast(0.4, about="mid")),
    "gamma, contrast": compose(Gamma(0.3), Contrast(0.4)),
    "contrast, gamma": compose(Contrast(0.4), Gamma(0.3)),
    "translation, gamma": compose(Translation(2.0), Gamma(0.3)),
    "contrast, blur, brightness": compose(Contrast(0.4), Blur(3.0), Brightness(0.2)),
    "blur, translation": compose(Blur(3.0, border="wrap"), Translation(2.0)),
    "all but gamma": compose(Brightness(0.2), Translation(2.0), Contrast(0.4), Blur(3.0, "rayleigh", "wrap")),
    "translation, noise": compose(Translation(2.0), Noise(0.3)),
    "contrast, noise": compose(Contrast(0.4), Noise(0.3)),
}
WHOLE = {"noise", "translation", "translation, noise"}
SHAPES = {"grey": (1, 9, 8, 1), "planar": (3, 9, 8, 1), "channels last": (1, 9, 8, 3)}


def image(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """A random image, of levels or of [0,1] values."""
    levels = np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)
    return levels if dtype == "uint8" else levels / np.float32(255)


# --- Addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("smoothing", SMOOTHINGS.values(), ids=SMOOTHINGS)
def test_a_sample_is_a_function_of_its_address(smoothing: Smoothing, dtype: str, shape: tuple[int, ...]) -> None:
    """Bit for bit the same in any batch, in any order, again; another for every part of the address."""
    x = image(shape, dtype)
    before = x.copy()
    whole = perturbed(smoothing, x, 23, first=5)
    parts = [perturbed(smoothing, x, n, first=first) for first, n in ((13, 15), (5, 1), (6, 7))]
    np.testing.assert_array_equal(np.concatenate([parts[1], parts[2], parts[0]]), whole)
    np.testing.assert_array_equal(perturbed(smoothing, x, 23, first=5), whole)
    np.testing.assert_array_equal(x, before)
    for other in ({"stage": 1}, {"index": 1}, {"key": KEY + 1}, {"first": 28}):
        assert (perturbed(smoothing, x, 23, **({"first": 5} | other)) != whole).any(axis=(1, 2, 3, 4)).mean() > 0.5


@pytest.mark.parametrize("name", SMOOTHINGS)
def test_what_is_whole_and_what_is_real(name: str) -> None:
    """8-bit levels stay whole under noise and translation alone; slack is the tables', a value at a time."""
    smoothing, levels, real = SMOOTHINGS[name], image((3, 9, 8, 1), "uint8"), image((3, 9, 8, 1), "float32")
    kinds = {type(part) for part in smoothing.parts}
    noise = levels.size * integer_normal(255 * 0.3).total_variation if Noise in kinds else 0.0
    shift = 2 * integer_normal(2.0).total_variation if Translation in kinds else 0.0
    whole = name in WHOLE
    eight, floats = made(smoothing, levels), made(smoothing, real)
    assert eight.dtype == (np.int16 if whole else np.float32)
    assert eight.attack_model == ("integer" if whole else "float-unclipped")
    assert eight.slack == pytest.approx(noise + shift if whole else 0.0, rel=1e-12)
    assert eight.slack > 0 or not whole
    assert floats.dtype == np.float32
    assert floats.attack_model == "float-unclipped"
    assert floats.slack == 0


@pytest.mark.parametrize("name", ["contrast, blur, brightness", "translation, noise", "contrast, noise"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_counts_do_not_depend_on_batch_or_threads(name: str, dtype: str) -> None:
    """403 votes by batches of 1, 7 and 64, one and two threads, and in two parts."""
    x = image((9, 8, 3), dtype)
    content = models.linear((3, 9, 8), RNG.standard_normal((216, 4)), np.zeros(4))

    def votes(batch_size: int, threads: int) -> Sampler:
        c = OrtClassifier(content, batch_size=batch_size, threads=threads)
        return sampler(c, SMOOTHINGS[name], x, index=3)

    reference = votes(64, 1).counts(ESTIMATION, 0, 403)
    assert len(reference) > 1
    for batch_size, threads in ((1, 2), (7, 1), (7, 2), (64, 2)):
        assert votes(batch_size, threads).counts(ESTIMATION, 0, 403) == reference
    halves = (votes(7, 2).counts(ESTIMATION, *ends) for ends in ((0, 100), (100, 403)))
    assert sum(halves, Counter[int]()) == reference
    assert votes(7, 2).counts(SELECTION, 0, 403) != reference


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_planar_channels_last_and_flat_models_get_the_same_images(dtype: str) -> None:
    """One linear function of the pixels, three input shapes: the same votes, for the parameters are the same."""
    x, weights = image((9, 8, 3), dtype), RNG.standard_normal((9, 8, 3, 4))
    smoothing = SMOOTHINGS["all but gamma"]
    votes = []
    for shape, w, layout in (
        ((9, 8, 3), weights, "auto"),
        ((3, 9, 8), np.moveaxis(weights, 2, 0), "auto"),
        ((216,), weights, "flat"),
    ):
        content = models.linear(shape, w.reshape(216, 4), np.zeros(4))
        c = OrtClassifier(content, threads=1, preprocess=Preprocess(layout=layout))  # type: ignore[arg-type]
        votes.append(sampler(c, smoothing, x).counts(ESTIMATION, 0, 1000))
    assert votes[0] == votes[1] == votes[2]
    assert len(votes[0]) > 1


# --- The transformations themselves -----------------------------------------------------------------------------------


def blurred(pixels: NDArray[np.float64], variance: float, border: str) -> NDArray[np.float64]:
    """SciPy's sampled Gaussian, cut at 10 standard deviations: as good as exact from a variance of 3 on."""
    mode = {"reflect101": "mirror", "reflect": "reflect", "wrap": "wrap"}[border]
    return np.asarray(ndimage.gaussian_filter(pixels, [0, variance**0.5, variance**0.5, 0], mode=mode, truncate=10.0))


def by_hand(part: Part, value: Any, x: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """One part applied to (outer, height, width, inner), in double precision."""
    match part:
        case Brightness():
            return x + value * unit
        case Contrast(about=about):
            middle = unit / 2 if about == "mid" else 0.0
            return middle + value * (x - middle)
        case Gamma():
            return np.asarray(unit * (x / unit) ** value)
        case Blur(border=border):
            return blurred(x, value, border)
        case Translation():
            return np.roll(x, tuple(value), axis=(1, 2))
    raise AssertionError(part)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """The values that every part draws, by its name, recorded as they are drawn."""
    values: dict[str, list[Any]] = defaultdict(list)

    def spy(home: type[Part]) -> None:
        draw = home.draw

        def recorded(self: Part, *arguments: Any) -> NDArray[Any]:
            got = draw(self, *arguments)
            values[self.name].extend(got.tolist())
            return got

        monkeypatch.setattr(home, "draw", recorded)

    spy(Part)
    spy(Translation)
    return values


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("name", [n for n, s in SMOOTHINGS.items() if not isinstance(s.parts[-1], Noise)])
def test_images_are_the_transforms_in_the_order_given(
    drawn: dict[str, list[Any]], name: str, dtype: str, shape: tuple[int, ...]
) -> None:
    smoothing, x = SMOOTHINGS[name], image(shape, dtype)
    unit = 255.0 if dtype == "uint8" else 1.0
    out = perturbed(smoothing, x, 24, first=9)
    compared = 0
    for i, sample in enumerate(out):
        values = {part.name: drawn[part.name][i] for part in smoothing.parts}
        if values.get("blur", 9.0) < 3:
            continue  # a sampled kernel is not the Gaussian's there
        expected = x.astype(float)
        for part in smoothing.parts:
            expected = by_hand(part, values[part.name], expected, unit)
        if sample.dtype == np.int16:
            np.testing.assert_array_equal(sample, expected)
        else:
            np.testing.assert_allclose(sample, expected, rtol=1e-5, atol=1e-5 * unit)
        compared += 1
    assert compared >= 6
    assert len({str(values) for values in zip(*drawn.values(), strict=True)}) > 15


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(
    "head", [(Translation(2.0),), (Contrast(0.4),), (Blur(3.0), Contrast(0.4), Brightness(0.1))], ids=len
)
def test_noise_comes_last_and_is_that_of_its_address(head: tuple[Part, ...], dtype: str) -> None:
    """What noise adds to a composition is what it adds on its own: the stream's own normals, of sigma full units."""
    x = image((3, 9, 8, 1), dtype)
    noisy = perturbed(compose(*head, Noise(0.3)), x, 20, first=3).astype(float)
    added = (noisy - perturbed(compose(*head), x, 20, first=3)).reshape(20, -1)
    if dtype == "uint8" and isinstance(head[0], Translation):
        whole = np.empty((20, x.size), np.int16)
        integer_normal(255 * 0.3).fill(Stream(KEY, 0, 0), 3, whole)
        np.testing.assert_array_equal(added, whole)
    else:
        unit = 255.0 if dtype == "uint8" else 1.0
        normal = np.empty((20, x.size), np.float32)
        float_normal(Stream(KEY, 0, 0), 3, normal)
        np.testing.assert_allclose(added, unit * 0.3 * normal, atol=1e-5 * unit)


# --- Data that do not suit --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [(Blur(2.0),), (Translation(2.0),), (Translation(2.0), Noise(0.3))])
@pytest.mark.parametrize(
    "x",
    [np.zeros(784, np.uint8), np.zeros((9, 8, 2), np.uint8), np.zeros((2, 3, 9, 8), np.float32)],
    ids=["vector", "two colours", "four axes"],
)
def test_spatial_parts_want_images(parts: tuple[Part, ...], x: NDArray[Any]) -> None:
    """Four axes are no image either: which of them would be rows?"""
    classifier = CallableClassifier(lambda batch: np.zeros(len(batch), int))
    with pytest.raises(DataError, match=r"expected images, got values of shape .*1, 3 or 4 colours") as error:
        sampler(classifier, compose(*parts), x).counts(ESTIMATION, 0, 10)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["brightness", "contrast", "gamma", "gamma, contrast", "contrast, noise"])
def test_other_parts_take_what_there_is(name: str) -> None:
    classifier = CallableClassifier(lambda batch: np.zeros(len(batch), int))
    for shape in ((7,), (9, 8, 2), (2, 3, 9, 8)):
        votes = sampler(classifier, SMOOTHINGS[name], np.ones(shape, np.float32))
        assert votes.counts(ESTIMATION, 0, 10) == {0: 10}


def test_gamma_of_negative_data_is_refused() -> None:
    for smoothing in (compose(Gamma(0.3)), compose(Contrast(0.3), Gamma(0.3)), compose(Gamma(0.3), Translation(1.0))):
        for value in (-0.5, 200.0):
            with pytest.raises(DataError, match=r"gamma: expected \[0,1\] intensities, perhaps attacked, or 8-bit"):
                made(smoothing, np.full((1, 2, 2, 1), value, np.float32))


def test_mid_grey_is_known_for_intensities_alone() -> None:
    """Float data of another range have their middle elsewhere; about 0 needs none. Attacked images leave [0,1]."""
    levels = np.linspace(0, 255, 4, dtype=np.float32).reshape(1, 2, 2, 1)
    black, mid = compose(Contrast(0.3)), compose(Contrast(0.3, about="mid"))
    with pytest.raises(DataError, match=r"contrast about=mid: expected \[0,1\] intensities, .* got 0 to 255"):
        made(mid, levels)
    assert made(black, levels).dtype == made(mid, levels / 255).dtype == np.float32
    assert made(mid, levels.astype(np.uint8)).dtype == np.float32
    assert made(mid, 2 - levels / 100).dtype == np.float32
