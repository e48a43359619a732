"""What is kept of how recordings were made and read: in ledgers, calibrations and tables. Oracle: the files written."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import soundfile

from smoothcert import Noise, Volume, certify_enumerated, compose, demo_file
from smoothcert.algorithms import Enumerate
from smoothcert.calibration_file import encode, read, read_calibration
from smoothcert.errors import CalibrationError, DataError
from smoothcert.inputs.input import Input
from smoothcert.smoothing import Attack
from smoothcert.smoothing.sound import ShiftTime
from smoothcert.smoothing.transform import attacked

from .test_cli import Cli
from .test_sound import tone

MODEL, DATA = "demo:spoken.onnx", "demo:spoken.npz"
SHIFT = ("--smooth", "frequency-shift=10", "--attack", "frequency-shift=-10:10", "-q")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Twenty spoken digits as files, of which only the last three, beyond a first look, are read otherwise."""
    with np.load(demo_file("spoken.npz")) as file:
        x = file["x"][:20]
    (tmp_path / "clips").mkdir()
    for i, wave in enumerate(x):
        twice = np.rint(np.interp(np.arange(14000) / 2, np.arange(8000), wave)).astype(np.int16)
        soundfile.write(tmp_path / "clips" / f"{i:02d}.wav", twice if i > 16 else wave, 16000 if i > 16 else 8000)
    return tmp_path / "clips"


SAID = (
    "note: recordings as they are read: 16000 Hz resampled to 8000 Hz (3 of 20); "
    "samples of silence added at the end (3 of 20)\n"
)


def test_a_run_keeps_how_each_file_was_read(cli: Cli, clips: Path) -> None:
    found = cli("certify", MODEL, clips, "--smooth", "volume=3", "--n", "100", "--n0", "10", "--run", "r", "-q")
    assert (found.code, found.out.count("note: recordings"), found.out.count(SAID)) == (0, 1, 1), found
    entries = [json.loads(line) for line in Path("r/ledger.jsonl").read_text().splitlines()]
    assert [entry["index"] for entry in entries if "read" in entry] == [17, 18, 19]
    assert {entry.get("read") for entry in entries[17:]} == {
        "16000 Hz resampled to 8000 Hz, 1,000 samples of silence added at the end"
    }
    assert SAID in cli("report", "r").out
    assert cli("verify", "r", "--redraw", "2").code == 0


def test_a_calibration_keeps_it_too_whatever_the_shards(cli: Cli, clips: Path) -> None:
    cal = ("calibrate", "measure", clips)
    assert cli(*cal, "all.cal", "--model", MODEL, *SHIFT).code == 0
    assert read("all.cal").head["read"] == {
        "16000 Hz resampled to 8000 Hz": 3,
        "samples of silence added at the end": 3,
    }
    shown = cli("calibrate", "show", "all.cal").out
    assert SAID in shown
    assert f"frequency-shift 10; no preprocessing; 8000 Hz; librosa {version('librosa')}, numpy " in shown
    for i in (1, 2):
        assert cli(*cal, f"{i}.cal", "--model", MODEL, *SHIFT, "--shard", f"{i}/2").code == 0
    assert cli("calibrate", "merge", "both.cal", "1.cal", "2.cal").code == 0
    assert Path("both.cal").read_bytes() == Path("all.cal").read_bytes()
    assert "read" not in read(_calibrated(cli)).head


def _calibrated(cli: Cli) -> str:
    """A calibration of some of the spoken digits, whose archive says their rate."""
    done = cli("calibrate", "measure", DATA, "f.cal", "--limit", "20", *SHIFT)
    assert (done.code, done.err) == (0, "")
    return "f.cal"


