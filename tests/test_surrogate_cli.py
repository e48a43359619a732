"""Surrogates on the command line: runs from a bundle, verified and audited, and what is refused in one line."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from .conftest import Result
from .denoisers import scaled
from .models import model, value
from .surrogates import affine, write_bundle

Cli = Callable[..., Result]
IMAGE = (1, 6, 6)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six images, the first three darker; label 1 is bright."""
    rng = np.random.default_rng(0)
    dark, bright = rng.integers(60, 120, (3, 6, 6)), rng.integers(140, 200, (3, 6, 6))
    np.savez(tmp_path / "six.npz", x=np.concatenate([dark, bright]).astype(np.uint8), y=[0, 0, 0, 1, 1, 1])
    return tmp_path / "six.npz"


def bundle(folder: Path, name: str = "brightness", trained: tuple[float, float] = (-0.3, 0.3), **more: Any) -> Path:
    """Codes of two numbers, means of the left and right half; class 1 where their mean is above a half."""
    halves = np.zeros((2, 6, 6))
    halves[0, :, :3] = halves[1, :, 3:] = 1 / 18
    made = {"deviations": np.array([0.2, 0.2]), "noise": {"sigma": 0.8}, "a1": np.ones((2, 1)), **more}
    return write_bundle(
        folder, name=name, trained=trained, matrix=halves.reshape(2, -1), normal=np.array([0.5, 0.5]),
        threshold=0.5, image=IMAGE, **made
    )  # fmt: skip


def run(cli: Cli, folder: Path, data: Path, *more: object, smooth: str = "") -> Result:
    return cli(
        "certify", folder / "model.onnx", data, "--smooth", smooth or f"surrogate={folder}", "--n", 2000, "-q",
        "--run", "r", *more,
    )  # fmt: skip


def test_a_run_is_certified_verified_and_audited(cli: Cli, tmp_path: Path, data: Path) -> None:
    folder = bundle(tmp_path / "S")
    result = run(cli, folder, data)
    assert result.code == 0, result
    assert "surrogate of brightness, sigma = 0.8, fixed mode, attack model integer" in result.out
    verified = cli("verify", "r", "--redraw", 2)
    assert (verified.code, verified.out) == (
        0,
        "2 inputs drawn again\nr: 6 entries (attack model integer), 0 problems\n",
    )
    audited = cli("audit", "r", "--attacks", 6)
    assert audited.code == 0
    assert " 0 violations" in audited.out
    again = run(cli, folder, data)
    assert "resumed: 6 of 6 inputs were there already" in again.out
    assert cli("report", "r", "--ends", 0).code == 0


def test_a_denoiser_is_no_part_of_a_surrogate(cli: Cli, tmp_path: Path, data: Path) -> None:
    (tmp_path / "d.onnx").write_bytes(scaled((1, 6, 6)))
    result = run(cli, bundle(tmp_path / "S"), data, "--denoiser", "d.onnx,clip=no", "--denoiser-sigma", 0.5)
    assert result.code == 2
    assert "a surrogate's noise is on codes, ahead of its decoder; leave --denoiser out" in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("attack", ["brightness=-0.05:0.05", "brightness=-0.05:0.05:5"])
@pytest.mark.parametrize("mode", ["fixed", "target"])
def test_attacks_are_certified_in_every_mode(cli: Cli, tmp_path: Path, data: Path, attack: str, mode: str) -> None:
    folder = bundle(tmp_path / "S")
    result = run(cli, folder, data, "--attack", attack, "--mode", mode)
    assert result.code == 0, result
    assert cli("verify", "r").code == 0
    entry = json.loads((tmp_path / "r" / "ledger.jsonl").read_text().splitlines()[0])
    assert len(entry["evidence"]["distances"]) == (5 if attack.endswith(":5") else 27)


def test_targets_with_the_same_outcomes_are_all_claimed(cli: Cli, tmp_path: Path, data: Path) -> None:
    result = run(cli, bundle(tmp_path / "S"), data, "--mode", "target", "--radii", "0.0101,0.0102,0.02")
    assert result.code == 0, result
    assert cli("verify", "r").code == 0


