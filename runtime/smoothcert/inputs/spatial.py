"""From an image of any size to the model's pixels: grey, resize, pad, crop, mask, on 8 bits or as the float came."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, require
from ..files.documents import built
from ..files.limits import IMAGE_PIXELS
from .grey import LUMA, to_grey
from .levels import EIGHT_BIT

INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
MASKS = ("", "circle", "rectangle")
COLOURS = {"black": "0", "white": "255", "grey": "128"}  # levels of names
_ALIGNS = ("centre", "start")
_WIDEST = 2**15 - 1  # pixels of a side that OpenCV resizes
_MONOTONE = {"nearest", "bilinear", "area"}  # no negative weights: a brighter image never gives a darker pixel


def _plain_colour(text: str) -> str:
    """The levels of a colour, `0` or `114,114,0`: one where all are alike; empty for none."""
    named, levels = ", ".join(COLOURS), list[int]()
    if text and isinstance(text, str):
        words = COLOURS.get(text, text).split(",")
        levels = [int(word) for word in words if re.fullmatch("[0-9]{1,3}", word)]
        levels = levels * (len(levels) == len(words)) * (max(levels, default=0) <= EIGHT_BIT.highest)
    known = text == "" or len(levels) in (1, 3)
    require(known, f"pad: expected {named}, a level 0 to 255, or three such as 114,114,114, got {text!r:.99}")
    return ",".join(map(str, levels[:1] if len(set(levels)) == 1 else levels))


@dataclass(frozen=True)
class Spatial:
    """Grey, resize, fill up, cut out, black out: what is done to an image before it is a model's pixels, in that order.

    `grey`: one channel by those weights (bt601, bt709, mean). `resize`: a side in pixels, which the shorter side gets,
    or `WIDTHxHEIGHT`, to which both sides are stretched. With `pad`, both sides keep their ratio instead: the image is
    fitted inside `WIDTHxHEIGHT`, or a square of `resize`, and the rest filled with that colour (a name, a level, or
    red, green and blue, 0 to 255), around the image or behind it (`pad_align` centre or start). `crop`: the side of
    the central square that is cut out. `mask`: `circle` keeps the disc, whose diameter is `share` of the shorter side,
    `rectangle` the central part of `share` of each side; it is part of what is certified.

    As OpenCV computes it; 8-bit images stay 8-bit, rounded to nearest and saturated. Float images are filled with
    levels/255. `antialias` averages areas (cv2.INTER_AREA) where the image shrinks along both sides, and interpolates
    elsewhere. The unset pipeline changes nothing.
    """

    resize: int | str | None = None
    interpolation: str = "bilinear"
    antialias: bool = False
    crop: int | None = None
    mask: str = ""
    share: float = 1.0
    pad: str = ""
    pad_align: str = "centre"
    grey: str = ""

    def __post_init__(self) -> None:
        known = self.resize is None or type(self.resize) is int or self.box is not None
        wanted = "a side in pixels, such as 256, or WIDTHxHEIGHT, such as 224x224"
        require(known, f"resize: expected {wanted}, got {self.resize!r:.99}")
        for name, side in (*(("resize", side) for side in self.box or (self.resize,)), ("crop", self.crop)):
            whole = side is None or (type(side) is int and 0 < side <= 2**14)
            require(whole, f"{name}: expected a side of 1 to 16384 pixels, got {side}")
        names = ", ".join(INTERPOLATIONS)
        require(self.interpolation in INTERPOLATIONS, f"interpolation: expected {names}, got {self.interpolation!r}")
        require(self.mask in MASKS, f"mask: expected circle or rectangle, got {self.mask!r}")
        require(type(self.antialias) is bool, f"antialias: expected true or false, got {self.antialias!r}")
        require(0 < self.share <= 1, f"mask: expected a share of the side, above 0 and up to 1, got {self.share:g}")
        require(self.grey in ("", *LUMA), f"grey: expected {', '.join(LUMA)}, got {self.grey!r}")
        object.__setattr__(self, "pad", _plain_colour(self.pad))
        require(self.pad_align in _ALIGNS, f"pad_align: expected centre or start, got {self.pad_align!r}")
        self._require_no_idle()

    def _require_no_idle(self) -> None:
        lone = not self.pad or self.resize is not None
        require(lone, "pad: expected with `resize`, the size to fill up to, got none; add `resize=224x224`, say")
        coloured = self.pad or self.pad_align == "centre"
        require(bool(coloured), "pad_align: expected with `pad`, a colour to fill with, got none; add `pad=black`, say")
        one = not self.grey or "," not in self.pad
        require(one, f"pad: expected one level for a grey image, such as 114, got {self.pad}")
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
    def box(self) -> tuple[int, int] | None:
        """Width and height that `resize` names; None where it is a side, or none."""
        found = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", self.resize) if isinstance(self.resize, str) else None
        return (int(found[1]), int(found[2])) if found else None

    @property
    def monotone(self) -> bool:
        """Whether pixelwise bounds on an image pass through: no weight is negative, neither of grey nor of resizing."""
        return self.resize is None or self.interpolation in _MONOTONE

    def apply(self, image: NDArray[Any]) -> NDArray[Any]:
        """The image (H, W) or (H, W, C), C up to 4, uint8 or float32, behind the pipeline. `DataError` if too small."""
        if self.grey:
            image = to_grey(image, self.grey)
        if self.resize:
            image = self._resized(image)
        if self.pad:
            image = self._padded(image)
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

    @property
    def _frame(self) -> tuple[int, int]:
        """Width and height of a letterbox."""
        return self.box or (int(self.resize or 0), int(self.resize or 0))

    def _size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height to which an image is resized."""
        if self.pad:
            most = self._frame
            ratio = min(most[0] / width, most[1] / height)
            fitted = (round(width * ratio), round(height * ratio))
            return min(max(fitted[0], 1), most[0]), min(max(fitted[1], 1), most[1])
        side, shorter = int(self.resize or 0) if self.box is None else 0, min(height, width)
        return self.box or (side * width // shorter, side * height // shorter)

    def _resized(self, image: NDArray[Any]) -> NDArray[Any]:
        height, width = image.shape[:2]
        size = self._size(width, height)
        if size == (width, height):
            return image
        if size[0] * size[1] > IMAGE_PIXELS or max(size) > _WIDEST:
            got = f"{size[0]}x{size[1]} for an image of {width}x{height}"
            raise DataError(f"resize: expected at most {IMAGE_PIXELS:,} pixels, got {got}; crop it first")
        shrinks = self.antialias and size[0] <= width and size[1] <= height
        flag = cv2.INTER_AREA if shrinks else INTERPOLATIONS[self.interpolation]
        return cv2.resize(image, size, interpolation=flag).reshape(size[1], size[0], *image.shape[2:])

    def _padded(self, image: NDArray[Any]) -> NDArray[Any]:
        (width, height), levels = self._frame, [int(level) for level in self.pad.split(",")]
        rows, columns, *colours = image.shape
        if len(levels) > 1 and colours != [3]:
            raise DataError(f"pad: expected one level for images of {colours or 1} colours, got {self.pad}")
        fill = np.array(levels, image.dtype) if image.dtype == np.uint8 else np.array(levels, image.dtype) / 255
        filled = np.empty((height, width, *colours), image.dtype)
        filled[...] = fill if colours else fill[0]
        centred = self.pad_align == "centre"
        top, left = ((height - rows) // 2, (width - columns) // 2) if centred else (0, 0)
        filled[top : top + rows, left : left + columns] = image
        return filled


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