def test_another_library_or_rate_is_refused(cli: Cli) -> None:
    """A file written before rate and libraries were kept is read as it was."""
    louder = ("--smooth", "volume=3", "--attack", "volume=-3:3", "-q")
    path = "v.cal"
    assert cli("calibrate", "measure", DATA, path, "--limit", "20", *louder).code == 0
    made = read_calibration(path)
    parts = Volume(3.0), Noise(0.02)
    assert made.rate == 8000
    assert dict(made.libraries) == {name: version(name) for name in ("librosa", "numpy", "scipy")}
    compose(*parts, calibration=made)
    for name, _ in made.libraries:
        other = tuple((its, "0.1" if its == name else v) for its, v in made.libraries)
        with pytest.raises(CalibrationError, match=rf"made with {name} 0\.1, got \d.*calibrate again"):
            compose(*parts, calibration=replace(made, libraries=other))
    certify = ("certify", MODEL, DATA, *louder, "--smooth", "noise=0.02", "--mode", "target", "--limit", "1")
    whole = read(path)
    for rate, said in ((16000, "made for recordings at 16000 Hz, got 8000 Hz"), (None, "")):
        pipeline = {k: v for k, v in whole.head["pipeline"].items() if k not in ("rate", "libraries")}
        head = whole.head | {"pipeline": pipeline | ({"rate": rate} if rate else {})}
        Path("other.cal").write_bytes(encode(head, whole.errors))
        found = cli(*certify, "--calibration", "other.cal", "--run", f"r{rate}")
        assert (found.code, said in found.err) == (2 if said else 0, True), found.err
        assert len(found.err.splitlines()) == bool(said)
    assert cli(*certify, "--calibration", path, "--run", "r").code == 0
    recipe = Path("r/recipe.toml")
    recipe.write_text(re.sub(r'numpy = "[\d.]+"\n(?=scipy)', 'numpy = "0.1"\n', recipe.read_text()))
    assert "made with numpy 0.1" in cli("audit", "r", "--attacks", "1", "-q").err


def test_a_recording_of_another_length_is_called_a_recording(cli: Cli) -> None:
    made = read_calibration(_calibrated(cli))
    with pytest.raises(DataError, match="made for recordings of 8,000 samples, got a recording of 4,000 samples; "):
        made.require_way(Input.of(tone(440, 4000)).image())
    with pytest.raises(DataError, match=r"made for raw images of 1 x 8,000 pixels, got an image of 9x4 pixels; "):
        made.require_way(Input.of(np.zeros((9, 4), np.uint8), (1, 9, 4, 1)).image())


@pytest.mark.parametrize(
    ("low", "high", "asked"), [(-7, 5, 13), (-100, 100, 41), (-1e12, 3, 24), (25, 90, 2), (-20, 20, 41)], ids=str
)
def test_beyond_a_recording_all_is_silence(low: float, high: float, asked: int) -> None:
    """Each different outcome of the range is asked about, and silence once."""
    x = tone(700, 20) + np.int16(1)
    seen: list[bytes] = []

    def watching(batch: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        seen.extend(np.rint(row * 32768).astype(np.int16).tobytes() for row in batch)
        return np.zeros(len(batch), np.int64)

    found = certify_enumerated(watching, x, {"time-shift": (low, high)})
    assert sum(found.evidence.estimation.values()) == asked
    outcomes = range(max(int(low), -60), min(int(high), 60) + 1)
    assert {attacked(x, [(ShiftTime(), float(by))]).tobytes() for by in outcomes} <= set(seen)
    algorithm = Enumerate(Attack.of({"time-shift": (low, high)}))
    assert algorithm.consistent(found.evidence, None)  # type: ignore[arg-type]
    assert algorithm.problems(Input.of(x), found.evidence, None) == []  # type: ignore[arg-type]


def test_tables_say_which_time_shift(cli: Cli) -> None:
    shift = ("--attack", "time-shift=-3:3", "--limit", "1", "-q")
    smoothed = cli("certify", MODEL, DATA, "--smooth", "time-shift=800", "--mode", "target", *shift).out
    assert "│ time-shift -3:3 cyclic │" in smoothed
    assert "│ time-shift -3:3 silence-padded │" in cli("certify", MODEL, DATA, "--mode", "enumerate", *shift).out
    grid = cli("certify", MODEL, DATA, "--mode", "enumerate", "--attack", "time-shift=-9:9:3", "--limit", "1", "-q").out
    assert " time-shift -9:9:3 silence-padded (grid" in grid
