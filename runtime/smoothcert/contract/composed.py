"""What must hold of a part together with others: the pairs that it states, and how much it lengthens vectors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, require
from ..smoothing import PARTS, Part
from ..smoothing.pairs import TABLE
from ..smoothing.part import Relation
from ..smoothing.table import part_of
from .cases import Batch, off, pairs_of, transformed, values
from .finding import Check, Trial

_NEAR = 1e-4
_CLIMBS = 40  # small steps from the direction that is lengthened most
_SCALES = {"translation": 2.0, "blur": 1.0, "time-shift": 9.0, "volume": 3.0}


def checks(part: Part, batches: Sequence[Batch]) -> list[Check]:
    """One for each pair of the table that the part is in."""
    found, batches = [], [batch for batch in batches if batch.levels]  # real numbers tell nothing more
    for (ahead, behind), relation in list(TABLE.items()):
        if part.form not in (ahead, behind) or (relation == "commute" and part.form != ahead):
            continue
        what = {
            "commute": f"pairs: {ahead} and {behind} in either order are one",
            "carries": f"pairs: {ahead} makes {behind} longer by its stretch at most",
            "scales": f"pairs: {ahead} multiplies {behind} by its own factor",
        }.get(relation, f"pairs: {ahead} then {behind} are a group, {relation}")
        try:
            first, second = (part if form == part.form else _of(form) for form in (ahead, behind))
        except ArgumentError as error:
            found.append(Check(what, [(str(error), lambda: math.inf)]))
            continue
        if trials := list(_trials(first, second, relation, batches)):
            found.append(Check(what, trials, _NEAR))
    return found


def _of(form: str) -> Part:
    name, *options = form.split()
    require(name in PARTS, f"expected a part of {', '.join(PARTS)}, got {form}")
    given = dict(option.split("=", 1) for option in options)
    return part_of(name, _SCALES.get(name, 0.2), given, name)


def _trials(first: Part, second: Part, relation: Relation, batches: Sequence[Batch]) -> Iterator[Trial]:
    for batch in batches:
        if relation in ("carries", "scales"):
            if relation == "scales" or first.stretch is not None:
                yield batch.label, partial(_longer, first, batch, relation == "scales")
        elif relation == "commute":
            yield batch.label, partial(_commuted, first, second, batch)
        else:
            scale, shift = (first, second) if relation == "scale first" else (second, first)
            yield batch.label, partial(_grouped, scale, shift, batch)


def _after(a: Part, at: Any, b: Part, bt: Any, batch: Batch, pixels: NDArray[Any]) -> NDArray[Any]:
    return transformed(b, transformed(a, pixels, at, batch.unit), bt, batch.unit)


def _commuted(a: Part, b: Part, batch: Batch) -> float:
    pixels = batch.taken(a)
    batch.taken(b)
    return max(
        off(_after(a, v, b, w, batch, pixels), _after(b, w, a, v, batch, pixels), batch.unit)
        for v, w in pairs_of(a, b, pixels.shape)
    )


def _grouped(scale: Part, shift: Part, batch: Batch) -> float:
    """A shift ahead of a scale is a shift behind it, by as many times more as the scale's value says."""
    pixels = batch.taken(scale)
    batch.taken(shift)
    assert scale.transforms.kind == "factor", "expected a factor as the scale"
    return max(
        off(
            _after(shift, w, scale, v, batch, pixels),
            _after(scale, v, shift, shift.value(v * shift.coordinate(w)), batch, pixels),
            batch.unit,
        )
        for v, w in pairs_of(scale, shift, pixels.shape)
    )


def _longer(part: Part, batch: Batch, by_its_factor: bool) -> float:
    """By how much more than stated the part brings two images apart, as a share of it: the most that is found."""
    pixels, rng, worst = batch.taken(part), np.random.default_rng(5), 0.0
    for value in values(part, pixels.shape):
        at = transformed(part, pixels, value, batch.unit)

        def times(d: NDArray[Any], value: Any = value, at: NDArray[Any] = at) -> float:
            d = (d * (0.02 * batch.unit / max(float(np.abs(d).max()), 1e-12))).astype(np.float32)
            moved = transformed(part, pixels + d, value, batch.unit) - at
            if by_its_factor:
                return off(moved, np.float32(value) * d, batch.unit)
            return float(np.linalg.norm(moved) / np.linalg.norm(d))

        ways = list(_directions(pixels.shape, rng))
        longest, best = max(((times(d), i) for i, d in enumerate(ways)), key=lambda found: found[0])
        if by_its_factor:
            worst = max(worst, longest)
            continue
        d = ways[best] / np.linalg.norm(ways[best])
        for _ in range(_CLIMBS):
            near = d + rng.standard_normal(d.shape) * (0.3 / np.sqrt(d.size))
            if (found := times(near)) > longest:
                longest, d = found, near / np.linalg.norm(near)
        worst = max(worst, longest / float(part.stretch or 0.0) - 1 - 1e-3)
    return worst


def _directions(shape: tuple[int, ...], rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """Changes of an image: of all values alike, of one, smooth, rough, one colour all over, at random."""
    outer, height, width, inner = shape if len(shape) == 4 else (1, 1, *shape, 1)
    full, shape = shape, (outer, height, width, inner)
    for one in _laid_out(shape, rng):
        yield np.broadcast_to(one, shape).reshape(full)


def _laid_out(shape: tuple[int, int, int, int], rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    outer, height, width, inner = shape
    rough = np.indices(shape).sum(0) % 2 * 2.0 - 1
    yield from (np.ones(shape), rough, np.broadcast_to(np.linspace(-1, 1, width)[:, None], shape))
    for place in ((0, 0), (height // 2, width // 2), (height - 1, width - 1)):
        one = np.zeros(shape)
        one[:, place[0], place[1], :] = 1
        yield one
    for _ in range(24):
        yield np.ones(shape) * rng.standard_normal((outer, 1, 1, inner))
        yield rng.standard_normal(shape)
