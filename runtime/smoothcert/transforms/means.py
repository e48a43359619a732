"""The mean of 8-bit images: what a shutter that stays open sees of one that moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .checks import Image


def mean(images: Sequence[Image]) -> Image:
    """The mean of 8-bit images of one shape, rounded to nearest, halves to even.

    Sums are whole numbers, so that nothing else is rounded, and no pixel of an image makes the mean darker by being
    brighter. At least one image, 8 million at most.

    >>> mean([np.array([[1, 255]], np.uint8), np.array([[2, 0]], np.uint8)])
    array([[  2, 128]], dtype=uint8)
    """
    first, *rest = images
    total = first.astype(np.int32)
    for image in rest:
        total += image
    return np.asarray(np.rint(total / (1 + len(rest))), np.uint8)
