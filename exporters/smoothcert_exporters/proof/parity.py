"""Proof that two functions are one: their scores on the same inputs, and their answers at several batch sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import ModelError
from smoothcert.model.scores import scales, shares

Scores = NDArray[Any]
Function = Callable[[NDArray[np.float32]], Scores]
TOLERANCE = 1e-4  # of the scores' scale: float32 kernels of two libraries differ by about 1e-6 of it
BATCHES = (1, 2, 17)
_VALUES = 10_000_000  # numbers in all random inputs together


@dataclass(frozen=True)
class Parity:
    """How far two classifiers lie apart on `inputs` inputs.

    `absolute`: largest difference of a score; `relative`: as a share of the largest score; both 0 for labels. `flips`:
    inputs that the two give different classes.
    """

    inputs: int
    absolute: float
    relative: float
    flips: int

    def __str__(self) -> str:
        return (
            f"largest difference {self.absolute:.2g} ({self.relative:.2g} of the largest score), "
            f"{self.flips} of {self.inputs} classes flipped"
        )

    @property
    def bounds(self) -> dict[str, float | int]:
        """The differences, rounded up to powers of ten: a file must not change with a processor's last bit."""
        return {
            "inputs": self.inputs,
            "absolute": _power_of_ten(self.absolute),
            "relative": _power_of_ten(self.relative),
            "flips": self.flips,
        }


def compare(expected: Scores, got: Scores, tolerance: float, what: str) -> Parity:
    """The distance of two tables of scores (inputs, classes) or labels (inputs,).

    Raises `ModelError`, which names `what`, where a score differs by more than `tolerance` times the largest score, or
    a class flips whose two best scores lie further apart than that; of labels, where any differs.
    """
    expected, got = _table(expected), _table(got)
    if 1 in (expected.shape[1], got.shape[1]):
        expected, got = _labels(expected), _labels(got)
        flips = int((expected != got).sum())
        if flips:
            raise ModelError(f"{what}: {flips} of {len(got)} labels differ; the export computes something else")
        return Parity(len(got), 0.0, 0.0, 0)
    if expected.shape != got.shape:
        raise ModelError(f"{what}: expected scores of shape {expected.shape}, got {got.shape}; compare the same output")
    scale = float(scales(expected).max(initial=0.0))
    same = (expected == got) | (np.isnan(expected) & np.isnan(got))
    difference = np.where(same, 0.0, np.abs(np.where(same, 0.0, expected) - np.where(same, 0.0, got)))
    absolute = float(np.nan_to_num(difference, nan=math.inf).max(initial=0.0))
    relative = float(shares(difference, expected, scale).max(initial=0.0))
    flipped = expected.argmax(axis=1) != got.argmax(axis=1)
    best = np.sort(expected, axis=1)
    clear = int((flipped & ~(best[:, -1] - best[:, -2] <= tolerance * scale)).sum())
    parity = Parity(len(got), absolute, relative, int(flipped.sum()))
    if not relative <= tolerance or clear:
        raise ModelError(
            f"{what}: expected differences up to {tolerance:g} of the largest score and no clear class flipped, got "
            f"{parity}; nothing was written. Where the difference is harmless, raise the tolerance"
        )
    return parity


def check_batches(function: Function, inputs: NDArray[np.float32], tolerance: float) -> None:
    """`ModelError` where the scores of an input depend on the size of its batch: 1, 2 or 17, and what is beside it."""
    inputs = np.resize(inputs, (max(BATCHES), *inputs.shape[1:]))
    tables = {n: np.concatenate([function(inputs[i : i + n]) for i in range(0, len(inputs), n)]) for n in BATCHES}
    first = tables.pop(BATCHES[0])
    for n, table in tables.items():
        compare(first, table, tolerance, f"batches of {n} against single inputs (batch statistics?)")


def random_inputs(shape: tuple[int, ...], low: float, high: float) -> NDArray[np.float32]:
    """Inputs of one shape, the same every time: uniform, and every second one with Gaussian noise on it."""
    rng = np.random.default_rng(0)
    count = int(np.clip(_VALUES // max(1, math.prod(shape)), max(BATCHES), 128))
    inputs = rng.uniform(low, high, (count, *shape))
    inputs[1::2] += (high - low) / 4 * rng.standard_normal(inputs[1::2].shape)
    return inputs.astype(np.float32)


def _table(scores: Scores) -> Scores:
    scores = np.asarray(scores)
    table: Scores = scores.reshape(len(scores), -1)
    return table if table.dtype.kind in "iu" else table.astype(np.float64)


def _labels(table: Scores) -> Scores:
    labels: Scores = table[:, 0] if table.shape[1] == 1 else table.argmax(axis=1)
    return labels


def _power_of_ten(value: float) -> float:
    return float(f"1e{math.ceil(math.log10(value))}") if value else 0.0
