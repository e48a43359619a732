"""What the transformations accept: 8-bit images, the names of borders and interpolations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, require

Image = NDArray[np.uint8]  # (H, W) or (H, W, C)

# What lies beyond the edge of a row abcd: black 000|abcd, wrap bcd|abcd, reflect101 dcb|abcd, reflect cba|abcd,
# replicate aaa|abcd.
BORDERS = {
    "black": cv2.BORDER_CONSTANT,
    "wrap": cv2.BORDER_WRAP,
    "reflect101": cv2.BORDER_REFLECT_101,
    "reflect": cv2.BORDER_REFLECT,
    "replicate": cv2.BORDER_REPLICATE,
}
INTERPOLATIONS = {"nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}


def require_name(kind: str, name: str, names: Iterable[str]) -> None:
    """Raise `ValueError`, with the names there are, unless `name` is among them."""
    names = list(names)
    require(name in names, f"{kind}: expected one of {', '.join(names)}, got {name!r}")


def require_each(values: NDArray[np.float64], good: NDArray[np.bool_], expected: str) -> None:
    """Raise `ValueError`, with the first value that is not good, unless all are."""
    if not good.all():
        raise ArgumentError(f"{expected}, got {values[~good].flat[0]:g}")


def eight_bit(image: NDArray[Any]) -> Image:
    """The image, C-contiguous; `ValueError` unless it is uint8 of shape (H, W) or (H, W, C) and not empty."""
    require(
        image.dtype == np.uint8 and image.ndim in (2, 3) and image.size > 0,
        f"image: expected uint8 of shape (H, W) or (H, W, C), got {image.dtype} of shape {image.shape}",
    )
    return np.ascontiguousarray(image)
