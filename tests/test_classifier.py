"""Base classifiers: every kind of model against numpy, one function for any batch, and every refusal's words."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import smoothcert
from smoothcert import (
    Contrast,
    Noise,
    OrtClassifier,
    Preprocess,
    SmoothcertError,
    certify,
    certify_radius,
    certify_targets,
    compose,
    predict,
)
from smoothcert.errors import DataError, ModelError, ProviderError
from smoothcert.inputs.input import Input
from smoothcert.inputs.levels import EIGHT_BIT
from smoothcert.model import providers
from smoothcert.model.classifier import CallableClassifier, Classifier, as_classifier, to_labels
from smoothcert.model.file import read_model
from smoothcert.model.preprocess import prepared
from smoothcert.sampling import ESTIMATION, SELECTION, Sampler

from . import models

DIGITS = Path(smoothcert.__file__).parent / "data" / "digits.onnx"
RNG = np.random.default_rng(5)
SIZE, CLASSES = 48, 6
WEIGHTS, BIAS = RNG.standard_normal((SIZE, CLASSES)), RNG.standard_normal(CLASSES) / 3
COLOUR = RNG.random((4, 4, 3)).astype(np.float32)  # H W C: SIZE values


def one_line(error: pytest.ExceptionInfo[BaseException], *parts: str) -> None:
    """The message is a line for people and holds the parts."""
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 400
    for part in parts:
        assert part in text


def linear(shape: tuple[int, ...], **options: Any) -> bytes:
    return models.linear(shape, WEIGHTS, BIAS, **options)


def batch_of(shape: tuple[int, ...], rows: int = 40) -> NDArray[np.float32]:
    return RNG.standard_normal((rows, *shape)).astype(np.float32)


# --- Every kind of model against numpy --------------------------------------------------------------------------------

VARIANTS: dict[str, tuple[tuple[int, ...], dict[str, Any], str | None]] = {
    "logits": ((SIZE,), {}, None),
    "labels": ((SIZE,), {"outputs": ["labels"]}, None),
    "probabilities": ((SIZE,), {"outputs": ["probabilities"]}, None),
    "several outputs, logits": ((SIZE,), {"outputs": ["labels", "probabilities", "logits"]}, "logits"),
    "several outputs, labels": ((SIZE,), {"outputs": ["logits", "labels"]}, "labels"),
    "several outputs, probabilities": ((SIZE,), {"outputs": ["labels", "probabilities"]}, "probabilities"),
    "batch fixed to 1": ((SIZE,), {"batch": 1}, None),
    "batch fixed to 8": ((3, 4, 4), {"batch": 8}, None),
    "planar": ((3, 4, 4), {}, None),
    "channels last": ((4, 4, 3), {}, None),
    "flat with a channel": ((SIZE, 1), {}, None),
    "double": ((SIZE,), {"elem_type": TensorProto.DOUBLE}, None),
    "old file": ((SIZE,), {"opset": 9, "ir_version": 3}, None),
    "newer file": ((SIZE,), {"opset": 21, "ir_version": 10}, None),
}


@pytest.mark.parametrize(("shape", "options", "output"), VARIANTS.values(), ids=VARIANTS)
def test_labels_against_numpy(shape: tuple[int, ...], options: dict[str, Any], output: str | None) -> None:
    """Oracle: argmax of x @ weights + bias in double precision."""
    classifier = OrtClassifier(linear(shape, **options), output=output, threads=1)
    size = classifier.batch_size(math.prod(shape))
    batch = batch_of(shape, size)
    rows = max(1, size - 3)
    labels = classifier.labels(batch, rows, None)
    assert labels.dtype == np.int64
    assert (labels == models.line_labels(batch[:rows], WEIGHTS, BIAS)).all()
    assert classifier.shape == shape


def test_labels_of_half_precision() -> None:
    """Oracle: numpy, where its two best scores differ by more than half precision can confuse."""
    classifier = OrtClassifier(linear((SIZE,), elem_type=TensorProto.FLOAT16), threads=1, batch_size=500)
    batch = batch_of((SIZE,), 500)
    scores = np.sort(batch.astype(float) @ WEIGHTS + BIAS, axis=1)
    clear = scores[:, -1] - scores[:, -2] > 0.2
    assert clear.mean() > 0.9
    assert (classifier.labels(batch, 500, None) == models.line_labels(batch, WEIGHTS, BIAS))[clear].all()
    assert classifier.precision == "float16"


def test_levels_are_divided_by_255() -> None:
    """8-bit samples with noise on them come as int16 levels, unclipped."""
    classifier = OrtClassifier(linear((SIZE,)), threads=1, batch_size=200)
    levels = RNG.integers(-600, 900, (200, SIZE)).astype(np.int16)
    assert (classifier.labels(levels, 200, EIGHT_BIT) == models.line_labels(levels / 255, WEIGHTS, BIAS)).all()


def test_model_of_8_bits_gets_clipped_levels() -> None:
    """Oracle: numpy on the levels clipped to 0..255."""
    content = models.linear((SIZE,), WEIGHTS / 100, BIAS, elem_type=TensorProto.UINT8)
    classifier = OrtClassifier(content, threads=1, batch_size=200)
    levels = RNG.integers(-600, 900, (200, SIZE)).astype(np.int16)
    expected = models.line_labels(np.clip(levels, 0, 255), WEIGHTS / 100, BIAS)
    assert (classifier.labels(levels, 200, EIGHT_BIT) == expected).all()


def test_model_of_8_bits_with_a_scale_of_its_own_gets_clipped_levels() -> None:
    """scale = 1 says what is so anyway: values outside 0..255 must not wrap around."""
    content = models.linear((SIZE,), WEIGHTS / 100, BIAS, elem_type=TensorProto.UINT8)
    classifier = OrtClassifier(content, threads=1, batch_size=200, preprocess=Preprocess(scale=1.0))
    levels = RNG.integers(-600, 900, (200, SIZE)).astype(np.int16)
    expected = models.line_labels(np.clip(levels, 0, 255), WEIGHTS / 100, BIAS)
    assert (classifier.labels(levels, 200, EIGHT_BIT) == expected).all()


REAL_LEVELS: dict[str, tuple[dict[str, Any], dict[str, Any], Callable[[NDArray[Any]], NDArray[Any]]]] = {
    "[0,1] values": ({}, {}, lambda v: v / 255),
    "levels as they are": ({}, {"scale": 1.0}, lambda v: v),
    "mean and std": ({}, {"mean": (0.4,), "std": (0.2,)}, lambda v: (v / 255 - 0.4) / 0.2),
    "scale, mean and std": ({}, {"scale": 0.01, "mean": (0.4,), "std": (0.2,)}, lambda v: (v * 0.01 - 0.4) / 0.2),
    "double": ({"elem_type": TensorProto.DOUBLE}, {}, lambda v: v / 255),
    "uint8": ({"elem_type": TensorProto.UINT8}, {}, lambda v: np.rint(v).clip(0, 255)),
    "uint8, scale 1": ({"elem_type": TensorProto.UINT8}, {"scale": 1.0}, lambda v: np.rint(v).clip(0, 255)),
    "int32": ({"elem_type": TensorProto.INT32}, {}, np.rint),
    "int32, halved": ({"elem_type": TensorProto.INT32}, {"scale": 0.5}, lambda v: np.rint(v * 0.5)),
    "int8, halved and shifted": (
        {"elem_type": TensorProto.INT8},
        {"scale": 0.1, "mean": (10.0,)},
        lambda v: np.rint(v * 0.1 - 10),
    ),
}


@pytest.mark.parametrize("opset", [(9, 3), (18, 8)], ids=["opset 9", "opset 18"])
@pytest.mark.parametrize(("model", "preprocess", "seen"), REAL_LEVELS.values(), ids=REAL_LEVELS)
def test_real_levels(
    model: dict[str, Any],
    preprocess: dict[str, Any],
    seen: Callable[[NDArray[Any]], NDArray[Any]],
    opset: tuple[int, int],
) -> None:
    """8-bit images that contrast, gamma or blur has made real numbers of: float32 levels, unclipped.

    Oracle: the linear model in double precision on what it should see, rounded to the nearest for models of integers.
    """
    whole = "elem_type" in model and model["elem_type"] != TensorProto.DOUBLE
    weights = WEIGHTS / (100 if whole or preprocess.get("scale") == 1 else 1)
    content = models.linear((SIZE,), weights, BIAS, opset=opset[0], ir_version=opset[1], **model)
    classifier = OrtClassifier(content, threads=1, batch_size=300, preprocess=Preprocess(**preprocess))
    levels = RNG.uniform(-300, 600, (300, SIZE)).astype(np.float32)
    values = seen(levels.astype(float))
    scores = np.sort(values @ weights + BIAS, axis=1)
    clear = scores[:, -1] - scores[:, -2] > 1e-4 * np.abs(scores).max()
    labels = classifier.labels(levels, 300, EIGHT_BIT)
    assert clear.mean() > 0.97
    assert (labels == models.line_labels(values, weights, BIAS))[clear].all()
    assert (models.line_labels(levels, weights, BIAS) != labels).any() or preprocess == {"scale": 1.0} or whole


def test_values_are_not_levels() -> None:
    """One batch, twice: float data are taken as they are, levels divided by 255, each by a session of its own."""
    classifier = OrtClassifier(linear((SIZE,)), threads=1, batch_size=200)
    batch = RNG.uniform(-300, 600, (200, SIZE)).astype(np.float32)
    values, levels = classifier.labels(batch, 200, None), classifier.labels(batch, 200, EIGHT_BIT)
    assert (values == models.line_labels(batch, WEIGHTS, BIAS)).all()
    assert (levels == models.line_labels(batch / 255, WEIGHTS, BIAS)).all()
    assert (values != levels).any()


def test_whole_and_real_levels_agree() -> None:
    """int16 and float32 of the same levels are the same input to the model: same labels."""
    for elem_type in (TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT32):
        content = models.linear((SIZE,), WEIGHTS / 100, BIAS, elem_type=elem_type)
        classifier = OrtClassifier(content, threads=1, batch_size=200)
        levels = RNG.integers(-300, 600, (200, SIZE)).astype(np.int16)
        real = classifier.labels(levels.astype(np.float32), 200, EIGHT_BIT)
        assert (real == classifier.labels(levels, 200, EIGHT_BIT)).all()


@pytest.mark.parametrize("nhwc", [False, True], ids=["nchw", "nhwc"])
def test_convnet_against_the_reference_evaluator(nhwc: bool) -> None:
    """Oracle: onnx.reference, which is numpy."""
    shape = (12, 12, 3) if nhwc else (3, 12, 12)
    content = models.convnet(shape, nhwc=nhwc)
    batch = batch_of(shape, 16)
    (scores,) = ReferenceEvaluator(onnx.load_from_string(content)).run(None, {"x": batch})
    labels = OrtClassifier(content, threads=1, batch_size=16).labels(batch, 16, None)
    assert (labels == scores.argmax(axis=1)).all()
    assert len(set(labels.tolist())) > 1


def test_half_space_has_the_radius_it_should() -> None:
    """The shared builder itself: the plane |w.x + b| / |w| away, on both sides."""
    w, b = RNG.standard_normal(SIZE), 0.7
    classifier = OrtClassifier(models.half_space((SIZE,), w, b), threads=1, batch_size=2)
    unit, distance = w / np.linalg.norm(w), b / np.linalg.norm(w)
    near = np.stack([-unit * distance * part for part in (0.999, 1.001)]).astype(np.float32)
    assert classifier.labels(near, 2, None).tolist() == [1, 0]
    slabs = OrtClassifier(models.slabs((SIZE,), unit, [-0.5, 0.1, 0.2]), threads=1, batch_size=4)
    points = np.outer([-0.6, 0.0, 0.15, 0.3], unit).astype(np.float32)
    assert slabs.labels(points, 4, None).tolist() == [0, 1, 2, 3]


# --- One function for every batch, thread and order -------------------------------------------------------------------

COUNTED = {
    "linear": (lambda: linear((SIZE,)), (SIZE,)),
    "labels": (lambda: linear((SIZE,), outputs=["labels"]), (SIZE,)),
    "int32": (lambda: models.linear((SIZE,), WEIGHTS / 100, BIAS, elem_type=TensorProto.INT32), (SIZE,)),
    "uint8": (lambda: models.linear((SIZE,), WEIGHTS / 100, BIAS, elem_type=TensorProto.UINT8), (SIZE,)),
    "convnet": (lambda: models.convnet(), (3, 12, 12)),
    "digits": (lambda: str(DIGITS), (1, 32, 32)),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32], ids=["uint8", "float32"])
@pytest.mark.parametrize(("model", "shape"), COUNTED.values(), ids=COUNTED)
def test_counts_do_not_depend_on_batch_or_threads(
    model: Callable[[], Any], shape: tuple[int, ...], dtype: type[np.generic]
) -> None:
    """1,003 votes by batches of 1, 7, 32, 1000 and the default, one and two threads; and in two parts."""
    x = RNG.integers(0, 256, shape, dtype=np.uint8) if dtype == np.uint8 else RNG.random(shape).astype(np.float32)
    n = 203 if shape == (1, 32, 32) else 1003

    def sampler(batch_size: int | None, threads: int) -> Sampler:
        scale = Preprocess(scale=1.0) if dtype == np.float32 else None
        classifier = OrtClassifier(model(), batch_size=batch_size, threads=threads, preprocess=scale)
        return Sampler(classifier, compose(Noise(0.5)).perturbation, classifier.prepare(x), 77, 3)

    reference = sampler(32, 1).counts(ESTIMATION, 0, n)
    assert sum(reference.values()) == n
    for batch_size in (1, 7, 32, 1000, None):
        for threads in (1, 2):
            assert sampler(batch_size, threads).counts(ESTIMATION, 0, n) == reference
    parts = sampler(7, 2)
    assert Counter(parts.counts(ESTIMATION, 0, 100)) + Counter(parts.counts(ESTIMATION, 100, n)) == reference
    if dtype == np.uint8:
        assert len(reference) > 1
        assert parts.counts(SELECTION, 0, n) != reference
    assert parts.counts(ESTIMATION, 50, 50) == {}


@pytest.mark.parametrize("model", [lambda: DIGITS.read_bytes(), lambda: models.convnet()], ids=["digits", "convnet"])
def test_cpu_logits_are_the_same_bits_for_every_batch_size(model: Callable[[], bytes]) -> None:
    """On the very sessions that certify: rows classified together, apart, and at other places in the batch."""
    session = providers.start(model(), "", "cpu", False)
    (entry,) = session.get_inputs()
    batch = RNG.standard_normal((64, *entry.shape[1:])).astype(np.float32)
    whole = session.run(None, {entry.name: batch})[0]
    for size in (1, 2, 3, 7, 32):
        parts = [session.run(None, {entry.name: batch[i : i + size]})[0] for i in range(0, 64, size)]
        assert (np.concatenate(parts) == whole).all()
    assert (session.run(None, {entry.name: batch[::-1].copy()})[0][::-1] == whole).all()


def sampler_at_zero(classifier: Classifier, size: int) -> Sampler:
    return Sampler(classifier, compose(Noise(1.0)).perturbation, Input.of(np.zeros(size, np.float32)), 1, 0)


def test_a_classifiers_error_passes_through_every_thread() -> None:
    classifier = OrtClassifier(models.gives_nan(), threads=2, batch_size=4)
    with pytest.raises(ModelError, match="NaN"):
        sampler_at_zero(classifier, 4).counts(ESTIMATION, 0, 1000)


# --- Layout and arithmetic --------------------------------------------------------------------------------------------

GRAY = RNG.random((28, 28)).astype(np.float32)
PLANAR = np.moveaxis(COLOUR, -1, 0)

FITS: dict[str, tuple[NDArray[Any], tuple[int, ...], str, NDArray[Any]]] = {
    "H W into planar": (GRAY, (1, 28, 28), "auto", GRAY[None]),
    "H W into channels last": (GRAY, (28, 28, 1), "auto", GRAY[..., None]),
    "H W into H W": (GRAY, (28, 28), "auto", GRAY),
    "H W into flat": (GRAY, (784,), "auto", GRAY.ravel()),
    "H W into flat with a channel": (GRAY, (784, 1), "auto", GRAY.reshape(784, 1)),
    "H W 1 into flat": (GRAY[..., None], (784,), "auto", GRAY.ravel()),
    "1 H W into channels last": (GRAY[None], (28, 28, 1), "auto", GRAY[..., None]),
    "vector into planar": (GRAY.ravel(), (1, 28, 28), "auto", GRAY[None]),
    "vector into vector": (GRAY.ravel(), (784,), "auto", GRAY.ravel()),
    "H W C into planar": (COLOUR, (3, 4, 4), "auto", PLANAR),
    "H W C into channels last": (COLOUR, (4, 4, 3), "auto", COLOUR),
    "C H W into planar": (PLANAR, (3, 4, 4), "auto", PLANAR),
    "H W C into flat, asked for": (COLOUR, (48,), "flat", COLOUR.ravel()),
}


def shaped(shape: tuple[int, ...]) -> bytes:
    size = int(np.prod(shape))
    return models.half_space(shape, np.ones(size), 0.0)


@pytest.mark.parametrize(("x", "shape", "layout", "expected"), FITS.values(), ids=FITS)
def test_fit(x: NDArray[Any], shape: tuple[int, ...], layout: Any, expected: NDArray[Any]) -> None:
    classifier = OrtClassifier(shaped(shape), preprocess=Preprocess(layout=layout))
    for values in (x, x.astype(float), (255 * x).astype(np.uint8)):
        fitted = classifier.prepare(values).values
        want = (255 * expected).astype(np.uint8) if values.dtype == np.uint8 else expected
        assert fitted.shape == shape
        assert (fitted == want).all()
        assert fitted.flags.c_contiguous
        assert fitted.dtype == (np.uint8 if values.dtype == np.uint8 else np.float32)


MISFITS = {
    "size": (np.zeros((5, 5), np.uint8), (1, 4, 4), "auto", ["(1, 4, 4)", "uint8 (5, 5)", "layout auto"]),
    "colour for gray": (COLOUR, (1, 4, 4), "auto", ["(1, 4, 4)", "float32 (4, 4, 3)"]),
    "gray for colour": (GRAY[:4, :4], (3, 4, 4), "auto", ["(3, 4, 4)", "float32 (4, 4)"]),
    "colour for flat": (COLOUR, (48,), "auto", ["(48)", "(4, 4, 3)", "`layout=flat`"]),
    "integers": (np.zeros((4, 4), np.int64), (1, 4, 4), "auto", ["uint8 or float", "int64"]),
    "NaN": (np.full((4, 4), np.nan), (1, 4, 4), "auto", ["NaN or infinite"]),
    "infinity": (np.full((4, 4), np.inf, np.float32), (1, 4, 4), "auto", ["NaN or infinite"]),
    "beyond float32": (np.full((4, 4), 1e300), (1, 4, 4), "auto", ["NaN or infinite"]),
}


@pytest.mark.parametrize(("x", "shape", "layout", "parts"), MISFITS.values(), ids=MISFITS)
def test_fit_refuses(x: NDArray[Any], shape: tuple[int, ...], layout: Any, parts: list[str]) -> None:
    classifier = OrtClassifier(shaped(shape), preprocess=Preprocess(layout=layout))
    with pytest.raises(DataError) as error:
        classifier.prepare(x)
    one_line(error, *parts)


def test_free_axes_need_a_layout() -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"], axis=1),
    ]
    x = models.value("x", TensorProto.FLOAT, ("N", "C", "H", "W"))
    content = models.model(nodes, [x], [models.value("y", TensorProto.FLOAT, ("N", "C"))])
    with pytest.raises(DataError) as error:
        OrtClassifier(content).prepare(COLOUR)
    one_line(error, "(?, ?, ?)", "`layout=nchw` or `layout=nhwc`")
    found = OrtClassifier(content, preprocess=Preprocess(layout="nchw")).prepare(COLOUR)
    assert (found.values == PLANAR).all()


ARITHMETIC = {
    "scale": ((48,), {"scale": 0.5}),
    "one mean": ((48,), {"mean": (0.3,), "std": (0.7,)}),
    "planar": ((3, 4, 4), {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)}),
    "channels last": ((4, 4, 3), {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)}),
    "scale and std": ((4, 4, 3), {"scale": 2.0, "std": (0.5, 0.6, 0.7)}),
    "cube, planar": ((3, 4, 3), {"mean": (0.1, 0.9, 2.0), "layout": "nchw"}),
    "cube, channels last": ((3, 4, 3), {"mean": (0.1, 0.9, 2.0), "layout": "nhwc"}),
}


@pytest.mark.parametrize("levels", [False, True], ids=["float", "levels"])
@pytest.mark.parametrize(("shape", "options"), ARITHMETIC.values(), ids=ARITHMETIC)
def test_preprocess_against_numpy(shape: tuple[int, ...], options: dict[str, Any], levels: bool) -> None:
    """Oracle: (value * scale - mean) / std in double precision, channel by channel."""
    weights = WEIGHTS[: np.prod(shape)]
    preprocess = Preprocess(**options)
    classifier = OrtClassifier(models.linear(shape, weights, BIAS), batch_size=300, threads=1, preprocess=preprocess)
    batch = RNG.integers(-300, 500, (300, *shape)).astype(np.int16) if levels else batch_of(shape, 300)
    planar = preprocess.layout == "nchw" or (preprocess.layout == "auto" and shape[0] == 3)
    per_channel = (-1, 1, 1) if planar and len(shape) == 3 else (-1,)
    scale = preprocess.scale or (1 / 255 if levels else 1.0)
    mean = np.reshape(preprocess.mean or (0.0,), per_channel)
    std = np.reshape(preprocess.std or (1.0,), per_channel)
    expected = models.line_labels((batch.astype(float) * scale - mean) / std, weights, BIAS)
    known = EIGHT_BIT if levels else None
    assert (classifier.labels(batch, 300, known) == expected).all()
    plain = OrtClassifier(models.linear(shape, weights, BIAS), batch_size=300, threads=1)
    assert (plain.labels(batch, 300, known) != expected).any(), "the arithmetic changes nothing: the test is blind"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "hwc"}, "layout: expected one of auto, nchw, nhwc, flat, got 'hwc'"),
        ({"scale": 0.0}, "scale: expected a factor > 0"),
        ({"std": (0.5, 0.0)}, "std: expected values > 0"),
        ({"scale": "1"}, "^scale: expected a number, got '1'$"),
        ({"mean": "0.5"}, "^mean: expected a number, or one for each channel, got '0.5'$"),
        ({"std": None}, "^std: expected a number, or one for each channel, got None$"),
        ({"mean": ["0.5"]}, "^mean: expected a number, or one for each channel, got "),
        ({"std": True}, "^std: expected a number, or one for each channel, got True$"),
        ({"mean": np.full((3, 1, 1), 0.5)}, "^mean: expected a number, or one for each channel, got "),
        ({"mean": {0.5: 1}}, "^mean: expected a number, or one for each channel, got "),
    ],
    ids=["layout", "scale", "std", "text scale", "text", "none", "texts", "truth", "array of axes", "table"],
)
def test_preprocess_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocess(**options)


@pytest.mark.parametrize(
    "half", [0.5, np.float32(0.5), np.float64(0.5), (0.5,), [0.5], np.array([0.5])], ids=lambda v: type(v).__name__
)
def test_one_number_is_that_of_all_channels(half: Any) -> None:
    assert Preprocess(mean=half, std=half) == Preprocess(mean=(0.5,), std=(0.5,))
    assert Preprocess.of(Preprocess(mean=half, std=half).recipe) == Preprocess(mean=(0.5,), std=(0.5,))
    assert Preprocess(mean=1).mean == (1.0,)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(3, None, None), (None, None, 3)], ids=str)
@pytest.mark.parametrize("count", [2, 4])
def test_preprocess_counts_channels_though_rows_and_columns_are_free(shape: Any, count: int) -> None:
    preprocess = Preprocess(mean=(0.1,) * count)
    with pytest.raises(ValueError, match=f"^mean/std: expected one value, or one a channel .*, got {count}$"):
        preprocess.channel_values(preprocess.mean, shape)


IMAGE = np.random.default_rng(5).integers(0, 256, (6, 6)).astype(np.float32)
SILENT: dict[str, NDArray[Any]] = {
    "8-bit": IMAGE.astype(np.uint8),
    "fractions": IMAGE / 255,
    "black and white": (IMAGE > 99).astype(np.float32),
    "with a half": np.where(IMAGE.max() == IMAGE, 0.5, IMAGE),
    "negative": IMAGE - IMAGE.max(),
    "above 255": IMAGE + 1000,
    "a vector": IMAGE.ravel(),
    "a blank image": 0 * IMAGE,
}


@pytest.mark.parametrize("x", SILENT.values(), ids=SILENT)
def test_floats_that_are_no_levels_are_certified_in_silence(x: NDArray[Any]) -> None:
    certify(lambda batch: np.zeros(len(batch), int), Noise(0.5), x, n=100, n0=10, key=1)


def test_levels_held_as_floats_are_warned_of_once() -> None:
    def constant(batch: NDArray[Any]) -> NDArray[Any]:
        return np.zeros(len(batch), int)

    with pytest.warns(UserWarning, match="^the inputs look like 8-bit levels .* held as floats") as caught:
        certify(constant, Noise(0.5), IMAGE, n=100, n0=10, key=1)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    for way in (certify_radius, predict):
        with pytest.warns(UserWarning, match="8-bit levels"):
            way(constant, Noise(0.5), IMAGE.astype(np.float64), n=2000)
    with pytest.warns(UserWarning, match="8-bit levels"):
        certify_targets(constant, Noise(0.5), IMAGE[None], [0.5])


def test_preprocess_refuses_channels_that_the_model_lacks() -> None:
    with pytest.raises(ValueError, match="mean/std: expected one value, or one") as error:
        OrtClassifier(linear((3, 4, 4)), preprocess=Preprocess(mean=(0.1, 0.2)))
    one_line(error, "(3, 4, 4)", "got 2")


# --- Models that are refused ------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Callable[[], bytes], list[str]]] = {
    "not ONNX": (lambda: b"PK\x03\x04 not a model", ["expected an ONNX file"]),
    "empty": (lambda: b"", ["expected an ONNX graph with nodes and outputs"]),
    "truncated": (lambda: models.convnet()[:-50], ["expected an ONNX file", "truncated"]),
    "random operator": (models.random_operator, ["draws random numbers (RandomNormalLike)", "export it for inference"]),
    "random operator in a function's branch": (models.hidden_random_operator, ["RandomNormalLike"]),
    "dropout in training": (models.training_dropout, ["(Dropout)", "export it for inference"]),
    "dropout in training by a constant node": (lambda: models.training_dropout(constant_node=True), ["(Dropout)"]),
    "batch norm in training": (models.training_batch_norm, ["BatchNormalization"]),
    "two inputs": (models.two_inputs, ["expected one input, got 2 (image, mask)"]),
}


@pytest.mark.parametrize(("content", "parts"), REFUSED.values(), ids=REFUSED)
def test_refused_when_loaded(content: Callable[[], bytes], parts: list[str]) -> None:
    with pytest.raises(ModelError) as error:
        OrtClassifier(content())
    one_line(error, *parts)


def test_refused_for_what_it_gives() -> None:
    x = np.ones(4, np.float32)
    for content, parts in (
        (models.regression(), ["expected scores (batch, classes) or integer labels (batch,)", "float32", ", 1)"]),
        (models.gives_nan(), ["the model gave NaN"]),
    ):
        with pytest.raises(ModelError) as error:
            certify(OrtClassifier(content, threads=1), Noise(1.0), x, key=1)
        one_line(error, *parts)


def as_it_is(content: bytes, output: str | None = None, **options: Any) -> OrtClassifier:
    """Without the adaptation that every other way in makes."""
    return OrtClassifier(read_model(content, output), **options)


def test_an_output_that_is_no_tensor_is_refused() -> None:
    """The maps that converters of classical models write; their labels are fine, and so are the maps, unpacked."""
    x = np.array([0, 3, 0, 0], np.float32)
    for output in ("label", "probability"):
        opened = OrtClassifier(models.map_output(), output=output, threads=1)
        assert certify(opened, Noise(0.1), x, n=1000, key=1).prediction == 1
    with pytest.raises(ModelError) as error:
        certify(as_it_is(models.map_output(), "probability", threads=1), Noise(0.1), x, n=1000, key=1)
    one_line(error)


def test_several_outputs_are_refused_where_nothing_chooses() -> None:
    with pytest.raises(ModelError) as error:
        as_it_is(linear((SIZE,), outputs=["logits", "labels"]))
    one_line(error, "2 outputs", "`output` with one of: logits, labels")


def test_unknown_output_is_refused() -> None:
    with pytest.raises(ModelError) as error:
        OrtClassifier(linear((SIZE,)), output="scores")
    one_line(error, "no output 'scores'", "`output` with one of: logits")


def test_another_batch_size_than_the_fixed_one_is_refused() -> None:
    assert as_it_is(linear((SIZE,), batch=8), batch_size=8).batch_size(SIZE) == 8
    with pytest.raises(ModelError) as error:
        as_it_is(linear((SIZE,), batch=8), batch_size=4)
    one_line(error, "fixed to 8, got 4")


@pytest.mark.parametrize("options", [{"threads": 0}, {"batch_size": 0}], ids=str)
def test_counts_below_one_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"expected (at least 1|1 to [0-9]+ on this machine), got 0"):
        OrtClassifier(linear((SIZE,)), **options)  # type: ignore[arg-type]


def test_graph_that_onnxruntime_cannot_run_is_refused_when_loaded() -> None:
    nodes = [helper.make_node("NoSuchOperator", ["x"], ["y"])]
    x, y = (models.value(name, TensorProto.FLOAT, ("N", 4)) for name in "xy")
    with pytest.raises(ModelError) as error:
        OrtClassifier(models.model(nodes, [x], [y]))
    one_line(error, "ONNX Runtime cannot load the model", "NoSuchOperator")


def test_graph_that_fails_on_the_batch_is_refused() -> None:
    """A batch axis that claims to be free and is not: a Reshape to 1 row."""
    nodes = [helper.make_node("Reshape", ["x", "s"], ["y"])]
    x, y = models.value("x", TensorProto.FLOAT, ("N", 4)), models.value("y", TensorProto.FLOAT, ("N", 4))
    content = models.model(nodes, [x], [y], {"s": np.array([1, 4], np.int64)})
    with pytest.raises(ModelError) as error:
        as_it_is(content, batch_size=5).labels(np.zeros((5, 4), np.float32), 5, False)
    one_line(error, "ONNX Runtime failed on a batch of shape (5, 4)")


def test_a_model_that_mixes_its_batch_is_refused() -> None:
    nodes = [helper.make_node("Reshape", ["x", "s"], ["y"])]
    x, y = models.value("x", TensorProto.FLOAT, ("N", 4)), models.value("y", TensorProto.FLOAT, None)
    content = models.model(nodes, [x], [y], {"s": np.array([1, -1], np.int64)})
    with pytest.raises(ModelError) as error:
        as_it_is(content, batch_size=5).labels(np.zeros((5, 4), np.float32), 5, False)
    one_line(error, "one row of output for each of 5 inputs", "(1, 20)")


def mixing(node: onnx.NodeProto, **constants: Any) -> bytes:
    """Subtracts what `node` makes of the whole batch: x -> x - mean."""
    nodes = [node, helper.make_node("Sub", ["x", "mean"], ["y"])]
    inputs, outputs = [models.value("x", 1, ("N", 4))], [models.value("y", 1, ("N", 4))]
    return models.model(nodes, inputs, outputs, constants, opset=13)


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("ReduceMax", ["x"], ["mean"], axes=[0, 1], keepdims=1),
    ],
    ids=["mean over the batch", "maximum of the batch"],
)
@pytest.mark.parametrize("x", [np.zeros(4, np.uint8), np.ones(4, np.float32)], ids=["uint8", "float32"])
def test_votes_that_depend_on_each_other_are_refused(node: onnx.NodeProto, x: NDArray[Any]) -> None:
    classifier = as_it_is(mixing(node))
    with pytest.raises(ModelError, match="depends on the others in its batch"):
        classifier.prepare(x)
    for alone in (as_it_is(mixing(node), batch_size=1), OrtClassifier(mixing(node))):  # the latter: adapted
        assert alone.prepare(x).values.shape == (4,)


def test_batch_statistics_of_old_opsets_are_refused() -> None:
    """Before opset 14 a BatchNormalization with running statistics as outputs was one in training."""
    nodes = [helper.make_node("BatchNormalization", ["x", *"sbmv"], ["y", "m1", "v1", "m2", "v2"])]
    constants = {n: np.full(4, n in "sv", np.float32) for n in "sbmv"}
    inputs, outputs = [models.value("x", 1, ("N", 4))], [models.value("y", 1, ("N", 4))]
    with pytest.raises(ModelError, match="BatchNormalization"):
        OrtClassifier(models.model(nodes, inputs, outputs, constants, opset=9))


def test_models_of_integers_get_levels() -> None:
    """Oracle: the linear model in numpy on whole levels, noise and all; float data and int8 are refused."""
    weights = WEIGHTS / 100
    classifier = OrtClassifier(models.linear((SIZE,), weights, BIAS, elem_type=TensorProto.INT32), batch_size=64)
    levels = RNG.integers(-300, 600, (64, SIZE)).astype(np.int16)
    assert classifier.labels(levels, 64, EIGHT_BIT).tolist() == models.line_labels(levels, weights, BIAS).tolist()
    with pytest.raises(DataError, match="takes integers, the data are float"):
        classifier.prepare(np.zeros(SIZE, np.float32))
    with pytest.raises(DataError, match="takes int8"):
        OrtClassifier(models.linear((SIZE,), weights, BIAS, elem_type=TensorProto.INT8)).prepare(
            np.zeros(SIZE, np.uint8)
        )


@pytest.mark.parametrize(
    ("x", "shape"),
    [((3, 3, 3), (3, 3, 3)), ((8, 8, 8), (8, 8, 8)), ((4, 8), (1, 8, 4)), ((192,), (3, 8, 8))],
    ids=["tiny colour", "cube", "rows for columns", "vector for colour"],
)
def test_an_order_is_not_guessed(x: tuple[int, ...], shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="`layout"):
        prepared(np.zeros(x, np.uint8), shape)


def test_a_layout_asked_for_takes_what_fits() -> None:
    x = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    np.testing.assert_array_equal(prepared(x, (3, 3, 3), Preprocess(layout="nchw")).values, x)
    vector = prepared(np.arange(192, dtype=np.uint8), (3, 8, 8), Preprocess(layout="flat"))
    np.testing.assert_array_equal(vector.values.ravel(), np.arange(192))


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(ModelError) as error:
            OrtClassifier(path)
        one_line(error, str(path), "expected a readable ONNX file")


LABELS = {
    "integers": (np.array([0, 2, 1]), [0, 2]),
    "a column": (np.array([[0], [2], [1]], np.int32), [0, 2]),
    "scores": (np.array([[0.1, 0.9], [0.8, 0.2], [0, 1]]), [1, 0]),
    "tie": (np.array([[1.0, 1.0], [0.0, 0.0], [0, 1]]), [0, 0]),
    "integer scores": (np.array([[3, 9, 1], [5, 1, 0], [0, 0, 1]], np.uint8), [1, 0]),
    "extra axes": (np.tile([[[1.0], [0.0], [5.0], [2.0]]], (3, 1, 1, 1)), [2, 2]),
    "infinite scores": (np.array([[-np.inf, 0.0], [np.inf, 0.0], [0, 1]]), [1, 0]),
    "NaN in a dropped row": (np.array([[0.1, 0.9], [0.8, 0.2], [np.nan, 1]]), [1, 0]),
}


@pytest.mark.parametrize(("scores", "labels"), LABELS.values(), ids=LABELS)
def test_to_labels(scores: NDArray[Any], labels: list[int]) -> None:
    assert to_labels(scores, 3, 2).tolist() == labels


BAD_OUTPUTS = {
    "one float": (np.zeros((3, 1), np.float32), ["float32 (3, 1)", "not a classifier's output"]),
    "floats": (np.zeros(3), ["float64 (3,)"]),
    "an image": (np.zeros((3, 2, 5)), ["float64 (3, 2, 5)"]),
    "words": (np.array(["cat", "dog", "cat"], object), ["object (3,)"]),
    "booleans": (np.ones((3, 2), bool), ["bool (3, 2)"]),
    "fewer rows": (np.zeros((2, 4)), ["one row of output for each of 3 inputs", "(2, 4)"]),
    "a number": (np.array(1.0), ["got shape ()"]),
    "negative label": (np.array([0, -1, 2]), ["labels >= 0, got -1"]),
    "NaN": (np.array([[0, 1], [np.nan, 1], [0, 1]]), ["NaN"]),
}


@pytest.mark.parametrize(("scores", "parts"), BAD_OUTPUTS.values(), ids=BAD_OUTPUTS)
def test_to_labels_refuses(scores: NDArray[Any], parts: list[str]) -> None:
    with pytest.raises(ModelError) as error:
        to_labels(scores, 3, 3)
    one_line(error, *parts)


# --- External weights -------------------------------------------------------------------------------------------------


def save_external(path: Path, location: str = "weights.bin") -> None:
    """The linear model with its weights in another file."""
    model = onnx.load_from_string(linear((SIZE,)))
    onnx.save_model(model, str(path), save_as_external_data=True, location=location, size_threshold=0)


def test_external_weights_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are used, from any working folder, and belong to the fingerprint."""
    (tmp_path / "model").mkdir()
    path = tmp_path / "model" / "linear.onnx"
    save_external(path)
    monkeypatch.chdir(tmp_path)
    first = OrtClassifier(path, threads=1, batch_size=50)
    batch = batch_of((SIZE,), 50)
    assert (first.labels(batch, 50, None) == models.line_labels(batch, WEIGHTS, BIAS)).all()
    assert OrtClassifier(Path("model/linear.onnx")).sha256 == first.sha256
    weights = path.with_name("weights.bin")
    content = bytearray(weights.read_bytes())
    content[100] ^= 1
    weights.write_bytes(content)
    assert OrtClassifier(path).sha256 != first.sha256


