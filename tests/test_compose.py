"""`compose`, parts from text and from recipes.

Oracles: the rules of composition, a line each; scipy.stats.norm; singular values.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from typing import Any

import numpy as np
import pytest
import tomli_w
from scipy.stats import expon, halfnorm, norm, rayleigh, uniform

from smoothcert import (
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
    certify,
    compose,
)
from smoothcert.inputs.levels import EIGHT_BIT
from smoothcert.smoothing import PARTS, Part, Smoothing, parse_part, smoothing_of
from smoothcert.smoothing.pairs import joint_laws
from smoothcert.transforms import heat

EXAMPLES: dict[str, Part] = {
    "noise": Noise(0.4),
    "brightness": Brightness(0.3),
    "contrast": Contrast(0.5),
    "gamma": Gamma(0.4),
    "blur": Blur(3.0),
    "translation": Translation(2.0),
    "hue": Hue(20.0),
    "saturation": Saturation(0.5),
}
INEXACT: dict[str, Part] = {  # compose only up to an error
    "rotation": Rotation(5.0),
    "scaling": Scaling(0.1),
    "shear": Shear(0.1),
    "translation, black": Translation(2.0, border="black"),
    "translation, reflect101": Translation(2.0, border="reflect101"),
    "translation, bilinear": Translation(2.0, interpolation="bilinear"),
}
SMALL = {"noise": 0.1, "brightness": 0.1, "contrast": 1.1, "gamma": 1.1, "blur": 0.4, "translation": 1.0}
SMALL |= {"hue": 5.0, "saturation": 1.1}
LISTS = [names for size in (2, 3) for names in itertools.permutations(EXAMPLES, size)]


def in_the_way(names: tuple[str, ...], border: str = "reflect101") -> str:
    """What forbids the list, in words of the message: the rules of theory.md by hand; empty for none."""
    have, found = set(names), []
    if "noise" in names[:-1]:
        found.append("noise comes last, for no other part may depend on it")
    for other in have & {"brightness", "blur", "hue", "saturation"} if "gamma" in have else ():
        found += [f"gamma does not compose with {other}", f"{other} does not compose with gamma"]
    if have >= {"blur", "translation"} and border != "wrap":
        found.append(f"blur border={border}.*but .*blur border=wrap")
    return f"({'|'.join(found)}).*; supported: " if found else ""


def test_every_part_has_its_example() -> None:
    of_images = {name for name, its in PARTS.items() if EIGHT_BIT in its.transforms.acts_on}  # sound: test_sound.py
    assert EXAMPLES.keys() | INEXACT.keys() >= of_images >= EXAMPLES.keys() == SMALL.keys()
    assert all(PARTS[part.name] is type(part) for part in (*EXAMPLES.values(), *INEXACT.values()))
    assert all(part.name == name and part.composes for name, part in EXAMPLES.items())
    assert not any(part.composes for part in INEXACT.values())


@pytest.mark.parametrize("names", LISTS, ids="-".join)
def test_every_list_has_its_theorem_or_says_what_is_in_the_way(names: tuple[str, ...]) -> None:
    parts = [EXAMPLES[name] for name in names]
    if obstacle := in_the_way(names):
        with pytest.raises(ValueError, match=f"^compose: no theorem for {' then '.join(names)}: .*{obstacle}") as error:
            compose(*parts)
        assert "\n" not in str(error.value)
        return
    smoothing = compose(*parts)
    assert smoothing.parts == tuple(parts)
    assert set(joint_laws(smoothing.parts).laws) == set(names)
    for name in names:
        if name != "noise" or not {"gamma", "blur", "saturation"} & {*names}:
            assert 0.5 < smoothing.p_star({name: SMALL[name]}) < 0.8


@pytest.mark.parametrize("part", INEXACT.values(), ids=INEXACT)
def test_without_a_calibration_inexact_parts_are_refused(part: Part) -> None:
    """Alone or with others, at any place, with either guarantee: in a line that says what to do."""
    others = [other for name, other in EXAMPLES.items() if not isinstance(other, Noise) and name != part.name]
    lists = [[part], [part, Noise(0.3)], *([part, other, Noise(0.3)] for other in others)]
    lists += [[other, part, Noise(0.3)] for other in others]
    for parts, guarantee in itertools.product(lists, ("exact", "path")):
        with pytest.raises(ValueError, match=rf"{part.name}.*calibration.*smoothcert calibrate") as error:
            compose(*parts, guarantee=guarantee)  # type: ignore[arg-type]
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("part", INEXACT.values(), ids=INEXACT)
def test_inexact_parts_certify_nothing_on_their_own(part: Part) -> None:
    """A part is no smoothing: without `compose` too it draws no vote, and claims no radius that no theorem covers."""
    assert not isinstance(part, Smoothing)
    assert not {"p_star", "sides", "radius", "survives", "perturbation"} & {*dir(part)}
    with pytest.raises(ValueError, match="smoothcert calibrate"):
        certify(lambda batch: np.zeros(len(batch), int), part, np.zeros((8, 8), np.uint8), n=1000, key=1)


@pytest.mark.parametrize("names", [names for names in LISTS if {"blur", "translation"} <= {*names}], ids="-".join)
def test_a_cyclic_blur_composes_with_translation(names: tuple[str, ...]) -> None:
    parts = [Blur(3.0, border="wrap") if name == "blur" else EXAMPLES[name] for name in names]
    if obstacle := in_the_way(names, "wrap"):
        with pytest.raises(ValueError, match=obstacle):
            compose(*parts)
    else:
        assert compose(*parts).parts == tuple(parts)


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_part_once(name: str) -> None:
    part = EXAMPLES[name]
    assert compose(part).parts == (part,)
    assert compose(part) == compose(part)
    with pytest.raises(ValueError, match=f"no theorem for {name} then {name}: each part once"):
        compose(part, part)
    with pytest.raises(ValueError, match="each part once"):
        compose(part, EXAMPLES["contrast" if name != "contrast" else "brightness"], part)


@pytest.mark.parametrize("parts", [(Contrast(0.5, about="mid"), Gamma(0.3)), (Gamma(0.3), Contrast(0.5, about="mid"))])
def test_contrast_about_the_middle_does_not_compose_with_gamma(parts: tuple[Part, ...]) -> None:
    first, second = (part.form for part in parts)
    near = f"but {first} does with {second}".replace("mid", "0")
    with pytest.raises(ValueError, match=f"{first} does not compose with {second}, {near}"):
        compose(*parts)


def test_compose_wants_parts_and_a_guarantee_that_there_is() -> None:
    with pytest.raises(ValueError, match="at least one part of noise, brightness"):
        compose()
    with pytest.raises(ValueError, match="guarantee: expected exact or path, got 'lipschitz'"):
        compose(Noise(0.5), guarantee="lipschitz")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="smooth density, got blur with law exponential"):
        compose(Blur(2.0), Brightness(0.3), guarantee="path")
    assert compose(Blur(2.0, law="rayleigh"), Brightness(0.3), guarantee="path").guarantee == "path"


def test_no_attack_needs_one_half() -> None:
    """At the identity the top class needs its majority and nothing more, whatever the parts."""
    smoothing = compose(Contrast(0.5), Brightness(0.3), Noise(0.3))
    assert smoothing.p_star({"contrast": 1, "brightness": 0.0}) == pytest.approx(0.5, abs=1e-9)


@pytest.mark.parametrize(
    ("smoothing", "attack", "message"),
    [
        (compose(Gamma(0.3), Noise(0.3)), {"noise": 0.1}, "no theorem for an attack on noise behind gamma"),
        (compose(Contrast(0.3), Noise(0.3)), {"gamma": 1.1}, r"smoothed \('contrast', 'noise'\), got gamma"),
        (compose(Blur(2.0)), {"": 1.0}, r"smoothed \('blur'\), got "),
    ],
    ids=["noise behind gamma", "not smoothed", "no name"],
)  # fmt: skip
def test_attacks_without_a_theorem(smoothing: Smoothing, attack: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        smoothing.p_star(attack)


ALONE: dict[str, tuple[Part, Any]] = {  # the law that an attack shifts
    "brightness": (Brightness(0.3), norm(0, 0.3)),
    "contrast": (Contrast(0.4), norm(0, 0.4)),
    "gamma": (Gamma(0.3), norm(0, 0.3)),
    "gamma, rayleigh": (Gamma(0.3, "rayleigh"), None),
    "blur": (Blur(2.0), expon(scale=2.0)),
    "blur, uniform": (Blur(2.0, "uniform"), uniform(0, 2.0)),
    "blur, folded-normal": (Blur(2.0, "folded-normal"), halfnorm(scale=2.0)),
    "blur, rayleigh": (Blur(2.0, "rayleigh"), rayleigh(scale=2.0)),
    "translation": (Translation(2.0), norm(0, 2.0)),
}


@pytest.mark.parametrize("p", [0.5001, 0.7, 0.95, 0.9999])
@pytest.mark.parametrize("name", ALONE)
def test_the_interval_is_all_that_survives(name: str, p: float) -> None:
    """Its ends survive, to the last bit, and little beyond: the worst set is a half-line of the law (scipy.stats)."""
    part, law = ALONE[name]
    smoothing = compose(part)
    left, right = smoothing.sides(p)
    if law is None:  # the logarithm of a Rayleigh: 1 - 2^(-g^2) to the right, 2^(-g^2) to the left
        assert right == pytest.approx(np.log(np.log2(1 / (1 - p))) / 2, rel=1e-9)
        assert left == pytest.approx(-np.log(np.log2(1 / p)) / 2, rel=1e-9)
    else:
        assert right == pytest.approx(law.ppf(p) - law.ppf(0.5), rel=1e-9)
        assert left == (pytest.approx(law.ppf(p), rel=1e-9) if part.signed else 0)
    for coordinate in (right, -left):
        if coordinate:
            assert smoothing.p_star({part.name: part.value(coordinate)}) <= p + 3e-16
            assert smoothing.p_star({part.name: part.value(1.0001 * coordinate)}) > p
    ends = smoothing.interval(left, right)
    assert (ends is None) == (part.transforms.kind == "norm")
    assert ends is None or smoothing.p_star({part.name: ends}) <= p + 3e-16
    assert smoothing.radius(p) == (min(left, right) if part.signed else right)


@pytest.mark.parametrize(("border", "stretch"), [("reflect101", 1.13), ("reflect", 1.0), ("wrap", 1.0)])
def test_a_pixel_attack_behind_a_blur(border: str, stretch: float) -> None:
    """Oracle: Phi of the longest that the blur can make the attack (theory.md section 3)."""
    smoothing = compose(Blur(2.0, border=border), Noise(0.5))
    assert smoothing.p_star({"noise": 0.4}) == pytest.approx(norm.cdf(stretch * 0.4 / 0.5), rel=1e-12)


@pytest.mark.parametrize("border", ["reflect101", "reflect", "wrap"])
def test_how_much_a_blur_lengthens_a_vector(border: str) -> None:
    """Oracle: the largest singular value of the blur's own matrix, an axis; both axes stay below 1.13 together."""
    longest = 0.0
    for size in (2, 3, 4, 5, 8, 13, 32):
        variances = np.geomspace(0.01, 20, 100)
        columns = np.empty((size, len(variances), size))
        for place, unit in enumerate(np.eye(size, dtype=np.float32)):
            out = np.empty((len(variances), 1, size, 1, 1), np.float32)
            heat.blur(heat.spectrum(unit.reshape(1, size, 1, 1), border), variances, border, out)
            columns[place] = out.reshape(len(variances), size)
        longest = max(longest, float(np.linalg.norm(columns.transpose(1, 2, 0), ord=2, axis=(1, 2)).max()))
    assert longest < (1.0631 if border == "reflect101" else 1.00001)
    assert longest > (1.06 if border == "reflect101" else 0.999)


