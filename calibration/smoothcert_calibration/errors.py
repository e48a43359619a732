"""How far an attack and a draw in a row are from both at once: the code that is certified, on whole levels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from smoothcert.inputs.levels import EIGHT_BIT, levels_of
from smoothcert.inputs.spatial import Raw
from smoothcert.smoothing import Part, Transform
from smoothcert.smoothing.perturbation import steps
from smoothcert.smoothing.transform import attacked, begun

Value = tuple[Any, ...]  # one of each part


def errors_of(
    raw: Raw, parts: tuple[Part, ...], attacks: Sequence[Value], draws: Sequence[Value]
) -> NDArray[np.float32]:
    """The l2 norms of P(T_b(T_g(x))) - P(T_b+g(x)), in [0,1] intensities, rounded up, of shape (draws, attacks).

    Source: Fischer, Baader, Vechev 2020, section 4.
    """
    levels = np.empty((len(draws), len(attacks)))
    for k, g in enumerate(attacks):
        image = attacked(raw.image, steps(parts, g))
        levels[:, k] = list(squares(raw, parts, image, g, draws))
    return intensities(levels, unit_of(raw))


def squares(
    raw: Raw, parts: tuple[Part, ...], image: NDArray[Any], g: Value, draws: Iterable[Value]
) -> Iterable[float]:
    """The squared norms in levels, for the image already attacked with g."""
    first = parts[0].transform
    ahead, plain = first.encode(image), first.encode(raw.image)
    for b in draws:
        both = tuple(part.transforms.combined(one, other) for part, one, other in zip(parts, g, b, strict=True))
        twice = raw.processed(_attacked(image, ahead, steps(parts, b)))
        once = raw.processed(_attacked(raw.image, plain, steps(parts, both)))
        yield cv2.norm(twice, once, cv2.NORM_L2SQR) if twice.ndim > 1 else float(np.square(twice - once * 1.0).sum())


def _attacked(image: NDArray[Any], encoded: Any, attacks: list[tuple[Transform, Any]]) -> NDArray[Any]:
    """`attacked`, by what the first of the attacks computed of the image once."""
    (transform, value), *others = attacks
    return attacked(begun(transform, value, image, encoded), others)


def unit_of(raw: Raw) -> float:
    """Full intensity of the raw data's levels."""
    return (levels_of(raw.image) or EIGHT_BIT).unit


def intensities(squares: NDArray[np.float64], unit: float) -> NDArray[np.float32]:
    """Squared norms in levels as norms in [0,1] intensities, rounded up to float32; 0 stays 0.

    Squares of levels are whole numbers; of images, OpenCV squares a square root, which is off by far less than a half.
    """
    norms = np.sqrt(np.rint(squares)) / unit * (1 + 2.0**-51)  # rounded twice so far, by 2^-53 each
    rounded = norms.astype(np.float32)
    return np.where(rounded < norms, np.nextafter(rounded, np.float32(np.inf)), rounded)
