"""The certificate of the GSmooth paper, from what it takes as known of a surrogate: offered to be compared with.

Source: Hao et al. 2022, theorems 2 and 3 in the form of corollary 1. `exact` never certifies less: it needs no path
through the surrogate, and nothing of how well that imitates the transformation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import DataError, require
from .coverage import Distance
from .ranges import Range
from .transform import Transform

CLAIM = (
    "as published: for a surrogate whose slope and error are nowhere larger than at the points measured; heuristic, "
    "not a proof"
)
_PIECES = 64  # of a range, each certified or not


@dataclass(frozen=True)
class Published:
    """What was measured of a surrogate, see `smoothcert calibrate surrogate`.

    `surrogate`: SHA-256 of its manifest. `range`: the attacks measured. `lipschitz`: of the encoder. `error`: the
    largest l2 distance, in [0,1] intensities, of an imitated image from the real one. `slopes`: by the input's SHA-256
    the largest |dF2(y)/dxi - A1|, y the imitated image; they stand in the calibration file alone.
    """

    sha256: str
    surrogate: str
    range: Range
    lipschitz: float
    error: float
    slopes: Mapping[str, float] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        numbers = (self.lipschitz, self.error, *self.slopes.values())
        require(all(0 <= value < math.inf for value in numbers), "calibration: expected numbers >= 0, got others")

    @property
    def recipe(self) -> dict[str, Any]:
        """Plain values, without the slopes."""
        return {
            "sha256": self.sha256,
            "claim": CLAIM,
            "range": {"low": self.range.low, "high": self.range.high},
            "lipschitz": self.lipschitz,
            "error": self.error,
        }

    @staticmethod
    def of(recipe: Mapping[str, Any], surrogate: str) -> Published:
        """What `recipe` wrote; `KeyError`, `TypeError` or `ValueError` for anything else."""
        own = {name: recipe[name] for name in ("sha256", "lipschitz", "error")}
        return Published(surrogate=surrogate, range=Range(**recipe["range"]), **own)

    def distances(
        self, sha256: str, transform: Transform, r: Range, sigma1: float, sigma2: float
    ) -> tuple[Distance, ...]:
        """|xi| M* + error Lip(F2) / sigma2 over pieces of the range, M* = sqrt(1/sigma1^2 + (slope / sigma2)^2).

        That this stays below the margin of the votes is the paper's R - error Lip(F2) / (sigma2 M*) > |xi|. `DataError`
        for an input that was not measured.
        """
        if sha256 not in self.slopes:
            raise DataError("calibration: expected an input that was measured, got another; calibrate these data")
        growth = math.hypot(1 / sigma1, self.slopes[sha256] / sigma2)
        at, identity = transform.coordinate, transform.identity
        edges = np.linspace(r.low, r.high, _PIECES + 1).tolist()
        if r.low < identity < r.high:
            edges = sorted({*edges, identity})
        far = [abs(at(edge) - at(identity)) * growth + self.error * self.lipschitz / sigma2 for edge in edges]
        return tuple(
            Distance(low, high, max(ends)) for (low, high), ends in zip(pairwise(edges), pairwise(far), strict=True)
        )
