"""A picture of one input at the ends of what was certified of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..certificate import ABSTAIN, floor_text
from ..errors import DataError, RunError, require
from ..evidence import Evidence
from ..model.preprocess import raw_image
from ..runs.folder import Entry
from ..runs.opening import open_data
from ..runs.question import Question
from ..runs.recipe import Recipe
from ..smoothing import Attack, Range, Smoothing
from ..smoothing.transform import attacked
from .hearing import spectrogram
from .pictures import Picture, blank, save, write
from .region import extent

_SIDE, _GAP = 320, 16


@dataclass(frozen=True, eq=False)
class Ends:
    text: str  # what is shown, in a line
    pictures: tuple[tuple[str, NDArray[Any]], ...]  # (caption, image or recording): lower ends, the input, upper ends


def ends(recipe: Recipe, entries: Sequence[Entry], index: int) -> Ends:
    """The input at both ends of the set certified for it, or asked about where it abstained.

    Of a run of several parts without an attack, each parameter is shown alone, as far as it goes.
    """
    entry = next((e for e in entries if e["index"] == index), None)
    if entry is None or "certificate" not in entry:
        why = "it is not in the ledger" if entry is None else f"it failed: {entry.get('error')}"
        raise RunError(f"`ends`: expected an input of this run, got {index}; {why}")
    question, certificate = Question.of(recipe), entry["certificate"]
    smoothing = question.smoothing.of_evidence(Evidence.from_json(entry["evidence"]))
    transforms = question.algorithm.transforms(smoothing)
    drawn = [name for name, t in transforms.items() if t.kind != "norm" or t.is_planar()]
    asked, image = _sets(question, smoothing, certificate), _image(recipe, index)
    sets = [[(name, r) for name, r in shown if name in drawn] for shown in asked]
    same = [transforms[name].equivalent(image, r.high) for shown in asked for name, r in shown]
    require(
        not sets or any(sets) or any(same), "ends: expected a run with an attack that can be drawn, got noise alone"
    )

    def at(shown: list[tuple[str, Range]], end: Literal["low", "high"]) -> tuple[str, NDArray[Any]]:
        steps, words = [], []
        for name, r in sorted(shown, key=lambda named: drawn.index(named[0])):
            planar = transforms[name].is_planar()
            value = (-r.high if end == "low" else r.high) if planar else getattr(r, end)
            words.append(f"{name} {_number(value, end)} {transforms[name].suffix}".rstrip())
            steps.append((transforms[name], (0.0, value) if planar else value))
        return ", ".join(words), attacked(image, steps)

    lows, highs = ([at(shown, end) for shown in sets if shown] for end in ("low", "high"))
    spans = "; ".join(
        [*(f"{low} to {high}" for (low, _), (high, _) in zip(lows, highs, strict=True)), *filter(None, same)]
    )
    if certificate["prediction"] == ABSTAIN:
        state = "abstained"
        text = f"input {index} abstained, nothing is certified" + f"; asked: {spans}" * bool(spans)
    else:
        state = f"certified class {certificate['prediction']}"
        text = spans + ", each alone" * (len(lows) > 1) or f"input {index} has no certified set, only an answer"
    return Ends(text, (*lows, (f"input {index}, {state}", image), *highs))


def _sets(question: Question, smoothing: Smoothing, certificate: dict[str, Any]) -> list[Attack]:
    """The sets to show: the run's attack, or what the radius means; none where only the answer itself is known."""
    if question.attack is not None:
        return [question.attack]
    asked, radius = question.recipe["algorithm"], certificate["radius"]
    if certificate["prediction"] == ABSTAIN:
        radius = max(asked.get("radii", ()), default=0.0)
    if smoothing.main is not None:
        return [smoothing.ball(radius)] if radius else []
    if certificate["prediction"] == ABSTAIN or asked["mode"] == "predict":
        return []
    return [Attack.of({part.name: extent(smoothing, part, certificate["p_lower"])}) for part in smoothing.parts]


def _image(recipe: Recipe, index: int) -> NDArray[Any]:
    data = open_data(recipe, Path(recipe["data"]["path"]))
    raw = raw_image(data.load(index).x) if index < len(data) else None
    if raw is None:
        raise DataError(
            f"`ends`: expected input {index} of {recipe['data']['path']} to be an image or a recording, got other data"
        )
    return raw.image


def _number(value: float, end: str) -> str:
    """Two decimals, rounded towards the inside of the set."""
    inside = floor_text(value, 2) if end == "high" else floor_text(-value, 2)
    return f"{float(inside) if end == 'high' else 0.0 - float(inside):+.2f}"


def draw(pictures: Sequence[tuple[str, NDArray[Any]]], path: Path) -> None:
    """Write the pictures side by side, each with its caption below."""
    columns = [_captioned(caption, spectrogram(image) if image.ndim == 1 else image) for caption, image in pictures]
    gap = blank(columns[0].shape[0], _GAP)
    save(np.hstack([gap, *(piece for column in columns for piece in (column, gap))]), path)


def _captioned(caption: str, image: NDArray[np.uint8]) -> Picture:
    height, width, colours = image.shape
    factor = _SIDE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    bgr = cv2.cvtColor(image[..., :3], cv2.COLOR_RGB2BGR if colours >= 3 else cv2.COLOR_GRAY2BGR)
    shown = cv2.resize(bgr, size, interpolation=cv2.INTER_NEAREST if factor > 1 else cv2.INTER_AREA)
    panel = blank(size[1] + 2 * _GAP + 24, _SIDE)
    left = (_SIDE - size[0]) // 2
    panel[_GAP : _GAP + size[1], left : left + size[0]] = shown
    write(panel, caption, _SIDE // 2, size[1] + 2 * _GAP + 6, 0.5)
    return panel
