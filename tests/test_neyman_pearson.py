"""p_star of every part, law and composition. Oracles: docs/theory.md's values and closed forms, scipy.stats, and draws.

The draws are written from the definition alone: natural parameters, composed by hand (`Oracle.composed`), densities of
scipy.stats, the defender's old parameters and a Jacobian solved by hand (`Oracle.log_density`). Nothing of
`smoothcert.bounds.joint_laws`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, optimize, stats

from smoothcert import Blur, Brightness, Contrast, Gamma, Noise, Translation, compose
from smoothcert.bounds.cover import line_threshold, line_worst
from smoothcert.bounds.joint_laws import JointLaws
from smoothcert.bounds.laws import Exponential, FoldedNormal, Law, LogNormal, LogRayleigh, Normal, Rayleigh, Uniform
from smoothcert.bounds.neyman_pearson import path_threshold, threshold, worst
from smoothcert.smoothing import Part, Smoothing
from smoothcert.smoothing.pairs import joint_laws

from .marks import slow_but
from .sampled import p_star_sampled, sampled_threshold

QUICK = (
    "test_values_of_the_theory",
    "test_gaussian_parts_add_their_squares",
    "test_runner_up_helps",
)

Array = NDArray[np.float64]

# --- Laws -------------------------------------------------------------------------------------------------------------

LAWS: dict[str, tuple[type[Any], Callable[[float], Any], bool]] = {  # scipy's law, and whether ours is of its logarithm
    "normal": (Normal, lambda s: stats.norm(0, s), False),
    "lognormal": (LogNormal, lambda s: stats.lognorm(s), True),
    "log-rayleigh": (LogRayleigh, lambda s: stats.rayleigh(0, s), True),
    "exponential": (Exponential, lambda s: stats.expon(0, s), False),
    "uniform": (Uniform, lambda s: stats.uniform(0, s), False),
    "folded-normal": (FoldedNormal, lambda s: stats.halfnorm(0, s), False),
    "rayleigh": (Rayleigh, lambda s: stats.rayleigh(0, s), False),
}
P = np.array([1e-12, 1e-6, 1e-3, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999, 1 - 1e-6])


@pytest.mark.parametrize("scale", [1e-3, 0.4, 1.0, 30.0])
@pytest.mark.parametrize("name", LAWS)
def test_laws_against_scipy(name: str, scale: float) -> None:
    """cdf, sf, ppf, isf and pdf, in both tails."""
    ours, theirs, logarithm = LAWS[name]
    law, oracle = ours(scale), theirs(scale)
    into: Callable[[Any], Any] = np.log if logarithm else np.asarray
    jacobian: Callable[[Any], Any] = np.exp if logarithm else np.ones_like
    out: Callable[[Any], Any] = np.exp if logarithm else np.asarray
    np.testing.assert_allclose(law.ppf(P), into(oracle.ppf(P)), rtol=2e-10, atol=1e-12 * scale)
    np.testing.assert_allclose(law.isf(P), into(oracle.isf(P)), rtol=2e-10, atol=1e-12 * scale)
    y = np.concatenate([into(oracle.ppf(P)), into(oracle.isf(P))])
    np.testing.assert_allclose(law.cdf(y), oracle.cdf(out(y)), rtol=1e-9, atol=3e-16)
    np.testing.assert_allclose(law.sf(y), oracle.sf(out(y)), rtol=1e-9, atol=3e-16)
    np.testing.assert_allclose(law.pdf(y), oracle.pdf(out(y)) * jacobian(y), rtol=1e-9)


@pytest.mark.parametrize("name", LAWS)
def test_laws_off_their_support(name: str) -> None:
    ours, _, logarithm = LAWS[name]
    law: Law = ours(1.0)
    if logarithm or name == "normal":
        assert law.cdf(-800.0) == 0
        assert law.sf(-800.0) == 1
        return
    y = np.array([-3.0, -1e-9])
    assert (law.pdf(y) == 0).all()
    assert (law.cdf(y) == 0).all()
    assert (law.sf(y) == 1).all()
    if name == "uniform":
        assert law.cdf(1.5) == 1
        assert law.pdf(np.array([1.5])) == 0


@pytest.mark.parametrize("scale", [0.3, 2.0])
@pytest.mark.parametrize("name", LAWS)
def test_scores_against_numerical_derivatives(name: str, scale: float) -> None:
    law = LAWS[name][0](scale)
    y = np.linspace(law.ppf(1e-4), law.isf(1e-4), 60)[1:-1]
    h = 1e-6 * scale
    numerical = (np.log(law.pdf(y - h)) - np.log(law.pdf(y + h))) / (2 * h)
    np.testing.assert_allclose(law.score(y), numerical, rtol=1e-6, atol=1e-6 / scale)


@pytest.mark.parametrize("name", LAWS)
def test_densities_are_log_concave(name: str) -> None:
    """What `line_threshold` and the corners of boxes rest on: the score grows."""
    law = LAWS[name][0](0.7)
    assert (np.diff(law.score(np.linspace(law.ppf(1e-9), law.isf(1e-9), 2000))) >= -1e-12).all()


# --- The oracle -------------------------------------------------------------------------------------------------------

IDENTITY = {"contrast": 1.0, "gamma": 1.0}
NATURAL: dict[tuple[str, str], Callable[[float], Any]] = {
    ("contrast", "lognormal"): stats.lognorm,
    ("gamma", "lognormal"): stats.lognorm,
    ("gamma", "rayleigh"): lambda s: stats.rayleigh(0, s),
    ("blur", "exponential"): lambda s: stats.expon(0, s),
    ("blur", "uniform"): lambda s: stats.uniform(0, s),
    ("blur", "folded-normal"): lambda s: stats.halfnorm(0, s),
    ("blur", "rayleigh"): lambda s: stats.rayleigh(0, s),
}


class Oracle:
    """Draws (scrambled Sobol, 2^m) of what a classifier may see at the input and at the attacked input.

    Pixel noise is one number, the noise along the attack's delta; a translation is two.
    """

    def __init__(self, smoothing: Smoothing, attack: dict[str, float], m: int = 16, seed: int = 0) -> None:
        self.order = [part.name for part in smoothing.parts]
        self.laws: dict[str, Any] = {}
        for part in smoothing.parts:
            law = NATURAL.get((part.name, part.law), lambda s: stats.norm(0, s))(part.scale)
            self.laws |= {"right": law, "down": law} if part.transforms.is_planar() else {part.name: law}
        values = dict(attack)
        distance = values.pop("translation", 0.0)
        values |= {"right": 0.6 * distance, "down": 0.8 * distance}
        self.identity = {name: IDENTITY.get(name, 0.0) for name in self.laws}
        self.attack = {name: values.get(name, self.identity[name]) for name in self.laws}
        at0, at1 = self._draws(m, seed), self.composed(self.attack, self._draws(m, seed + 1000))
        jitter = np.random.default_rng(seed).uniform(0, 1e-9, (2, 2**m))  # a coin that breaks ties
        with np.errstate(divide="ignore"):
            self.at0 = self.log_density(at0, self.attack) - self.log_density(at0, self.identity) + jitter[0]
            self.at1 = self.log_density(at1, self.attack) - self.log_density(at1, self.identity) + jitter[1]

    def _draws(self, m: int, seed: int) -> dict[str, Array]:
        u = stats.qmc.Sobol(len(self.laws), seed=seed).random_base2(m)
        u = np.clip(u, 1e-15, 1 - 1e-15)
        return {name: np.asarray(law.ppf(u[:, i])) for i, (name, law) in enumerate(self.laws.items())}

    def _first(self, one: str, other: str) -> bool:
        return self.order.index(one) < self.order.index(other)

    def composed(self, d: dict[str, Any], s: dict[str, Any]) -> dict[str, Any]:
        """The parameters of "attack d, then the defender's s"."""
        total = {name: d[name] + s[name] for name in s if name not in ("contrast", "gamma")}
        if "gamma" in s:
            total["gamma"] = d["gamma"] * s["gamma"]
            if "contrast" in s and self._first("gamma", "contrast"):  # c2 (c1 x^g1)^g2
                total["contrast"] = s["contrast"] * d["contrast"] ** s["gamma"]
            elif "contrast" in s:  # (c2 (c1 x)^g1)^g2
                total["contrast"] = d["contrast"] * s["contrast"] ** (1 / d["gamma"])
        elif "contrast" in s:
            total["contrast"] = d["contrast"] * s["contrast"]
            if "brightness" in s and self._first("contrast", "brightness"):  # c2 (c1 x + b1) + b2
                total["brightness"] = s["contrast"] * d["brightness"] + s["brightness"]
            elif "brightness" in s:  # c2 (c1 (x + b1) + b2)
                total["brightness"] = d["brightness"] + s["brightness"] / d["contrast"]
            if "noise" in s:  # the contrast multiplies delta
                total["noise"] = s["contrast"] * d["noise"] + s["noise"]
        return total

    def log_density(self, total: dict[str, Array], d: dict[str, float]) -> Array:
        """Of those parameters: the defender's that made them, and the logarithm of the Jacobian."""
        s = {name: total[name] - d[name] for name in total if name not in ("contrast", "gamma")}
        jacobian: Any = 0.0
        if "gamma" in total:
            g1, s["gamma"] = d["gamma"], total["gamma"] / d["gamma"]
            jacobian = -math.log(g1)
            if "contrast" in total and self._first("gamma", "contrast"):
                s["contrast"] = total["contrast"] / d["contrast"] ** s["gamma"]
                jacobian = jacobian - s["gamma"] * math.log(d["contrast"])
            elif "contrast" in total:
                ratio = total["contrast"] / d["contrast"]
                s["contrast"] = ratio**g1
                jacobian = jacobian + math.log(g1 / d["contrast"]) + (g1 - 1) * np.log(ratio)
        elif "contrast" in total:
            c1 = d["contrast"]
            s["contrast"] = total["contrast"] / c1
            jacobian = -math.log(c1)
            if "brightness" in total and self._first("contrast", "brightness"):
                s["brightness"] = total["brightness"] - s["contrast"] * d["brightness"]
            elif "brightness" in total:
                s["brightness"] = c1 * (total["brightness"] - d["brightness"])
                jacobian += math.log(c1)
            if "noise" in total:
                s["noise"] = total["noise"] - s["contrast"] * d["noise"]
        return np.asarray(sum(self.laws[name].logpdf(value) for name, value in s.items()) + jacobian)

    def left_by(self, p: float) -> float:
        """P1 of the classifier that has p at the input, and least under the attack: those of least likelihood ratio."""
        return float((self.at1 <= np.quantile(self.at0, p, method="lower")).mean())

    def p_star(self) -> float:
        """No classifier with more falls to 1/2: Lagrange's bound, at the multiplier that fits."""
        t = float(np.quantile(self.at1, 0.5, method="lower"))
        return min(1.0, 0.5 * math.exp(-t) - float(np.expm1(np.minimum(self.at0 - t, 0)).mean()))

    def least(self, p: float) -> float:
        """The least P1 of a classifier with p at the input, from the same bound."""
        t = float(np.quantile(self.at0, p, method="lower"))
        if t == -math.inf:
            return 0.0
        return max(0.0, math.exp(t) * (p + float(np.expm1(np.minimum(self.at0 - t, 0)).mean())))


