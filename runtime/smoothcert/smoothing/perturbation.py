"""How samples of one input are made: all that sampling sees of a smoothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..draws import Stream
from ..errors import DataError
from ..inputs.input import Input
from ..inputs.levels import PCM16, Levels
from ..inputs.spatial import Raw
from .calibration import Calibration
from .part import Part
from .transform import Transform, attacked, begun, told


class Samples(Protocol):
    """The samples of one input: what was computed once for it, and how a batch of them is filled.

    `shape` and `dtype`: of one sample, as the classifier takes it; the shape need not be the input's. `levels`: those
    that its values are in, with what a smoothing did to them; None for real numbers. `slack`: bound on the total
    variation between the law drawn from and the one claimed; 0, not bounded, for real numbers. `attack_model`: see
    `Certificate`.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def levels(self) -> Levels | None: ...

    @property
    def slack(self) -> float: ...

    @property
    def attack_model(self) -> str: ...

    def fill(self, stream: Stream, first: int, out: NDArray[Any]) -> None:
        """out[i], of shape `shape` and in C order, becomes sample first + i, a function of its address alone."""
        ...


class Perturbation(Protocol):
    """A random transformation of inputs."""

    def samples(self, x: Input) -> Samples:
        """The samples of one input. `DataError` for data that do not suit."""
        ...


@dataclass(frozen=True)
class OnPixels:
    """Parts in a row on the pixels that the model gets, in real arithmetic, or whole levels where all parts are."""

    parts: tuple[Part, ...]

    def samples(self, x: Input) -> PixelSamples:
        """Whole levels, or float32."""
        for part in self.parts:
            part.transforms.require_suited(x)
            with told(part.transforms):
                part.require_data(x)
        whole = x.levels is not None and all(part.whole for part in self.parts)
        pixels = x.pixels if whole and x.is_whole else x.pixels.astype(np.float32)
        places = tuple(enumerate(self.parts, start=1))
        # Moving pixels about commutes with all the rest, and is cheapest first; what needs an encoding begins.
        order = tuple(sorted(places, key=lambda place: (not place[1].moves, not place[1].encodes)))
        with told(order[0][1].transforms):
            encoded = order[0][1].encode(pixels)
        return PixelSamples(
            order=order,
            encoded=encoded,
            shape=x.values.shape,
            layout=pixels.shape,
            dtype=x.levels.wide if x.levels and whole and x.is_whole else np.dtype(np.float32),
            levels=x.levels,
            unit=x.unit,
            slack=sum(part.total_variation(x) for part in self.parts) if whole else 0.0,
            attack_model="integer" if whole else "float-unclipped",
        )


@dataclass(frozen=True, eq=False)
class PixelSamples:
    """Samples of `OnPixels`: `order` has the parts with their places, the one that begins from `encoded` first."""

    order: tuple[tuple[int, Part], ...]
    encoded: Any
    shape: tuple[int, ...]
    layout: tuple[int, ...]
    dtype: np.dtype[Any]
    levels: Levels | None
    unit: float
    slack: float
    attack_model: str

    def fill(self, stream: Stream, first: int, out: NDArray[Any]) -> None:
        pixels = out.reshape(len(out), *self.layout)
        (place, part), *rest = self.order
        with told(part.transforms):
            part.begin(self.encoded, part.address(stream, place), first, pixels, self.unit)
        for place, part in rest:
            with told(part.transforms):
                part.proceed(part.address(stream, place), first, pixels, self.unit)


def eight_bit(x: Input, what: str) -> Input:
    """The input itself; `DataError` for what is neither an 8-bit image nor a 16-bit recording."""
    if not x.is_whole or (x.layout is None and x.levels != PCM16):
        raise DataError(
            f"{what}: expected 8-bit images or 16-bit recordings, got {x.values.dtype} values of shape "
            f"{x.pixels.shape}; convert the data"
        )
    return x


@dataclass(frozen=True)
class OnRaw:
    """Parts on the raw image or recording, as attackers compute them; then the way to the model, then noise."""

    moved: tuple[Part, ...]
    noise: Part
    calibration: Calibration

    def samples(self, x: Input) -> RawSamples:
        """Whole levels. `CalibrationError` where the image goes another way to the model than the calibration's."""
        pixels = eight_bit(x, "calibrated").pixels
        self.noise.require_data(x)
        raw = x.raw or x.image()
        for part in self.moved:
            part.transforms.require_suited(x)
        self.calibration.require_way(raw)
        encoded, slack = self.moved[0].transform.encode(raw.image), self.noise.total_variation(x)
        return RawSamples(self.moved, self.noise, raw, encoded, x.values.shape, pixels.shape, x.levels, x.unit, slack)


@dataclass(frozen=True, eq=False)
class RawSamples:
    """Samples of `OnRaw`. `encoded`: what the first of the parts computes once for the raw image."""

    moved: tuple[Part, ...]
    noise: Part
    raw: Raw
    encoded: Any
    shape: tuple[int, ...]
    layout: tuple[int, ...]
    levels: Levels | None
    unit: float
    slack: float
    attack_model: ClassVar[str] = "integer"  # what an attacker's pipeline rounds and cuts off is in the error

    @property
    def dtype(self) -> np.dtype[Any]:
        assert self.levels is not None
        return self.levels.wide

    def fill(self, stream: Stream, first: int, out: NDArray[Any]) -> None:
        pixels = out.reshape(len(out), *self.layout)
        for values, target in zip(drawn(self.moved, stream, first, len(out)), pixels, strict=True):
            ahead, *others = steps(self.moved, values)
            self.raw.place(attacked(begun(*ahead, self.raw.image, self.encoded), others), target)
        self.noise.proceed(self.noise.address(stream, 0), first, pixels, self.unit)


def drawn(parts: tuple[Part, ...], stream: Stream, first: int, batch: int) -> list[tuple[Any, ...]]:
    """The parts' own values for samples first..first + batch - 1: numbers, or (down, right)."""
    columns = (
        part.draw(part.address(stream, place), first, batch).tolist() for place, part in enumerate(parts, start=1)
    )
    values = ([tuple(v) if isinstance(v, list) else v for v in column] for column in columns)
    return list(zip(*values, strict=True))


def steps(parts: tuple[Part, ...], values: tuple[Any, ...]) -> list[tuple[Transform, Any]]:
    """Values of the parts as attacks in the parts' order."""
    return [(part.transform, value) for part, value in zip(parts, values, strict=True)]