def test_predictions_promise_nothing_of_attacks(cli: Cli, tmp_path: Path, data: Path) -> None:
    folder = bundle(tmp_path / "S")
    result = cli("predict", folder / "model.onnx", data, "--smooth", f"surrogate={folder}", "--run", "p", "-q")
    assert result.code == 0, result
    assert cli("verify", "p", "--redraw", 1).code == 0


def test_a_bundle_that_has_moved_is_named(cli: Cli, tmp_path: Path, data: Path) -> None:
    folder = bundle(tmp_path / "S")
    run(cli, folder, data)
    shutil.move(folder, tmp_path / "T")
    missing = cli("verify", "r", "--model", tmp_path / "T" / "model.onnx")
    assert missing.code == 3
    assert re.search(r"surrogate: .*S is not there; pass --surrogate", missing.out)
    assert cli("verify", "r", "--model", tmp_path / "T" / "model.onnx", "--surrogate", tmp_path / "T").code == 0
    other = bundle(tmp_path / "U", trained=(-0.2, 0.2))
    wrong = cli("verify", "r", "--model", other / "model.onnx", "--surrogate", other)
    assert wrong.code == 1
    assert "surrogate: expected surrogate.json of SHA-256" in wrong.out


def forged(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    ledger = folder / "ledger.jsonl"
    first, *rest = ledger.read_text().splitlines()
    entry = json.loads(first)
    change(entry)
    ledger.write_text("\n".join([json.dumps(entry), *rest]) + "\n")


def nearer(entry: dict[str, Any]) -> None:
    entry["evidence"]["distances"] = [[a, b, d / 2] for a, b, d in entry["evidence"]["distances"]]


def fewer(entry: dict[str, Any]) -> None:
    del entry["evidence"]["distances"][10:12]


def none(entry: dict[str, Any]) -> None:
    del entry["evidence"]["distances"]


def negative(entry: dict[str, Any]) -> None:
    entry["evidence"]["distances"][3][2] = -1.0


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (nearer, r"an attack moves the code farther than|certificate|in the ledger"),
        (fewer, "the distances are not those of all attacks|in the ledger"),
        (none, "the evidence is none that the algorithm leaves"),
        (negative, "the evidence is none that the algorithm leaves"),
    ],
    ids=["nearer", "fewer", "none", "negative"],
)
def test_forged_distances_are_found(
    cli: Cli, tmp_path: Path, data: Path, change: Callable[[dict[str, Any]], None], found: str
) -> None:
    run(cli, bundle(tmp_path / "S"), data, "--attack", "brightness=-0.05:0.05")
    forged(tmp_path / "r", change)
    result = cli("verify", "r")
    assert result.code == 1
    assert re.search(f"wrong: input 0: .*({found})", result.out), result


def test_the_papers_bound_certifies_less(cli: Cli, tmp_path: Path, data: Path) -> None:
    """The exact radius is never smaller; both runs verify, one against its calibration."""
    folder = bundle(tmp_path / "S")
    smooth = f"surrogate={folder},sigma1=0.1,sigma2=0.2"
    measured = cli("calibrate", "surrogate", folder, data, "S.cal", "-q")
    assert measured.code == 0, measured
    exact = run(cli, folder, data, "--nonce", "n", smooth=smooth)
    paper = cli(
        "certify", folder / "model.onnx", data, "--smooth", smooth, "--n", 2000, "-q", "--run", "p",
        "--guarantee", "paper", "--calibration", "S.cal", "--nonce", "n",
    )  # fmt: skip
    assert (exact.code, paper.code) == (0, 0), paper
    assert cli("verify", "p", "--redraw", 1).code == 0
    radii = [
        [
            json.loads(line)["certificate"]["radius"]
            for line in (tmp_path / name / "ledger.jsonl").read_text().splitlines()
        ]
        for name in ("r", "p")
    ]
    assert all(a >= b for a, b in zip(*radii, strict=True))
    assert sum(radii[1]) > 0
    (tmp_path / "S.cal").unlink()
    assert cli("verify", "p").code == 3


