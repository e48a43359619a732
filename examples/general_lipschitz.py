# %% [markdown]
# # General Lipschitz, as published and put right
#
#     python examples/general_lipschitz.py
#
# Korzh, Pautov, Tsymboi and Oseledets (2023, arXiv 2309.16710) certify compositions of resolvable transformations:
# contrast with brightness, gamma with contrast, translation with blur. They bound how fast the smoothed classifier's
# probability can fall along a path of attacks, and integrate the bound. One formula of the procedure is wrong, and
# it asks for too little everywhere. This notebook puts one question to three procedures, row by row of their table 1:
# **which probability must the top class have at the input, so that it survives every attack of the box?**
#
# * `published`: their algorithms 1 and 2, sampled, as printed;
# * `path`: `compose(..., guarantee="path")`, the same idea put right, by quadrature;
# * `exact`: `compose(...)`, Neyman and Pearson's bound; nothing below it is right, if all it knows is that probability.
#
# A procedure that asks for less than `exact` certifies what is false. At the end, a classifier shows it.
#
# The cells run in order, in Jupyter (percent format) or as a script: about a minute on one core.

# %%
from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.special import ndtr, ndtri

from smoothcert import Blur, Brightness, Certificate, Contrast, Gamma, Translation, certify, compose
from smoothcert.bounds.laws import Law
from smoothcert.model.classifier import CallableClassifier
from smoothcert.smoothing import Guarantee, Part, Smoothing

Array = NDArray[np.float64]

SEED = 20
SAMPLES = 20_000  # draws of the score at every point of a path
STEPS = 16  # of the path from the identity to a corner

# %% [markdown]
# ## The rows of the table
#
# A resolving function says which one transformation two make: first the attack beta, in the paper's own parameters (a
# contrast is a factor c, not its logarithm), then the defender's draw theta (additive: the logarithm of a factor).
# Its value is written in coordinates whose volume the draw does not change, so that the density of the sum needs no
# determinant.

# %%
Resolve = Callable[[Array, Array], Array]  # theta (parameters, draws), beta (parameters, 1) -> (parameters, draws)


def additive(theta: Array, beta: Array) -> Array:
    """Brightness, translation, kernel variance of a blur."""
    return theta + beta


def factor(theta: Array, beta: Array) -> Array:
    """Contrast alone, gamma alone."""
    return theta + np.log(beta)


def contrast_brightness(theta: Array, beta: Array) -> Array:
    """c x + b: c2 (c1 x + b1) + b2."""
    return np.stack([np.log(beta[0]) + theta[0], np.exp(theta[0]) * beta[1] + theta[1]])


def brightness_contrast(theta: Array, beta: Array) -> Array:
    """c (x + b): c2 (c1 (x + b1) + b2) = c1 c2 (x + b1 + b2 / c1)."""
    return np.stack([beta[0] + theta[0] / beta[1], np.log(beta[1]) + theta[1]])


def gamma_contrast(theta: Array, beta: Array) -> Array:
    """c x^g: c2 (c1 x^g1)^g2. It acts on log x as contrast and brightness do on x."""
    return np.stack([np.log(beta[0]) + theta[0], np.exp(theta[0]) * np.log(beta[1]) + theta[1]])


