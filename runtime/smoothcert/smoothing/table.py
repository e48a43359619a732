"""The table of parts: every transformation by name, with the random part that smooths against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..errors import require
from . import pairs
from .blur import Blur
from .chroma import Hue, Saturation
from .color import Brightness, Contrast, Gamma
from .geometry import Rotation, Scaling, Translation
from .jpeg import CompressJpeg
from .noise import Noise
from .part import Part
from .shear import Shear
from .transform import TRANSFORMS, Transform

PARTS: dict[str, type[Any]] = {}  # every part by the name it has on the command line


def register(*rows: type[Part] | type[Transform]) -> None:
    """Add rows to the table: parts, with their transformations, or transformations that are enumerated alone."""
    for row in rows:
        if issubclass(row, Part):
            PARTS[row.transforms.name] = row
            pairs.state(row.pairs)
            row = row.transforms
        TRANSFORMS[row.name] = row


register(Noise, Brightness, Contrast, Gamma, Hue, Saturation, Blur, Translation, Rotation, Scaling, Shear, CompressJpeg)


def described(description: Mapping[str, Any]) -> Part:
    """The part of that description in a recipe; `ArgumentError` for one that this version does not know."""
    options = {k: v for k, v in description.items() if k not in ("part", "scale", "unit")}
    name = description["part"]
    require(name in PARTS, f"recipe: expected a part of {', '.join(PARTS)}, got {name!r}")
    return part_of(name, description["scale"], options, f"recipe: {name}")


def part_of(name: str, scale: float, options: Mapping[str, str], where: str) -> Part:
    """The part of that name, scale and options; `ArgumentError`, beginning with `where`, for options it lacks."""
    known = [field.name for field in fields(PARTS[name])][1:]
    given = {k: v for k, v in options.items() if not (name == "noise" and (k, v) == ("law", "normal"))}
    strange = sorted(given.keys() - set(known))
    require(not strange, f"{where}: expected options of {', '.join(known) or 'none'}, got {', '.join(strange)}")
    part: Part = PARTS[name](scale, **given)
    return part
