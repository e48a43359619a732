"""Parts that compose up to a measured error: what is certified, and the draws that it rests on.

Oracles: the formulas of theory.md section 4 in mpmath, 30 digits; scipy.stats for laws and independence; the
attackers' functions, called one by one, and integer noise drawn from the same address on its own.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cv2
import mpmath as mp
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
    Noise,
    OrtClassifier,
    Preprocess,
    Rotation,
    Scaling,
    Spatial,
    Translation,
    certify,
    compose,
    transforms,
)
from smoothcert.algorithms import Fixed, why_only_abstain
from smoothcert.draws import Stream, integer_normal
from smoothcert.errors import CalibrationError, DataError
from smoothcert.inputs.input import Input
from smoothcert.sampling import ESTIMATION
from smoothcert.smoothing import Calibrated, Calibration, Part, Smoothing, smoothing_of
from smoothcert.smoothing.perturbation import drawn

from . import models
from .samples import made, perturbed, sampler

Bounds = tuple[tuple[float, float], ...]
RULES = pytest.mark.parametrize("rule", ["tight", "paper"])
PAIRS: Bounds = ((0.3, 0.001), (0.2, 0.01), (0.1, 0.08))
SIGMA = 0.25


def measured(parts: tuple[Part, ...], attack: Mapping[str, Any], bounds: Bounds, **options: Any) -> Calibration:
    """A calibration of these parts, made up."""
    values: dict[str, Any] = {
        "sha256": "0" * 64, "strategy": "dataset-worst", "confidence": 0.99, "attack": Attack.of(attack),
        "spatial": Spatial(), "colours": 1, "opencv": cv2.__version__, "bounds": bounds,
        "parts": tuple(part.description for part in parts),
    }  # fmt: skip
    return Calibration(**values | options)


def smoothed(
    *parts: Part, attack: Mapping[str, Any], bounds: Bounds = PAIRS, sigma: float = SIGMA, rule: Any = "tight", **o: Any
) -> Calibrated:
    """The parts and noise, with a calibration made up."""
    smoothing = compose(*parts, Noise(sigma), calibration=measured(parts, attack, bounds, **o), error_rule=rule)
    assert isinstance(smoothing, Calibrated)
    return smoothing


ROTATION = Rotation(6.0)
WIDE = {"rotation": (-180, 180)}

# --- The rule, in 30 digits -------------------------------------------------------------------------------------------


def quantile(p: Any) -> Any:
    """Phi^-1 in mpmath."""
    return mp.sqrt(2) * mp.erfinv(2 * mp.mpf(p) - 1)


def needed(distance: Any, e: float, rule: str) -> Any:
    """What p_lower must exceed for a distance between the laws, e of them exceptional."""
    return mp.ncdf(distance + quantile(mp.mpf("0.5") + e)) if rule == "tight" else mp.ncdf(distance) + e


def most(p_lower: float, p_upper: float | None, e: float, rule: str) -> Any:
    """The largest distance between the laws that the class survives; None where it survives none."""
    low, e = mp.mpf(p_lower), mp.mpf(e)
    high = 1 - low if p_upper is None else mp.mpf(p_upper)
    if rule == "paper":
        low, high, e = low - e, high + e, mp.mpf(0)
    if low - e <= high + e:
        return None
    if p_upper is None:
        return quantile(low) - quantile(mp.mpf("0.5") + e)

    top, other = quantile(low), quantile(high)

    def margin(d: Any) -> Any:
        return mp.ncdf(top - d) - mp.ncdf(other + d) - 2 * e

    below, above = mp.mpf(0), mp.mpf(20)
    for _ in range(80):
        middle = (below + above) / 2
        below, above = (middle, above) if margin(middle) > 0 else (below, middle)
    return below


def exact_reach(scale: float, p_lower: float, p_upper: float | None, bounds: Bounds, rule: str) -> Any:
    """The shift that survives, by the best pair."""
    found = [mp.mpf(0)]
    for error, e in bounds:
        distance = most(p_lower, p_upper, e, rule)
        if distance is not None and (square := distance**2 - (mp.mpf(error) / SIGMA) ** 2) > 0:
            found.append(scale * mp.sqrt(square))
    return max(found)


@pytest.fixture(autouse=True)
def digits() -> Any:
    with mp.workdps(30):
        yield


PARTS: dict[str, tuple[Part, tuple[float, float], Any]] = {  # part, attack, its coordinate by hand
    "rotation": (Rotation(6.0), (-4.0, 7.0), 7.0),
    "scaling": (Scaling(0.2), (0.8, 1.1), mp.log(1 / mp.mpf(0.8))),
    "translation": (Translation(2.0, border="black", interpolation="bilinear"), (0.0, 1.7), 1.7),
    "brightness": (Brightness(0.2), (-0.15, 0.1), 0.15),
    "contrast": (Contrast(0.3), (0.9, 1.3), mp.log(mp.mpf(1.3))),
    "gamma": (Gamma(0.4), (0.7, 1.2), mp.log(1 / mp.mpf(0.7))),
}
SETS = [names for size in (1, 2, 3) for names in itertools.combinations(PARTS, size)] + [tuple(PARTS)]


@RULES
@pytest.mark.parametrize("names", SETS, ids="-".join)
def test_p_star_is_the_formula(names: tuple[str, ...], rule: str) -> None:
    """The sum of squares over the parts, and the best of the pairs (E, e)."""
    parts = tuple(PARTS[name][0] for name in names)
    attack = {name: PARTS[name][1] for name in names}
    smoothing = smoothed(*parts, attack=attack, rule=rule)
    moved = sum((PARTS[name][2] / mp.mpf(PARTS[name][0].scale)) ** 2 for name in names)
    exact = min(needed(mp.sqrt(moved + (mp.mpf(error) / SIGMA) ** 2), e, rule) for error, e in PAIRS)
    found = smoothing.p_star(attack)
    assert abs(found - exact) < 1e-11
    assert found >= exact - mp.mpf(2) ** -53
    p = min(1.0, float(exact))
    assert not smoothing.survives(attack, p - 1e-9, 1 - p + 1e-9)
    assert smoothing.survives(attack, p + 1e-9, 1 - p - 1e-9) == (exact < 1 - 1e-9)
    if len(names) > 1:
        assert smoothing.main is None
        assert smoothing.sides(0.999) == (0.0, 0.0)
        rest = {name: attack[name] for name in names[1:]}  # what is left out stays at the identity
        moved -= (PARTS[names[0]][2] / mp.mpf(parts[0].scale)) ** 2
        exact = min(needed(mp.sqrt(moved + (mp.mpf(error) / SIGMA) ** 2), e, rule) for error, e in PAIRS)
        assert abs(smoothing.p_star(rest) - exact) < 1e-11


TOPS = [0.3, 0.45, 0.5 + 1e-9, 0.51, 0.5101, 0.55, 0.58, 0.581, 0.7, 0.9, 0.99, 0.99931, 1 - 1e-9, 1 - 1e-14]
OTHERS = [None, 0.001, 0.05, 0.2, 0.29999]


@RULES
@pytest.mark.parametrize("bounds", [PAIRS, PAIRS[:1], PAIRS[2:], ((0.0, 0.0),), ((0.0, 0.2), (0.6, 1e-6))], ids=str)
def test_no_radius_exceeds_the_exact_one(bounds: Bounds, rule: str) -> None:
    """One-sided and two-sided, and not needlessly short of it."""
    smoothing = smoothed(ROTATION, attack=WIDE, bounds=bounds, rule=rule)
    for p_lower, p_upper in itertools.product(TOPS, OTHERS):
        if p_upper is not None and not p_upper < min(p_lower, 1 - p_lower):
            continue
        left, right = smoothing.sides(p_lower, p_upper)
        exact = exact_reach(ROTATION.scale, p_lower, p_upper, bounds, rule)
        assert left == right == smoothing.radius(p_lower, p_upper) <= exact
        assert right >= exact * (1 - mp.mpf(10) ** -6) - mp.mpf(10) ** -5
        assert smoothing.interval(left, right) == (-left, right)
        others = 1 - p_lower if p_upper is None else p_upper
        nearly = {"rotation": (-0.9999 * left, 0.9999 * right)}
        assert right < 1e-4 or p_lower > 0.999999 or smoothing.survives(nearly, p_lower, others)
        assert not smoothing.survives({"rotation": 1.00001 * right + 0.0001}, p_lower, others)


@RULES
def test_nothing_is_certified_where_rounding_hides_the_root(rule: str) -> None:
    """E / sigma within rounding of what p_lower survives: the root is real or not by the last bits."""
    rng = np.random.default_rng(5)
    for _ in range(200):
        p_lower, e = rng.uniform(0.6, 0.9999), 10 ** rng.uniform(-6, -2)
        error = float(most(p_lower, None, e, rule) * SIGMA * (1 - mp.mpf(10) ** -rng.uniform(9, 16)))
        smoothing = smoothed(ROTATION, attack=WIDE, bounds=((error, e),), rule=rule)
        assert smoothing.radius(p_lower) <= exact_reach(ROTATION.scale, p_lower, None, ((error, e),), rule)


@RULES
def test_the_two_sided_rule_is_never_less(rule: str) -> None:
    """A runner-up bound helps; and at 1 - p_lower, where it says nothing, it changes nothing."""
    smoothing = smoothed(ROTATION, attack=WIDE, rule=rule)
    for p_lower in (0.6, 0.8, 0.95):
        radii = [smoothing.radius(p_lower, p) for p in ((1 - p_lower) * np.linspace(0.1, 0.999, 12)).tolist()]
        assert radii == sorted(radii, reverse=True)
        assert radii[-1] >= smoothing.radius(p_lower) * (1 - 1e-9)
        assert smoothing.radius(p_lower, 1 - p_lower) == smoothing.radius(p_lower)


def test_tight_is_never_less_than_paper() -> None:
    """One-sided and two-sided, classes below one half included."""
    rng = np.random.default_rng(6)
    for _ in range(300):
        p_lower = rng.uniform(0.2, 0.9999)
        p_upper = rng.uniform(0.0001, min(p_lower, 1 - p_lower))
        bounds = ((rng.uniform(0, 0.5), 10 ** rng.uniform(-5, -1)),)
        tight, paper = (smoothed(ROTATION, attack=WIDE, bounds=bounds, rule=rule) for rule in ("tight", "paper"))
        assert tight.radius(p_lower) >= paper.radius(p_lower) * (1 - 1e-9)
        assert tight.radius(p_lower, p_upper) >= paper.radius(p_lower, p_upper) * (1 - 1e-9) - 1e-9
        assert tight.p_star({"rotation": 3.0}) <= paper.p_star({"rotation": 3.0}) + 1e-12


@RULES
def test_more_of_anything_bad_certifies_less(rule: str) -> None:
    """Monotone in p_lower, E, e, sigma, the scale, the attack; a pair more never harms."""
    rng = np.random.default_rng(7)
    for _ in range(100):
        error, e, p = rng.uniform(0.01, 0.4), 10 ** rng.uniform(-5, -1.2), rng.uniform(0.55, 0.9999)
        attack = {"rotation": rng.uniform(0.1, 20)}

        def both(bounds: Bounds, sigma: float = SIGMA, scale: float = 6.0, attack: Any = attack, p: float = p) -> Any:
            smoothing = smoothed(Rotation(scale), attack=WIDE, bounds=bounds, sigma=sigma, rule=rule)
            return smoothing.radius(p), 1 - smoothing.p_star(attack)

        base = both(((error, e),))
        worse = [
            both(((1.1 * error, e),)),
            both(((error, 1.1 * e),)),
            both(((error, e),), sigma=0.9 * SIGMA),
            both(((error, e),), scale=5.0),
            (base[0], both(((error, e),), attack={"rotation": 1.1 * attack["rotation"]})[1]),
            (both(((error, e),), p=0.55 + 0.9 * (p - 0.55))[0], base[1]),
        ]
        assert all(radius <= base[0] and left <= base[1] for radius, left in worse)
        pair = (rng.uniform(0.01, 0.4), 10 ** rng.uniform(-5, -0.2))
        alone, together = both((pair,)), both(((error, e), pair))
        assert together == both((pair, (error, e))) == (max(base[0], alone[0]), max(base[1], alone[1]))


@RULES
@pytest.mark.parametrize("bounds", [(), ((0.0, 0.5),), ((0.0, 0.7), (0.0, 1.0)), ((50.0, 0.001),)], ids=str)
def test_no_usable_bound_certifies_nothing(bounds: Bounds, rule: str) -> None:
    smoothing = smoothed(ROTATION, attack=WIDE, bounds=bounds, rule=rule)
    assert smoothing.p_star({"rotation": 0.001}) == 1
    for p_lower, p_upper in [(0.9999999, None), (1 - 1e-14, 1e-15), (0.4, 0.1)]:
        assert smoothing.sides(p_lower, p_upper) == (0.0, 0.0)
        assert not smoothing.survives({"rotation": 0.001}, p_lower, 1 - p_lower if p_upper is None else p_upper)


REFUSALS: dict[str, tuple[Bounds, Any, float, str]] = {  # bounds, attack, sigma, the cause
    "too little noise": (
        ((3.9, 0.005), (5.0, 0.001)), (-4, 4), 0.25,
        r"error that serves here, E = 3.9, needs noise of at least 1\.\d+ for this attack; this run has 0.25$",
    ),
    "for the smallest radius, too": (
        ((3.9, 0.005), (5.0, 0.001)), None, 0.25,
        r"E = 3.9, needs noise of at least 1\.\d+ for any radius; this run has 0.25$",
    ),
    "parts too small": (
        ((0.1, 0.005),), (-30, 30), 0.25,
        r"this attack is 5 standard deviations of the parts away, .* needs more than 2\.\d+ times the scale",
    ),
    "nothing bounded": ((), (-4, 4), 0.25, "the calibration bounds no error, for it has too few inputs or draws"),
    "too few votes": (((0.1, 0.499),), (-4, 4), 0.25, "is too little for the calibration's errors; raise n"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_a_run_that_could_only_abstain_says_why(case: str) -> None:
    bounds, attack, sigma, cause = REFUSALS[case]
    asked = Attack.of({"rotation": attack}) if attack else None
    algorithm = Fixed(100, 1000, 0.001, "one-sided", asked)
    smoothing = smoothed(ROTATION, attack=WIDE, bounds=bounds, sigma=sigma)
    assert algorithm.largest(smoothing) == 0
    said = why_only_abstain(algorithm, smoothing)
    assert re.search(cause, said)
    assert "\n" not in said
    if needed := re.search(r"at least ([0-9.]+) for", said):
        for factor, enough in ((1.001, True), (0.99, False)):
            other = smoothed(ROTATION, attack=WIDE, bounds=bounds, sigma=float(needed[1]) * factor)
            assert (algorithm.largest(other) > 0) == enough


def test_other_smoothings_have_no_word_on_it() -> None:
    assert compose(Noise(0.5)).hint(Attack.of({"noise": 9.0}), 0.99) == ""


@RULES
def test_no_lead_certifies_nothing(rule: str) -> None:
    smoothing = smoothed(ROTATION, attack=WIDE, bounds=((0.0, 0.01),), rule=rule)
    for p_lower, p_upper in [(0.4, 0.4), (0.3, 0.5), (0.5, None), (0.0, None), (0.5, 0.5), (0.42, 0.4), (0.0, 0.0)]:
        assert smoothing.sides(p_lower, p_upper) == (0.0, 0.0)
        assert not smoothing.survives({"rotation": 0.0}, p_lower, 1 - p_lower if p_upper is None else p_upper)
    assert smoothing.sides(0.43, 0.4)[1] > 0
    assert smoothing.survives(None, 0.41, 0.4)
    assert not smoothing.survives(None, 0.4, 0.4)


# --- The range that was measured --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "limit", "ends"),
    [
        (Rotation(6.0), (-3.0, 5.0), (-3.0, 5.0)),
        (Rotation(6.0), (0.0, 5.0), (0.0, 5.0)),
        (Scaling(0.2), (0.9, 1.2), (0.9, 1.2)),
        (Contrast(0.3), (0.75, 1.1), (0.75, 1.1)),
        (Brightness(0.2), (-0.01, 0.2), (-0.01, 0.2)),
        (Translation(2.0, interpolation="bilinear"), (0.0, 1.5), None),
    ],
    ids=lambda value: value.label if isinstance(value, Part) else "",
)
def test_nothing_beyond_the_measured_range(part: Part, limit: tuple[float, float], ends: Any) -> None:
    """To the left and to the right apart, however sure the class is."""
    smoothing = smoothed(part, attack={part.name: limit}, bounds=((0.01, 1e-6),))
    sides = smoothing.sides(1 - 1e-12)
    assert sides[1] == part.coordinate(limit[1])
    assert sides[0] == (-part.coordinate(limit[0]) if ends and limit[0] else 0.0)
    if ends is None:
        assert smoothing.interval(*sides) is None
        assert smoothing.radius(1 - 1e-12) == limit[1]
    else:
        assert smoothing.interval(*sides) == pytest.approx(ends, rel=1e-15)
        assert smoothing.radius(1 - 1e-12) == min(sides)
    assert smoothing.p_star({part.name: limit}) < 1
    small = smoothing.sides(0.51)
    assert small[1] < sides[1]
    for beyond in [(limit[0], limit[1] * 1.0001), *([(limit[0] - 1e-4, limit[1])] if part.signed else [])]:
        with pytest.raises(ValueError, match=rf"attack: expected {part.name} within .*calibrate more"):
            smoothing.p_star({part.name: beyond})


@pytest.mark.parametrize("limit", [(5.0, 10.0), (-10.0, -5.0)], ids=str)
def test_a_range_without_the_identity_has_no_radius(limit: tuple[float, float]) -> None:
    """What lies between was not measured: the set itself can be certified, a ball cannot."""
    smoothing = smoothed(ROTATION, attack={"rotation": limit}, bounds=((0.01, 1e-6),))
    assert smoothing.p_star({"rotation": limit}) < 1
    assert smoothing.sides(0.9999) == (0.0, 0.0)
    assert smoothing.radius(0.9999) == 0


def test_every_part_was_measured() -> None:
    """A calibration that varied the rotation alone says nothing of attacks by contrast."""
    smoothing = smoothed(ROTATION, Contrast(0.3), attack=WIDE)
    with pytest.raises(ValueError, match=r"attack: expected .*contrast") as error:
        smoothing.p_star({"rotation": 1.0, "contrast": 1.1})
    assert "\n" not in str(error.value)
    assert smoothed(Contrast(0.3), attack=WIDE).sides(0.99) == (0.0, 0.0)


def test_attacks_on_what_is_not_smoothed() -> None:
    smoothing = smoothed(ROTATION, attack=WIDE)
    with pytest.raises(ValueError, match=r"smoothed \('rotation'.*got scaling"):
        smoothing.p_star({"scaling": 1.1})
    with pytest.raises(ValueError, match="got nothing"):
        smoothing.p_star({})


def test_noise_ahead_of_a_part_that_amplifies_it_is_not_certified_wrongly() -> None:
    """The attacker brightens a black image by 16 levels; contrast then multiplies them, by more than 1 half the time.

    Truth: black stays black, so that the error is 0 and class 0 has Phi(1.15) = .875 of the votes; with the attack,
    below one half. Phi(|noise| / sigma) = .842 would certify it.
    """
    sigma, side, level = 0.5, 8, 16
    threshold = 1.15 * sigma / side
    part, black = Contrast(1.0), np.zeros((side, side), np.uint8)
    smoothing = smoothed(part, attack={"contrast": (0.5, 2)}, bounds=((0.0, 1e-9),), sigma=sigma)

    def bright(batch: NDArray[np.float32]) -> NDArray[np.int64]:
        return (batch.reshape(len(batch), -1).mean(axis=1) > threshold).astype(np.int64)

    votes = certify(bright, smoothing, black + np.uint8(level), n=20_000, key=2).evidence.estimation
    assert votes[0] < 0.49 * 20_000
    try:
        certificate = certify(bright, smoothing, black, n=20_000, key=1, attack={"noise": level / 255 * side})
    except ValueError as error:
        assert "noise" in str(error)  # noqa: PT017 - refused, or abstained: either is sound
    else:
        assert certificate.prediction != 0


# --- What the calibration is bound to ---------------------------------------------------------------------------------


def test_other_lists_of_parts_are_refused() -> None:
    made = measured((ROTATION,), WIDE, PAIRS)
    for parts, message in [
        ((Rotation(5.0), Noise(0.3)), r"calibration: made for part=rotation,scale=6.*got part=rotation,scale=5"),
        ((replace(ROTATION, border="wrap"), Noise(0.3)), "calibration: made for .*border=black.*border=wrap"),
        ((Noise(0.3),), "calibration: made for .*got nothing"),
        ((ROTATION,), "calibration: made for .*got nothing"),
        ((ROTATION, Brightness(0.1), Noise(0.3)), "got part=rotation.* then part=brightness"),
    ]:
        with pytest.raises(CalibrationError, match=message) as error:
            compose(*parts, calibration=made)
        assert "\n" not in str(error.value)
    with pytest.raises(CalibrationError, match=r"made with OpenCV 0\.9"):
        compose(ROTATION, Noise(0.3), calibration=replace(made, opencv="0.9"))
    with pytest.raises(ValueError, match="a calibration has its own"):
        compose(ROTATION, Noise(0.3), calibration=made, guarantee="path")


LISTED = r"calibrated: expected parts of a normal or lognormal law, each once, then noise; got "
UNHELPED: dict[str, tuple[tuple[Part, ...], str]] = {
    "blur": ((Blur(2.0), Noise(0.3)), LISTED),
    "exact translation": (
        (Translation(2.0), Noise(0.3)),
        "calibration: expected translation with interpolation=bilinear, got translation2$",
    ),
    "no Gaussian": ((Gamma(0.3, "rayleigh"), Noise(0.3)), LISTED),
    "no noise": ((ROTATION, Brightness(0.1)), LISTED),
    "twice": ((ROTATION, Rotation(3.0), Noise(0.3)), LISTED),
    "noise first": ((Noise(0.2), ROTATION, Noise(0.3)), LISTED),
}  # fmt: skip


@pytest.mark.parametrize(("parts", "message"), UNHELPED.values(), ids=UNHELPED)
def test_parts_that_no_calibration_helps(parts: tuple[Part, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as error:
        compose(*parts, calibration=measured(parts[:-1], WIDE, PAIRS))
    assert "\n" not in str(error.value)


@RULES
@pytest.mark.parametrize("strategy", ["dataset-sampling", "dataset-worst", "input-sampling", "input-global"])
def test_recipes_come_back(strategy: str, rule: str) -> None:
    """And decide alike without the file: with the recipe's bounds, or each input's own, from its evidence."""
    spatial, own = Spatial(resize=20, crop=16), strategy.startswith("input")
    bounds = () if own else PAIRS
    limits = {"rotation": (-180, 180, 37)} if strategy in ("dataset-worst", "input-sampling") else WIDE
    smoothing = smoothed(ROTATION, attack=limits, bounds=bounds, rule=rule, strategy=strategy, spatial=spatial)
    back = smoothing_of(smoothing.recipe)
    assert back == smoothing
    assert back.recipe == smoothing.recipe
    if not own:
        asked = {"rotation": 10.0 if strategy == "dataset-worst" else (-3, 3)}
        assert back.p_star(asked) == smoothing.p_star(asked) < 1
        return
    one, other, third = (Input.of(np.full(4, level, np.uint8)) for level in (1, 2, 3))
    smoothing = smoothed(
        ROTATION, attack=WIDE, bounds=(), rule=rule, strategy=strategy,
        inputs={one.sha256: PAIRS, other.sha256: PAIRS[:1]},
    )  # fmt: skip
    assert smoothing.measured.errors == ()
    assert smoothing.p_star({"rotation": 3.0}) == 1
    for x, pairs in ((one, PAIRS), (other, PAIRS[:1])):
        its = smoothing.of_input(x)
        assert its.measured.errors == pairs
        assert its.recipe == smoothing.recipe
        assert its.p_star({"rotation": 3.0}) == smoothed(ROTATION, attack=WIDE, bounds=pairs, rule=rule).p_star(
            {"rotation": 3.0}
        )
    with pytest.raises(DataError, match="expected an input that was calibrated"):
        smoothing.of_input(third)


def test_the_favourable_input_is_no_worse_than_any() -> None:
    """A run is refused where it could only abstain: for no attack may another input do better."""
    bounds: tuple[Bounds, ...] = ((0.05, 0.2),), ((0.3, 0.001),), ((0.5, 0.3),)  # small E, small e, neither
    images = [Input.of(np.full(4, level, np.uint8)) for level in range(3)]
    inputs = {x.sha256: its for x, its in zip(images, bounds, strict=True)}
    smoothing = smoothed(ROTATION, attack=WIDE, bounds=(), strategy="input-sampling", inputs=inputs)
    for angle in (0.1, 1.0, 6.0, 20.0):
        best = min(smoothing.of_input(x).p_star({"rotation": angle}) for x in images)
        assert smoothing.favourable.p_star({"rotation": angle}) <= best


# --- The draws --------------------------------------------------------------------------------------------------------

ALL: tuple[Part, ...] = tuple(part for part, _, _ in PARTS.values())
ALL_ATTACK = {part.name: (1.0, 1.0) if part.transforms.kind == "factor" else (0.0, 0.0) for part in ALL}
N = 20_000
STREAM = Stream(0xC0FFEE, 3, 1)


def columns(stream: Stream, n: int = N) -> dict[str, NDArray[np.float64]]:
    """The draws in the coordinates where attacks add up, in standard deviations."""
    found: dict[str, NDArray[np.float64]] = {}
    for part, values in zip(ALL, zip(*drawn(ALL, stream, 0, n), strict=True), strict=True):
        table = np.array(values, float)
        table = np.log(table) if part.transforms.kind == "factor" else table
        for place, column in enumerate(table.reshape(n, -1).T):
            found[f"{part.name} {place}"] = column / part.scale
    return found


def test_draws_have_their_laws() -> None:
    """Kolmogorov-Smirnov; moments; the tails, by the largest of all."""
    found = columns(STREAM)
    assert len(found) == 7
    for name, column in found.items():
        assert stats.kstest(column, "norm").pvalue > 0.001, name
        assert abs(column.mean()) < 4 / math.sqrt(N)
        assert abs(column.var() - 1) < 4 * math.sqrt(2 / N)
        assert 3.3 < np.abs(column).max() < 5.5


def associated(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The least p-value of tests of independence: correlation, of values and of squares, and chi-squared of 8 x 8."""
    ranks = [np.minimum(7, (8 * stats.norm.cdf(v / v.std())).astype(int)) for v in (a, b)]
    table = np.histogram2d(*ranks, bins=(np.arange(9), np.arange(9)))[0]
    return min(
        stats.pearsonr(a, b).pvalue,
        stats.pearsonr(a**2, b**2).pvalue,
        stats.chi2_contingency(table).pvalue,
    )


