"""Attack, then smoothing, is one smoothing of the composed parameters, on the code that runs; enumeration is exact."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import fft
from scipy.linalg import expm

from smoothcert import (
    ABSTAIN,
    Blur,
    Brightness,
    Contrast,
    Gamma,
    Hue,
    Noise,
    OrtClassifier,
    Saturation,
    Translation,
    certify_enumerated,
    compose,
)
from smoothcert.smoothing import Part
from smoothcert.smoothing.pairs import joint_laws
from smoothcert.transforms import warps

from .models import linear
from .samples import made, perturbed

Array = NDArray[np.float64]


# --- Attack, then smoothing, is one smoothing: on the code that runs --------------------------------------------------

Parameters = dict[str, Any]


def transformed(x: Array, border: str, middle: float, steps: Parameters) -> Array:
    """Oracle: an image (1, height, width, colours) changed step by step, in the order given, in double precision."""
    image = x[0]
    for name, value in steps.items():
        if name == "translation":
            image = np.roll(image, value, (0, 1))
        elif name == "blur":
            image = heat(image, value, border)
        elif name == "brightness":
            image = image + value
        elif name == "contrast":
            image = middle + value * (image - middle)
        elif name == "gamma":
            image = image**value
        elif name in ("hue", "saturation"):
            image = image @ chroma_turned(*((value, 1.0) if name == "hue" else (0.0, value))).T
        else:
            image = image + value[0]
    return image[None]


def chroma_turned(degrees: float, factor: float) -> Array:
    """Oracle: grey along BT.601's weights stays, what is left is turned about grey and stretched, by a series."""
    grey = np.tile([0.299, 0.587, 0.114], (3, 1))
    w = grey[0] / np.linalg.norm(grey[0])
    cross = np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]])  # a turn in the plane w.c = 0
    return np.asarray(grey + factor * expm(math.radians(degrees) * cross) @ (np.eye(3) - grey))


def heat(image: Array, variance: float, border: str) -> Array:
    """Oracle: SciPy's transforms; every mode of frequency w times exp(-variance w^2 / 2)."""
    for axis in (0, 1):
        size = image.shape[axis]
        if border == "wrap":
            w = 2 * np.pi * np.fft.fftfreq(size)
            forward, backward = functools.partial(fft.fft, axis=axis), functools.partial(fft.ifft, axis=axis)
        else:
            kind = {"reflect": 2, "reflect101": 1}[border]
            w = np.pi * np.arange(size) / (size if kind == 2 else size - 1)
            forward, backward = (functools.partial(f, type=kind, axis=axis) for f in (fft.dct, fft.idct))
        gain = np.exp(-variance * w**2 / 2).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        image = np.real(backward(forward(image) * gain))
    return image


def composed(order: Sequence[str], first: Parameters, second: Parameters) -> Parameters:
    """theory.md section 3: the one transformation that both are."""
    rules = {
        "translation": lambda a, b: (a[0] + b[0], a[1] + b[1]), "blur": lambda a, b: a + b,
        "brightness": lambda a, b: a + b, "contrast": lambda a, b: a * b, "gamma": lambda a, b: a * b,
        "noise": lambda a, b: a + b, "hue": lambda a, b: a + b, "saturation": lambda a, b: a * b,
    }  # fmt: skip
    both = {name: rules[name](first[name], second[name]) for name in order}
    if {"contrast", "brightness"} <= set(order):
        if order.index("contrast") < order.index("brightness"):
            both["brightness"] = second["contrast"] * first["brightness"] + second["brightness"]
        else:
            both["brightness"] = first["brightness"] + second["brightness"] / first["contrast"]
    if {"contrast", "gamma"} <= set(order):
        if order.index("gamma") < order.index("contrast"):
            both["contrast"] = first["contrast"] ** second["gamma"] * second["contrast"]
        else:
            both["contrast"] = first["contrast"] * second["contrast"] ** (1 / first["gamma"])
    return both


