"""From the laws of the parameters to the pair of laws that an attack makes: theory.md sections 3 and 5.

Everything is written in coordinates where the identity is 0 and independent parameters add up: log factors for contrast
and gamma, intensities, variances, pixels, norms. Two things break the sum, and both are here: the affine group (a
scale and a shift, in either order), and pixel noise that a random contrast magnifies.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from scipy.special import ndtr

from ..errors import require
from .laws import Law, Normal
from .neyman_pearson import Array, Builder, Pair, Tilt

Shift = Mapping[str, float]  # of each parameter, in its coordinate; those left out are 0

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_FAR = 6.4  # standard scores that the axes reach: 1e-10 of a law is beyond, on each side, and counts as lost
_STANDARD = Normal(1.0)
_LARGEST = 300.0  # its exponential tells any two laws apart, and is a float with room above
_PANELS = {0: 1, 1: 48, 2: 5, 3: 2}  # a law, of 8 nodes each, by the number of axes


@dataclass(frozen=True)
class Affine:
    """The parameters, by name, that form the affine group: x -> c x + b, or c (x + b) where not `scale_first`.

    `noise` is the pixel noise, which the scale magnifies; None where no attack on it has a joint.
    """

    scale: str
    shift: str | None
    noise: str | None
    scale_first: bool


_Axis = TypeVar("_Axis", Pair, Tilt)  # of one parameter; makers of them get the number of panels


@dataclass(frozen=True)
class JointLaws:
    """The laws of the parameters by name, and which of them form the affine group.

    `noise`: the pixel noise behind other parts, by name. `stretches`: how many times longer, at most, each of those may
    make an attack on it; None where there is no bound. A scale that `affine` has with the noise is not among them.
    """

    laws: Mapping[str, Law]
    affine: Affine | None = None
    noise: str = ""
    stretches: Mapping[str, float | None] = field(default_factory=dict)

    def stretch(self, name: str) -> float:
        """How many times longer an attack on the parameter may become, at most; `ValueError` without a bound."""
        if name != self.noise:
            return 1.0
        unbounded = [part for part, factor in self.stretches.items() if factor is None]
        require(
            not unbounded,
            f"attack: no theorem for an attack on {name} behind {' and '.join(unbounded)}, which may lengthen it "
            f"without bound; leave {name} out of the attack",
        )
        return math.prod(factor for factor in self.stretches.values() if factor is not None)

    @property
    def grouped(self) -> set[str]:
        """The parameters of the affine group."""
        a = self.affine
        return {name for name in (a.scale, a.shift, a.noise) if name} if a else set()

    def is_line(self, name: str) -> bool:
        """Whether an attack on this parameter alone only shifts its law."""
        a = self.affine
        return a is None or name not in self.grouped or (name == a.scale and (a.scale_first or a.shift is None))

    def coupled_scale(self, farthest: Shift) -> str | None:
        """The scale whose worst value need not lie at an end, given how far each parameter is attacked."""
        a = self.affine
        if a is None or not (farthest.get(a.shift or "") or farthest.get(a.noise or "")):
            return None
        return a.scale

    def _alone(self, moved: Shift) -> tuple[float, list[tuple[str, float]]]:
        """Of what moves outside the group: the variance of all normal laws; the other laws, and how far each moves."""
        variance, others = 0.0, list[tuple[str, float]]()
        for name, law in self.laws.items():
            if name not in self.grouped and (a := moved.get(name, 0.0)):
                if isinstance(law, Normal):
                    variance += (a / law.scale) ** 2
                else:
                    others.append((name, a))
        return variance, others

    def pair(self, shift: Shift, resolution: int = 1) -> Pair:
        """The laws of the smoothed input at the input, P0, and at the attacked one, P1; more nodes by `resolution`."""
        variance, others = self._alone(shift)
        makers: list[Builder] = [functools.partial(_line, self.laws[name], a) for name, a in others]
        if self.affine:
            more, its = _affine_pair(self.laws, self.affine, shift)
            variance, makers = variance + more, makers + its
        axes = _build(makers, resolution)
        rest = _sum([a.variance for a in axes])
        return Pair(_product([a.p0 for a in axes]), _product([a.p1 for a in axes]), variance + rest)

    def tilt(self, shift: Shift, velocity: Shift, resolution: int = 1) -> Tilt:
        """The law, at the attacked input, of the log-density's derivative along the velocity of the attack."""
        variance, others = self._alone(velocity)
        makers: list[Callable[[int], Tilt]] = [
            functools.partial(_moving_line, self.laws[name], shift.get(name, 0.0), speed) for name, speed in others
        ]
        if self.affine:
            more, its = _affine_tilt(self.laws, self.affine, shift, velocity)
            variance, makers = variance + more, makers + its
        sharp = len(makers) == 1 and not variance  # then there may be a kink, and no Gaussian term to blunt it
        axes = _build(makers, 4 * resolution if sharp else resolution)
        rest = _sum([a.variance for a in axes])
        return Tilt(_product([a.mass for a in axes]), _sum([a.mean for a in axes]), variance + rest)


