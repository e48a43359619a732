"""Grey of a colour image, by stated weights, on 8 bits or in float as the image came."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

LUMA = {"bt601": (0.299, 0.587, 0.114), "bt709": (0.2126, 0.7152, 0.0722), "mean": (1 / 3, 1 / 3, 1 / 3)}
_BITS = 16  # of the weights of 8-bit images


def to_grey(image: NDArray[Any], luma: str) -> NDArray[Any]:
    """The image (H, W, 1) of an image (H, W, 3), red first, uint8 or float32; one that is grey already, as it is.

    8-bit images stay 8-bit: `bt601` as OpenCV's COLOR_RGB2GRAY rounds it, the others to the nearest level, by weights
    of 16 bits that sum to 1. A brighter image never gives a darker grey, and equal colours stay what they are.
    """
    if image.ndim == 2 or image.shape[2] == 1:
        return image
    if image.shape[2] != 3:
        raise DataError(f"channels: expected 1 or 3 colours to make grey, got {image.shape[2]}; convert the data")
    if luma == "bt601":
        grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    elif image.dtype == np.uint8:
        weights = [round(weight * 2**_BITS) for weight in LUMA[luma]]
        weights[1] += 2**_BITS - sum(weights)
        total = sum(image[..., i].astype(np.uint32) * np.uint32(weight) for i, weight in enumerate(weights))
        grey = np.asarray((total + 2 ** (_BITS - 1)) >> _BITS, np.uint8)
    else:
        grey = image @ np.array(LUMA[luma], np.float32)
    return np.asarray(grey)[..., None]
