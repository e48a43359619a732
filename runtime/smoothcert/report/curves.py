"""A picture of advice: certified accuracy against radius, a panel for each part, a curve for each scale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..bounds.forecast import NOTHING, Planned
from ..runs.ladder import part_of
from ..smoothing import Part
from .advised import Outlook, PartAdvice
from .pictures import Colour, Picture, blank, save, write

_WIDTH, _HEIGHT = 460, 300  # of a panel's axes, in pixels
_LEFT, _TOP, _RIGHT, _BOTTOM = 62, 46, 150, 64
_POINTS = 80
_SIZE = 0.42
_GREY: Colour = (225, 225, 225)
_COLOURS: tuple[Colour, ...] = (  # blue, green, red: told apart by eyes of all kinds (Okabe and Ito)
    (178, 114, 0),
    (0, 94, 213),
    (115, 158, 0),
    (167, 121, 204),
    (0, 159, 230),
    (90, 90, 90),
)


def draw(parts: Sequence[PartAdvice], run: Planned, path: Path) -> None:
    """Write the picture; the bars are the intervals of the table. `ArgumentError` as from `save`."""
    panels = [_panel(part, run) for part in parts]
    while len(panels) > 1 and len(panels) % 2:
        panels.append(np.full_like(panels[0], 255))
    wide = 2 if len(panels) > 1 else 1
    rows = [np.hstack(panels[i : i + wide]) for i in range(0, len(panels), wide)]
    save(np.vstack(rows), path)


def _panel(part: PartAdvice, run: Planned) -> Picture:
    picture = blank(_TOP + _HEIGHT + _BOTTOM, _LEFT + _WIDTH + _RIGHT)
    farthest = 1.08 * max(part.radii)
    main = part_of(part.outlooks[0].rung.smoothing)

    def at(radius: float, share: float) -> tuple[int, int]:
        return _LEFT + round(_WIDTH * radius / farthest), _TOP + round(_HEIGHT * (1 - share))

    for share in (0, 0.25, 0.5, 0.75, 1):
        cv2.line(picture, at(0, share), at(farthest, share), _GREY, 1)
        write(picture, f"{share:.0%}", _LEFT - 8, at(0, share)[1] + 5, _SIZE, anchor=1.0)
    write(picture, f"{part.name}: certified accuracy to expect, and 95 % intervals", _LEFT, _TOP - 20, 0.5, anchor=0.0)
    for radius in (0.0, *part.radii):
        value = main.value(radius)
        cv2.line(picture, at(radius, 0), (at(radius, 0)[0], at(radius, 0)[1] + 4), (120, 120, 120), 1)
        write(picture, f"{value:.3g}", at(radius, 0)[0], at(radius, 0)[1] + 20, _SIZE)
    write(picture, _axis(main), _LEFT + _WIDTH // 2, _TOP + _HEIGHT + 44, _SIZE)
    for i, outlook in enumerate(part.outlooks):
        _curve(picture, part, outlook, run, farthest, _COLOURS[i % len(_COLOURS)], i)
    return picture


def _axis(main: Part) -> str:
    """What the numbers below the radius axis are."""
    if main.is_norm:
        return "radius (l2 norm)"
    if main.transforms.kind == "factor":
        return f"{main.name} up to this factor, and down to its inverse"
    return f"{main.name} up to this{', either way' * main.signed}"


def _curve(
    picture: Picture, part: PartAdvice, outlook: Outlook, run: Planned, farthest: float, colour: Colour, place: int
) -> None:
    """One scale: its curve, the intervals at the table's radii a little apart from its neighbours', and its name."""

    def at(radius: float, share: float, aside: int = 0) -> tuple[int, int]:
        return _LEFT + round(_WIDTH * radius / farthest) + aside, _TOP + round(_HEIGHT * (1 - share))

    radii = np.linspace(0, farthest, _POINTS).tolist()
    line = np.array([at(r, outlook.rung.expected(r, run)) for r in radii], np.int32)
    cv2.polylines(picture, [line], False, colour, 2, cv2.LINE_AA)
    aside = 5 * place - 5 * (len(part.outlooks) - 1) // 2
    for radius, forecast in outlook.at.items():
        if radius and forecast != NOTHING:
            cv2.line(picture, at(radius, forecast.low, aside), at(radius, forecast.high, aside), colour, 1, cv2.LINE_AA)
    y = _TOP + 14 + 22 * place
    cv2.line(picture, (_LEFT + _WIDTH + 12, y - 4), (_LEFT + _WIDTH + 34, y - 4), colour, 2, cv2.LINE_AA)
    write(picture, f"scale {part_of(outlook.rung.smoothing).scale:g}", _LEFT + _WIDTH + 40, y, _SIZE, anchor=0.0)
