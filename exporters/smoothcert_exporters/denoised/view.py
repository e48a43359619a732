"""How a classifier sees the clean image: which sizes, where its colours are, and in what range."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import ModelError
from smoothcert.inputs.levels import EIGHT_BIT, Levels
from smoothcert.model.arrangement import Shape, show
from smoothcert.model.file import ModelFile
from smoothcert.model.preprocess import Preprocess

from .network import COLOURS, Network


@dataclass(frozen=True, eq=False)
class View:
    """From an image (colours, *noisy) in [0,1] to a classifier's input: resized to `sides`, then arranged as `shape`.

    `noisy`: height and width where the noise is, the denoiser's own. `turned`: colours go behind rows and columns.
    `preprocess`: the classifier's own arithmetic. `levels`: it takes levels, 255 times the image.
    """

    colours: int
    noisy: tuple[int, int]
    sides: tuple[int, int]
    shape: tuple[int, ...]
    turned: bool
    preprocess: Preprocess
    levels: Levels | None

    @staticmethod
    def of(file: ModelFile, preprocess: Preprocess, network: Network) -> View:
        """The view of a classifier behind that denoiser; `ModelError` where the two do not fit."""
        taken = preprocess.taken(file.shape)
        colours, sides, turned = _image_of(taken, preprocess, network)
        if network.colours not in (None, colours):
            raise ModelError(
                f"{network.where}: expected a denoiser of images with {_words(colours)}, as the classifier takes, got "
                f"one with {_words(network.colours or 0)}; take a denoiser trained on such images"
            )
        noisy = network.sides or sides
        if noisy is None:
            raise ModelError(
                f"{network.where}: expected sides in the classifier's file or in the denoiser's, got neither; "
                "export one of them with fixed sides"
            )
        target = sides or noisy
        shape: tuple[int, ...] = (*target, colours) if turned else (colours, *target)
        if len(taken) != 3:
            shape = tuple(n or 0 for n in taken)
        whole = file.takes_integers or preprocess.scale is not None
        return View(colours, noisy, target, shape, turned, preprocess, EIGHT_BIT if whole else None)

    @property
    def weights(self) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """What rows and columns are multiplied with to resize; None where the sizes are the same."""
        if self.noisy == self.sides:
            return None
        rows, columns = (linear(new, old) for new, old in zip(self.sides, self.noisy, strict=True))
        return rows, columns


def linear(new: int, old: int) -> NDArray[np.float32]:
    """(new, old): linear interpolation between pixel centres; where the image shrinks, triangles a new pixel wide.

    As OpenCV's INTER_LINEAR where it grows, and Pillow's BILINEAR.
    """
    ratio = old / new
    centres = (np.arange(new) + 0.5) * ratio - 0.5
    weights = np.maximum(0, 1 - np.abs(np.arange(old) - centres[:, None]) / max(1.0, ratio))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def _image_of(shape: Shape, preprocess: Preprocess, network: Network) -> tuple[int, tuple[int, int] | None, bool]:
    """Colours, sides (None: left free) and order of axes of the images that a classifier of that shape is given."""
    if len(shape) == 3:
        planar = _planar(shape, preprocess.layout, network.colours)
        colours, height, width = shape if planar else (shape[2], *shape[:2])
        sides = None if height is None or width is None else (height, width)
        return colours or network.colours or 3, sides, not planar
    if len(shape) == 2 and None not in shape:
        return 1, (shape[0] or 0, shape[1] or 0), False
    if len(shape) == 1 and shape[0] is not None:
        side = math.isqrt(shape[0])
        own = network.sides if network.sides and math.prod(network.sides) == shape[0] else (side, side)
        if math.prod(own) == shape[0]:
            return 1, own, False
    raise ModelError(
        f"{network.where}: expected a classifier of images, got one of inputs {show(shape)}; a denoiser is for images"
    )


def _planar(shape: Shape, layout: str, colours: int | None) -> bool:
    """Whether colours come ahead of rows in a classifier's input; `ModelError` where its shape leaves that open."""
    if layout in ("nchw", "nhwc"):
        return layout == "nchw"
    for wanted in ((colours,), COLOURS):
        first, last = shape[0] in wanted, shape[2] in wanted
        if first != last:
            return first
    raise ModelError(f"the model's input {show(shape)} leaves its layout open; pass `layout=nchw` or `layout=nhwc`")


def _words(colours: int) -> str:
    return f"{colours} colour{'s' * (colours > 1)}"