# %%
@dataclass(frozen=True)
class Row:
    """A composition, its smoothing and its box of attacks.

    `parts` in order of application; `box`: the published ranges, in the same order, a translation's along each axis;
    `blocks`: the resolving function, in pieces that share no parameter, with the number of parameters of each.
    """

    title: str
    parts: tuple[Part, ...]
    box: tuple[tuple[float, float], ...]
    blocks: tuple[tuple[Resolve, int], ...]

    def smoothing(self, guarantee: Guarantee) -> Smoothing:
        """The composition, as the package has it."""
        return compose(*self.parts, guarantee=guarantee)

    @property
    def attack(self) -> dict[str, tuple[float, float]]:
        """The box, as the package has it: a translation's is the l2 ball around its corner.

        A larger blur is worse (`smoothcert.bounds.cover`), hence the far end stands for the interval.
        """
        attack = {}
        for part, (low, high) in zip(self.parts, self.box, strict=True):
            ball = (0.0, math.sqrt(2) * high)
            attack[part.name] = {"translation": ball, "blur": (high, high)}.get(part.name, (low, high))
        return attack

    @property
    def laws(self) -> list[Law]:
        """The law of each parameter; a translation has two."""
        return [part.line for part in self.parts for _ in range(_parameters(part))]

    @property
    def identity(self) -> Array:
        """The attack that does nothing."""
        return np.array([part.value(0.0) for part in self.parts for _ in range(_parameters(part))])

    @property
    def corners(self) -> list[Array]:
        """The corners of the box but the identity; one of a translation's four, for they are alike."""
        ends: list[tuple[float, ...]] = []
        for part, (low, high) in zip(self.parts, self.box, strict=True):
            ends += [(high,)] * 2 if part.name == "translation" else [(low, high)]
        corners = [np.array(corner) for corner in itertools.product(*ends)]
        return [corner for corner in corners if not np.array_equal(corner, self.identity)]

    def resolve(self, theta: Array, beta: Array) -> Array:
        """The resolving function."""
        pieces, first = [], 0
        for block, size in self.blocks:
            pieces.append(block(theta[first : first + size], beta[first : first + size]))
            first += size
        return np.concatenate(pieces)


def _parameters(part: Part) -> int:
    return 2 if part.name == "translation" else 1


def rayleigh(scale: float) -> Gamma:
    """Gamma correction with exponents of a Rayleigh law."""
    return Gamma(scale, "rayleigh")


ROWS = (
    Row(
        "contrast .5..2, brightness ±.4",
        (Contrast(0.6), Brightness(0.6)),
        ((0.5, 2.0), (-0.4, 0.4)),
        ((contrast_brightness, 2),),
    ),
    Row(
        "gamma .8..1.4, contrast .6..2",
        (rayleigh(0.1), Contrast(0.1)),
        ((0.8, 1.4), (0.6, 2.0)),
        ((gamma_contrast, 2),),
    ),
    Row(
        "brightness ±.2, translation ±56",
        (Brightness(0.4), Translation(30)),
        ((-0.2, 0.2), (-56, 56)),
        ((additive, 3),),
    ),
    Row(
        "contrast .5..2, translation ±56",
        (Contrast(0.4), Translation(30)),
        ((0.5, 2.0), (-56, 56)),
        ((factor, 1), (additive, 2)),
    ),
    Row("translation ±56", (Translation(50),), ((-56, 56),), ((additive, 2),)),
    Row(
        "contrast .8..1.5, brightness ±.2, translation ±25",
        (Contrast(0.8), Brightness(0.8), Translation(50)),
        ((0.8, 1.5), (-0.2, 0.2), (-25, 25)),
        ((contrast_brightness, 2), (additive, 2)),
    ),
    Row(
        "translation ±3, blur 1..3, brightness ±.1, contrast .95..1.05",
        (Translation(30), Blur(2, "rayleigh", "wrap"), Brightness(0.8), Contrast(0.8)),
        ((-3, 3), (1.0, 3.0), (-0.1, 0.1), (0.95, 1.05)),
        ((additive, 3), (brightness_contrast, 2)),
    ),
    Row("gamma 1..2", (rayleigh(0.1),), ((1.0, 2.0),), ((factor, 1),)),
    Row("gamma .5..1", (rayleigh(0.1),), ((0.5, 1.0),), ((factor, 1),)),
)

# %% [markdown]
# ## The published procedure
#
# **Scores** (lemma 1). At an attack beta, the smoothed input y is gamma(theta, beta). The log-density of y changes
# with beta as that of the draw theta which leads to y: its derivative along a unit vector t is
#
#     eta . t = -(d log tau / d theta) (d gamma / d theta)^-1 (d gamma / d beta) t  +  what does not depend on the draw
#
# and centring drops the last term. The derivatives of gamma are complex steps, exact to rounding.

# %%
_STEP = 1e-30  # of a complex step: nothing is subtracted, hence nothing cancels


