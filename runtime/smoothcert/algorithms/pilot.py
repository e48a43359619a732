"""The first votes on an input that is sliced: they choose the class, and how far a slice reaches. theory.md section 7.

They are no votes of any slice: each slice is tested for a class and a reach that its own votes had no part in.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

import numpy as np

from ..bounds.confidence import SequentialTest, expected_votes, lower_confidence_bound, upper_confidence_bound
from ..evidence import Counts, Evidence, Look, top
from ..smoothing.cutting import MOST

REACHES = (0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0)  # deviations of the noise
HALF = REACHES[0]  # the reach of runs of earlier versions
POINTS = 5  # attacks of the range at which a pilot votes
_LOW = 0.25  # that a lower estimate is above the truth
_HOPELESS = 0.001  # that an input is given up for its first votes though every slice could stand
_MORE = 16  # times as many votes where the first leave it open whether any reach does
_NEAR = 1.01  # times the least cost: what another processor's rounding may make of it

_Point = TypeVar("_Point")
Test = Callable[[float], SequentialTest | None]  # of a slice of that reach; None where it claims nothing


def cast(counts: Sequence[Counts]) -> tuple[tuple[Look, ...], Counter[int]]:
    """The class of the most votes at all points together, what it got at each, and all votes."""
    votes = sum(map(Counter, counts), Counter[int]())
    label = top(votes)
    return tuple(Look(sum(here.values()), label, here.get(label, 0)) for here in counts), votes


def possible(evidence: Evidence, n0: int, needed: float) -> bool:
    """Whether a draw could have left this pilot, of `n0` votes and more where those left it open, and a reach."""
    pilot, votes = evidence.pilot, evidence.selection
    if not 1 <= len(pilot) <= POINTS or evidence.reach not in REACHES or not votes:
        return False
    label, n = top(votes), n0 // len(pilot)
    fit = all(look.n in (n, _MORE * n) and look.label == label and 0 <= look.count <= look.n for look in pilot)
    total = sum(look.n for look in pilot), sum(look.count for look in pilot)
    if not fit or total != (sum(votes.values()), votes[label]):
        return False
    return hopeless(pilot, needed, n0) is not None or all(_was_open(look, n, needed) != (look.n == n) for look in pilot)


def _was_open(look: Look, n: int, needed: float) -> bool:
    """Whether the first n of a look's votes may have left it open: with the fewest for its class that they can hold."""
    return _is_low(replace(look, n=n, count=max(0, n - (look.n - look.count))), needed)


def open_points(pilot: Sequence[Look], needed: float) -> dict[int, int]:
    """By point, how many votes to cast in all where the first leave it open whether any reach does; see `hopeless`."""
    if hopeless(pilot, needed, sum(look.n for look in pilot)):
        return {}
    return {i: _MORE * look.n for i, look in enumerate(pilot) if _is_low(look, needed)}


def hopeless(pilot: Sequence[Look], needed: float, n0: int | None) -> Look | None:
    """The votes by which the input is given up, for no slice is likely to stand there; None where none are."""
    each = (n0 or 0) // max(len(pilot), 1)
    lost = (look for look in pilot if upper_confidence_bound(look.count, look.n, _HOPELESS) <= needed)
    return next(lost, None) or next((look for look in pilot if look.n > each and _is_low(look, needed)), None)


def _is_low(look: Look, needed: float) -> bool:
    return lower_confidence_bound(look.count, look.n, _LOW) <= needed


def costs(
    pilot: Sequence[Look], needed: Callable[[Sequence[float]], Sequence[Sequence[float]]], test: Test
) -> dict[float, float]:
    """About how many votes all slices take, for each reach with which they are likely to stand.

    `needed(reaches)`: about how many slices each part of the range needs, between two points of the pilot. Reaches that
    need more than `MOST` are left out, where others do not.
    """
    votes = {reach: found for reach in REACHES if (found := _votes(pilot, test(reach)))}
    if not votes:
        return {}
    slices = np.array(needed(list(votes)))  # (parts, reaches)
    totals = dict(zip(votes, slices.sum(axis=0).tolist(), strict=True))
    fitting = [reach for reach in votes if totals[reach] <= MOST] or list(votes)
    by = dict(zip(votes, slices.T, strict=True))
    return {reach: float(by[reach] @ votes[reach]) * max(1.0, 1 / max(totals[reach], 1e-9)) for reach in fitting}


def _votes(pilot: Sequence[Look], test: SequentialTest | None) -> list[float]:
    """The votes that one slice takes in each part of the range; none where one of them may well be lost."""
    if test is None:
        return []
    (p0,), (bounds,) = test.p0s, test.boundaries
    if any(_is_low(look, p0) for look in pilot):
        return []
    lows = (lower_confidence_bound(a.count + b.count, a.n + b.n, _LOW) for a, b in parts(pilot))
    return [expected_votes(bounds, test.looks, low) for low in lows]


def chosen(costs: dict[float, float]) -> float:
    """The reach of the least cost; the shortest where none is likely to do."""
    return min(costs, key=lambda reach: costs[reach]) if costs else HALF


def is_chosen(reach: float, costs: dict[float, float]) -> bool:
    """Whether the reach is `chosen`, on this processor or on another."""
    least = costs.get(chosen(costs), math.inf)
    return reach == chosen(costs) or costs.get(reach, math.inf) <= _NEAR * least


def parts(points: Sequence[_Point]) -> list[tuple[_Point, _Point]]:
    """The parts of the range between the points of a pilot, or what was found at them; one point is a part itself."""
    return list(pairwise(points)) or [(points[0], points[0])]
