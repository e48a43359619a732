"""The short set: each family of commands once, end to end, as a user starts them, on the files of the package.

It runs with the lowest versions that pyproject.toml declares, on every Python there is, and on the built wheel. So it
imports pytest and the package alone, and starts a process for each command, whose warnings it leaves alone.
"""

from __future__ import annotations

import math
import re
import struct
import subprocess
import sys
import wave
from pathlib import Path

import pytest

QUICK = ("test_errors_are_one_line",)

MODEL, IMAGES = "demo:digits.onnx", "demo:digits.npz"
COMMANDS = (
    "", "certify", "predict", "doctor", "demo", "merge", "verify", "audit", "report", "inspect",
    "calibrate", "calibrate measure", "calibrate show", "calibrate table", "calibrate merge",
    "export", "export onnx", "export pytorch", "export sklearn",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(words: str, *, code: int = 0) -> str:
    """What `smoothcert WORDS` prints; it exits with the code, and on success says nothing on stderr."""
    done = subprocess.run([sys.executable, "-m", "smoothcert", *words.split()], capture_output=True, text=True)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert code != 0 or done.stderr == "", (words, done.stderr)
    return done.stdout if code == 0 else done.stderr


def share(out: str, row: str) -> float:
    """Certified accuracy in a table's row, in percent."""
    found = re.search(rf"│ +{re.escape(row)} │.*?([\d.]+)%", out)
    assert found, (row, out)
    return float(found[1])


def test_every_command_has_help() -> None:
    code = """import sys; from smoothcert.cli.app import app
for words in sys.argv[1:]: app([*words.split(), "-h"], standalone_mode=False)"""
    done = subprocess.run([sys.executable, "-c", code, *COMMANDS], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Usage: ") == len(COMMANDS)


def test_noise_from_certify_to_audit() -> None:
    command = (
        f"certify {MODEL} {IMAGES} --smooth noise=0.5 --mode target --radii 0.25,0.5 --limit 20 --nonce short --run r"
    )
    assert share(run(command), "0.5") >= 90
    assert "20 of 20 inputs were there already" in run(command)
    assert "r: 20 entries (attack model integer), 0 problems" in run(f"verify r --model {MODEL} --data {IMAGES}")
    columns = "idx label predict radius correct time base attack_model"
    assert run("report r --tsv").splitlines()[0].split() == columns.split()
    run("report r --fail-under 0.5=0.8")
    run("report r --fail-under 9=10%", code=1)
    assert "certificates audited" in run("audit r --attacks 3 --n 200 --limit 5 -q")


def test_radii_and_answers() -> None:
    assert share(run(f"certify {MODEL} {IMAGES} --smooth noise=0.5 --n 1000 --limit 5 --bound two-sided -q"), "0") >= 80
    assert share(run(f"certify {MODEL} {IMAGES} --smooth noise=0.5 --mode radius --n 5000 --limit 5 -q"), "0") >= 80
    assert "5 inputs" in run(f"predict {MODEL} {IMAGES} --smooth noise=0.5 --n 200 --limit 5 -q")


def test_colours_and_their_region() -> None:
    smooth = "--smooth contrast=0.4 --smooth brightness=0.3"
    run(f"certify {MODEL} {IMAGES} {smooth} --n 500 --limit 5 --run r -q")
    assert "picture: region.png" in run("report r --region contrast=0.5:2:3,brightness=-0.4:0.4:3 --png region.png")
    assert "0 problems" in run("verify r")


def test_finite_sets_and_slices() -> None:
    assert (
        share(run(f"certify {MODEL} {IMAGES} --mode enumerate --attack translation=1 --limit 5 -q"), "translation 1")
        >= 80
    )
    sliced = run(
        f"certify {MODEL} {IMAGES} --smooth noise=0.5 --mode slices --attack rotation=-1:1 --limit 2 --run r -q"
    )
    assert share(sliced, "rotation -1:1") >= 50
    assert "0 problems" in run("verify r")


def test_calibration_from_measuring_to_audit() -> None:
    parts = "--smooth contrast=0.3"
    run(f"calibrate measure {IMAGES} a.cal {parts} --attack contrast=0.8:1.25 --skip 180 -q --model {MODEL}")
    assert "histogram: a.png" in run("calibrate show a.cal --below 0.25,0.5 --png a.png")
    certify = f"certify {MODEL} {IMAGES} {parts} --smooth noise=0.5 --calibration a.cal --mode target --limit 10 -q"
    assert share(run(f"{certify} --attack contrast=0.8:1.25 --run r"), "contrast 0.8:1.25") >= 50
    assert "0 problems" in run("verify r")
    assert "picture: ends.png" in run("report r --ends 1 --png ends.png")
    assert "0 violations" in run("audit r --attacks 2 --n 200 --limit 3 -q")


def test_export_and_what_it_wrote() -> None:
    run(f"export onnx {MODEL} ready.onnx --resize 32 --antialias --mask circle --examples {IMAGES}")
    assert "logits" in run("inspect ready.onnx")
    assert share(run(f"certify ready.onnx {IMAGES} --smooth noise=0.5 --n 500 --limit 5 -q"), "0") >= 80


def test_errors_are_one_line() -> None:
    for words in (
        f"certify {MODEL} {IMAGES} --smoth noise=1",
        "certify demo:nothing demo:digits.npz --smooth noise=1",
        f"certify none.onnx {IMAGES} --smooth noise=1",
        f"certify {MODEL}",
    ):
        assert len(run(words, code=2).splitlines()) == 1


def test_sound_from_a_wav_of_another_rate_to_audit() -> None:
    """Resampled by librosa, certified, and calibrated: the libraries of sound start on every Python."""
    with wave.open("clip.wav", "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(b"".join(struct.pack("<h", round(6000 * math.sin(i / 7))) for i in range(9000)))
    spoken = "demo:spoken.onnx demo:spoken.npz"
    said = run("certify demo:spoken.onnx . --smooth volume=3dB --n 500 --run w -q")
    assert "16000 Hz resampled to 8000 Hz (1 of 1); samples of silence added at the end (1 of 1)" in said
    shift = "--smooth time-shift=800 --attack time-shift=-800:800 --mode target"
    assert share(run(f"certify {spoken} {shift} --limit 5 --run t -q"), "time-shift -800:800 cyclic") >= 60
    assert "0 violations" in run("audit t --attacks 2 -q")
    higher = "--smooth frequency-shift=20 --attack frequency-shift=-20:20"
    run(f"calibrate measure {higher} demo:spoken.npz f.cal --limit 20 -q")
    assert "grid" in run(f"certify {spoken} --mode enumerate --attack pitch=-0.5st:0.5st:5 --limit 2 --run p -q")
