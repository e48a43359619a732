"""The closed table of pairs: every list of parts is refused, or composes on the code that runs and has its price.

Oracles: the rules of theory.md by hand; the exchange of attack and draw in double precision; log ratios of the composed
parameters by scipy.stats and the determinant of the composition, without the package's joint laws.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from smoothcert import (
    Attack,
    Blur,
    Brightness,
    Contrast,
    Gamma,
    Hue,
    Noise,
    Rotation,
    Saturation,
    Scaling,
    Shear,
    Translation,
    compose,
)
from smoothcert.bounds.laws import LogNormal, LogRayleigh, Normal
from smoothcert.errors import ArgumentError
from smoothcert.smoothing import TRANSFORMS, Calibrated, Part, Transform, pairs
from smoothcert.smoothing.color import Brighten
from smoothcert.smoothing.transform import Image, Kind

from .sampled import sampled_threshold
from .test_calibrated import measured
from .test_resolvability import attacked_then_smoothed

Array = NDArray[np.float64]
BORDERS = ("reflect101", "reflect", "wrap")
KNOWN: dict[str, Part] = {
    "brightness": Brightness(0.3),
    "contrast 0": Contrast(0.5),
    "contrast mid": Contrast(0.5, about="mid"),
    "gamma": Gamma(0.4),
    "gamma rayleigh": Gamma(0.4, law="rayleigh"),
    **{f"blur {border}": Blur(1.5, border=border) for border in BORDERS},
    "translation": Translation(2.0),
    "hue": Hue(20.0),
    "saturation": Saturation(0.3),
    "noise": Noise(0.4),
}
ROUGH: dict[str, Part] = {
    "rotation": Rotation(5.0),
    "scaling": Scaling(0.1),
    "shear": Shear(0.1),
    "saturation mean": Saturation(0.3, luma="mean"),
    "translation black": Translation(2.0, border="black"),
    "translation bilinear": Translation(2.0, interpolation="bilinear"),
}


@dataclass(frozen=True)
class Turn(Transform):
    """What the attackers of `Tint` do: their form is in no table either."""

    name: ClassVar[str] = "tint"
    unit: ClassVar[str] = "degrees"
    kind: ClassVar[Kind] = "additive"
    identity: ClassVar[Any] = 0.0
    help: ClassVar[str] = "colours turned"

    def apply(self, image: Image, value: Any) -> Image:
        return image.copy()


@dataclass(frozen=True)
class Amplify(Turn):
    """What the attackers of `Amplification` do."""

    name: ClassVar[str] = "amplification"
    unit: ClassVar[str] = "factor"
    kind: ClassVar[Kind] = "factor"
    identity: ClassVar[Any] = 1.0


@dataclass(frozen=True)
class Tint(Part):
    """A part that no table has heard of: it turns colours, says that it composes alone, and commutes with little."""

    transforms: ClassVar[type[Transform]] = Turn
    laws: ClassVar[Any] = {"normal": Normal}
    composes: ClassVar[bool] = True
    scale: float
    law: str = "normal"


@dataclass(frozen=True)
class Amplification(Part):
    """A part that makes vectors longer, and has no word on it."""

    transforms: ClassVar[type[Transform]] = Amplify
    laws: ClassVar[Any] = {"lognormal": LogNormal}
    composes: ClassVar[bool] = True
    scale: float
    law: str = "lognormal"


class PerColour(Contrast):
    """A contrast of another kind, which inherits the name of one that the table knows."""


@dataclass(frozen=True)
class Washed(Brightness):
    """A brightness with an option that the table does not know."""

    transforms: ClassVar[type[Transform]] = Brighten
    scale: float
    law: str = "normal"
    dark: str = "no"


STRANGE: dict[str, Part] = {
    "tint": Tint(10.0),
    "amplification": Amplification(0.5),
    "an heir": PerColour(0.5),
    "an option": Washed(0.3),
}
EVERY = KNOWN | ROUGH | STRANGE
LISTS = [names for size in (1, 2, 3, 4) for names in itertools.permutations(EVERY, size)]


def composes(names: Sequence[str]) -> bool:
    """The rules of theory.md, section 3, by hand."""
    words = [name.split()[0] for name in names]
    have = set(words)
    return (
        have <= {"brightness", "contrast", "gamma", "blur", "translation", "hue", "saturation", "noise"}
        and len(have) == len(words)
        and not {"translation black", "translation bilinear"} & {*names}
        and "noise" not in words[:-1]
        and not ("gamma" in have and have & {"brightness", "blur", "hue", "saturation"})
        and not {"hue", "saturation mean"} <= {*names}
        and not {"gamma", "contrast mid"} <= {"gamma" if n.startswith("gamma") else n for n in names}
        and not ("translation" in have and {"blur reflect", "blur reflect101"} & {*names})
    )


COMPOSING = [names for names in LISTS if composes(names)]


@pytest.mark.slow
def test_every_list_is_in_the_table_or_refused() -> None:
    """All ordered lists of up to four of 22 parts, with their options: 185,284 of them."""
    assert len(LISTS) == sum(math.perm(len(EVERY), size) for size in (1, 2, 3, 4)) == 185_284
    found = []
    for names in LISTS:
        parts = tuple(EVERY[name] for name in names)
        try:
            joint = pairs.joint_laws.__wrapped__(parts)
        except ArgumentError as error:
            assert "\n" not in str(error)  # noqa: PT017
            continue
        assert set(joint.laws) == {part.name for part in parts}
        found.append(names)
    alone = [(name,) for name in ("tint", "amplification", "an heir", "an option")]
    assert [names for names in found if names not in alone] == COMPOSING
    assert len(COMPOSING) == 2169


@pytest.mark.parametrize("strange", STRANGE)
def test_a_part_that_the_table_has_never_heard_of_composes_with_nothing(strange: str) -> None:
    """At every place, beside every part; behind it, and ahead of it, noise is no exception."""
    for other in KNOWN.values():
        for parts in ([STRANGE[strange], other], [other, STRANGE[strange]]):
            with pytest.raises(ArgumentError, match=r"no theorem for .*(does not compose with|each part once)"):
                compose(*parts)
    for names in COMPOSING:
        parts = [EVERY[name] for name in names]
        if len(parts) < 4 and STRANGE[strange].name not in {part.name for part in parts}:
            for place in range(len(parts) + 1):
                with pytest.raises(ArgumentError, match="no theorem"):
                    compose(*parts[:place], STRANGE[strange], *parts[place:])


def test_new_parts_compose_with_nothing_until_they_say_so() -> None:
    """A part says that it composes alone; and by how much it lengthens vectors, or no attack on noise passes it."""
    assert not Part.composes
    assert (
        KNOWN["gamma"].stretch
        is KNOWN["saturation"].stretch
        is KNOWN["contrast 0"].stretch
        is STRANGE["tint"].stretch
        is None
    )
    assert [KNOWN[f"blur {border}"].stretch for border in BORDERS] == [1.13, 1.0, 1.0]


def test_an_unknown_part_ahead_of_attacked_noise_has_no_theorem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the table has its pair with the noise: by how much it lengthens an attack it must say itself."""
    monkeypatch.setattr(pairs, "TABLE", {**pairs.TABLE, ("amplification", "noise"): "carries"})
    smoothing = compose(STRANGE["amplification"], Noise(0.4))
    assert smoothing.p_star({"amplification": 1.2}) < 1
    with pytest.raises(ArgumentError, match="no theorem for an attack on noise behind amplification"):
        smoothing.p_star({"noise": 0.1})
    pairs.joint_laws.cache_clear()


