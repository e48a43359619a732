"""A first look at a run: whether its first inputs fit the model, how fast they go, and what is easily overlooked."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..algorithms import why_only_abstain
from ..certification import LEVELS, in_levels, require_one_function, sampler_of
from ..errors import DataError, require
from ..inputs.input import Input
from ..inputs.levels import EIGHT_BIT, Levels, levels_of
from ..sampling import PROBE, Sampler
from .asked import first, readable
from .opening import OpenRun

_COMPARED = 8  # first inputs that are tried among perturbed ones
_FIRST = 16  # inputs that are looked at before a run
_SECONDS = 0.2  # that samples are timed for
_DISGUISED = (
    "hint: the inputs look like 8-bit images divided by 255; as uint8 they would get integer noise, which is exact"
)
_UNROUNDED = "note: the data are {}: what rounding to {} bits and clipping do is not covered; see `calibration`"
_TOKENS = (
    "note: the model takes integers: it gets the levels 0 to 255 themselves, rounded; noise goes beyond them on both "
    "sides"
)


@dataclass(frozen=True)
class Preflight:
    """What the first look found."""

    batch_size: int
    rate: float  # samples a second
    slices: int  # that the first input is cut into; 1 but in mode slices
    cutting: float  # seconds that this takes
    notes: tuple[str, ...]  # what is easily overlooked, a line each
    warning: str  # `certification.LEVELS` where that holds, else empty


def preflight(run: OpenRun) -> Preflight:
    """Fit, classify and time the first input that can be read, before anything is written.

    `ArgumentError` for a run that could only abstain, `DataError` or `ModelError` where that input does not fit the
    model or needs too many slices, or any label has no class in the model.
    """
    smoothing, algorithm = run.question.smoothing, run.question.algorithm
    best = smoothing.favourable
    require(algorithm.largest(best) > 0, why_only_abstain(algorithm, best))
    _require_labels(run)
    raw = first(run.data, run.question.indices).x
    levels = levels_of(raw)
    is_levels = levels is not None
    floats = [] if is_levels else [e.x for e in islice(readable(run.data, run.question.indices), _FIRST)]
    for values in floats:
        run.classifier.require_range(values)
    x = run.classifier.prepare(raw)
    smoothing = smoothing.of_input(x) if algorithm.certifies else smoothing
    sampler = sampler_of(algorithm, run.classifier, smoothing, x, key=0, index=0)
    start = time.perf_counter()
    slices = algorithm.pieces(x, smoothing)
    cutting = time.perf_counter() - start
    require_one_function(run.classifier, sampler, smoothing, _first_prepared(run))
    size = sampler.classifier.batch_size(math.prod(sampler.made.shape))
    real = sampler.made.attack_model == "float-unclipped"
    notes = {
        _DISGUISED: _disguised(raw) and all(part.whole for part in smoothing.parts),
        _unrounded(levels or EIGHT_BIT): is_levels and algorithm.certifies and real,
        _TOKENS: is_levels and run.classifier.takes_tokens,
        **_mismatch(run),
    }
    made = dict.fromkeys(e.made for e in islice(readable(run.data, run.question.indices), _FIRST) if e.made)
    notes |= {f"note: recordings as they are read: {text}": True for text in made}
    rate = _rate(sampler, size * run.classifier.threads)
    warning = LEVELS if in_levels(run.classifier, floats) else ""
    return Preflight(size, rate, slices, cutting, tuple(note for note, holds in notes.items() if holds), warning)


def _mismatch(run: OpenRun) -> dict[str, bool]:
    """A note where the denoiser, here or in the model's file, is told of other noise than the smoothing's."""
    told = (run.classifier.denoiser or run.classifier.card.denoiser or {}).get("sigma")
    scales = [part.scale for part in run.question.smoothing.parts if part.name == "noise"]
    if told is None or told in scales or not scales:
        return {}
    levels = f"the denoiser is told of noise {told:g}, the smoothing's is {scales[0]:g}"
    return {f"note: {levels}: another level costs accuracy, never soundness": True}


def _unrounded(levels: Levels) -> str:
    return _UNROUNDED.format(levels.name, 8 * levels.dtype.itemsize)


def _require_labels(run: OpenRun) -> None:
    classes = run.classifier.classes
    for index in run.question.indices if classes else ():
        label = run.data.label(index)
        if label is not None and classes is not None and label >= classes:
            name = run.data.name(index)
            raise DataError(f"{name}: expected a label below the model's {classes} classes, got {label}")


def _first_prepared(run: OpenRun) -> Iterator[Input]:
    for example in islice(readable(run.data, run.question.indices), _COMPARED):
        with suppress(DataError):
            yield run.classifier.prepare(example.x)


def _rate(sampler: Sampler, step: int) -> float:
    sampler.counts(PROBE, 0, step)  # kernels are chosen, engines built
    done, spent, start = 0, 0.0, time.perf_counter()
    while spent < _SECONDS:
        sampler.counts(PROBE, done, done + step)
        done, spent = done + step, time.perf_counter() - start
    return done / spent


def _disguised(x: NDArray[Any]) -> bool:
    if x.dtype.kind != "f" or x.ndim < 2 or x.min() < 0 or not 0 < x.max() <= 1:
        return False
    return bool(np.all(np.rint(x * EIGHT_BIT.unit) / EIGHT_BIT.unit == x))