# --- Text and recipes -------------------------------------------------------------------------------------------------

SPELLED: dict[str, Part] = {
    "noise=0.25": Noise(0.25),
    "noise=1,law=normal": Noise(1.0),
    "brightness=0.3": Brightness(0.3),
    "contrast=0.3": Contrast(0.3),
    "contrast=0.3,about=mid": Contrast(0.3, about="mid"),
    "contrast=0.3,about=0,law=lognormal": Contrast(0.3),
    "gamma=0.1,law=rayleigh": Gamma(0.1, "rayleigh"),
    "blur=4": Blur(4.0, "exponential", "reflect101"),
    "blur=4,border=wrap,law=folded-normal": Blur(4.0, "folded-normal", "wrap"),
    "blur=4, law=uniform": Blur(4.0, "uniform"),
    "translation=2.5,border=wrap": Translation(2.5),
    "translation=2.5,border=wrap,interpolation=whole": Translation(2.5),
}
SPELLED_INEXACT: dict[str, Part] = {
    "rotation=5": Rotation(5.0, border="black", interpolation="bilinear"),
    "rotation=5,border=wrap,interpolation=nearest": Rotation(5.0, border="wrap", interpolation="nearest"),
    "scaling=0.1,interpolation=bicubic,law=lognormal": Scaling(0.1, interpolation="bicubic"),
    "translation=2,border=black": Translation(2.0, border="black"),
    "translation=2,border=reflect101": Translation(2.0, border="reflect101"),
    "translation=2,interpolation=bilinear": Translation(2.0, interpolation="bilinear"),
}


