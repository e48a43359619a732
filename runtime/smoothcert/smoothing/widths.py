"""About how many slices an image needs for each of several distances: from a few enclosures, before any is cut.

With rounding to 8 bits the distance of a slice grows as its width where pixels move by many levels, and as the root of
it where they move by less than one: it is measured at widths a factor apart, and interpolated between them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from .transform import Transform

_APART = 4.0  # widths that are measured, each times the one before
_TRIES = 8  # measurements of one part, at most
_FINE = 0.9  # of the distance that is allowed: what slices come to


def numbers(
    transform: Transform,
    parts: Sequence[tuple[float, float]],
    allowed: Sequence[float],
    distance: Callable[[float, float], float],
) -> list[list[float]]:
    """About how many slices each part (from, to) needs, for each of the ascending distances; infinite for too many.

    `distance(low, high)` bounds how far the image moves between two values of the attack; each call costs an enclosure.
    """
    found, width = list[list[float]](), 0.0
    for low, high in parts:
        ends = transform.coordinate(low), transform.coordinate(high)
        if ends[0] == ends[1]:
            found.append([1.0 / len(parts)] * len(allowed))
            continue
        measured = _measured(transform, ends, width, (allowed[0] * _FINE, allowed[-1] * _FINE), distance)
        width = sorted(measured)[len(measured) // 2]
        found.append([_number(measured, ends[1] - ends[0], a * _FINE, transform.widest) for a in allowed])
    return found


def _measured(
    transform: Transform,
    ends: tuple[float, float],
    start: float,
    wanted: tuple[float, float],
    distance: Callable[[float, float], float],
) -> dict[float, float]:
    """Distances by width around the middle of the part, from below the least that is wanted to above the greatest."""
    middle, whole = sum(ends) / 2, ends[1] - ends[0]
    widest, found = min(whole, transform.widest), dict[float, float]()
    width = min(start or whole / 64, widest)
    for _ in range(_TRIES):
        found[width] = distance(transform.value(middle - width / 2), transform.value(middle + width / 2))
        if found[max(found)] < wanted[1] and max(found) < widest:
            width = min(widest, max(found) * _APART)
        elif found[min(found)] > wanted[0]:
            width = min(found) / _APART
        else:
            break
    return found


def _number(measured: dict[float, float], whole: float, allowed: float, widest: float) -> float:
    widths = np.log(sorted(measured))
    far = np.maximum.accumulate(np.log([max(measured[w], 1e-12) for w in sorted(measured)]))
    if math.log(allowed) < far[0]:
        return math.inf
    return whole / min(widest, math.exp(np.interp(math.log(allowed), far, widths)))
