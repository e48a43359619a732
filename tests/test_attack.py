"""Sets of attacks: what they hold, how they are written, and what is refused. Oracles: numpy.linspace, round trips."""

from __future__ import annotations

import math
import re
import tomllib
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from smoothcert import Attack, Blur, Brightness, Contrast, Gamma, Noise, Range, Translation, compose
from smoothcert.cli.parse import attack as parsed
from smoothcert.smoothing import Grid, Smoothing

SETS: dict[str, tuple[list[str], dict[str, Any], str]] = {  # command line, Python, for people
    "point": (["contrast=1.4"], {"contrast": 1.4}, "contrast 1.4"),
    "ball": (["noise=0.5"], {"noise": 0.5}, "noise 0.5"),
    "interval": (["contrast=0.5:2"], {"contrast": (0.5, 2)}, "contrast 0.5:2"),
    "empty interval": (["contrast=2:2"], {"contrast": (2, 2)}, "contrast 2"),
    "about zero": (["brightness=-0.2:0.2"], {"brightness": [-0.2, 0.2]}, "brightness -0.2:0.2"),
    "grid": (
        ["contrast=0.5:2:4"],
        {"contrast": (0.5, 2, 4)},
        "contrast 0.5:2:4 (grid: contrast every 0.5; nothing between)",
    ),
    "two": (
        ["contrast=0.5:2", "brightness=0.2"],
        {"contrast": Range(0.5, 2.0), "brightness": 0.2},
        "contrast 0.5:2, brightness 0.2",
    ),
    "interval and grid": (
        ["brightness=0:0.3", "gamma=0.8:1.2:3"],
        {"brightness": (0, 0.3), "gamma": {"low": 0.8, "high": 1.2, "points": 3}},
        "brightness 0:0.3, gamma 0.8:1.2:3 (grid: gamma every 0.2; nothing between)",
    ),
    "exponent": (["noise=1e-3"], {"noise": 1e-3}, "noise 0.001"),
}


@pytest.mark.parametrize(("texts", "values", "shown"), SETS.values(), ids=SETS)
def test_one_set_in_every_spelling(texts: list[str], values: dict[str, Any], shown: str) -> None:
    attack = parsed(texts)
    assert attack == Attack.of(values) == Attack.of(attack or {})
    assert str(attack) == shown
    assert attack is not None
    assert attack.is_grid == ("grid" in shown)
    written = tomllib.loads(tomli_w.dumps(attack.recipe))
    assert Attack.of(written) == attack
    assert [name for name, _ in attack] == list(values)
    assert parsed([f"{name}={r}" for name, r in attack]) == attack


def test_no_attack_is_none() -> None:
    assert parsed([]) is None
    assert not Attack.of({}).ranges


@given(
    st.floats(-1e6, 1e6),
    st.floats(0, 1e6),
    st.one_of(st.none(), st.integers(2, 50)),
)
def test_recipes_keep_every_bit(low: float, width: float, points: int | None) -> None:
    attack = Attack((("brightness", Range(low, low + width, points)),))
    assert Attack.of(tomllib.loads(tomli_w.dumps(attack.recipe))) == attack


def test_a_grid_is_evenly_spaced_with_its_ends() -> None:
    assert Grid("contrast", Range(0.5, 2.0, 4)).points == tuple(np.linspace(0.5, 2, 4).tolist())
    assert Grid("rotation", Range(-8, 8, 17)).points[8] == 0.0


UNREADABLE = {
    "no value": ["contrast"],
    "empty value": ["contrast="],
    "no name": ["=1"],
    "word": ["contrast=much"],
    "four numbers": ["contrast=1:2:3:4"],
    "half a point": ["contrast=1:2:2.5"],
    "infinitely many points": ["contrast=1:2:inf"],
    "no number of points": ["contrast=1:2:nan"],
    "one point": ["contrast=1:2:1"],
    "fewer points than none": ["contrast=1:2:-3"],
    "too many points": ["contrast=1:2:100001"],
    "reversed": ["contrast=2:1"],
    "not a number": ["contrast=nan"],
    "not a number at the end": ["contrast=1:nan"],
    "infinite": ["contrast=1:inf"],
    "twice": ["contrast=1:2", "contrast=3"],
}


