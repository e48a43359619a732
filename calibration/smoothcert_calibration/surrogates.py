"""What the GSmooth paper takes as known of a surrogate, measured over data: its slope, and its error as an imitation.

Source: Hao et al. 2022, corollary 1 and theorem 3. The Jacobian has a column for each parameter of the transformation,
one or two, so that it is written out, by central differences, and no power iteration is needed for its norm.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import CalibrationError, require
from smoothcert.files.writing import write_atomically
from smoothcert.inputs.input import Input
from smoothcert.published_file import encode
from smoothcert.smoothing.coded import image_of, planar
from smoothcert.smoothing.transform import attacked
from smoothcert.surrogate_file import OpenBundle

POINTS = 41  # of the range that was trained on
_STEP = 1 / 400  # of the range: for central differences in float32


def measure(
    bundle: OpenBundle,
    inputs: Iterable[Input],
    out: str | os.PathLike[str],
    *,
    points: int = POINTS,
    progress: Callable[[int], Any] = lambda done: None,
) -> dict[str, tuple[float, float]]:
    """Write the constants of the paper's bound, measured at points of the trained range for each input.

    Returns by the input's SHA-256 its largest slope |dF2(y)/dxi - A1| and error |y - attacked x| (l2, [0,1]
    intensities), y the imitated image. `ArgumentError` for a transformation of two parameters, `CalibrationError` for
    an encoder whose Lipschitz constant is not known.
    """
    transform, r = bundle.bundle.transform, bundle.bundle.trained
    one = not transform.is_planar() and transform.identity is not None
    require(one, f"surrogate: the paper's bound is offered for one parameter alone, got {transform.name}")
    require(points > 1, f"points: expected at least 2, got {points}")
    lipschitz = bundle.lipschitz
    if lipschitz is None:
        raise CalibrationError("surrogate: expected an encoder whose Lipschitz constant is known; use guarantee exact")
    values = np.linspace(r.low, r.high, points)
    rows = {}
    for done, x in enumerate(inputs, start=1):
        rows[x.sha256] = (float(slopes(bundle, x, values).max()), float(errors(bundle, x, values).max()))
        progress(done)
    require(bool(rows), "surrogate: expected at least one input to measure, got none")
    write_atomically(Path(out), encode(bundle.bundle.sha256, r, points, lipschitz, rows))
    return rows


def slopes(bundle: OpenBundle, x: Input, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """|dF2(y_xi)/dxi - A1| at each value of the attack."""
    xi = np.array([bundle.xi(value) for value in values.tolist()])
    step = _STEP * max(np.ptp(xi), 1e-6)
    ahead, behind = (bundle.encoded(bundle.imitated(image_of(x), xi + side * step)) for side in (1, -1))
    return np.asarray(np.linalg.norm((ahead - behind) / (2 * step) - bundle.arrays["A1"][:, 0], axis=1))


def errors(bundle: OpenBundle, x: Input, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the imitated images are from the real ones, in l2 and [0,1] intensities."""
    raw, transform = x.raw or x.image(), bundle.bundle.transform
    xi = np.array([bundle.xi(value) for value in values.tolist()])
    real = [planar(raw.processed(attacked(raw.image, [(transform, value)]))) for value in values.tolist()]
    apart = bundle.imitated(image_of(x), xi) - np.stack(real) / 255
    return np.asarray(np.linalg.norm(apart.reshape(len(xi), -1), axis=1))