@pytest.mark.slow
def test_draws_are_independent() -> None:
    """Of each other, of the next sample's, of the noise on every pixel, of other stages and inputs."""
    own, sure = columns(STREAM), {}
    smoothing, black = smoothed(ALL[2], attack={"translation": 1.0}), np.zeros((1, 2, 3, 1), np.uint8)
    address = {"key": STREAM.key, "index": STREAM.index, "stage": STREAM.stage}
    out = perturbed(smoothing, black, N, **address)  # a black image stays black: what is left is noise
    noise = {f"noise {i}": column for i, column in enumerate(out.reshape(N, -1).T.astype(float))}
    elsewhere = [columns(replace(STREAM, stage=2)), columns(replace(STREAM, index=4)), columns(replace(STREAM, key=1))]
    pairs = {f"{a}, {b}": (own[a], own[b]) for a, b in itertools.combinations(own, 2)}
    pairs |= {f"{a}, {b}": (own[a], noise[b]) for a in own for b in noise}
    pairs |= {f"{a}, {b}, one later": (own[a][:-1], own[b][1:]) for a in own for b in own}
    pairs |= {f"{a}, elsewhere {k}": (own[a], other[a]) for k, other in enumerate(elsewhere) for a in own}
    for name, (a, b) in pairs.items():
        sure[name] = associated(a, b)
    assert min(sure.values()) > 0.01 / (3 * len(sure)), min(sure, key=lambda name: sure[name])


