"""What must hold of every transformation of 8-bit images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..inputs.levels import EIGHT_BIT
from ..inputs.spatial import Raw
from ..smoothing import Range, Transform
from .cases import Image, sampled, shown
from .finding import Check, Trial

Cases = Sequence[tuple[str, Image, Any]]  # where, image, value


def cases_of(images: Mapping[str, Image], values: Callable[[Image], Sequence[Any]]) -> Cases:
    """Every image with every value for it."""
    return [(f"{name}, {shown(value)}", image, value) for name, image in images.items() for value in values(image)]


def trials(measure: Callable[[Image, Any], float], cases: Cases) -> list[Trial]:
    return [(where, partial(measure, image, value)) for where, image, value in cases]


def attackers_form(transform: Transform) -> tuple[str, str]:
    """What the attackers' form is called, and what it makes."""
    return ("8-bit form", "an 8-bit image") if EIGHT_BIT in transform.acts_on else ("16-bit form", "a recording")


def checks(transform: Transform, cases: Cases) -> list[Check]:
    """What an attacker's form must be, whatever it is for."""

    def same_kind(image: Image, value: Any) -> float:
        found: Any = transform.apply(image.copy(), value)
        kept = isinstance(found, np.ndarray) and found.dtype == image.dtype and found.shape == image.shape
        return 0.0 if kept else np.inf

    def modifies(image: Image, value: Any) -> float:
        given = image.copy()
        transform.apply(given, value)
        return float((given != image).mean())

    def varies(image: Image, value: Any) -> float:
        first = transform.apply(image.copy(), value).copy()
        for other in (image, value), next((i, v) for _, i, v in cases if i is image):
            transform.apply(np.roll(other[0], 1, 0).copy(), other[1])
        return _largest(first, transform.apply(image.copy(), value))

    def changes(image: Image, value: Any) -> float:
        return _largest(image, transform.apply(image.copy(), transform.identity))

    once = list({id(image): (label, image, value) for label, image, value in cases}.values())
    form, kind = attackers_form(transform)
    found = [
        Check(f"{form}: gives {kind} of the same shape", trials(same_kind, cases)),
        Check(f"{form}: leaves its input as it is", trials(modifies, cases)),
        Check(f"{form}: gives the same image again", trials(varies, cases)),
    ]
    if transform.identity is not None:
        what = f"{form}: the identity, {shown(transform.identity)}, changes nothing"
        found.append(Check(what, trials(changes, once)))
    return found


def members_check(transform: Transform, images: Mapping[str, Image], r: Range) -> Check:
    """That a set is finite on every image, and no member of it comes twice."""

    def twice(image: Image) -> float:
        members = transform.members_on(r, Raw(image).sides)
        assert all(np.isfinite(np.asarray(member, float)).all() for member in members), "a member that is no number"
        return float(len(members) - len(set(members))) if members else np.inf

    trials: list[Trial] = [(f"{name}, {r}", partial(twice, image)) for name, image in images.items()]
    return Check(f"{attackers_form(transform)[0]}: members are numbers, each once", trials)


def enclosure_check(transform: Transform, images: Mapping[str, Image], r: Range) -> list[Check]:
    """That what lies between two values is enclosed, where the transformation says so: mode slices rests on it."""
    if type(transform).enclose is Transform.enclose:
        return []

    def outside(image: Image) -> float:
        pieces = list(transform.enclose(image, r.low, r.high))
        worst = 0
        for value in sampled(transform, r.low, r.high, 41):
            found = transform.apply(image.copy(), value).astype(int)
            worst = max(worst, min(max((low - found).max(), (found - high).max()) for low, high in pieces))
        return float(worst)

    tried: list[Trial] = [(f"{name}, {r}", partial(outside, image)) for name, image in images.items()]
    return [Check("slices: the enclosure holds all that the range makes", tried)]


def _largest(a: Image, b: Image) -> float:
    return float(np.abs(a.astype(int) - b).max(initial=0))
