"""How large the interpolation error of rotation and translation is, by interpolation: the published table 1.

Source: Fischer, Baader, Vechev 2020 (Statistical verification of general perturbations), table 1.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smoothcert.inputs.datasets import Dataset, Example
from smoothcert.inputs.spatial import PLAIN, Spatial
from smoothcert.machine import cores
from smoothcert.report import floor_text
from smoothcert.smoothing import Attack, Part, Rotation, Translation
from smoothcert.transforms.checks import INTERPOLATIONS

from .errors import errors_of
from .plan import Plan, plan_of
from .show import below, table_of
from .stream import worked

if TYPE_CHECKING:
    from rich.table import Table


def plans(
    data: Dataset,
    name: str,
    *,
    rotation: tuple[float, float] = (5.0, 10.0),
    translation: tuple[float, float] = (2.0, 2.0),
    spatial: Spatial = PLAIN,
    draws: int = 1,
    confidence: float = 0.999,
    seed: int = 0,
    skip: int = 0,
    limit: int | None = None,
) -> list[Plan]:
    """One plan for each transformation and interpolation. `rotation`, `translation`: scale, and range to both sides."""
    degrees = Attack.of({"rotation": (-rotation[1], rotation[1])})
    pixels = Attack.of({"translation": (0.0, translation[1])})
    asked: list[tuple[Part, Attack]] = [(Rotation(rotation[0], interpolation=i), degrees) for i in INTERPOLATIONS]
    asked += [(Translation(translation[0], border="black", interpolation=i), pixels) for i in INTERPOLATIONS]
    part, attack = asked[0]
    plan = plan_of(
        data,
        name,
        (part,),
        attack,
        draws=draws,
        confidence=confidence,
        seed=seed,
        spatial=spatial,
        skip=skip,
        limit=limit,
    )
    return [replace(plan, parts=(part,), attack=attack) for part, attack in asked]


def worst_errors(
    plans: list[Plan],
    data: Dataset,
    *,
    threads: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> NDArray[np.float32]:
    """The largest error of each input under each plan, (plans, inputs); every input is loaded once for all plans."""

    def worst(example: Example, plan: Plan) -> np.float32:
        index = example.index
        found: np.float32 = errors_of(plan.raw(example), plan.parts, plan.attacks(index), plan.drawn(index)).max()
        return found

    works = [functools.partial(worst, plan=plan) for plan in plans]
    rows = []
    with closing(worked(data, plans[0].indices, works, threads or cores())) as answers:
        for done, answer in enumerate(answers, start=1):
            rows.append(answer)
            progress(done)
    return np.array(rows, np.float32).T


def table(plans: list[Plan], worst: NDArray[np.float32], thresholds: Sequence[float]) -> Table:
    """P(E < t) at least for each plan and threshold, each alone with the plans' confidence."""
    confidence = plans[0].confidence
    title = f"P(E < t) at least, each alone with confidence {confidence:g}, over {worst.shape[1]} inputs"
    heads = [f"t = {t:g}" for t in thresholds]
    shown = table_of(title, "transformation", "interpolation", *heads)
    for plan, errors in zip(plans, worst, strict=True):
        (part,) = plan.parts
        name = part.transform.options.get("interpolation", "")
        what = f"{part.name} {part.scale:g}, attacks {dict(plan.attack)[part.name]}"
        shown.add_row(what, name, *(floor_text(below(errors, t, confidence)[1], 4) for t in thresholds))
    return shown
