"""Members of certified sets: they lie in the set, the ends are among them. Oracle: norms and values recomputed."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothcert import Attack, Blur, Brightness, Contrast, Gamma, Noise, Translation
from smoothcert.algorithms import Enumerate
from smoothcert.audit.members import Member, Others, delta_towards, members, members_of
from smoothcert.smoothing import TRANSFORMS, Grid, Part

RNG = np.random.default_rng(8)
LEVELS = RNG.integers(0, 256, (1, 6, 5, 3), np.uint8)
DARK = np.where(RNG.random((1, 6, 5, 1)) < 0.5, 0, 255).astype(np.uint8)
REALS = RNG.standard_normal((1, 6, 5, 1)).astype(np.float32)
BOX = (Contrast(0.3), Brightness(0.2))
SETS: dict[str, tuple[tuple[Part, ...], dict[str, Any]]] = {
    "brightness": ((Brightness(0.3),), {"brightness": (-0.2, 0.5)}),
    "contrast": ((Contrast(0.3),), {"contrast": (0.5, 3)}),
    "gamma, a point": ((Gamma(0.3),), {"gamma": 1.5}),
    "blur": ((Blur(2),), {"blur": (0, 1.3)}),
    "a grid": ((Contrast(0.3),), {"contrast": (0.5, 2, 7)}),
    "a box": (BOX, {"contrast": (0.5, 3), "brightness": (-0.1, 0.2)}),
    "a grid of two": (BOX, {"contrast": (0.5, 2, 4), "brightness": (-0.1, 0.2, 3)}),
    "half a grid": (BOX, {"contrast": (0.5, 2, 4), "brightness": (-0.1, 0.2)}),
    "rotation of the raw image": ((Noise(0.5),), {"rotation": (-3, 3)}),
    "scaling of the raw image": ((Noise(0.5),), {"scaling": (0.9, 1.1)}),
    "one end": ((Brightness(0.3),), {"brightness": (0.1, 0.4)}),
}


def found_of(
    attack: Attack, parts: tuple[Part, ...], m: int, *, seed: tuple[int, ...], pixels: Any, others: Others = ()
) -> list[Member]:
    """Members of the set under these parts; a transformation that none of them has is by its defaults."""
    by_name = {part.name: part for part in parts}
    ways = {name: by_name[name].transform if name in by_name else TRANSFORMS[name]() for name, _ in attack}
    return members(attack, ways, by_name, m, seed=seed, pixels=pixels, others=others)


@pytest.mark.parametrize("m", [1, 2, 7, 20, 60])
@pytest.mark.parametrize(("parts", "attack"), SETS.values(), ids=SETS)
def test_numbers_lie_in_the_set(parts: tuple[Part, ...], attack: dict[str, Any], m: int) -> None:
    asked = Attack.of(attack)
    found = found_of(asked, parts, m, seed=(m, 1), pixels=LEVELS)
    assert len({tuple(member.values()) for member in found}) == len(found) <= m
    ranges = dict(asked)
    finite = math.prod(r.points or (1 if r.low == r.high else 10**9) for r in ranges.values())
    assert len(found) == min(m, finite)
    for member in found:
        assert member.keys() == ranges.keys()
        for name, value in member.items():
            assert ranges[name].low <= value <= ranges[name].high
            if ranges[name].points:
                assert value in Grid(name, ranges[name]).points
    first = found[0]
    assert all(value in (ranges[name].low, ranges[name].high) for name, value in first.items())
    if m >= 8:
        corners = set(itertools.product(*({r.low, r.high} for r in ranges.values())))
        assert {tuple(member.values()) for member in found[: len(corners)]} == corners


@pytest.mark.parametrize("radius", [0.0, 0.7, 1.0, 2.5, 5.0, 16.0])
def test_whole_translations_lie_in_the_disc(radius: float) -> None:
    found = [
        m["translation"]
        for m in found_of(Attack.of({"translation": radius}), (Translation(1),), 30, seed=(1,), pixels=LEVELS)
    ]
    disc = [(y, x) for y in range(-16, 17) for x in range(-16, 17) if math.hypot(y, x) <= radius]
    assert set(found) <= set(disc)
    assert len(set(found)) == len(found) == min(30, len(disc))
    assert (0, math.floor(radius)) in found


def test_translations_by_fractions_lie_in_the_disc() -> None:
    part = Translation(1, border="black", interpolation="bilinear")
    found = [m["translation"] for m in found_of(Attack.of({"translation": 1.7}), (part,), 30, seed=(1,), pixels=LEVELS)]
    norms = [math.hypot(*shift) for shift in found]
    assert max(norms) <= 1.7
    assert sum(norm > 1.7 * (1 - 1e-9) for norm in norms) >= 8
    assert len(set(found)) == 30
    angles = sorted(math.atan2(*shift) for shift in found)
    assert max(np.diff(angles)) < math.pi / 2


@pytest.mark.parametrize("m", [1, 5, 40])
@pytest.mark.parametrize("radius", [0.003, 0.1, 0.8, 4.0])
@pytest.mark.parametrize("pixels", [LEVELS, DARK, REALS], ids=["levels", "black and white", "reals"])
def test_noise_lies_in_the_ball(pixels: Any, radius: float, m: int) -> None:
    others = [(k, np.roll(pixels, k, 1)) for k in range(1, 4)]
    unit = 255 if pixels.dtype == np.uint8 else 1
    found = found_of(Attack.of({"noise": radius}), (Noise(0.5),), m, seed=(2,), pixels=pixels, others=others)
    full = 0
    for member in found:
        delta = member["noise"]
        moved = (pixels.astype(float) if unit == 255 else pixels) + delta.shift
        norm = float(np.linalg.norm(moved.astype(float) - pixels)) / unit
        assert norm == pytest.approx(delta.norm, abs=1e-12)
        assert norm <= radius
        full += norm > 0.9 * radius - 1.5 / 255
        if unit == 255:
            assert delta.shift.dtype == np.int16
            assert 0 <= moved.min() <= moved.max() <= 255
    if radius < 1:  # beyond, 0 and 255 stand in the way
        assert full >= len(found) / 4
    if m == 40:
        kinds = {str(member["noise"].label).split()[0] for member in found}
        assert kinds >= {"towards", "brighter", "darker", "signs", "pixel", "gaussian"}


def test_noise_on_a_grid_is_no_longer_than_its_points() -> None:
    found = found_of(Attack.of({"noise": (0.1, 0.3, 3)}), (Noise(0.5),), 30, seed=(2,), pixels=REALS)
    for member in found:
        assert min(abs(member["noise"].norm - norm) for norm in (0.1, 0.2, 0.3)) < 1e-6


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-4, 5), st.integers(0, 2**32 - 1))
def test_whole_levels_use_what_the_norm_allows(norm: float, seed: int) -> None:
    """Within the norm, each level within one of the exact direction's, the whole norm but for what rounding takes."""
    rng = np.random.default_rng(seed)
    pixels, direction = np.full((1, 5, 5, 1), 128, np.uint8), rng.standard_normal((1, 5, 5, 1))
    delta = delta_towards(direction, norm, pixels, "test")
    levels = delta.shift.astype(int).ravel()
    if abs(levels).max() < 127:
        assert math.isqrt(int(levels @ levels)) <= 255 * norm
        exact = direction.ravel() / np.linalg.norm(direction) * 255 * norm
        assert (abs(levels - exact) <= 1 + 1e-9).all()
        assert np.linalg.norm(exact) - np.linalg.norm(levels) < 5


def test_enumerations_have_their_own_members() -> None:
    algorithm = Enumerate(Attack.of({"translation": 3, "brightness": (-0.02, 0.02)}))
    pool, names = algorithm.members(), [name for name, _ in algorithm.attack]
    for m in (1, 10, 40, 10_000):
        found = [tuple(member.values()) for member in members_of(names, pool, m, (1,))]
        assert len(set(found)) == len(found) == min(m, len(pool))
        assert set(found) <= set(pool)
        assert abs(found[0][1]) == pytest.approx(5 / 255)


def test_no_attack_is_the_identity() -> None:
    assert found_of(Attack(()), (Noise(0.5),), 20, seed=(1,), pixels=LEVELS) == [{}]


def test_a_delta_says_how_it_was_chosen() -> None:
    """Two levels of norm over four pixels: one level each."""
    delta = delta_towards(np.ones((1, 2, 2, 1)), 2.001 / 255, np.zeros((1, 2, 2, 1), np.uint8), "brighter")
    assert delta.shift.tolist() == np.ones((1, 2, 2, 1)).tolist()
    assert str(delta) == "0.00784314 (brighter)"
