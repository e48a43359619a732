"""Transformations of recordings. Oracles: single calls of librosa and scipy.signal, np.roll, tones of known pitch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import scipy.signal
import soundfile
from numpy.typing import NDArray

from smoothcert import FrequencyShift, Noise, Pitch, TimeShift, TimeStretch, Volume, compose
from smoothcert.cli.parse import attack
from smoothcert.draws import Stream
from smoothcert.errors import ArgumentError, DataError
from smoothcert.inputs.input import Input
from smoothcert.inputs.levels import EIGHT_BIT, PCM16
from smoothcert.inputs.recordings import Sound, read_recording
from smoothcert.smoothing import PARTS, TRANSFORMS, Attack, Calibration, Part, parse_part, smoothing_of
from smoothcert.smoothing.perturbation import OnRaw
from smoothcert.smoothing.sound import ShiftPitch, ShiftTime
from smoothcert.smoothing.transform import attacked, begun, transform_of
from smoothcert.transforms import sound

Wave = NDArray[np.float64]
RATE = 8000
RNG = np.random.default_rng(8)
SETTINGS = {"n_fft": sound.N_FFT, "hop_length": sound.HOP}


def tone(hertz: float, samples: int = 8000, peak: float = 0.3) -> NDArray[np.int16]:
    """A tone that fades in and out, as a recording."""
    wave = peak * np.sin(2 * np.pi * hertz * np.arange(samples) / RATE) * np.hanning(samples)
    return PCM16.rounded(wave * 32768).astype(np.int16)


def pitch_of(recording: NDArray[Any]) -> float:
    """The loudest frequency, in Hz, between bins by a parabola through the logarithms."""
    power = np.log(abs(np.fft.rfft(recording * np.hanning(len(recording)))) + 1e-12)
    at = int(power.argmax())
    low, mid, high = power[at - 1 : at + 2]
    return float((at + 0.5 * (low - high) / (low - 2 * mid + high)) * RATE / len(recording))


SPEECH = sum(tone(f, peak=0.1).astype(float) for f in (210, 423, 631, 1700)) + RNG.normal(0, 300, 8000)
RECORDINGS = {
    "tone": tone(440),
    "mixture": PCM16.rounded(SPEECH),
    "random": RNG.integers(-9000, 9000, 3001).astype(np.int16),
    "loud": RNG.integers(-32768, 32768, 2000).astype(np.int16),
    "short": RNG.integers(-900, 900, 40).astype(np.int16),
}


def hilbert_shifted(wave: Wave, bins: float) -> Wave:
    """Oracle: single-sideband modulation by scipy, for recordings that lose no bin."""
    turn = np.exp(2j * np.pi * bins * np.arange(len(wave)) / len(wave))
    return np.asarray((scipy.signal.hilbert(wave) * turn).real)


def fixed(wave: Wave, samples: int) -> Wave:
    return np.asarray(librosa.util.fix_length(wave, size=samples))


ORACLES: dict[str, tuple[list[float], Callable[[Wave, float], Wave]]] = {
    "volume": ([-20.0, -3.0, 0.5, 12.0], lambda x, d: x * 10 ** (d / 20)),
    "time-shift": (
        [-9000, -800, -1, 1.9, 37, 2500],
        lambda x, d: np.array([x[t - int(d)] if 0 <= t - int(d) < len(x) else 0.0 for t in range(len(x))]),
    ),
    "frequency-shift": ([-30.5, -3.0, 0.25, 90.0], hilbert_shifted),
    "pitch": (
        [-3.0, -0.1, 0.5, 4.2],
        lambda x, n: librosa.effects.pitch_shift(x, sr=RATE, n_steps=n, res_type="scipy", **SETTINGS),
    ),
    "time-stretch": (
        [0.7, 0.98, 1.01, 1.9],
        lambda x, r: fixed(librosa.effects.time_stretch(x, rate=r, **SETTINGS), len(x)),
    ),
}


def test_every_transformation_of_recordings_has_its_oracle() -> None:
    assert ORACLES.keys() == {name for name, its in TRANSFORMS.items() if EIGHT_BIT not in its.acts_on}
    assert all(name in PARTS for name in ORACLES)


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("recording", RECORDINGS.values(), ids=RECORDINGS)
@pytest.mark.filterwarnings("ignore:n_fft:UserWarning")  # librosa's, on short recordings
def test_an_attack_is_its_oracle_rounded_and_saturated(name: str, recording: NDArray[np.int16]) -> None:
    """To half a level and 1e-4 of full scale, where the oracle loses no bins."""
    values, oracle = ORACLES[name]
    if name == "frequency-shift":
        recording = RECORDINGS["tone"]
    before = recording.copy()
    for value in values:
        found = attacked(recording, [(transform_of(name, {}), value)])
        expected = oracle(recording.astype(float) / 32768, value).clip(-1, 32767 / 32768)
        assert (found.dtype, found.shape) == (np.int16, recording.shape)
        assert abs(found / 32768 - expected).max() <= 0.51 / 32768 + (1e-4 if name != "volume" else 0)
    np.testing.assert_array_equal(recording, before)


@pytest.mark.parametrize("name", ORACLES)
def test_what_is_computed_once_changes_nothing(name: str) -> None:
    transform = transform_of(name, {})
    for recording in RECORDINGS.values():
        encoded = transform.encode(recording)
        for value in (*ORACLES[name][0], transform.identity):
            np.testing.assert_array_equal(
                begun(transform, value, recording, encoded), attacked(recording, [(transform, value)])
            )


@pytest.mark.parametrize("semitones", [-5.0, -0.5, 0.5, 3.0])
def test_a_tone_has_the_pitch_asked_for(semitones: float) -> None:
    found = attacked(tone(440), [(transform_of("pitch", {}), semitones)])
    assert pitch_of(found) == pytest.approx(440 * 2 ** (semitones / 12), rel=2e-3)
    assert pitch_of(attacked(tone(440), [(transform_of("frequency-shift", {}), 10 * semitones)])) == pytest.approx(
        440 + 10 * semitones, abs=0.05
    )
    stretched = attacked(tone(440), [(transform_of("time-stretch", {}), 2 ** (semitones / 12))])
    assert pitch_of(stretched) == pytest.approx(440, rel=2e-3)


def test_bins_that_fall_off_are_lost() -> None:
    up, down = transform_of("frequency-shift", {}), transform_of("frequency-shift", {})
    for transform, bins in ((up, 3700.0), (down, -600.0)):  # what is left is how the tone was rounded
        assert abs(attacked(tone(440), [(transform, bins)])).max() <= 3
    there = attacked(attacked(tone(440), [(up, -300.0)]), [(up, 300.0)])
    np.testing.assert_allclose(there, tone(440), atol=3)


def test_shifts_in_time_by_either_edge() -> None:
    x = np.arange(1, 6).astype(np.int16)
    assert ShiftTime().apply(x, 2).tolist() == [0, 0, 1, 2, 3]
    assert ShiftTime().apply(x, -2.9).tolist() == [3, 4, 5, 0, 0]
    assert ShiftTime().apply(x, 5).tolist() == ShiftTime().apply(x, -8).tolist() == [0] * 5
    assert ShiftTime("wrap").apply(x, 2).tolist() == np.roll(x, 2).tolist()
    assert ShiftTime().members(next(iter(attack(["time-shift=-2.5:2.5"]) or ()))[1]) == (-2.0, -1.0, 0.0, 1.0, 2.0)


@pytest.mark.parametrize("part", [Volume(3.0), TimeShift(30.0), Noise(0.01)], ids=lambda part: part.name)
def test_samples_are_the_recording_under_each_draw(part: Part) -> None:
    """Whole numbers where the part is whole; beyond 16 bits where noise goes there; the same in any batch."""
    x = Input.of(RECORDINGS["loud"])
    made = compose(part).perturbation.samples(x)
    out = np.zeros((40, *made.shape), made.dtype)
    made.fill(Stream(5, 1, 1), 3, out)
    again = np.full((7, *made.shape), 9, made.dtype)
    made.fill(Stream(5, 1, 1), 10, again)
    np.testing.assert_array_equal(out[7:14], again)
    assert made.dtype == (np.int32 if part.whole else np.float32)
    if isinstance(part, TimeShift):
        shifts = part.draw(part.address(Stream(5, 1, 1), 1), 3, 40)
        for row, by in zip(out, shifts, strict=True):
            np.testing.assert_array_equal(row, np.roll(x.values, by))
    if isinstance(part, Noise):
        noise = out - x.values.astype(np.int64)
        assert abs(noise.std() / (32768 * 0.01) - 1) < 0.02
        assert out.max() > 32767  # never cut off: that is the classifier's


def test_calibrated_samples_are_attacks_then_noise() -> None:
    part, noise, x = FrequencyShift(5.0), Noise(0.002), Input.of(RECORDINGS["tone"])
    described = (part.description,)
    calibration = Calibration(
        "", "dataset-sampling", 0.99, Attack.of({"frequency-shift": (-5, 5)}), x.image().spatial, 1, "", parts=described
    )
    made = OnRaw((part,), noise, calibration).samples(x)
    out, still = np.zeros((9, 8000), made.dtype), np.zeros((9, 8000), np.int16)
    made.fill(Stream(1, 2, 1), 4, out)
    noise.begin(np.zeros(8000, np.int16), Stream(1, 2, 1), 4, still, 32768.0)
    draws = part.draw(part.address(Stream(1, 2, 1), 1), 4, 9)
    for row, by, eta in zip(out, draws, still, strict=True):
        np.testing.assert_array_equal(row, attacked(x.values, [(part.transform, by)]).astype(int) + eta)


# --- Names, numbers and what is refused -------------------------------------------------------------------------------


def test_numbers_may_have_their_unit() -> None:
    assert parse_part("volume=3dB") == parse_part("volume=3") == Volume(3.0)
    assert parse_part("pitch=0.5st") == Pitch(0.5)
    assert parse_part("frequency-shift=20bins,law=normal") == FrequencyShift(20.0)
    assert attack(["volume=-3dB:3dB"]) == attack(["volume=-3:3"]) == Attack.of({"volume": (-3, 3)})
    assert attack(["pitch=-0.5st:0.5st:11"]) == Attack.of({"pitch": (-0.5, 0.5, 11)})
    for wrong in ("volume=3db", "volume=dB", "pitch=1dB", "time-stretch=3%"):
        with pytest.raises(ArgumentError, match="expected"):
            parse_part(wrong)
        with pytest.raises(ArgumentError, match="expected"):
            attack([wrong])


@pytest.mark.parametrize("part", [Volume(3.0), TimeShift(9.0)], ids=lambda part: part.name)
def test_a_recipe_gives_the_smoothing_again(part: Part) -> None:
    for smoothing in (compose(part), compose(part, Noise(0.01)), compose(TimeShift(5.0), Volume(1.0))):
        assert smoothing_of(json.loads(json.dumps(smoothing.recipe))) == smoothing


def test_the_price_of_an_attack() -> None:
    """Oracle: scipy.stats.norm, of every exact part and of two together."""
    norm = pytest.importorskip("scipy.stats").norm
    assert compose(Volume(3.0)).p_star({"volume": 4.5}) == pytest.approx(norm.cdf(1.5))
    assert compose(TimeShift(200.0)).p_star({"time-shift": (-300, 100)}) == pytest.approx(norm.cdf(1.5))
    both = compose(TimeShift(200.0), Volume(3.0), Noise(0.01))
    price = both.p_star({"time-shift": 300, "volume": (-3, 2)})
    assert price == pytest.approx(norm.cdf(np.hypot(1.5, 1.0)))
    assert compose(TimeShift(50.0), Noise(0.01)).p_star({"noise": 0.02}) == pytest.approx(norm.cdf(2.0))


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "noise beyond the table": (
        lambda: compose(Noise(0.1)).perturbation.samples(Input.of(tone(440))),
        r"noise: expected sigma <= 0.0488 for 16-bit recordings, got 0.1",
    ),
    "shift beyond the table": (lambda: TimeShift(2000.0), "time-shift: expected a scale of at most 1600 samples"),
    "pitch without calibration": (lambda: compose(Pitch(0.5)), "pitch0.5 composes only up to an error"),
    "stretch without calibration": (lambda: compose(TimeStretch(0.1), Noise(0.01)), "composes only up to an error"),
    "shift with silence": (lambda: TimeShift(9.0, edge="silence"), "time-shift edge: expected one of wrap"),
    "an attack on noise ahead of a gain": (
        lambda: compose(Volume(3.0), Noise(0.01)).p_star({"noise": 0.1}),
        "noise",
    ),
    "images": (
        lambda: compose(Volume(3.0)).perturbation.samples(Input.of(np.zeros((1, 4, 4), np.uint8), (1, 4, 4, 1))),
        "volume: expected 16-bit recordings, got uint8 values",
    ),
    "recordings": (
        lambda: compose(parse_part("brightness=0.1")).perturbation.samples(Input.of(tone(440))),
        "brightness: expected 8-bit images, got int16 values",
    ),
    "rotated sound": (
        lambda: attacked(tone(440), [(transform_of("rotation", {}), 3.0)]),
        "rotation: expected 8-bit images, got int16 values",
    ),
    "a louder image": (
        lambda: attacked(np.zeros((4, 4, 1), np.uint8), [(transform_of("volume", {}), 3.0)]),
        "volume: expected 16-bit recordings, got uint8 values",
    ),
    "far pitch": (
        lambda: attacked(tone(440), [(transform_of("pitch", {}), 30.0)]),
        "pitch: expected -24 to 24 semitones",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_one_line_says_what_does_not_fit(case: tuple[Callable[[], Any], str]) -> None:
    make, message = case
    with pytest.raises((ArgumentError, DataError), match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_volumes_beyond_what_adds_up_are_refused() -> None:
    """Gains are cut off at 700 dB: beyond, two draws would no longer make one."""
    with pytest.raises(ValueError, match="volume: expected a scale of at most 40 dB, got 1000"):
        Volume(1000.0)


def test_a_file_that_resampling_would_blow_up_is_refused_first(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "slow.wav", np.full(2000, 0.5), 1, subtype="PCM_16")
    with pytest.raises(DataError, match=r"slow\.wav: expected at most 8,000 samples at 8000 Hz, got 16,000,000"):
        read_recording(tmp_path / "slow.wav", Sound(8000, 8000))


@pytest.mark.parametrize("samples", [1, 2])
def test_pitch_of_hardly_any_samples(samples: int) -> None:
    assert ShiftPitch().apply(np.ones(samples, np.int16), -24.0).shape == (samples,)
