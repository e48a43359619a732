"""What attackers do to 16-bit recordings, and the random parts that answer it: volume, time, frequency, pitch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..bounds.laws import LogNormal, Normal
from ..draws import MAX_STD, Stream, integer_normal
from ..errors import DataError, require
from ..inputs.input import Input
from ..inputs.levels import PCM16, Levels
from ..transforms import sound
from .part import Limited, Pair, Part
from .ranges import Range
from .transform import Kind, Transform

_ON: tuple[Levels, ...] = (PCM16,)
CYCLIC_TIME = "time-shift edge=wrap"
_FARTHEST = 10_000_000  # samples of a shift, whose members are listed
_LOUDEST = 40.0  # dB of a scale: attacks that it survives and any draw together stay float32, and within +-700 dB


@dataclass(frozen=True)
class ChangeVolume(Transform):
    """Every sample times 10^(dB / 20), rounded and saturated."""

    name: ClassVar[str] = "volume"
    unit: ClassVar[str] = "dB"
    suffix: ClassVar[str] = "dB"
    kind: ClassVar[Kind] = "additive"
    identity: ClassVar[Any] = 0.0
    help: ClassVar[str] = "a recording gets louder or softer"
    example: ClassVar[str] = "volume=-3dB:3dB"
    acts_on: ClassVar[tuple[Levels, ...]] = _ON
    limits: ClassVar[tuple[float, float]] = (-700.0, 700.0)

    def apply(self, image: Any, value: Any) -> Any:
        return PCM16.rounded(image * _gain(value))


def _gain(decibels: Any) -> Any:
    return 10.0 ** (np.clip(decibels, *ChangeVolume.limits) / 20)


@dataclass(frozen=True)
class Volume(Part):
    """The recording louder by N(0, scale^2) dB, a factor of 10^(dB / 20): p_star(d) = Phi(|d| / scale).

    In real arithmetic; what 16 bits round and cut off needs a calibration. Source: Fischer, Baader, Vechev 2020
    (Statistical verification of general perturbations), section 4.3.
    """

    transforms: ClassVar[type[Transform]] = ChangeVolume
    help: ClassVar[str] = "standard deviation in dB"
    laws: ClassVar[Mapping[str, type[Any]]] = {"normal": Normal}
    composes: ClassVar[bool] = True
    pairs: ClassVar[tuple[Pair, ...]] = (("volume", "noise", "carries"), (CYCLIC_TIME, "volume", "commute"))
    scale: float
    law: str = "normal"

    def __post_init__(self) -> None:
        Part.__post_init__(self)
        fits = self.scale <= _LOUDEST
        require(fits, f"volume: expected a scale of at most {_LOUDEST:g} dB, got {self.scale:g}")

    def act(self, out: NDArray[Any], values: NDArray[Any], unit: float) -> None:
        out *= _gain(values).astype(out.dtype).reshape(-1, *[1] * (out.ndim - 1))


@dataclass(frozen=True)
class ShiftTime(Transform):
    """Later by so many samples, a fraction cut off towards 0; `edge`: silence follows, or what leaves comes back."""

    name: ClassVar[str] = "time-shift"
    unit: ClassVar[str] = "samples"
    suffix: ClassVar[str] = "samples"
    kind: ClassVar[Kind] = "additive"
    identity: ClassVar[Any] = 0.0
    help: ClassVar[str] = "a recording comes later or earlier"
    example: ClassVar[str] = "time-shift=-800:800"
    choices: ClassVar[Mapping[str, Sequence[str]]] = {"edge": ["silence", "wrap"]}
    acts_on: ClassVar[tuple[Levels, ...]] = _ON
    edge: str = "silence"

    def apply(self, image: Any, value: Any) -> Any:
        return sound.shifted(image, int(value), wrap=self.edge == "wrap")

    def members(self, r: Range) -> tuple[Any, ...]:
        """Every shift by whole samples."""
        if r.points is not None:
            return Transform.members(self, r)
        require(max(-r.low, r.high) <= _FARTHEST, f"attack: expected at most {_FARTHEST:,} samples, got {r}")
        return tuple(map(float, range(int(r.low), int(r.high) + 1)))

    def members_on(self, r: Range, sides: tuple[int, int]) -> tuple[Any, ...]:
        """Those of a recording's length at most: with silence at its edge, all that is beyond is silence alone."""
        if r.points is not None or self.edge == "wrap":
            return self.members(r)
        low, high = (float(np.clip(end, -sides[1], sides[1])) for end in (r.low, r.high))
        return self.members(Range(low, high))

    @property
    def manner(self) -> str:
        return "cyclic" if self.edge == "wrap" else "silence-padded"


