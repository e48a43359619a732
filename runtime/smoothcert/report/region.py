"""Certified accuracy over a grid of two attack parameters, from the evidence of one run: nothing is sampled again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, require
from ..runs.decisions import attack_models
from ..runs.folder import Entry
from ..runs.question import Question
from ..runs.recipe import Recipe
from ..smoothing import Part, Range, Smoothing
from .answers import smoothed_answer
from .pictures import blank, save, write

POINTS = 21  # an axis, unless asked otherwise
_CELL, _MARGIN = 24, 84  # pixels
_SIZE = 0.42  # of words


@dataclass(frozen=True, eq=False)
class Region:
    """`accuracy[i, j]`: share of inputs certified, with the right class where known, at (rows[i], columns[j]).

    Each point is certified for itself, with `p_star[i, j]` as the probability it needs: a grid, and nothing between.
    """

    names: tuple[str, str]
    units: tuple[str, str]
    rows: tuple[float, ...]
    columns: tuple[float, ...]
    p_star: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    attack_model: str


def region(recipe: Recipe, entries: Sequence[Entry], axes: Sequence[tuple[str, Range | None]]) -> Region:
    """The region over two parameters, named with their ranges.

    Without a range, an axis spans what the run's attack names, or all that its largest p_lower can certify.
    """
    question = Question.of(recipe)
    bounds = [entry["certificate"]["p_lower"] if "certificate" in entry else 0.0 for entry in entries]
    require(len(axes) == 2, f"region: expected two parameters, got {len(axes)}")
    (first, rows), (second, columns) = (_axis(name, asked, question, max(bounds, default=0.0)) for name, asked in axes)
    require(first.name != second.name, f"region: expected two different parameters, got {first.name} twice")
    needed = np.array([[question.smoothing.p_star({first.name: a, second.name: b}) for b in columns] for a in rows])
    # Of inputs whose class is the one that p_lower speaks of, known even where the run's own attack was too strong.
    answers = zip(bounds, entries, map(smoothed_answer, entries), strict=True)
    reached = np.array([p for p, entry, answer in answers if answer is not None and entry["label"] in (None, answer)])
    accuracy = (reached[:, None, None] > needed).sum(axis=0) / max(1, len(entries))
    names, units = (first.name, second.name), (first.unit, second.unit)
    return Region(names, units, rows, columns, needed, accuracy, attack_models(recipe, entries))


def _axis(name: str, given: Range | None, question: Question, p_lower: float) -> tuple[Part, tuple[float, ...]]:
    smoothing = question.smoothing
    by = {part.name: part for part in smoothing.parts}
    require(name in by, f"region: expected parameters that are smoothed ({', '.join(by)}), got {name!r}")
    asked = given or dict(question.attack or ()).get(name)
    if asked is None or (asked.low == asked.high and not given):
        asked = Range(*extent(smoothing, by[name], p_lower))
    require(asked.low < asked.high, f"region: expected an interval of {name}, got {asked}")
    return by[name], tuple(np.linspace(asked.low, asked.high, asked.points or POINTS).tolist())


def extent(smoothing: Smoothing, part: Part, p_lower: float) -> tuple[float, float]:
    """As far as that p_lower certifies the parameter alone, about."""
    low = part.value(-_reach(smoothing, part, -1, p_lower)) if part.signed else 0.0
    return low, part.value(_reach(smoothing, part, 1, p_lower))


def _reach(smoothing: Smoothing, part: Part, sign: int, p_lower: float) -> float:
    """About the distance, to that side of the identity, up to which p_lower certifies the parameter alone."""

    def stands(distance: float) -> bool:
        try:
            return smoothing.p_star({part.name: part.value(sign * distance)}) < p_lower
        except ArgumentError:  # outside of what the part can do, or of what was calibrated
            return False

    distance = part.scale if part.transforms.kind != "factor" or part.law == "lognormal" else 1.0
    while stands(distance) and distance < 1e6:
        distance *= 1.25
    while not stands(distance) and distance > 1e-6:
        distance /= 1.1
    return distance if stands(distance) else 0.0


def draw(region: Region, path: Path) -> None:
    """Write the region as a picture: one square a point, the accuracy as colour."""
    height, width = region.accuracy.shape
    cell = max(_CELL, 360 // max(height, width))
    colours = cv2.applyColorMap(np.rint(255 * region.accuracy[::-1]).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    squares = cv2.resize(colours, (width * cell, height * cell), interpolation=cv2.INTER_NEAREST)
    picture = blank(squares.shape[0] + 2 * _MARGIN, squares.shape[1] + 3 * _MARGIN)
    top, left = _MARGIN, _MARGIN + 24
    bottom, right = top + squares.shape[0], left + squares.shape[1]
    picture[top:bottom, left:right] = squares
    title = f"certified accuracy at ({region.names[0]}, {region.names[1]}), {region.attack_model}"
    write(picture, title, (left + right) // 2, top - 20, 0.6)
    for i in range(height):
        write(picture, f"{region.rows[i]:.3g}", left - 30, bottom - int((i + 0.5) * cell) + 5, _SIZE)
    for j in range(0, width, max(1, math.ceil(56 / cell))):
        write(picture, f"{region.columns[j]:.3g}", left + int((j + 0.5) * cell), bottom + 21, _SIZE)
    write(picture, f"{region.names[1]} ({region.units[1]})", (left + right) // 2, bottom + 49, _SIZE)
    write(picture, f"{region.names[0]} ({region.units[0]})", left + 20, top - 3, _SIZE, anchor=0.0)
    ramp = np.linspace(255, 0, squares.shape[0]).astype(np.uint8)[:, None].repeat(18, axis=1)
    picture[top:bottom, right + 24 : right + 42] = cv2.applyColorMap(ramp, cv2.COLORMAP_VIRIDIS)
    for share in (0, 0.25, 0.5, 0.75, 1):
        write(picture, f"{share:.0%}", right + 50, bottom - int(share * squares.shape[0]) + 5, _SIZE, anchor=0.0)
    save(picture, path)


def region_table(region: Region) -> Any:
    """The accuracies, every second or so of a long axis, as a rich table."""
    from rich.table import Table

    rows, columns = (range(0, n, max(1, math.ceil(n / 9))) for n in region.accuracy.shape)
    down, across = (f"{name} ({unit})" for name, unit in zip(region.names, region.units, strict=True))
    title = f"certified accuracy in %, {down} down, {across} across, {region.attack_model}"
    table = Table(title=title, title_justify="left")
    for head in ("", *(f"{region.columns[j]:.3g}" for j in columns)):
        table.add_column(head, justify="right", no_wrap=True)
    for i in reversed(rows):
        table.add_row(f"{region.rows[i]:.3g}", *(f"{math.floor(100 * region.accuracy[i, j])}" for j in columns))
    return table
