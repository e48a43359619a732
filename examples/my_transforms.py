"""Three transformations of a user's own: one to enumerate, one to calibrate, one that is exact. See docs/plugins.md."""

from dataclasses import dataclass

import cv2
import numpy as np

from smoothcert import Normal, Part, Transform


@dataclass(frozen=True)
class DropBits(Transform):
    name, unit, kind, identity = "bits", "bits of 8", "listed", 8.0
    help = "the upper bits of every level, the others 0"

    def apply(self, image, value):
        return image & np.uint8(256 - 2 ** (8 - int(value)))


@dataclass(frozen=True)
class Swirl(Transform):
    name, unit, kind, identity = "swirl", "degrees at the middle", "additive", 0.0
    help = "a swirl about the middle: standard deviation in degrees at the middle (calibrated)"

    def apply(self, image, value):
        height, width = image.shape[:2]
        y, x = np.mgrid[:height, :width] - np.array([height - 1, width - 1]).reshape(2, 1, 1) / 2
        angle = np.radians(value) * np.exp(-np.hypot(x, y) / (min(height, width) / 4))
        from_x = np.cos(angle) * x - np.sin(angle) * y + (width - 1) / 2
        from_y = np.sin(angle) * x + np.cos(angle) * y + (height - 1) / 2
        return cv2.remap(image, np.float32(from_x), np.float32(from_y), cv2.INTER_LINEAR).reshape(image.shape)


def darker(height, width):  # 0 in the middle, 1 in the corners
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    return (x**2 + y**2) / 2


@dataclass(frozen=True)
class Darken(Transform):
    name, unit, kind, identity = "vignette", "natural logarithm at the corners", "additive", 0.0
    help = "corners darker than the middle: standard deviation of the logarithm at the corners"

    def apply(self, image, value):
        factor = np.exp(-value * darker(*image.shape[:2])).reshape(*image.shape[:2], 1)
        return np.rint(image.reshape(*image.shape[:2], -1) * factor).clip(0, 255).astype(np.uint8).reshape(image.shape)


@dataclass(frozen=True)
class Vignette(Part):
    transforms, laws, composes, moves = Darken, {"normal": Normal}, True, True
    pairs = (("vignette", "noise", "carries"), ("vignette", "contrast about=0", "commute"))
    scale: float
    law: str = "normal"

    def act(self, out, values, unit):  # out: (batch, outer, height, width, inner)
        out *= np.exp(-np.multiply.outer(values, darker(*out.shape[2:4])))[:, None, :, :, None].astype(out.dtype)