def scores(row: Row, beta: Array, direction: Array, samples: int, rng: np.random.Generator) -> Array:
    """Draws of the log-density's derivative along the direction, at the attack beta."""
    theta = np.stack([np.asarray(law.ppf(rng.uniform(size=samples))) for law in row.laws])
    score = np.stack([law.score(draws) for law, draws in zip(row.laws, theta, strict=True)])  # -d log tau / d theta
    at, along = beta[:, None], direction[:, None]
    moved = row.resolve(theta, at + 1j * _STEP * along).imag / _STEP
    steps = 1j * _STEP * np.eye(len(theta))
    jacobian = np.stack([row.resolve(theta + step[:, None], at).imag / _STEP for step in steps], axis=-1)
    shift = np.linalg.solve(jacobian.transpose(1, 0, 2), moved.T[:, :, None])[:, :, 0]
    return np.asarray(np.einsum("kn,nk->n", score, shift))


# %% [markdown]
# **Bounds** (equations 9 to 11, algorithm 2). A class of probability u can win, for a step of length 1, at most u
# times the mean of the u largest scores: centre, sort, cumulate. The largest over u is the factor g; what is left is
# p(u), of which the largest over all points of the grid is kept. A class that loses is the rest that wins.
#
# **Integrals** (equation 8, algorithm 1). xi is the integral of 1 / p; g_hat the integral of g along the straight
# path from the identity to the corner. Certified is what has g_hat < xi(1/2) - xi(1 - h), hence the required
# probability solves it with equality. (Where the scores are symmetric, that is g_hat = xi(h) - xi(1/2).) The grid
# here is the paths to the corners, so that nothing need be interpolated off them; the box asks for what its worst
# corner asks for.

# %% [markdown]
# ## Where it goes wrong
#
# The chain rule along a path beta(t) is
#
#     d/dt h(beta(t)) = < grad h(beta(t)), beta'(t) >
#
# and beta'(t) = beta - beta_0 on a straight path: the speed is |beta - beta_0|, all along. Equation 7 has beta itself
# in its place, and line 10 of algorithm 2 the length |beta(t) - beta_0| = t |beta - beta_0|. The integral of t over
# 0..1 is 1/2: an additive Gaussian parameter is asked for Phi(d / 2) where Phi(d) is needed. The function below gives
# both answers from the same draws: with the published factor, and with the path's speed in its place and nothing else
# changed.


# %%
def required_by_sampling(
    row: Row, *, samples: int = SAMPLES, steps: int = STEPS, seed: int = SEED
) -> tuple[float, float]:
    """The probability that algorithms 1 and 2 ask for over the corners of the box: as published, by the chain rule.

    1 where the draws cannot tell.
    """
    rng = np.random.default_rng(seed)
    times = np.linspace(0, 1, steps + 1)
    p = np.zeros(samples)
    published, chain_rule = 0.0, 0.0  # the largest g_hat of a corner
    for corner in row.corners:
        way = corner - row.identity
        length = float(np.linalg.norm(way))
        steepest = np.zeros(steps + 1)
        for i, time in enumerate(times):
            eta = scores(row, row.identity + time * way, way / length, samples, rng)
            bound = np.cumsum(np.sort(eta - eta.mean())[::-1]) / samples
            steepest[i] = bound.max()
            p = np.maximum(p, bound / bound.max())
        published = max(published, float(trapezoid(steepest * times * length, times)))  # |beta(t) - beta_0|
        chain_rule = max(chain_rule, float(trapezoid(steepest * length, times)))  # |beta'(t)|
    half = samples // 2
    missing = np.cumsum(1 / p[half - 1 :: -1]) / samples  # xi(1/2) - xi(u) at falling u
    u = np.arange(half)[::-1] / samples
    return tuple(1 - float(np.interp(g_hat, missing, u, right=0.0)) for g_hat in (published, chain_rule))  # type: ignore[return-value]


# %% [markdown]
# ## The table
#
# `*` marks a procedure that asks for less than `exact`: it certifies what is false. Numbers are rounded up. The
# second column is the published procedure with the chain rule put right, sampled as the first is, without a band for
# the sampling: it shows that the one factor was all. `path` takes the bound at each probability and time as it is,
# not as a product p(h) g(beta).

