"""Bounds on p_star from draws: no quadrature and no closed form is shared with what they check."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from smoothcert.bounds.joint_laws import JointLaws, Shift
from smoothcert.bounds.laws import Law, Normal
from smoothcert.smoothing import AnyAttack, Attack, Composition, Smoothing

Array = NDArray[np.float64]


def p_star_sampled(smoothing: Smoothing, attack: AnyAttack, *, n: int, delta: float, seed: int) -> tuple[float, float]:
    """Bounds on `p_star` of one attack (a point) from n draws, both true with probability 1 - delta."""
    assert isinstance(smoothing, Composition)
    (box,) = smoothing.boxes(Attack.of(attack))
    assert all(low == high for low, high in box.values()), attack
    point = {name: low for name, (low, _) in box.items()}
    rng = np.random.default_rng(seed)

    def draw(n: int, attacked: bool) -> Array:
        return sample_log_ratio(smoothing.joint, point, rng, n, attacked=attacked)

    return sampled_threshold(draw, n, delta)


def sampled_threshold(
    draw: Callable[[int, bool], Array], n: int, delta: float, level: float = 0.5
) -> tuple[float, float]:
    """Bounds on p_star from draws of L, both true with probability 1 - delta.

    `draw(n, attacked)` gives n fresh values of log dP1/dP0, under P1 where `attacked`, else under P0. Above: the dual
    at a t chosen on draws of its own, its mean bounded by Hoeffding. Below: a set {L < t} whose P1 cannot exceed the
    level, by the band of Dvoretzky, Kiefer and Wolfowitz, is a classifier that the attack brings down.
    """
    band = math.sqrt(math.log(4 / delta) / (2 * n))
    ratios = np.sort(draw(n, True))
    t = float(ratios[min(n - 1, int(level * n))])
    safe = math.floor((level - band) * n) - 1
    under0 = draw(n, False)
    put = -np.expm1(np.minimum(under0 - t, 0.0))
    high = math.exp(-t) * level + float(put.mean()) + band
    low = float((under0 < ratios[safe]).mean()) - band if safe >= 0 else 0.0
    return max(0.0, low), min(1.0, high)


def sample_log_ratio(joint: JointLaws, shift: Shift, rng: np.random.Generator, n: int, *, attacked: bool) -> Array:
    """n draws of log dP1/dP0, under P1 where `attacked`, else under P0: written out parameter by parameter."""
    total = np.zeros(n)

    def add(law: Law, a: float | Array) -> Array:
        """Draw a parameter that the attack shifts by a, and count what it tells."""
        y = np.asarray(law.ppf(rng.uniform(size=n))) + (a if attacked else 0.0)
        nonlocal total
        with np.errstate(divide="ignore"):
            total = total + np.log(law.pdf(y - a)) - np.log(law.pdf(y))
        return y

    for name, law in joint.laws.items():
        if name not in joint.grouped and shift.get(name):
            add(law, shift[name])
    if joint.affine:
        k, b, r = _standardised(joint, shift)
        magnified = np.exp(add(joint.laws[joint.affine.scale], k) - k)
        add(Normal(1.0), r * magnified)
        if joint.affine.scale_first:
            add(Normal(1.0), b * magnified)
        else:
            z = rng.standard_normal(n)
            v = b + np.exp(-k) * z if attacked else z
            total += 0.5 * v * v - 0.5 * np.square((v - b) * np.exp(k)) + k
    # Equal ratios come in random order, as the worst set may take them.
    return np.round(total, 9) + 1e-12 * rng.uniform(size=n)


def _standardised(joint: JointLaws, shift: Shift) -> tuple[float, float, float]:
    """Scale of the affine group, and shift and noise in standard deviations of their laws."""
    assert joint.affine
    of_scale, *others = joint.affine.scale, joint.affine.shift, joint.affine.noise
    b, r = (shift.get(name, 0.0) / joint.laws[name].scale if name else 0.0 for name in others)
    return shift.get(of_scale, 0.0), b, r
