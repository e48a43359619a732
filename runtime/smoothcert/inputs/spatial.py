"""From an image of any size to the model's pixels: resize, crop, mask, on 8 bits or in float as the image came."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, require
from ..files.documents import built

INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
MASKS = ("", "circle", "rectangle")
_MONOTONE = {"nearest", "bilinear", "area"}  # no negative weights: a brighter image never gives a darker pixel


@dataclass(frozen=True)
class Spatial:
    """Resize so that the shorter side is `resize`, cut out the central square of side `crop`, black out the borders.

    As OpenCV computes it; 8-bit images stay 8-bit, rounded to nearest and saturated. `antialias` averages areas
    (cv2.INTER_AREA) where the image shrinks, and interpolates where it grows. `mask`: `circle` keeps the disc, whose
    diameter is `share` of the shorter side, `rectangle` the central part of `share` of each side; it is part of what is
    certified. Sides are in pixels. The unset pipeline changes nothing.
    """

    resize: int | None = None
    interpolation: str = "bilinear"
    antialias: bool = False
    crop: int | None = None
    mask: str = ""
    share: float = 1.0

    def __post_init__(self) -> None:
        for name, side in (("resize", self.resize), ("crop", self.crop)):
            whole = side is None or (type(side) is int and 0 < side <= 2**14)
            require(whole, f"{name}: expected a side of 1 to 16384 pixels, got {side}")
        names = ", ".join(INTERPOLATIONS)
        require(self.interpolation in INTERPOLATIONS, f"interpolation: expected {names}, got {self.interpolation!r}")
        require(self.mask in MASKS, f"mask: expected circle or rectangle, got {self.mask!r}")
        require(type(self.antialias) is bool, f"antialias: expected true or false, got {self.antialias!r}")
        require(0 < self.share <= 1, f"mask: expected a share of the side, above 0 and up to 1, got {self.share:g}")
        idle = [self.resize is None and (self.interpolation, self.antialias) != ("bilinear", False)]
        idle.append(not self.mask and self.share != 1)
        require(not any(idle), "preprocessing: expected interpolation with resize, a share with mask; add those")

    @staticmethod
    def of(recipe: Mapping[str, Any]) -> Spatial:
        """The pipeline that `recipe` wrote; `ValueError` for anything else."""
        require(isinstance(recipe, Mapping), f"preprocessing: expected a table of spatial, got {recipe!r:.99}")
        return built(recipe, Spatial, "preprocessing")

    @property
    def recipe(self) -> dict[str, Any]:
        """Plain values; those left as they are by default are left out."""
        return {f.name: value for f in fields(self) if (value := asdict(self)[f.name]) != f.default}

    @property
    def monotone(self) -> bool:
        """Whether pixelwise bounds on an image pass through: no weight of the interpolation is negative."""
        return self.resize is None or self.interpolation in _MONOTONE

    def apply(self, image: NDArray[Any]) -> NDArray[Any]:
        """The image (H, W) or (H, W, C), C up to 4, uint8 or float32, behind the pipeline. `DataError` if too small."""
        if self.resize:
            image = self._resized(image, self.resize)
        if self.crop:
            height, width = image.shape[:2]
            if min(height, width) < self.crop:
                raise DataError(
                    f"crop: expected at least {self.crop}x{self.crop} pixels, got {height}x{width}; resize first"
                )
            top, left = round((height - self.crop) / 2), round((width - self.crop) / 2)
            image = image[top : top + self.crop, left : left + self.crop]
        if self.mask:
            inside = _inside(self.mask, self.share, *image.shape[:2])
            image = image * (inside if image.ndim == 2 else inside[..., None])
        return np.ascontiguousarray(image)

    def _resized(self, image: NDArray[Any], side: int) -> NDArray[Any]:
        height, width = image.shape[:2]
        shorter = min(height, width)
        if side == shorter:
            return image
        size = (side * width // shorter, side * height // shorter)
        shrinks = self.antialias and side < shorter
        flag = cv2.INTER_AREA if shrinks else INTERPOLATIONS[self.interpolation]
        return cv2.resize(image, size, interpolation=flag).reshape(size[1], size[0], *image.shape[2:])


PLAIN = Spatial()


@functools.lru_cache(maxsize=16)
def _inside(mask: str, share: float, height: int, width: int) -> NDArray[np.uint8]:
    y, x = np.ogrid[:height, :width]
    dy, dx = np.abs(y - (height - 1) / 2), np.abs(x - (width - 1) / 2)
    if mask == "circle":
        inside = dx**2 + dy**2 <= (share * min(height, width) / 2) ** 2
    else:
        inside = (dy <= share * height / 2) & (dx <= share * width / 2)
    return np.asarray(inside, np.uint8)


@dataclass(frozen=True, eq=False)
class Raw:
    """What an attacker finds, and the way from there to the model: an 8-bit image (H, W, C), or a recording (samples,).

    A recording, of 16-bit samples, goes to the model as it is.
    """

    image: NDArray[Any]
    spatial: Spatial = PLAIN

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width; of a recording, 1 and its samples."""
        height, width = self.image.shape[:2] if self.image.ndim > 1 else (1, self.image.size)
        return height, width

    @property
    def size(self) -> str:
        """`an image of 32x24 pixels`, `a recording of 8,000 samples`."""
        height, width = self.sides
        return f"an image of {height}x{width} pixels" if self.image.ndim > 1 else f"a recording of {width:,} samples"

    @property
    def colours(self) -> int:
        """How many colours or channels there are."""
        return int(self.image.shape[2]) if self.image.ndim > 1 else 1

    def processed(self, image: NDArray[Any]) -> NDArray[Any]:
        """What the model gets of an attacked image, (h, w, C), or of an attacked recording."""
        return self.spatial.apply(image) if image.ndim > 1 else image

    def place(self, image: NDArray[Any], out: NDArray[Any]) -> None:
        """What the model gets of an attacked image, in `out` (outer, h, w, inner), or of a recording (samples,)."""
        if image.ndim == 1:
            out[...] = image
            return
        outer, height, width, inner = out.shape
        pixels = self.processed(image)
        if pixels.size != out.size or pixels.shape[:2] != (height, width):
            raise DataError(f"expected {height}x{width} pixels for the model, got {pixels.shape}; see `resize`, `crop`")
        out[...] = np.moveaxis(pixels.reshape(height, width, outer, inner), 2, 0)
