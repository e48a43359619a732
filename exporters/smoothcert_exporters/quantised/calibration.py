"""The inputs that ranges are measured on, and those that two precisions are compared on, perturbed as a run does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import require
from smoothcert.inputs.datasets import Dataset, loaded, open_dataset
from smoothcert.inputs.levels import Levels
from smoothcert.model.classifier import OrtClassifier
from smoothcert.sampling import PROBE, Sampler
from smoothcert.smoothing import Smoothing

from ..options import Quantisation
from .ranges import Batch

_MEASURED = 128  # inputs that ranges are measured on, at most; their copies are shared among them
KEY = 8  # of all draws: an export is the same every time


@dataclass(frozen=True, eq=False)
class Inputs:
    """Inputs of a data set by index: `measured` for ranges, `compared` for the comparison; `apart`: none is in both."""

    data: Dataset
    measured: Sequence[int]
    compared: Sequence[int]

    @property
    def apart(self) -> bool:
        return set(self.measured).isdisjoint(self.compared)


def opened(asked: Quantisation, classifier: OrtClassifier) -> Inputs:
    """Inputs evenly over the data set. Small sets serve both ends. `DataError` for what cannot be read."""
    data = open_dataset(asked.data, classifier.channels, classifier.sound)
    picked = _evenly(range(len(data)), _MEASURED + asked.inputs)
    compared = _evenly(picked, asked.inputs)
    rest = [index for index in picked if index not in set(compared)]
    return Inputs(data, rest if len(rest) >= asked.inputs else picked, compared)


def sampler(classifier: OrtClassifier, smoothing: Smoothing, inputs: Inputs, index: int) -> Sampler:
    """Perturbed copies of one input. `DataError` where it does not fit the model, or the smoothing."""
    require(smoothing.voter(classifier) is classifier, "smoothing: expected one of the model's own inputs")
    x = classifier.prepare(loaded(inputs.data, index).x)
    return Sampler(classifier, smoothing.perturbation, x, KEY, index)


def batches(classifier: OrtClassifier, smoothing: Smoothing, inputs: Inputs, copies: int) -> tuple[list[Batch], int]:
    """At least so many copies of the inputs measured, as many of each; batches of them to be drawn, and their number.

    Every input is looked at once, ahead: the first that does not fit is told at once.
    """
    share = math.ceil(copies / len(inputs.measured))
    found: list[Batch] = []
    for index in inputs.measured:
        drawn = sampler(classifier, smoothing, inputs, index)
        size = classifier.batch_size(math.prod(drawn.made.shape))
        for first in range(0, share, size):
            found.append(_Batch(drawn, first, min(first + size, share), classifier.batch))
    return found, share * len(inputs.measured)


@dataclass(frozen=True, eq=False)
class _Batch:
    """Copies first..last - 1 of one input; filled up to `whole` where the batch axis is fixed to that."""

    drawn: Sampler
    first: int
    last: int
    whole: int | None

    def __call__(self) -> tuple[NDArray[Any], Levels | None]:
        samples = self.drawn.samples(PROBE, self.first, self.last)
        return np.resize(samples, (self.whole or len(samples), *samples.shape[1:])), self.drawn.made.levels


def _evenly(indices: Sequence[int], most: int) -> list[int]:
    places = np.linspace(0, len(indices) - 1, min(most, len(indices))).astype(int)
    return [indices[place] for place in dict.fromkeys(places.tolist())]