WRAP, MID = Blur(1.0, border="wrap"), Contrast(0.5, about="mid")
RESOLVABLE = {
    "brightness": [Brightness(0.5)],
    "contrast": [Contrast(0.5)],
    "contrast about mid": [MID],
    "gamma": [Gamma(0.5)],
    "gamma rayleigh": [Gamma(0.5, law="rayleigh")],
    "translation": [Translation(3.0)],
    "noise": [Noise(0.5)],
    **{f"blur {border}": [Blur(1.0, border=border)] for border in ("wrap", "reflect", "reflect101")},
    "contrast, brightness": [Contrast(0.5), Brightness(0.5)],
    "contrast about mid, brightness": [MID, Brightness(0.5)],
    "brightness, contrast": [Brightness(0.5), Contrast(0.5)],
    "brightness, contrast about mid": [Brightness(0.5), MID],
    "gamma, contrast": [Gamma(0.5), Contrast(0.5)],
    "contrast, gamma": [Contrast(0.5), Gamma(0.5)],
    "contrast, noise": [Contrast(0.5), Noise(0.5)],
    "brightness, contrast, noise": [Brightness(0.5), MID, Noise(0.5)],
    "blur, contrast, noise": [WRAP, Contrast(0.5), Noise(0.5)],
    "translation, gamma, contrast": [Translation(3.0), Gamma(0.5), Contrast(0.5)],
    "contrast, translation, brightness": [Contrast(0.5), Translation(3.0), Brightness(0.5)],
    "brightness, blur reflect101, contrast": [Brightness(0.5), Blur(1.0), Contrast(0.5)],
    "translation, blur, brightness, contrast": [Translation(3.0), WRAP, Brightness(0.5), Contrast(0.5)],
    "contrast, brightness, blur, translation": [MID, Brightness(0.5), WRAP, Translation(3.0)],
    "hue": [Hue(20.0)],
    "saturation": [Saturation(0.3)],
    "hue, contrast, saturation, brightness, noise": [Hue(9.0), MID, Saturation(0.3), Brightness(0.5), Noise(0.5)],
    "saturation, blur, hue, translation": [Saturation(0.3), WRAP, Hue(20.0), Translation(3.0)],
    "all but gamma": [Translation(3.0), WRAP, Contrast(0.5), Brightness(0.5), Noise(0.5)],
}


