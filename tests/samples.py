"""Samples of a smoothing, and votes on them, as the sampling loop makes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.draws import Stream
from smoothcert.inputs.input import Input
from smoothcert.model.labels import Classifier
from smoothcert.sampling import Sampler
from smoothcert.smoothing import Smoothing
from smoothcert.smoothing.perturbation import Samples

KEY = 0x0123456789ABCDEF


def input_of(pixels: NDArray[Any]) -> Input:
    """An image (outer, height, width, inner), or values of any other shape, as an input."""
    return Input.of(pixels, pixels.shape if pixels.ndim == 4 else None)


def made(smoothing: Smoothing, pixels: NDArray[Any]) -> Samples:
    """What the smoothing makes of these pixels."""
    return smoothing.perturbation.samples(input_of(pixels))


def perturbed(
    smoothing: Smoothing,
    pixels: NDArray[Any],
    n: int,
    *,
    first: int = 0,
    stage: int = 0,
    index: int = 0,
    key: int = KEY,
) -> NDArray[Any]:
    """Samples first..first + n - 1 of these pixels."""
    samples = made(smoothing, pixels)
    out = np.full((n, *samples.shape), 77, samples.dtype)
    samples.fill(Stream(key, index, stage), first, out)
    return out


def sampler(
    classifier: Classifier, smoothing: Smoothing, x: NDArray[Any], *, key: int = KEY, index: int = 0
) -> Sampler:
    """Votes of the classifier on samples of the raw input x."""
    return Sampler(classifier, smoothing.perturbation, classifier.prepare(x), key, index)
