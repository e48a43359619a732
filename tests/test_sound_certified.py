"""Certificates of sound, from both sides, on classifiers whose robust radius is known in closed form.

A half-space of waveforms, the place of a click, the pitch of a tone: the smoothed classifier's own radius is that of
the threshold, so that a certificate beyond it is false, and one far below it weak.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from smoothcert import (
    ABSTAIN,
    Attack,
    FrequencyShift,
    Noise,
    Part,
    Pitch,
    TimeShift,
    Volume,
    certify,
    certify_enumerated,
    compose,
    read_calibration,
)
from smoothcert.errors import ArgumentError
from smoothcert.inputs.datasets import open_dataset
from smoothcert_calibration.measure import measure
from smoothcert_calibration.plan import plan_of

from .test_sound import tone

QUICK = (
    "test_padded_time_shift_is_enumerated",
    "test_time_shift_of_a_click",
)

Batch = NDArray[np.float32]
N, ALPHA, RUNS = 4000, 0.05, 60
SAMPLES = 1000
WAVE = np.random.default_rng(0).normal(0, 3000, SAMPLES).astype(np.int16)
DIRECTION = np.random.default_rng(1).normal(0, 1, SAMPLES).astype(np.float32)
DIRECTION /= np.float32(np.linalg.norm(DIRECTION))


def half_space(threshold: float) -> Any:
    """1 where the waveform goes that far in the direction: of full scale 1."""
    return lambda batch: (batch.reshape(len(batch), -1) @ DIRECTION > threshold).astype(int)


def promised(part: Part, classifier: Any, x: NDArray[Any], truth: float) -> None:
    """No more certificates beyond the truth than alpha allows; and most of them near it."""
    radii = [certify(classifier, part, x, n0=50, n=N, alpha=ALPHA, key=key).radius for key in range(RUNS)]
    false = sum(radius > truth for radius in radii)
    assert false <= 2 + RUNS * ALPHA + 3 * math.sqrt(RUNS * ALPHA)
    assert np.median(radii) > 0.9 * truth


def test_volume_on_a_half_space() -> None:
    """A waveform 4 dB above the threshold stays there until it is 4 dB softer."""
    x = np.rint(DIRECTION * 20000).astype(np.int16)
    far = float(x.astype(np.float32) @ DIRECTION) / 32768
    promised(Volume(3.0), half_space(far * 10 ** (-4 / 20)), x, 4.0)


def test_noise_on_a_half_space() -> None:
    """The distance to the plane, in shares of full scale; the classifier sees whole levels."""
    far = float(WAVE.astype(np.float32) @ DIRECTION) / 32768
    promised(Noise(0.01), half_space(far - 0.015), WAVE, 0.015 + 1 / 32768)


def test_time_shift_of_a_click() -> None:
    """A click 30 samples ahead of a border stays ahead of it until it comes 30 samples later: by whole samples."""
    x = np.zeros(SAMPLES, np.int16)
    x[400] = 20000

    def before(batch: Batch) -> Any:
        place = batch.argmax(axis=1)
        return ((place <= 430) & (place > 0)).astype(int)

    promised(TimeShift(25.0), before, x, 31.0)  # whole attacks: up to 30, and nothing between
    smoothing = compose(TimeShift(25.0))
    assert smoothing.p_star({"time-shift": 30}) < norm.cdf(30.5 / 25) < smoothing.p_star({"time-shift": 31})


@pytest.mark.parametrize(("silent", "certified"), [(299, True), (300, False)])
def test_padded_time_shift_is_enumerated(silent: int, certified: bool) -> None:
    """A click at 300 leaves the recording 301 samples earlier: every shift is asked about, and that alone is lost."""
    x = np.zeros(SAMPLES, np.int16)
    x[300] = 20000
    found = certify_enumerated(lambda b: (b.max(axis=1) > 0.5).astype(int), x, {"time-shift": (-silent - 1, 500)})
    assert (found.prediction != ABSTAIN) is certified
    assert sum(found.evidence.estimation.values()) == silent + 1 + 500 + 1


def test_volume_and_shift_and_noise_together() -> None:
    """p* of three Gaussian parts is that of their lengths together, and a half-space of the mean attains it."""
    x = np.full(SAMPLES, 3000, np.int16)
    smoothing = compose(TimeShift(50.0), Volume(3.0), Noise(0.01))
    attack = Attack.of({"time-shift": (-30, 30), "volume": (-2, 2)})
    level = 3000 / 32768 * 10 ** (-3.5 / 20)
    found = certify(lambda b: (b.mean(axis=1) > level).astype(int), smoothing, x, attack=attack, n=N)
    assert found.prediction == 1
    wide = Attack.of({"time-shift": (-30, 30), "volume": (-4, 4)})  # 4 dB softer is below the level
    assert certify(lambda b: (b.mean(axis=1) > level).astype(int), smoothing, x, attack=wide, n=N).prediction == ABSTAIN


def below(hertz: float) -> Any:
    """1 where the loudest frequency is lower."""

    def classify(batch: Batch) -> Any:
        power = abs(np.fft.rfft(batch * np.hanning(batch.shape[1]), 4 * batch.shape[1]))
        return (power.argmax(axis=1) * 8000 / (4 * batch.shape[1]) < hertz).astype(int)

    return classify


def calibrated(folder: Path, part: Part, attack: tuple[float, float], x: NDArray[Any]) -> Any:
    """Measured on recordings like x."""
    np.savez(folder / "tones.npz", x=x)
    data = open_dataset(folder / "tones.npz")
    plan = plan_of(data, "tones", (part,), Attack.of({part.name: attack}))
    measure(plan, data, folder / "tones.cal", threads=1)
    return read_calibration(folder / "tones.cal")


def test_frequency_shift_of_a_tone(tmp_path: Path) -> None:
    """A tone 12 Hz below a border stays below it until it is 12 Hz higher: a bin is 4 Hz in a quarter of a second."""
    many = np.stack([tone(f, 2000) for f in np.linspace(380, 420, 300)])
    part = FrequencyShift(2.0)
    measured = calibrated(tmp_path, part, (-5, 5), many)
    smoothing = compose(part, Noise(0.002), calibration=measured)
    radii = [certify(below(412), smoothing, tone(400, 2000), n0=50, n=N, alpha=ALPHA, key=k).radius for k in range(12)]
    assert max(radii) <= 3.1  # 12 Hz, and the grid of the classifier's own frequencies
    assert np.median(radii) > 2.2
    for shift, answer in ((2.8, 1), (3.2, 0)):
        assert below(412)(part.transform.apply(tone(400, 2000), shift)[None] / 32768) == answer


def test_volume_in_16_bits(tmp_path: Path) -> None:
    """Rounded and cut off at full scale: a soft recording as in real arithmetic, nothing for one that is cut off."""
    soft = np.stack([tone(f, SAMPLES, 0.05) for f in np.linspace(300, 900, 300)])
    measured = calibrated(tmp_path, Volume(2.0), (-3, 3), soft)
    smoothing = compose(Volume(2.0), Noise(0.002), calibration=measured)
    x = tone(600, SAMPLES, 0.05)
    level = float(np.abs(x).mean()) / 32768 * 10 ** (-2.5 / 20)
    found = certify(lambda b: (abs(b).mean(axis=1) > level).astype(int), smoothing, x, n=N)
    assert 1.5 < found.radius <= 2.6
    loud = np.stack([tone(f, SAMPLES, 0.99) for f in np.linspace(300, 900, 300)])
    (tmp_path / "tones.cal").unlink()
    broken = compose(Volume(2.0), Noise(0.002), calibration=calibrated(tmp_path, Volume(2.0), (-3, 3), loud))
    with pytest.raises(ArgumentError, match="could only abstain"):
        certify(lambda b: np.ones(len(b), int), broken, tone(600, SAMPLES, 0.99), n=N)


def test_what_a_phase_vocoder_does_is_no_sum(tmp_path: Path) -> None:
    """Two pitch shifts are not one, by as much as the recording itself: with its error, nothing can be certified."""
    many = np.stack([tone(f, 2000) + tone(2.1 * f, 2000) for f in np.linspace(300, 500, 40)])
    measured = calibrated(tmp_path, Pitch(0.2), (-0.2, 0.2), many)
    assert max(error for error, _ in measured.bounds) > 0.1 * np.linalg.norm(many[0] / 32768)
    smoothing = compose(Pitch(0.2), Noise(0.002), calibration=measured)
    with pytest.raises(ArgumentError, match="could only abstain"):
        certify(lambda b: np.ones(len(b), int), smoothing, many[0], n=N)