@dataclass(frozen=True)
class TimeShift(Part):
    """The recording later by round(N(0, scale^2)) samples, what leaves coming back: p_star(d) = Phi(|d| / scale).

    A permutation of the samples: exact, whole levels stay whole. Attacks are shifts by whole samples, too. A shift with
    silence at its edge does not add up: it is enumerated.
    """

    transforms: ClassVar[type[Transform]] = ShiftTime
    help: ClassVar[str] = "standard deviation in samples"
    laws: ClassVar[Mapping[str, type[Any]]] = {"normal": Normal}
    moves: ClassVar[bool] = True
    whole: ClassVar[bool] = True
    composes: ClassVar[bool] = True
    choices: ClassVar[Mapping[str, Sequence[str]]] = {"edge": ["wrap"]}
    pairs: ClassVar[tuple[Pair, ...]] = ((CYCLIC_TIME, "noise", "carries"),)
    scale: float
    law: str = "normal"
    edge: str = "wrap"

    def __post_init__(self) -> None:
        Part.__post_init__(self)
        fits = self.scale <= MAX_STD
        require(fits, f"time-shift: expected a scale of at most {MAX_STD:g} samples, got {self.scale:g}")

    @property
    def stretch(self) -> float | None:
        return 1.0

    def require_data(self, x: Input) -> None:
        if x.pixels.ndim != 1:
            raise DataError(f"time-shift: expected recordings, got values of shape {x.pixels.shape}")

    def require_measurable(self, r: Range) -> None:
        require(False, "calibration: time-shift is exact without one; with silence at its edge, enumerate it")

    def total_variation(self, x: Input) -> float:
        return integer_normal(self.scale).total_variation

    def draw(self, stream: Stream, first: int, batch: int) -> NDArray[Any]:
        """(batch,) whole samples."""
        shifts = np.empty((batch, 1), np.int16)
        integer_normal(self.scale).fill(stream, first, shifts)
        return shifts[:, 0]

    def fill(self, encoded: Any, values: NDArray[Any], out: NDArray[Any], unit: float) -> None:
        for row, by in zip(out, values.tolist(), strict=True):
            at = int(by) % len(encoded)
            row[at:], row[:at] = encoded[: len(encoded) - at], encoded[len(encoded) - at :]

    def act(self, out: NDArray[Any], values: NDArray[Any], unit: float) -> None:
        for i in range(len(out)):
            self.fill(out[i].copy(), values[i : i + 1], out[i : i + 1], unit)


@dataclass(frozen=True)
class ShiftFrequency(Transform):
    """Every frequency higher by so many bins of the recording's Fourier transform: of sample rate / samples Hz each.

    Fractions of a bin by modulation; bins that would pass 0 or half the sample rate are lost.
    """

    name: ClassVar[str] = "frequency-shift"
    unit: ClassVar[str] = "Fourier bins, of sample rate / samples Hz"
    suffix: ClassVar[str] = "bins"
    kind: ClassVar[Kind] = "additive"
    identity: ClassVar[Any] = 0.0
    help: ClassVar[str] = "every frequency of a recording is higher or lower by as much"
    example: ClassVar[str] = "frequency-shift=-20:20"
    acts_on: ClassVar[tuple[Levels, ...]] = _ON

    def apply(self, image: Any, value: Any) -> Any:
        return self.begin(image, self.encode(image), value)

    def encode(self, image: Any) -> Any:
        return sound.spectrum(image)

    def begin(self, image: Any, encoded: Any, value: Any) -> Any:
        return PCM16.rounded(sound.frequency_shifted(encoded, value, len(image)))