@pytest.mark.parametrize("texts", UNREADABLE.values(), ids=UNREADABLE)
def test_text_that_is_no_attack(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"^(--)?attack: expected ") as error:
        parsed(texts)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "value",
    [None, (), (1, 2, 3, 4), (2, 1), math.nan, (0, math.inf), (1, 2, 1), (1, 2, 2.5), "0.5:2", [1, "a"],
     {"low": 1.0}, {"low": 1.0, "high": 2.0, "colour": 3}, {"low": "1", "high": 2.0}],
    ids=str,
)  # fmt: skip
def test_values_that_are_no_range(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^attack: expected "):
        Attack.of({"contrast": value})


AFFINE = compose(Contrast(0.5), Brightness(0.3), Noise(0.3))
REFUSED: dict[str, tuple[Smoothing, dict[str, Any], str]] = {
    "nothing": (AFFINE, {}, "a value for at least one of 'contrast', 'brightness', 'noise', got nothing"),
    "not smoothed": (AFFINE, {"gamma": 1.1}, "smoothed ('contrast', 'brightness', 'noise'), got gamma"),
    "one of two not smoothed": (AFFINE, {"contrast": 1.1, "blur": 1}, "got blur"),
    "unknown": (compose(Noise(0.5)), {"fog": 1}, "smoothed ('noise'), got fog"),
    "contrast of 0": (AFFINE, {"contrast": 0}, "expected a factor > 0 for contrast, got 0"),
    "contrast down to 0": (AFFINE, {"contrast": (0, 1)}, "expected a factor > 0 for contrast, got 0"),
    "contrast below 0": (AFFINE, {"contrast": (-1, 1)}, "expected a factor > 0 for contrast, got -1"),
    "gamma of 0": (compose(Gamma(0.3)), {"gamma": 0}, "expected a factor > 0 for gamma, got 0"),
    "noise below 0": (AFFINE, {"noise": -0.1}, "expected an l2 norm >= 0 for noise, got -0.1"),
    "noise from below 0": (AFFINE, {"noise": (-0.1, 0.1)}, "expected an l2 norm >= 0 for noise, got -0.1"),
    "translation below 0": (compose(Translation(2.0)), {"translation": -1}, "expected an l2 norm >= 0 for translation"),
    "blur below 0": (compose(Blur(2.0)), {"blur": (-1, 2)}, "expected a variance >= 0 for blur, got -1"),
    "a grid from below 0": (compose(Blur(2.0)), {"blur": (-1, 2, 4)}, "expected a variance >= 0 for blur, got -1"),
    "a large grid": (AFFINE, {"contrast": (0.5, 2, 20_001)}, "expected a grid of at most 20,000 points, got contrast"),
    "two large grids": (
        AFFINE,
        {"contrast": (0.5, 2, 142), "brightness": (-1, 1, 142)},
        "expected a grid of at most 20,000 points",
    ),
}


@pytest.mark.parametrize(("smoothing", "attack", "message"), REFUSED.values(), ids=REFUSED)
def test_attacks_that_a_smoothing_refuses(smoothing: Smoothing, attack: dict[str, Any], message: str) -> None:
    for ask in (smoothing.p_star, lambda a: smoothing.survives(a, 0.9, 0.1)):
        with pytest.raises(ValueError, match=r"^attack: .*" + re.escape(message)) as error:
            ask(attack)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("smoothing", "attack"),
    [
        (compose(Blur(4.0, "uniform")), {"blur": 2.5}),
        (compose(Brightness(0.1)), {"brightness": 1e300}),
        (compose(Contrast(0.1), Brightness(0.1)), {"contrast": (1e-300, 1e300), "brightness": (-1e300, 1e300)}),
    ],
    ids=["past a uniform law's middle", "far", "both far"],
)
def test_nothing_survives_an_attack_past_all_reach(smoothing: Smoothing, attack: dict[str, Any]) -> None:
    """p_star is 1: not even certainty at the input says anything about the attacked one."""
    assert smoothing.p_star(attack) == 1.0
    assert not smoothing.survives(attack, 1 - 1e-12, 1e-12)


def test_a_number_for_a_norm_is_a_ball_and_an_interval_the_ball_of_its_end() -> None:
    noise, translation = compose(Noise(0.5)), compose(Translation(2.0))
    assert noise.p_star({"noise": 0.4}) == noise.p_star({"noise": (0, 0.4)}) == noise.p_star({"noise": (0, 0.4, 5)})
    assert translation.p_star({"translation": (1, 3)}) == translation.p_star({"translation": 3})


def test_a_set_is_as_strong_as_its_worst_member() -> None:
    """An interval needs what its ends need, alone; a grid what its points need, and what lies between is not asked."""
    alone = compose(Contrast(0.5))
    ends = [alone.p_star({"contrast": c}) for c in (0.7, 1.6)]
    assert alone.p_star({"contrast": (0.7, 1.6)}) == max(ends)
    assert alone.p_star({"contrast": (0.7, 1.6, 3)}) == max(ends)
    assert alone.p_star({"contrast": (1.2, 1.6)}) == ends[1]
    smoothing = compose(Contrast(0.5), Brightness(0.3))
    grid = smoothing.p_star({"contrast": (0.7, 1.6, 2), "brightness": (-0.2, 0.2, 2)})
    points = [smoothing.p_star({"contrast": c, "brightness": b}) for c in (0.7, 1.6) for b in (-0.2, 0.2)]
    assert grid == max(points)
    assert smoothing.p_star({"contrast": (0.7, 1.6), "brightness": (-0.2, 0.2)}) >= grid


def test_what_an_attack_leaves_out_stays_at_the_identity() -> None:
    smoothing = compose(Contrast(0.5), Brightness(0.3))
    assert smoothing.p_star({"contrast": 1.3}) == pytest.approx(smoothing.p_star({"contrast": 1.3, "brightness": 0}))
    assert smoothing.p_star({"contrast": 1.3}) == pytest.approx(
        compose(Contrast(0.5)).p_star({"contrast": 1.3}), rel=1e-9
    )
