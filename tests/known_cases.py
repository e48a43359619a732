"""Classifiers whose smoothed decision is known exactly, for every part and for compositions.

Each `Case` has an input, an attack, and a classifier that reads the random parameters off the perturbed image and cuts
their log-likelihood ratio: Neyman and Pearson's worst set for that attack, so that certificates are tested where they
are tight. Its smoothed probabilities are closed forms or one-dimensional integrals, written here from theory.md alone.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, roots_legendre

from smoothcert import (
    Blur,
    Brightness,
    Contrast,
    Gamma,
    Noise,
    OrtClassifier,
    Translation,
    compose,
)
from smoothcert.bounds.confidence import lower_confidence_bound
from smoothcert.model.classifier import CallableClassifier, Classifier
from smoothcert.smoothing import Part, Smoothing

from .known_models import affine_scores
from .models import slabs

RUNS, ALPHA, KEY, N0 = 1000, 0.05, 40, 50
JUST_UNDER = 0.4995  # the share of the top class under the attack: the decision changes
Array = NDArray[np.float64]
Bounds = Callable[[float], tuple[float, float]]  # of a cut: the share of scores up to it, before and after the attack


def consistent(wrong: int, runs: int, alpha: float) -> bool:
    """Whether so many wrong runs are compatible with a probability of at most alpha each."""
    return bool(stats.binomtest(wrong, runs, alpha, alternative="greater").pvalue > 1e-3)


def agrees(count: int, runs: int, probability: float) -> bool:
    """Whether a count is compatible with exactly this probability."""
    return bool(stats.binomtest(count, runs, probability).pvalue > 1e-4)


# --- Classifiers whose smoothed decision is known ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Case:
    """Classes by cuts of a score; the attack raises scores. `p_star` is theory.md's; `below` is exact."""

    smoothing: Smoothing
    x: NDArray[Any]
    attack: Mapping[str, float]
    attacked: NDArray[Any]
    score: Callable[[Array], Array]  # of images in the classifier's units, [0,1] for 8-bit inputs
    below: Bounds
    span: tuple[float, float]  # of the scores
    p_star: float
    onnx: Callable[[Sequence[float]], bytes] | None = None
    n: int = 500

    def cut(self, share: float) -> float:
        """The score up to which that share lies once attacked, or, where scores are discrete, the next less."""
        low, high = self.span
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if self.below(middle)[1] <= share else (low, middle)
        return low

    def classifier(self, *shares: float, onnx: bool = False) -> Classifier:
        """Cuts at these shares: class 0 up to the first."""
        cuts = [self.cut(share) for share in shares or (JUST_UNDER,)]
        if onnx:
            assert self.onnx
            return OrtClassifier(self.onnx(cuts), threads=1, batch_size=1024)
        large = self.x.size > 1000

        def labels(z: NDArray[np.float32]) -> NDArray[np.int64]:
            z = z if large else z.astype(float)
            with np.errstate(all="ignore"):  # the last batch is padded with zeros
                return np.searchsorted(cuts, self.score(z))

        return CallableClassifier(labels, batch_size=64 if large else 500)

    def top(self, share: float = JUST_UNDER) -> tuple[float, float]:
        """Probability of class 0 at the input, and under the attack."""
        return self.below(self.cut(share))

    def exact_rate(self, p_star: float) -> float:
        """How often a one-sided bound certifies an attack of that p_star: the class is selected, the votes suffice."""
        p, _ = self.top()
        votes = np.arange(self.n + 1)
        enough = np.array([lower_confidence_bound(int(k), self.n, ALPHA) > p_star for k in votes])
        selected = stats.binom.sf(math.ceil(N0 / 2) - 1, N0, p)
        return float(selected * stats.binom.pmf(votes, self.n, p)[enough].sum())


def pixel(place: int, size: int, sign: int = 1) -> Array:
    """The direction of one pixel."""
    return sign * np.eye(size)[place]