def seen(order: list[str], s: dict[str, Any], x: Array) -> Array:
    """Pixels x, transformed in that order."""
    for name in order:
        if name == "gamma":
            x = x ** s["gamma"]
        elif name == "contrast":
            x = s["contrast"] * x
        else:
            x = x + s[name]
    return x


@pytest.mark.parametrize(
    "order",
    [
        ["contrast", "brightness", "noise"],
        ["brightness", "contrast", "noise"],
        ["gamma", "contrast"],
        ["contrast", "gamma"],
        ["contrast", "noise"],
    ],
    ids=" ".join,
)
def test_the_oracle_composes_as_pixels_do(order: list[str]) -> None:
    """One transformation after the other, and the one with the composed parameters, on pixels."""
    parts = {"contrast": Contrast(0.5), "brightness": Brightness(0.5), "noise": Noise(0.5), "gamma": Gamma(0.5)}
    d = {"contrast": 1.3, "brightness": 0.2, "noise": 0.3, "gamma": 0.7}
    oracle = Oracle(compose(*(parts[name] for name in order)), {name: d[name] for name in order}, m=4)
    x = np.linspace(0.1, 1, 7)
    s = {"contrast": 0.6, "brightness": -0.3, "noise": 0.11, "gamma": 1.9}
    both = seen(order, s, seen(order, d, x))
    total = oracle.composed(d, {name: s[name] for name in order})
    np.testing.assert_allclose(seen(order, total, x), both, rtol=1e-12)


