"""Grids of attacks: what is measured, what is claimed, what is accepted, what is audited are the same points.

Oracles: loops over the points in plain Python, from the text of the claim; membership by distance to each of them.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr

from smoothcert import Attack, Brightness, Contrast, Gamma, Noise, Range, Rotation, Scaling, Translation, compose
from smoothcert.algorithms import Enumerate
from smoothcert.audit.members import members
from smoothcert.errors import ArgumentError
from smoothcert.smoothing import TRANSFORMS, Calibrated, Calibration, Grid, Part
from smoothcert_calibration.plan import Plan

from .test_calibrated import measured

PARTS: dict[str, Part] = {
    "rotation": Rotation(6.0),
    "scaling": Scaling(0.1),
    "translation": Translation(2.0, border="black", interpolation="bilinear"),
    "brightness": Brightness(0.2),
    "contrast": Contrast(0.3),
    "gamma": Gamma(0.4),
}
IDENTITY: dict[str, Any] = {
    "rotation": 0.0, "scaling": 1.0, "translation": (0.0, 0.0), "brightness": 0.0, "contrast": 1.0, "gamma": 1.0,
}  # fmt: skip
WORST = ("dataset-worst", "input-sampling")
PIXELS = np.zeros((1, 4, 4, 1), np.uint8)
DATA = {"name": "x", "sha256": "", "inputs": 9}


def random_range(name: str, rng: np.random.Generator, points: int | None) -> Range:
    """Around the identity, its middle or not; of round numbers, or of any."""
    digits = int(rng.choice([1, 2, 12]))
    if PARTS[name].transforms.is_planar():
        return Range(0.0, round(float(rng.uniform(0.5, 3)), digits), points)
    width = {"rotation": 10.0, "brightness": 0.2}.get(name, 0.3)
    low, high = (round(float(rng.uniform(0.3, 1)) * width, digits) or 0.1 for _ in "ab")
    low = high if rng.random() < 0.5 else low
    still = float(IDENTITY[name])
    return Range(still - low, still + high, points)


def claimed(text: str) -> dict[str, list[Any]]:
    """The points that a claim names, by its words alone."""
    found: dict[str, list[Any]] = {}
    ranges, _, meshes = text.partition(" (grid: ")
    for word in ranges.split(", "):
        name, _, numbers = word.partition(" ")
        low, high, points = (float(n) for n in numbers.split(":"))
        (step,) = re.findall(rf"{name} every ([0-9.e-]+)", meshes)
        lattice = re.search(rf"{name} every [0-9.e-]+ down and right, within the disc", meshes)
        first = -high if lattice else low
        exact = (high - first) / (points - 1)
        assert float(step) == pytest.approx(exact, rel=5e-3)
        line = [first + i * exact for i in range(int(points))]
        inside = [d for d in itertools.product(line, line) if math.hypot(*d) <= high * (1 + 1e-11)]
        found[name] = inside if lattice else line
    return found


def key(value: Any) -> tuple[int, ...]:
    """The same for values that rounding alone sets apart: no round number is near a border of these cells."""
    return tuple(math.floor(v * 1e7 + 0.3) for v in (value if isinstance(value, tuple) else (value,)))


def keys(values: Iterable[Any]) -> set[tuple[int, ...]]:
    return {key(value) for value in values}


def calibrated(parts: tuple[Part, ...], attack: Attack, strategy: str) -> Calibrated:
    bounds = ((0.01, 0.001),)
    made = compose(*parts, Noise(0.5), calibration=measured(parts, dict(attack), bounds, strategy=strategy))
    assert isinstance(made, Calibrated)
    return made


def chosen(parts: tuple[Part, ...], attack: Attack, m: int) -> list[Any]:
    """What an audit tries of the attack."""
    by = {part.name: part for part in parts}
    return members(attack, {n: p.transform for n, p in by.items()}, by, m, seed=(1,), pixels=PIXELS)


def accepts(smoothing: Calibrated, attack: dict[str, Any]) -> bool:
    """Whether there is a p_star; a refusal is one line that names the attack."""
    try:
        smoothing.p_star(attack)
    except ArgumentError as error:
        assert re.match(r"attack: expected .*, got ", str(error))  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
        return False
    return True


def candidates(name: str, r: Range, rng: np.random.Generator) -> Iterator[tuple[Any, list[Any]]]:
    """Attacks on a parameter, with the points that they are made of; no points: all between two ends."""
    step, points = Grid(name, r, IDENTITY[name]).spacing, r.points or 2
    if PARTS[name].transforms.is_planar():
        yield 0.0, [(0.0, 0.0)]
        yield r.high / 2, []
        yield (0.0, r.high), []
        for radius, count in [(r.high, points), (r.high, 2 * points - 1), (r.high - step, points - 2), (step, 3)]:
            if 0 < radius <= r.high and count >= 3:
                line = [-radius + i * 2 * radius / (count - 1) for i in range(count)]
                inside = [d for d in itertools.product(line, line) if math.hypot(*d) <= radius * (1 + 1e-11)]
                yield (0.0, radius, count), inside
        return
    i, j = sorted(rng.integers(0, points, 2).tolist())
    values = [r.low + i * step, r.low + (i + 0.5) * step, float(IDENTITY[name])]
    yield from ((value, [value]) for value in values if value <= r.high)
    yield (r.low, r.high), []
    if i < j:
        yield (r.low + i * step, r.low + j * step), []
        for count in (j - i + 1, 2 * (j - i) + 1):
            line = np.linspace(r.low + i * step, r.low + j * step, count).tolist()
            yield (line[0], min(line[-1], r.high), count), line


CASES = 400


def test_measured_claimed_accepted_and_audited_are_the_same_points() -> None:
    """Random grids of one to three parts, of even and odd numbers of points; every part named, or left out."""
    rng = np.random.default_rng(1)
    asked = refused = lacking = 0
    for _ in range(CASES):
        names = rng.choice(list(PARTS), int(rng.integers(1, 4)), replace=False).tolist()
        parts = tuple(PARTS[name] for name in names)
        most = 15 if len(names) == 1 else 7
        attack = Attack(tuple((n, random_range(n, rng, int(rng.integers(3, most)))) for n in names))
        strategy = str(rng.choice(WORST))
        plan = Plan(parts=parts, attack=attack, colours=1, data=DATA, strategy=strategy)
        axes = {name: sorted({values[i] for values in plan.grid}) for i, name in enumerate(names)}
        assert len(plan.grid) == math.prod(map(len, axes.values()))
        points = claimed(str(attack))
        said = {name: keys(points[name]) for name in names}
        assert all(said[name] == keys(axes[name]) for name in names)
        assert all(len(axes[name]) == len(points[name]) for name in names)
        smoothing = calibrated(parts, attack, strategy)
        assert smoothing.calibration.claim == plan.head["claim"]
        found = chosen(smoothing.parts, attack, 10)
        assert all(member[name] in axes[name] for member in found for name in names)
        assert len(found) == min(10, len(plan.grid))
        assert accepts(smoothing, dict(attack))
        # All but some of the parts, and each part by itself, the others at what is surely measured.
        for left in itertools.chain.from_iterable(itertools.combinations(names, k) for k in range(1, len(names))):
            whole = all(key(IDENTITY[name]) in said[name] for name in left)
            assert accepts(smoothing, {n: r for n, r in attack if n not in left}) == whole
            asked, lacking = asked + 1, lacking + (not whole)
        for name, r in attack:
            for value, made in candidates(name, r, rng):
                held = bool(made) and keys(made) <= said[name]
                assert accepts(smoothing, {**dict(attack), name: value}) == held, (str(attack), name, value)
                asked, refused = asked + 1, refused + (not held)
    assert asked > 5000
    assert refused > 1500
    assert lacking > 300


def test_attacks_drawn_from_a_range_are_intervals_of_every_part() -> None:
    """Of a calibration that drew its attacks, single values and parts left out have no claim: they are never drawn."""
    rng = np.random.default_rng(2)
    for _ in range(300):
        names = rng.choice(list(PARTS), int(rng.integers(1, 4)), replace=False).tolist()
        attack = Attack(tuple((name, random_range(name, rng, None)) for name in names))
        smoothing = calibrated(tuple(PARTS[name] for name in names), attack, "dataset-sampling")
        assert accepts(smoothing, dict(attack))
        for name in names:
            rest = {n: r for n, r in attack if n != name}
            assert not rest or not accepts(smoothing, rest)
            r = dict(attack)[name]
            still = 0.0 if PARTS[name].transforms.is_planar() else float(IDENTITY[name])
            assert not accepts(smoothing, {**dict(attack), name: still})
            assert not accepts(smoothing, {**dict(attack), name: (r.low, r.high, 5)})
            assert accepts(smoothing, {**dict(attack), name: (r.low, (still + r.high) / 2)})
        assert accepts(smoothing, dict(attack))
        if len(names) == 1:
            assert smoothing.radius(0.999) > 0
            assert accepts(smoothing, dict(smoothing.ball(smoothing.radius(0.999))))


@pytest.mark.parametrize("strategy", ["dataset-worst", "input-global"])
def test_a_part_left_out_is_at_its_identity_which_is_in_the_range(strategy: str) -> None:
    parts = Rotation(6.0), Contrast(0.3)
    inside = calibrated(parts, Attack.of({"rotation": (-5, 5), "contrast": (0.9, 1.2)}), strategy)
    assert accepts(inside, {"rotation": 3.0})
    outside = calibrated(parts, Attack.of({"rotation": (-5, 5), "contrast": (1.1, 1.2)}), strategy)
    with pytest.raises(ArgumentError, match=r"contrast within 1.1:1.2, .*got none, which leaves it at 1; name"):
        outside.p_star({"rotation": 3.0})
    assert accepts(outside, {"rotation": 3.0, "contrast": (1.1, 1.2)})


def test_a_lattice_needs_a_point_and_is_no_larger_than_can_be_held() -> None:
    for attack, message in [
        ({"translation": (0, 2, 2)}, "no point of the grid translation 0:2:2 is in the disc; take more"),
        ({"translation": (0, 2, 1001)}, "at most 1000 points to an axis for translation, got 1001"),
    ]:
        part = PARTS["translation"]
        with pytest.raises(ArgumentError, match=f"{message}|at most a million attacks"):
            Plan(parts=(part,), attack=Attack.of(attack), colours=1, data=DATA, strategy="dataset-worst")
        with pytest.raises(ArgumentError, match=message):
            compose(Translation(2.0)).p_star(attack)


@pytest.mark.parametrize("points", range(3, 12))
def test_whole_translations_of_a_lattice(points: int) -> None:
    """Without a calibration, too, a grid is a lattice: of whole pixels, or refused; its p_star is its longest's."""
    for radius in (1.0, 2.0, 2.5, 3.0, 5.0):
        line = [-radius + i * 2 * radius / (points - 1) for i in range(points)]
        inside = [d for d in itertools.product(line, line) if math.hypot(*d) <= radius]
        attack = Attack.of({"translation": (0, radius, points)})
        if all(v == int(v) for d in inside for v in d):
            found = [m["translation"] for m in chosen((Translation(2.0),), attack, 120)]
            assert set(found) == set(inside)
            longest = max(math.hypot(*d) for d in inside)
            assert compose(Translation(2.0)).p_star(attack) == pytest.approx(float(ndtr(longest / 2.0)), rel=1e-12)
        else:
            with pytest.raises(ArgumentError, match=f"a grid of whole pixels, .*give translation={radius:g}"):
                compose(Translation(2.0)).p_star(attack)