def line(
    part: Part,
    x: NDArray[Any],
    attack: Mapping[str, float],
    attacked: NDArray[Any],
    direction: Array,
    parameter: Callable[[float], float],
    cdf: Callable[[float], float],
    cdf_attacked: Callable[[float], float],
    p_star: float,
    **options: Any,
) -> Case:
    """One parameter y: direction.image <= t means y <= parameter(t), where it grows with y and the direction points so.

    Where the attack moves y to the left, both distribution functions are those of -y.
    """

    used = np.flatnonzero(direction)

    def score(z: Array) -> Array:
        return z.reshape(len(z), -1)[:, used].astype(float) @ direction[used]

    def onnx(cuts: Sequence[float]) -> bytes:
        return slabs(x.shape, direction, cuts)

    def below(t: float) -> tuple[float, float]:
        y = parameter(t)
        return float(cdf(y)), float(cdf_attacked(y))

    span = options.pop("span", (-20.0, 20.0))
    return Case(compose(part), x, attack, attacked, score, below, span, p_star, onnx, **options)


GREY = np.array([[[60, 200], [10, 255]]], np.uint8)  # 8-bit: float32 levels once smoothed
REAL = (GREY / 255).astype(np.float32)


def unit(x: NDArray[Any]) -> Array:
    """The image in [0,1] intensities."""
    return x / 255 if x.dtype == np.uint8 else x.astype(float)


def single(x: NDArray[Any]) -> NDArray[np.float32]:
    return x.astype(np.float32)


def brightness(b: float, x: NDArray[Any] = GREY, scale: float = 0.3) -> Case:
    """p_star = Phi(|b| / s); pixel 0 tells the draw."""
    sign, at = math.copysign(1, b), float(unit(x).flat[0])
    return line(
        Brightness(scale), x, {"brightness": b}, single(unit(x) + b), pixel(0, x.size, int(sign)),
        lambda t: t - sign * at, lambda y: ndtr(y / scale), lambda y: ndtr((y - abs(b)) / scale), ndtr(abs(b) / scale),
        n=1000,
    )  # fmt: skip


def contrast(c: float, about: str = "0", x: NDArray[Any] = GREY, scale: float = 0.4) -> Case:
    """p_star = Phi(|log c| / s); pixel 3, the brightest, tells the draw."""
    middle = {"0": 0.0, "mid": 0.5}[about]
    at, k = float(unit(x).flat[3]) - middle, abs(math.log(c))
    sign = 1 if c > 1 else -1

    def parameter(t: float) -> float:
        factor = (sign * t - middle) / at
        return sign * math.log(factor) if factor > 0 else -sign * math.inf

    return line(
        Contrast(scale, about=about), x, {"contrast": c}, single(middle + c * (unit(x) - middle)),
        pixel(3, x.size, sign), parameter, lambda y: ndtr(y / scale), lambda y: ndtr((y - k) / scale),
        ndtr(k / scale), n=1000,
    )  # fmt: skip


def gamma(g: float, law: str = "lognormal", x: NDArray[Any] = GREY, scale: float = 0.4) -> Case:
    """Rayleigh: p_star = 1 - 2^(-g^2) for g >= 1, else 2^(-g^2). Pixel 0 tells the draw: it falls as g grows."""
    at, sign = float(unit(x).flat[0]), -1 if g > 1 else 1
    exponent = stats.lognorm(scale) if law == "lognormal" else stats.rayleigh(scale=scale)
    rayleigh = 1 - 2 ** (-g * g) if g > 1 else 2 ** (-g * g)
    p_star = ndtr(abs(math.log(g)) / scale) if law == "lognormal" else rayleigh

    def parameter(t: float) -> float:
        """The exponent at which the pixel has that value."""
        value = sign * t
        return math.log(value) / math.log(at) if 0 < value < 1 else (math.inf if value <= 0 else 0.0)

    distribution = exponent.cdf if g > 1 else exponent.sf
    return line(
        Gamma(scale, law), x, {"gamma": g}, single(unit(x) ** g), pixel(0, x.size, sign), parameter,
        distribution, lambda y: distribution(y / g), p_star, span=(-1.0, 0.0) if g > 1 else (0.0, 1.0), n=1000,
    )  # fmt: skip


BLUR_LAWS = {  # at scale 1: the variance's law, and theory.md's p_star of an attack
    "exponential": (stats.expon(), lambda v: 1 - math.exp(-v) / 2),
    "uniform": (stats.uniform(), lambda v: 0.5 + v),
    "folded-normal": (stats.halfnorm(), lambda v: 2 * ndtr(ndtri(0.75) + v) - 1),
    "rayleigh": (stats.rayleigh(), lambda v: 1 - math.exp(-((v + math.sqrt(2 * math.log(2))) ** 2) / 2)),
}
WIDTH = 16


