"""A transformation, or a part, tried against its contract."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..errors import require
from ..inputs.levels import EIGHT_BIT, levels_of
from ..inputs.spatial import Raw
from ..smoothing import Attack, Part, Range, Transform, described
from ..smoothing.transform import transform_of
from . import attackers, composed, drawn, exact
from .cases import Image, batches, inputs, pairs_of, shown, values
from .finding import Check, Finding

_MOST = 12  # members of a set that are tried
_IMAGES = 4  # given images that are tried


def check(asked: Part | Attack, images: Sequence[Image] = ()) -> tuple[Finding, ...]:
    """Try what certificates take for granted of a transformation, on images made for it and on the first few given.

    `asked`: a part, as it smooths, or a set of attacks on one parameter, as it is enumerated or sliced. `images`: uint8
    (H, W, C), red, green, blue, or int16 (samples,). That all cases pass proves nothing. `ArgumentError` for a set
    without end, or of several parameters. Docs: docs/plugins.md.

    >>> from smoothcert import Brightness
    >>> all(finding.passed is not False for finding in check(Brightness(0.2)))
    True
    """
    if isinstance(asked, Part):
        tried = inputs(asked.transform, images[:_IMAGES])
        return tuple(one.finding() for one in _of_part(asked, tried, images[:_IMAGES]))
    require(len(asked.ranges) == 1, f"check: expected a set of attacks on one parameter, got {asked}")
    ((name, r),) = asked
    transform = transform_of(name, {})
    tried = inputs(transform, images[:_IMAGES])
    return tuple(one.finding() for one in _of_set(transform, r, tried))


def _of_set(transform: Transform, r: Range, images: Mapping[str, Image]) -> list[Check]:
    enclosed = [] if r.points else attackers.enclosure_check(transform, images, r)
    if enclosed and not r.is_one:
        some: Sequence[Any] = (r.low, r.high)
        members = []
    else:
        pool = transform.members_on(r, Raw(next(iter(images.values()))).sides)
        some = [pool[i] for i in np.linspace(0, len(pool) - 1, min(_MOST, len(pool))).round().astype(int)]
        members = [attackers.members_check(transform, images, r)]
    return [*attackers.checks(transform, attackers.cases_of(images, lambda image: some)), *members, *enclosed]


def _of_part(part: Part, tried: Mapping[str, Image], images: Sequence[Image]) -> list[Check]:
    cases = attackers.cases_of(tried, lambda image: values(part, image.shape))
    found = [
        Check("recipe: the description gives the part again", [(part.label, partial(_reread, part))]),
        drawn.coordinate_check(part),
        *drawn.checks(part),
        *attackers.checks(part.transform, cases),
    ]
    if not part.composes:
        return [*found, _error(part, tried)]
    pixels = batches(part.transform, images)
    return [*found, *exact.checks(part, pixels), exact.agreement_check(part, cases), *composed.checks(part, pixels)]


def _reread(part: Part) -> float:
    again = described(json.loads(json.dumps(part.description)))
    return float(again != part or again.description != part.description)


def _error(part: Part, images: Mapping[str, Image]) -> Check:
    transform = part.transform

    def apart(image: Image, first: Any, second: Any) -> float:
        twice = transform.apply(transform.apply(image.copy(), first), second)
        once = transform.apply(image.copy(), transform.combined(first, second))
        return float(np.linalg.norm(twice.astype(float) - once)) / (levels_of(image) or EIGHT_BIT).unit

    trials = [
        (f"{label}, {shown(a)} then {shown(b)}", partial(apart, image, a, b))
        for label, image in images.items()
        for a, b in pairs_of(part, part, image.shape)
    ]
    form, _ = attackers.attackers_form(transform)
    return Check(f"{form}: two values in a row, from their combination, in l2 and [0,1] intensities", trials, None)
