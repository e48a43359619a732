"""Rows that depend on each other are refused, rows that do not are not: a search over generated classifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from smoothcert import Blur, Noise, OrtClassifier, certify, compose
from smoothcert.errors import ModelError
from smoothcert.inputs.levels import EIGHT_BIT
from smoothcert.model.classifier import to_labels
from smoothcert.model.file import read_model
from smoothcert.model.independence import contrasts, require_independent, tried
from smoothcert.sampling import Sampler

from . import mixing, models

QUICK = (
    "test_rows_that_mix_are_refused",
    "test_callables_are_tried_too",
    "test_rounding_is_no_dependence",
)

RNG = np.random.default_rng(1)
LEVELS = RNG.integers(0, 256, mixing.SIZE).astype(np.uint8)
REALS = RNG.standard_normal(mixing.SIZE).astype(np.float32)
MIXED = "depends on the others in its batch"


def opened(content: bytes, size: int | None = None) -> OrtClassifier:
    """The graph as it is: the adaptation that opening a path makes would fix its batch to 1."""
    return OrtClassifier(read_model(content), threads=1, batch_size=size)


def refused(classifier: OrtClassifier, x: NDArray[Any]) -> bool:
    """Whether the search finds something, with rows made of x and with samples of a smoothing."""
    try:
        Sampler(classifier, compose(Noise(0.5)).perturbation, classifier.prepare(x), 1, 0).require_one_function()
    except ModelError as error:
        return MIXED in str(error)
    return False


def changed_labels(content: bytes, x: NDArray[Any], size: int) -> float:
    """The oracle: share of 512 noisy x whose label changes when the batches are made up in another way."""
    classifier, rng = opened(content, size), np.random.default_rng(5)
    levels = EIGHT_BIT if x.dtype == np.uint8 else None
    noise = 0.5 * rng.standard_normal((512, mixing.SIZE))
    rows = np.rint(x + 255 * noise).astype(np.int16) if levels else (x + noise).astype(np.float32)
    found = []
    for _ in range(4):
        labels, order = np.empty(512, int), rng.permutation(512)
        for places in order.reshape(-1, size):
            labels[places] = to_labels(np.nan_to_num(classifier._sessions.scores(rows[places], levels)), size, size)
        found.append(labels)
    return float(max((labels != found[0]).mean() for labels in found))


@pytest.mark.parametrize("name", mixing.MIXING)
def test_rows_that_mix_are_refused(name: str) -> None:
    assert refused(opened(mixing.network(mixing.MIXING[name], "input"), 4), LEVELS)


@pytest.mark.parametrize("name", mixing.HONEST)
def test_rows_that_do_not_mix_are_taken(name: str) -> None:
    """As they are, and by the door that everything goes through."""
    content = mixing.network(mixing.HONEST[name], "hidden")
    for classifier in (opened(content), OrtClassifier(content, threads=1)):
        assert not refused(classifier, LEVELS)
        assert not refused(classifier, REALS)


def test_search_for_mixing_that_passes() -> None:
    """1,416 classifiers, batches and inputs; oracle: labels of noisy samples, in batches made up in other ways."""
    cases, harmful, missed = 0, 0, []
    for name, content in mixing.cases(mixing.MIXING):
        for x in (LEVELS, REALS):
            for size in (4, 64):
                share = changed_labels(content, x, size)
                cases, harmful = cases + 1, harmful + (share > 0)
                if share and not refused(opened(content, size), x):
                    missed.append((share, name, size))
    assert cases > 1400
    assert harmful > 800
    assert len(missed) < harmful / 100, missed  # classifiers that give labels alone hide what they do from a search
    assert all(share < 0.01 and "labels" in name for share, name, _ in missed), missed


def test_search_for_honest_classifiers_that_are_refused() -> None:
    """984 classifiers, batches and inputs."""
    wrong = [
        (name, size)
        for name, content in mixing.cases(mixing.HONEST)
        for x in (LEVELS, REALS)
        for size in (4, 64)
        if refused(opened(content, size), x)
    ]
    assert wrong == []


DYNAMIC = [
    helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
    helper.make_node("MatMulInteger", ["q", "w", "z"], ["i"]),
    helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
    helper.make_node("Mul", ["f", "s"], ["y"]),
]


def dynamic() -> bytes:
    """What onnxruntime's quantize_dynamic writes."""
    w = RNG.integers(-128, 127, (mixing.SIZE, 4)).astype(np.int8)
    shapes = [models.value("x", 1, ("N", mixing.SIZE))], [models.value("y", 1, ("N", 4))]
    return models.model(DYNAMIC, *shapes, {"w": w})


