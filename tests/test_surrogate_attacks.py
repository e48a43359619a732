"""Surrogates under attack: what once was certified, accepted or answered with a traceback, and is no longer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from smoothcert import OrtClassifier, certify
from smoothcert.algorithms import Slices
from smoothcert.certification import run as run_one
from smoothcert.inputs.spatial import Spatial
from smoothcert.model.preprocess import Preprocess, prepared
from smoothcert.runs.folder import RunFolder
from smoothcert.runs.recipe import run_key
from smoothcert.smoothing import Attack, Range
from smoothcert.smoothing.coded import CodeLaw
from smoothcert.smoothing.coverage import Coverage, Distance
from smoothcert.smoothing.surrogate import CodeNoise
from smoothcert.smoothing.transform import attacked
from smoothcert.surrogate_file import open_surrogate

from .models import model, value
from .surrogates import affine, write_bundle
from .test_surrogate_cli import IMAGE, Cli, arrays, bundle, rewritten, run
from .test_surrogate_cli import data as data  # a fixture

QUICK = ("test_a_disc_of_translations_is_not_certified_at_whole_pixels_alone",)


def contrast_encoder() -> bytes:
    """The mean of |x - 1/2|: no cyclic shift by whole pixels changes it, and what blurs a chequerboard does."""
    both = np.concatenate([np.eye(36), -np.eye(36)], axis=1)
    weights = {
        "both": both.astype(np.float32),
        "half": np.repeat([-0.5, 0.5], 36).astype(np.float32),
        "mean": np.full((72, 1), 1 / 36, np.float32),
    }
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "both"], ["signed"]),
        helper.make_node("Add", ["signed", "half"], ["apart"]),
        helper.make_node("Relu", ["apart"], ["sizes"]),
        helper.make_node("MatMul", ["sizes", "mean"], ["code"]),
    ]
    ends = [value("image", TensorProto.FLOAT, ("N", *IMAGE))], [value("code", TensorProto.FLOAT, ("N", 1))]
    return model(nodes, *ends, weights)


def test_a_disc_of_translations_is_not_certified_at_whole_pixels_alone(tmp_path: Path) -> None:
    """Half a pixel changes the answer at a chequerboard, and no whole one does."""
    folder = write_bundle(
        tmp_path, name="translation", trained=(0.0, 1.0), matrix=np.full((1, 36), 1 / 36), normal=np.ones(1),
        threshold=0.25, image=IMAGE, options={"border": "wrap"}, deviations=np.array([0.1]),
        graphs={"encoder.onnx": contrast_encoder()},
    )  # fmt: skip
    opened, classifier = open_surrogate(folder), OrtClassifier(folder / "model.onnx")
    board = (np.indices((6, 6)).sum(0) % 2 * 255).astype(np.uint8)
    moved = attacked(board[..., None], [(opened.bundle.transform, (0.0, 0.5))])[..., 0]
    points = {"translation": (0, 1, 3)}

    def found(x: Any) -> int:
        smoothing = opened.smoothing(attack=points)
        return certify(classifier, smoothing, x, attack=points, n=2000, key=1).prediction

    assert (found(board), found(moved)) == (1, 0)
    with pytest.raises(ValueError, match=r"expected a grid of translations.*translation=0:1:3"):
        certify(classifier, opened.smoothing(), board, attack={"translation": 1}, n=2000, key=1)


def test_slices_speak_of_the_attacks_that_the_surrogate_covers_and_no_others(tmp_path: Path) -> None:
    folder = bundle(tmp_path)
    smoothing = open_surrogate(folder).smoothing(attack={"brightness": (-0.01, 0.01)})
    asked = Slices(Attack.of({"brightness": (-0.3, 0.3)}), n=1000)
    with pytest.raises(ValueError, match=r"brightness -0.01:0.01, got -0.3:0.3"):
        run_one(asked, OrtClassifier(folder / "model.onnx"), smoothing, np.full((6, 6), 100, np.uint8), key=1)


def forged(folder: Path, recipe: Callable[[str], str], entry: Callable[[dict[str, Any]], None]) -> None:
    """Another recipe and other entries, under the key that belongs to them: as whoever forges a whole run has it."""
    ledger, settings = folder / "ledger.jsonl", folder / "recipe.toml"
    settings.write_text(recipe(settings.read_text()))
    entries = [json.loads(line) for line in ledger.read_text().splitlines()]
    for one in entries:
        one["evidence"]["key"] = f"{run_key(RunFolder(folder).recipe()):016x}"
        entry(one)
    ledger.write_text("".join(json.dumps(one) + "\n" for one in entries))


def test_slices_of_a_narrower_surrogate_are_found(cli: Cli, tmp_path: Path, data: Path) -> None:
    """A recipe that asks about more than its surrogate covers: the slices hold no attack but those covered."""
    run(cli, bundle(tmp_path / "S"), data, "--mode", "slices", "--attack", "brightness=-0.01:0.01")

    def wider(recipe: str) -> str:
        smoothing, asked, rest = recipe.partition("[algorithm]")
        return smoothing + asked + rest.replace("-0.01", "-0.3").replace("0.01", "0.3")

    def stretched(entry: dict[str, Any]) -> None:
        slices = entry["evidence"]["slices"]
        slices[0][0], slices[-1][1] = -0.3, 0.3

    forged(tmp_path / "r", wider, stretched)
    result = cli("verify", "r")
    assert result.code == 1, result
    assert "wrong: input 0: slices: expected the attacks that the surrogate covers, brightness -0.01:0.01" in result.out


def test_attacks_that_no_surrogate_covers_are_found_input_by_input(cli: Cli, tmp_path: Path, data: Path) -> None:
    run(cli, bundle(tmp_path / "S"), data, "--attack", "brightness=-0.01:0.01")

    def stretched(entry: dict[str, Any]) -> None:
        entry["evidence"]["distances"] = [[-2.0, 2.0, 0.01]]
        entry["certificate"] |= {"radius": 2 - 2e-12, "interval": [2e-12 - 2, 2 - 2e-12]}

    forged(tmp_path / "r", lambda text: text.replace("-0.01", "-2.0").replace("0.01", "2.0"), stretched)
    result = cli("verify", "r")
    assert result.code == 1, result
    assert "wrong: input 0: surrogate: expected an interval of a transformation whose effect" in result.out


def test_cells_of_an_image_that_is_resized_with_overshoots_are_no_bound(tmp_path: Path) -> None:
    """Bicubic weights are negative: what lies between two images does not stay between them."""
    folder = bundle(tmp_path, "rotation", (-5.0, 5.0))
    opened = open_surrogate(folder)
    x = prepared(
        np.random.default_rng(0).integers(0, 256, (12, 12)).astype(np.uint8),
        IMAGE,
        Preprocess(spatial=Spatial(resize=6, interpolation="bicubic")),
    )
    law = CodeLaw.of(opened.covariance(CodeNoise(sigma=1.0)), opened.step)
    coverage = Coverage(opened, law, x, opened.bundle.transform, Range(-5.0, 5.0))
    with pytest.raises(ValueError, match="the others overshoot"):
        coverage.problem([Distance(-5.0, 5.0, 1e6)])


def jpegs(folder: Path) -> Path:
    return bundle(folder, "jpeg", (50.0, 60.0))


def constant(folder: Path) -> Path:
    """An encoder of one code."""
    bundle(folder, "rotation", (-5.0, 5.0))
    rewritten(folder, "encoder.onnx", affine("image", "code", IMAGE, np.zeros((2, 36)), (2,)))
    return folder


@pytest.mark.parametrize(
    ("made", "attack"), [(jpegs, "jpeg=50:60"), (constant, "rotation=-5:5")], ids=["jpeg", "no slope"]
)
@pytest.mark.parametrize("mode", ["fixed", "slices"])
def test_what_has_no_identity_or_no_slope_is_certified(
    cli: Cli, tmp_path: Path, data: Path, made: Callable[[Path], Path], attack: str, mode: str
) -> None:
    result = run(cli, made(tmp_path / "S"), data, "--mode", mode, "--attack", attack)
    assert result.code == 0, result
    assert cli("verify", "r", "--redraw", 1).code == 0


HUGE = {
    "deviations": {"deviations": np.full(2, 1e-300)},
    "b1": {"b1": np.full(2, 1e308)},
    "factor": {"factor": np.full((2, 1), 1e308)},
    "A1": {"A1": np.full((2, 1), 1e308)},
    "a factor of too many columns": {"factor": np.ones((2, 3))},
}


@pytest.mark.parametrize("case", HUGE)
def test_arrays_beyond_reason_get_one_line(cli: Cli, tmp_path: Path, data: Path, case: str) -> None:
    folder = bundle(tmp_path / "S")
    rewritten(folder, "arrays.npz", arrays(folder, **HUGE[case]))
    result = run(cli, folder, data)
    assert result.code == 2, result
    assert f"arrays.npz: expected {next(iter(HUGE[case]))}" in result.err
    assert result.err.count("\n") == 1