# --- p_star: both sides -----------------------------------------------------------------------------------------------

BLURS = ("exponential", "uniform", "folded-normal", "rayleigh")
CASES: dict[str, tuple[Smoothing, dict[str, float]]] = {
    "noise": (compose(Noise(0.5)), {"noise": 0.4}),
    "brightness": (compose(Brightness(0.3)), {"brightness": -0.4}),
    "contrast": (compose(Contrast(0.3)), {"contrast": 0.8}),
    "gamma lognormal": (compose(Gamma(0.4)), {"gamma": 1.5}),
    "gamma rayleigh, up": (compose(Gamma(0.4, law="rayleigh")), {"gamma": 1.5}),
    "gamma rayleigh, down": (compose(Gamma(0.4, law="rayleigh")), {"gamma": 0.6}),
    "gamma rayleigh, far down": (compose(Gamma(2.0, law="rayleigh")), {"gamma": 0.1}),
    "translation": (compose(Translation(4.0)), {"translation": 3.0}),
    **{f"blur {law}": (compose(Blur(2.0, law=law)), {"blur": 0.6}) for law in BLURS},
    **{f"blur {law}, weak": (compose(Blur(2.0, law=law)), {"blur": 0.02}) for law in BLURS},
    "blur uniform near its end": (compose(Blur(2.0, law="uniform")), {"blur": 0.995}),
    "cb": (compose(Contrast(0.6), Brightness(0.6)), {"contrast": 1.4, "brightness": 0.4}),
    "cb, strong": (compose(Contrast(0.3), Brightness(0.2)), {"contrast": 0.6, "brightness": -0.3}),
    "cb, wide contrast": (compose(Contrast(2.5), Brightness(0.2)), {"contrast": 0.3, "brightness": 0.3}),
    "cb, contrast only": (compose(Contrast(0.3), Brightness(0.2)), {"contrast": 0.7}),
    "cb, brightness only": (compose(Contrast(0.3), Brightness(0.2)), {"brightness": 0.2}),
    "bc": (compose(Brightness(0.6), Contrast(0.6)), {"contrast": math.exp(0.4), "brightness": 0.4}),
    "bc, down": (compose(Brightness(0.2), Contrast(0.6)), {"contrast": 0.4, "brightness": -0.2}),
    "bc, far down": (compose(Brightness(0.134), Contrast(0.7)), {"contrast": 0.2, "brightness": -0.014}),
    "bc, contrast only": (compose(Brightness(0.6), Contrast(0.3)), {"contrast": 0.7}),
    "bc, brightness only": (compose(Brightness(0.3), Contrast(0.3)), {"brightness": 0.3}),
    "cb about mid": (compose(Contrast(0.5, about="mid"), Brightness(0.4)), {"contrast": 0.7, "brightness": 0.2}),
    "gc lognormal": (compose(Gamma(0.4), Contrast(0.5)), {"gamma": 0.8, "contrast": 1.5}),
    "gc rayleigh, up": (compose(Gamma(0.6, law="rayleigh"), Contrast(0.5)), {"gamma": 1.5, "contrast": 1.5}),
    "gc rayleigh, down": (compose(Gamma(0.6, law="rayleigh"), Contrast(0.5)), {"gamma": 0.6, "contrast": 0.8}),
    "gc rayleigh, narrow": (compose(Gamma(0.0653, law="rayleigh"), Contrast(0.273)), {"gamma": 2.42, "contrast": 1.02}),
    "cg lognormal": (compose(Contrast(0.5), Gamma(0.4)), {"gamma": 1.3, "contrast": 0.7}),
    "cg rayleigh, up": (compose(Contrast(1.316), Gamma(0.142, law="rayleigh")), {"gamma": 1.928, "contrast": 0.8855}),
    "cg rayleigh, down": (compose(Contrast(0.5), Gamma(0.6, law="rayleigh")), {"gamma": 0.7, "contrast": 1.3}),
    "cg rayleigh, gamma only": (compose(Contrast(0.5), Gamma(0.6, law="rayleigh")), {"gamma": 1.2}),
    "cn": (compose(Contrast(0.4), Noise(0.5)), {"contrast": 1.3, "noise": 0.4}),
    "cn, noise only": (compose(Contrast(0.8), Noise(0.5)), {"noise": 0.6}),
    "cn, contrast only": (compose(Contrast(0.4), Noise(0.5)), {"contrast": 0.6}),
    "cbn": (compose(Contrast(0.4), Brightness(0.3), Noise(0.5)), {"contrast": 1.3, "brightness": 0.2, "noise": 0.4}),
    "cbn, no noise attack": (compose(Contrast(0.4), Brightness(0.3), Noise(0.5)), {"contrast": 1.3, "brightness": 0.2}),
    "bcn": (compose(Brightness(0.3), Contrast(0.4), Noise(0.5)), {"contrast": 0.8, "brightness": 0.2, "noise": 0.4}),
    "bcn, shift and noise": (compose(Brightness(0.3), Contrast(0.4), Noise(0.5)), {"brightness": 0.2, "noise": 0.4}),
    "gn": (compose(Gamma(0.4, law="rayleigh"), Noise(0.5)), {"gamma": 1.4}),
    "tb": (compose(Translation(5.0), Brightness(0.3)), {"translation": 3.0, "brightness": 0.2}),
    "tn": (compose(Translation(5.0), Noise(0.3)), {"translation": 3.0, "noise": 0.2}),
    "tgc": (
        compose(Translation(5.0), Gamma(0.6, law="rayleigh"), Contrast(0.5)),
        {"translation": 3.0, "gamma": 1.3, "contrast": 0.8},
    ),
    "cgt": (
        compose(Contrast(0.5), Gamma(0.6, law="rayleigh"), Translation(5.0)),
        {"translation": 3.0, "gamma": 0.8, "contrast": 0.8},
    ),
    **{
        f"blur {law} c b": (
            compose(Blur(2.0, law=law), Contrast(0.5), Brightness(0.4)),
            {"blur": 0.3, "contrast": 0.8, "brightness": 0.1},
        )
        for law in BLURS
    },
    **{
        f"b blur {law} c": (
            compose(Brightness(0.4), Blur(2.0, law=law), Contrast(0.5)),
            {"blur": 0.3, "contrast": 1.3, "brightness": 0.1},
        )
        for law in BLURS
    },
    **{
        f"blur {law} noise": (compose(Blur(2.0, law, "reflect"), Noise(0.5)), {"blur": 0.3, "noise": 0.2})
        for law in BLURS
    },
    "t blur c": (compose(Translation(5.0), Blur(2.0, border="wrap"), Contrast(0.5)), {"translation": 2.0, "blur": 0.3}),
    "t blur c b n": (
        compose(Translation(5.0), Blur(2.0, "rayleigh", "wrap"), Contrast(0.5), Brightness(0.3), Noise(0.4)),
        {"translation": 2.0, "blur": 0.3, "contrast": 0.8, "brightness": 0.1, "noise": 0.1},
    ),
    "t blur b c n": (
        compose(Translation(5.0), Blur(2.0, "uniform", "wrap"), Brightness(0.3), Contrast(0.5), Noise(0.4)),
        {"translation": 2.0, "blur": 0.1, "contrast": 1.2, "brightness": -0.1, "noise": 0.1},
    ),
    "blur b c n, weak": (
        compose(Blur(2.0, "exponential", "wrap"), Brightness(0.3), Contrast(0.5), Noise(0.4)),
        {"blur": 0.1, "contrast": 1.1, "brightness": 0.05, "noise": 0.1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_p_star_from_both_sides(name: str) -> None:
    """Slightly under p_star the worst classifier falls; slightly above, none does: neither unsound nor weak."""
    smoothing, attack = CASES[name]
    p_star = smoothing.p_star(attack)
    oracle = Oracle(smoothing, attack, m=16)
    assert oracle.left_by(p_star - 0.004) < 0.5
    assert oracle.left_by(min(1.0, p_star + 0.004)) > 0.5
    assert p_star == pytest.approx(oracle.p_star(), abs=2.5e-4)


@pytest.mark.parametrize("name", CASES)
def test_sampled_bounds_hold_the_oracle(name: str) -> None:
    """`p_star_sampled` at delta = 1e-6 is a bound on both sides, and near."""
    smoothing, attack = CASES[name]
    low, high = p_star_sampled(smoothing, attack, n=40_000, delta=1e-6, seed=5)
    assert low - 2.5e-4 <= Oracle(smoothing, attack, m=15).p_star() <= high + 2.5e-4
    assert high - low < 0.25


def random_part(name: str, rng: np.random.Generator) -> Part:
    scale = float(np.exp(rng.uniform(np.log(0.1), 0)))
    if name == "blur":
        return Blur(4 * scale, str(rng.choice(BLURS)), "wrap")
    if name == "gamma":
        return Gamma(scale, law=str(rng.choice(["lognormal", "rayleigh"])))
    if name == "translation":
        return Translation(10 * scale)
    part: Part = {"brightness": Brightness, "contrast": Contrast, "noise": Noise}[name](scale)
    return part


def random_attack(part: Part, rng: np.random.Generator) -> float:
    away = float(rng.normal()) * (0.5 if isinstance(part.line, LogRayleigh) else part.scale)
    return part.value(away if part.signed else abs(away) * (0.4 if part.transforms.kind == "variance" else 1.0))


COMPOSITIONS = (
    "contrast brightness", "brightness contrast", "gamma contrast", "contrast gamma", "contrast noise",
    "contrast brightness noise", "brightness contrast noise", "blur contrast brightness", "blur brightness contrast",
    "blur contrast noise", "translation blur noise", "translation gamma contrast", "contrast gamma translation noise",
    "translation blur contrast brightness", "translation blur brightness contrast",
    "translation blur contrast brightness noise", "translation blur brightness contrast noise",
)  # fmt: skip


@pytest.mark.parametrize("names", COMPOSITIONS)
def test_p_star_of_random_compositions(names: str) -> None:
    """Eight random scales, laws and attacks each; never below the oracle, hardly above."""
    rng = np.random.default_rng(len(names))
    for seed in range(8):
        smoothing = compose(*(random_part(name, rng) for name in names.split()))
        attack = {
            p.name: random_attack(p, rng)
            for p in smoothing.parts
            if not (isinstance(p, Noise) and "gamma" in names) and rng.uniform() < 0.9
        }
        if attack:
            assert smoothing.p_star(attack) == pytest.approx(Oracle(smoothing, attack, 16, seed).p_star(), abs=3e-4)


# --- Values of docs/theory.md -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("smoothing", "attack", "expected"),
    [
        (compose(Contrast(0.6), Brightness(0.6)), {"brightness": 0.4}, 0.782934),
        (compose(Contrast(0.6), Brightness(0.6)), {"contrast": 1.4, "brightness": 0.4}, 0.831126),
        (compose(Contrast(0.6), Brightness(0.6)), {"contrast": 1.4, "brightness": -0.2}, 0.751427),
        (compose(Brightness(0.6), Contrast(0.6)), {"contrast": math.exp(0.4), "brightness": 0.4}, 0.84405),
        (compose(Brightness(0.3)), {"brightness": 0.4}, 0.908789),
        (compose(Gamma(1.0, law="rayleigh")), {"gamma": 2.0}, 0.9375),
        (compose(Gamma(1.0, law="rayleigh")), {"gamma": 0.5}, 0.840896),
    ],
    ids=["cb b", "cb", "cb minus", "bc", "brightness", "gamma 2", "gamma 1/2"],
)
def test_values_of_the_theory(smoothing: Smoothing, attack: dict[str, float], expected: float) -> None:
    assert smoothing.p_star(attack) == pytest.approx(expected, abs=6e-6)


def test_four_parts_of_the_theory() -> None:
    parts = Translation(30.0), Blur(2.0, "rayleigh", "wrap"), Brightness(0.8), Contrast(0.8)
    attack = {"translation": math.hypot(3, 3), "blur": 1.0, "brightness": 0.1, "contrast": 0.95}
    assert compose(*parts).p_star(attack) == pytest.approx(0.7665, abs=6e-5)


M = math.sqrt(2 * math.log(2))
CLOSED: dict[str, tuple[Part, Callable[[float], float]]] = {
    "noise": (Noise(0.3), lambda v: stats.norm.cdf(v / 0.3)),
    "brightness": (Brightness(0.3), lambda v: stats.norm.cdf(v / 0.3)),
    "translation": (Translation(3.0), lambda v: stats.norm.cdf(v / 3)),
    "blur exponential": (Blur(0.7), lambda v: 1 - math.exp(-v / 0.7) / 2),
    "blur uniform": (Blur(1.7, "uniform"), lambda v: min(1, 0.5 + v / 1.7)),
    "blur folded-normal": (Blur(0.7, "folded-normal"), lambda v: stats.halfnorm.cdf(v / 0.7 + stats.halfnorm.median())),
    "blur rayleigh": (Blur(0.7, "rayleigh"), lambda v: 1 - math.exp(-((v / 0.7 + M) ** 2) / 2)),
    "contrast": (Contrast(0.3), lambda v: stats.norm.cdf(math.log1p(v) / 0.3)),
    "gamma": (Gamma(0.3), lambda v: stats.norm.cdf(math.log1p(v) / 0.3)),
    "gamma rayleigh": (Gamma(0.3, "rayleigh"), lambda v: 1 - 2 ** (-((1 + v) ** 2))),
}  # fmt: skip


@pytest.mark.parametrize("v", [1e-9, 0.01, 0.3, 0.8, 3.0])
@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms(name: str, v: float) -> None:
    part, closed = CLOSED[name]
    shift = 1 + v if part.transforms.kind == "factor" else v
    assert compose(part).p_star({part.name: shift}) == pytest.approx(closed(v), abs=1e-12)


@pytest.mark.parametrize("g", [0.999, 0.8, 0.5, 0.1])
def test_closed_form_of_rayleigh_gamma_downwards(g: float) -> None:
    for scale in (1e-3, 1.0, 10.0):
        assert compose(Gamma(scale, "rayleigh")).p_star({"gamma": g}) == pytest.approx(2 ** -(g * g), abs=1e-12)


def test_gaussian_parts_add_their_squares() -> None:
    smoothing = compose(Translation(5.0), Brightness(0.3), Noise(0.4))
    distance = math.sqrt((3 / 5) ** 2 + (0.2 / 0.3) ** 2 + (0.5 / 0.4) ** 2)
    attack = {"translation": 3.0, "brightness": -0.2, "noise": 0.5}
    assert smoothing.p_star(attack) == pytest.approx(stats.norm.cdf(distance), abs=1e-6)


def test_affine_group_against_adaptive_quadrature() -> None:
    """Oracle: theory.md's one-dimensional integral by scipy.integrate.quad, its median by bisection."""
    for sc, sb, k, b in [(0.6, 0.6, 0.3, 0.4), (0.2, 0.3, -0.3, 0.2), (1.5, 0.1, 1.0, 0.05), (0.05, 0.5, 0.02, 0.6)]:

        def below(t: float, attacked: bool, sc: float = sc, sb: float = sb, k: float = k, b: float = b) -> float:
            def integrand(z: float) -> float:
                u = sc * z + (k if attacked else 0.0)
                s = abs(b) * math.exp(u - k) / sb
                mean = (k * u - k * k / 2) / sc**2 + (s * s / 2 if attacked else -s * s / 2)
                return float(stats.norm.pdf(z) * stats.norm.cdf((t - mean) / s))

            return float(integrate.quad(integrand, -9, 9, epsabs=1e-10, epsrel=1e-10, limit=200)[0])

        t = optimize.brentq(lambda t: below(t, True) - 0.5, -20, 60)
        ours = compose(Contrast(sc), Brightness(sb)).p_star({"contrast": math.exp(k), "brightness": b})
        assert ours == pytest.approx(below(t, False), abs=2e-6)


# --- The path guarantee -----------------------------------------------------------------------------------------------

SMOOTH = [  # five parts, and three axes, take minutes
    name
    for name, (s, _) in CASES.items()
    if all(part.line.smooth for part in s.parts) and len(s.parts) < 5 and "blur b c n" not in name
]


@pytest.mark.parametrize("name", SMOOTH)
def test_path_is_never_below_exact(name: str) -> None:
    """By itself, before `p_star` takes the larger of the two."""
    smoothing, attack = CASES[name]
    shift = {p.name: p.coordinate(attack[p.name]) for p in smoothing.parts if p.name in attack}
    joint = joint_laws(smoothing.parts)
    path = path_threshold(lambda time, r: joint.tilt({n: time * a for n, a in shift.items()}, shift, r))
    exact = Oracle(smoothing, attack).p_star()
    assert exact - 2.5e-4 <= path <= 1
    assert compose(*smoothing.parts, guarantee="path").p_star(attack) >= smoothing.p_star(attack)


def test_path_equals_exact_for_gaussian_shifts() -> None:
    for parts, attack in (
        ((Brightness(0.3),), {"brightness": 0.4}),
        ((Contrast(0.3), Translation(4.0)), {"contrast": 0.7, "translation": 3.0}),
        ((Brightness(0.3), Noise(0.5)), {"brightness": 0.4, "noise": 0.3}),
    ):
        assert compose(*parts, guarantee="path").p_star(attack) == pytest.approx(
            compose(*parts).p_star(attack), abs=1e-9
        )


@pytest.mark.parametrize("law", ["exponential", "uniform", "folded-normal"])
def test_path_refuses_laws_that_jump(law: str) -> None:
    with pytest.raises(ValueError, match="guarantee path: needs laws with a smooth density, got blur"):
        compose(Blur(2.0, law), guarantee="path")


# --- With a bound on the runner-up ------------------------------------------------------------------------------------

PAIRS = ((0.45, 0.1), (0.6, 0.05), (0.6, 0.3), (0.8, 0.02))
SLOW = ("bcn", "t blur b c n", "t blur c b n", "blur b c n, weak", "cg rayleigh, up", "cg rayleigh, down", "cgt")
TWO_SIDED = [name for name in CASES if name not in SLOW and not name.startswith("b blur")]

FEW = ("noise", "brightness", "gamma rayleigh, up", "translation", "cb", "bc", "gc lognormal", "cn", "tb")


@pytest.mark.parametrize("name", slow_but(TWO_SIDED, *FEW))
def test_two_sided_from_both_sides(name: str) -> None:
    """Attacks along a ray, weak to strong: kept while the oracle's margin is positive, lost when it is not."""
    smoothing, attack = CASES[name]
    parts = {part.name: part for part in smoothing.parts}
    for strength in (0.2, 0.6, 1.0):
        scaled = {n: parts[n].value(strength * parts[n].coordinate(v)) for n, v in attack.items()}
        oracle = Oracle(smoothing, scaled, m=14)
        for p_lower, p_upper in PAIRS:
            margin = oracle.least(p_lower) + oracle.least(1 - p_upper) - 1
            if abs(margin) > 0.004:
                assert smoothing.survives(scaled, p_lower, p_upper) == (margin > 0)


def test_runner_up_helps() -> None:
    smoothing, attack = CASES["cb"]
    assert not smoothing.survives(attack, 0.7, 0.3)
    assert smoothing.survives(attack, 0.7, 0.01)
    assert not smoothing.survives(attack, 0.7, 0.7)


@pytest.mark.parametrize("name", ["gamma rayleigh, up", "cb", "bc", "gc rayleigh, up", "tgc", "blur rayleigh c b"])
@pytest.mark.parametrize(("p_lower", "p_upper"), [(0.9, 0.0), (0.9, 1e-17), (0.9, 1e-12), (1.0, 0.0)])
def test_no_runner_up_at_all(name: str, p_lower: float, p_upper: float) -> None:
    """The weaker the runner-up, the more survives: never an error, never less than with 1 %."""
    smoothing, attack = CASES[name]
    assert smoothing.survives(attack, p_lower, p_upper) >= smoothing.survives(attack, p_lower, 0.01)


ONE_PART = {f"{p.name} {p.law}": p for p in (
    Noise(0.3), Brightness(0.3), Translation(3.0), Contrast(0.3), Gamma(0.3), Gamma(0.6, "rayleigh"),
    *(Blur(2.0, law) for law in BLURS),
)}  # fmt: skip


@pytest.mark.parametrize("p", [0.5 + 1e-9, 0.51, 0.7, 0.9, 0.999, 0.999930924833])
@pytest.mark.parametrize("name", ONE_PART)
def test_sides_invert_p_star(name: str, p: float) -> None:
    """Kept at the end, not a billionth beyond it; on both sides."""
    part = ONE_PART[name]
    smoothing = compose(part)
    left, right = smoothing.sides(p)
    assert smoothing.radius(p) == (min(left, right) if part.signed else right)
    for end in (-left, right) if part.signed else (right,):
        assert smoothing.p_star({part.name: part.value(end)}) <= p + 2e-16
        beyond = end * (1 + 1e-6)
        assert smoothing.p_star({part.name: part.value(beyond)}) > p - 1e-15
        assert smoothing.p_star({part.name: part.value(beyond)}) == pytest.approx(p, abs=1e-5)
    if not part.signed:
        assert left == 0


@pytest.mark.parametrize(("p_lower", "p_upper"), [*PAIRS, (0.2, 0.1), (0.999, 1e-6), (0.35, 0.3499999)])
@pytest.mark.parametrize("name", ONE_PART)
def test_two_sided_sides_invert_survives(name: str, p_lower: float, p_upper: float) -> None:
    part = ONE_PART[name]
    smoothing = compose(part)
    left, right = smoothing.sides(p_lower, p_upper)
    for end in (-left, right) if part.signed else (right,):
        assert end != 0
        assert smoothing.survives({part.name: part.value(end * (1 - 1e-5))}, p_lower, p_upper) or abs(end) < 1e-4
        assert not smoothing.survives(
            {part.name: part.value(end * (1 + 1e-5) + math.copysign(1e-6, end))}, p_lower, p_upper
        )


@pytest.mark.parametrize(("p_lower", "p_upper"), PAIRS)
@pytest.mark.parametrize("name", ONE_PART)
def test_ball_of_the_radius_survives(name: str, p_lower: float, p_upper: float) -> None:
    """A set survives where each of its points does: what is least for the top class may not be worst for the other."""
    part = ONE_PART[name]
    smoothing = compose(part)
    assert smoothing.survives(smoothing.ball(smoothing.radius(p_lower, p_upper) * (1 - 1e-4)), p_lower, p_upper)
    ends = smoothing.interval(*smoothing.sides(p_lower, p_upper))
    if ends is not None:
        left, right = (part.coordinate(end) * (1 - 1e-4) for end in ends)
        assert smoothing.survives({part.name: (part.value(left), part.value(right))}, p_lower, p_upper)


@pytest.mark.parametrize("name", ONE_PART)
def test_sides_of_nearly_nothing_and_nearly_all(name: str) -> None:
    """Neighbouring floats, and certainty: a number, no warning."""
    part = ONE_PART[name]
    smoothing = compose(part)
    for p in (0.01, 0.1, 0.3, 0.4, 0.5):
        assert max(smoothing.sides(p, math.nextafter(p, 0))) < 1e-6
    for p_lower, p_upper in ((0.7, 0.0), (1.0, 0.0), (1 - 1e-16, 1e-16), (0.9, 1e-300)):
        assert min(smoothing.sides(p_lower, p_upper)[1:]) > 0
    assert smoothing.radius(1.0) > 0


@pytest.mark.parametrize("distance", [1e-9, 1e-4, 0.3])
@pytest.mark.parametrize("law", BLURS)
def test_a_blur_beyond_all_draws_beside_another_attack(law: str, distance: float) -> None:
    """Where the two laws have no point in common, no classifier is safe, whatever else is attacked."""
    smoothing = compose(Blur(0.7, law, "wrap"), Brightness(0.5))
    attack = {"blur": 30.0, "brightness": 0.5 * distance}
    assert smoothing.p_star(attack) > 1 - 1e-9
    assert not smoothing.survives(attack, 0.999, 0.001)
    assert not smoothing.survives({"blur": (0.0, 30.0), "brightness": (0.0, 0.5 * distance)}, 0.999, 0.0005)


# --- Sampled bounds, and the pair itself ------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [10, 1000, 100_000])
def test_sampled_bounds_where_all_ratios_are_equal(n: int) -> None:
    """Two equal laws: p_star is 1/2, whatever the draws."""
    low, high = sampled_threshold(lambda n, _: np.zeros(n), n, 0.001)
    assert low <= 0.5 <= high


def test_sampled_bounds_fail_as_seldom_as_promised() -> None:
    """400 runs at delta = .2 of a Gaussian shift; bands this crude fail less."""
    truth, failures = stats.norm.cdf(1.0), 0
    for seed in range(400):
        rng = np.random.default_rng(seed)

        def draw(n: int, attacked: bool, rng: np.random.Generator = rng) -> Array:
            return rng.standard_normal(n) + (0.5 if attacked else -0.5)

        low, high = sampled_threshold(draw, 500, 0.2)
        failures += not low <= truth <= high
    assert failures <= 0.2 * 400


@pytest.mark.parametrize("level", [1e-6, 0.01, 0.3, 0.5, 0.9, 0.999, 1 - 1e-7])
@pytest.mark.parametrize("name", ["cb", "bc", "gc rayleigh, up", "blur exponential c b"])
def test_threshold_and_worst_are_inverse(name: str, level: float) -> None:
    """threshold(worst(p)) is p, up to what is added for errors, at levels from nearly 0 to nearly 1."""
    smoothing, attack = CASES[name]
    shift = {p.name: p.coordinate(attack[p.name]) for p in smoothing.parts if p.name in attack}

    def build(resolution: int) -> Any:
        return joint_laws(smoothing.parts).pair(shift, resolution)

    p = threshold(build, level)
    assert level <= p <= 1
    if p < 1 - 1e-5:
        assert worst(build, p) == pytest.approx(level, abs=1e-5)
    assert 0 <= worst(build, level) <= level


@pytest.mark.parametrize("name", ["bc", "gc rayleigh, up", "cb"])
@pytest.mark.parametrize("p", [0.0, 1e-300, 1e-17, 1 - 1e-16, 1.0])
def test_worst_at_the_ends(name: str, p: float) -> None:
    smoothing, attack = CASES[name]
    shift = {n: part.coordinate(attack[n]) for part in smoothing.parts for n in [part.name]}
    least = worst(lambda resolution: joint_laws(smoothing.parts).pair(shift, resolution), p)
    assert 0 <= least <= p
    if p == 1:
        assert least > 0.999  # smooth laws on one support: what is certain stays certain


@pytest.mark.parametrize("distance", [1e-9, 1e-6, 1e-4])
@pytest.mark.parametrize(("law", "kind"), [("rayleigh", "gamma"), *((law, "blur") for law in BLURS)])
def test_quadrature_where_a_gaussian_term_hardly_blunts_the_kink(law: str, kind: str, distance: float) -> None:
    """Oracle: the closed form of the one law, which a second attack of next to no size can only worsen, and hardly."""
    for scale in (0.15, 0.7, 1.9):
        part = Gamma(scale, law) if kind == "gamma" else Blur(scale, law)
        for shift in (-1.4, -0.95, -0.25, 0.2, 0.35) if kind == "gamma" else (0.05 * scale, 0.2 * scale, 0.45 * scale):
            shifts = {"brightness": distance, part.name: shift}
            joint = JointLaws({"brightness": Normal(1.0), part.name: part.line})
            for level in (0.05, 0.5, 0.8):
                truth = line_threshold(part.line, shift, level)
                ours = threshold(lambda r, t=joint, s=shifts: t.pair(s, r), level)
                assert truth - 1e-9 <= ours <= truth + 2e-5 + distance
                least = line_worst(part.line, shift, level)
                ours = worst(lambda r, t=joint, s=shifts: t.pair(s, r), level)
                assert least - 2e-5 - distance * (1 + 1 / (1 - level)) <= ours <= least + 1e-9


# --- Attacks that are nothing, everything, or odd ---------------------------------------------------------------------

EVERY = {
    "cb": (Contrast(0.5), Brightness(0.5)),
    "bc": (Brightness(0.5), Contrast(0.5)),
    "gc": (Gamma(0.5, "rayleigh"), Contrast(0.5)),
    "cg": (Contrast(0.5), Gamma(0.5)),
    "cbn": (Contrast(0.5), Brightness(0.5), Noise(0.5)),
    "blur cb": (Blur(1.0, "rayleigh"), Contrast(0.5), Brightness(0.5)),
    "t blur n": (Translation(3.0), Blur(1.0, "uniform", "wrap"), Noise(0.5)),
}


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e-160, 1e-17, 1e-12, 1e-8])
@pytest.mark.parametrize("name", EVERY)
def test_attacks_that_are_nearly_nothing_need_one_half(name: str, size: float) -> None:
    parts = EVERY[name]
    for part, *rest in itertools.permutations(parts, len(parts)):
        del rest
        if isinstance(part, Noise) and "gamma" in name:
            continue
        p_star = compose(*parts).p_star({part.name: part.value(size)})
        assert 0.5 <= p_star <= 0.5 + 1e-6 + 2 * size / part.scale
    p_star = compose(*parts).p_star({part.name: part.value(size) for part in parts})
    assert 0.5 <= p_star <= 0.5 + 2e-6 + 10 * size


