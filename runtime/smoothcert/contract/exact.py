"""What must hold of parts whose values combine exactly: on their own batched forms, in either layout."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..draws import Stream
from ..inputs.levels import EIGHT_BIT, levels_of
from ..smoothing import Part, Transform
from ..smoothing.perturbation import OnPixels
from .attackers import Cases, attackers_form, trials
from .cases import Batch, identity, input_of, off, pairs_of, shown, transformed, values
from .finding import Check, Trial

_NEAR = 1e-4  # of full intensity, or of the largest value: float32, and long ways through it
_ROUNDED = 0.51  # levels: half a level, and float32


def checks(part: Part, batches: Sequence[Batch]) -> list[Check]:
    """Values combine, nothing is nothing, and a sample is a function of its address alone."""

    def each(measure: Any) -> list[Trial]:
        return [(batch.label, partial(measure, batch)) for batch in batches]

    def in_a_row(batch: Batch, first: Any, second: Any) -> float:
        pixels, unit = batch.taken(part), batch.unit
        once = transformed(part, pixels, part.transforms.combined(first, second), unit)
        twice = transformed(part, pixels, first, unit)[None].copy()
        part.act(twice, np.asarray([second]), unit)
        return off(once, twice[0], unit)

    rows: list[Trial] = [
        (f"{batch.label}, {shown(a)} then {shown(b)}", partial(in_a_row, batch, a, b))
        for batch in batches
        for a, b in pairs_of(part, part, batch.pixels.shape)
    ]
    found = [
        Check("own form: two values in a row are their combination", rows, _NEAR),
        Check("own form: the identity changes nothing", each(partial(_still, part)), _NEAR),
        Check("own form: `act` is `fill`, and leaves its encoding as it is", each(partial(_acts, part)), _NEAR),
        Check("samples: the same in any batch", each(partial(_rebatched, part))),
    ]
    if laid_out := _layouts(part, batches):
        found.append(Check("own form: planar and interleaved are one image", laid_out, _NEAR))
    if part.whole:
        found.append(Check("own form: whole levels stay whole", each(partial(_whole, part))))
    return found


def agreement_check(part: Part, cases: Cases) -> Check:
    """That an 8-bit attack is the part's own form up to rounding, where nothing saturates."""
    transform: Transform = part.transform

    def apart(image: NDArray[Any], value: Any) -> float:
        laid = image if image.ndim == 1 else image[None]
        part.require_data(input_of(laid))
        levels = levels_of(image) or EIGHT_BIT
        there = transform.apply(image.copy(), value).astype(float)
        here = transformed(part, laid.astype(np.float32), value, levels.unit).reshape(image.shape)
        inside = (here >= levels.lowest) & (here <= levels.highest)
        granted = _ROUNDED + 0.05 * np.abs(here - image).max()
        return float(np.abs(there - here)[inside].max(initial=0) / granted)

    what = f"{attackers_form(transform)[0]}: is the own form, rounded, or within 5 % of the change"
    return Check(what, trials(apart, cases), 1.0)


def _still(part: Part, batch: Batch) -> float:
    pixels = batch.taken(part)
    return off(transformed(part, pixels, identity(part, pixels.shape), batch.unit), pixels, batch.unit)


def _acts(part: Part, batch: Batch) -> float:
    pixels = batch.taken(part)
    tried = values(part, pixels.shape)
    encoded, acted = part.encode(pixels.copy()), batch.of(len(tried))
    filled, again = np.full_like(acted, 7), np.full_like(acted, -7)
    part.fill(encoded, np.asarray(tried), filled, batch.unit)
    part.act(acted, np.asarray(tried), batch.unit)
    part.fill(encoded, np.asarray(tried), again, batch.unit)
    return off(filled, acted, batch.unit) + float((filled != again).mean())


def _layouts(part: Part, batches: Sequence[Batch]) -> list[Trial]:
    def apart(planar: Batch, inner: Batch) -> float:
        outer, pixels = planar.taken(part), inner.taken(part)
        if part.is_norm and not part.transforms.is_planar():
            return 0.0  # values are of the image's own shape
        pairs = ((transformed(part, outer, v, inner.unit), v) for v in values(part, pixels.shape))
        shown_inside = ((np.moveaxis(found, 0, 3).reshape(pixels.shape), v) for found, v in pairs)
        return max(off(found, transformed(part, pixels, v, inner.unit), inner.unit) for found, v in shown_inside)

    by = {batch.label: batch for batch in batches}
    return [
        (label, partial(apart, by[label.replace("interleaved", "planar")], batch))
        for label, batch in by.items()
        if "interleaved" in label
    ]


def _rebatched(part: Part, batch: Batch) -> float:
    """The share of samples that depend on the batch that they are made in; of whole levels and of real numbers."""
    pixels, stream, worst = batch.taken(part), Stream(key=11, index=2, stage=1), 0.0
    kinds: list[NDArray[Any]] = [pixels] + ([pixels.astype(batch.levels.dtype)] if batch.levels else [])
    for given in kinds:
        made = OnPixels((part,)).samples(input_of(given))
        whole = np.full((12, *made.shape), 77, made.dtype)
        made.fill(stream, 5, whole)
        for first, last in itertools.pairwise((0, 1, 8, 12)):
            some = np.full((last - first, *made.shape), -77, made.dtype)
            made.fill(stream, 5 + first, some)
            worst = max(worst, float((some != whole[first:last]).mean()))
    return worst


def _whole(part: Part, batch: Batch) -> float:
    """How far whole levels come from whole ones, and from what real numbers give."""
    pixels = np.rint(batch.taken(part))
    if not batch.levels or (part.is_norm and not part.transforms.is_planar()):
        return 0.0  # of noise, what is drawn is whole: `draws` says how
    worst = 0.0
    for value in values(part, pixels.shape):
        real = transformed(part, pixels, value, batch.unit)
        levels = transformed(part, pixels.astype(batch.levels.wide), value, batch.unit)
        worst = max(worst, float(np.abs(real - levels).max()), float(np.abs(real - np.rint(real)).max()))
    return worst
