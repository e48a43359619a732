"""Sound files as 16-bit recordings of one channel, at the rate and of the length that a model takes.

The rules: one channel, others are refused; another rate is resampled (librosa, soxr_hq); other sample types are rounded
to 16 bits and cut off at full scale; a shorter recording is followed by silence, a longer one refused. What was done to
a file is said. Sound libraries are imported when the first file is read.
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, first_line
from ..files.limits import SOUND_BYTES, SOUND_SAMPLES
from ..files.reading import read_regular
from .levels import PCM16

SUFFIXES = {".wav", ".flac", ".ogg", ".mp3"}


@dataclass(frozen=True)
class Sound:
    """What recordings a model takes: Hz and samples, None where it does not say."""

    rate: int | None = None
    samples: int | None = None


ANY = Sound()


def read_recording(path: Path, sound: Sound = ANY) -> tuple[NDArray[np.int16], str]:
    """The recording (samples,), and what was done to the file's own samples, in words; `DataError` for a bad file."""
    wave, rate, done = _decoded(path)
    if sound.rate is not None and rate != sound.rate:
        import librosa

        length, most = math.ceil(len(wave) * sound.rate / rate), sound.samples or SOUND_SAMPLES
        if length > most:
            raise DataError(f"{path}: expected at most {most:,} samples at {sound.rate} Hz, got {length:,}; cut it")
        wave = librosa.resample(wave, orig_sr=rate, target_sr=sound.rate, res_type="soxr_hq")
        if not np.isfinite(wave).all():
            raise DataError(f"{path}: its samples are too large to resample; bring them to -1 to 1 first")
        done.append(f"{rate} Hz resampled to {sound.rate} Hz")
    found = PCM16.rounded(wave * PCM16.unit)
    if beyond := int((abs(wave) > 1).sum()):
        done.append(f"{beyond:,} samples beyond full scale cut off")
    if sound.samples is not None and len(found) != sound.samples:
        if len(found) > sound.samples:
            expected = f"expected at most the model's {sound.samples:,} samples, got {len(found):,}"
            raise DataError(f"{path}: {expected}{f' at {sound.rate} Hz' if sound.rate else ''}; cut it")
        done.append(f"{sound.samples - len(found):,} samples of silence added at the end")
        found = np.pad(found, (0, sound.samples - len(found)))
    if not found.any():
        raise DataError(f"{path}: expected sound, got silence alone; leave it out")
    return found, ", ".join(done)


def changes(made: Iterable[str]) -> Counter[str]:
    """How many files each change was made to, of what `read_recording` said of each: numbers of samples are left out.

    >>> changes(["", "16000 Hz resampled to 8000 Hz, 1,000 samples of silence added at the end"])
    Counter({'16000 Hz resampled to 8000 Hz': 1, 'samples of silence added at the end': 1})
    """
    return Counter(re.sub(r"^[\d,]+ (?=samples )", "", each) for text in made if text for each in text.split(", "))


def changed_text(counts: Mapping[str, int], of: int) -> str:
    """All changes in a line, and how many of so many files each was made to; empty where there was none."""
    each = "; ".join(f"{change} ({count:,} of {of:,})" for change, count in sorted(counts.items()))
    return f"recordings as they are read: {each}" if each else ""


def _decoded(path: Path) -> tuple[NDArray[np.float64], int, list[str]]:
    """Samples between -1 and 1, their rate, and what was done to them."""
    import soundfile

    content = read_regular(path, "a recording", DataError, SOUND_BYTES)
    _require_whole(path, content)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            frames, rate, channels, kind = file.frames, file.samplerate, file.channels, file.subtype
            if channels != 1:
                raise DataError(f"{path}: expected one channel, got {channels}; which mix is certified is yours to say")
            if not 0 < frames <= SOUND_SAMPLES:
                raise DataError(f"{path}: expected 1 to {SOUND_SAMPLES:,} samples, got {max(0, frames):,}")
            wave: NDArray[Any] = file.read(dtype="float64")
    except DataError:
        raise
    except Exception as error:
        what = first_line(error).partition(">: ")[2] or first_line(error)  # without the name of a buffer
        raise DataError(f"{path}: expected a recording that can be decoded here, got: {what}; write a wav") from None
    if len(wave) != frames:
        raise DataError(f"{path}: expected {frames:,} samples, got {len(wave):,}: truncated")
    if not np.isfinite(wave).all():
        raise DataError(f"{path}: holds NaN or infinite samples; clean it first")
    return wave, rate, [] if kind == "PCM_16" else [f"{kind} rounded to 16 bits"]


def _require_whole(path: Path, content: bytes) -> None:
    """`DataError` for a WAV whose chunk of samples is longer than the file: decoders return what is there."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return
    at = 12
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        if name == b"data":
            if at + 8 + size > len(content):
                got = f"{len(content) - at - 8:,} of {size:,} bytes of samples"
                raise DataError(f"{path}: expected a whole WAV, got {got}: truncated, or written to a pipe")
            return
        at += 8 + size + size % 2
    raise DataError(f"{path}: expected a WAV with samples, got none: truncated")
