"""Runs opened again: the entry of an index is the ledger's line, on any machine, in any order. Oracle: the ledger."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smoothcert.errors import ArgumentError, CalibrationError, DataError, ModelError
from smoothcert.runs.folder import Entry, RunFolder
from smoothcert.runs.opening import open_run
from smoothcert.runs.redraw import redraw

from . import models
from .conftest import IMAGES, MODEL, Result

Cli = Callable[..., Result]
NOISE = ("--smooth", "noise=0.5")
TURNED = ("--smooth", "rotation=3", "--smooth", "noise=0.5", "--attack", "rotation=-1:1:3", "--n", 300)
MODES: dict[str, tuple[object, ...]] = {
    "fixed": (*NOISE, "--n0", 20, "--n", 200),
    "radius": (*NOISE, "--mode", "radius", "--n", 300),
    "target": (*NOISE, "--mode", "target", "--radii", "0.1,0.3", "--n", 500),
    "composed": ("--smooth", "contrast=0.3", "--smooth", "brightness=0.2", "--n", 200, "--layout", "nchw"),
    "slices": (*NOISE, "--mode", "slices", "--attack", "rotation=-1:1", "--n", 200),
    "enumerate": ("--mode", "enumerate", "--attack", "rotation=-4:4:9", "--attack", "brightness=-0.02:0.02"),
    "predict": (*NOISE, "--n", 200),
    "calibrated": (*TURNED, "--calibration", "dataset.cal"),
    "input by input": (*TURNED, "--calibration", "input.cal"),
}
AGAIN = """
import json, sys
from pathlib import Path
from smoothcert.runs.folder import RunFolder
from smoothcert.runs.opening import open_run

model, data, calibration = map(Path, sys.argv[1:4])
for folder in sys.argv[4:]:
    own = calibration if "input" in folder else None
    run = open_run(RunFolder(Path(folder)).recipe(), model=model, data=data, calibration=own, threads=1)
    print(json.dumps([run.entry(index) for index in (5, 1, 3, 0, 4, 2)]))
"""


def measured(cli: Cli, data: Path, out: str, strategy: str, *more: object) -> None:
    turn = ("--smooth", "rotation=3", "--attack", "rotation=-1:1:3", "--confidence", 0.9)
    done = cli("calibrate", "measure", data, out, *turn, "--strategy", strategy, *more)
    assert done.code == 0, done.err


def certified(cli: Cli, mode: str) -> RunFolder:
    """A run of six inputs."""
    command = "predict" if mode == "predict" else "certify"
    cli(command, MODEL, "six.npz", *MODES[mode], "--run", f"r {mode}", "-q")
    return RunFolder(Path(f"r {mode}"))


def timeless(entries: list[Entry]) -> list[Entry]:
    """By index, without the seconds, as JSON has them."""
    kept = [{k: v for k, v in entry.items() if k != "seconds"} for entry in sorted(entries, key=lambda e: e["index"])]
    found: list[dict[str, Any]] = json.loads(json.dumps(kept))
    return found


@pytest.mark.slow
def test_entries_come_again_in_another_process_elsewhere_in_any_order(cli: Cli, few_digits: Path) -> None:
    measured(cli, IMAGES, "dataset.cal", "dataset-worst")
    measured(cli, few_digits, "input.cal", "input-sampling", "--draws", 100, "--limit", 5)  # the sixth fails
    folders = [certified(cli, mode) for mode in MODES]
    Path("elsewhere").mkdir()
    for name in ("six.npz", "input.cal", "dataset.cal"):
        Path(name).rename(Path("elsewhere", name))
    Path("elsewhere", "m.onnx").write_bytes(MODEL.read_bytes())
    files = (f"elsewhere/{name}" for name in ("m.onnx", "six.npz", "input.cal"))
    command = [sys.executable, "-c", AGAIN, *files, *(str(folder.path) for folder in folders)]
    again = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    errors = 0
    for mode, folder, line in zip(MODES, folders, again, strict=True):
        entries = folder.entries()
        assert timeless(json.loads(line)) == timeless(entries), mode
        assert sum("certificate" in entry for entry in entries) >= 5, mode
        errors += sum("error" in entry for entry in entries)
    assert errors == 1


def test_bounds_of_each_input_are_asked_for_by_new_entries_alone(cli: Cli, few_digits: Path) -> None:
    """What the ledger holds is drawn again without the calibration file, which its evidence quotes."""
    measured(cli, few_digits, "input.cal", "input-sampling", "--draws", 100, "--limit", 5)
    folder = certified(cli, "input by input")
    recipe = folder.recipe()
    assert "certificate" in open_run(recipe).entry(0)
    measured(cli, few_digits, "other.cal", "input-sampling", "--draws", 90, "--limit", 5)
    Path("input.cal").unlink()
    with pytest.raises(CalibrationError, match=r"for each input has error bounds of its own there, got none; pass"):
        open_run(recipe).entry(0)
    with pytest.raises(CalibrationError, match="expected SHA-256"):
        open_run(recipe, calibration=Path("other.cal"))
    again = redraw(folder, 6)
    assert (again.entries, again.wrong, again.unchecked) == (6, (), ())


def test_other_files_are_refused(finished_run: Path, tmp_path: Path) -> None:
    recipe = RunFolder(finished_run).recipe()
    (tmp_path / "other.onnx").write_bytes(models.linear((1, 28, 28), np.ones((784, 10)), np.zeros(10)))
    cases: dict[str, tuple[type[Exception], dict[str, Any]]] = {
        "model: none.onnx is not there; pass `model`": (ModelError, {"model": Path("none.onnx")}),
        "data: none.npz is not there; pass `data`": (DataError, {"data": Path("none.npz")}),
        "model: expected SHA-256": (ModelError, {"model": tmp_path / "other.onnx"}),
        "data: expected SHA-256": (DataError, {"data": IMAGES}),
    }
    recipe["data"]["path"] = "six.npz"
    for words, (error, options) in cases.items():
        with pytest.raises(error, match=words):
            open_run(recipe, **options)
    run = open_run(recipe)
    with pytest.raises(ArgumentError, match="index: expected 0 to 5, got 6"):
        run.entry(6)


def test_the_model_is_read_once(cli: Cli, few_digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By certifying, and by verifying with votes drawn again."""
    from smoothcert.model import source

    read: list[object] = []
    monkeypatch.setattr(source, "fingerprint", lambda *a, inner=source.fingerprint: read.append(a[-1]) or inner(*a))
    assert cli("certify", MODEL, "six.npz", *MODES["fixed"], "--run", "r", "-q").code == 0
    assert len(read) == 1
    done = cli("verify", "r", "--redraw", 3)
    assert (done.code, len(read)) == (0, 2), done.out
    assert cli("audit", "r", "--attacks", 1, "--limit", 1, "-q").code == 0
    assert len(read) == 3