def _affine_pair(laws: Mapping[str, Law], affine: Affine, shift: Shift) -> tuple[float, list[Builder]]:
    """The affine group's share of a pair: the shift and the noise see the scale e^(u - k) of the defender's draw."""
    k, b, r = _standardised(laws, affine, shift)
    law = laws[affine.scale]
    magnified = r**2 + (b**2 if affine.scale_first else 0.0)
    variance, makers = 0.0, list[Builder]()
    if not affine.scale_first and b and not k:
        variance += b**2
    elif not affine.scale_first and k:
        makers.append(functools.partial(_quadratic, b, k))
    if magnified or (k and not isinstance(law, Normal)):
        makers.append(functools.partial(_line, law, k, magnified=magnified))
    elif k:
        variance += (k / law.scale) ** 2
    return variance, makers


def _affine_tilt(
    laws: Mapping[str, Law], affine: Affine, shift: Shift, velocity: Shift
) -> tuple[float, list[Callable[[int], Tilt]]]:
    """The affine group's share of a tilt: derivatives of the conditional means and of the scale."""
    k, b, r = _standardised(laws, affine, shift)
    k_, b_, r_ = _standardised(laws, affine, velocity)
    law = laws[affine.scale]
    magnified = (r_ - r * k_) ** 2 + ((b_ - b * k_) ** 2 if affine.scale_first else 0.0)
    variance, makers = 0.0, list[Callable[[int], Tilt]]()
    if not affine.scale_first and k_:
        makers.append(functools.partial(_moving_quadratic, b_ * float(np.exp(k)), k_))
    elif not affine.scale_first:
        variance += (b_ * np.exp(k)) ** 2
    if magnified or (k_ and not isinstance(law, Normal)):
        makers.append(functools.partial(_moving_line, law, k, k_, magnified=magnified))
    elif k_:
        variance += (k_ / law.scale) ** 2
    return variance, makers


def _standardised(laws: Mapping[str, Law], affine: Affine, shift: Shift) -> tuple[float, float, float]:
    """Scale, and shift and noise in standard deviations of their laws."""
    b = shift.get(affine.shift, 0.0) / laws[affine.shift].scale if affine.shift else 0.0
    r = shift.get(affine.noise, 0.0) / laws[affine.noise].scale if affine.noise else 0.0
    return shift.get(affine.scale, 0.0), b, r


def _line(law: Law, a: float, panels: int, *, magnified: float = 0.0) -> Pair:
    """A law and its shift by a; a node y adds the variance magnified e^(2 (y - a)).

    The mass of P0 that P1 does not reach, or that the axis leaves out, is a node of its own with p1 = 0.
    """
    ends = _ends(law, panels)
    both = np.union1d(ends, ends + a)
    y, weight = _panels(np.unique(np.clip(both, a, ends[-1])) if ends[0] >= 0 else both)
    p0, p1 = law.pdf(y) * weight, law.pdf(y - a) * weight
    variance = magnified * np.exp(np.minimum(2 * (y - a), _LARGEST)) if magnified else np.zeros_like(y)
    return Pair(np.append(p0, max(0.0, 1 - p0.sum())), np.append(p1, 0.0), np.append(variance, 0.0))


def _moving_line(law: Law, a: float, speed: float, panels: int, *, magnified: float = 0.0) -> Tilt:
    y, weight = _panels(_ends(law, panels))
    variance = magnified * np.exp(np.minimum(2 * y, _LARGEST)) if magnified else np.zeros_like(y)
    return Tilt(law.pdf(y) * weight, law.score(y) * speed, variance)


def _quadratic(b: float, k: float, panels: int) -> Pair:
    """N(0, 1) against N(b, e^(-2k)): the shift before the scale. Its log ratio is quadratic."""
    ends = _ends(_STANDARD, panels)
    v, weight = _panels(np.union1d(ends, b + np.exp(-k) * ends))
    p0, p1 = _STANDARD.pdf(v) * weight, _STANDARD.pdf((v - b) * np.exp(k)) * np.exp(k) * weight
    return Pair(np.append(p0, max(0.0, 1 - p0.sum())), np.append(p1, 0.0), np.zeros(len(v) + 1))


def _moving_quadratic(shift: float, scale: float, panels: int) -> Tilt:
    """A normal whose mean moves by `shift` standard deviations and whose deviation shrinks by the factor e^-scale."""
    z, weight = _panels(_ends(_STANDARD, panels))
    return Tilt(_STANDARD.pdf(z) * weight, z * shift + (1 - z * z) * scale, np.zeros_like(z))


def _ends(law: Law, panels: int) -> Array:
    """Ends of the panels: even in standard scores, so that skew laws get their nodes where their mass is."""
    scores = np.linspace(-_FAR, _FAR, panels + 1)
    return np.asarray(np.where(scores < 0, law.ppf(ndtr(scores)), law.isf(ndtr(-scores))))


def _panels(ends: Array) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on every panel between the ends."""
    half = np.diff(ends)[:, None] / 2
    return (ends[:-1, None] + half * (1 + _NODES)).ravel(), (half * _WEIGHTS).ravel()


def _build(makers: Sequence[Callable[[int], _Axis]], resolution: int) -> list[_Axis]:
    # Not a multiple of the coarser numbers: a kink that one resolution has on a node must not stay there.
    return [maker(resolution * _PANELS[len(makers)] + resolution - 1) for maker in makers]


def _product(masses: Sequence[Array]) -> Array:
    """Masses of independent parameters on the grid of all their nodes, flat."""
    return functools.reduce(lambda a, b: np.multiply.outer(a, b).ravel(), masses, np.ones(1))


def _sum(terms: Sequence[Array]) -> Array:
    """Sums, on that grid, of what the nodes of each axis add."""
    return functools.reduce(lambda a, b: np.add.outer(a, b).ravel(), terms, np.zeros(1))