COLOUR = np.random.default_rng(1).integers(0, 256, (40, 52, 3), dtype=np.uint8)
PIPELINE = Spatial(resize=24, antialias=True, crop=16, mask="circle", share=0.9)


def by_hand(image: NDArray[np.uint8], values: tuple[Any, ...], how: tuple[str, ...], about: float) -> NDArray[np.uint8]:
    """Step by step, as the attackers' functions do it, with their border and interpolation."""
    angle, factor, (down, right), b, c, g = values
    image = transforms.scale(transforms.rotate(image, angle, *how), factor, *how)
    image = transforms.brightness(transforms.translate(image, right, down, *how), b)
    return transforms.gamma(transforms.contrast(image, c, about), g)


MANNERS: dict[str, tuple[tuple[Part, ...], tuple[str, ...], float]] = {
    "usual": (ALL, ("black", "bilinear"), 0.0),
    "unusual": (
        (
            Rotation(6.0, border="wrap", interpolation="nearest"), Scaling(0.2, border="wrap", interpolation="nearest"),
            Translation(2.0, interpolation="nearest"), Brightness(0.2), Contrast(0.3, about="mid"), Gamma(0.4),
        ), ("wrap", "nearest"), 0.5,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("parts", "how", "about"), MANNERS.values(), ids=MANNERS)
@pytest.mark.parametrize("nhwc", [False, True], ids=["planar", "last"])
def test_a_sample_is_the_attackers_image_and_whole_noise(
    nhwc: bool, parts: tuple[Part, ...], how: tuple[str, ...], about: float
) -> None:
    """int16, and exactly P(T_b(x)) + noise, noise that is the same whatever the image: it comes last."""
    shape = (16, 16, 3) if nhwc else (3, 16, 16)
    model = OrtClassifier(models.convnet(shape, nhwc=nhwc), preprocess=Preprocess(spatial=PIPELINE), threads=1)
    smoothing = smoothed(*parts, attack=ALL_ATTACK, spatial=PIPELINE, colours=3)
    samples = sampler(model, smoothing, COLOUR, key=STREAM.key, index=STREAM.index).made
    assert (samples.shape, samples.dtype) == (shape, np.int16)
    out = np.zeros((8, *shape), np.int16)
    samples.fill(STREAM, 5, out)
    noise = np.zeros_like(out)
    integer_normal(255 * SIGMA).fill(STREAM, 5, noise.reshape(8, -1))
    for sample, eta, values in zip(out, noise, drawn(parts, STREAM, 5, 8), strict=True):
        seen = PIPELINE.apply(by_hand(COLOUR, values, how, about))
        plain = sample - eta
        np.testing.assert_array_equal(plain if nhwc else np.moveaxis(plain, 0, 2), seen)


def test_samples_are_a_function_of_their_address() -> None:
    """In any batch, from any first sample on, in any order, encoded anew or not."""
    smoothing = smoothed(*ALL, attack=ALL_ATTACK, colours=3)
    x = COLOUR[None]
    whole = np.zeros((40, *x.shape), np.int16)
    samples = made(smoothing, x)
    samples.fill(STREAM, 100, whole)
    for size in (13, 1, 40):
        for first in reversed(range(0, 40, size)):
            for again in (samples, made(smoothing, x)):
                out = np.full((min(size, 40 - first), *x.shape), 77, np.int16)
                again.fill(STREAM, 100 + first, out)
                np.testing.assert_array_equal(out, whole[first : first + size])
    assert len(np.unique(whole.reshape(40, -1), axis=0)) == 40


SIX: dict[str, tuple[Part, ...]] = {part.name: (part,) for part in ALL} | {"all": ALL}


def votes(model: bytes, data: NDArray[Any], smoothing: Smoothing, **options: Any) -> Mapping[int, int]:
    spatial = smoothing.calibration.spatial if isinstance(smoothing, Calibrated) else Spatial()
    classifier = OrtClassifier(model, preprocess=Preprocess(spatial=spatial), **options)
    return sampler(classifier, smoothing, data, key=5).counts(ESTIMATION, 0, 600)


@pytest.mark.slow
@pytest.mark.parametrize("parts", SIX.values(), ids=SIX)
def test_layouts_batches_and_threads_agree(parts: tuple[Part, ...]) -> None:
    """Planar or interleaved data: the same votes. Planar or interleaved models: too, where the noise rounds to 0."""
    attack = {part.name: ALL_ATTACK[part.name] for part in parts}
    last, planar = models.convnet((16, 16, 3), nhwc=True, seed=4), models.convnet((3, 16, 16), seed=4)
    first = np.ascontiguousarray(np.moveaxis(COLOUR, 2, 0))
    for sigma in (1e-4, SIGMA):
        smoothing = smoothed(*parts, attack=attack, spatial=PIPELINE, colours=3, sigma=sigma)
        found = [
            [
                votes(model, COLOUR, smoothing, threads=1),
                votes(model, first, smoothing, threads=2, batch_size=7),
                votes(model, first, smoothing, threads=1, batch_size=64),
            ]
            for model in (last, planar)
        ]
        assert all(found[i][0] == found[i][1] == found[i][2] for i in (0, 1))
        assert sigma == SIGMA or found[0] == found[1]


def test_grey_images() -> None:
    """(H, W), (H, W, 1) and (1, H, W), for a model with a channel axis and for one without: the same votes."""
    grey = np.ascontiguousarray(COLOUR[:, :, 0])
    smoothing = smoothed(*ALL, attack=ALL_ATTACK, spatial=PIPELINE)
    weights = np.random.default_rng(2).standard_normal((16, 16))
    found = [
        votes(models.half_space(shape, weights, 0.0), data, smoothing)
        for shape in [(1, 16, 16), (16, 16, 1), (16, 16)]
        for data in (grey, grey[..., None], grey[None])
    ]
    assert all(one == found[0] for one in found)
    assert min(found[0].values()) > 20


def test_data_that_do_not_suit() -> None:
    smoothing = smoothed(ROTATION, attack=WIDE)
    model = models.half_space((1, 8, 8), np.ones(64), -32.0)
    for data, kind, message in [
        (
            np.zeros((8, 8), np.float32),
            DataError,
            "calibrated: expected 8-bit images or 16-bit recordings, got float32",
        ),
        (
            np.zeros(64, np.uint8),
            DataError,
            "calibrated: expected 8-bit images or 16-bit recordings, got uint8 values of shape",
        ),
        (np.zeros((8, 8, 3), np.uint8), DataError, "expected an input that fits"),
        (np.zeros((9, 8), np.uint8), DataError, "expected an input that fits"),
    ]:
        with pytest.raises(kind, match=message) as error:
            certify(OrtClassifier(model), smoothing, data, n=1000, key=1)
        assert "\n" not in str(error.value)
    classifier = OrtClassifier(model, preprocess=Preprocess(spatial=Spatial(crop=8)))
    with pytest.raises(CalibrationError, match=r"made for the preprocessing none, got \{'crop': 8\}"):
        certify(classifier, smoothing, np.zeros((9, 8), np.uint8), n=1000, key=1)
    with pytest.raises(CalibrationError, match="made for images of 3 colours, got 1"):
        certify(OrtClassifier(model), smoothed(ROTATION, attack=WIDE, colours=3), np.zeros((8, 8), np.uint8), key=1)