def mode(border: str, size: int, order: int) -> tuple[Array, Array, float]:
    """A cosine mode of a row of pixels, the functional that reads its amplitude, its frequency in radians a pixel."""
    at, weight = np.arange(size), np.ones(size)
    if border == "wrap":
        frequency = 2 * math.pi * order / size
    elif border == "reflect":
        frequency, at = math.pi * order / size, at + 0.5
    else:
        frequency, weight[[0, -1]] = math.pi * order / (size - 1), 0.5
    wave = np.cos(frequency * at)
    return wave, weight * wave / ((weight * wave) @ wave), frequency


def blur(law: str, border: str, v: float, scale: float = 1.5) -> Case:
    """The amplitude of one mode of frequency w, A exp(-v w^2 / 2), tells the variance; it falls as that grows."""
    wave, reading, frequency = mode(border, WIDTH, 3)
    x = (0.5 + 0.4 * wave)[None, None].astype(np.float32)
    distribution, p_star = BLUR_LAWS[law]

    def parameter(t: float) -> float:
        return -2 * math.log(-t / 0.4) / frequency**2 if t < 0 else math.inf

    return line(
        Blur(scale, law=law, border=border), x, {"blur": v},
        single(0.5 + 0.4 * math.exp(-v * frequency**2 / 2) * wave)[None, None], -reading, parameter,
        lambda y: distribution.cdf(y / scale), lambda y: distribution.cdf((y - v) / scale), p_star(v / scale),
        span=(-0.4, 0.0),
    )  # fmt: skip


def rounded(scale: float, reach: int) -> stats.rv_discrete:
    """The law of round(N(0, scale^2))."""
    k = np.arange(-reach, reach + 1)
    mass = ndtr((k + 0.5) / scale) - ndtr((k - 0.5) / scale)
    return stats.rv_discrete(values=(k, mass / mass.sum()))


def translation(dy: int, dx: int, size: int = 40, scale: float = 3.5) -> Case:
    """The image is the half-plane of shifts itself, seen through its first pixel: p_star = Phi(|d| / s).

    Its levels are the places (dy Y + dx X) that a shift (Y, X) brings there, so that any cut is a half-plane.
    """
    reach = size // 2
    shift = (reach - np.arange(size)) % size - reach  # what brings row y to row 0
    levels = dy * shift[:, None] + dx * shift[None, :] + 128
    assert levels.min() >= 0
    assert levels.max() < 256
    x = levels.astype(np.uint8)
    one = rounded(scale, reach - 1)
    shares: dict[int, float] = {}
    for (y, p), (x_, q) in itertools.product(zip(one.xk, one.pk, strict=True), repeat=2):
        shares[dy * y + dx * x_] = shares.get(dy * y + dx * x_, 0.0) + p * q
    places = np.array(sorted(shares))
    cumulative = np.cumsum([shares[k] for k in places])
    moved = dy * dy + dx * dx

    def cdf(y: float) -> float:
        i = int(np.searchsorted(places, y, side="right"))
        return float(min(1.0, cumulative[i - 1])) if i else 0.0

    return line(
        Translation(scale), x, {"translation": math.hypot(dy, dx)}, np.roll(x, (dy, dx), (0, 1)), pixel(0, x.size),
        lambda t: 255 * t - 127.5, cdf, lambda y: cdf(y - moved), ndtr(math.hypot(dy, dx) / scale),
        span=(0.0, 1.0), n=300,
    )  # fmt: skip


def noise(distance: float, sigma: float = 0.5) -> Case:
    """A half-space: p_star = Phi(|d| / sigma)."""
    direction = np.random.default_rng(1).standard_normal(8)
    direction /= np.linalg.norm(direction)
    x = np.linspace(0, 1, 8, dtype=np.float32)
    return line(
        Noise(sigma), x, {"noise": distance}, single(x + distance * direction), direction,
        lambda t: t - float(direction @ x), lambda y: ndtr(y / sigma), lambda y: ndtr((y - distance) / sigma),
        ndtr(distance / sigma), n=1000,
    )  # fmt: skip