def drawn(part: str, rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """A parameter worth testing with."""
    if part == "translation":
        return tuple(rng.integers(-9, 10, 2).tolist())
    if part == "noise":
        return 0.1 * rng.standard_normal(shape)
    return {"blur": rng.uniform(0, 2), "brightness": rng.normal(0, 0.4), "hue": rng.normal(0, 60)}.get(
        part, math.exp(rng.normal(0, 0.4))
    )


@pytest.mark.parametrize("parts", RESOLVABLE.values(), ids=RESOLVABLE)
def test_attack_then_smoothing_is_one_smoothing(parts: list[Part], monkeypatch: pytest.MonkeyPatch) -> None:
    attacked_then_smoothed(parts, np.random.default_rng(3), 5, monkeypatch)


def attacked_then_smoothed(
    parts: list[Part], rng: np.random.Generator, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the draws fixed, the pipeline on the attacked image is the pipeline on the image with both parameters."""
    smoothing, order = compose(*parts), [part.name for part in parts]
    monkeypatch.setattr(Noise, "begin", Part.begin)  # noise, too, of the values that it is said to draw
    monkeypatch.setattr(Noise, "proceed", Part.proceed)
    border = next((part.border for part in parts if isinstance(part, Blur)), "wrap")
    middle = next((0.5 for part in parts if isinstance(part, Contrast) and part.about == "mid"), 0.0)

    def pipeline(x: Array, steps: Parameters) -> Array:
        """One sample, its draws those of steps."""
        for part in parts:
            value = np.asarray([steps[part.name]])
            monkeypatch.setattr(type(part), "draw", lambda self, stream, first, batch, value=value: value)
        return perturbed(smoothing, x.astype(np.float32), 1)[0].astype(float)

    for _ in range(times):
        x = rng.uniform(0.05, 1, (1, 9, 12, 3 if {"hue", "saturation"} & {*order} else 1))
        first, second = (({name: drawn(name, rng, x.shape) for name in order}) for _ in range(2))
        if "gamma" in order and "noise" in order:
            first["noise"] = np.zeros_like(x)  # no attack on noise has a theorem there
        attacked = transformed(x, border, middle, first)
        both = composed(order, first, second)
        if "noise" in order:  # the attack's noise is seen through the smoothing's own transformation of the image
            still = second | {"noise": np.zeros_like(x)}
            clean = attacked - first["noise"]
            seen = transformed(attacked, border, middle, still) - transformed(clean, border, middle, still)
            both["noise"] = seen + second["noise"]
            stretches = joint_laws(smoothing.parts).stretches.values()
            if None not in stretches:
                most = math.prod(float(s or 0) for s in stretches) * second.get("contrast", 1.0)
                assert np.linalg.norm(seen) <= most * np.linalg.norm(first["noise"]) * (1 + 1e-9)
        np.testing.assert_allclose(pipeline(attacked, second), pipeline(x, both), rtol=3e-5, atol=1e-5)
        np.testing.assert_allclose(pipeline(x, both), transformed(x, border, middle, both), rtol=3e-5, atol=1e-5)


def test_translations_of_8_bit_images_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attacker's pipeline, then the smoothing's: bit by bit one shift."""
    rng = np.random.default_rng(4)
    smoothing = compose(Translation(3.0))
    for _ in range(20):
        x = rng.integers(0, 256, (9, 12), dtype=np.uint8)
        (dy, dx), (sy, sx) = rng.integers(-15, 16, (2, 2)).tolist()
        samples = []
        attacked = warps.translate(x, dx, dy, border="wrap")
        np.testing.assert_array_equal(attacked, np.roll(x, (dy, dx), (0, 1)))
        for image, shift in ((attacked, (sy, sx)), (x, (dy + sy, dx + sx))):
            monkeypatch.setattr(Translation, "draw", lambda self, stream, first, batch, s=shift: np.array([s]))
            planes = image[None, :, :, None]
            assert made(smoothing, planes).attack_model == "integer"
            samples.append(perturbed(smoothing, planes, 1))
        np.testing.assert_array_equal(samples[0], samples[1])


# --- Enumerated certificates ------------------------------------------------------------------------------------------


def moved(image: NDArray[np.uint8], dy: int, dx: int) -> NDArray[np.uint8]:
    """Oracle: a shift that leaves black behind."""
    height, width = image.shape
    y, x = np.mgrid[:height, :width]
    inside = (y - dy >= 0) & (y - dy < height) & (x - dx >= 0) & (x - dx < width)
    return np.where(inside, np.roll(image, (dy, dx), (0, 1)), 0).astype(np.uint8)


def saturated(levels: Array) -> NDArray[np.uint8]:
    return np.rint(levels).clip(0, 255).astype(np.uint8)


def turned(image: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    height, width = image.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return np.asarray(cv2.warpAffine(image, matrix, (width, height)), np.uint8)


BALL = [(dy, dx) for dy, dx in itertools.product(range(-2, 3), repeat=2) if dy * dy + dx * dx <= 2.3**2]
FINITE: dict[str, tuple[dict[str, Any], Callable[[NDArray[np.uint8]], list[NDArray[np.uint8]]]]] = {
    "translation": ({"translation": 2.3}, lambda x: [moved(x, *d) for d in BALL]),
    "brightness": (
        {"brightness": (-0.04, 0.06)},
        lambda x: [saturated(x.astype(float) + level) for level in range(-10, 16)],
    ),
    "contrast": ({"contrast": (0.8, 1.25, 10)}, lambda x: [saturated(c * x) for c in np.linspace(0.8, 1.25, 10)]),
    "gamma": (
        {"gamma": (0.8, 1.2, 9)},
        lambda x: [saturated(255 * (x / 255) ** g) for g in np.linspace(0.8, 1.2, 9)],
    ),
    "rotation": ({"rotation": (-12, 12, 13)}, lambda x: [turned(x, a) for a in np.linspace(-12, 12, 13)]),
    "brightness then translation": (
        {"brightness": (0, 0.02), "translation": 1},
        lambda x: [
            moved(saturated(x.astype(float) + level), *d)
            for level in range(6)
            for d in BALL
            if abs(d[0]) + abs(d[1]) <= 1
        ],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("onnx", [False, True], ids=["callable", "onnx"])
@pytest.mark.parametrize(("attack", "members"), FINITE.values(), ids=FINITE)
def test_enumerated_certificates_are_never_wrong(
    attack: dict[str, Any], members: Callable[[NDArray[np.uint8]], list[NDArray[np.uint8]]], onnx: bool
) -> None:
    """Random linear models of random images: certified where, and only where, brute force finds one answer."""
    certified = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = rng.integers(0, 256, (5, 6), dtype=np.uint8)
        weights, bias = rng.standard_normal((30, 3)), rng.standard_normal(3)
        weights[:, 0] += rng.choice([0.0, 0.1])
        model: Any = functools.partial(scores, weights=weights, bias=bias)
        if onnx:
            model = OrtClassifier(linear((5, 6), weights, bias), threads=1, batch_size=16)
        certificate = certify_enumerated(model, x, attack)
        images = np.array([x, *members(x)])
        answers = set(scores(images / 255, weights, bias).argmax(1).tolist())
        assert certificate.attack_model == "enumerated"
        assert certificate.prediction == (answers.pop() if len(answers) == 1 else ABSTAIN)
        certified += certificate.prediction != ABSTAIN
    assert 0 < certified < 60


def scores(z: NDArray[Any], weights: Array, bias: Array) -> Array:
    return z.reshape(len(z), -1).astype(float) @ weights + bias
