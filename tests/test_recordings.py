"""Sound files as data: by the rules that are stated, and in one line what breaks them. Oracles: soundfile, librosa."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from smoothcert.errors import DataError
from smoothcert.inputs import recordings
from smoothcert.inputs.datasets import open_dataset
from smoothcert.inputs.recordings import Sound, read_recording

from .test_sound import tone

TONE = tone(440, 4000)
EIGHT = Sound(8000, 4000)


def wav(path: Path, x: NDArray[np.generic] = TONE, rate: int = 8000, subtype: str = "PCM_16") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, x, rate, subtype)
    return path


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_16_bits_come_as_they_are(tmp_path: Path, suffix: str) -> None:
    for sound in (Sound(), EIGHT):
        found, made = read_recording(wav(tmp_path / f"a{suffix}"), sound)
        np.testing.assert_array_equal(found, TONE)
        assert (found.dtype, made) == (np.int16, "")


@pytest.mark.parametrize("subtype", ["PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_other_samples_are_rounded_and_that_is_said(tmp_path: Path, subtype: str) -> None:
    exact = TONE / 32768 + 0.3 / 32768
    found, made = read_recording(wav(tmp_path / "a.wav", exact, subtype=subtype))
    np.testing.assert_array_equal(found, TONE)
    assert made == f"{subtype} rounded to 16 bits"


def test_beyond_full_scale_is_cut_off_and_that_is_said(tmp_path: Path) -> None:
    found, made = read_recording(wav(tmp_path / "a.wav", np.array([0.5, 1.5, -2.0, 1.0]), subtype="FLOAT"))
    assert found.tolist() == [16384, 32767, -32768, 32767]
    assert made == "FLOAT rounded to 16 bits, 2 samples beyond full scale cut off"


def test_another_rate_is_resampled_and_a_short_recording_filled_up(tmp_path: Path) -> None:
    x = tone(440, 6000)
    found, made = read_recording(wav(tmp_path / "a.wav", x, 16000), EIGHT)
    expected = librosa.resample(x / 32768, orig_sr=16000, target_sr=8000, res_type="soxr_hq")
    np.testing.assert_array_equal(found, np.pad(np.rint(expected * 32768), (0, 1000)))
    assert made == "16000 Hz resampled to 8000 Hz, 1,000 samples of silence added at the end"


def truncated(path: Path) -> None:
    content = wav(path).read_bytes()
    path.write_bytes(content[:3000])


def cut_flac(path: Path) -> None:
    content = wav(path.with_suffix(".flac"), np.random.default_rng(0).integers(-9000, 9000, 20000).astype(np.int16))
    path.with_suffix(".flac").write_bytes(content.read_bytes()[:20000])


def mp3(path: Path) -> None:
    path.with_suffix(".mp3").write_bytes(b"ID3\x03" + bytes(600))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "stereo": (lambda p: wav(p, np.stack([TONE, TONE], 1)), "expected one channel, got 2"),
    "empty": (lambda p: wav(p, TONE[:0]), "expected 1 to .* samples, got 0"),
    "silent": (lambda p: wav(p, 0 * TONE), "expected sound, got silence alone"),
    "truncated": (truncated, "expected a whole WAV, got 2,956 of 8,000 bytes of samples: truncated"),
    "truncated header": (lambda p: p.write_bytes(wav(p).read_bytes()[:30]), "expected a WAV with samples, got none"),
    "truncated flac": (cut_flac, "truncated|can be decoded"),
    "NaN": (lambda p: wav(p, np.array([0.1, np.nan]), subtype="FLOAT"), "holds NaN or infinite samples"),
    "too long": (lambda p: wav(p, np.tile(TONE, 2)), "expected at most the model's 4,000 samples, got 8,000 at 8000"),
    "text": (lambda p: p.write_text("no sound"), "expected a recording that can be decoded here, got"),
    "nothing": (lambda p: p.write_bytes(b""), "expected a recording that can be decoded here, got"),
    "mp3 that no codec knows": (mp3, "expected a recording that can be decoded here, got"),
    "a lying size": (
        lambda p: p.write_bytes(b"RIFF" + struct.pack("<I", 36) + b"WAVEdata" + struct.pack("<I", 2**31 - 1)),
        "truncated, or written to a pipe",
    ),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_one_line_for_a_bad_file(tmp_path: Path, case: tuple[Callable[[Path], object], str]) -> None:
    make, message = case
    make(tmp_path / "a.wav")
    data = open_dataset(tmp_path, sound=EIGHT)
    bad = next(i for i in range(len(data)) if data.name(i).startswith("a."))
    with pytest.raises(DataError, match=message) as error:
        data.load(bad)
    assert "\n" not in str(error.value)
    assert "a." in str(error.value)


def test_no_more_is_decoded_than_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "SOUND_SAMPLES", 100)
    with pytest.raises(DataError, match="expected 1 to 100 samples, got 4,000"):
        read_recording(wav(tmp_path / "a.wav"))


def test_folders_and_manifests_of_recordings(tmp_path: Path) -> None:
    for label, name in ((0, "low/a.wav"), (0, "low/b.flac"), (1, "other/c.wav")):
        wav(tmp_path / "d" / name, tone(300 + 100 * label, 4000))
    data = open_dataset(tmp_path / "d", sound=EIGHT)
    names = [(data.name(i), data.label(i)) for i in range(3)]
    assert names == [("low/a.wav", 0), ("low/b.flac", 0), ("other/c.wav", 1)]
    np.testing.assert_array_equal(data.load(2).x, tone(400, 4000))
    (tmp_path / "list.csv").write_text("path,label\nd/low/a.wav,4\n")
    (one,) = (open_dataset(tmp_path / "list.csv", sound=EIGHT).load(i) for i in range(1))
    assert (one.label, one.made, one.x.shape) == (4, "", (4000,))


def test_an_archive_says_its_rate(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=TONE[None], y=[1], rate=16000)
    assert open_dataset(tmp_path / "a.npz").load(0).x.dtype == np.int16
    with pytest.raises(DataError, match="expected recordings at the model's 8000 Hz, got 16000 Hz; resample them"):
        open_dataset(tmp_path / "a.npz", sound=EIGHT)


def test_sound_libraries_wait_for_sound() -> None:
    """`--help`, images and noise import none of them."""
    code = (
        "import sys, smoothcert.api, smoothcert.cli.app, smoothcert.cli.launch, smoothcert_exporters.onnx_file;"
        "print([m for m in ('librosa', 'numba', 'soundfile', 'soxr') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
