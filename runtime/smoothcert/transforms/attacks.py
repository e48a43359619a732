"""The attackers' transformations by the names that attacks have: one table for all that replays them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import blur, color, geometry

Image = NDArray[np.uint8]  # (height, width) or (height, width, colours)


@dataclass(frozen=True)
class Manner:
    """What an attack leaves open: the border and interpolation of warps, the fixed point of contrast, in [0,1]."""

    border: str = "black"
    interpolation: str = "bilinear"
    about: float = 0.0


# What an attack of that name and value makes of an image. Values: intensities in [0,1], factors, an exponent, a
# variance, (down, right) in pixels, degrees.
ATTACKS: Mapping[str, Callable[[Image, Any, Manner], Image]] = {
    "brightness": lambda image, b, how: color.brightness(image, b),
    "contrast": lambda image, c, how: color.contrast(image, c, how.about),
    "gamma": lambda image, g, how: color.gamma(image, g),
    "blur": lambda image, v, how: blur.gaussian_blur(image, v),
    "translation": lambda image, d, how: geometry.translate(image, d[1], d[0], how.border, how.interpolation),
    "rotation": lambda image, a, how: geometry.rotate(image, a, how.border, how.interpolation),
    "scaling": lambda image, f, how: geometry.scale(image, f, how.border, how.interpolation),
}
IDENTITY: Mapping[str, Any] = {
    "brightness": 0.0,
    "contrast": 1.0,
    "gamma": 1.0,
    "blur": 0.0,
    "translation": (0.0, 0.0),
    "rotation": 0.0,
    "scaling": 1.0,
}  # the value that changes nothing


def attacked(image: Image, attack: Iterable[tuple[str, Any, Manner]]) -> Image:
    """The image under attacks one after the other, each rounded to nearest and saturated to 0..255.

    >>> import numpy as np
    >>> attacked(np.full((1, 2), 250, np.uint8), [("brightness", 0.1, Manner()), ("contrast", 0.5, Manner())])
    array([[128, 128]], dtype=uint8)
    """
    for name, value, manner in attack:
        if value != IDENTITY[name]:
            image = ATTACKS[name](image, value, manner)
    return image
