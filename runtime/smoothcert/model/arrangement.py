"""One input laid out as a model takes it: where its colours are, and the order of its axes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .misfit import ways

Layout = Literal["auto", "nchw", "nhwc", "flat"]
LAYOUTS: tuple[Layout, ...] = ("auto", "nchw", "nhwc", "flat")
COLOURS = (1, 3, 4)
Shape = tuple[int | None, ...]  # of one input, without the batch axis; None is a free axis


def show(shape: Shape) -> str:
    """`(3, ?, ?)`: a shape for people."""
    return f"({', '.join('?' if d is None else str(d) for d in shape)})"


def planar_of(x: NDArray[Any], shape: Shape | None, layout: Layout) -> bool | None:
    """Whether the colours of a raw image come first, not last; None for what is no image of 1, 3 or 4 colours."""
    if x.ndim not in (2, 3):
        return None
    if x.ndim == 3 and layout in ("nchw", "nhwc") and shape is not None and None not in shape and _fits(x, shape):
        return layout == "nchw"
    if x.ndim == 2 or x.shape[2] in COLOURS:
        return False
    return True if x.shape[0] in COLOURS else None


def places_of(
    x: NDArray[Any], shape: Shape | None, layout: Layout, planar: bool | None
) -> tuple[int, int, int, int] | None:
    """(outer, height, width, inner) of an image once arranged for a model of that input shape; None for no image."""
    if planar is None:
        return None
    height, width, colours = _sides(x, planar) or (0, 0, 0)
    if shape is not None and colours > 1:
        places = np.arange(x.size, dtype=np.float32).reshape(x.shape)
        planar ^= arrange(places, shape, layout, planar).ravel()[1] != 1  # the arrangement moves the colours
    return (colours, height, width, 1) if planar else (1, height, width, colours)


def arrange(x: NDArray[Any], shape: Shape, layout: Layout, planar: bool | None) -> NDArray[Any]:
    """One input, with colours first where `planar`, as the model's shape wants it, C-contiguous.

    `DataError` where it does not fit, or where the model's free axes leave the layout open.
    """
    if layout == "auto" and x.ndim == 3 and len(shape) == 3 and shape[0] is None and shape[2] is None:
        raise DataError(f"the model's input {show(shape)} leaves its layout open; pass `layout=nchw` or `layout=nhwc`")
    x = np.ascontiguousarray(x)
    if layout != "auto" and None not in shape and _fits(x, shape):
        return x
    found = {_order(view): view for view in _arrangements(x, layout, bool(planar)) if _fits(view, shape)}
    if len(found) > 1:
        raise DataError(
            f"{show(x.shape)} fits the model's {show(shape)} in {len(found)} ways; "
            "pass `layout=nchw` or `layout=nhwc` to take it as it is"
        )
    if found:
        return np.ascontiguousarray(*found.values())
    long = [n for n in shape if n != 1]
    vector = x.squeeze().ndim == 1 and (len(long) < 3 or layout == "flat")  # a colour image's order is not guessed
    unrolled = vector or (len(long) == 1 and x.squeeze().ndim <= 2)
    if unrolled and None not in long and x.size == math.prod(n or 0 for n in shape):
        return x.reshape([n or 0 for n in shape])
    others = (name for name in LAYOUTS if any(_fits(view, shape) for view in _arrangements(x, name, bool(planar))))
    advice = next((f"pass `layout={name}`" for name in others), None) or ways(_sides(x, planar), shape, layout)
    got = f"got {x.dtype} {show(x.shape)}"
    raise DataError(f"expected an input that fits the model's {show(shape)} (layout {layout}), {got}; {advice}")


def _arrangements(x: NDArray[Any], layout: Layout, planar: bool) -> Iterator[NDArray[Any]]:
    """Ways to read one input: as it is, with a channel axis added, moved or dropped, flattened."""
    if layout in ("auto", "nchw") and x.ndim in (2, 3):
        yield x[None] if x.ndim == 2 else x if planar else np.moveaxis(x, -1, 0)
    if layout in ("auto", "nhwc") and x.ndim in (2, 3):
        yield x[..., None] if x.ndim == 2 else np.moveaxis(x, 0, -1) if planar else x
    if layout == "auto":
        yield x
        yield x.squeeze()
    if layout == "flat" or x.squeeze().ndim <= 2:  # colour flattens in more than one order: then it must be asked for
        yield x.reshape(-1)


def _order(view: NDArray[Any]) -> tuple[tuple[int, ...], ...]:
    """Equal for views of one array that hold its values in the same places."""
    return view.shape, tuple(step for step, n in zip(view.strides, view.shape, strict=True) if n > 1)


def _fits(x: NDArray[Any], shape: Shape) -> bool:
    return x.ndim == len(shape) and all(d in (None, n) for d, n in zip(shape, x.shape, strict=True))


def _sides(x: NDArray[Any], planar: bool | None) -> tuple[int, int, int] | None:
    """Height, width and colours of an image; None for what is none."""
    if planar is None:
        return None
    colours, height, width = (1, *x.shape) if x.ndim == 2 else x.shape if planar else (x.shape[2], *x.shape[:2])
    return height, width, colours