def test_rounding_does_not_take_the_identity_off_a_grid() -> None:
    """An odd number of points around it holds it, as itself and no neighbour of it."""
    rng = np.random.default_rng(4)
    for _ in range(2000):
        name = str(rng.choice(list(PARTS)))
        half = float(rng.uniform(1e-3, 0.7)) * (10 if name == "rotation" else 1)
        still = IDENTITY[name]
        middle = 0.0 if PARTS[name].transforms.is_planar() else float(still)
        low = 0.0 if PARTS[name].transforms.is_planar() else middle - half
        grid = TRANSFORMS[name].grid(Range(low, middle + half, 2 * int(rng.integers(1, 30)) + 1))
        assert still in grid.points
        assert not grid.lacks([still])


def test_small_grids_are_not_blurred_into_one_point() -> None:
    grid = Grid("brightness", Range(-1e-9, 1e-9, 5))
    assert len(set(grid.points)) == 5
    assert grid.lacks([0.25e-9])
    assert not grid.lacks([0.5e-9])


def test_what_a_range_lists() -> None:
    assert TRANSFORMS["rotation"].listed(Range(5.0, 5.0)) == (5.0,)
    assert TRANSFORMS["rotation"].listed(Range(-5.0, 5.0)) is None
    translation = TRANSFORMS["translation"]
    assert translation.listed(Range(0.0, 0.0)) == ((0.0, 0.0),)
    assert translation.listed(Range(2.0, 2.0)) is None  # a ball
    assert translation.listed(Range(0.0, 1.0, 3)) == (
        (-1.0, 0.0),
        (0.0, -1.0),
        (0.0, 0.0),
        (0.0, 1.0),
        (1.0, 0.0),
    )


def test_the_members_of_an_enumeration_begin_with_the_image_itself() -> None:
    """Whatever its set leaves out: it asks about the image itself, and of no identity that it did not ask about."""
    for attack in (
        {"rotation": (5.0, 6.0, 2)},
        {"gamma": (0.8, 1.2, 4)},
        {"translation": 1.0, "contrast": (0.5, 0.9, 2)},
    ):
        algorithm = Enumerate(Attack.of(attack))
        assert algorithm.members()[0] == tuple(IDENTITY[name] for name in attack)


@pytest.mark.parametrize(
    "pair", [(-0.1, 0.01), (math.nan, 0.01), (math.inf, 0.01), (0.1, -0.01), (0.1, 1.5), (0.1, math.nan)], ids=str
)
def test_bounds_that_are_no_errors_are_refused(pair: tuple[float, float]) -> None:
    """Of a file, of a recipe, of one input: no norm is negative."""
    good = measured((PARTS["rotation"],), {"rotation": (-5, 5)}, ())
    for values in ({"bounds": (pair,)}, {"inputs": {"a": (pair,)}}):
        with pytest.raises(ArgumentError, match="calibration: expected errors >= 0"):
            Calibration(**{**vars(good), **values})
