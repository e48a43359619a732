"""The table of parts: every transformation by name, with the random part that smooths against it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import field, fields, make_dataclass
from typing import Any

from ..bounds.laws import LogNormal, Normal
from ..errors import ArgumentError, PluginError, require
from . import pairs
from .blur import Blur
from .chroma import Hue, Saturation
from .color import Brightness, Contrast, Gamma
from .defocus import Defocus
from .geometry import Rotation, Scaling, Translation
from .jpeg import CompressJpeg
from .noise import Noise
from .part import Part
from .pixelate import Pixelate
from .shear import Shear
from .smears import MotionBlur, RotationalBlur, ZoomBlur
from .sound import FrequencyShift, Pitch, TimeShift, TimeStretch, Volume
from .transform import TRANSFORMS, Transform

PARTS: dict[str, type[Any]] = {}  # every part by the name it has on the command line


def register(*rows: type[Part] | type[Transform]) -> None:
    """Add rows to the table: parts, with their transformations, or transformations alone.

    A transformation alone whose values add up, or multiply, gets a part that needs a calibration. `ArgumentError`, and
    nothing is added, where a name is another's already, or a part states a pair that it is not in.
    """
    taken = dict(TRANSFORMS)
    for row in rows:
        kind = kind_of(row)
        new = taken.setdefault(kind.name, kind) is kind
        require(new, f"{kind.name}: expected a new name, got one that is taken")
        if issubclass(row, Part):
            _require_pairs(row)
    for row in rows:
        kind = kind_of(row)
        TRANSFORMS[kind.name] = kind
        if issubclass(row, Part):
            PARTS[kind.name] = row
            pairs.state(row.pairs)
        elif kind.kind in ("additive", "factor"):
            PARTS.setdefault(kind.name, random_part(kind))


def kind_of(row: type[Part] | type[Transform]) -> type[Transform]:
    return row.transforms if issubclass(row, Part) else row


def _require_pairs(row: type[Part]) -> None:
    """`ArgumentError` for pairs of other parts, and for those that sampling, which may reorder, would break."""
    name = row.transforms.name
    for ahead, behind, relation in row.pairs:
        own = name in (ahead.split()[0], behind.split()[0])
        require(own, f"{name}: expected pairs with {name} in them, got {ahead} and {behind}")
        first = (row.moves or row.encodes) and relation in ("scale first", "shift first")
        require(not first, f"{name}: expected no {relation} with moves or encodes, which are done first, got {behind}")


@functools.cache
def random_part(kind: type[Transform]) -> type[Any]:
    """A random part for the transformation, of a normal law in the coordinate where its values add up."""
    law: type[Normal] = LogNormal if kind.kind == "factor" else Normal
    options = [(f.name, f.type, field(default=f.default)) for f in fields(kind)]
    return make_dataclass(
        f"Random{kind.__name__}",
        [("scale", float), ("law", str, field(default=law.name)), *options],
        bases=(Part,),
        namespace={"transforms": kind, "laws": {law.name: law}, "moves": True, "__module__": kind.__module__},
        frozen=True,
    )


register(
    Noise,
    Brightness,
    Contrast,
    Gamma,
    Hue,
    Saturation,
    Blur,
    Translation,
    Rotation,
    Scaling,
    Shear,
    CompressJpeg,
    Pixelate,
    Defocus,
    ZoomBlur,
    RotationalBlur,
    MotionBlur,
    Volume,
    TimeShift,
    FrequencyShift,
    Pitch,
    TimeStretch,
)


def described(description: Mapping[str, Any]) -> Part:
    """The part of a recipe's description; `ArgumentError` for one not known, `PluginError` for want of its plugin."""
    options = {k: v for k, v in description.items() if k not in ("part", "scale", "unit", "plugin")}
    name = description["part"]
    require_plugin(name, description.get("plugin", ""))
    require(name in PARTS, f"recipe: expected a part of {', '.join(PARTS)}, got {name!r}")
    return part_of(name, description["scale"], options, f"recipe: {name}")


def require_plugin(name: str, sha256: str) -> None:
    """`PluginError` unless the transformation of that name comes from the plugin of that hash; "" stands for none."""
    here = TRANSFORMS[name].plugin if name in TRANSFORMS else ""
    if sha256 and not here:
        raise PluginError(f"{name}: expected the plugin that it comes from, SHA-256 {sha256}, got none; pass `plugin`")
    if here != sha256:
        want = f"the plugin of SHA-256 {sha256}" if sha256 else "no plugin"
        raise PluginError(f"{name}: expected {want}, got the plugin of SHA-256 {here}; pass the file as it was")


def part_of(name: str, scale: float, options: Mapping[str, Any], where: str) -> Part:
    """The part of that name, scale and options, texts or numbers; `ArgumentError` for those that it has not."""
    defaults = {field.name: field.default for field in fields(PARTS[name])[1:]}
    given = {k: v for k, v in options.items() if not (name == "noise" and (k, v) == ("law", "normal"))}
    strange = sorted(given.keys() - defaults.keys())
    require(not strange, f"{where}: expected options of {', '.join(defaults) or 'none'}, got {', '.join(strange)}")
    values = {option: like(defaults[option], value, f"{where}: {option}") for option, value in given.items()}
    part: Part = PARTS[name](scale, **values)
    return part


def like(default: Any, value: Any, where: str) -> Any:
    """An option's value, from text a number where its default is one; `ArgumentError` for text that is none."""
    if not isinstance(value, str) or not isinstance(default, int | float):
        return value
    try:
        return type(default)(value)
    except ValueError:
        raise ArgumentError(f"{where}: expected a number such as {default}, got {value!r}") from None
