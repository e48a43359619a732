"""What share of fresh inputs a run will certify, from a few votes on other inputs: an expected share and an interval.

An input whose class has probability p is certified at a radius with probability q(p): the run's n0 votes must choose
the class, and at least `needed` of its n votes go to it. What is looked for is the mean of q over inputs, of which the
votes, k of m for each of some inputs, show p up to their own noise alone. docs/advice.md has the argument in words.

* Bounds without any assumption about the inputs. For every count c, with B(p) = P(Binomial(m, p) >= c):
  q >= (B - b) / (1 - b) where b = max (B - q) / (1 - q), and q <= B / a where a = min B / q. So that the share of
  inputs with k >= c, which is a binomial proportion, bounds the mean of q from both sides. c is chosen by m, n and
  `needed` alone, never by the votes: as small as keeps b near 0, as large as keeps a near 1. Where a run asks for more
  than m votes can show, b grows towards 1 and the interval opens.
* From a share of the inputs tried to a share of fresh ones: Thatcher's exact prediction limits (Relationships between
  Bayesian and confidence limits for predictions, JRSS B 26, 1964), each end at half of the failure probability.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, betainc, betaincinv

from ..errors import require
from .confidence import lower_confidence_bound

CONFIDENCE = 0.95  # that the share of one figure lies in its interval
_COARSE = 0.02  # how far b may be from 0, and a from 1, where the votes allow it
_STEPS = 20  # of the law of p
_NODES = 400  # of the integral over the share
Curve = NDArray[np.float64]


@dataclass(frozen=True)
class Forecast:
    """Of some fresh inputs: the share `expected`, and low..high, where it lies with 95 % confidence."""

    expected: float
    low: float
    high: float

    @property
    def middle(self) -> float:
        """Of the interval: what choices go by, for where votes tell little the expected share may be far off."""
        return (self.low + self.high) / 2


NOTHING = Forecast(0.0, 0.0, 0.0)  # what n votes cannot certify even if all agree


@dataclass(frozen=True)
class Planned:
    """A run of `Fixed`: n0 votes choose the class, n decide. `fresh`: inputs that it will certify."""

    n0: int
    n: int
    alpha: float
    fresh: int

    def needed(self, stands: Callable[[float], bool], slack: float = 0.0) -> int | None:
        """The fewest of n votes whose p_lower, less `slack`, stands; None where all n are not enough."""
        low, high = 0, self.n + 1  # the count looked for lies in low < count <= high
        while high - low > 1:
            middle = (low + high) // 2
            p_lower = max(0.0, lower_confidence_bound(middle, self.n, self.alpha) - slack)
            low, high = (low, middle) if stands(p_lower) else (middle, high)
        return None if high > self.n else high


def forecast(counts: Sequence[int], votes: int, run: Planned, needed: int | None) -> Forecast:
    """The share of the run's inputs certified, from `counts` of `votes` for the right class of each input tried.

    `needed`: see `Planned.needed`.
    """
    k = np.asarray(counts)
    require(len(k) > 0 and votes > 0, f"counts: expected votes on at least one input, got {len(k)} of {votes}")
    require(bool(np.all((k >= 0) & (k <= votes))), f"counts: expected 0 to {votes}, got {k.min()} to {k.max()}")
    if needed is None:
        return NOTHING
    (least, b), (most, a) = _thresholds(votes, run, needed)
    low = _limits(int((k >= least).sum()), len(k), run.fresh, lambda share: (share - b) / (1 - b))[0]
    high = _limits(int((k >= most).sum()), len(k), run.fresh, lambda share: share / a)[1]
    low = min(low, high)
    return Forecast(min(max(expected(k, votes, run, needed), low), high), low, high)


def expected(counts: Sequence[int] | NDArray[np.int64], votes: int, run: Planned, needed: int | None) -> float:
    """The mean of q over the law of p that the votes of all inputs make likely; see `_law`."""
    return 0.0 if needed is None else float(_law(tuple(map(int, counts)), votes) @ _certified(run, needed))


def forecast_share(right: int, tried: int, fresh: int) -> Forecast:
    """The share of fresh inputs with a property that `right` of those tried have, which is seen without noise."""
    low, high = _limits(right, tried, fresh, lambda share: share)
    return Forecast(right / tried, low, high)


# --- Probabilities, at the middles of cells of p ----------------------------------------------------------------------


@functools.cache
def _edges() -> Curve:
    """Edges of cells of p, ever finer towards 1, where large radii are decided."""
    return np.concatenate([np.linspace(0, 0.5, 101), np.arange(501, 900) / 1000, 1 - 0.1 * 0.98 ** np.arange(700), [1]])


@functools.cache
def _cells() -> Curve:
    return (_edges()[1:] + _edges()[:-1]) / 2


def _reached(count: int, of: int) -> Curve:
    """P(Binomial(of, p) >= count)."""
    return np.ones(len(_cells())) if count <= 0 else np.asarray(betainc(count, of - count + 1, _cells()))


@functools.lru_cache(maxsize=4096)
def _certified(run: Planned, needed: int, *, chosen: bool = True) -> Curve:
    """q: the probability that n votes are enough, and n0 choose the class; the latter is certain unless `chosen`."""
    enough = _reached(needed, run.n)
    return enough * _reached(run.n0 // 2 + 1, run.n0) if chosen else enough


@functools.lru_cache(maxsize=4)
def _votes_reach(votes: int) -> Curve:
    """(votes + 1, cells): P(Binomial(votes, p) >= c) for every c."""
    return np.stack([_reached(c, votes) for c in range(votes + 1)])


@functools.lru_cache(maxsize=256)
def _law(counts: tuple[int, ...], votes: int) -> Curve:
    """A law of p over cells: some steps of expectation and maximisation, from as much on every cell.

    Cells are as many in every tenth of 1 - p near 1, where classifiers' probabilities lie. Stopped early, the steps
    leave what the votes do not tell apart as it was.
    """
    k, times = np.unique(counts, return_counts=True)
    p = _cells()
    logs = k[:, None] * np.log(p) + (votes - k)[:, None] * np.log1p(-p)
    likely = np.exp(logs - logs.max(axis=1, keepdims=True))
    law = np.full(len(p), 1 / len(p))
    for _ in range(_STEPS):
        after = likely * law
        law = times @ (after / after.sum(axis=1, keepdims=True)) / len(counts)
    return np.asarray(law)


@functools.lru_cache(maxsize=4096)
def _thresholds(votes: int, run: Planned, needed: int) -> tuple[tuple[int, float], tuple[int, float]]:
    """((c, b), (c, a)): the counts at which inputs are counted, and how far the bounds are from tight."""
    reach = _votes_reach(votes)
    least, most = _certified(run, needed), _certified(run, needed, chosen=False)
    open_ = least < 1 - 1e-9
    b = np.max((reach - least)[:, open_] / (1 - least[open_]), axis=1).clip(0, 1 - 1e-9)
    seen = most > 1e-6
    a = np.min(reach[:, seen] / most[seen], axis=1).clip(1e-9, 1)
    low = int(np.argmax(b <= _COARSE)) if b[votes] <= _COARSE else votes
    high = int(np.flatnonzero(a >= 1 - _COARSE)[-1])
    return (low, float(b[low])), (high, float(a[high]))


def _limits(right: int, tried: int, fresh: int, mean: Callable[[Curve], Curve]) -> tuple[float, float]:
    """Prediction limits of a share of `fresh` inputs whose mean is that function of the proportion seen."""
    tail = (1 - CONFIDENCE) / 2
    nodes = (np.arange(_NODES) + 0.5) / _NODES

    def least(a: float, b: float, level: float) -> float:
        """The fewest x with P(X <= x) >= level, where the proportion is Beta(a, b)."""
        share = betaincinv(a, b, nodes) if a and b else np.full(_NODES, float(a > 0))
        at = mean(share).clip(0, 1)
        low, high = -1, fresh
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if np.mean(bdtr(middle, fresh, at)) >= level else (middle, high)
        return high / fresh

    return least(right, tried - right + 1, tail), least(right + 1, tried - right, 1 - tail)
