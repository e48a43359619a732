"""Sets of attacks. Oracle: p_star of their points, many of them, which tests/test_neyman_pearson.py holds to draws."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from smoothcert import Blur, Brightness, Contrast, Gamma, Noise, Translation, compose
from smoothcert.bounds.cover import box_margin, box_threshold, line_threshold, line_worst, point_threshold, point_worst
from smoothcert.bounds.joint_laws import JointLaws
from smoothcert.bounds.laws import Exponential, FoldedNormal, LogRayleigh, Normal, Rayleigh, Uniform
from smoothcert.smoothing import Part, Smoothing
from smoothcert.smoothing.pairs import joint_laws

QUICK = (
    "test_a_box_holds_its_points_and_little_more[cb, contrast alone]",
    "test_grids_are_their_points_and_nothing_between",
)

Box = dict[str, tuple[float, float]]
ROUNDING = 2e-6  # what quadrature adds to one point and not to another


def coordinates(smoothing: Smoothing, attack: dict[str, Any]) -> Box:
    """The box of the attack, where identities are 0."""
    ends = {n: v if isinstance(v, tuple) else (v, v) for n, v in attack.items()}
    return {
        p.name: (p.coordinate(ends[p.name][0]), p.coordinate(ends[p.name][1]))
        for p in smoothing.parts
        if p.name in ends
    }


def attack_at(smoothing: Smoothing, point: dict[str, float]) -> dict[str, float]:
    return {part.name: part.value(point[part.name]) for part in smoothing.parts if part.name in point}


def largest(smoothing: Smoothing, attack: dict[str, Any], points: int, seed: int = 0) -> float:
    """Of p_star over the corners, a line of scales between corners, and random points of the box."""
    box, rng = coordinates(smoothing, attack), np.random.default_rng(seed)
    scale = next((n for n in ("gamma", "contrast") if n in box), next(iter(box)))
    sides = [np.linspace(*ends, 41) if name == scale else sorted(set(ends)) for name, ends in box.items()]
    lines = [dict(zip(box, map(float, values), strict=True)) for values in itertools.product(*sides)]
    inside = [{name: float(rng.uniform(*ends)) for name, ends in box.items()} for _ in range(points)]
    return max(point_threshold(joint_laws(smoothing.parts), at) for at in lines + inside)


CB, BC = (Contrast(0.5), Brightness(0.4)), (Brightness(0.4), Contrast(0.5))
RAYLEIGH = Gamma(0.6, "rayleigh")
BOXES: dict[str, tuple[tuple[Part, ...], dict[str, Any]]] = {
    "cb, both signs": (CB, {"contrast": (0.6, 1.5), "brightness": (-0.3, 0.2)}),
    "cb, contrast above 1": (CB, {"contrast": (1.2, 2.0), "brightness": (0.1, 0.2)}),
    "cb, contrast below 1": (CB, {"contrast": (0.3, 0.8), "brightness": (-0.4, -0.3)}),
    "cb, strong brightness": (CB, {"contrast": (0.7, 3.0), "brightness": 0.8}),
    "cb, brightness alone": (CB, {"brightness": (-0.3, 0.1)}),
    "cb, contrast alone": (CB, {"contrast": (0.5, 1.2)}),
    "cb, tiny scales": ((Contrast(0.01), Brightness(0.01)), {"contrast": (0.99, 1.01), "brightness": (0, 0.01)}),
    "cb, wide contrast": ((Contrast(2.0), Brightness(0.1)), {"contrast": (0.1, 4.0), "brightness": 0.1}),
    "cb, narrow contrast": ((Contrast(0.02), Brightness(0.5)), {"contrast": (0.98, 1.03), "brightness": 0.3}),
    "bc, both signs": (BC, {"contrast": (0.6, 1.5), "brightness": (-0.3, 0.2)}),
    "bc, contrast above 1": (BC, {"contrast": (1.2, 2.0), "brightness": (0.1, 0.2)}),
    "bc, contrast below 1": (BC, {"contrast": (0.3, 0.8), "brightness": (-0.4, -0.3)}),
    "bc, contrast alone": (BC, {"contrast": (0.5, 1.2)}),
    "bc, strong brightness": (BC, {"contrast": (0.5, 1.5), "brightness": (0, 0.8)}),
    "bc, tiny scales": ((Brightness(0.01), Contrast(0.01)), {"contrast": (0.99, 1.01), "brightness": (0, 0.01)}),
    "bc, wide contrast": ((Brightness(0.1), Contrast(2.0)), {"contrast": (0.7, 1.6), "brightness": 0.05}),
    "gc": ((Gamma(0.3), Contrast(0.4)), {"gamma": (0.8, 1.4), "contrast": (0.7, 1.3)}),
    "gc rayleigh": ((RAYLEIGH, Contrast(0.5)), {"gamma": (0.7, 1.4), "contrast": (0.8, 1.6)}),
    "gc rayleigh, gamma alone": ((RAYLEIGH, Contrast(0.5)), {"gamma": (0.7, 1.4)}),
    "gc rayleigh, strong": ((RAYLEIGH, Contrast(0.5)), {"gamma": (0.3, 0.8), "contrast": (1.5, 2.0)}),
    "cg": ((Contrast(0.4), Gamma(0.3)), {"gamma": (0.8, 1.4), "contrast": (0.7, 1.3)}),
    "cn": ((Contrast(0.5), Noise(0.3)), {"contrast": (0.6, 1.6), "noise": (0, 0.2)}),
    "cn, contrast below 1": ((Contrast(0.5), Noise(0.3)), {"contrast": (0.4, 0.7), "noise": 0.3}),
    "cbn": ((*CB, Noise(0.3)), {"contrast": (0.7, 1.4), "brightness": (-0.2, 0.1), "noise": 0.2}),
    "tcb": ((Translation(4.0), *CB), {"contrast": (0.7, 1.4), "brightness": (-0.2, 0.1), "translation": 3.0}),
    "t blur n": (
        (Translation(4.0), Blur(1.0, "rayleigh", "wrap"), Noise(0.3)),
        {"translation": 2.0, "blur": (0.1, 0.4), "noise": 0.2},
    ),
    "blur c": ((Blur(1.0), Contrast(0.5)), {"blur": (0.1, 0.3), "contrast": (0.6, 1.4)}),
}


@pytest.mark.parametrize("name", BOXES)
def test_a_box_holds_its_points_and_little_more(name: str) -> None:
    """No point needs more than the box; the box no more than the worst point and a half hundredth of the rest."""
    parts, attack = BOXES[name]
    smoothing = compose(*parts)
    box = smoothing.p_star({n: v if isinstance(v, tuple) else (v, v) for n, v in attack.items()})
    worst_point = largest(smoothing, attack, 80)
    assert worst_point <= box + ROUNDING
    assert box <= worst_point + 0.0052 * (1 - worst_point) + 2e-4


@pytest.mark.parametrize("name", BOXES)
def test_two_sided_boxes_hold_their_points(name: str) -> None:
    """The least probability over the box is below that at random points."""
    parts, attack = BOXES[name]
    joint = joint_laws(parts)
    box, rng = coordinates(compose(*parts), attack), np.random.default_rng(1)
    for p in (0.4, 0.9):
        least = (box_margin(joint, box, p, 1 - p) + 1) / 2
        points = [{n: float(rng.uniform(*ends)) for n, ends in box.items()} for _ in range(15)]
        points += [dict(zip(box, ends, strict=True)) for ends in itertools.product(*box.values())]
        reached = min(point_worst(joint, at, p) for at in points)
        assert least <= reached + ROUNDING
        if reached > 0.5:  # below, the sign alone is of interest, and the search ends there
            assert least >= reached - 0.01 - 0.1 * (1 - reached)


@pytest.mark.parametrize(
    "names",
    ["contrast brightness", "brightness contrast", "gamma contrast", "contrast noise", "contrast brightness noise",
     "blur contrast brightness", "translation brightness contrast"],
)  # fmt: skip
def test_random_boxes(names: str) -> None:
    rng = np.random.default_rng(len(names) + 7)
    kinds: dict[str, Any] = {"brightness": Brightness, "contrast": Contrast, "noise": Noise}
    for seed in range(3):
        parts: list[Part] = []
        for name in names.split():
            scale = float(np.exp(rng.uniform(np.log(0.05), 0.4)))
            if name == "blur":
                parts.append(Blur(3 * scale, str(rng.choice(["exponential", "uniform", "folded-normal", "rayleigh"]))))
            elif name == "gamma":
                parts.append(Gamma(scale, str(rng.choice(["lognormal", "rayleigh"]))))
            else:
                parts.append(Translation(10 * scale) if name == "translation" else kinds[name](scale))
        smoothing, attack = compose(*parts), {}
        for part in parts:
            size = 1.0 if part.line.name == "rayleigh" else 0.3 * part.scale if isinstance(part, Blur) else part.scale
            a, b = sorted(rng.normal(size=2) * size)
            if part.transforms.kind == "norm":
                a, b = 0.0, abs(b)
            elif part.transforms.kind == "variance":
                a, b = sorted((abs(a), abs(b)))
            attack[part.name] = (part.value(float(a)), part.value(float(b)))
        box, worst_point = smoothing.p_star(attack), largest(smoothing, attack, 20, seed)
        assert worst_point <= box + max(ROUNDING, 0.02 * (1 - worst_point)), (smoothing, attack)
        assert box <= worst_point + 0.0052 * (1 - worst_point) + 5e-4, (smoothing, attack)


# --- What the corners rest on -----------------------------------------------------------------------------------------

ALL = (Blur(1.0, "rayleigh", "wrap"), Translation(4.0))
GROWING: dict[str, tuple[tuple[Part, ...], str, dict[str, float]]] = {
    f"{name} in {title}, contrast {c}": (parts, name, {"contrast": c})
    for title, parts in (("cbn", (*CB, Noise(0.3))), ("bcn", (*BC, Noise(0.3))))
    for name in ("brightness", "noise")
    for c in (0.4, 1.0, 1.8)
} | {
    "brightness in bc, nearly no variance left": ((Brightness(0.4), Contrast(1.5)), "brightness", {"contrast": 15.0}),
    "brightness in bc, much more variance": ((Brightness(0.4), Contrast(1.5)), "brightness", {"contrast": 0.05}),
    "contrast in gc": ((RAYLEIGH, Contrast(0.5)), "contrast", {"gamma": 0.7}),
    "contrast in cg": ((Contrast(0.5), Gamma(0.4)), "contrast", {"gamma": 1.4}),
    "translation": ((*ALL, Contrast(0.5)), "translation", {"contrast": 0.8, "blur": 0.2}),
    "blur": ((*ALL, Contrast(0.5)), "blur", {"contrast": 0.8, "translation": 1.0}),
    "blur in blur cb": ((ALL[0], *CB), "blur", {"contrast": 0.8, "brightness": 0.1}),
    "contrast in bc, upwards": (BC, "contrast", {}),
    "gamma in gc rayleigh, upwards": ((RAYLEIGH, Contrast(0.5)), "gamma", {}),
}


@pytest.mark.parametrize("name", GROWING)
def test_p_star_grows_with_the_shift(name: str) -> None:
    """At a fixed scale p_star grows with every other shift, in each order, and does not know its sign."""
    parts, moved, rest = GROWING[name]
    smoothing = compose(*parts)
    by = {part.name: part for part in parts}
    shift = {n: by[n].coordinate(v) for n, v in rest.items()}
    sizes = np.concatenate([[0], np.geomspace(1e-3, 2.5, 9)]) * by[moved].scale
    values = [point_threshold(joint_laws(smoothing.parts), shift | {moved: float(size)}) for size in sizes]
    assert all(b >= a - 3e-5 for a, b in itertools.pairwise(values))
    if by[moved].transforms.kind == "additive" or (moved == "contrast" and "gamma" in by):
        mirrored = point_threshold(joint_laws(smoothing.parts), shift | {moved: -float(sizes[6])})
        assert mirrored == pytest.approx(values[6], abs=3e-5)


def test_scale_alone_before_the_shift_grows_both_ways() -> None:
    joint = joint_laws(BC)
    for sign in (-1, 1):
        values = [point_threshold(joint, {"contrast": sign * float(k)}) for k in np.linspace(0, 1.5, 16)]
        assert all(b >= a - ROUNDING for a, b in itertools.pairwise(values))


def test_scale_beside_a_shift_need_not_grow() -> None:
    """Why the scale of an affine group is covered: its worst value lies inside the interval."""
    joint = joint_laws((Contrast(2.0), Brightness(0.1)))
    ks = np.linspace(-2, 1.2, 33)
    values = [point_threshold(joint, {"contrast": float(k), "brightness": 0.1}) for k in ks]
    assert not (np.diff(values) >= 0).all()
    assert not (np.diff(values) <= 0).all()


@pytest.mark.parametrize("level", [0.5, 0.8, 0.97])
@pytest.mark.parametrize("half", [0.01, 0.1, 0.4])
@pytest.mark.parametrize(
    "parts", [CB, BC, (Contrast(0.5), Noise(0.3)), (RAYLEIGH, Contrast(0.5))], ids=["cb", "bc", "cn", "gc"]
)
def test_a_small_change_then_the_centre_bounds_the_cell(parts: tuple[Part, ...], half: float, level: float) -> None:
    """The cell argument by itself, at more levels than 1/2: points of a cell against the bound that it rests on."""
    joint = joint_laws(parts)
    affine = joint.affine
    assert affine is not None
    other = affine.shift or affine.noise
    assert other is not None
    for centre in (-0.6, 0.0, 0.7):
        for size in (0.05, 0.4):
            at = {affine.scale: centre, other: size}
            if affine.shift and not affine.scale_first:
                at[other] *= float(np.exp(half))
            between = point_threshold(joint, at, level)
            if between == 1:
                continue
            bound = max(point_threshold(joint, {affine.scale: s * half}, between) for s in (-1, 1))
            for k in np.linspace(centre - half, centre + half, 5):
                assert point_threshold(joint, {affine.scale: float(k), other: size}, level) <= bound + ROUNDING


# --- Lines, grids, balls ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", [Normal, LogRayleigh, Exponential, Uniform, FoldedNormal, Rayleigh])
@pytest.mark.parametrize("shift", [-0.9, -0.1, 1e-6, 0.1, 0.45, 3.0])
def test_lines(law: Any, shift: float) -> None:
    """Half-lines: the threshold is above the level, and `line_worst` inverts `line_threshold`."""
    its = law(0.7)
    if shift < 0 and law not in (Normal, LogRayleigh):
        return
    for level in (0.05, 0.5, 0.9):
        p = line_threshold(its, shift, level)
        assert level <= p <= 1
        if p < 1 - 1e-9:
            assert line_worst(its, shift, p) == pytest.approx(level, rel=1e-7)


def test_grids_are_their_points_and_nothing_between() -> None:
    smoothing = compose(Contrast(2.0), Brightness(0.1))
    grid = smoothing.p_star({"contrast": (0.1, 4.0, 3), "brightness": (-0.05, 0.1, 2)})
    points = itertools.product((0.1, 2.05, 4.0), (-0.05, 0.1))
    assert grid == max(smoothing.p_star({"contrast": c, "brightness": b}) for c, b in points)
    assert grid <= smoothing.p_star({"contrast": (0.1, 4.0), "brightness": (-0.05, 0.1)})


def test_balls_and_points_of_norms_are_one() -> None:
    for smoothing, name in ((compose(Noise(0.4)), "noise"), (compose(Translation(3.0)), "translation")):
        assert smoothing.p_star({name: 0.7}) == smoothing.p_star({name: (0.0, 0.7)})
    smoothing = compose(*CB, Noise(0.3))
    attack = {"contrast": 1.3, "brightness": 0.1}
    assert smoothing.p_star(attack | {"noise": 0.2}) == smoothing.p_star(attack | {"noise": (0.0, 0.2)})


@pytest.mark.parametrize("name", ["cb, both signs", "gc", "cbn"])
def test_a_larger_box_needs_no_less(name: str) -> None:
    """Boxes within boxes, up to the cover's own slack."""
    parts, attack = BOXES[name]
    smoothing = compose(*parts)
    box, last = coordinates(smoothing, attack), 0.0
    for share in (0.0, 0.3, 0.6, 1.0):
        inner = {n: (share * low, share * high) for n, (low, high) in box.items()}
        value = box_threshold(
            joint_laws(smoothing.parts), inner, lambda at: point_threshold(joint_laws(smoothing.parts), at)
        )
        assert value >= last - 0.0052 * (1 - last)
        last = value


@pytest.mark.parametrize("name", ["cg rayleigh", "bcn"])
def test_effort_for_one_box(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes in all, at most thirty million: seconds on one core, not minutes."""
    nodes = 0
    pair = JointLaws.pair

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal nodes
        made = pair(self, *args, **kwargs)
        nodes += len(made.p0)
        assert nodes < 40_000_000
        return made

    monkeypatch.setattr(JointLaws, "pair", counted)
    if name == "bcn":
        attack = {"contrast": (0.8, 1.3), "brightness": (-0.1, 0.1), "noise": 0.1}
        compose(Brightness(0.31), Contrast(0.41), Noise(0.5)).p_star(attack)
    else:
        attack = {"contrast": (0.8855, 0.8856), "gamma": (1.033, 1.928)}
        compose(Contrast(1.316), Gamma(0.142, "rayleigh")).p_star(attack)
