"""The errors of a calibration as a picture: how many inputs, or draws, have an error of which size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from smoothcert.calibration_file import CalibrationFile
from smoothcert.report import floor_text
from smoothcert.report.pictures import INK, blank, save, write

from .show import below, pipeline_text

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 1200, 700, 100, 40, 130, 90  # pixels
_FAINT, _BAR, _MARK = (225, 225, 225), (170, 120, 60), (40, 60, 200)  # blue, green, red
_BARS = 48


def draw(file: CalibrationFile, path: Path, thresholds: Sequence[float] = ()) -> None:
    """Write the histogram; thresholds are drawn in, with P(E < t) where inputs share their bounds.

    Counted are inputs, each with its largest error; the draws themselves where each input has bounds of its own.
    """
    head, own = file.head, file.calibration.per_input
    values = file.errors.ravel() if own else file.worst
    widest = max([float(values.max()), *thresholds]) or 1.0
    step, end = _ticks(widest * 1.02, 10)
    counts, _ = np.histogram(values, bins=_BARS, range=(0.0, end))
    picture = blank(_HEIGHT, _WIDTH)
    rise, tall = _ticks(int(counts.max()) * 1.05, 6, least=1.0)
    counted = "draws and attacks" if own else "inputs, each by its largest error"
    _axes(picture, (step, end), (rise, tall), counted)
    _bars(picture, counts, tall)
    for threshold in thresholds:
        cv2.line(picture, _at(threshold / end, 1), _at(threshold / end, 0), _MARK, 1)
    for row, threshold in enumerate(thresholds):
        _, probability = below(file.worst, threshold, head["confidence"])
        text = f"t = {threshold:g}" if own else f"P(E < {threshold:g}) >= {floor_text(probability)}"
        _label(picture, threshold / end, text, row)
    sample = f"{file.errors.shape[0]} inputs of {head['data']['name']}, draws for each: {file.errors.shape[1]}"
    moments = f"mean {values.mean():.3f}, standard deviation {values.std():.3f}, largest {values.max():.3f}"
    write(
        picture,
        f"interpolation error, {head['strategy']}, attack {file.calibration.attack}",
        _LEFT,
        34,
        0.75,
        anchor=0.0,
    )
    write(picture, pipeline_text(head["pipeline"]), _LEFT, 64, 0.5, anchor=0.0)
    write(picture, f"{sample}; {moments}", _LEFT, 88, 0.5, anchor=0.0)
    save(picture, path)


def _ticks(span: float, most: int, least: float = 0.0) -> tuple[float, float]:
    """The step of an axis, the least of 1, 2, 5 times a power of ten that cuts the span into so many, and its end."""
    power = 10.0 ** math.floor(math.log10(span / most))
    step = max(least, next(power * m for m in (1, 2, 5, 10) if span <= power * m * most * (1 + 1e-9)))
    return step, step * math.ceil(span / step)


def _at(across: float, up: float) -> tuple[int, int]:
    """Pixels of a place in the plot, 0 to 1 from the left and from below."""
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    return round(_LEFT + across * width), round(_HEIGHT - _BOTTOM - up * height)


def _axes(picture: NDArray[np.uint8], across: tuple[float, float], up: tuple[float, float], counted: str) -> None:
    """Ticks, lines and words; `across` and `up` are the step and the end of each axis."""
    (step, end), (rise, tall) = across, up
    for i in range(round(tall / rise) + 1):
        _, y = _at(0, i * rise / tall)
        cv2.line(picture, (_LEFT, y), (_WIDTH - _RIGHT, y), _FAINT, 1)
        write(picture, f"{i * rise:,.0f}", _LEFT - 10, y + 5, 0.48, anchor=1.0)
    for i in range(round(end / step) + 1):
        x, y = _at(i * step / end, 0)
        cv2.line(picture, (x, y), (x, y + 6), INK, 1)
        write(picture, f"{i * step:.4g}", x, y + 26, 0.48, anchor=0.5)
    cv2.line(picture, _at(0, 0), _at(1, 0), INK, 1)
    write(picture, "E: l2 norm in [0,1] intensities", (_WIDTH + _LEFT - _RIGHT) // 2, _HEIGHT - 28, 0.52, anchor=0.5)
    write(picture, counted, _LEFT, _TOP - 12, 0.48, anchor=0.0)


def _bars(picture: NDArray[np.uint8], counts: NDArray[np.int64], tall: float) -> None:
    for i, count in enumerate(counts.tolist()):
        if count:
            (left, top), (right, bottom) = _at(i / len(counts), count / tall), _at((i + 1) / len(counts), 0)
            cv2.rectangle(picture, (left + 1, min(top, bottom - 2)), (right - 1, bottom - 1), _BAR, cv2.FILLED)


def _label(picture: NDArray[np.uint8], across: float, text: str, row: int) -> None:
    """Text beside the line of a threshold, a row lower for each, on white."""
    x, _ = _at(across, 0)
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.48, 1)
    left = x + 6 if x + 6 + width < _WIDTH - 4 else x - 6 - width
    y = _TOP + 18 + 22 * (row % 12)
    picture[y - height - 3 : y + 5, left - 2 : left + width + 2] = 255
    write(picture, text, left, y, 0.48, anchor=0.0, colour=_MARK)
