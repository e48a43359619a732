"""What must hold of a part's law, and of its draws."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ..bounds.laws import Law, Normal
from ..draws import Stream
from ..smoothing import Noise, Part
from .cases import values
from .finding import Check, Trial

Array = NDArray[np.float64]
_DRAWS = 400_000
_FARTHEST = 2.6 / math.sqrt(_DRAWS)  # Kolmogorov and Smirnov: a true law is farther off once in 370,000
_RELATED = 5 / math.sqrt(_DRAWS)
_STREAM = Stream(key=0x5EED, index=3, stage=2)
_TAILS = np.array([1e-9, 1e-4, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1 - 1e-4])
_INNER = np.linspace(0.02, 0.98, 193)


def checks(part: Part) -> list[Check]:
    """The law by its own functions; draws by their law; draws by their addresses."""
    law = part.line
    many = cache(lambda: drawn(part, _STREAM, 0, _DRAWS))
    laws: list[Trial] = [
        ("ppf against cdf", lambda: _worst(law.cdf(law.ppf(_TAILS)) / _TAILS - 1)),
        ("isf against sf", lambda: _worst(law.sf(law.isf(_TAILS)) / _TAILS - 1)),
        ("sf against cdf", lambda: _worst(law.sf(law.ppf(_INNER)) + law.cdf(law.ppf(_INNER)) - 1)),
        ("pdf against cdf", lambda: _slope(law, law.cdf, law.pdf)),
        ("score against pdf", lambda: _slope(law, lambda y: -np.log(law.pdf(y)), law.score)),
    ]
    if isinstance(law, Normal):
        laws.append(("a Normal's cdf", lambda: _worst(law.cdf(law.ppf(_INNER)) - ndtr(law.ppf(_INNER) / law.scale))))
    name = f"law {law.name}"
    return [
        Check(f"{name}: cdf, sf, ppf, isf, pdf and score agree", laws, 1e-3),
        Check(f"{name}: log-concave, for its score never falls", [("all over it", lambda: _falls(law))], 1e-9),
        Check(f"{name}: the density begins and ends at 0, if `smooth`", [("both ends", lambda: _jump(law))], 1e-3),
        Check("draws: follow the law", [("Kolmogorov and Smirnov", lambda: _distance(law, many()))], _FARTHEST),
        Check("draws: tell nothing of the next", [("correlation", lambda: _related(law, many()))], _RELATED),
        Check("draws: functions of their address", [("in parts, and elsewhere", lambda: _misplaced(part))]),
    ]


def coordinate_check(part: Part) -> Check:
    """That values in a row are one value, whose coordinate is the sum of theirs."""

    def sums(a: float, b: float) -> float:
        there = part.transforms.combined(a, b)
        miss = part.coordinate(there) - (part.coordinate(a) + part.coordinate(b))
        return abs(miss / part.scale) + abs(part.value(part.coordinate(a)) - a) / max(1.0, abs(a))

    found = [] if part.is_norm else values(part, ())
    trials: list[Trial] = [(f"{a:.4g} then {b:.4g}", partial(sums, a, b)) for a in found for b in found]
    if not part.is_norm:
        still = part.transforms.identity
        trials.append(("the identity", lambda: abs(part.coordinate(still)) / part.scale))
        return Check("values: coordinates of values in a row add up", trials, 1e-9)
    a, b = values(part, (3,))[:2]
    trials = [("a sum of vectors", lambda: _worst(np.subtract(part.transforms.combined(a, b), np.add(a, b))))]
    return Check("values: vectors in a row add up", trials, 1e-9)


def _worst(values: Any) -> float:
    return float(np.max(np.abs(values)))


def _slope(law: Law, function: Any, slope: Any) -> float:
    """How far a function's stated slope is from its differences, in standard scores, within the law."""
    y = np.asarray(law.ppf(_INNER))
    spread = float(y[-1] - y[0])
    h = 1e-5 * spread
    return _worst((np.subtract(function(y + h), function(y - h)) / (2 * h) - slope(y)) * spread / 4)


def _falls(law: Law) -> float:
    """By how much the score falls at most, in standard scores, from one quantile to the next."""
    y = np.asarray(law.ppf(np.linspace(1e-6, 1 - 1e-6, 4001)))
    return float(max(0.0, -np.diff(law.score(y)).min()) * law.scale)


def _jump(law: Law) -> float:
    """The density at the ends, as a share of its largest, where the law says that it has no jump there."""
    if not law.smooth:
        return 0.0
    ends = np.array([float(law.ppf(1e-14)), float(law.isf(1e-14))])
    return _worst(law.pdf(ends)) / _worst(law.pdf(np.asarray(law.ppf(_INNER))))


def drawn(part: Part, stream: Stream, first: int, batch: int) -> Array:
    """Draws in the coordinate; of vectors, their first component. Of noise, the values that it adds."""
    if isinstance(part, Noise):
        out = np.zeros((batch, 1, 1, 1, 1), np.float32)
        part.begin(np.zeros((1, 1, 1, 1), np.float32), stream, first, out, 1.0)
        return out.reshape(batch).astype(float)
    values = np.asarray(part.draw(stream, first, batch), float).reshape(batch, -1)[:, 0]
    return np.log(values) if part.transforms.kind == "factor" else values


def _distance(law: Law, draws: Array) -> float:
    y = np.sort(draws)
    if (y == np.rint(y)).all():
        at, counts = np.unique(y, return_counts=True)
        return _worst(np.cumsum(counts) / len(y) - law.cdf(at + 0.5))
    stated, place = np.asarray(law.cdf(y)), np.arange(len(y) + 1) / len(y)
    return max(_worst(stated - place[1:]), _worst(stated - place[:-1]))


def _related(law: Law, draws: Array) -> float:
    y = np.asarray(law.cdf(draws))
    return _worst(np.corrcoef(y[:-1], y[1:])[0, 1])


def _misplaced(part: Part) -> float:
    whole = drawn(part, _STREAM, 5, 60)
    parts = np.concatenate([drawn(part, _STREAM, first, n) for first, n in ((5, 1), (6, 40), (46, 19))])
    elsewhere = ({"key": 7}, {"index": 4}, {"stage": 3})
    others = [drawn(part, replace(_STREAM, **place), 5, 60) for place in elsewhere]
    same = [float((other == whole).mean()) for other in others]
    return float((parts != whole).mean()) + float(max(same) == 1)
