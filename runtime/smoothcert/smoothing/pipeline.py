"""From one input to its perturbed copies: encode once, then fill batches, each sample a function of its address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..draws import Stream
from ..inputs.spatial import Raw
from ..transforms import blur, geometry

if TYPE_CHECKING:
    from .part import Part


@dataclass(frozen=True, eq=False)
class Encoded:
    """One input, ready to be perturbed: its pixels (float32, or as they are where all stays whole), or its spectrum.

    `unit` is full intensity: 255 for 8-bit inputs, whose samples are in levels, else 1. `raw` is the image ahead of the
    preprocessing, for smoothings that act there.
    """

    pixels: NDArray[Any]
    spectrum: Any
    unit: float
    raw: Raw | None = None


def raw_of(x: NDArray[Any]) -> Raw:
    """An 8-bit image (outer, height, width, inner) as its own raw image."""
    outer, height, width, inner = x.shape
    return Raw(np.ascontiguousarray(np.moveaxis(x, 0, 2)).reshape(height, width, outer * inner))


def is_integer(parts: Sequence[Part], x: NDArray[Any]) -> bool:
    """Whether 8-bit inputs stay whole numbers all along."""
    return x.dtype == np.uint8 and all(part.whole for part in parts)


def dtype(parts: Sequence[Part], x: NDArray[Any]) -> np.dtype[Any]:
    """int16 or float32; `DataError` for data that a part cannot be applied to."""
    for part in parts:
        part.require_data(x)
    return np.dtype(np.int16 if is_integer(parts, x) else np.float32)


def encode(parts: Sequence[Part], x: NDArray[Any]) -> Encoded:
    """What is computed once for an input."""
    pixels = x if is_integer(parts, x) else x.astype(np.float32)
    border = _border(parts)
    unit = 255.0 if x.dtype == np.uint8 else 1.0
    return Encoded(pixels, blur.spectrum(pixels, border) if border else None, unit)


def perturb(parts: Sequence[Part], encoded: Encoded, stream: Stream, first: int, out: NDArray[Any]) -> None:
    """Fill out: pixels are moved first, for that commutes with all the rest; then changed, part by part."""
    address = {
        part.name: replace(stream, stage=stream.stage | place << 24) for place, part in enumerate(parts, start=1)
    }
    address["noise"] = stream
    moves = {part.name: part.draw(address[part.name], first, len(out)) for part in parts if part.moves}
    border = _border(parts)
    if border and "translation" in moves:
        blurred = np.empty_like(out)
        blur.blur(encoded.spectrum, moves["blur"], border, blurred)
        for image, shift, target in zip(blurred, moves["translation"], out, strict=True):
            geometry.cyclic_shift(image, shift[None], target[None])
    elif border:
        blur.blur(encoded.spectrum, moves["blur"], border, out)
    elif moves:
        geometry.cyclic_shift(encoded.pixels, moves["translation"], out)
    else:
        out[...] = encoded.pixels
    for part in parts:
        if not part.moves:
            part.apply(out, address[part.name], first, encoded.unit)


def _border(parts: Sequence[Part]) -> str:
    """The blur's border; empty where there is no blur."""
    return next((str(part.description["border"]) for part in parts if part.name == "blur"), "")
