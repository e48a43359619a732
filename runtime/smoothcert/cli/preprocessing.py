"""Options that say how images and values come to the model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import typer

Interpolation = Literal["nearest", "bilinear", "bicubic", "area", "lanczos"]
PadAlign = Literal["centre", "start"]
Layout = Literal["auto", "nchw", "nhwc", "flat"]

ahead = partial(typer.Option, rich_help_panel="Preprocessing")


def size(text: str) -> int | str:
    """A side in pixels, or `WIDTHxHEIGHT`."""
    text = text.strip()
    if not re.fullmatch("[0-9]{1,6}(x[0-9]{1,6})?", text):
        raise typer.BadParameter(f"expected a side in pixels, such as 256, or WIDTHxHEIGHT, got {text!r}")
    return text if "x" in text else int(text)


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """From the data's values to those that the model takes."""

    scale: Annotated[
        float | None,
        ahead(
            help="Factor on the values: 1 where --mean and --std are in levels of 0 to 255. "
            "(default: 1/255 for 8-bit inputs, else 1)"
        ),
    ] = None
    mean: Annotated[
        str,
        ahead(
            metavar="M,M,M",
            help="Subtracted after that, one value, or one for each channel in the model's order: 0.485,0.456,0.406.",
        ),
    ] = ""
    std: Annotated[str, ahead(metavar="S,S,S", help="Divided by after that, likewise.")] = ""
    layout: Annotated[
        Layout, ahead(metavar="NAME", help="Order of the axes of the model's input: auto, nchw, nhwc or flat.")
    ] = "auto"


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """From images of any size to the model's pixels."""

    channels: Annotated[
        str,
        ahead(
            metavar="NAME",
            help="Order of the model's colours: rgb (default), bgr, or grey, made of colours and given to all channels "
            "of the model. grey=bt709, grey=mean: by other weights than those of bt601.",
        ),
    ] = ""
    resize: Annotated[
        Any,
        ahead(
            parser=size,
            metavar="SIZE",
            help="Resize images so that the shorter side has that length in pixels, or, by WIDTHxHEIGHT, to that size.",
        ),
    ] = None
    interpolation: Annotated[
        Interpolation | None,
        ahead(metavar="NAME", help="Of --resize: bilinear (default), nearest, bicubic, area or lanczos."),
    ] = None
    antialias: Annotated[bool, ahead("--antialias", help="Average areas where --resize shrinks.")] = False
    pad: Annotated[
        str,
        ahead(
            metavar="COLOUR",
            help="With --resize: keep the ratio of the sides, and fill the rest of WIDTHxHEIGHT, or of the square, "
            "with black, white, grey, a level 0 to 255, or three: 114,114,114.",
        ),
    ] = ""
    pad_align: Annotated[
        PadAlign | None,
        ahead(metavar="NAME", help="With --pad, where the image stands: centre (default) or start, top left."),
    ] = None
    crop: Annotated[int | None, ahead(metavar="PIXELS", help="Then cut out the central square of this side.")] = None
    mask: Annotated[
        str,
        ahead(metavar="NAME[=SHARE]", help="Then black out all but a circle or rectangle of this share of the sides."),
    ] = ""
