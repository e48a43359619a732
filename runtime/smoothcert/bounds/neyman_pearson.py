"""The worst case between two laws: how small can P1(f = c) be, given P0(f = c) >= p?

P0 is the law of the smoothed input at x, P1 its law after the attack. By Neyman and Pearson the worst set is
{L <= t}, L = log dP1/dP0 (theory.md section 2). Everything here goes through the dual of that problem: for EVERY t

    P1(f = c)  >=  P1(L <= t) + e^t (P0(f = c) - P0(L <= t)),                                             (dual)

with equality at the worst set. A threshold t that is found only nearly therefore costs tightness, of second order, and
never soundness; what remains to be bounded is the error of two integrals. A `Pair` gives them as quadrature: given a
node, L has one more Gaussian term, and the sums are those of the Black-Scholes formula for a put.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]

_TINY_VARIANCE = 1e-16  # a Gaussian term more makes two laws easier to tell apart: the safe side
_REACH = 700.0  # |t| up to here: e^t is a float
_STEEP = 20.0  # e^t magnifies errors: no larger t for the worst case, and any is sound
_PRECISE = 1e-7  # changes of a value below this end its refinement
_LEAST_ERROR = 5e-7  # more than a kink changes that no refinement sees
_FEW_NODES = 100_000
_MOST_NODES = 400_000
_ROUNDING = 1e-12  # of an integral


@dataclass(frozen=True, eq=False)
class Pair:
    """P0 and P1 on nodes, and Gaussian between: arrays of one shape.

    A node has mass `p0` under P0 and `p1` under P1; given the node, log dP1/dP0 is log(p1 / p0) plus a Gaussian term of
    the given `variance`, with mean -variance / 2 under P0 and +variance / 2 under P1.
    """

    p0: Array
    p1: Array
    variance: Array

    @property
    def is_gaussian(self) -> bool:
        """Whether nothing but a Gaussian shift is between the laws."""
        return len(self.p0) == 1 and self.p0[0] == self.p1[0]

    def below(self, t: float) -> tuple[float, float]:
        """P0(L <= t) and P1(L <= t)."""
        variance = np.maximum(self.variance, _TINY_VARIANCE)
        deviation = np.sqrt(variance)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            centre = t - np.log(self.p1 / self.p0)
        z = np.nan_to_num(centre, nan=0.0, posinf=math.inf, neginf=-math.inf) / deviation
        return float(self.p0 @ ndtr(z + deviation / 2)), float(self.p1 @ ndtr(z - deviation / 2))


Builder = Callable[[int], Pair]  # of the resolution: 1, 2, 3, 5, ... times as many nodes an axis


def threshold(build: Builder, level: float = 0.5) -> float:
    """The p_star of a pair: the least P0(f = c) that guarantees P1(f = c) >= level. 1 where nothing does."""
    coarse = _for_search(build)
    if coarse.is_gaussian:
        return float(ndtr(ndtri(level) + math.sqrt(coarse.variance[0])))
    if coarse.below(_REACH)[1] <= level:
        return 1.0
    t = float(brentq(lambda t: coarse.below(t)[1] - level, -_REACH, _REACH, xtol=1e-6))

    def least(pair: Pair) -> float:
        below0, below1 = pair.below(t)
        return below0 + math.exp(-t) * (level - below1)

    value, error = _refined(build, least)
    return min(1.0, value + error + _ROUNDING * (1 + math.exp(-t)))


def worst(build: Builder, p: float) -> float:
    """The least P1(f = c) that P0(f = c) >= p allows."""
    coarse = _for_search(build)
    if coarse.is_gaussian:
        return float(ndtr(ndtri(p) - math.sqrt(coarse.variance[0])))
    if coarse.below(-_REACH)[0] >= p:
        return 0.0
    t = _STEEP
    if coarse.below(_STEEP)[0] > p:
        t = float(brentq(lambda t: coarse.below(t)[0] - p, -_REACH, _STEEP, xtol=1e-6))

    def most(pair: Pair) -> float:
        below0, below1 = pair.below(t)
        return below1 + math.exp(t) * (p - below0)

    value, error = _refined(build, most)
    return max(0.0, value - error - _ROUNDING * (1 + math.exp(t)))


def _for_search(build: Builder) -> Pair:
    """Nodes on which to look for the threshold: fine ones where they are not many."""
    pair = build(2)
    return pair if len(pair.p0) <= _FEW_NODES else build(1)


def _refined(build: Builder, value: Callable[[Pair], float]) -> tuple[float, float]:
    """The value on ever finer nodes, until two refinements in a row change it little, and an estimate of its error.

    Where the integrand has a kink, the error falls with the square of the spacing and has either sign: four times the
    last change, or a quarter of the one before, is far more than what is left.
    """
    values: list[float] = []
    resolution, following, nodes = 1, 2, 0
    while True:
        pair = build(resolution)
        values.append(value(pair))
        changes = np.abs(np.diff(values[-3:]))
        growth, nodes = len(pair.p0) / max(nodes, 1), len(pair.p0)
        settled = len(changes) == 2 and changes.max() < _PRECISE
        if settled or (len(changes) == 2 and nodes * growth > _MOST_NODES):
            before, last = changes
            return values[-1], max(_LEAST_ERROR, 4 * float(last), float(before) / 4)
        resolution, following = following, resolution + following


@dataclass(frozen=True, eq=False)
class Tilt:
    """The law of the log-density's derivative along an attack: nodes, and Gaussian given a node."""

    mass: Array
    mean: Array
    variance: Array

    def steepest(self, share: float) -> float:
        """The largest mean of the derivative over a set of that probability, times the probability.

        By duality again: min over c of c share + E (derivative - c)^+, and every c gives a bound.
        """
        deviation = np.sqrt(np.maximum(self.variance, _TINY_VARIANCE))
        centre = float(self.mass @ self.mean)
        span = 40 * (1 + math.sqrt(float(self.mass @ ((self.mean - centre) ** 2 + self.variance))))

        def above(c: float) -> float:
            return float(self.mass @ ndtr((self.mean - c) / deviation)) - share

        low, high = centre - span, centre + span
        c = brentq(above, low, high, xtol=1e-9 * span) if above(low) > 0 > above(high) else high
        z = (self.mean - c) / deviation
        bell = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
        return float(c * share + self.mass @ ((self.mean - c) * ndtr(z) + deviation * bell))


