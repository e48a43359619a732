"""Brightness, contrast and gamma: the same function of every pixel."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import require
from ..inputs.levels import EIGHT_BIT
from .checks import Image, eight_bit, require_each

_LEVELS, _UNIT = np.arange(EIGHT_BIT.lowest, EIGHT_BIT.highest + 1, dtype=float), EIGHT_BIT.unit


def brightness(image: Image, b: float) -> Image:
    """x + 255 b, b in [0,1] intensities; the offset 255 b is a whole level, so that all pixels move alike."""
    require(np.isfinite(b), f"brightness: expected a finite b, got {b:g}")
    return _look_up(image, _LEVELS + np.rint(_UNIT * float(b)))


def contrast(image: Image, c: float, about: float = 0.0) -> Image:
    """about + c (x - about), about in [0,1] intensities: 0 fixes black, 0.5 mid-grey."""
    require(0 <= c < np.inf, f"contrast: expected a factor c >= 0, got {c:g}")
    require(0 <= about <= 1, f"contrast: expected a fixed point about from 0 to 1, got {about:g}")
    return _look_up(image, _UNIT * about + float(c) * (_LEVELS - _UNIT * about))


def gamma(image: Image, g: float) -> Image:
    """255 (x / 255)^g: g > 1 darkens."""
    require(0 < g < np.inf, f"gamma: expected an exponent g > 0, got {g:g}")
    return _look_up(image, _UNIT * (_LEVELS / _UNIT) ** g)


def add_brightness(batch: NDArray[np.float32], b: ArrayLike, unit: float) -> None:
    """Add b[i] unit to batch[i] (any shape behind the first axis), in place. Composes: b1 + b2."""
    b = np.asarray(b, float)
    require_each(b, np.isfinite(b), "brightness: expected finite b")
    batch += _column(b * unit, batch)


def scale_contrast(batch: NDArray[np.float32], c: ArrayLike, about: float, unit: float) -> None:
    """batch[i] becomes a + c[i] (batch[i] - a) in place, a = about unit. Composes about one point: c1 c2."""
    c = np.asarray(c, float)
    require_each(c, (c >= 0) & (c < np.inf), "contrast: expected factors c >= 0")
    require(0 <= about <= 1, f"contrast: expected a fixed point about from 0 to 1, got {about:g}")
    batch *= _column(c, batch)
    if about:
        batch += _column((1 - c) * (about * unit), batch)


def raise_gamma(batch: NDArray[np.float32], g: ArrayLike, unit: float) -> None:
    """batch[i] becomes unit (batch[i] / unit)^g[i], in place; 0 and unit stay exactly. Composes: g1 g2.

    `ValueError` for negative values, which have no power.
    """
    g = np.asarray(g, float)
    require_each(g, (g > 0) & (g < np.inf), "gamma: expected exponents g > 0")
    smallest = batch.min(initial=0)
    require(smallest >= 0, f"gamma: expected values >= 0, got {smallest:g}; apply gamma ahead of brightness")
    if unit != 1:
        batch /= np.float32(unit)
    # numpy has vector instructions for float32 log and exp on more processors than for power, and they are faster
    # where it has both; the relative error, about 1e-6 over 8-bit levels, stays that of float32.
    with np.errstate(divide="ignore"):
        np.log(batch, out=batch)
    batch *= _column(g, batch)
    np.exp(batch, out=batch)
    if unit != 1:
        batch *= np.float32(unit)


def _column(values: NDArray[np.float64], batch: NDArray[Any]) -> NDArray[np.float32]:
    """One float32 value a sample, of a shape that broadcasts over the batch."""
    require(
        values.shape == batch.shape[:1],
        f"expected one parameter a sample, {len(batch)} of them, got shape {values.shape}",
    )
    return values.astype(np.float32).reshape(-1, *(1,) * (batch.ndim - 1))


def _look_up(image: Image, table: NDArray[np.float64]) -> Image:
    """The image with each level replaced by its entry, rounded to nearest (halves to even) and saturated."""
    found = cv2.LUT(eight_bit(image), EIGHT_BIT.rounded(table))
    return np.asarray(found, np.uint8).reshape(image.shape)