REFUSED = {
    "another file": ("decoder.onnx", b"x", "decoder.onnx: expected SHA-256"),
    "no manifest": ("surrogate.json", None, "surrogate.json: expected surrogate.json of a surrogate's bundle"),
    "truncated manifest": ("surrogate.json", b"{", "surrogate.json: expected a surrogate's manifest, got"),
    "no encoder": ("encoder.onnx", None, "encoder.onnx: expected a surrogate's bundle"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_do_not_belong_together_are_refused(cli: Cli, tmp_path: Path, data: Path, case: str) -> None:
    folder = bundle(tmp_path / "S")
    name, content, message = REFUSED[case]
    (folder / name).write_bytes(content) if content is not None else (folder / name).unlink()
    result = run(cli, folder, data)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1


def rewritten(folder: Path, name: str, content: bytes) -> None:
    """Another file, with the manifest's own hash: a bundle that was made so."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "surrogate.json").read_text())
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    (folder / "surrogate.json").write_text(json.dumps(manifest))


def arrays(folder: Path, **changes: Any) -> bytes:
    with np.load(folder / "arrays.npz") as held:
        np.savez(folder / "arrays.npz", **{name: held[name] for name in held if name not in changes}, **changes)
    return (folder / "arrays.npz").read_bytes()


def two_inputs() -> bytes:
    """A classifier of a code and something else: a covariance of the input's own, say."""
    nodes = [helper.make_node("Add", ["code", "more"], ["sum"])]
    inputs = [value(name, TensorProto.FLOAT, ("N", 2)) for name in ("code", "more")]
    return model(nodes, inputs, [value("sum", TensorProto.FLOAT, ("N", 2))])


BY_INPUT = {
    "A1 for every input": (
        "arrays.npz", lambda f: arrays(f, A1=np.ones((6, 2, 1))), "expected A1 of shape (2, 1), the same",
    ),
    "deviations for every input": (
        "arrays.npz", lambda f: arrays(f, deviations=np.ones((6, 2))), "expected deviations of shape (2,), the same",
    ),
    "factor for every input": (
        "arrays.npz", lambda f: arrays(f, factor=np.ones((6, 2, 1))), "expected factor of shape (2, -1), the same",
    ),
    "no noise in a direction": (
        "arrays.npz", lambda f: arrays(f, deviations=np.array([1.0, 0.0])), "expected deviations above 0",
    ),
    "nan": ("arrays.npz", lambda f: arrays(f, b1=np.array([0.0, np.nan])), "expected b1 of shape (2,)"),
    "a classifier of two inputs": ("classifier.onnx", lambda f: two_inputs(), "expected one input, got 2"),
    "a classifier of other codes": (
        "classifier.onnx", lambda f: affine("code", "scores", (3,), np.eye(3), (3,)), "expected codes (2,), got (3,)",
    ),
    "an encoder of other images": (
        "encoder.onnx", lambda f: affine("image", "code", (1, 5, 5), np.ones((2, 25)), (2,)),
        "expected any number of image (1, 6, 6) to code",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BY_INPUT)
def test_bundles_whose_law_depends_on_the_input_are_refused(cli: Cli, tmp_path: Path, data: Path, case: str) -> None:
    """As those of any other shape: there is one covariance, one mean, one classifier of a code."""
    folder = bundle(tmp_path / "S")
    name, content, message = BY_INPUT[case]
    rewritten(folder, name, content(folder))
    result = run(cli, folder, data)
    assert result.code == 2
    assert message in result.err, result.err
    assert result.err.count("\n") == 1


LINES = {
    "sigma 0": ({"smooth": "surrogate={S},sigma=0"}, [], "surrogate: expected sigma > 0, got 0"),
    "one sigma of two": ({"smooth": "surrogate={S},sigma1=1"}, [], "expected surrogate=FOLDER, with sigma=S or"),
    "another option": ({"smooth": "surrogate={S},scale=1"}, [], "expected surrogate=FOLDER, with sigma=S or"),
    "no number": ({"smooth": "surrogate={S},sigma=x"}, [], "--smooth sigma: expected numbers"),
    "noise beside it": ({}, ["--smooth", "noise=0.5"], "--smooth: expected a surrogate alone"),
    "another attack": ({}, ["--attack", "contrast=0.9:1.1"], "--attack: expected values of brightness"),
    "a radius beyond": ({}, ["--mode", "target", "--radii", "0.5"], "--radii: expected at most 0.3"),
    "path": ({}, ["--guarantee", "path"], "--guarantee: expected exact or paper, got path"),
    "paper without calibration": (
        {},
        ["--guarantee", "paper"],
        "--calibration: of a surrogate, with --guarantee paper",
    ),
    "preprocessing": ({}, ["--mean", "0.5"], "expected the preprocessing that the surrogate was joined with"),
    "a border": ({}, ["--border", "wrap"], "--border: a surrogate's transformation has its own"),
    "no folder": ({"smooth": "surrogate=nowhere"}, [], "nowhere/surrogate.json: expected surrogate.json"),
}


@pytest.mark.parametrize("case", LINES)
def test_bad_input_gets_one_line(cli: Cli, tmp_path: Path, data: Path, case: str) -> None:
    folder = bundle(tmp_path / "S")
    named, more, message = LINES[case]
    smooth = named.get("smooth", "").format(S=folder)
    result = run(cli, folder, data, *more, smooth=smooth)
    assert result.code == 2
    assert message in result.err, result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "r").exists()


def test_an_interval_without_bounds_names_the_grid(cli: Cli, tmp_path: Path, data: Path) -> None:
    folder = bundle(tmp_path / "S", "rotational-blur", (-10.0, 10.0))
    nodes = [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["m"]),
             helper.make_node("Erf", ["m"], ["code"])]  # fmt: skip
    graph = model(
        nodes, [value("image", TensorProto.FLOAT, ("N", *IMAGE))], [value("code", TensorProto.FLOAT, ("N", 2))],
        {"w": np.ones((36, 2), np.float32) / 36},
    )  # fmt: skip
    rewritten(folder, "encoder.onnx", graph)
    result = run(cli, folder, data, "--attack", "rotational-blur=-10:10")
    assert result.code == 2
    assert "or a grid" in result.err
    assert "rotational-blur=-10:10:POINTS" in result.err
    assert run(cli, folder, data, "--attack", "rotational-blur=-10:10:21").code == 0


def test_data_of_another_size_fail_input_by_input(cli: Cli, tmp_path: Path) -> None:
    folder = bundle(tmp_path / "S")
    np.savez(tmp_path / "five.npz", x=np.zeros((2, 5, 5), np.uint8))
    result = run(cli, folder, tmp_path / "five.npz")
    assert result.code == 2
    assert "expected an input that fits the model's (1, 6, 6)" in result.err


SLICED = {
    "a finite range": ("brightness", (-0.3, 0.3), "brightness=-0.12:0.12"),
    "whole values": ("motion-blur", (1.0, 4.0), "motion-blur=1:4"),
    "by size": ("pixelate", (0.4, 1.0), "pixelate=0.4:1"),
    "an interval": ("rotation", (-5.0, 5.0), "rotation=-3:3"),
}


@pytest.mark.parametrize("case", SLICED)
def test_several_centres_certify_what_one_may_not(cli: Cli, tmp_path: Path, data: Path, case: str) -> None:
    """Mode slices: votes around images in between, each for the attacks within half a deviation of it."""
    name, trained, attack = SLICED[case]
    folder = bundle(tmp_path / "S", name, trained, deviations=np.array([0.05, 0.05]), noise={"sigma": 0.5})
    result = run(cli, folder, data, "--mode", "slices", "--attack", attack)
    assert result.code == 0, result
    verified = cli("verify", "r", "--redraw", 1)
    assert verified.code == 0, verified
    assert cli("audit", "r", "--attacks", 4).code == 0
    entries = [json.loads(line) for line in (tmp_path / "r" / "ledger.jsonl").read_text().splitlines()]
    certified = [entry for entry in entries if entry["certificate"]["prediction"] >= 0]
    assert len(certified) >= 4
    assert all(entry["certificate"]["prediction"] == entry["label"] for entry in certified)


def test_slices_that_leave_attacks_out_are_found(cli: Cli, tmp_path: Path, data: Path) -> None:
    folder = bundle(tmp_path / "S", deviations=np.array([0.05, 0.05]), noise={"sigma": 0.5})
    run(cli, folder, data, "--mode", "slices", "--attack", "brightness=-0.12:0.12")

    def shorter(entry: dict[str, Any]) -> None:
        entry["evidence"]["slices"][1][0] += 2 / 255

    forged(tmp_path / "r", shorter)
    result = cli("verify", "r")
    assert result.code == 1
    assert "wrong: input 0: the slices are not those of this image" in result.out
