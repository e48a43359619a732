"""Pictures with words on them, as PNG files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import require

Picture = NDArray[np.uint8]  # (height, width, 3): blue, green, red
Colour = tuple[int, int, int]
INK: Colour = (60, 60, 60)


def blank(height: int, width: int) -> Picture:
    return np.full((height, width, 3), 255, np.uint8)


def write(
    picture: Picture, text: str, x: int, y: int, size: float, *, anchor: float = 0.5, colour: Colour = INK
) -> None:
    """Write a line with its foot at y. It begins (`anchor` 0), has its middle (0.5) or ends (1) at x.

    A line that begins at x is made smaller where the picture would cut it off.
    """
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    size *= min(1.0, (picture.shape[1] - 20) / (x + width)) if anchor == 0 else 1.0
    where = (max(0, int(x - anchor * width)), y)
    cv2.putText(picture, text, where, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)


def require_name(path: Path) -> None:
    """`ArgumentError` for a name without .png."""
    require(cv2.haveImageWriter(str(path)), f"png: expected a name that ends in .png, got {path}")


def save(picture: Picture, path: Path) -> None:
    """Write the file; `ArgumentError` for a name without .png, or a place that cannot be written."""
    require_name(path)
    require(cv2.imwrite(str(path), picture), f"png: expected a path that can be written, got {path}")
