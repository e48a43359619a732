"""Spoken digits by the whole spine: certified, verified, audited, drawn again; what the issue asks of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from smoothcert import OrtClassifier, TimeShift, certify, demo_file
from smoothcert.runs.folder import RunFolder

from .test_cli import Cli

QUICK = (
    "test_one_recording_from_python",
    "test_the_files_are_small_and_right",
)

MODEL, DATA = "demo:spoken.onnx", "demo:spoken.npz"
FILES = demo_file("spoken.onnx"), demo_file("spoken.npz")


def test_the_files_are_small_and_right() -> None:
    assert sum(file.stat().st_size for file in FILES) < 2_000_000
    with np.load(FILES[1]) as file:
        x, y, rate = file["x"], file["y"], file["rate"]
    assert (x.shape, x.dtype, rate.item()) == ((100, 8000), np.int16, 8000)
    assert np.bincount(y).tolist() == [10] * 10
    classifier = OrtClassifier(FILES[0], threads=1)
    answers = [classifier.answer(classifier.prepare(one)) for one in x]
    assert (answers == y).mean() > 0.95


@pytest.mark.parametrize(
    ("asked", "least"),
    [
        (["--smooth", "volume=3dB", "--attack", "volume=-3dB:3dB"], 85),
        (["--smooth", "time-shift=800", "--attack", "time-shift=-800:800"], 60),
        (["--smooth", "noise=0.005", "--radii", "0.005"], 60),
    ],
    ids=["volume", "time shift", "noise"],
)
def test_certified_verified_and_audited(cli: Cli, tmp_path: Path, asked: list[str], least: int) -> None:
    run = str(tmp_path / "run")
    found = cli("certify", MODEL, DATA, *asked, "--mode", "target", "--limit", "20", "--run", run, "-q", "--nonce", "t")
    assert found.code == 0, found.err
    assert cli("verify", run, "--redraw", "2").code == 0
    audited = cli("audit", run, "--attacks", "4", "--limit", "5", "-q")
    assert (audited.code, "0 violations" in audited.out) == (0, True), audited.out
    right = sum(entry["certificate"]["prediction"] == entry["label"] for entry in RunFolder(Path(run)).entries())
    assert right >= least * 20 / 100


def test_frequency_shift_is_calibrated(cli: Cli, tmp_path: Path) -> None:
    cal, run = str(tmp_path / "f.cal"), str(tmp_path / "run")
    shift = ["--smooth", "frequency-shift=20", "--attack", "frequency-shift=-20:20"]
    assert cli("calibrate", "measure", DATA, cal, "--model", MODEL, *shift, "--skip", "20", "-q").code == 0
    noise = ["--smooth", "noise=0.01", "--calibration", cal]
    found = cli("certify", MODEL, DATA, *shift, *noise, "--mode", "target", "--limit", "4", "--run", run, "-q")
    assert found.code == 0, found.err
    assert "attack model integer" in found.out
    assert cli("verify", run, "--redraw", "1").code == 0
    assert cli("audit", run, "--attacks", "4", "-q").code == 0
    wrong = cli("certify", MODEL, DATA, "--smooth", "volume=3", *noise)
    assert "calibration: made for part=frequency-shift" in wrong.err


def test_padded_shifts_are_enumerated(cli: Cli, tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    asked = ["--mode", "enumerate", "--attack", "time-shift=-100:100"]
    found = cli("certify", MODEL, DATA, *asked, "--limit", "3", "--run", run, "-q")
    assert found.code == 0, found.err
    assert "attack model enumerated" in found.out
    assert cli("verify", run, "--redraw", "1").code == 0
    assert cli("audit", run, "--attacks", "6", "-q").code == 0


def test_recordings_are_resampled_aloud(cli: Cli, tmp_path: Path) -> None:
    """A folder of files at twice the rate, one of them stereo: said, certified, and one failure named."""
    x, y = np.load(FILES[1])["x"][:3], np.load(FILES[1])["y"][:3]
    for i, (wave, label) in enumerate(zip(x, y, strict=True)):
        folder = tmp_path / "clips" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        twice = np.rint(np.interp(np.arange(15000) / 2, np.arange(8000), wave)).astype(np.int16)
        soundfile.write(folder / f"{i}.wav", twice if i else np.stack([twice, twice], 1), 16000)
    run = str(tmp_path / "run")
    found = cli("certify", MODEL, str(tmp_path / "clips"), "--smooth", "volume=3", "--n", "200", "--run", run, "-q")
    said = "note: recordings as they are read: 16000 Hz resampled to 8000 Hz (2 of {}); samples of silence added at the"
    assert said.format(2) in found.out  # the first look, at those that can be read
    assert said.format(3) in found.out
    assert found.code == 2
    assert "expected one channel, got 2" in found.err + (tmp_path / "run" / "ledger.jsonl").read_text()
    assert cli("verify", run).code in (0, 3)


def test_the_demo(cli: Cli, tmp_path: Path) -> None:
    found = cli("demo", "--audio", "--run", str(tmp_path / "run"))
    assert found.code == 0, found.err
    assert "time-shift -800:800" in found.out


def test_one_recording_from_python() -> None:
    with np.load(FILES[1]) as file:
        x, y = file["x"][0], int(file["y"][0])
    certificate = certify(OrtClassifier(FILES[0], threads=1), TimeShift(400.0), x, n=500)
    assert (certificate.prediction, certificate.unit) == (y, "samples")
    assert certificate.radius > 400
