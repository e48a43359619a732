"""Measuring calibrations. Oracles: bare OpenCV calls and integers, exact probabilities, simulated calibrations."""

from __future__ import annotations

import itertools
import math
import os
import re
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import binomtest, kstest

from smoothcert.calibration_file import CalibrationFile, error_bounds, read
from smoothcert.draws import Stream
from smoothcert.errors import CalibrationError, DataError
from smoothcert.inputs.datasets import Example, open_dataset
from smoothcert.inputs.input import Input
from smoothcert.inputs.levels import EIGHT_BIT
from smoothcert.inputs.spatial import PLAIN, Raw, Spatial
from smoothcert.smoothing import (
    Attack,
    Blur,
    Brightness,
    Contrast,
    Gamma,
    Noise,
    Part,
    Rotation,
    Scaling,
    Translation,
    compose,
)
from smoothcert_calibration.attacks import drawn_attack
from smoothcert_calibration.errors import errors_of, intensities
from smoothcert_calibration.measure import measure
from smoothcert_calibration.merge import merge
from smoothcert_calibration.plan import Plan, plan_of

QUICK = (
    "test_errors_are_those_of_bare_opencv_calls",
    "test_norms_are_rounded_up",
    "test_draws_that_share_an_image_count_once",
)

ROTATION = (Rotation(5.0),)
RANGE, GRID = {"rotation": (-10, 10)}, {"rotation": (-10, 10, 5)}
STRATEGIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dataset-sampling": (RANGE, {"draws": 2}),
    "dataset-worst": (GRID, {}),
    "input-sampling": (GRID, {"draws": 30}),
    "input-global": (RANGE, {"evaluations": 100}),
}