def test_two_groups_have_no_theorem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs suffice where one at most is a scale and a shift; a table that had more would not be believed."""
    more = {("tint", "amplification"): "shift first", ("tint", "contrast about=0"): "commute"}
    more |= {("tint", "brightness"): "commute", ("amplification", "contrast about=0"): "commute"}
    monkeypatch.setattr(pairs, "TABLE", {**pairs.TABLE, **more, ("amplification", "brightness"): "commute"})
    with pytest.raises(ArgumentError, match="more than one pair of a scale and a shift"):
        compose(STRANGE["tint"], STRANGE["amplification"], Contrast(0.5), Brightness(0.3))
    pairs.joint_laws.cache_clear()


@pytest.mark.parametrize("strange", STRANGE)
def test_no_calibration_helps_a_part_that_the_table_of_parts_lacks(strange: str) -> None:
    part = STRANGE[strange]
    if part.name not in TRANSFORMS:  # those act as their names say, and are measured as they act
        with pytest.raises(ArgumentError, match=f"attack: expected a parameter of noise, .*, got {part.name}$"):
            Calibrated((part, Noise(0.3)), calibration=measured((part,), {part.name: 1.0}, ()))


# --- What composes: on the code that runs -----------------------------------------------------------------------------

COLOURED = {"hue", "saturation", "saturation mean"}
FORMS = [n for n in COMPOSING if "gamma rayleigh" not in n and (len(n) < 4 or not COLOURED & {*n})]
FORMS = [n for n in FORMS if "saturation mean" not in n]  # the oracle has BT.601 alone: see test_chroma for others
FORMS += [n for n in itertools.permutations(KNOWN, 5) if composes(n) and not COLOURED & {*n}]


def test_attack_then_smoothing_is_one_smoothing_for_every_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """All lists of up to five parts that compose, by their options, each at two random attacks and draws."""
    rng = np.random.default_rng(11)
    assert len(FORMS) == 611
    for names in FORMS:
        attacked_then_smoothed([EVERY[name] for name in names], rng, 2, monkeypatch)


# --- And their price --------------------------------------------------------------------------------------------------

LAWS: dict[tuple[str, str], Callable[[float], Any]] = {  # in the coordinate where attacks add up
    ("blur", "exponential"): lambda s: stats.expon(scale=s),
    ("blur", "uniform"): lambda s: stats.uniform(0, s),
    ("blur", "folded-normal"): lambda s: stats.halfnorm(scale=s),
    ("blur", "rayleigh"): lambda s: stats.rayleigh(scale=s),
}


def log_density(part: Part, y: Array) -> Array:
    """Of the part's coordinate, by scipy.stats."""
    if isinstance(part.line, LogRayleigh):  # of the logarithm of a Rayleigh exponent
        return np.asarray(stats.rayleigh(scale=part.scale).logpdf(np.exp(y)) + y)
    law = LAWS.get((part.name, part.law), lambda s: stats.norm(0, s))
    return np.asarray(law(part.scale).logpdf(y))


