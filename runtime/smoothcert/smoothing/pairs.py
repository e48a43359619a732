"""The closed table of pairs of parts that compose exactly, and from it the theorem for a list of parts.

A list is covered where every ordered pair of its parts is in the table, and at most one pair is a scale and a shift:
docs/theory.md section 3 has the theorem of each pair, and the proof that pairs suffice. Whatever is not in the table is
refused, parts that this table has never heard of among it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from ..bounds.joint_laws import Affine, Theorem
from ..bounds.laws import Normal
from ..errors import ArgumentError, require

if TYPE_CHECKING:
    from .part import Part

# What the first part is to the second, which comes behind it. `commute`: nothing. `scale first`, `shift first`: both
# are of the affine group. `carries`: the second is pixel noise, and an attack on it passes through the first, which
# lengthens it by its `stretch` at most. `scales`: the same, and the first multiplies it by its own factor.
Relation = Literal["commute", "scale first", "shift first", "carries", "scales"]

_CONTRASTS = ("contrast about=0", "contrast about=mid")
_BLURS = ("blur border=reflect101", "blur border=reflect", "blur border=wrap")
_CYCLIC = "translation border=wrap interpolation=whole"
_COMMUTE = (  # in either order
    *((_CYCLIC, other) for other in ("brightness", *_CONTRASTS, "gamma", "blur border=wrap")),
    *((blur, other) for blur in _BLURS for other in ("brightness", *_CONTRASTS)),
)
_GROUPS = (  # scale and shift, in either order: of the pixels, or of their logarithms
    *((contrast, "brightness") for contrast in _CONTRASTS),
    ("gamma", "contrast about=0"),
)
_AHEAD_OF_NOISE: dict[str, Relation] = {
    **dict.fromkeys(("brightness", "gamma", *_BLURS, _CYCLIC), "carries"),
    **dict.fromkeys(_CONTRASTS, "scales"),
}
_ROWS: dict[tuple[str, str], Relation] = {
    **dict.fromkeys((pair for row in _COMMUTE for pair in (row, row[::-1])), "commute"),
    **dict.fromkeys(_GROUPS, "scale first"),
    **dict.fromkeys(((shift, scale) for scale, shift in _GROUPS), "shift first"),
    **{(form, "noise"): relation for form, relation in _AHEAD_OF_NOISE.items()},
}
TABLE: Mapping[tuple[str, str], Relation] = MappingProxyType(_ROWS)  # by the forms of two parts, in their order
_SUPPORTED = (
    "supported: noise, brightness, contrast, gamma, blur, translation alone; contrast with brightness and gamma with "
    "contrast (about=0), in either order; translation with any of these, blur with any but gamma (border=wrap with "
    "translation), noise after all of them"
)


def form(part: Part) -> str:
    """The part as the table names it: its name, and every option but scale and law.

    A subclass that has no name of its own is another part, whatever it inherits.
    """
    options = {k: v for k, v in part.description.items() if k not in ("part", "scale", "law", "unit")}
    return " ".join([vars(type(part)).get("name", ""), *(f"{k}={v}" for k, v in options.items())])


@functools.cache
def find_theorem(parts: tuple[Part, ...]) -> Theorem:
    """The theorem for the parts together; `ValueError` that says what is in the way, and what there is."""
    names = [part.name for part in parts]
    title = f"compose: no theorem for {' then '.join(names)}"
    once = len(set(names)) == len(names)
    require(once, f"{title}: each part once (two independent noises are one, of sigma = sqrt(s1^2 + s2^2))")
    rough = [part.label for part in parts if not part.composes]
    require(
        not rough,
        f"{title}: {', '.join(rough)} composes only up to an error, for which a calibration is needed: "
        "measure it (smoothcert calibrate measure), add noise as the last part, and pass `calibration`",
    )
    groups: list[tuple[Part, Part, bool]] = []
    ahead: dict[Part, Relation] = {}
    for first, second in itertools.combinations(parts, 2):
        match TABLE.get((form(first), form(second))):
            case None:
                raise ArgumentError(f"{title}: {_in_the_way(form(first), form(second))}; {_SUPPORTED}")
            case "scale first":
                groups.append((first, second, True))
            case "shift first":
                groups.append((second, first, False))
            case "carries" | "scales" as relation:
                ahead[first] = relation
    require(len(groups) <= 1, f"{title}: it has more than one pair of a scale and a shift; {_SUPPORTED}")
    noise = parts[-1].name if ahead else ""
    affine = _affine(groups, [part for part, relation in ahead.items() if relation == "scales"], noise)
    magnifies = affine.scale if affine and affine.noise else ""
    stretches = {part.name: part.stretch for part in ahead if part.name != magnifies}
    return Theorem({part.name: part.line for part in parts}, affine, noise, stretches)


def _affine(groups: list[tuple[Part, Part, bool]], scales: list[Part], noise: str) -> Affine | None:
    """The affine group among the parts: a scale with its shift, with the noise that it multiplies, or with both."""
    if not groups:
        return Affine(scales[0].name, None, noise, True) if scales else None
    ((scale, shift, first),) = groups
    require(isinstance(shift.line, Normal), f"compose: no theorem for {shift.name} with law {shift.law}")
    return Affine(scale.name, shift.name, noise if scale in scales else None, first)


def _in_the_way(first: str, second: str) -> str:
    """Why the table lacks the pair, in words."""
    if (second, first) in TABLE:
        return f"{first} comes last, for no other part may depend on it"
    names = [first.split()[0], second.split()[0]]
    near = next((pair for pair in TABLE if [f.split()[0] for f in pair] == names), None)
    if near is None:
        return f"{names[0]} does not compose with {names[1]}"
    return f"{first} does not compose with {second}, but {near[0]} does with {near[1]}"