def pictures(count: int, side: int = 24, seed: int = 0, colours: int = 3) -> np.ndarray:
    """Smooth noise, 8 bits, 5 pixels wider than high."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((count, side, side + 5, colours))
    smooth = np.stack([cv2.GaussianBlur(image, (0, 0), 1.5).reshape(image.shape) for image in noise])
    return np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)


@pytest.fixture
def data(tmp_path: Path) -> Any:
    np.savez(tmp_path / "images.npz", x=pictures(9))
    return open_dataset(tmp_path / "images.npz")


def planned(data: Any, strategy: str = "dataset-sampling", **options: Any) -> Plan:
    attack, usual = STRATEGIES[strategy]
    return plan_of(data, "images.npz", ROTATION, Attack.of(attack), strategy=strategy, **{**usual, **options})


# What is measured, against bare OpenCV.


def turned(image: np.ndarray, degrees: float, flag: int, border: int) -> np.ndarray:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return cv2.warpAffine(image, matrix, (width, height), flags=flag, borderMode=border)


def exact_norm(a: np.ndarray, b: np.ndarray) -> float:
    difference = a.astype(np.int64) - b.astype(np.int64)
    return math.sqrt(int((difference * difference).sum())) / 255


def prepared(image: np.ndarray) -> np.ndarray:
    """Shorter side 20, bilinear; the middle 16 pixels; a disc."""
    height, width = image.shape[:2]
    size = (20 * width // min(height, width), 20 * height // min(height, width))
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    top, left = round((image.shape[0] - 16) / 2), round((image.shape[1] - 16) / 2)
    image = image[top : top + 16, left : left + 16].copy()
    for y, x in itertools.product(range(16), range(16)):
        if (x - 7.5) ** 2 + (y - 7.5) ** 2 > 8**2:
            image[y, x] = 0
    return image


FLAGS = {"bilinear": cv2.INTER_LINEAR, "nearest": cv2.INTER_NEAREST, "bicubic": cv2.INTER_CUBIC}
BORDERS = {"black": cv2.BORDER_CONSTANT, "replicate": cv2.BORDER_REPLICATE}


@pytest.mark.parametrize("interpolation", FLAGS)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("colours", [1, 3])
def test_errors_are_those_of_bare_opencv_calls(interpolation: str, border: str, colours: int) -> None:
    image = pictures(1, 30, seed=3, colours=colours)[0]
    raw = Raw(image, Spatial(resize=20, crop=16, mask="circle"))
    part = Rotation(5.0, border=border, interpolation=interpolation)
    attacks, draws = [(g,) for g in (-9.7, -3.0, 0.0, 2.5, 10.0)], [(b,) for b in np.linspace(-14, 14, 15).tolist()]
    found = errors_of(raw, (part,), attacks, draws)
    how = FLAGS[interpolation], BORDERS[border]
    assert found.shape == (15, 5)
    for (j, (b,)), (k, (g,)) in itertools.product(enumerate(draws), enumerate(attacks)):
        twice, once = turned(turned(image, g, *how), b, *how), turned(image, g + b, *how)
        exact = exact_norm(prepared(twice), prepared(once))
        assert exact <= found[j, k] <= exact * (1 + 1e-6)
    assert (found[:, 2] == 0).all()
    assert (found[7] == 0).all()  # neither an attack nor a draw of 0 is any interpolation
    assert (np.delete(found, 7, axis=0)[:, [0, 4]] > 0.05).all()


def test_parts_are_applied_in_order_and_factors_multiply() -> None:
    """Scaling, then brightness: 8-bit rounding and saturation after each."""
    image = pictures(1, 30, seed=4)[0]
    parts: tuple[Part, ...] = (Scaling(0.1), Brightness(0.1))

    def by_hand(picture: np.ndarray, factor: float, brightness: float) -> np.ndarray:
        matrix = cv2.getRotationMatrix2D(((34 - 1 + 1) / 2, (30 - 1) / 2), 0, factor)
        picture = cv2.warpAffine(picture, matrix, (35, 30), flags=cv2.INTER_LINEAR)
        return np.clip(np.rint(picture + 255 * brightness), 0, 255).astype(np.uint8)

    attacks, draws = [(1.2, 0.31), (0.9, -0.413)], [(1.1, -0.52), (0.85, 0.33), (1.3, 0.0)]
    found = errors_of(Raw(image), parts, attacks, draws)
    for (j, (c, b)), (k, (f, d)) in itertools.product(enumerate(draws), enumerate(attacks)):
        exact = exact_norm(by_hand(by_hand(image, f, d), c, b), by_hand(image, f * c, d + b))
        assert exact <= found[j, k] <= exact * (1 + 1e-6)
        assert exact > 0


def test_norms_are_rounded_up() -> None:
    """In exact fractions."""
    squares = [0, 1, 2, 255**2, 7 * 255**2, *np.random.default_rng(0).integers(1, 10**13, 500).tolist()]
    for square, norm in zip(squares, intensities(np.array(squares, float), EIGHT_BIT.unit), strict=True):
        assert (Fraction(float(norm)) * 255) ** 2 >= square
        assert (Fraction(float(norm)) * 255) ** 2 <= square * (1 + Fraction(1, 2**21))


def test_a_case_whose_law_is_known(tmp_path: Path) -> None:
    """One bright pixel, nearest neighbour: it lands elsewhere where round(b) + round(g) differs from round(b + g)."""
    image = np.zeros((1, 41, 43), np.uint8)
    image[0, 20, 21] = 200
    np.savez(tmp_path / "pixel.npz", x=image)
    data = open_dataset(tmp_path / "pixel.npz")
    part = Translation(1.5, border="wrap", interpolation="nearest")
    attack = Attack.of({"translation": (0, 1.3, 3)})
    plan = plan_of(data, "pixel.npz", (part,), attack, strategy="input-sampling", draws=4000)
    file = measure(plan, data, tmp_path / "pixel.cal")
    assert set(plan.grid) == {((a, b),) for a, b in [(0, 0), (0, 1.3), (0, -1.3), (1.3, 0), (-1.3, 0)]}
    k = np.arange(-40, 41)
    # round(b + 1.3) = round(b) + 2, not + 1, for b within k + (0.2, 0.5); likewise to the other side.
    missed = float((ndtr((k + 0.5) / 1.5) - ndtr((k + 0.2) / 1.5)).sum())
    elsewhere = math.sqrt(2 * 200**2) / 255
    for column, ((down, right),) in enumerate(plan.grid):
        errors = file.errors[0, :, column]
        assert np.isin(errors, [0, np.nextafter(np.float32(elsewhere), np.float32(9)), np.float32(elsewhere)]).all()
        if (down, right) == (0, 0):
            assert not errors.any()
        else:
            # OpenCV rounds positions to a fraction of a pixel first: a thousandth of slack.
            count = int((errors > 0).sum())
            near = [p for p in (missed - 1e-3, missed, missed + 1e-3) if binomtest(count, 4000, p).pvalue > 1e-4]
            assert near
    bounds = file.calibration.inputs[data.load(0).sha256]
    assert bounds[0][0] >= elsewhere
    assert all(e >= missed - 1e-3 for bound, e in bounds if bound < elsewhere)


# Which attacks and draws.


def test_attacks_are_drawn_evenly_in_the_coordinate() -> None:
    """Kolmogorov and Smirnov."""
    parts: tuple[Part, ...] = (Rotation(5.0), Scaling(0.1), Translation(2.0, interpolation="bilinear"))
    attack = Attack.of({"rotation": (-4, 10), "scaling": (0.8, 1.5), "translation": (0, 3)})
    drawn = [drawn_attack(parts, attack, Stream(1, index, 1)) for index in range(3000)]
    angles, factors, shifts = (np.array(column) for column in zip(*drawn, strict=True))
    even = [(angles + 4) / 14, np.log(factors / 0.8) / np.log(1.5 / 0.8)]
    even += [np.square(shifts / 3).sum(axis=1), np.arctan2(*shifts.T) / (2 * np.pi) + 0.5]
    for values in even:
        assert kstest(values, "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(even) - np.eye(4)).max() < 0.07


def test_grids_are_products_and_lattices_within_the_disc() -> None:
    found = Attack.of({"translation": (0, 2, 5), "rotation": (-1, 1, 3)}).points
    lattice = [(y, x) for y in range(-2, 3) for x in range(-2, 3) if x * x + y * y <= 4]
    assert set(found) == set(itertools.product([(float(y), float(x)) for y, x in lattice], (-1.0, 0.0, 1.0)))
    assert len(found) == 13 * 3


def test_draws_depend_on_their_address_alone(data: Any) -> None:
    plan = planned(data)
    assert plan.drawn(4) == planned(data, skip=3).drawn(4) == planned(data, shard="2/2").drawn(4)
    assert plan.drawn(4) == planned(data, draws=7).drawn(4)[:2]
    assert plan.attacks(4) == planned(data, draws=7).attacks(4)
    assert plan.drawn(4) != plan.drawn(5)
    assert plan.attacks(4) != plan.attacks(5)
    assert plan.drawn(4) != planned(data, seed=1).drawn(4)
    assert plan.key != planned(data, spatial=Spatial(crop=8)).key
    whole = plan_of(data, "images.npz", (Rotation(5),), Attack.of(RANGE), draws=2)
    assert whole.key == plan.key  # 5 is 5.0


# What may be concluded.

LAWS = {
    "even": lambda rng, size: rng.random(size),
    "ties": lambda rng, size: rng.integers(0, 10, size) / 10,
    "two values": lambda rng, size: (rng.random(size) < 0.03).astype(float),
    "heavy tail": lambda rng, size: rng.pareto(0.5, size),
}
TAILS = {
    "even": lambda bound: 1 - bound,
    "ties": lambda bound: (9 - math.floor(bound * 10 + 1e-6)) / 10,
    "two values": lambda bound: 0.03 if bound < 1 else 0.0,
    "heavy tail": lambda bound: (1 + bound) ** -0.5,
}


def failures(name: str, shape: tuple[int, int], rho: float, runs: int, shrink: float = 1.0) -> int:
    """How many calibrations claim, somewhere, a smaller probability than the true one."""
    rng = np.random.default_rng(7)
    law, tail = LAWS[name], TAILS[name]
    return sum(
        any(tail(bound) > e * shrink + 1e-6 for bound, e in error_bounds(law(rng, shape).astype(np.float32), rho))
        for _ in range(runs)
    )


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("shape", [(60, 1), (150, 1), (100, 3)], ids=str)
def test_bounds_fail_no_more_often_than_rho(name: str, shape: tuple[int, int]) -> None:
    """All candidates and columns of simulated calibrations at once, against the exact binomial."""
    found = failures(name, shape, rho=0.1, runs=2000)
    assert binomtest(found, 2000, 0.1, alternative="greater").pvalue > 1e-4


@pytest.mark.parametrize("name", ["even", "heavy tail"])
def test_bounds_are_not_needlessly_wide(name: str) -> None:
    """With two thirds of the probability claimed, they would break the promise."""
    found = failures(name, (150, 1), rho=0.1, runs=2000, shrink=2 / 3)
    assert binomtest(found, 2000, 0.1, alternative="greater").pvalue < 1e-4


def test_draws_that_share_an_image_count_once() -> None:
    """Images whose draws all fare alike: counted one by one, the draws would claim what is false."""
    rng, rho, runs = np.random.default_rng(8), 0.05, 1000
    fooled = wrong = 0
    for _ in range(runs):
        image = (rng.random(40) < 0.05).astype(np.float32)
        errors = np.repeat(image, 25).reshape(40, 25, 1)
        file = CalibrationFile({"confidence": 1 - rho}, errors)
        wrong += any(bound < 1 and e < 0.05 for bound, e in file.bounds())
        fooled += any(bound < 1 and e < 0.05 for bound, e in error_bounds(errors.reshape(-1, 1), rho))
    assert binomtest(wrong, runs, rho, alternative="greater").pvalue > 1e-4
    assert fooled > 2 * rho * runs


# The same bytes, always.


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_threads_shards_and_merging_give_the_same_bytes(data: Any, tmp_path: Path, strategy: str) -> None:
    before = cv2.getNumThreads()
    file = measure(planned(data, strategy), data, tmp_path / "one.cal", threads=1)
    measure(planned(data, strategy), data, tmp_path / "many.cal", threads=5)
    assert cv2.getNumThreads() == before
    shards = [tmp_path / f"{i}.cal" for i in (2, 1, 3)]
    for path in shards:
        measure(planned(data, strategy, shard=f"{path.stem}/3"), data, path)
    merge(tmp_path / "merged.cal", shards)
    whole = (tmp_path / "one.cal").read_bytes()
    assert whole == (tmp_path / "many.cal").read_bytes() == (tmp_path / "merged.cal").read_bytes()
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name or "whole" in path.name] == []
    for text in (str(tmp_path), time.strftime("%Y-%m")):
        assert text.encode() not in whole
    # Each input stands in its row, whatever else was measured.
    alone = measure(planned(data, strategy, skip=4, limit=1), data, tmp_path / "alone.cal")
    assert (alone.errors[0] == file.errors[4]).all()
    assert file.errors.max() > 0
    if strategy.startswith("input"):
        assert file.head["inputs"] == [data.load(i).sha256 for i in range(9)]


def test_the_file_is_what_the_plan_says(data: Any, tmp_path: Path) -> None:
    """By `errors_of`, one input and draw at a time, in Python's own order."""
    plan = planned(data, "dataset-worst", draws=3, spatial=Spatial(crop=16))
    file = measure(plan, data, tmp_path / "a.cal")
    assert file.errors.shape == plan.shape == (9, 3, 5)
    for i, j, k in itertools.product(range(9), range(3), range(5)):
        raw = Raw(data.load(i).x, Spatial(crop=16))
        assert file.errors[i, j, k] == errors_of(raw, ROTATION, [plan.grid[k]], [plan.drawn(i)[j]])[0, 0]