@pytest.mark.parametrize("text", SPELLED | SPELLED_INEXACT)
def test_parts_that_can_be_read(text: str) -> None:
    assert parse_part(text) == (SPELLED | SPELLED_INEXACT)[text]


MISSPELLED = {
    "": "NAME=SCALE with NAME one of noise, brightness, contrast, gamma, hue, saturation, blur, ",
    "=1": "smoothing: expected NAME=SCALE",
    "fog=1": "shear, volume, time-shift, frequency-shift, pitch, time-stretch, got 'fog=1'",
    "Blur=1": "got 'Blur=1'",
    "rotation=5,border=reflect": "rotation border: expected one of black, wrap, reflect101, replicate, got 'reflect'",
    "rotation=5,interpolation=whole": "rotation interpolation: expected one of nearest, bilinear, bicubic, got 'whole'",
    "rotation=5,about=mid": "`smoothing` rotation: expected options of law, border, interpolation, got about",
    "scaling=0": "scaling: expected a scale > 0, got 0",
    "scaling=11": "scaling: expected a scale of at most ",
    "scaling=0.6": "scaling: expected a scale of at most 0.555, got 0.6",  # draws beyond what OpenCV can scale by
    "scaling=0.1,law=normal": "scaling: expected a law of lognormal, got 'normal'",
    "noise": "`smoothing` noise: expected noise=SCALE with a number, got 'noise'",
    "noise=": "`smoothing` noise: expected noise=SCALE with a number",
    "noise=a": "`smoothing` noise: expected noise=SCALE with a number",
    "noise=0.5=1": "`smoothing` noise: expected noise=SCALE with a number",
    "noise=0": "noise: expected a standard deviation sigma > 0, got 0",
    "noise=nan": "sigma > 0, got nan",
    "noise=1,sigma=3": "`smoothing` noise: expected options of none, got sigma",
    "noise=1,law=uniform": "law",
    "brightness=-0.1": "brightness: expected a scale > 0, got -0.1",
    "brightness=inf": "brightness: expected a scale from 1e-30 to 1e+12, got inf",
    "brightness=1e300": "brightness: expected a scale from 1e-30 to 1e+12, got 1e+300",
    "noise=1e300": "noise: expected a standard deviation sigma from 1e-30 to 1e+12, got 1e+300",
    "blur=1e-300": "blur: expected a scale from 1e-30 to 1e+12, got 1e-300",
    "brightness=1,scale=2": "`smoothing` brightness: expected options of law, got scale",
    "brightness=1,law=uniform": "brightness: expected a law of normal, got 'uniform'",
    "contrast=0.3,about=1": "contrast about: expected one of 0, mid, got '1'",
    "contrast=0.3,kind=norm": "`smoothing` contrast: expected options of law, about, got kind",
    "gamma=0.1,law=uniform": "gamma: expected a law of lognormal, rayleigh, got 'uniform'",
    "blur=1,law=gauss": "blur: expected a law of exponential, uniform, folded-normal, rayleigh, got 'gauss'",
    "blur=1,law=": "blur: expected a law of exponential, uniform, folded-normal, rayleigh, got ''",
    "blur=1,border=black": "blur border: expected one of reflect101, reflect, wrap, got 'black'",
    "blur=1,": "`smoothing` blur: expected options of law, border, got ",
    "blur=1,law=uniform,law=rayleigh": "`smoothing` blur: expected ",
    "translation=2,border=mirror": "border: expected one of black, wrap, reflect101, replicate, got 'mirror'",
    "translation=2,interpolation=linear": "expected one of whole, nearest, bilinear, bicubic, got 'linear'",
    "translation=2000": "translation: expected a scale of at most 1600 pixels, got 2000",
}