LINES: dict[str, Callable[[], Case]] = {
    "brightness up": lambda: brightness(0.3),
    "brightness down": lambda: brightness(-0.4),
    "brightness of floats": lambda: brightness(0.25, REAL),
    "contrast up": lambda: contrast(1.4),
    "contrast down": lambda: contrast(0.7),
    "contrast about mid up": lambda: contrast(1.4, "mid"),
    "contrast about mid down": lambda: contrast(0.7, "mid", REAL),
    "gamma lognormal up": lambda: gamma(1.4),
    "gamma lognormal down": lambda: gamma(0.7, x=REAL),
    "gamma rayleigh up": lambda: gamma(1.5, "rayleigh"),
    "gamma rayleigh down": lambda: gamma(0.5, "rayleigh"),
    "blur exponential reflect101": lambda: blur("exponential", "reflect101", 1.4),
    "blur exponential reflect": lambda: blur("exponential", "reflect", 1.0),
    "blur uniform wrap": lambda: blur("uniform", "wrap", 0.4),
    "blur folded-normal reflect": lambda: blur("folded-normal", "reflect", 0.7),
    "blur rayleigh reflect101": lambda: blur("rayleigh", "reflect101", 1.0),
    "blur rayleigh wrap": lambda: blur("rayleigh", "wrap", 0.8),
    "translation oblique": lambda: translation(3, 2),
    "translation steep": lambda: translation(4, 1),
    "noise": lambda: noise(0.45),
}


# --- Compositions: the worst sets of pairs of laws, by integrals ------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Pair:
    """Two laws: masses on nodes before and after the attack, and log dP1/dP0 Gaussian of that variance given a node."""

    p0: Array
    p1: Array
    variance: Array

    def __matmul__(self, other: Pair) -> Pair:
        """Both, independent."""
        p0, p1 = np.outer(self.p0, other.p0), np.outer(self.p1, other.p1)
        return Pair(p0.ravel(), p1.ravel(), np.add.outer(self.variance, other.variance).ravel())

    def below(self, t: float) -> tuple[float, float]:
        """Shares of log dP1/dP0 <= t (theory.md section 3: given the node, N(log(p1 / p0) -+ s^2 / 2, s^2))."""
        s = np.sqrt(self.variance + 1e-18)
        with np.errstate(divide="ignore"):
            z = (t - np.log(self.p1 / self.p0)) / s
        return float(self.p0 @ ndtr(z + s / 2)), float(self.p1 @ ndtr(z - s / 2))


SPAN = (-30.0, 30.0)  # of log ratios


def share_below_median(pair: Pair) -> float:
    """P0(L <= median of L under P1): theory.md's p_star."""
    return pair.below(brentq(lambda t: pair.below(t)[1] - 0.5, *SPAN, xtol=1e-13))[0]


def gaussian(distance: float) -> Pair:
    """A Gaussian shift by that many deviations."""
    return Pair(np.ones(1), np.ones(1), np.array([distance**2]))


def between(low: float, high: float, count: int = 120) -> tuple[Array, Array]:
    """Nodes and weights of an integral."""
    nodes, weights = roots_legendre(count)
    return (low + high) / 2 + (high - low) / 2 * nodes, (high - low) / 2 * weights


def density_log_factor(law: str, scale: float) -> tuple[Callable[[Array], Array], tuple[float, float]]:
    """Of the logarithm of a lognormal or Rayleigh factor, and where it is worth integrating."""
    if law == "lognormal":
        return stats.norm(scale=scale).logpdf, (-8 * scale, 8 * scale)
    return (lambda u: stats.rayleigh(scale=scale).logpdf(np.exp(u)) + u), (math.log(scale) - 16, math.log(scale) + 2)