def test_compose_takes_what_was_measured(data: Any, tmp_path: Path) -> None:
    calibration = measure(planned(data, "input-sampling", draws=300), data, tmp_path / "a.cal").calibration
    smoothing = compose(*ROTATION, Noise(2.0), calibration=calibration).of_input(Input.of(data.load(2).x))
    assert 0.5 < smoothing.p_star({"rotation": 0.0}) < smoothing.p_star({"rotation": 5.0}) < 1
    for between in (1.0, (-5.0, 5.0), (-5.0, 5.0, 4)):
        with pytest.raises(ValueError, match="at points of the grid"):
            smoothing.p_star({"rotation": between})
    assert smoothing.p_star({"rotation": (-5.0, 5.0, 3)}) == smoothing.p_star({"rotation": 5.0})
    assert smoothing.radius(0.999) == 0
    with pytest.raises(CalibrationError, match="calibrate this pipeline"):
        compose(Rotation(4.0), Noise(0.5), calibration=calibration)


def test_a_search_finds_the_worst_of_a_fine_grid(data: Any, tmp_path: Path) -> None:
    plan = planned(data, "input-global", limit=2, evaluations=2000)
    file = measure(plan, data, tmp_path / "a.cal")
    attacks, draws = ([(v,) for v in np.linspace(-end, end, 41).tolist()] for end in (10, 20))
    for i, (g, b) in enumerate(file.head["found"]):
        assert abs(g) <= 10
        assert abs(b) <= 20
        raw = Raw(data.load(i).x, PLAIN)
        assert file.errors[i, 0, 0] == errors_of(raw, ROTATION, [(g,)], [(b,)])[0, 0]
        assert file.errors[i, 0, 0] >= 0.98 * errors_of(raw, ROTATION, attacks, draws).max()


