"""Pitch shifts and time stretches a second: one spectrum shared by all draws, against a librosa call for each.

The settings are those of `transforms.sound`: frames of 512, hop of 128, resampling by Fourier bins. Both make 16-bit
samples of the spoken digits that come with the package, on the same number of threads, in turns; both are compared
sample by sample first.
"""

from __future__ import annotations

import argparse
import functools
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import librosa
import numpy as np
from numpy.typing import NDArray

from smoothcert import demo_file
from smoothcert.inputs.levels import PCM16
from smoothcert.smoothing.transform import Transform, transform_of
from smoothcert.transforms import sound

from .measure import Contender, alternate, cores, environment, ratio, say, table, verdict

GOAL, NEAR = 3.0, 1e-4  # times as fast; of full scale
SETTINGS = {"n_fft": sound.N_FFT, "hop_length": sound.HOP}
Wave = NDArray[np.float64]


def by_librosa(name: str, wave: Wave, value: float) -> Wave:
    """One call."""
    if name == "pitch":
        found = librosa.effects.pitch_shift(wave, sr=8000, n_steps=value, res_type="scipy", **SETTINGS)
    else:
        found = librosa.util.fix_length(librosa.effects.time_stretch(wave, rate=value, **SETTINGS), size=len(wave))
    return np.asarray(found)


def values(name: str, count: int) -> list[float]:
    """Draws of half a semitone, or of 3 % of the speed."""
    normal = np.random.default_rng(1).standard_normal(count)
    return (0.5 * normal if name == "pitch" else np.exp(0.03 * normal)).tolist()


def loop(one: Callable[[float], object], name: str, threads: int) -> Contender:
    """Draws on so many threads."""
    pool = ThreadPoolExecutor(threads)
    return Contender(lambda count: list(pool.map(one, values(name, count))), 4 * threads)


def apart(name: str, transform: Transform, recording: NDArray[np.int16], count: int) -> float:
    """The largest difference of a sample, before rounding, in shares of full scale."""
    wave = recording / PCM16.unit
    coded = sound.vocoder(wave)
    ours = coded.pitched if name == "pitch" else coded.at_rate
    return max(float(abs(ours(value) - by_librosa(name, wave, value)).max()) for value in values(name, count))


def compare(name: str, threads: int, seconds: float, rounds: int) -> list[list[str]]:
    """Rows of the table for one transformation."""
    recording = np.load(demo_file("spoken.npz"))["x"][0]
    transform, wave = transform_of(name, {}), recording / PCM16.unit
    difference = apart(name, transform, recording, 20)

    def librosas(value: float) -> NDArray[np.integer]:
        return PCM16.rounded(by_librosa(name, wave, value) * PCM16.unit)

    ours = functools.partial(transform.begin, recording, transform.encode(recording))
    contenders = {"librosa, a call a draw": loop(librosas, name, threads), "shared": loop(ours, name, threads)}
    say(f"{name}: {rounds} rounds")
    rates, worst = alternate(contenders, seconds=seconds, rounds=rounds)
    say(f"{name}: other processes used up to {worst:.0%} of the CPU")
    times = ratio(rates, "shared", "librosa, a call a draw")
    bare, fast = (f"{statistics.median(rates[by]):.0f}" for by in contenders)
    goal = f">= {GOAL:g}, apart < {NEAR:g}"
    met = verdict(times if difference < NEAR else 0.0, GOAL)
    return [
        [name, "librosa, a call a draw", bare, "", "", "", ""],
        [name, "shared", fast, f"{times:.1f}", f"{difference:.0e}", goal, met],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    print(environment(arguments.threads) + "\n")
    rows = [
        row
        for name in ("pitch", "time-stretch")
        for row in compare(name, arguments.threads, arguments.seconds, arguments.rounds)
    ]
    table(["transformation", "by", "draws/s", "times as fast", "apart", "goal", ""], rows)


if __name__ == "__main__":
    main()