# %%
HEADER = ("attacks", "published", "published, chain rule", "path", "exact")


@dataclass(frozen=True)
class Required:
    """What each procedure asks for."""

    published: float
    chain_rule: float
    path: float
    exact: float


def required(row: Row) -> Required:
    """The row of the table, computed."""
    return Required(
        *required_by_sampling(row),
        row.smoothing("path").p_star(row.attack),
        row.smoothing("exact").p_star(row.attack),
    )


def rounded_up(p: float, digits: int) -> str:
    """A probability that is asked for, on the safe side."""
    return f"{math.ceil(p * 10**digits - 1e-6) / 10**digits:.{digits}f}"


def cells(row: Row, asked: Required) -> tuple[str, ...]:
    """The row of the table, as text."""
    mark = "*" if asked.published < asked.exact else ""
    sampled = (rounded_up(asked.published, 4) + mark, rounded_up(asked.chain_rule, 4))
    return (row.title, *sampled, rounded_up(asked.path, 5), rounded_up(asked.exact, 5))


def print_row(texts: tuple[str, ...]) -> None:
    """A line of a Markdown table."""
    print(f"| {' | '.join(texts)} |", flush=True)


if __name__ == "__main__":
    print_row(HEADER)
    print_row(("---",) * len(HEADER))
    for table_row in ROWS:
        print_row(cells(table_row, required(table_row)))

# %% [markdown]
# ## The counter-example
#
# Brightness with law N(0, .3^2), and a classifier that asks whether the mean of the image lies above a threshold, put
# so that its class has probability .76 at the input. For brightness .4 the published procedure asks for less, so it
# certifies -.4 .. .4. Votes at the input darkened by .4, counted by the package as any other votes are, say
# otherwise.

# %%
COUNTER_EXAMPLE = Row("brightness ±.4", (Brightness(0.3),), ((-0.4, 0.4),), ((additive, 1),))
PROBABILITY = 0.76


def counter_example(n: int = 100_000, key: int = SEED) -> tuple[Certificate, Certificate]:
    """Certificates of the same classifier at the input, and at the input with brightness -.4."""
    (brightness,) = COUNTER_EXAMPLE.parts
    x = np.random.default_rng(SEED).uniform(0.2, 0.8, (8, 8)).astype(np.float32)
    threshold = float(x.mean()) - brightness.scale * float(ndtri(PROBABILITY))

    def above(batch: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.asarray(batch.mean(axis=(1, 2)) > threshold, np.int64)

    classifier = CallableClassifier(above)
    darker = x - np.float32(0.4)
    return tuple(certify(classifier, brightness, image, n=n, key=key) for image in (x, darker))  # type: ignore[return-value]


def share(certificate: Certificate, label: int) -> float:
    """Share of the votes for a class."""
    votes = certificate.evidence.estimation
    return votes.get(label, 0) / sum(votes.values())


def print_counter_example() -> None:
    """What is asked for, what there is, and what becomes of it."""
    asked = required(COUNTER_EXAMPLE)
    clean, dark = counter_example()
    print(f"brightness ±.4, law N(0, .3^2): published asks for {rounded_up(asked.published, 4)},", end=" ")
    print(f"path for {rounded_up(asked.path, 5)}, exact for {rounded_up(asked.exact, 5)}")
    print(f"at the input          class {clean.prediction}, votes for class 1 {share(clean, 1):.4f},", end=" ")
    print(f"p_lower {clean.p_lower:.4f}, exact radius {clean.radius:.4f}")
    verdict = "certifies" if clean.p_lower > asked.published else "does not certify"
    print(f"published             {verdict} ±.4, for {clean.p_lower:.4f} against {rounded_up(asked.published, 4)}")
    print(f"at brightness -.4     class {dark.prediction}, votes for class 1 {share(dark, 1):.4f}", end=" ")
    print(f"(in closed form {ndtr(ndtri(PROBABILITY) - 0.4 / 0.3):.4f})")


if __name__ == "__main__":
    print()
    print_counter_example()
