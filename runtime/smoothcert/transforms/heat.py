"""Gaussian blur: OpenCV's for the attacker, an exact semigroup in the variance for the smoothing.

OpenCV samples the Gaussian at whole pixels, cuts it at three standard deviations (8-bit images; four for float) and
rounds its weights to 1/256, so that blurring by variance a and then by b is not blurring by a + b; by little for large
variances, by a lot below one pixel squared. The heat kernel here is the same Gaussian where both are accurate, and
composes exactly everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import require
from .checks import BORDERS, Image, eight_bit, require_each, require_name

ATTACK_BORDERS = ("reflect101", "reflect", "replicate", "black", "wrap")
HEAT_BORDERS = ("reflect101", "reflect", "wrap")  # those that have modes
CHUNK = 50_000  # values blurred at a time: they stay in cache, and host threads seldom wait for the interpreter


def gaussian_blur(image: Image, variance: float, border: str = "reflect101") -> Image:
    """cv2.GaussianBlur of standard deviation sqrt(variance) pixels, of the kernel size that OpenCV picks for 8 bits."""
    require(0 <= variance < np.inf, f"blur: expected a variance >= 0, in pixels squared, got {variance:g}")
    require_name("blur border", border, ATTACK_BORDERS)
    if variance == 0:
        return eight_bit(image).copy()
    sigma, (height, width), margin = float(np.sqrt(variance)), eight_bit(image).shape[:2], 0
    if border == "wrap":  # OpenCV's filters do not: they are shown as much as they reach for
        border, margin = "replicate", int(np.ceil(3 * sigma)) + 1
        image = np.pad(image, [(margin, margin)] * 2 + [(0, 0)] * (image.ndim - 2), mode="wrap")
    blurred = cv2.GaussianBlur(eight_bit(image), (0, 0), sigma, borderType=BORDERS[border])
    inside = blurred[margin : margin + height, margin : margin + width]
    return np.asarray(inside, np.uint8).reshape(height, width, *image.shape[2:])


@dataclass(frozen=True)
class _Modes:
    """The cosine or Fourier modes of an axis of n pixels."""

    synthesis: NDArray[np.float32]  # (n, n), a mode a column
    analysis: NDArray[np.float64]  # its inverse
    frequencies: NDArray[np.float64]  # (n,), radians a pixel


@lru_cache(maxsize=32)
def _modes(size: int, border: str) -> _Modes:
    """DCT-I modes for `reflect101` (symmetric about the end pixels), DCT-II for `reflect` (about their outer edges),
    real Fourier for `wrap`. An axis of one pixel has the constant mode alone: nothing to blur.
    """
    require_name("blur border", border, HEAT_BORDERS)
    pixels, weights = np.arange(float(size)), np.ones(size)
    if border == "wrap":
        frequencies = 2 * np.pi / size * np.floor((pixels + 1) / 2)  # 0, 1, 1, 2, 2, ...: cosines and sines in turn
        angles = np.outer(pixels, frequencies)
        synthesis = np.where((pixels % 2 == 1) | (pixels == 0), np.cos(angles), np.sin(angles))
    elif border == "reflect":
        frequencies = np.pi / size * pixels
        synthesis = np.cos(np.outer(pixels + 0.5, frequencies))
    else:
        frequencies = np.pi / max(size - 1, 1) * pixels
        synthesis = np.cos(np.outer(pixels, frequencies))
        weights[[0, -1]] = 0.5  # the end pixels occur once in a period of the mirrored axis, the others twice
    weighted = weights[:, None] * synthesis
    analysis = (weighted / (weighted * synthesis).sum(axis=0)).T  # the modes are orthogonal under these weights
    return _Modes(synthesis.astype(np.float32), analysis, frequencies)


def spectrum(image: NDArray[Any], border: str) -> NDArray[np.float32]:
    """Coefficients (H, outer, inner, W) of the image (outer, H, W, inner) in the border's modes: once an input."""
    rows, columns = (_modes(size, border).analysis for size in image.shape[1:3])
    planes = np.moveaxis(image, -1, 1).astype(np.float64)
    return np.ascontiguousarray(np.moveaxis(rows @ planes @ columns.T, 2, 0), np.float32)


def blur(coefficients: NDArray[np.float32], variances: ArrayLike, border: str, out: NDArray[np.float32]) -> None:
    """Fill out[i] (outer, H, W, inner) with the image of these coefficients blurred by variances[i].

    T_v multiplies the mode of frequencies (w_y, w_x), in radians a pixel, by exp(-v (w_y^2 + w_x^2) / 2), v in pixels
    squared. T_b(T_a(x)) = T_{a+b}(x), and T_0 is the identity, up to float32 rounding. At small variances kernels have
    negative weights: values can leave the input's range.
    """
    v = np.asarray(variances, float)
    require_each(v, (v >= 0) & (v < np.inf), "blur: expected variances >= 0, in pixels squared")
    height, outer, inner, width = coefficients.shape
    shape = (*v.shape, outer, height, width, inner)
    require(out.shape == shape, f"blur: expected an output of shape {shape}, got {out.shape}")
    rows, columns = _modes(height, border), _modes(width, border)
    y_gains = np.exp(-0.5 * np.outer(v, rows.frequencies**2)).astype(np.float32)
    x_gains = np.exp(-0.5 * np.outer(v, columns.frequencies**2)).astype(np.float32)
    # Two products of fixed shape a sample: its bits do not depend on its batch. A few samples at a time stay in cache.
    # Fast transforms gain little at these sizes, and lose much where they have large prime factors (DCT-I of 224).
    few = max(1, CHUNK // coefficients.size)
    for first in range(0, len(v), few):
        part = slice(first, first + few)
        by_y = rows.synthesis * y_gains[part, None, :]
        by_x = (columns.synthesis * x_gains[part, None, :]).swapaxes(1, 2)
        halfway = np.matmul(by_y, coefficients.reshape(height, -1))
        blurred = np.matmul(halfway.reshape(len(by_x), -1, width), by_x)
        out[part] = blurred.reshape(-1, *coefficients.shape).transpose(0, 2, 1, 4, 3)
