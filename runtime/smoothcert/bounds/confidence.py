"""From class counts to probabilities: every bound here holds with the stated confidence, rounded to the safe side.

theory.md section 8. `n` samples, `k` of them with the class in question, `alpha` the probability of being wrong.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, betainc, betaincinv

from ..errors import require, require_number

Bound = Literal["one-sided", "two-sided"]
BOUNDS: tuple[Bound, ...] = ("one-sided", "two-sided")

SAFE = 1 - 1e-9  # every alpha is used at alpha * SAFE: the special functions round the unsound way half the time
_TAIL = 1e-25  # probability of the lowest counts, which are dropped at a look and charged as if they had crossed
_FUTILE = 0.02
_LATER = 0.7  # of what is left of alpha at a look, where it is spent early: what later looks keep


def require_alpha(alpha: float) -> None:
    """Raise `ValueError` unless 0 < alpha < 1/2."""
    require_number("alpha", alpha)
    require(0 < alpha < 0.5, f"alpha: expected a failure probability between 0 and 0.5, got {alpha:g}")


def lower_confidence_bound(k: int, n: int, alpha: float) -> float:
    """Clopper-Pearson: P(p < bound) <= alpha for k successes of n with success probability p. 0 at k = 0.

    >>> f"{lower_confidence_bound(100_000, 100_000, 0.001):.7f}"
    '0.9999309'
    """
    require(0 <= k <= n and n > 0, f"expected 0 <= k <= n and n > 0, got k = {k}, n = {n}")
    require_alpha(alpha)
    # One unit in the last place down: near 1, from 1e8 samples on, rounding alone moves more than SAFE gives.
    return float(np.nextafter(betaincinv(k, n - k + 1, alpha * SAFE), 0)) if k else 0.0


def upper_confidence_bound(k: int, n: int, alpha: float) -> float:
    """Clopper-Pearson: P(p > bound) <= alpha. 1 at k = n."""
    return 1.0 - lower_confidence_bound(n - k, n, alpha)


def margin(k: int, runner_up: int, n: int, alpha: float, bound: Bound) -> tuple[float, float]:
    """(p_lower, p_upper): the class's probability and the largest of any other class, both right with 1 - alpha.

    `one-sided` puts all of alpha on p_lower and takes p_upper = 1 - p_lower. `two-sided` splits it .8 / .2 and bounds
    the largest other count of the same sample: the true runner-up's count is no larger, so no factor for the number
    of classes is due; the class itself must come from another sample.
    """
    require(bound in BOUNDS, f"bound: expected one of {', '.join(BOUNDS)}, got {bound!r}")
    if bound == "one-sided":
        p_lower = lower_confidence_bound(k, n, alpha)
        return p_lower, 1 - p_lower
    p_lower = lower_confidence_bound(k, n, 0.8 * alpha)
    return p_lower, min(1 - p_lower, upper_confidence_bound(runner_up, n, 0.2 * alpha))


def binomial_p_value(k: int, n: int) -> float:
    """Two-sided p-value of k successes of n under p = 1/2; 1 when n = 0 (Hung and Fithian 2019 test the top two so)."""
    top = max(k, n - k)
    return min(1.0, 2 * float(betainc(top, n - top + 1, 0.5))) if 2 * top > n else 1.0


def binomial_ppf(level: float, m: int, p: float) -> int:
    """Least k with P(Binomial(m, p) <= k) >= level."""
    return int(np.argmax(bdtr(np.arange(m + 1, dtype=float), m, p) >= level))


def geometric_looks(first: int, last: int, growth: float = 1.25, multiple: int = 32) -> tuple[int, ...]:
    """Sample sizes at which a test looks: each `growth` times the one before, up to a multiple; `last` is the last."""
    looks, n = [], float(first)
    while round(n) < last:
        looks.append(min(last, -(-round(n) // multiple) * multiple))
        n = max(n * growth, looks[-1] + 1)
    return tuple(dict.fromkeys((*looks, last)))


def _binomial_pmf(m: int, p: float) -> tuple[int, NDArray[np.float64]]:
    """(lo, pmf of lo, lo + 1, ...) of Binomial(m, p), tails under 1e-17 left out; by recurrence from the mode."""
    mode = min(m, int((m + 1) * p))
    width = int(9 * np.sqrt(m * p * (1 - p))) + 40
    lo, hi = max(0, mode - width), min(m, mode + width)
    down = np.arange(mode, lo, -1, dtype=float)
    up = np.arange(mode, hi, dtype=float)
    below = np.cumprod(down * (1 - p) / ((m - down + 1) * p)) if p > 0 else np.zeros(len(down))
    above = np.cumprod((m - up) * p / ((up + 1) * (1 - p))) if p < 1 else np.zeros(len(up))
    pmf = np.concatenate([below[::-1], [1.0], above])
    return lo, pmf / pmf.sum()


def _spread(lo: int, mass: NDArray[np.float64], m: int, p: float) -> tuple[int, NDArray[np.float64]]:
    """The law of count + Binomial(m, p), for a count with the given mass from lo on."""
    shift, pmf = _binomial_pmf(m, p)
    return lo + shift, np.convolve(mass, pmf)


@functools.lru_cache(maxsize=256)
def boundary(p0: float, alpha: float, looks: tuple[int, ...], early: bool = False) -> tuple[int, ...]:
    """Counts b_1..b_K: under p <= p0, P(count_j >= b_j at any look j) <= alpha. Exact, by binomial dynamic programming.

    Half of alpha is spent evenly over the looks, the other half at the last; `early`: at each look 30 % of what is
    left, and all of it at the last. The probability of crossing grows with p, so that p = p0 is the worst case.
    b_j = n_j + 1 where no count may cross.
    """
    lo, mass, crossed, seen = 0, np.ones(1), 0.0, 0
    bounds = []
    for j, n in enumerate(looks, start=1):
        spend = alpha if j == len(looks) else alpha * (1 - _LATER**j if early else j / (2 * len(looks)))
        lo, mass = _spread(lo, mass, n - seen, p0)
        above = np.cumsum(mass[::-1])[::-1]
        allowed = np.flatnonzero(crossed + above <= spend)
        keep = int(allowed[0]) if len(allowed) else len(mass)
        # Where the programme's window ends, so do the counts it knows of: the tail beyond is charged, not used.
        bounds.append(min(lo + keep, n + 1))
        crossed += float(above[keep]) if keep < len(mass) else 0.0
        mass, seen = mass[:keep], n
        dropped = int(np.searchsorted(np.cumsum(mass), _TAIL))
        crossed += float(mass[:dropped].sum()) + 1e-17
        lo, mass = lo + dropped, mass[dropped:]
    return tuple(bounds)


def crossing_probability(bounds: tuple[int, ...], looks: tuple[int, ...], p: float) -> float:
    """P(count_j >= b_j at any look j) when every vote counts with probability p: the exact check of `boundary`."""
    lo, mass, crossed, seen = 0, np.ones(1), 0.0, 0
    for b, n in zip(bounds, looks, strict=True):
        lo, mass = _spread(lo, mass, n - seen, p)
        keep = min(max(b - lo, 0), len(mass))
        crossed += float(mass[keep:].sum())
        mass, seen = mass[:keep], n
    return crossed


@functools.lru_cache(maxsize=4096)
def expected_votes(bounds: tuple[int, ...], looks: tuple[int, ...], p: float) -> float:
    """The votes that a test of these boundaries takes on average until it claims a class of probability p."""
    lo, mass, seen, expected = 0, np.ones(1), 0, 0.0
    for b, n in zip(bounds, looks, strict=True):
        if (left := float(mass.sum())) < 1e-9:
            break
        expected += left * (n - seen)
        lo, mass = _spread(lo, mass, n - seen, p)
        mass, seen = mass[: max(b - lo, 0)], n
    return expected


def first_looks(p0: float, alpha: float, last: int, growth: float = 1.25, multiple: int = 4) -> tuple[int, ...]:
    """Looks of a test that spends alpha early: the first is where votes that all agree claim p > p0."""
    first = math.ceil(math.log((1 - _LATER) * alpha * SAFE) / math.log(p0))
    return geometric_looks(min(first, last), last, growth, multiple)


@functools.lru_cache(maxsize=256)
def _share(p0s: tuple[float, ...], alpha: float, looks: tuple[int, ...]) -> float:
    for share in (0.98, 0.9, 0.75):
        if _within(alpha * SAFE, share * alpha * SAFE, p0s, looks):
            return share
    return 0.5


def _within(alpha: float, spent: float, p0s: tuple[float, ...], looks: tuple[int, ...]) -> bool:
    """Whether boundaries that spend `spent` keep false claims within `alpha`, whatever the classes' probabilities.

    For the most probable class at p in (p0_{j-1}, p0_j], that it crosses boundary j and that the others, 1 - p
    together, cross boundary 1. The first grows with p and the second falls: each piece is bounded by the first at its
    upper end and the second at its lower, and halved while that is too coarse. False where 64 pieces leave it open.
    """

    @functools.cache
    def crossing(j: int, p: float) -> float:
        return crossing_probability(boundary(p0s[j], spent, looks), looks, p)

    pieces = list(enumerate(pairwise((0.5, *p0s))))
    for _ in range(64):
        if not pieces:
            return True
        j, (low, high) = pieces.pop()
        if spent + crossing(0, 1 - low) <= alpha or crossing(j, high) + crossing(0, 1 - low) <= alpha:
            continue
        if crossing(j, high) + crossing(0, 1 - high) > alpha:
            return False
        middle = (low + high) / 2
        pieces += [(j, (low, middle)), (j, (middle, high))]
    return False


@dataclass(frozen=True)
class SequentialTest:
    """Are p > p0_1, p > p0_2, ... (ascending)? Claimed in order, at the given looks, all sharing one alpha.

    The class followed is the running favourite until the first claim. A false claim needs the most probable class to
    cross its own first false boundary (probability `share * alpha` at most), or another class to cross the first one.
    `share` is such that both together stay within alpha, for any number of classes: theory.md section 8.

    `given`: the class comes from other votes. Nothing else can be claimed, so that it has all of alpha, and spends it
    early: the test is for many that are true at once.
    """

    p0s: tuple[float, ...]
    alpha: float
    looks: tuple[int, ...]
    given: bool = False

    def __post_init__(self) -> None:
        require(len(self.p0s) > 0, "targets: expected at least one")
        ascending = all(a < b for a, b in pairwise(self.p0s))
        require(ascending and self.p0s[0] >= 0.5, f"targets: expected 1/2 <= p0_1 < p0_2 < ..., got {self.p0s}")
        require(self.p0s[-1] < 1, f"targets: expected every p0 below 1, got {self.p0s[-1]}")
        require_alpha(self.alpha)

    @property
    def share(self) -> float:
        """The part of alpha that each boundary spends; the rest pays for following the running favourite.

        The most of a few for which false claims are proved to stay within alpha at every target; 1/2 always does.
        """
        return 1.0 if self.given else _share(self.p0s, self.alpha, self.looks)

    @property
    def boundaries(self) -> tuple[tuple[int, ...], ...]:
        """One boundary (a count per look) for each target."""
        return tuple(boundary(p0, self.share * self.alpha * SAFE, self.looks, self.given) for p0 in self.p0s)

    def claims(self, n: int, count: int, claimed: int = 0) -> int:
        """How many targets stand after a look at n samples with `count` votes, `claimed` before it."""
        j = self.looks.index(n)
        while claimed < len(self.p0s) and count >= self.boundaries[claimed][j]:
            claimed += 1
        return claimed

    def ended(self, n: int, count: int, claimed: int) -> bool:
        """Whether no later look can, or is likely to, claim more."""
        return claimed == len(self.p0s) or self.futile(n, count, claimed)

    def futile(self, n: int, count: int, claimed: int) -> bool:
        """Whether the next target is claimed with a probability under 2 %, even with p at its 98 % upper bound."""
        needed, left = self.boundaries[claimed][-1] - count, self.looks[-1] - n
        if needed <= 0 or left < needed:
            return needed > 0
        p_upper = upper_confidence_bound(count, n, _FUTILE)
        return float(betainc(needed, left - needed + 1, p_upper)) < _FUTILE