def draws(part: Part, rng: np.random.Generator, n: int) -> Array:
    if isinstance(part.line, LogRayleigh):
        return np.log(rng.rayleigh(part.scale, n))
    law = LAWS.get((part.name, part.law), lambda s: stats.norm(0, s))
    return np.asarray(law(part.scale).rvs(n, random_state=rng))


def group_of(names: Sequence[str]) -> tuple[str, str] | None:
    """Scale and shift."""
    return next((g for g in (("contrast", "brightness"), ("gamma", "contrast")) if {*g} <= {*names}), None)


def log_ratio(parts: Sequence[Part], attack: dict[str, float], rng: np.random.Generator, n: int, there: bool) -> Array:
    """n draws of log dP1/dP0 of the composed parameters, under P1 or P0, by the change of variables."""
    names = [part.name for part in parts]
    a = {part.name: attack.get(part.name, 0.0) for part in parts}
    group, mixed = group_of(names), [part for part in parts if not isinstance(part, Noise)]
    drawn = {part.name: draws(part, rng, n) for part in mixed}
    z, log_p1 = dict(drawn), np.zeros(n)
    own = dict(drawn)  # the draws that would lead to z under the attack
    for part in mixed:
        if there:
            z[part.name] = drawn[part.name] + a[part.name]
        own[part.name] = z[part.name] - a[part.name]
    if group:
        scale, shift = group
        if names.index(scale) < names.index(shift):
            if there:
                z[shift] = np.exp(drawn[scale]) * a[shift] + drawn[shift]
            own[shift] = z[shift] - np.exp(own[scale]) * a[shift]
        else:
            if there:
                z[shift] = a[shift] + drawn[shift] * math.exp(-a[scale])
            own[shift] = (z[shift] - a[shift]) * math.exp(a[scale])
            log_p1 = log_p1 + a[scale]
    for part in mixed:
        log_p1 = log_p1 + log_density(part, own[part.name])
    with np.errstate(invalid="ignore"):
        total = log_p1 - sum((log_density(part, z[part.name]) for part in mixed), np.zeros(n))
    if "noise" in names:
        stretched = 1.13 if any(isinstance(part, Blur) and part.border == "reflect101" for part in parts) else 1.0
        stretched *= 1.7428 if "hue" in names else 1.0  # the largest singular value of a turn of BT.601's chroma plane
        length = a["noise"] / parts[-1].scale * stretched
        distance = length * (np.exp(own["contrast"]) if "contrast" in names else 1.0)
        w = rng.standard_normal(n) + (distance if there else 0.0)
        total = total + distance * w - distance**2 / 2
    return np.asarray(total + 1e-9 * rng.uniform(size=n))