@pytest.mark.parametrize("size", [30.0, 1e3, 1e9, 1e160, 1e300])
@pytest.mark.parametrize("name", EVERY)
def test_attacks_beyond_all_need_one(name: str, size: float) -> None:
    """Of additive parameters and norms: p_star is 1, or within 1e-9 of it."""
    parts = EVERY[name]
    for part in parts:
        if part.transforms.kind != "factor":
            assert compose(*parts).p_star({part.name: size}) > 1 - 1e-6
            attack = {p.name: size if p.transforms.kind != "factor" else 1.3 for p in parts}
            assert compose(*parts).p_star(attack) > 1 - 1e-6


@pytest.mark.parametrize("factor", [1e-300, 1e-30, 1e-4, 1e4, 1e30, 1e300])
@pytest.mark.parametrize("name", ["cb", "bc", "gc", "cg", "cbn", "blur cb"])
def test_factors_beyond_all_need_one(name: str, factor: float) -> None:
    parts = EVERY[name]
    attack = {part.name: factor if part.transforms.kind == "factor" else 0.2 for part in parts}
    assert compose(*parts).p_star(attack) > 1 - 1e-6


@pytest.mark.parametrize("factor", np.exp(np.linspace(-3, 3, 25)).tolist())
def test_no_warning_over_the_factors(factor: float) -> None:
    """Densities of one law underflow where the other's do not: still a number, and never a warning."""
    for first, second, b in (
        (Gamma(0.5, "rayleigh"), Contrast(0.5), 1.2),
        (Brightness(0.134), Contrast(0.732), 0.014),
        (Brightness(0.5), Contrast(2.0), 1.0),
        (Contrast(2.0), Brightness(0.5), 1.0),
    ):
        scale, shift = (first, second) if first.transforms.kind == "factor" else (second, first)
        p_star = compose(first, second).p_star({scale.name: factor, shift.name: b})
        assert 0.5 < p_star <= 1


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1e-3, 3.0, 10.0])
def test_odd_scales_of_the_contrast(scale: float) -> None:
    """From a contrast that hardly varies, where the brightness decides, to the widest."""
    for parts in ((Contrast(scale), Brightness(0.5)), (Brightness(0.5), Contrast(scale))):
        smoothing = compose(*parts)
        brightness = smoothing.p_star({"brightness": 0.2})
        assert 0.5 < brightness <= smoothing.p_star({"brightness": 0.2, "contrast": 1.3}) + 1e-6 <= 1 + 1e-6
        if scale <= 1e-3:
            assert brightness == pytest.approx(stats.norm.cdf(0.4), abs=2e-6)


