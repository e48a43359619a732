"""Recordings in a report: their spectrograms as pictures, and wav files to listen to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..inputs.levels import PCM16
from ..transforms.sound import N_FFT, vocoder

_QUIETEST = -80.0  # dB below a tone at full scale: black
_HIGH, _WIDE = 200, 320


def spectrogram(recording: NDArray[Any]) -> NDArray[np.uint8]:
    """Time across, frequency up, in RGB: the brighter the louder, on one scale for all recordings."""
    power = vocoder(recording).magnitudes[:-2].T[::-1] / (PCM16.unit * N_FFT / 4)
    decibels = 20 * np.log10(np.maximum(power, 10 ** (_QUIETEST / 20)))
    shade = np.asarray(np.rint(255 * np.clip(1 - decibels / _QUIETEST, 0, 1)), np.uint8)
    wide = cv2.resize(shade, (_WIDE, _HIGH), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(wide, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB), np.uint8)


def write_wavs(pictures: Sequence[tuple[str, NDArray[Any]]], picture: Path, rate: int | None) -> str:
    """Each recording among the pictures as a wav beside the picture; what was written, in words, empty where none is.

    `rate`: Hz of the recordings; where it is not known, nothing is written, and that is said.
    """
    recordings = [image for _, image in pictures if image.ndim == 1]
    if not recordings:
        return ""
    if rate is None:
        return "no wav files, for the model's metadata have no sample rate"
    import soundfile

    names = [picture.with_name(f"{picture.stem}-{i}.wav") for i in range(1, len(recordings) + 1)]
    for name, recording in zip(names, recordings, strict=True):
        soundfile.write(name, recording, rate, "PCM_16")
    return f"to listen to, in that order: {', '.join(str(name) for name in names)}"
