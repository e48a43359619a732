"""The scales of a part that advice tries, and the radii that it speaks of, in the units of the data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..draws import MAX_STD
from ..errors import ArgumentError, require
from ..inputs.input import Input
from ..inputs.levels import PCM16
from ..smoothing import PARTS, Part, Smoothing, compose, parse_part

_FACTORS = (1.1, 1.25, 1.5, 2.0, 3.0)
_LOGS = tuple(math.log(factor) for factor in _FACTORS)
Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Ladder:
    """One part at ascending scales, and radii in the coordinate where its attacks add up."""

    name: str
    rungs: tuple[Smoothing, ...]
    radii: Numbers


@dataclass(frozen=True)
class _Known:
    """Scales and radii; `per`: what they are multiples of, `one`, `span` (of the values), `width` or `length`."""

    scales: Numbers
    radii: Numbers
    per: str = "one"


_IMAGES: Mapping[str, _Known] = {
    "noise": _Known((0.06, 0.12, 0.25, 0.5, 1.0), (0.1, 0.25, 0.5, 1.0, 1.5), "span"),
    "brightness": _Known((0.05, 0.1, 0.2, 0.4), (0.05, 0.1, 0.2, 0.3, 0.5), "span"),
    "contrast": _Known((0.1, 0.2, 0.4, 0.8), _LOGS),
    "gamma": _Known((0.1, 0.2, 0.4, 0.8), _LOGS),
    "hue": _Known((5.0, 10.0, 20.0, 40.0), (5.0, 10.0, 20.0, 40.0, 60.0)),
    "saturation": _Known((0.1, 0.2, 0.4, 0.8), _LOGS),
    "blur": _Known((0.5, 1.0, 2.0, 4.0), (0.25, 0.5, 1.0, 2.0, 4.0)),
    "translation": _Known((1 / 32, 1 / 16, 1 / 8, 1 / 4), (1 / 32, 1 / 16, 3 / 32, 1 / 8, 1 / 4), "width"),
}
_RECORDINGS: Mapping[str, _Known] = {
    "noise": _Known((0.0025, 0.005, 0.01, 0.02, 0.04), (0.0025, 0.005, 0.01, 0.02, 0.04)),
    "volume": _Known((1.0, 2.0, 4.0, 8.0), (1.0, 2.0, 3.0, 6.0, 10.0)),
    "time-shift": _Known((1 / 80, 1 / 40, 1 / 20, 1 / 10, 1 / 5), (1 / 80, 1 / 40, 1 / 20, 1 / 10, 1 / 5), "length"),
}
_VECTORS = {"noise": _IMAGES["noise"]}


def fitting(x: Input) -> tuple[str, ...]:
    """Names of the parts to try on data such as x, noise first; those that do not suit x after all among them."""
    return tuple(_known(x))


def ladder(text: str, x: Input, training_noise: float | None = None, radii: Sequence[float] = ()) -> Ladder:
    """The ladder that `NAME[=SCALE,...][,OPTION=VALUE...]` asks for on data such as x.

    Without scales those known for the part, and of noise the one of the model's training among them. `ArgumentError`
    for a part that does not smooth exactly on its own, `DataError` for one that does not suit x.
    """
    name, scales, options = _words(text)
    PARTS[name].transforms.require_suited(x)
    known = _known(x).get(name)
    unit = _unit(known.per, x) if known else 1.0
    if not scales:
        if known is None:
            raise ArgumentError(
                f"`smoothing` {name}: expected scales to try, such as {name}=1,2,4, for none are known on these data"
            )
        scales = [f"{scale:g}" for scale in _with_trained(name, _in_units(known.scales, known, unit), training_noise)]
    parts = (parse_part(",".join([f"{name}={scale}", *options])) for scale in scales)
    rungs = {part.scale: compose(part) for part in parts}
    for rung in rungs.values():
        rung.perturbation.samples(x)
    ascending = tuple(rungs[scale] for scale in sorted(rungs))
    usual = _in_units(known.radii, known, unit) if known else tuple(sorted(rungs))
    return Ladder(name, ascending, tuple(sorted(set(radii))) or usual)


def part_of(rung: Smoothing) -> Part:
    """The one part of a rung."""
    (part,) = rung.parts
    return part


def option_of(rung: Smoothing) -> str:
    """What --smooth says for it: name, scale, and the options that are not the default's."""
    part = part_of(rung)
    default = parse_part(f"{part.name}={part.scale!r}").description
    others = {k: v for k, v in part.description.items() if default.get(k) != v}
    return ",".join([f"{part.name}={part.scale:.12g}", *(f"{key}={value}" for key, value in others.items())])


def _words(text: str) -> tuple[str, list[str], list[str]]:
    """Name, scales and options; words without = are further scales."""
    first, *words = (word.strip() for word in text.split(","))
    name, equals, scale = first.partition("=")
    require(name in PARTS, f"`smoothing`: expected NAME or NAME=SCALE,... of {', '.join(PARTS)}, got {text!r}")
    scales = [scale] if equals else []
    return name, [*scales, *(word for word in words if "=" not in word)], [word for word in words if "=" in word]


def _known(x: Input) -> Mapping[str, _Known]:
    if x.levels == PCM16:
        return _RECORDINGS
    return _VECTORS if x.layout is None else _IMAGES


def _unit(per: str, x: Input) -> float:
    low, high = float(x.values.min(initial=0.0)), float(x.values.max(initial=0.0))
    within = x.levels is not None or (low >= 0 and high <= 1)
    sides = x.layout[2] if x.layout else x.values.size
    return {"one": 1.0, "span": 1.0 if within else high - low}.get(per, float(sides))


def _in_units(numbers: Numbers, known: _Known | None, unit: float) -> Numbers:
    """The numbers in the data's units, to two digits; whole pixels or samples, which cannot be more than `MAX_STD`."""
    if known is None or known.per in ("one", "span"):
        return numbers if unit == 1 else tuple(float(f"{number * unit:.2g}") for number in numbers)
    return tuple(dict.fromkeys(min(MAX_STD, max(1.0, float(round(number * unit)))) for number in numbers))


def _with_trained(name: str, scales: Numbers, trained: float | None) -> Iterator[float]:
    """The scales, that of noise nearest to the model's training moved there."""
    near = min(scales, key=lambda scale: abs(math.log(scale / trained))) if trained and name == "noise" else None
    yield from (trained if trained and scale == near else scale for scale in scales)
