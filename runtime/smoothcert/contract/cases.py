"""The images and values that transformations are tried on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..draws import Stream
from ..inputs.input import Input
from ..inputs.levels import EIGHT_BIT, PCM16, Levels, levels_of
from ..smoothing import Part, Transform

Image = NDArray[Any]  # an 8-bit image, or a 16-bit recording
_STEPS = (-1.5, -0.6, 0.3, 1.2)  # values tried, in scales of the coordinate
_SIZES = {"grey": (9, 8, 1), "colour": (8, 7, 3)}
_SHIFTS = ((2.0, -1.0), (-1.0, 3.0), (0.0, 1.0))


@dataclass(frozen=True)
class Batch:
    """A float image in a layout, (outer, height, width, inner), or a recording: between `levels`, or real numbers."""

    label: str
    pixels: NDArray[np.float32]
    levels: Levels | None

    @property
    def unit(self) -> float:
        return self.levels.unit if self.levels else 1.0

    def of(self, n: int) -> NDArray[np.float32]:
        """n copies, writable and in C order."""
        return np.repeat(self.pixels[None], n, axis=0)

    def taken(self, part: Part) -> NDArray[np.float32]:
        """The image itself; `DataError` where the part has no meaning for it."""
        x = replace(input_of(self.pixels), levels=self.levels)
        part.transforms.require_suited(x)
        part.require_data(x)
        return self.pixels


def input_of(pixels: NDArray[Any]) -> Input:
    """An image in its layout, or a recording, as an input."""
    outer, *rest = pixels.shape
    return Input.of(pixels, (outer, rest[0], rest[1], rest[2]) if rest else None)


def inputs(transform: Transform, given: Sequence[Image] = ()) -> Mapping[str, Image]:
    """What the transformation acts on: images, recordings, or both; then those given."""
    kinds: dict[Levels, Mapping[str, Image]] = {EIGHT_BIT: pictures(), PCM16: recordings()}
    found = {label: image for levels in transform.acts_on for label, image in kinds[levels].items()}
    return found | {f"input {i}": image for i, image in enumerate(given) if levels_of(image) in transform.acts_on}


def recordings() -> Mapping[str, Image]:
    """16-bit recordings (samples,): random ones and tones that fade, of odd and even lengths."""
    rng, found = np.random.default_rng(4), dict[str, Image]()
    for samples in (600, 731):
        t = np.arange(samples)
        found[f"random {samples}"] = rng.integers(-9000, 9000, samples).astype(np.int16)
        tone = 8000 * np.sin(2 * np.pi * 0.05 * t) * np.hanning(samples)
        found[f"tone {samples}"] = np.asarray(np.rint(tone), np.int16)
    return found


def pictures() -> Mapping[str, Image]:
    """8-bit images (H, W, C): random ones and gradients, grey and colour, of odd and even sides."""
    rng = np.random.default_rng(1)
    found: dict[str, Image] = {}
    for colours, shape in _SIZES.items():
        ramp = np.add.outer(np.arange(shape[0]), np.arange(shape[1]))[..., None] * [11, 7, 5][: shape[2]]
        found[f"random {colours}"] = rng.integers(0, 256, shape).astype(np.uint8)
        found[f"smooth {colours}"] = (40 + ramp % 200).astype(np.uint8)
    return found


def batches(transform: Transform, given: Sequence[Image] = ()) -> list[Batch]:
    """The images as real numbers from 0.1 to 0.9 of full intensity, planar and interleaved, in levels and without."""
    found = []
    for label, picture in inputs(transform, given).items():
        levels = levels_of(picture)
        kinds: dict[str, Levels | None] = {"levels": levels, "real": None}
        if picture.ndim == 1:
            wave = picture.astype(np.float32)
            found += [Batch(f"{label}, levels", wave, levels), Batch(f"{label}, real", wave / PCM16.unit, None)]
            continue
        inner = (0.1 + 0.8 * picture[None].astype(np.float32) / EIGHT_BIT.highest).astype(np.float32)
        outer = np.ascontiguousarray(np.moveaxis(inner, 3, 0)).reshape(picture.shape[2], *picture.shape[:2], 1)
        for name, pixels in {"interleaved": inner, "planar": outer}.items():
            if picture.shape[2] > 1 or name == "planar":
                for kind, its in kinds.items():
                    full = np.float32(its.unit if its else 1)
                    found.append(Batch(f"{label}, {name}, {kind}", pixels * full, its))
    return found


def values(part: Part, shape: tuple[int, ...]) -> list[Any]:
    """Values of a part, to both sides of its identity where it has two; of noise, arrays of that shape."""
    if part.transforms.is_planar():
        return list(_SHIFTS)
    if part.is_norm:
        return [part.scale * np.random.default_rng(i).standard_normal(shape) for i in range(3)]
    found = [part.value(step * part.scale) for step in _STEPS if step > 0 or part.signed]
    whole = part.draw(Stream(0, 0, 0), 0, 1).dtype.kind == "i"  # as attacks then are
    return [float(round(value)) for value in found] if whole else found


def identity(part: Part, shape: tuple[int, ...]) -> Any:
    """The value that changes nothing, as the part's own form takes it."""
    return np.zeros(shape) if part.is_norm and not part.transforms.is_planar() else part.transforms.identity


def shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return "an array"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def pairs_of(first: Part, second: Part, shape: tuple[int, ...]) -> list[tuple[Any, Any]]:
    """Values of two parts in a row."""
    return list(itertools.product(values(first, shape), values(second, shape)))


def transformed(part: Part, pixels: NDArray[Any], value: Any, unit: float) -> NDArray[Any]:
    """One image transformed with one value, by the part's own form."""
    out = np.repeat(pixels[None], 1, axis=0)
    part.fill(part.encode(pixels), np.asarray([value]), out, unit)
    found: NDArray[Any] = out[0]
    return found


def off(a: NDArray[Any], b: NDArray[Any], unit: float) -> float:
    """The largest difference, as a share of full intensity or of the largest value."""
    return float(np.abs(a - b).max(initial=0) / max(unit, np.abs(a).max(initial=0), np.abs(b).max(initial=0)))


def sampled(transform: Transform, low: float, high: float, n: int) -> list[float]:
    """Values of an interval, even in the coordinate; its ends themselves."""
    a, b = transform.coordinate(low), transform.coordinate(high)
    inside = (transform.value(float(c)) for c in np.linspace(a, b, n)[1:-1])
    return [low, *(min(max(v, low), high) for v in inside), high] if math.isfinite(b - a) else [low, high]