def path_threshold(tilt: Callable[[float, int], Tilt], level: float = 0.5, steps: int = 24) -> float:
    """The p_star that the derivative along a path gives: General Lipschitz, put right (theory.md section 5).

    `tilt(time, resolution)` for times 0 (the input) to 1 (the attack). P(f = c) falls along the path by at most
    w(h, t) dt, so its least course is dh/dt = -w(h, t); solved backwards from the level, in units of Phi^-1(h), where
    Gaussian shifts are straight lines. (The paper bounds w by p(h) g(t) first; that is never less.) Never below
    `threshold`. The difference to half as many steps at half the resolution is added.
    """

    def solve(steps: int, resolution: int) -> float:
        tilts = [tilt(i / (2 * steps), resolution) for i in range(2 * steps + 1)]

        def slope(z: float, at: int) -> float:
            share = float(ndtr(-z))
            return tilts[at].steepest(share) * math.sqrt(2 * math.pi) * math.exp(0.5 * z * z) if share > 1e-15 else 0.0

        z, dt = float(ndtri(level)), 1 / steps
        for i in range(2 * steps, 0, -2):
            k1 = slope(z, i)
            k2 = slope(z + k1 * dt / 2, i - 1)
            k3 = slope(z + k2 * dt / 2, i - 1)
            k4 = slope(z + k3 * dt, i - 2)
            z += (k1 + 2 * k2 + 2 * k3 + k4) * dt / 6
        return float(ndtr(z))

    coarse, fine = solve(steps // 2, 1), solve(steps, 2)
    return min(1.0, fine + abs(fine - coarse))