# Killed, damaged, repeated.

SLOW = """
import sys, numpy as np
from pathlib import Path
from smoothcert.inputs.datasets import open_dataset
from smoothcert.smoothing import Attack, Rotation
from smoothcert_calibration.measure import measure
from smoothcert_calibration.plan import plan_of
folder = Path(sys.argv[1])
data = open_dataset(folder / "images.npz")
attack = Attack.of({"rotation": (-10, 10, 5)})
plan = plan_of(data, "images.npz", (Rotation(5.0),), attack, strategy="dataset-worst", draws=20)
measure(plan, data, folder / "a.cal", threads=1)
"""


def test_a_killed_run_continues(tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", x=pictures(60, 60))
    data = open_dataset(tmp_path / "images.npz")
    plan = planned(data, "dataset-worst", draws=20)
    partial = tmp_path / "a.cal.partial"
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path)])
    try:
        deadline = time.monotonic() + 60
        while not (partial.exists() and partial.stat().st_size > 5000):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "a.cal").exists()
    heard: list[int] = []
    measure(plan, data, tmp_path / "a.cal", progress=heard.append)
    assert 0 < heard[0] < 60
    assert heard == list(range(heard[0], 61))
    measure(plan, data, tmp_path / "b.cal")
    assert (tmp_path / "a.cal").read_bytes() == (tmp_path / "b.cal").read_bytes()