@pytest.mark.parametrize("text", MISSPELLED)
def test_parts_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(MISSPELLED[text])) as error:
        parse_part(text)
    assert "\n" not in str(error.value)


RECIPES: dict[str, Smoothing] = {
    **{text: compose(part) for text, part in SPELLED.items()},
    "two": compose(Contrast(0.6), Brightness(0.6)),
    "two, the other way": compose(Brightness(0.6), Contrast(0.6, about="mid")),
    "four": compose(Blur(4.0, border="wrap"), Translation(3.0), Contrast(0.2), Noise(0.3)),
    "path": compose(Gamma(0.2, "rayleigh"), Contrast(0.3), guarantee="path"),
    "path of one": compose(Noise(0.5), guarantee="path"),
}


@pytest.mark.parametrize("smoothing", RECIPES.values(), ids=RECIPES)
def test_recipes_come_back_through_toml(smoothing: Smoothing) -> None:
    written = tomllib.loads(tomli_w.dumps({"smoothing": smoothing.recipe}))["smoothing"]
    assert written == smoothing.recipe
    back = smoothing_of(written)
    assert back == smoothing
    assert (back.guarantee, back.parts) == (smoothing.guarantee, smoothing.parts)
    units = [part["unit"] for part in written["parts"]]
    assert units == [part.unit for part in smoothing.parts]


