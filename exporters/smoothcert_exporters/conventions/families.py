"""The conventions that are tried: ranges, orders of colours, layouts, and ways from an image to a model's size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from smoothcert.inputs.spatial import PLAIN, Spatial
from smoothcert.model.arrangement import Layout, Shape
from smoothcert.model.preprocess import Channels, Preprocess

Range = Literal["levels", "unit", "float levels"]  # of the data: 8-bit; floats of 0 to 1; floats beyond

_COLOURS = (1, 3, 4)
_FREE = 224  # side in pixels for models that take any
_SHARE = 0.875  # of the resized shorter side that is cut out for ImageNet
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CIFAR = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
_CAFFE = (123.68, 116.779, 103.939)
_MNIST = (0.1307,), (0.3081,)
_HALF = (0.5,), (0.5,)


@dataclass(frozen=True)
class Subject:
    """What decides which conventions make sense.

    `shape` of one input of the model, `integers`: whether it takes such; `colours`, `range` and `sizes` (height, width)
    of the data; `asked`: height and width for a model that takes any.
    """

    shape: Shape
    integers: bool
    colours: int
    range: Range
    sizes: frozenset[tuple[int, int]]
    asked: tuple[int, int] | None = None

    @property
    def channels(self) -> int | None:
        """Of the model; None where its shape leaves them open."""
        if len(self.shape) != 3:
            return None if len(self.shape) == 1 else 1
        return self.shape[0] if self._planar else self.shape[2] if self.shape[2] in _COLOURS else None

    @property
    def target(self) -> tuple[int, int] | None:
        """Height and width that the model takes, or that are asked for; None where it takes any, or no images."""
        if len(self.shape) not in (2, 3):
            return None
        height, width = self.shape if len(self.shape) == 2 else self.shape[1:] if self._planar else self.shape[:2]
        return self.asked if height is None or width is None else (height, width)

    @property
    def _planar(self) -> bool:
        return self.shape[0] in _COLOURS and self.shape[2] not in _COLOURS

    @property
    def grey(self) -> str:
        """Weights of grey where data and model differ in their channels."""
        return "bt601" if {self.channels, self.colours} == {1, 3} else ""

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """`auto` where the shape of the model's input tells."""
        if len(self.shape) == 1 and self.colours > 1:
            return ("flat",)
        told = len(self.shape) != 3 or (self.shape[0] in _COLOURS) != (self.shape[2] in _COLOURS)
        return ("auto",) if told else ("nchw", "nhwc")


def values(subject: Subject, spatial: Spatial) -> list[Preprocess]:
    """Every layout, order of colours and range, behind one spatial pipeline."""
    orders: tuple[Channels, ...] = (
        ("rgb", "bgr") if subject.colours == 3 and subject.channels in (3, None) else ("rgb",)
    )
    three = subject.channels == 3 or (subject.channels is None and subject.colours == 3)
    found = (
        Preprocess(scale, mean, std, layout, spatial, channels)
        for layout, channels in product(subject.layouts, orders)
        for scale, mean, std in _ranges(subject, channels, three)
    )
    return list(dict.fromkeys(found))


def _ranges(
    subject: Subject, channels: Channels, three: bool
) -> Iterator[tuple[float | None, tuple[float, ...], tuple[float, ...]]]:
    """Scale, mean and deviation, for channels in that order."""
    units: dict[Range, float | None] = {"levels": None, "unit": None, "float levels": 1 / 255}
    levels: dict[Range, float | None] = {"levels": 1.0, "unit": 255.0, "float levels": None}
    unit, level = units[subject.range], levels[subject.range]
    if subject.integers:
        yield (None if subject.range == "levels" else level), (), ()
        return
    yield unit, (), ()
    yield unit, *_HALF
    yield level, (), ()
    if not three:
        yield unit, *_MNIST
        return
    for mean, std in (_IMAGENET, _CIFAR):
        yield (unit, mean, std) if channels == "rgb" else (unit, mean[::-1], std[::-1])
    yield level, (_CAFFE if channels == "rgb" else _CAFFE[::-1]), ()
    if channels == "bgr":
        yield unit, *_IMAGENET  # as written for red, green, blue: several OCR and detection toolkits


def spatials(subject: Subject) -> list[Spatial]:
    """Ways to the model's size; one that changes no size where all images have it."""
    plain = Spatial(grey=subject.grey) if subject.grey else PLAIN
    target = subject.target
    if target is None and (len(subject.sizes) == 1 or len(subject.shape) != 3):
        return [plain]
    height, width = target or (_FREE, _FREE)
    if subject.sizes == {(height, width)}:
        return [plain]
    box = f"{width}x{height}"
    found = [Spatial(box, antialias=True), Spatial(box)]
    if any(h * width != w * height for h, w in subject.sizes):
        if height == width:
            found += [Spatial(side, antialias=True, crop=height) for side in (round(height / _SHARE), height)]
        found += [Spatial(box, pad=colour) for colour in ("black", "114")]
        found += [Spatial(box, pad=colour, pad_align="start") for colour in ("black", "grey")]
    if not any(h > height and w > width for h, w in subject.sizes):  # nothing shrinks
        found = [replace(one, antialias=False) for one in found]
    found = [replace(one, grey=subject.grey) for one in found]
    return [*dict.fromkeys(found), *([plain] if target is None else [])]