@pytest.mark.parametrize("wrap", [bytes, mixing.in_function, mixing.in_branch], ids=["graph", "function", "branch"])
def test_dynamic_quantisation_is_refused_by_name_beyond_one_row(wrap: Callable[[bytes], bytes]) -> None:
    content = wrap(dynamic())
    with pytest.raises(ModelError, match=r"\(DynamicQuantizeLinear\).*pass `batch_size=1`, or quantise it statically"):
        opened(content).prepare(REALS)
    assert opened(content, 1).prepare(REALS).values.shape == REALS.shape
    assert OrtClassifier(content, threads=1, batch_size=1).prepare(REALS).values.shape == REALS.shape


def whole_batch(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """The min-max normalisation of a batch, ahead of a linear layer."""
    flat = batch.reshape(len(batch), -1)
    weights = np.random.default_rng(7).standard_normal((flat.shape[1], 3))
    return np.asarray((flat - flat.min()) / (np.ptp(flat) + 1e-6) @ weights - 0.5, np.float32)


class Stateful:
    """Scores that move from call to call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self.calls += 1
        return batch[:, :3] + np.float32(self.calls)


@pytest.mark.parametrize("x", [LEVELS, REALS], ids=["uint8", "float32"])
def test_callables_are_tried_too(x: NDArray[Any]) -> None:
    with pytest.raises(ModelError, match=MIXED):
        certify(whole_batch, Noise(0.5), x, key=1)
    with pytest.raises(ModelError, match="asked for twice"):
        certify(Stateful(), Noise(0.5), x, key=1)
    assert certify(lambda batch: whole_batch(np.clip(batch, 0, 0)), Noise(0.5), x, n=100, key=1).prediction in (0, 1, 2)


def test_a_callable_is_tried_once_for_a_shape_and_a_smoothing() -> None:
    calls = []

    def spy(batch: NDArray[np.float32]) -> NDArray[np.int64]:
        calls.append(len(batch))
        return np.zeros(len(batch), np.int64)

    spent = []
    for smoothing in (Noise(0.5), Noise(0.5), Noise(0.25)):
        calls.clear()
        certify(spy, smoothing, REALS, n0=10, n=100, key=1)
        spent.append(len(calls))
    assert spent[0] == spent[2] > spent[1]


def test_samples_of_the_smoothing_find_what_single_images_do_not() -> None:
    """Blurred samples alone lie where this callable looks at its neighbours."""
    x = RNG.integers(0, 256, (8, 8)).astype(np.uint8)

    def mean_of_smooth(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        rough = np.abs(np.diff(batch, axis=2)).mean(axis=(1, 2))
        extra = (rough < 0.01).sum()  # how many of the batch are nearly flat
        return np.stack([batch.mean(axis=(1, 2)), batch.mean(axis=(1, 2)) + 1e-2 * extra - 0.005], axis=1)

    with pytest.raises(ModelError, match=MIXED):
        certify(mean_of_smooth, Blur(20.0), x, key=1)


def test_rounding_is_no_dependence() -> None:
    """Scores that move by less than rounding may, with the place in the batch; more may not, nor may a clear label."""
    rows = RNG.standard_normal((8, 6))

    def moved(by: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
        return lambda batch: batch[:, :3] * (1 + by * np.arange(len(batch))[:, None])

    for by, tolerance, fine in ((1e-7, 1e-3, True), (1e-2, 1e-3, False), (1e-4, 1e-2, True), (1e-2, 1e-2, False)):
        if fine:
            require_independent(moved(by), rows, rows[::-1], 4, tolerance)
        else:
            with pytest.raises(ModelError, match=MIXED):
                require_independent(moved(by), rows, rows[::-1], 4, tolerance)

    def swapped(batch: NDArray[Any]) -> NDArray[Any]:
        return np.where(np.arange(len(batch))[:, None] == 0, [[1.0, 1.004]], [[1.004, 1.0]])

    with pytest.raises(ModelError, match=MIXED):  # less than 1 % of the scores, but the lead is no rounding
        require_independent(swapped, rows, rows[::-1], 4, 0.01)


@pytest.mark.parametrize("x", [LEVELS, REALS, np.zeros((3, 5, 5), np.uint8), np.zeros(100_000, np.float32)], ids=str)
def test_rows_that_are_tried_differ_in_range_offset_and_sparsity(x: NDArray[Any]) -> None:
    dtype = np.dtype(np.int16 if x.dtype == np.uint8 else np.float32)
    quiet, loud = contrasts(x, dtype, EIGHT_BIT if x.dtype == np.uint8 else None)
    assert quiet.shape == loud.shape == (tried(x.size), *x.shape)
    assert quiet.dtype == loud.dtype == dtype
    assert not quiet[0].any()
    assert (quiet[1] == x).all()
    assert np.count_nonzero(loud[1]) == 1
    assert np.ptp(loud[0]) == 0 < loud[0].max()
    assert np.ptp(loud[3]) > 7 * np.ptp(loud[2]) > 50 * max(1 / 99, np.ptp(quiet[3].astype(float)) / 10)