def broken(tmp_path: Path, data: Any, plan: Plan) -> Path:
    """A partial file of six inputs: the seventh cannot be read."""

    class Torn:
        sha256 = data.sha256

        def __len__(self) -> int:
            return len(data)

        def load(self, index: int) -> Example:
            if index == 6:
                raise DataError("seventh.png: expected an image, got a corrupt or truncated file")
            return data.load(index)

    with pytest.raises(DataError, match=r"seventh\.png"):
        measure(plan, Torn(), tmp_path / "a.cal", threads=1)  # type: ignore[arg-type]
    assert not (tmp_path / "a.cal").exists()
    return tmp_path / "a.cal.partial"


DAMAGE = {
    "whole": (lambda content: content, 6),
    "torn": (lambda content: content[:-5], 5),
    "garbage behind": (lambda content: content + os.urandom(70), 6),
    "zeros behind": (lambda content: content + bytes(4096), 6),
    "a bit": (lambda content: content[:-30] + bytes([content[-30] ^ 4]) + content[-29:], 5),
    "head torn": (lambda content: content[:40], 0),
    "empty": (lambda content: b"", 0),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_partial_file_is_trusted_as_far_as_it_is_whole(data: Any, tmp_path: Path, name: str) -> None:
    damage, kept = DAMAGE[name]
    partial = broken(tmp_path, data, planned(data))
    partial.write_bytes(damage(partial.read_bytes()))
    heard: list[int] = []
    measure(planned(data), data, tmp_path / "a.cal", progress=heard.append)
    assert heard[0] == kept
    assert not partial.exists()
    measure(planned(data), data, tmp_path / "b.cal")
    assert (tmp_path / "a.cal").read_bytes() == (tmp_path / "b.cal").read_bytes()


def test_files_of_another_plan_are_refused_and_finished_ones_left_alone(data: Any, tmp_path: Path) -> None:
    partial = broken(tmp_path, data, planned(data))
    before = partial.read_bytes()
    with pytest.raises(CalibrationError, match="seed is 0 there, 1 here"):
        measure(planned(data, seed=1), data, tmp_path / "a.cal")
    assert partial.read_bytes() == before
    partial.write_bytes(b"something else\n")
    with pytest.raises(CalibrationError, match="expected the beginning of a calibration"):
        measure(planned(data), data, tmp_path / "a.cal")
    partial.unlink()
    file = measure(planned(data), data, tmp_path / "a.cal")
    stamp = (tmp_path / "a.cal").stat()
    assert (measure(planned(data), data, tmp_path / "a.cal").errors == file.errors).all()
    assert (tmp_path / "a.cal").stat() == stamp
    with pytest.raises(CalibrationError, match="draws is 2 there, 3 here"):
        measure(planned(data, draws=3), data, tmp_path / "a.cal")


def test_a_plan_that_measured_nothing_gives_way(data: Any, tmp_path: Path) -> None:
    """A first image that is too small leaves no more than a head behind."""
    with pytest.raises(DataError, match="at least 64x64"):
        measure(planned(data, spatial=Spatial(crop=64)), data, tmp_path / "a.cal")
    assert (tmp_path / "a.cal.partial").exists()
    measure(planned(data), data, tmp_path / "a.cal")
    measure(planned(data), data, tmp_path / "b.cal")
    assert (tmp_path / "a.cal").read_bytes() == (tmp_path / "b.cal").read_bytes()


def test_two_processes_do_not_share_a_partial_file(data: Any, tmp_path: Path) -> None:
    def meanwhile(done: int) -> None:
        with pytest.raises(CalibrationError, match="in use by another process"):
            measure(planned(data), data, tmp_path / "a.cal")

    measure(planned(data), data, tmp_path / "a.cal", progress=meanwhile)
    assert (tmp_path / "a.cal").exists()


@pytest.mark.parametrize("damage", [lambda c: c[:-3], lambda c: c.replace(b'"seed": 0', b'"seed": 1'), lambda c: b"x"])
def test_damaged_files_are_not_read(data: Any, tmp_path: Path, damage: Any) -> None:
    measure(planned(data), data, tmp_path / "a.cal")
    (tmp_path / "a.cal").write_bytes(damage((tmp_path / "a.cal").read_bytes()))
    with pytest.raises(CalibrationError):
        read(tmp_path / "a.cal")
    with pytest.raises(CalibrationError):
        measure(planned(data), data, tmp_path / "a.cal")


def test_merging_wants_every_shard_once(data: Any, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.cal" for i in (1, 2, 3)]
    for path in paths:
        measure(planned(data, shard=f"{path.stem}/3"), data, path)
    measure(planned(data, shard="1/2"), data, tmp_path / "half.cal")
    measure(planned(data, shard="3/3", seed=4), data, tmp_path / "other.cal")
    cases = {
        "shard 3/3 0 times": paths[:2],
        "shard 2/3 2 times": [*paths, paths[1]],
        "cut in different ways": [*paths, tmp_path / "half.cal"],
        "seed is 0 there, 4 here": [*paths[:2], tmp_path / "other.cal"],
    }
    for message, files in cases.items():
        with pytest.raises(CalibrationError, match=message):
            merge(tmp_path / "out.cal", files)
    assert not (tmp_path / "out.cal").exists()
    merge(tmp_path / "out.cal", paths)
    with pytest.raises(CalibrationError, match="is there already"):
        merge(tmp_path / "out.cal", paths)


# Refusals.

TURN, SHIFT = Rotation(5.0), Translation(2.0, interpolation="bilinear")
REFUSED: dict[str, tuple[tuple[Part, ...], dict[str, Any], dict[str, Any], str]] = {
    "no parts": ((), {}, {}, "at least one part"),
    "noise": ((TURN, Noise(0.5)), RANGE, {}, "parts without noise"),
    "blur": ((Blur(2.0),), {"blur": (0, 1)}, {}, "got blur2"),
    "whole shifts": ((Translation(2.0),), {"translation": 1}, {}, "interpolation=bilinear"),
    "whole shifts, black": ((Translation(2.0, border="black"),), {"translation": 1}, {}, "interpolation=bilinear"),
    "no Gaussian": ((Gamma(0.2, "rayleigh"),), {"gamma": (0.9, 1.1)}, {}, "gamma0.2rayleigh"),
    "a part twice": ((TURN, TURN), RANGE, {}, "each once"),
    "no range": ((TURN, SHIFT), RANGE, {}, "got none for translation"),
    "another's range": ((TURN,), {**RANGE, "scaling": (0.9, 1.1)}, {}, "got scaling; add them to `smooth`"),
    "not around the identity": ((TURN,), {"rotation": (1, 2)}, {}, "around the identity, 0"),
    "factors not around 1": ((Contrast(0.2),), {"contrast": (1.1, 2)}, {}, "around the identity, 1"),
    "a point": ((TURN,), {"rotation": 0}, {}, "around the identity"),
    "a negative radius": ((SHIFT,), {"translation": (-1, 1)}, {}, "l2 norm >= 0"),
    "grid, drawn": ((TURN,), GRID, {}, "expected an interval"),
    "no grid": ((TURN,), RANGE, {"strategy": "dataset-worst"}, "expected a grid"),
    "too many": (
        (TURN, SHIFT),
        {"rotation": (-1, 1, 100), "translation": (0, 1, 101)},
        {"strategy": "dataset-worst"},
        "at most a million",
    ),
    "strategy": ((TURN,), RANGE, {"strategy": "guess"}, "strategy: expected"),
    "draws of a search": ((TURN,), RANGE, {"strategy": "input-global", "draws": 3}, "leave it out"),
    "evaluations": ((TURN,), RANGE, {"evaluations": 500}, "input-global alone"),
    "few evaluations": ((TURN,), RANGE, {"strategy": "input-global", "evaluations": 5}, "at least 100"),
    "confidence": ((TURN,), RANGE, {"confidence": 1.0}, "confidence: expected"),
    "seed": ((TURN,), RANGE, {"seed": -1}, "seed: expected"),
    "draws": ((TURN,), RANGE, {"draws": 0}, "draws: expected"),
    "limit": ((TURN,), RANGE, {"limit": 10}, "at least 10 inputs .* got 9"),
    "skip": ((TURN,), RANGE, {"skip": 8, "limit": 2}, "at least 10 inputs"),
    "all skipped": ((TURN,), RANGE, {"skip": 9}, "at least 10 inputs"),
    "empty shard": ((TURN,), RANGE, {"shard": "10/10"}, "none in 10/10"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_calibrated_is_refused(data: Any, name: str) -> None:
    parts, attack, options, message = REFUSED[name]
    with pytest.raises((ValueError, DataError), match=message) as caught:
        plan_of(data, "images.npz", parts, Attack.of(attack), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "x", [np.zeros((3, 8, 8)), np.zeros((3, 8), np.uint8), np.zeros((3, 8, 8, 2), np.uint8)], ids=lambda x: str(x.shape)
)
def test_images_must_be_8_bit(tmp_path: Path, x: np.ndarray) -> None:
    np.savez(tmp_path / "x.npz", x=x)
    data = open_dataset(tmp_path / "x.npz")
    with pytest.raises(DataError, match=r"x\.npz\[0\]: expected an 8-bit image of 1, 3 or 4 colours"):
        plan_of(data, "x.npz", (TURN,), Attack.of(RANGE))


def test_images_with_colours_first_are_the_same_images(tmp_path: Path) -> None:
    x = pictures(3)
    np.savez(tmp_path / "last.npz", x=x)
    np.savez(tmp_path / "first.npz", x=np.moveaxis(x, -1, 1))
    last, first = (
        measure(plan_of(open_dataset(path), "x", (TURN,), Attack.of(RANGE)), open_dataset(path), path.with_suffix(".c"))
        for path in (tmp_path / "last.npz", tmp_path / "first.npz")
    )
    assert (last.errors == first.errors).all()


def test_other_colours_and_small_images_are_named_and_the_rest_is_kept(data: Any, tmp_path: Path) -> None:
    class Mixed:
        sha256, rate = data.sha256, None

        def __len__(self) -> int:
            return len(data)

        def load(self, index: int) -> Example:
            example = data.load(index)
            x = {7: example.x[..., :1], 8: example.x[:5]}.get(index, example.x)
            return Example(index, f"{index}.png", None, x)

    mixed: Any = Mixed()
    with pytest.raises(DataError, match=r"7\.png: expected 3 colours as in the first image, got 1"):
        measure(planned(mixed, limit=8), mixed, tmp_path / "a.cal")
    assert (tmp_path / "a.cal.partial").exists()
    plan = planned(mixed, skip=8, limit=1, spatial=Spatial(crop=16))
    with pytest.raises(DataError, match=r"8\.png: crop: expected at least 16x16 pixels, got 5x29"):
        measure(plan, mixed, tmp_path / "b.cal")


# The documentation.


def test_the_reader_in_the_documentation_reads(data: Any, tmp_path: Path) -> None:
    """In a process that has nothing of smoothcert."""
    file = measure(planned(data), data, tmp_path / "rotation.cal")
    text = (Path(__file__).parents[1] / "docs" / "calibration.md").read_text()
    codes = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(codes) == 2
    outs = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.strip()
        for code in codes
    ]
    assert outs[0].startswith("dataset-sampling (9, 2, 1)")
    printed = np.array([float(word) for word in outs[0].partition("[")[2].rstrip("]").split()])
    assert printed == pytest.approx(file.worst, rel=1e-5)
    assert outs[1] == "True"
    assert "smoothcert" not in "".join(re.findall(r"^(?:from|import) .*$", "".join(codes), flags=re.MULTILINE))