@dataclass(frozen=True)
class FrequencyShift(Part):
    """Every frequency higher by N(0, scale^2) bins; with a calibration, for bins that fall off do not come back.

    Source: Fischer, Baader, Vechev 2020, section 4.3.
    """

    transforms: ClassVar[type[Transform]] = ShiftFrequency
    help: ClassVar[str] = "standard deviation in bins"
    laws: ClassVar[Mapping[str, type[Any]]] = {"normal": Normal}
    moves: ClassVar[bool] = True
    scale: float
    law: str = "normal"


@dataclass(frozen=True)
class ShiftPitch(Transform):
    """So many semitones higher at the same length: a phase vocoder, then resampling by Fourier bins."""

    name: ClassVar[str] = "pitch"
    unit: ClassVar[str] = "semitones"
    suffix: ClassVar[str] = "st"
    kind: ClassVar[Kind] = "additive"
    identity: ClassVar[Any] = 0.0
    help: ClassVar[str] = "a recording is higher or lower, and as long"
    example: ClassVar[str] = "pitch=-0.5st:0.5st:21"
    acts_on: ClassVar[tuple[Levels, ...]] = _ON
    limits: ClassVar[tuple[float, float]] = (-24.0, 24.0)

    def apply(self, image: Any, value: Any) -> Any:
        return self.begin(image, self.encode(image), value)

    def encode(self, image: Any) -> Any:
        return sound.vocoder(image)

    def begin(self, image: Any, encoded: Any, value: Any) -> Any:
        _require_within(self, value)
        return PCM16.rounded(encoded.pitched(value))


@dataclass(frozen=True)
class Pitch(Limited):
    """N(0, scale^2) semitones higher at the same length; with a calibration."""

    transforms: ClassVar[type[Transform]] = ShiftPitch
    help: ClassVar[str] = "standard deviation in semitones"
    laws: ClassVar[Mapping[str, type[Any]]] = {"normal": Normal}
    moves: ClassVar[bool] = True
    scale: float
    law: str = "normal"


@dataclass(frozen=True)
class StretchTime(Transform):
    """So many times as fast at the same pitch, cut or followed by silence to its length: a phase vocoder."""

    name: ClassVar[str] = "time-stretch"
    unit: ClassVar[str] = "times as fast"
    kind: ClassVar[Kind] = "factor"
    identity: ClassVar[Any] = 1.0
    help: ClassVar[str] = "a recording is faster or slower at the same pitch"
    example: ClassVar[str] = "time-stretch=0.95:1.05:11"
    acts_on: ClassVar[tuple[Levels, ...]] = _ON
    limits: ClassVar[tuple[float, float]] = (0.25, 4.0)

    def apply(self, image: Any, value: Any) -> Any:
        return self.begin(image, self.encode(image), value)

    def encode(self, image: Any) -> Any:
        return sound.vocoder(image)

    def begin(self, image: Any, encoded: Any, value: Any) -> Any:
        _require_within(self, value)
        return PCM16.rounded(encoded.at_rate(value))


@dataclass(frozen=True)
class TimeStretch(Limited):
    """A factor f as fast, log f ~ N(0, scale^2), at the same pitch; with a calibration."""

    transforms: ClassVar[type[Transform]] = StretchTime
    help: ClassVar[str] = "standard deviation of the factor's logarithm"
    laws: ClassVar[Mapping[str, type[Any]]] = {"lognormal": LogNormal}
    moves: ClassVar[bool] = True
    scale: float
    law: str = "lognormal"


def _require_within(transform: Transform, value: float) -> None:
    low, high = transform.limits
    require(low <= value <= high, f"{transform.name}: expected {low:g} to {high:g} {transform.unit}, got {value:g}")
