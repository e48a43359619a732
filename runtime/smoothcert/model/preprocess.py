"""From the data's arrays to the model's input: layout on the host, value scaling inside the graph."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, require, require_number
from ..files.documents import built
from ..inputs.input import Input
from ..inputs.levels import EIGHT_BIT, PCM16, levels_of
from ..inputs.spatial import PLAIN, Raw, Spatial
from .arrangement import COLOURS, LAYOUTS, Layout, Shape, arrange, places_of, planar_of, show

Channels = Literal["rgb", "bgr", "grey"]
CHANNELS: tuple[Channels, ...] = ("rgb", "bgr", "grey")
_LARGEST = 4.0  # mean or deviation that anyone has for values of 0 to 1


@dataclass(frozen=True)
class Preprocess:
    """What stands between an image and a graph that lacks it: `spatial`, then (value * scale - mean) / std per channel.

    `scale` None is 1/255 for 8-bit images, 1/32768 for 16-bit recordings, 1 for float inputs. `mean` and `std`: one
    number for each channel of the model, in the model's own order, or one for all. `layout`: of the model; `auto` reads
    it off its input shape. `channels`: the order of the model's colours, rgb or bgr; that of images is always rgb.
    `grey` stands for `spatial` with grey by the weights of bt601, and is kept so.
    Noise is added behind `spatial`, before the arithmetic, which belongs to the base classifier; geometric attacks act
    before `spatial`.

    The classifier turns the colours round, or makes three channels of the one that `spatial.grey` leaves, ahead of mean
    and std: noise and parts act on red, green, blue, or on the one grey channel, and so do certificates.
    """

    scale: float | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    layout: Layout = "auto"
    spatial: Spatial = PLAIN
    channels: Channels = "rgb"

    def __post_init__(self) -> None:
        require(self.layout in LAYOUTS, f"layout: expected one of {', '.join(LAYOUTS)}, got {self.layout!r}")
        require(self.channels in CHANNELS, f"channels: expected rgb, bgr or grey, got {self.channels!r}")
        if self.channels == "grey":
            object.__setattr__(self, "spatial", replace(self.spatial, grey=self.spatial.grey or "bt601"))
            object.__setattr__(self, "channels", "rgb")
        require(self.channels == "rgb" or not self.spatial.grey, "channels: expected bgr or grey, got both; name one")
        for name in ("mean", "std"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        if self.scale is not None:
            require_number("scale", self.scale)
        require(self.scale is None or 0 < self.scale < math.inf, f"scale: expected a factor > 0, got {self.scale}")
        require(all(0 < s < math.inf for s in self.std), f"std: expected values > 0, got {self.std}")
        require(all(map(math.isfinite, self.mean)), f"mean: expected finite values, got {self.mean}")

    @staticmethod
    def of(recipe: Mapping[str, Any]) -> Preprocess:
        """The preprocessing that `recipe` wrote; `ValueError` for anything else."""
        return built({**recipe, "spatial": Spatial.of(recipe.get("spatial", {}))}, Preprocess, "preprocessing")

    @property
    def recipe(self) -> dict[str, Any]:
        """Plain values; unset ones left out."""
        values = {f.name: getattr(self, f.name) for f in fields(self)} | {"spatial": self.spatial.recipe}
        said = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if v not in (None, (), {})}
        return {k: v for k, v in said.items() if (k, v) != ("channels", "rgb")}

    def require_unit(self) -> None:
        """`ArgumentError` for mean and std in levels without a scale, which would meet intensities of 0 to 1."""
        largest = max(map(abs, (*self.mean, *self.std)), default=0.0)
        unit = self.scale is not None or largest <= _LARGEST
        said = f"expected mean and std of values 0 to 1, for 8-bit levels are divided by 255 first, got {largest:g}"
        require(unit, f"mean: {said}; add `scale=1` where they are in levels 0 to 255")

    def gathered(self, shape: Shape) -> tuple[NDArray[np.int64], int] | None:
        """Which channels the model's are, of those it gets, and along which axis; None where they are the same ones.

        `shape` is that of one input of the model. `ArgumentError` for bgr where that has no three channels.
        """
        axis = self._axis(shape, 3)
        if self.channels == "bgr":
            three = len(shape) == 3 and shape[axis] in (3, None)
            require(three, f"channels: bgr is for models of three channels, got one of inputs {show(shape)}")
            return np.array([2, 1, 0]), axis
        copied = self.spatial.grey and len(shape) == 3 and shape[axis] == 3
        return (np.zeros(3, np.int64), axis) if copied else None

    def taken(self, shape: Shape) -> Shape:
        """Shape of one input that is given, for a model of that shape: of one channel where it is copied to three."""
        gathered = None if self.channels == "bgr" else self.gathered(shape)
        return shape if gathered is None else tuple(1 if a == gathered[1] else n for a, n in enumerate(shape))

    def _axis(self, shape: Shape, count: int) -> int:
        """The axis of `count` channels."""
        axis = {"nchw": 0, "nhwc": len(shape) - 1}.get(self.layout)
        if axis is not None:
            return axis
        outer = len(shape) == 3 and (shape[0] == count or (shape[0] in COLOURS and shape[2] not in COLOURS))
        return 0 if outer else len(shape) - 1

    def channel_values(self, values: tuple[float, ...], shape: Shape) -> NDArray[np.float32]:
        """`values` (one, or one a channel) shaped to broadcast over one input of the model."""
        if len(values) == 1:
            return np.array(values[0], np.float32)
        axis = self._axis(shape, len(values))
        require(
            len(shape) == 3 and shape[axis] in (len(values), None),
            f"mean/std: expected one value, or one a channel of the model's input {show(shape)}, got {len(values)}",
        )
        return np.array(values, np.float32).reshape([-1 if a == axis else 1 for a in range(3)])


def _numbers(name: str, given: Any) -> tuple[float, ...]:
    values = (given,) if isinstance(given, Real) else given
    good = isinstance(values, Sequence | np.ndarray)
    good = good and all(type(v) is not bool and isinstance(v, Real) for v in values)
    require(good, f"{name}: expected a number, or one for each channel, got {given!r:.99}")
    return tuple(map(float, values))


def prepared(x: NDArray[Any], shape: Shape | None = None, preprocess: Preprocess | None = None) -> Input:
    """A raw input (H W, H W C, C H W or a vector; uint8, int16 or float) as a model of that input shape takes it.

    `shape` None: as it is. Where its colours are is settled once, here. Raises `DataError` where it does not fit.
    """
    how = preprocess or Preprocess()
    shape = None if shape is None else how.taken(shape)
    planar = planar_of(x, shape, how.layout)
    view = _processed(numeric(x), how.spatial, planar)
    values = np.ascontiguousarray(view) if shape is None else arrange(view, shape, how.layout, planar)
    places = places_of(view, shape, how.layout, planar)
    if how.channels == "bgr" and (places is None or places[0] * places[3] != 3):
        raise DataError(f"channels: expected images of three colours for bgr, got {x.dtype} {show(x.shape)}")
    return Input.of(values, places, x, _raw(x, planar, how.spatial))


def raw_image(x: NDArray[Any], spatial: Spatial = PLAIN) -> Raw | None:
    """A raw input as an attacker's 8-bit image or 16-bit recording, as `prepared` has it for no model's shape.

    None for what is neither.
    """
    return _raw(x, planar_of(x, None, "auto"), spatial)


def _raw(x: NDArray[Any], planar: bool | None, spatial: Spatial) -> Raw | None:
    if PCM16.hold(x) and x.ndim == 1:
        return Raw(np.ascontiguousarray(x), spatial)
    if planar is None or x.dtype != EIGHT_BIT.dtype:
        return None
    image = np.moveaxis(x, 0, -1) if planar else x
    return Raw(np.ascontiguousarray(image).reshape(*image.shape[:2], -1), spatial)


def _processed(x: NDArray[Any], spatial: Spatial, planar: bool | None) -> NDArray[Any]:
    """The input behind the spatial pipeline, colours where they were; `DataError` for what is no image."""
    if spatial == PLAIN:
        return x
    if planar is None:
        raise DataError(f"preprocessing: expected an image to resize, crop or mask, got {show(x.shape)}")
    image = spatial.apply(np.ascontiguousarray(np.moveaxis(x, 0, -1)) if planar else x)
    return np.moveaxis(image, -1, 0) if planar else image


def numeric(x: NDArray[Any]) -> NDArray[Any]:
    """x itself if uint8 or int16, else as float32; `DataError` for other types, NaN and what float32 cannot hold.

    int16 values are recordings of one channel.
    """
    if PCM16.hold(x) and x.ndim != 1:
        raise DataError(f"expected int16 data to be recordings of one channel, (samples,), got shape {show(x.shape)}")
    if levels_of(x) is not None:
        return x
    if not np.issubdtype(x.dtype, np.floating):
        raise DataError(
            f"expected int16 recordings, or inputs of type uint8 or float, got {x.dtype}; convert them first"
        )
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    if not np.isfinite(x).all():
        raise DataError("the input holds NaN or infinite values; clean the data first")
    return x