def attack_on(parts: Sequence[Part], rng: np.random.Generator) -> dict[str, float]:
    """In coordinates: each parameter, or not, by a fraction of a standard deviation to about one."""
    bent = bool({"gamma", "saturation"} & {part.name for part in parts})
    found = {}
    for part in parts:
        if rng.random() < 0.8 and not (bent and isinstance(part, Noise)):
            size = rng.uniform(0.2, 0.9) * (1.0 if isinstance(part.line, LogRayleigh) else part.scale)
            found[part.name] = size * (rng.choice([-1, 1]) if part.signed else 1)
    return found or {parts[0].name: 0.3 * parts[0].scale}


def priced(parts: Sequence[Part], attack: dict[str, float], rng: np.random.Generator, n: int) -> tuple[float, float]:
    return sampled_threshold(lambda m, there: log_ratio(parts, attack, rng, m, there), n, 1e-7)


def test_the_price_check_sees_a_pair_that_is_priced_as_independent() -> None:
    """What the search below would find: in either order, and with noise that a contrast magnifies."""
    rng = np.random.default_rng(3)
    for parts, attack in [
        ((Contrast(1.0), Brightness(0.3)), {"contrast": 0.0, "brightness": 0.3}),
        ((Brightness(0.3), Contrast(1.0)), {"contrast": 1.0, "brightness": 0.3}),
        ((Gamma(1.0), Contrast(0.5)), {"gamma": 0.0, "contrast": 0.5}),
        ((Contrast(1.0), Noise(0.4)), {"contrast": 0.0, "noise": 0.4}),
    ]:
        low, _ = priced(parts, attack, rng, 40_000)
        moved = math.hypot(*(size / part.scale for part in parts for size in [attack[part.name]]))
        assert stats.norm.cdf(moved) < low


def check(lists: Sequence[Sequence[str]], rng: np.random.Generator, n: int) -> int:
    """The p_star of random attacks on smoothings with random laws, against draws of the log ratio."""
    for names in lists:
        parts = [EVERY[name] for name in names]
        laws = ["exponential", "uniform", "folded-normal", "rayleigh"]
        parts = [Blur(1.5, str(rng.choice(laws)), p.border) if isinstance(p, Blur) else p for p in parts]
        attack = attack_on(parts, rng)
        smoothing = compose(*parts)
        values = {part.name: part.value(attack[part.name]) for part in parts if part.name in attack}
        p_star = smoothing.p_star(Attack.of(values))
        low, high = priced(parts, attack, rng, n)
        assert low <= p_star <= high, (names, attack, low, p_star, high)
    return len(lists)


def test_lists_have_the_price_of_their_composed_parameters() -> None:
    rng = np.random.default_rng(5)
    chosen = [COMPOSING[i] for i in rng.choice(len(COMPOSING), 15, replace=False)]
    assert check(chosen, rng, 10_000) == 15


@pytest.mark.slow
def test_every_list_has_the_price_of_its_composed_parameters() -> None:
    """All of them without colours, and 300 at random with."""
    rng = np.random.default_rng(6)
    plain, coloured = ([n for n in COMPOSING if bool(COLOURED & {*n}) == has] for has in (False, True))
    chosen = [*plain, *(coloured[i] for i in rng.choice(len(coloured), 300, replace=False))]
    assert check(chosen, rng, 20_000) == len(chosen) == 599
