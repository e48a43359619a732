"""`smoothcert calibrate`: what it prints, refuses and leaves behind. Oracle of bounds: scipy's binomtest."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from scipy.stats import binomtest

from smoothcert import Attack, Noise, Rotation, compose
from smoothcert.calibration_file import encode, read, read_calibration
from smoothcert.inputs.datasets import open_dataset

from .conftest import Result
from .test_calibrate import pictures

Cli = Callable[..., Result]
TURN = ("--smooth", "rotation=5", "--attack", "rotation=-10:10")
GRID = ("--smooth", "rotation=5", "--attack", "rotation=-10:10:5")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of 30 colour images."""
    (tmp_path / "images").mkdir()
    for i, image in enumerate(pictures(30)):
        assert cv2.imwrite(str(tmp_path / "images" / f"{i:02d}.png"), image)
    return tmp_path / "images"


def rows(out: str) -> list[list[str]]:
    """Cells of the tables' bodies."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]


def test_measure_writes_says_and_then_leaves_alone(cli: Cli, images: Path) -> None:
    first = cli("calibrate", "measure", images, "a.cal", *TURN, "--crop", 16, "--mask", "circle=0.9")
    assert (first.code, first.err) == (0, "")
    file = read("a.cal")
    assert f"a.cal: written, SHA-256 {file.head['sha256']}" in first.out
    assert "on average over inputs and attacks" in first.out
    assert "rotation 5 degrees black bilinear; crop 16, mask circle, share 0.9; 3 colours" in first.out
    assert "images, 30 of 30 inputs; 1 draw of the smoothing for each, one attack; seed 0" in first.out
    assert file.head["pipeline"]["spatial"] == {"crop": 16, "mask": "circle", "share": 0.9}
    again = cli("calibrate", "measure", images, "a.cal", *TURN, "--crop", 16, "--mask", "circle=0.9")
    assert again.out == first.out.replace(f"written, SHA-256 {file.head['sha256']}", "finished before, left as it is")


def test_show_counts_inputs_and_bounds_each_threshold(cli: Cli, images: Path) -> None:
    cli("calibrate", "measure", images, "a.cal", *TURN, "--draws", 3, "--confidence", 0.99)
    shown = cli("calibrate", "show", "a.cal", "--below", "1,2,3,100", "--png", "a.png")
    file = read("a.cal")
    below, bounds = rows(shown.out)[:4], rows(shown.out)[4:-3]
    for (t, inputs, least), threshold in zip(below, (1, 2, 3, 100), strict=True):
        count = int((file.errors.max(axis=(1, 2)) < threshold).sum())
        exact = binomtest(count, 30, alternative="greater").proportion_ci(0.99).low
        assert (t, inputs) == (f"{threshold}", f"{count} of 30")
        assert 0 <= exact - float(least) < 1.1e-4
    assert 0 < int(below[2][1].partition(" ")[0]) < 30
    assert len(bounds) == len(file.calibration.bounds) > 2
    for (error, e), (exact_error, exact_e) in zip(bounds, file.calibration.bounds, strict=True):
        assert 0 <= float(error) - exact_error < 1.1e-4
        assert 0 <= float(e) - exact_e < 1.1e-6
    assert "histogram: a.png" in shown.out
    picture = cv2.imread("a.png")
    assert picture.shape == (700, 1200, 3)
    assert 10_000 < np.count_nonzero(np.ptp(picture.astype(int), axis=2) > 50) < 500_000


@pytest.mark.parametrize("strategy", ["input-sampling", "input-global"])
def test_show_spans_the_inputs_where_each_has_its_own_bounds(cli: Cli, images: Path, strategy: str) -> None:
    options = (*GRID, "--draws", 100) if strategy == "input-sampling" else (*TURN, "--evaluations", 100)
    done = cli("calibrate", "measure", images, "a.cal", *options, "--strategy", strategy, "--limit", 5)
    assert done.code == 0
    assert ("heuristic, not a proof" in done.out) == (strategy == "input-global")
    assert "--below: expected for a dataset strategy" in cli("calibrate", "show", "a.cal", "--below", "1").err
    shown = cli("calibrate", "show", "a.cal", "--png", "a.png")
    own = list(read("a.cal").calibration.inputs.values())
    for place, (e, *spread) in enumerate(rows(shown.out)[:-3]):
        errors = [bounds[place][0] for bounds in own]
        assert 0 <= float(e) - own[0][place][1] < 1.1e-6
        assert [float(cell) for cell in spread] == pytest.approx(
            [min(errors), float(np.median(errors)), max(errors)], abs=1.1e-4
        )
    assert len(rows(shown.out)[:-3]) == len(own[0])


@pytest.mark.parametrize("strategy", ["dataset-sampling", "dataset-worst", "input-global"])
def test_show_says_how_much_noise_an_attack_needs(cli: Cli, images: Path, strategy: str) -> None:
    """A little more than that is certified by votes that all agree, a little less never; the refusal says so, too."""
    turn = GRID if strategy == "dataset-worst" else TURN
    more = ("--evaluations", 100) if strategy == "input-global" else ()
    cli("calibrate", "measure", images, "a.cal", *turn, "--strategy", strategy, *more)
    table = rows(cli("calibrate", "show", "a.cal").out)[-3:]
    assert [row[0] for row in table] == ["rotation -2.5:2.5", "rotation -5:5", "rotation -10:10"]
    sigmas = [float(sigma) for _, sigma, _ in table]
    assert sigmas == sorted(sigmas)
    p_lower, points = 0.001 ** (1 / 100_000), ((3,) if strategy == "dataset-worst" else ())
    for end, sigma in zip((5.0, 10.0), sigmas[1:], strict=True):
        attack = Attack.of({"rotation": (-end, end, *points)})
        for factor, enough in ((1.001, True), (0.999, False)):
            calibration = read_calibration("a.cal")
            smoothing = compose(Rotation(5.0), Noise(factor * sigma), calibration=calibration).favourable
            assert (smoothing.p_star(attack) < p_lower) == enough
            hint = smoothing.hint(attack, p_lower)
            assert (hint == "") == enough
            assert enough or f"needs noise of at least {sigma:.2f}"[:-2] in hint
            assert enough or f"this run has {0.999 * sigma:g}" in hint


def test_merge_equals_the_whole(cli: Cli, images: Path) -> None:
    cli("calibrate", "measure", images, "whole.cal", *GRID, "--strategy", "dataset-worst", "--seed", 3)
    for i in (1, 2):
        shard = ("--shard", f"{i}/2", "--threads", i)
        cli("calibrate", "measure", images, f"{i}.cal", *GRID, "--strategy", "dataset-worst", "--seed", 3, *shard)
    merged = cli("calibrate", "merge", "merged.cal", "2.cal", "1.cal")
    assert merged.code == 0
    assert "merged.cal: 30 inputs of 2 shards" in merged.out
    assert Path("merged.cal").read_bytes() == Path("whole.cal").read_bytes()
    missing = cli("calibrate", "merge", "again.cal", "2.cal")
    assert (missing.code, missing.err.count("\n")) == (2, 1)
    assert "got shard 1/2 0 times" in missing.err


def test_table_is_measured_as_each_calibration_is(cli: Cli, images: Path) -> None:
    done = cli("calibrate", "table", images, "--crop", 16, "--below", "0.5,1.5", "--scale", 4, "--range", 8, "-q")
    assert done.code == 0
    body = rows(done.out)
    assert [row[1] for row in body] == ["nearest", "bilinear", "bicubic"] * 2
    assert [row[0] for row in body] == ["rotation 4, attacks -8:8"] * 3 + ["translation 2, attacks 0:2"] * 3
    options = {"rotation": "rotation=4", "translation": "translation=2,border=black"}
    attacks = {"rotation": "rotation=-8:8", "translation": "translation=2"}
    for what, interpolation, *found in body:
        name = what.partition(" ")[0]
        smooth = f"{options[name]},interpolation={interpolation}"
        out = f"{name}-{interpolation}.cal"
        cli("calibrate", "measure", images, out, "--smooth", smooth, "--attack", attacks[name], "--crop", 16)
        shown = cli("calibrate", "show", out, "--below", "0.5,1.5")
        assert found == [least for _, _, least in rows(shown.out)[:2]]


def model(path: Path, preprocess: str, channels: int) -> Path:
    """A classifier of images of 16x16 pixels that brings its preprocessing along."""
    size = channels * 256
    weights = helper.make_tensor("w", TensorProto.FLOAT, [size, 2], np.zeros(2 * size, np.float32))
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["scores"])],
        "model",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", channels, 16, 16])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 2])],
        [weights],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    entry = made.metadata_props.add()
    entry.key, entry.value = "smoothcert.preprocess", preprocess
    onnx.save(made, path)
    return path


def test_the_pipeline_may_come_from_the_model(cli: Cli, images: Path, tmp_path: Path) -> None:
    way = '{"mean": [0.5], "std": [0.5], "spatial": {"resize": 20, "crop": 16}}'
    brought = cli("calibrate", "measure", images, "a.cal", *TURN, "--model", model(tmp_path / "m.onnx", way, 1))
    assert brought.code == 0
    asked = cli("calibrate", "measure", images, "b.cal", *TURN, "--resize", 20, "--crop", 16, "--grey")
    assert asked.code == 0
    assert Path("a.cal").read_bytes() == Path("b.cal").read_bytes()
    assert read("a.cal").head["pipeline"]["colours"] == 1
    other = cli("calibrate", "measure", images, "c.cal", *TURN, "--model", tmp_path / "m.onnx", "--crop", 12)
    assert other.code == 2
    assert "brings its own preprocessing" in other.err


REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "no smoothing": (("--attack", "rotation=-1:1"), "--smooth: expected at least one"),
    "no attack": (("--smooth", "rotation=5"), "such as rotation=LOW:HIGH"),
    "noise": ((*TURN, "--smooth", "noise=0.5"), "parts without noise"),
    "too few images": ((*TURN, "--limit", 31), "expected at least 31 inputs"),
    "strategy": ((*TURN, "--strategy", "all"), "Invalid value for '--strategy'"),
    "too small": ((*TURN, "--crop", 64), "00.png: crop: expected at least 64x64 pixels"),
    "too small to search": (
        (*TURN, "--crop", 64, "--strategy", "input-global"),
        "00.png: crop: expected at least 64x64 pixels",
    ),
    "threads": ((*TURN, "--threads", 0), "--threads: expected at least 1"),
    "shard": ((*TURN, "--shard", "3/2"), "shard: expected i/k"),
    "draws": ((*TURN, "--draws", "x"), "--draws"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_measured_is_refused_in_one_line(cli: Cli, images: Path, name: str) -> None:
    options, message = REFUSED[name]
    refused = cli("calibrate", "measure", images, "a.cal", *options)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert message in refused.err
    assert not Path("a.cal").exists()


def test_an_unreadable_image_is_named_and_the_rest_is_kept(cli: Cli, images: Path) -> None:
    whole = (images / "17.png").read_bytes()
    (images / "17.png").write_bytes(whole[:60] + bytes(len(whole) - 60))
    failed = cli("calibrate", "measure", images, "a.cal", *TURN, "--threads", 1)
    assert (failed.code, failed.err.count("\n")) == (2, 1)
    assert "17.png: expected an image" in failed.err
    assert Path("a.cal.partial").exists()
    (images / "17.png").write_bytes(whole)
    assert cli("calibrate", "measure", images, "a.cal", *TURN).code == 0
    assert not Path("a.cal.partial").exists()
    assert len(read("a.cal").errors) == len(open_dataset(images)) == 30


@pytest.mark.parametrize("below", ["x", "0", "-1,2", "nan"])
def test_thresholds_are_numbers_above_0(cli: Cli, below: str) -> None:
    refused = cli("calibrate", "show", "a.cal", "--below", below)
    assert refused.code == 2
    assert re.match(r"smoothcert: --below: expected", refused.err)


def test_show_refuses_what_is_no_calibration_and_what_is_no_picture(cli: Cli, images: Path) -> None:
    assert "got: No such file" in cli("calibrate", "show", "a.cal").err
    Path("b.cal").write_bytes(b"{}\n")
    assert "expected a calibration file of smoothcert, got: nothing" in cli("calibrate", "show", "b.cal").err
    cli("calibrate", "measure", images, "c.cal", *TURN)
    assert "expected a name that ends in .png" in cli("calibrate", "show", "c.cal", "--png", "c.doc").err


@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf")])
def test_errors_that_are_no_norms_are_refused(cli: Cli, images: Path, value: float) -> None:
    """Signed anew: a checksum is no promise that what it signs was measured."""
    cli("calibrate", "measure", images, "a.cal", *TURN)
    file = read("a.cal")
    errors = file.errors.copy()
    errors[3] = value
    Path("b.cal").write_bytes(encode(file.head, errors))
    refused = cli("calibrate", "show", "b.cal")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "expected errors >= 0, for they are norms" in refused.err
