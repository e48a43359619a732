"""The largest error of one input, as far as a global optimiser finds it: a search, not a proof."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.calibration_file import SEARCHED
from smoothcert.inputs.spatial import Raw
from smoothcert.smoothing import Attack, Part
from smoothcert.smoothing.perturbation import steps
from smoothcert.smoothing.transform import attacked

from .attacks import axes, value_at
from .errors import Value, intensities, squares, unit_of


def search(raw: Raw, parts: tuple[Part, ...], attack: Attack, evaluations: int) -> tuple[np.float32, list[float]]:
    """The largest error found over g in the range and b within `SEARCHED` deviations, and the numbers of g and b there.

    By about so many evaluations; nothing in it is random.

    Source: Jones, Perttunen, Stuckman 1993 (Lipschitzian optimization without the Lipschitz constant), which keeps
    trisecting boxes everywhere; rounding to 8 bits leaves no slope that others could follow.
    """
    from scipy.optimize import direct

    sides = 2 * sum(axes(part) for part in parts)
    most, place = 0.0, _values(parts, attack, np.full(sides, 0.5))

    def gain(unit: NDArray[np.float64]) -> float:
        nonlocal most, place
        g, b = _values(parts, attack, unit)
        (square,) = squares(raw, parts, attacked(raw.image, steps(parts, g)), g, [b])
        if square > most:
            most, place = square, (g, b)
        return -float(square)

    direct(gain, [(0.0, 1.0)] * sides, maxfun=evaluations, maxiter=evaluations, vol_tol=0.0, len_tol=0.0)
    return intensities(np.array([most]), unit_of(raw))[0], np.hstack([*place[0], *place[1]]).tolist()


def _values(parts: tuple[Part, ...], attack: Attack, unit: NDArray[np.float64]) -> tuple[Value, Value]:
    """A point of the unit cube as an attack and a draw."""
    numbers = iter(unit.tolist())
    g: list[Any] = []
    b: list[Any] = []
    for part, (_, r) in zip(parts, attack, strict=True):
        g.append(value_at(part, r, [next(numbers) for _ in range(axes(part))]))
        line = [(2 * next(numbers) - 1) * SEARCHED * part.scale for _ in range(axes(part))]
        b.append(part.value(line[0]) if part.signed else tuple(line))
    return tuple(g), tuple(b)
