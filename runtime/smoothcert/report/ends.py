"""A picture of one input at the ends of what was certified of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..certificate import ABSTAIN
from ..datasets import open_dataset
from ..errors import DataError, RunError, require
from ..preprocess import raw_image
from ..runs import Entry, Recipe
from ..smoothing import smoothing_of
from ..transforms.attacks import ATTACKS, attacked
from .summary import attack_of, manner_of
from .table import floor_text

_SIDE, _GAP, _INK = 320, 16, (60, 60, 60)


def ends(recipe: Recipe, entries: Sequence[Entry], index: int) -> list[tuple[str, NDArray[np.uint8]]]:
    """(caption, 8-bit image) at the lower end, as it is, and at the upper end of the set certified for that input."""
    entry = next((e for e in entries if e["index"] == index), None)
    if entry is None or "certificate" not in entry or entry["certificate"]["prediction"] == ABSTAIN:
        raise RunError(f"--ends {index}: expected an input with a certificate, got none; see report --tsv")
    smoothing = smoothing_of(recipe["smoothing"])
    parts = {part.name: part for part in smoothing.parts}
    certified = attack_of(recipe) or smoothing.ball(entry["certificate"]["radius"])
    drawable = [(name, r) for name, r in certified if name in ATTACKS]
    require(bool(drawable), f"--ends: expected an attack that can be drawn, got {certified}")
    data = open_dataset(Path(recipe["data"]["path"]), recipe["data"].get("channels"))
    raw = raw_image(data.load(index).x)
    if raw is None:
        raise DataError(f"--ends {index}: expected an 8-bit image, got other data")

    manner = manner_of(recipe)

    def at(end: str) -> tuple[str, NDArray[np.uint8]]:
        values = [
            (name, _value(name, getattr(r, end), end), parts[name].manner if name in parts else manner)
            for name, r in drawable
        ]
        words = ", ".join(f"{name} {_number(getattr(r, end))}" for name, r in drawable)
        return words, attacked(raw.image, values)

    prediction = entry["certificate"]["prediction"]
    return [at("low"), (f"input {index}, certified class {prediction}", raw.image), at("high")]


def _value(name: str, value: float, end: str) -> Any:
    """The value of an end as an attack has it; a translation goes to the left and to the right."""
    return (0.0, value if end == "high" else -value) if name == "translation" else value


def _number(value: float) -> str:
    return f"{'-' if value < 0 else '+' if value > 0 else ''}{floor_text(abs(value), 2)}"


def draw(pictures: Sequence[tuple[str, NDArray[np.uint8]]], path: Path) -> None:
    """Write the pictures side by side, each with its caption below."""
    require(cv2.haveImageWriter(str(path)), f"--png: expected a name that ends in .png, got {path}")
    columns = [_captioned(caption, image) for caption, image in pictures]
    gap = np.full((columns[0].shape[0], _GAP, 3), 255, np.uint8)
    row = [gap, *(piece for column in columns for piece in (column, gap))]
    require(cv2.imwrite(str(path), np.hstack(row)), f"--png: expected a path that can be written, got {path}")


def _captioned(caption: str, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, colours = image.shape
    factor = _SIDE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    bgr = cv2.cvtColor(image[..., :3], cv2.COLOR_RGB2BGR if colours >= 3 else cv2.COLOR_GRAY2BGR)
    shown = cv2.resize(bgr, size, interpolation=cv2.INTER_NEAREST if factor > 1 else cv2.INTER_AREA)
    panel = np.full((size[1] + 2 * _GAP + 24, _SIDE, 3), 255, np.uint8)
    left = (_SIDE - size[0]) // 2
    panel[_GAP : _GAP + size[1], left : left + size[0]] = shown
    (wide, _), _ = cv2.getTextSize(caption, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    where = (max(0, (_SIDE - wide) // 2), size[1] + 2 * _GAP + 6)
    cv2.putText(panel, caption, where, cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
    return panel
