"""The algorithms, each on one screen: draw the evidence for one input, then decide from the evidence alone.

An algorithm is a value. `draw` is the expensive half and asks a `Sampler` for votes; `decide` is a pure function, so
that a ledger can be decided again by anyone. theory.md section 8; Cohen, Rosenfeld, Kolter 2019, section 3.2 and
appendix C.
"""

from collections.abc import Callable

from .base import Algorithm, why_only_abstain
from .enumerate import Enumerate
from .fixed import Fixed
from .predict import Predict
from .radius import PILOT, Radius
from .slices import Slices
from .target import Target

ALGORITHMS: dict[str, Callable[..., Algorithm]] = {
    "fixed": Fixed,
    "radius": Radius,
    "target": Target,
    "predict": Predict,
    "slices": Slices,
    "enumerate": Enumerate,
}  # every algorithm by the mode that recipes call it

__all__ = [
    "ALGORITHMS",
    "PILOT",
    "Algorithm",
    "Enumerate",
    "Fixed",
    "Predict",
    "Radius",
    "Slices",
    "Target",
    "why_only_abstain",
]
