"""What would make an image fit that a model does not take: options to copy."""

from __future__ import annotations

import math

GENERIC = "resize or convert the data, or see `layout`"
_COLOURS = (1, 3, 4)


def ways(image: tuple[int, int, int] | None, shape: tuple[int | None, ...], layout: str) -> str:
    """Options, in backticks, by which an image of that height, width and number of colours fits a model's input."""
    wanted = _wanted(shape, layout)
    if image is None or wanted is None:
        return GENERIC
    (height, width, colours), (*sides, channels) = image, wanted
    steps = list[str]()
    if channels not in (None, colours):
        if {channels, colours} != {1, 3}:
            fourth = colours == 4 and channels == 3
            return "leave out the fourth channel of the data, and convert them" if fourth else GENERIC
        steps.append("`channels=grey`")
    if None not in sides and sides != [height, width]:
        steps.append(_resized(height, width, sides[0] or 0, sides[1] or 0))
    return f"pass {' and '.join(steps)}" if steps else GENERIC


def _resized(height: int, width: int, rows: int, columns: int) -> str:
    box = f"`resize={columns}x{rows}`"
    if rows * width == height * columns:
        return box
    cut = [f"`resize={rows}` with `crop={rows}`, which cuts off"] if rows == columns else []
    return ", ".join([f"{box}, which stretches", *cut]) + f", or {box} with `pad=black`, which fills up"


def _wanted(shape: tuple[int | None, ...], layout: str) -> tuple[int | None, int | None, int | None] | None:
    """Height, width and channels that a model's input has room for; None where they cannot be told."""
    if len(shape) == 2:
        return shape[0], shape[1], 1
    if len(shape) == 1:
        found = ((c, math.isqrt((shape[0] or 0) // c)) for c in (1, 3))
        return next(((side, side, c) for c, side in found if c * side * side == shape[0]), None)
    if len(shape) != 3:
        return None
    planar = layout == "nchw" or (layout != "nhwc" and shape[0] in _COLOURS and shape[2] not in _COLOURS)
    return (shape[1], shape[2], shape[0]) if planar else (shape[0], shape[1], shape[2])