def test_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 look-ups of one attack, however it is written, integrate once; a recipe's smoothing shares it."""
    calls = 0
    pair = JointLaws.pair

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        return pair(self, *args, **kwargs)

    monkeypatch.setattr(JointLaws, "pair", counted)
    smoothing = compose(Contrast(0.612345), Brightness(0.6))
    smoothing.p_star({"contrast": 1.4, "brightness": 0.4})
    once = calls
    assert 0 < once < 20
    for _ in range(10_000):
        compose(Contrast(0.612345), Brightness(0.6)).p_star({"contrast": (1.4, 1.4), "brightness": 0.4})
    assert calls == once


@pytest.mark.parametrize("name", ["cg rayleigh, up", "cg rayleigh, down", "bcn", "t blur b c n", "blur rayleigh c b"])
def test_effort_for_one_attack(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes in all, at most five million: about a second on one core."""
    nodes = 0
    pair = JointLaws.pair

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal nodes
        made = pair(self, *args, **kwargs)
        nodes += len(made.p0)
        return made

    smoothing, attack = CASES[name]
    monkeypatch.setattr(JointLaws, "pair", counted)
    smoothing.p_star({n: v * (1 + 1e-12) for n, v in attack.items()})  # not what another test has computed
    assert nodes < 5_000_000


@pytest.mark.parametrize("law", ["exponential", "uniform", "folded-normal", "rayleigh"])
@pytest.mark.parametrize("scale", [16.0, 400.0])
def test_wide_blurs_compose(law: str, scale: float) -> None:
    """Variances are no logarithms: a wide law has no factor that could overflow. Between its parts' and their sum's."""
    blur, noise = Blur(scale, law), Noise(0.5)
    both = compose(blur, noise).p_star({"blur": scale / 4, "noise": 0.2 / 1.13})
    alone = compose(blur).p_star({"blur": scale / 4}), compose(noise).p_star({"noise": 0.2})
    assert max(alone) <= both <= sum(alone) - 0.5
