"""Translation, rotation, scaling and other warps, by OpenCV; cyclic shifts, which alone of them compose exactly.

x runs right and y down, in pixels; rotation and scaling are about the middle of the pixel centres,
((W - 1) / 2, (H - 1) / 2).
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import require
from .checks import BORDERS, INTERPOLATIONS, Image, eight_bit, require_name

WARP_BORDERS = ("black", "wrap", "reflect101", "replicate")
SCALES = (0.01, 100.0)  # beyond, source positions outgrow the integers OpenCV keeps them in


def translate(image: Image, dx: float, dy: float, border: str = "black", interpolation: str = "bilinear") -> Image:
    """The image moved dx pixels right and dy down. Whole-pixel shifts are exact whatever the interpolation."""
    require(math.isfinite(dx) and math.isfinite(dy), f"translation: expected finite shifts, got ({dx:g}, {dy:g})")
    height, width = eight_bit(image).shape[:2]
    matrix = np.array([[1, 0, _shortest(dx, width, border)], [0, 1, _shortest(dy, height, border)]], float)
    return warped(image, matrix, border, interpolation)


def rotate(image: Image, degrees: float, border: str = "black", interpolation: str = "bilinear") -> Image:
    """The image turned counter-clockwise about its middle, by cv2.warpAffine; the shape stays."""
    require(math.isfinite(degrees), f"rotation: expected finite degrees, got {degrees:g}")
    return _about_the_middle(eight_bit(image), math.remainder(degrees, 360), 1, border, interpolation)


def scale(image: Image, factor: float, border: str = "black", interpolation: str = "bilinear") -> Image:
    """The image enlarged (factor > 1) or shrunk about its middle, by cv2.warpAffine; the shape stays."""
    least, most = SCALES
    require(least <= factor <= most, f"scaling: expected a factor from {least:g} to {most:g}, got {factor:g}")
    return _about_the_middle(eight_bit(image), 0, factor, border, interpolation)


def cyclic_shift(image: NDArray[Any], shifts: NDArray[np.integer[Any]], out: NDArray[Any]) -> None:
    """Fill out[i] (outer, H, W, inner) with the image shifted down and right by whole pixels, shifts[i] = (dy, dx).

    What leaves on one side comes back on the other: shifts compose by adding, modulo (H, W), exactly. `out` may have
    any type that holds the image's values.
    """
    require(
        shifts.shape == (len(out), 2) and np.issubdtype(shifts.dtype, np.integer),
        f"cyclic shift: expected whole shifts of shape ({len(out)}, 2), got {shifts.dtype} of shape {shifts.shape}",
    )
    _, height, width, _ = image.shape
    tiled = np.tile(image.astype(out.dtype), (1, 2, 2, 1))  # every shifted image is a window of it: one copy a sample
    windows = (-shifts % (height, width)).tolist()
    for sample, (y, x) in zip(out, windows, strict=True):
        sample[...] = tiled[:, y : y + height, x : x + width]


def _shortest(shift: float, size: int, border: str) -> float:
    """The same shift, as near to 0 as can be: OpenCV's positions overflow far from the image."""
    if border == "wrap":
        return math.remainder(shift, size)
    if border == "reflect101":
        return math.remainder(shift, max(2 * size - 2, 1))
    return min(max(shift, -size - 2), size + 2)  # nothing of the image is left in sight, or its edge alone


def _about_the_middle(image: Image, degrees: float, factor: float, border: str, interpolation: str) -> Image:
    middle = ((image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2)
    matrix = np.asarray(cv2.getRotationMatrix2D(middle, degrees, factor), float)
    return warped(image, matrix, border, interpolation)


def warped(image: NDArray[np.uint8], matrix: NDArray[np.float64], border: str, interpolation: str) -> NDArray[np.uint8]:
    """A new 8-bit image of the same shape: positions (x, y) go by the 2x3 matrix, as cv2.warpAffine takes it."""
    require_name("border", border, WARP_BORDERS)
    require_name("interpolation", interpolation, INTERPOLATIONS)
    height, width = eight_bit(image).shape[:2]
    plane = image.reshape(height, width, -1)
    require(plane.shape[2] <= 4, f"warp: expected at most 4 channels behind the pixels, got {plane.shape[2]}")
    # OpenCV 5.0 interpolates cubically from wrong pixels where a position is more than one reflection outside.
    if interpolation == "bicubic" and border in ("wrap", "reflect101"):
        warped = _warp_folded(plane, matrix, border)
    else:
        flags, mode = INTERPOLATIONS[interpolation], BORDERS[border]
        warped = cv2.warpAffine(plane, matrix, (width, height), flags=flags, borderMode=mode)
    return np.asarray(warped, np.uint8).reshape(image.shape)


def _warp_folded(plane: NDArray[np.uint8], matrix: NDArray[np.float64], border: str) -> NDArray[Any]:
    """The plane (H, W, inner) warped bicubically, its positions first brought inside by the border's symmetry."""
    height, width, _ = plane.shape
    inverse = np.asarray(cv2.invertAffineTransform(matrix))
    y, x = np.mgrid[:height, :width]
    maps = []
    for (by_x, by_y, offset), size in zip(inverse, (width, height), strict=True):
        position = by_x * x + by_y * y + offset
        if border == "wrap":
            position = position % size
        elif size > 1:
            position = (size - 1) - abs(position % (2 * size - 2) - (size - 1))
        else:
            position = np.zeros_like(position)
        maps.append((position + 3).astype(np.float32))
    margin = np.pad(plane, ((3, 3), (3, 3), (0, 0)), mode="wrap" if border == "wrap" else "reflect")
    return np.asarray(cv2.remap(margin, maps[0], maps[1], cv2.INTER_CUBIC))
