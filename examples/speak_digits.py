"""Make the spoken digits: espeak-ng says zero to nine in many voices, at many speeds and pitches.

    python examples/speak_digits.py spoken.npz      # needs espeak-ng (Debian: apt-get install espeak-ng)

Writes one second of PCM16 at 8 kHz a clip: `x` int16 [clips, 8000], `y` int64 the digit, `held_out` bool (voices that
no training clip has), `rate`. The same espeak-ng makes the same clips: numbers are drawn from a fixed seed. `--hums`
makes a second kind of sound instead, without espeak-ng: four machines and a bird, told by pitch, beats and glides.
"""

import argparse
import itertools
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import soundfile

RATE, SAMPLES = 8000, 8000
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029")
VOICES = ("m1", "m2", "m3", "m6", "m7", "f1", "f3", "f4", "m8")
HELD_OUT = ("m4", "m5", "f2", "f5")
HUMS = ("transformer", "fan", "pump", "drill", "bird")
TAKES = 6  # of each word by each voice

Sound = npt.NDArray[np.float32]


def said(word: str, voice: str, rng: np.random.Generator) -> Sound:
    """The word, silence cut off both ends, at 8 kHz."""
    speed, pitch = rng.integers(130, 215), rng.integers(25, 76)
    line = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", word]
    raw = subprocess.run(line, capture_output=True, check=True).stdout
    wave = np.frombuffer(raw, "<i2", offset=44).astype(np.float32) / 32768  # the header tells no length to a pipe
    wave = librosa.resample(wave, orig_sr=22050, target_sr=RATE)
    loud = np.flatnonzero(abs(wave) > 0.02 * abs(wave).max())
    return wave[loud[0] : loud[-1] + 1]


def placed(wave: Sound, rng: np.random.Generator) -> npt.NDArray[np.int16]:
    """One second with the sound anywhere in it, its peak between 0.1 and 0.35 of full scale."""
    wave = wave[: SAMPLES - 200] * (rng.uniform(0.1, 0.35) / abs(wave).max())
    clip = np.zeros(SAMPLES, np.float32)
    at = rng.integers(0, SAMPLES - len(wave) + 1)
    clip[at : at + len(wave)] = wave
    return np.rint(clip * 32768).astype(np.int16)


def speech(takes: int) -> Iterator[tuple[npt.NDArray[np.int16], int, bool]]:
    """Every word by every voice, `takes` times."""
    for accent, variant, (label, word) in itertools.product(ACCENTS, (*VOICES, *HELD_OUT), enumerate(WORDS)):
        rng = np.random.default_rng(zlib.crc32(f"{accent} {variant} {word}".encode()))
        for _ in range(takes):
            yield placed(said(word, f"{accent}+{variant}", rng), rng), label, variant in HELD_OUT


def hum(kind: int, rng: np.random.Generator) -> Sound:
    """0.8 s of a machine, or of a bird: harmonics of a tone that is steady, beats, stumbles, whines or glides."""
    t = np.arange(int(0.8 * RATE)) / RATE
    base = rng.uniform(95, 125) * (1, 1.7, 0.8, 4, 10)[kind]
    turn = rng.uniform(3, 7)
    glide = (0, 0, 0, 0.15, 0.3)[kind] * np.sin(2 * np.pi * turn * t) / turn
    beats = (0, 0.5, 0.9, 0.1, 1)[kind] * np.cos(2 * np.pi * turn * t + rng.uniform(0, 6.28))
    phase = 2 * np.pi * base * (t + glide)
    numbers = [n for n in range(1, 9) if n * base < 3000]
    tones = (np.sin(n * phase + rng.uniform(0, 6.28)) / n ** rng.uniform(0.7, 1.3) for n in numbers)
    hiss = rng.standard_normal(len(t)) * rng.uniform(0.01, 0.1)
    return np.asarray((sum(tones) + hiss) * (1 + beats) * np.hanning(len(t)) ** 0.2, np.float32)


def hums(takes: int) -> Iterator[tuple[npt.NDArray[np.int16], int, bool]]:
    """Every kind, 40 times as often as a voice says a word; a quarter is held out."""
    for label in range(len(HUMS)):
        rng = np.random.default_rng(label)
        for take in range(40 * takes):
            yield placed(hum(label, rng), rng), label, take % 4 == 0


def main() -> None:
    """Parse the command line, speak, write."""
    parser = argparse.ArgumentParser(description="Make spoken digits, or hums.")
    parser.add_argument("out", type=Path, help=".npz file to write")
    parser.add_argument("--hums", action="store_true", help="machine hums in place of digits")
    parser.add_argument("--wav", type=Path, help="folder for held-out clips as wav files, in a subfolder a class")
    parser.add_argument("--takes", type=int, default=TAKES)
    arguments = parser.parse_args()
    made = hums(arguments.takes) if arguments.hums else speech(arguments.takes)
    clips, labels, held_out = zip(*made, strict=True)
    x, y, out = np.stack(clips), np.array(labels, np.int64), np.array(held_out)
    np.savez_compressed(arguments.out, x=x, y=y, held_out=out, rate=np.int64(RATE))
    print(f"{arguments.out}: {len(x)} clips, {out.sum()} of them held out")
    if arguments.wav:
        for i in np.flatnonzero(out)[:: max(1, out.sum() // 100)]:
            file = arguments.wav / str(y[i]) / f"{i}.wav"
            file.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(file, x[i], RATE, "PCM_16")


if __name__ == "__main__":
    main()
