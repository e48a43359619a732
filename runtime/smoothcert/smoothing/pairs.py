"""The closed table of pairs of parts that compose exactly, and from it the joint law for a list of parts.

Each part states its pairs; what no part states is refused. A list is covered where every ordered pair of its parts is
in the table, and at most one pair is a scale and a shift: docs/theory.md section 3 has the theorem of each pair, and
the proof that pairs suffice.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable

from ..bounds.joint_laws import Affine, JointLaws
from ..bounds.laws import Normal
from ..errors import ArgumentError, require
from .part import Pair, Part, Relation

TABLE: dict[tuple[str, str], Relation] = {}  # by the forms of two parts, in their order; filled by the table of parts
_REVERSED: dict[Relation, Relation] = {"commute": "commute", "scale first": "shift first", "shift first": "scale first"}


def state(pairs: Iterable[Pair]) -> None:
    """Add what a part states: (form ahead, form behind, relation). Commuting pairs and groups hold in either order."""
    for ahead, behind, relation in pairs:
        TABLE[ahead, behind] = relation
        if relation in _REVERSED:
            TABLE[behind, ahead] = _REVERSED[relation]


@functools.cache
def joint_laws(parts: tuple[Part, ...]) -> JointLaws:
    """The joint law of the parts; `ArgumentError` that says what is in the way, and what there is."""
    names = [part.name for part in parts]
    title = f"compose: no theorem for {' then '.join(names)}"
    once = len(set(names)) == len(names)
    require(once, f"{title}: each part once (two independent normal draws are one, of scale sqrt(s1^2 + s2^2))")
    rough = [part.label for part in parts if not part.composes]
    require(
        not rough,
        f"{title}: {', '.join(rough)} composes only up to an error, for which a calibration is needed: "
        "measure it (smoothcert calibrate measure), add noise as the last part, and pass `calibration`",
    )
    groups: list[tuple[Part, Part, bool]] = []
    ahead: dict[Part, Relation] = {}
    for first, second in itertools.combinations(parts, 2):
        match TABLE.get((first.form, second.form)):
            case None:
                raise ArgumentError(f"{title}: {_in_the_way(first.form, second.form)}; {_supported(names)}")
            case "scale first":
                groups.append((first, second, True))
            case "shift first":
                groups.append((second, first, False))
            case "carries" | "scales" as relation:
                ahead[first] = relation
    require(len(groups) <= 1, f"{title}: it has more than one pair of a scale and a shift; {_supported(names)}")
    noise = parts[-1].name if ahead else ""
    affine = _affine(groups, [part for part, relation in ahead.items() if relation == "scales"], noise)
    magnifies = affine.scale if affine and affine.noise else ""
    stretches = {part.name: part.stretch for part in ahead if part.name != magnifies}
    return JointLaws({part.name: part.line for part in parts}, affine, noise, stretches)


def _affine(groups: list[tuple[Part, Part, bool]], scales: list[Part], noise: str) -> Affine | None:
    """The affine group among the parts: a scale with its shift, with the noise that it multiplies, or with both."""
    if not groups:
        return Affine(scales[0].name, None, noise, True) if scales else None
    ((scale, shift, first),) = groups
    require(isinstance(shift.line, Normal), f"compose: no theorem for {shift.name} with law {shift.law}")
    return Affine(scale.name, shift.name, noise if scale in scales else None, first)


def _in_the_way(first: str, second: str) -> str:
    if (second, first) in TABLE:
        return f"{first} comes last, for no other part may depend on it"
    names = [first.split()[0], second.split()[0]]
    near = next((pair for pair in TABLE if [f.split()[0] for f in pair] == names), None)
    if near is None:
        return f"{names[0]} does not compose with {names[1]}"
    return f"{first} does not compose with {second}, but {near[0]} does with {near[1]}"


def _supported(names: Iterable[str]) -> str:
    there = [tuple(form.split()[0] for form in pair) for pair in TABLE]
    said = [
        f"{name} with {', '.join(others)}"
        for name in dict.fromkeys(names)
        if (others := sorted({b if a == name else a for a, b in there if name in (a, b)}))
    ]
    return f"supported: each part alone; {'; '.join(said)}"