@dataclass(frozen=True, eq=False)
class Group:
    """The affine group c v + b (`scale_first`) or c (v + b), with log c by a law and b normal, attacked by (e^k, b)."""

    k: float
    b: float
    scale_of_b: float
    scale_of_k: float
    scale_first: bool = True
    law: str = "lognormal"

    def pair(self, count: int = 300) -> Pair:
        """By theory.md: nodes on log c and b Gaussian given it; the other order, nodes on b and log c Gaussian."""
        if self.scale_first:
            log_density, (low, high) = density_log_factor(self.law, self.scale_of_k)
            u, weight = between(low - abs(self.k), high + abs(self.k), count)
            p0, p1 = np.exp(log_density(u)) * weight, np.exp(log_density(u - self.k)) * weight
            return Pair(p0, p1, np.square(self.b * np.exp(u - self.k) / self.scale_of_b))
        after = stats.norm(self.b, self.scale_of_b * math.exp(-self.k))
        wide = max(self.scale_of_b, after.std())
        v, weight = between(min(0, self.b) - 9 * wide, max(0, self.b) + 9 * wide, count)
        before = stats.norm(scale=self.scale_of_b).pdf(v)
        variance = np.full_like(v, (self.k / self.scale_of_k) ** 2)
        return Pair(before * weight, after.pdf(v) * weight, variance)

    def log_ratio(self, c: Array, w: Array) -> Array:
        """log dP1/dP0 of a factor c and an offset w that were seen: w = b, or c b where the shift comes first."""
        k, s2 = self.k, self.scale_of_k**2
        if self.law == "lognormal":
            of_c = (k * np.log(c) - k * k / 2) / s2
        else:  # the density of a Rayleigh factor's logarithm u is proportional to exp(2 u - exp(2 u) / 2 s^2)
            of_c = -2 * k + c * c * (1 - math.exp(-2 * k)) / (2 * s2)
        if self.scale_first:
            shift = self.b * math.exp(-k) * c
            return of_c + (shift * w - shift**2 / 2) / self.scale_of_b**2
        v = w / c
        return of_c + (v**2 - ((v - self.b) * math.exp(k)) ** 2) / (2 * self.scale_of_b**2) + k

    @property
    def weights(self) -> list[float]:
        """Of log c, w c, c^2, w / c, (w / c)^2 in the log ratio."""
        first, r, s2 = self.k / self.scale_of_k**2, self.b * math.exp(-self.k), self.scale_of_b**2
        if self.scale_first:
            return [first, r / s2, -r * r / (2 * s2), 0.0, 0.0]
        f2 = math.exp(2 * self.k)
        return [first, 0.0, 0.0, f2 * self.b / s2, (1 - f2) / (2 * s2)]

    @property
    def constant(self) -> float:
        """The rest of the log ratio."""
        first = -(self.k**2) / (2 * self.scale_of_k**2)
        f2, s2 = math.exp(2 * self.k), self.scale_of_b**2
        return first + (0.0 if self.scale_first else self.k - f2 * self.b**2 / (2 * s2))


def worst_case(
    smoothing: Smoothing,
    x: NDArray[Any],
    attack: Mapping[str, float],
    attacked: NDArray[Any],
    score: Callable[[Array], Array],
    pair: Pair,
    **options: Any,
) -> Case:
    """The log ratio itself as the score; p_star is its share below the median under the attack."""
    options = {"p_star": share_below_median(pair)} | options
    return Case(smoothing, x, attack, single(attacked), score, pair.below, SPAN, **options)


def affine(group: Group, about: str = "0", x: NDArray[Any] = GREY, guarantee: str = "exact") -> Case:
    """Contrast and brightness, in either order; the factor and the offset are read off pixels 0 and 1."""
    middle = {"0": 0.0, "mid": 0.5}[about]
    parts = Contrast(group.scale_of_k, about=about), Brightness(group.scale_of_b)  # type: ignore[arg-type]
    c, (a, b) = math.exp(group.k), unit(x).ravel()[:2]
    y = unit(x) - middle
    attacked = (c * y + group.b if group.scale_first else c * (y + group.b)) + middle
    reading = np.zeros((x.size, 2))
    reading[:2, 0] = -1 / (b - a), 1 / (b - a)
    reading[:, 1] = pixel(0, x.size) - (a - middle) * reading[:, 0]

    def score(z: Array) -> Array:
        read = z.reshape(len(z), -1) @ reading - [0, middle]
        return group.log_ratio(read[:, 0], read[:, 1])

    def onnx(cuts: Sequence[float]) -> bytes:
        shifted = [cut - group.constant for cut in cuts]
        return affine_scores(x.shape, reading, [0, -middle], group.weights, shifted)

    return worst_case(
        compose(*parts[:: 1 if group.scale_first else -1], guarantee=guarantee),  # type: ignore[arg-type]
        x, {"contrast": c, "brightness": group.b}, attacked, score, group.pair(), onnx=onnx, n=1000,
    )  # fmt: skip