@pytest.mark.parametrize(
    "recipe",
    [
        {"noise": 0.5},
        {"guarantee": "exact", "parts": []},
        {"guarantee": "exact"},
        {"guarantee": "enumerated"},
        {"guarantee": "enumerated", "attack": {"blur": {"low": 1.0, "high": 2.0}}, "border": "black"},
        {"guarantee": "wild", "parts": [Noise(0.5).description]},
        {"guarantee": "exact", "parts": [{"part": "fog", "scale": 1.0}]},
        {"guarantee": "exact", "parts": [{"part": "blur"}]},
        {"guarantee": "exact", "parts": [{"part": "blur", "scale": "wide"}]},
        {"guarantee": "exact", "parts": [Blur(2.0).description | {"colour": "red"}]},
        {"guarantee": "exact", "parts": [Noise(0.5).description, Blur(2.0).description]},
    ],
    ids=[
        "version 0.1",
        "no part",
        "no parts",
        "no attack",
        "endless attack",
        "guarantee",
        "unknown part",
        "no scale",
        "no number",
        "option",
        "no theorem",
    ],
)
def test_recipes_that_no_theorem_covers(recipe: dict[str, Any]) -> None:
    """Of another version, or edited: a `ValueError`, which the command line prints in a line."""
    with pytest.raises(ValueError, match=r"expected|no theorem|no end of members"):
        smoothing_of(recipe)
