"""A first look at a run: whether its first inputs fit the model, how fast they go, and what is easily overlooked."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator
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
from ..inputs.recordings import changed_text, changes
from ..model.card import ModelCard, smoothing_words
from ..model.labels import require_labels, sorted_by_label
from ..sampling import PROBE, Sampler
from ..smoothing import Noise, Part
from ..smoothing.calibration import plain
from .asked import first, readable
from .opening import OpenRun

_COMPARED = 8  # first inputs that are tried among perturbed ones
_FIRST = 16  # inputs that are looked at before a run
_SECONDS = 0.2  # that samples are timed for
_ALIKE = 1.5  # factor up to which noise in training and in the smoothing are much the same
_DISGUISED = (
    "hint: the inputs look like 8-bit images divided by 255; as uint8 they would get integer noise, which is exact"
)
_UNROUNDED = "note: the data are {}: what rounding to {} bits and clipping do is not covered; see `calibration`"
_TOKENS = (
    "note: the model takes integers: it gets the levels 0 to 255 themselves, rounded; noise goes beyond them on both "
    "sides"
)
_RANGES = (
    "note: the ranges of this 8-bit model were measured at {}, not at this run's smoothing: values beyond them are cut "
    "off; export it again at this smoothing"
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
    require_labels(run.classifier.classes, run.data, run.question.indices)
    raw = first(run.data, run.question.indices).x
    levels = levels_of(raw)
    is_levels = levels is not None
    floats = [] if is_levels else [e.x for e in islice(readable(run.data, run.question.indices), _FIRST)]
    for values in floats:
        run.classifier.require_range(values)
    x = run.classifier.prepare(raw)
    smoothing = smoothing.of_input(x) if algorithm.certifies else smoothing
    sampler = sampler_of(algorithm, run.classifier, smoothing, x, key=0, index=0)
    slices, cutting = algorithm.pieces(x, smoothing)
    require_one_function(run.classifier, sampler, smoothing, _first_prepared(run))
    size = sampler.classifier.batch_size(math.prod(sampler.made.shape))
    real = sampler.made.attack_model == "float-unclipped"
    notes = {
        _DISGUISED: _disguised(raw) and all(part.whole for part in smoothing.parts),
        _unrounded(levels or EIGHT_BIT): is_levels and algorithm.certifies and real,
        _TOKENS: is_levels and run.classifier.takes_tokens,
        **_cut_off(run),
        **_mismatch(run),
    }
    looked = [e.made for e in islice(readable(run.data, run.question.indices), _FIRST)]
    notes |= {f"note: {text}": True for text in [changed_text(changes(looked), len(looked))] if text}
    if line := trained_otherwise(run.classifier.card, smoothing.parts, x):
        notes[f"{line}; smoothcert advise MODEL DATA shows what each scale would certify"] = True
    if line := sorted_by_label(run.data, run.question.indices):
        notes[f"note: {line}"] = True
    rate = rate_of(sampler, size * run.classifier.threads)
    warning = LEVELS if in_levels(run.classifier, floats) else ""
    return Preflight(size, rate, slices, cutting, tuple(note for note, holds in notes.items() if holds), warning)


def _cut_off(run: OpenRun) -> dict[str, bool]:
    """A note where the ranges of an 8-bit model were measured at another smoothing than the run's."""
    said = run.classifier.card.quantisation
    if not said:
        return {}
    parts = json.loads(json.dumps([plain(part.description) for part in run.question.smoothing.parts]))
    return {_RANGES.format(smoothing_words(said)): said.get("smoothing") != parts}


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


def trained_otherwise(card: ModelCard, parts: Iterable[Part], x: Input) -> str:
    """A line where the model was trained with noise clearly other than the smoothing's; empty where it was not."""
    drawn = next((part.scale for part in parts if isinstance(part, Noise)), None)
    trained, values = card.training_noise, x.values
    intensities = x.levels is not None or (values.min(initial=0) >= 0 and values.max(initial=0) <= 1)
    if drawn is None or trained is None or not intensities or trained / _ALIKE <= drawn <= trained * _ALIKE:
        return ""
    which = "more than it has learnt" if drawn > trained else "less than it was made for"
    both = f"trained with noise {trained:g}; the smoothing's is {drawn:g}"
    return f"note: the model's metadata say that it was {both}, {which}"


def _first_prepared(run: OpenRun) -> Iterator[Input]:
    for example in islice(readable(run.data, run.question.indices), _COMPARED):
        with suppress(DataError):
            yield run.classifier.prepare(example.x)


def rate_of(sampler: Sampler, step: int) -> float:
    """Samples a second, `step` at a time."""
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