def gamma_contrast(group: Group, x: NDArray[Any] = GREY) -> Case:
    """The same group on log x: log z = g log x + log c, or g (log x + log c)."""
    parts = Gamma(group.scale_of_k, group.law), Contrast(group.scale_of_b)
    g, c = math.exp(group.k), math.exp(group.b)
    attacked = c * unit(x) ** g if group.scale_first else (c * unit(x)) ** g
    a, b = np.log(unit(x).ravel()[:2])

    def score(z: Array) -> Array:
        at, at_b = np.log(z.reshape(len(z), -1)[:, :2]).T
        factor = (at_b - at) / (b - a)
        return group.log_ratio(factor, at - factor * a)

    return worst_case(
        compose(*parts[:: 1 if group.scale_first else -1]), x, {"gamma": g, "contrast": c}, attacked, score,
        group.pair(), n=1000,
    )  # fmt: skip


def contrast_noise(k: float, distance: float, scale: float = 0.4, sigma: float = 0.5) -> Case:
    """A pixel of 1000 tells the factor in spite of the noise; the attack's noise is on another, and magnified."""
    x = np.array([1000.0, 0.0, 0.0, 0.0], np.float32)
    group = Group(k, distance, sigma, scale)

    def score(z: Array) -> Array:
        return group.log_ratio(z[:, 0] / 1000, z[:, 1])

    attacked = math.exp(k) * x + distance * pixel(1, 4)
    attack = {"contrast": math.exp(k), "noise": distance}
    return worst_case(compose(Contrast(scale), Noise(sigma)), x, attack, attacked, score, group.pair(), n=1000)


def variance_pair(law: Any, v: float, count: int = 60) -> Pair:
    """A blur's variance against its shift by v: nodes beyond v, and one for what the attack never reaches."""
    y, weight = between(v, float(law.isf(1e-14)) + v, count)
    p0, p1 = law.pdf(y) * weight, law.pdf(y - v) * weight
    return Pair(np.append(p0, law.cdf(v)), np.append(p1, 0.0), np.zeros(count + 1))


def blur_brightness(v: float, b: float, mean: float = 1.5, scale: float = 0.3) -> Case:
    """Exponential blur and brightness: the amplitude of a mode and the mean of the row tell them apart."""
    wave, reading, frequency = mode("reflect", WIDTH, 3)
    law = stats.expon(scale=mean)

    def score(z: Array) -> Array:
        row = z.reshape(len(z), -1)
        y = -2 * np.log(np.maximum(row @ reading / 0.4, 1e-30)) / frequency**2
        return np.where(y > v, v / mean, -np.inf) + (b * (row.mean(1) - 0.5) - b * b / 2) / scale**2

    x = single(0.5 + 0.4 * wave)[None, None]
    attacked = (0.5 + b + 0.4 * math.exp(-v * frequency**2 / 2) * wave)[None, None]
    pair = variance_pair(law, v) @ gaussian(b / scale)
    smoothing = compose(Blur(mean, border="reflect"), Brightness(scale))
    return worst_case(smoothing, x, {"blur": v, "brightness": b}, attacked, score, pair)


