"""JPEG compression: nothing about it is random, and its qualities are few enough to try them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np

from ..errors import DataError, require
from .ranges import Range
from .transform import Image, Kind, Transform


@dataclass(frozen=True)
class CompressJpeg(Transform):
    """Compressed and decompressed by OpenCV at a quality from 1 to 100, its defaults else; grey, or red, green, blue.

    No quality leaves an image as it is: the identity is to leave compression out. Compressing twice is no compression
    of another quality, so that there is no smoothing against it, and qualities are enumerated.
    """

    name: ClassVar[str] = "jpeg"
    unit: ClassVar[str] = "quality"
    kind: ClassVar[Kind] = "listed"
    identity: ClassVar[Any] = None
    help: ClassVar[str] = "JPEG compression"
    example: ClassVar[str] = "jpeg=50:95"

    def apply(self, image: Image, value: Any) -> Image:
        colours = image.shape[2] if image.ndim == 3 else 1
        if colours not in (1, 3):
            raise DataError(f"jpeg: expected an image of 1 or 3 colours, got shape {image.shape}")
        blue_first = image[..., ::-1] if colours == 3 else image
        _, content = cv2.imencode(".jpg", blue_first, [cv2.IMWRITE_JPEG_QUALITY, int(value)])
        found = np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR if colours == 3 else cv2.IMREAD_GRAYSCALE), np.uint8)
        return found[..., ::-1].copy() if colours == 3 else found.reshape(image.shape)

    def members(self, r: Range) -> tuple[Any, ...]:
        ends = float(r.low), float(r.high)
        whole = r.points is None and all(end.is_integer() and 1 <= end <= 100 for end in ends)
        require(whole, f"attack: expected whole qualities from 1 to 100, such as jpeg=50:95, got jpeg={r}")
        return tuple(range(int(r.low), int(r.high) + 1))
