"""What attackers do to recordings, and the smoothing's own forms: waveforms of one channel, in any real numbers.

Nothing here rounds or saturates: `smoothing.sound` does, for attackers work on 16-bit samples. What is computed once
for a recording (`spectrum`, `vocoder`) serves any number of values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Wave = NDArray[np.float64]  # (samples,)
_TURN = 2 * np.pi
N_FFT, HOP = 512, 128  # of the phase vocoder


@cache
def libraries() -> tuple[tuple[str, str], ...]:
    """The libraries that attackers' samples are computed with, and their versions; none of them is imported for it."""
    return tuple((name, version(name)) for name in ("librosa", "numpy", "scipy"))


def shifted(wave: NDArray[np.generic], by: int, *, wrap: bool) -> NDArray[np.generic]:
    """The recording later by so many samples, earlier for negative ones: what leaves comes back, or silence follows."""
    if wrap:
        return np.roll(wave, by)
    found = np.zeros_like(wave)
    kept = max(0, len(wave) - abs(by))
    if kept:
        found[max(0, by) :][:kept] = wave[max(0, -by) :][:kept]
    return found


def spectrum(wave: NDArray[np.generic]) -> NDArray[np.complex128]:
    """The bins of the analytic signal: its real part is the recording. Bin k has k cycles in the recording."""
    bins = np.fft.rfft(wave.astype(np.float64)) * 2
    bins[0] /= 2
    if len(wave) % 2 == 0:
        bins[-1] /= 2
    return bins


def frequency_shifted(bins: NDArray[np.complex128], by: float, samples: int) -> Wave:
    """Every frequency higher by so many bins, fractions too; bins that would pass 0 or half the sample rate are lost.

    Source: the paper's psi (Fischer, Baader, Vechev 2020, section 4.3), with fractions of a bin by modulation.
    """
    at = np.arange(len(bins)) + by
    whole = np.zeros(samples, np.complex128)
    whole[: len(bins)] = np.where((at >= 0) & (at <= samples / 2), bins, 0)
    turn = np.exp((1j * _TURN * by / samples) * np.arange(samples))
    return np.asarray((np.fft.ifft(whole) * turn).real)


@cache
def _window() -> NDArray[np.float64]:
    return np.asarray(0.5 - 0.5 * np.cos(_TURN * np.arange(N_FFT) / N_FFT))


@dataclass(frozen=True, eq=False)
class Vocoder:
    """The short-time spectrum of a recording: magnitudes, and phase steps from frame to frame, (frames, bins).

    The arithmetic is that of librosa 0.11 (`stft`, `phase_vocoder`, `istft`, Hann window of 512, hop of 128).
    """

    samples: int
    magnitudes: NDArray[np.float32]
    first: NDArray[np.float64]  # phases of the first frame
    steps: NDArray[np.float64]

    def stretched(self, rate: float) -> Wave:
        """The recording `rate` times as fast at its own pitch, of round(samples / rate) samples."""
        frames = len(self.magnitudes) - 2  # two silent ones follow
        places = np.arange(0, frames, rate)
        length = max(1, round(self.samples / rate))
        places = places[: -(-(length + N_FFT) // HOP)]
        low = places.astype(int)
        weight = (places - low).astype(np.float32)[:, None]
        magnitude = (1 - weight) * self.magnitudes[low] + weight * self.magnitudes[low + 1]
        phase = np.empty((len(low), len(self.first)))
        phase[0] = self.first
        np.cumsum(self.steps[low[:-1]], axis=0, out=phase[1:])
        phase[1:] += self.first
        phase -= _TURN * np.rint(phase / _TURN)
        angle = phase.astype(np.float32)
        turned = np.empty(angle.shape, np.complex64)
        np.multiply(np.cos(angle), magnitude, out=turned.real)
        np.multiply(np.sin(angle), magnitude, out=turned.imag)
        return _overlapped(scipy.fft.irfft(turned, N_FFT, axis=1) * _window(), length)

    def at_rate(self, rate: float) -> Wave:
        """The recording `rate` times as fast, cut or followed by silence to its own length."""
        return _fixed(self.stretched(rate), self.samples)

    def pitched(self, semitones: float) -> Wave:
        """The recording so many semitones higher, of its own length: stretched, then resampled by its Fourier bins."""
        from scipy.signal import resample  # which is slow to import

        rate = 2.0 ** (-semitones / 12)
        wave = self.stretched(rate)
        return _fixed(resample(wave, int(np.ceil(len(wave) * rate))), self.samples)


def vocoder(wave: NDArray[np.generic]) -> Vocoder:
    """What stretching and pitch shifting need of a recording, computed once."""
    padded = np.pad(wave.astype(np.float64), N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    bins = np.fft.rfft(frames * _window(), axis=1)
    bins = np.concatenate([bins, np.zeros((2, bins.shape[1]))])
    angle = np.angle(bins)
    advance = HOP * _TURN * np.arange(bins.shape[1]) / N_FFT
    apart = np.diff(angle, axis=0) - advance
    steps = apart - _TURN * np.rint(apart / _TURN) + advance
    return Vocoder(len(wave), abs(bins).astype(np.float32), angle[0], steps)


def _overlapped(frames: NDArray[np.floating], length: int) -> Wave:
    """Frames added up `HOP` apart, divided by what the window's squares add up to there, cut to length."""
    each = N_FFT // HOP
    total = np.zeros((len(frames) + each - 1, HOP))
    weight = np.zeros_like(total)
    squares = np.square(_window())
    for piece in range(each):
        part = slice(piece * HOP, (piece + 1) * HOP)
        total[piece : piece + len(frames)] += frames[:, part]
        weight[piece : piece + len(frames)] += squares[part]
    wave, over = total.ravel()[N_FFT // 2 :][:length], weight.ravel()[N_FFT // 2 :][:length]
    heard = over > np.finfo(np.float64).tiny
    wave[heard] /= over[heard]
    return _fixed(wave, length)


def _fixed(wave: Wave, samples: int) -> Wave:
    """Cut, or followed by silence, to so many samples."""
    return wave[:samples] if len(wave) >= samples else np.pad(wave, (0, samples - len(wave)))