def four(group: Group, shift: int = 1, v: float = 0.3, pixels: float = 2.5, law_scale: float = 0.8) -> Case:
    """Translation, blur (wrap, Rayleigh), brightness and contrast. Two Fourier modes of a row tell all four draws.

    The slow mode's phase is the translation, the two amplitudes' ratio the blur, their size the factor, the mean tells
    the brightness.
    """
    size = 32
    (slow, _, w1), (fast, _, w2) = mode("wrap", size, 1), mode("wrap", size, 6)
    x = (0.5 + 0.2 * slow + 0.2 * fast)[None, None]
    one, variances = rounded(pixels, size // 2 - 1), stats.rayleigh(scale=law_scale)
    waves = np.exp(1j * np.outer(np.arange(size), [0, w1, w2])) * [1 / size, 2 / size, 2 / size]
    with np.errstate(divide="ignore", invalid="ignore"):
        of_shift = np.log(one.pmf(np.arange(-16, 16) - shift)) - np.log(one.pmf(np.arange(-16, 16)))

    def score(z: Array) -> Array:
        mean, slow_, fast_ = (z.reshape(len(z), size) @ waves).T
        moved = np.rint(np.angle(slow_) / w1).astype(int)
        y = 2 * np.log(np.abs(slow_) / np.maximum(np.abs(fast_), 1e-30)) / (w2**2 - w1**2)
        c = np.abs(slow_) / 0.2 * np.exp(y * w1**2 / 2)
        rest = group.log_ratio(c, mean.real - 0.5 * c)
        of_blur = np.log(np.maximum(y - v, 0) / y) + (y**2 - (y - v) ** 2) / (2 * law_scale**2)
        return of_shift[(moved + 16) % 32] + of_blur + rest

    gains = math.exp(-v * w1**2 / 2), math.exp(-v * w2**2 / 2)
    moved = np.roll(0.5 + gains[0] * 0.2 * slow + gains[1] * 0.2 * fast, shift)[None, None]
    c = math.exp(group.k)
    attacked = c * moved + group.b if group.scale_first else c * (moved + group.b)
    colour = Contrast(group.scale_of_k), Brightness(group.scale_of_b)
    smoothing = compose(
        Translation(pixels), Blur(law_scale, law="rayleigh", border="wrap"), *colour[:: 1 if group.scale_first else -1]
    )
    k = one.xk[one.pk > 1e-15]
    k = k[k + shift < size // 2]
    moves = Pair(one.pmf(k), one.pmf(k - shift), np.zeros(len(k)))
    rest = variance_pair(variances, v, 40) @ group.pair(80)
    attack = {"translation": float(shift), "blur": v, "brightness": group.b, "contrast": c}
    return worst_case(
        smoothing,
        single(x),
        attack,
        attacked,
        score,
        rest @ moves,
        n=300,
        p_star=share_below_median(rest @ gaussian(shift / pixels)),
    )


UP, DOWN = Group(math.log(1.4), 0.4, 0.6, 0.6), Group(math.log(0.7), -0.3, 0.6, 0.6)
COMPOSITIONS: dict[str, Callable[[], Case]] = {
    "contrast then brightness": lambda: affine(UP),
    "contrast about mid then brightness": lambda: affine(DOWN, "mid", REAL),
    "contrast then a brightness attack": lambda: affine(Group(0.0, 0.4, 0.6, 0.6)),
    "brightness then contrast": lambda: affine(replace(UP, scale_first=False)),
    "brightness then contrast down": lambda: affine(replace(DOWN, scale_first=False), x=REAL),
    "brightness then contrast about mid": lambda: affine(replace(UP, scale_first=False, b=-0.4), "mid"),
    "gamma then contrast": lambda: gamma_contrast(Group(0.3, 0.3, 0.6, 0.6)),
    "gamma rayleigh then contrast": lambda: gamma_contrast(Group(0.25, -0.3, 0.6, 0.6, law="rayleigh")),
    "gamma rayleigh down then contrast": lambda: gamma_contrast(Group(-0.3, 0.2, 0.6, 0.6, law="rayleigh")),
    "contrast then gamma": lambda: gamma_contrast(Group(-0.3, 0.3, 0.6, 0.6, scale_first=False)),
    "contrast then noise": lambda: contrast_noise(-0.3, 0.4),
    "contrast then noise up": lambda: contrast_noise(0.3, 0.3),
    "blur then brightness": lambda: blur_brightness(0.8, 0.2),
    "translation, blur, brightness, contrast": lambda: four(Group(math.log(0.9), 0.15, 0.6, 0.6, scale_first=False)),
    "translation, blur, contrast, brightness": lambda: four(Group(math.log(1.15), -0.15, 0.6, 0.6)),
}
BUILDERS = LINES | COMPOSITIONS
ONNX = [name for name in BUILDERS if name in LINES or ("brightness" in name and "contrast" in name and "," not in name)]
NAMES = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * name.count("blur, ")) for name in BUILDERS]
)


@functools.cache
def case_of(name: str) -> Case:
    return BUILDERS[name]()