def test_external_weights_elsewhere_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "linear.onnx"
    save_external(path)
    (folder / "weights.bin").rename(tmp_path / "weights.bin")
    with pytest.raises(ModelError) as error:
        OrtClassifier(path)
    one_line(error, str(path), "external weights 'weights.bin'", "copy them beside the model")

    (folder / "weights.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(ModelError) as error:
        OrtClassifier(path)
    one_line(error, "inside the model's folder", "'weights.bin'")

    model = onnx.load(str(path), load_external_data=False)
    for location in ("../weights.bin", str(tmp_path / "weights.bin")):
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = location
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ModelError) as error:
            OrtClassifier(path)
        one_line(error, "inside the model's folder", repr(location))
    with pytest.raises(ModelError) as error:
        OrtClassifier(model.SerializeToString())  # bytes have no folder
    one_line(error, "inside the model's folder")


# --- Providers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_provider_that_is_not_there(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never the CPU in silence."""
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ProviderError) as error:
        OrtClassifier(linear((SIZE,)), providers=provider)
    one_line(error, f"provider {provider}: expected", "has only CPUExecutionProvider", "smoothcert[gpu]")


def test_provider_that_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that names CUDA and a session that runs on the CPU: what ONNX Runtime does on a machine without a GPU."""
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    fake = SimpleNamespace(
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        SessionOptions=onnxruntime.SessionOptions,
        GraphOptimizationLevel=onnxruntime.GraphOptimizationLevel,
        InferenceSession=lambda *_, **__: SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"]),
    )
    monkeypatch.setattr(providers, "runtime", lambda: fake)
    with pytest.raises(ProviderError) as error:
        as_it_is(linear((SIZE,)), providers="cuda")
    one_line(error, "CUDAExecutionProvider did not start", "fell back to CPUExecutionProvider", "smoothcert doctor")


def test_provider_by_another_name() -> None:
    with pytest.raises(ValueError, match="provider: expected one of cpu, cuda, tensorrt, got 'gpu'"):
        OrtClassifier(linear((SIZE,)), providers="gpu")


def test_two_distributions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "distributions", lambda: {"onnxruntime": "1.20", "onnxruntime-gpu": "1.21"})
    with pytest.raises(ProviderError) as error:
        OrtClassifier(linear((SIZE,)))
    one_line(error, "expected one ONNX Runtime, found onnxruntime and onnxruntime-gpu", "uninstall both")


def test_no_distribution_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "distributions", dict)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # makes `import onnxruntime` fail
    with pytest.raises(ProviderError) as error:
        OrtClassifier(linear((SIZE,)))
    one_line(error, "ONNX Runtime cannot be imported", "pip install smoothcert[cpu]")


def test_distributions_are_those_installed() -> None:
    found = providers.distributions()
    assert len(found) == 1
    assert onnxruntime.__version__ in found.values()


def test_every_error_is_one_family() -> None:
    assert all(issubclass(e, SmoothcertError) for e in (ModelError, DataError, ProviderError))


# --- What is recorded -------------------------------------------------------------------------------------------------


def test_recipe_names_what_determines_the_function() -> None:
    content = linear((SIZE,), outputs=["logits", "labels"])
    recipe = OrtClassifier(content, output="labels", preprocess=Preprocess(scale=0.5)).recipe
    assert recipe["sha256"] == OrtClassifier(content, output="logits").sha256
    assert recipe["sha256"] != OrtClassifier(linear((SIZE,)), output="logits").sha256
    assert (recipe["output"], recipe["provider"], recipe["precision"], recipe["tf32"]) == (
        "labels",
        "cpu",
        "float32",
        False,
    )
    assert recipe["preprocess"] == {"scale": 0.5, "layout": "auto"}


# --- Python callables -------------------------------------------------------------------------------------------------


def scores_of(batch: NDArray[np.float32]) -> NDArray[Any]:
    return batch.reshape(len(batch), -1) @ WEIGHTS.astype(np.float32) + BIAS.astype(np.float32)


@pytest.mark.parametrize(
    "function",
    [scores_of, lambda batch: scores_of(batch).argmax(axis=1), lambda batch: scores_of(batch).argmax(axis=1).tolist()],
    ids=["scores", "labels", "list of labels"],
)
@pytest.mark.parametrize("x", [COLOUR, (255 * COLOUR).astype(np.uint8)], ids=["float", "uint8"])
def test_callable_agrees_with_onnx(function: Callable[..., Any], x: NDArray[Any]) -> None:
    """Oracle: the same weights behind ONNX Runtime; rows, types and values that the callable gets."""
    seen = []

    def spy(batch: NDArray[np.float32]) -> Any:
        seen.append((batch.dtype, batch.shape[1:], batch.min() < -0.2))
        return function(batch)

    ours = certify(spy, Noise(0.5), x, n=2000, key=4)
    theirs = certify(OrtClassifier(linear(x.shape)), Noise(0.5), x, n=2000, key=4)
    assert ours.evidence == theirs.evidence
    assert set(seen) == {(np.dtype(np.float32), x.shape, True)}


def test_callable_gets_real_levels_as_values() -> None:
    """What contrast makes of an 8-bit image, divided by 255. Oracle: the ratio to the image is one number a sample."""
    x = RNG.integers(50, 200, (6, 5), dtype=np.uint8)
    ratios: list[NDArray[np.float32]] = []

    def spy(batch: NDArray[np.float32]) -> NDArray[np.int64]:
        assert (batch.dtype, batch.shape[1:]) == (np.float32, (6, 5))
        ratios.append(batch * 255 / x)
        return np.zeros(len(batch), np.int64)

    for _ in range(2):  # before the first, the callable is tried on other rows too
        ratios.clear()
        assert certify(spy, Contrast(0.3), x, n0=10, n=200, key=4).attack_model == "float-unclipped"
    found = np.concatenate(ratios).reshape(-1, 30)
    assert np.ptp(found, axis=1).max() < 1e-4
    assert found[:, 0].std() > 0.1


def test_callable_gets_batches_of_one_shape() -> None:
    shapes = Counter[tuple[int, ...]]()

    def spy(batch: NDArray[np.float32]) -> NDArray[np.int64]:
        shapes[batch.shape] += 1
        return np.zeros(len(batch), np.int64)

    classifier = CallableClassifier(spy, batch_size=64)
    assert sampler_at_zero(classifier, 5).counts(ESTIMATION, 0, 130) == {0: 130}
    assert shapes == {(64, 5): 3}


@pytest.mark.parametrize(
    "shape", [(5,), (28, 28), (28, 28, 1), (3, 8, 8), (8, 8, 3), (2, 3, 4, 5), (3, 3, 3), (8, 8, 8)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_callable_gets_the_input_as_it_is(shape: tuple[int, ...], dtype: Any) -> None:
    x = (np.arange(np.prod(shape)) % 251).reshape(shape).astype(dtype)
    fitted = CallableClassifier(scores_of).prepare(x).values
    assert fitted.shape == shape
    assert (fitted == x).all()


def test_callable_with_a_wrong_output_or_input_is_refused() -> None:
    x = np.zeros(4, np.float32)
    with pytest.raises(ModelError) as error:
        certify(lambda batch: batch.mean(axis=1), Noise(1.0), x, key=1)
    one_line(error, "not a classifier's output")
    with pytest.raises(DataError, match="uint8 or float, got int64"):
        certify(scores_of, Noise(1.0), np.zeros(SIZE, np.int64), key=1)


def test_as_classifier_keeps_classifiers() -> None:
    classifier = OrtClassifier(linear((SIZE,)))
    assert as_classifier(classifier) is classifier
    assert isinstance(as_classifier(scores_of), CallableClassifier)
