"""The algorithms, each on one screen: `draw` samples the evidence for one input, `decide` is a pure function of it.

Source: theory.md section 8; Cohen, Rosenfeld, Kolter 2019, section 3.2 and appendix C.
"""

from collections.abc import Callable

from .base import Algorithm as Algorithm
from .base import why_only_abstain as why_only_abstain
from .enumerate import Enumerate as Enumerate
from .fixed import Fixed as Fixed
from .predict import Predict as Predict
from .radius import PILOT as PILOT
from .radius import Radius as Radius
from .slices import Slices as Slices
from .target import Target as Target

ALGORITHMS: dict[str, Callable[..., Algorithm]] = {
    kind.mode: kind for kind in (Fixed, Radius, Target, Predict, Slices, Enumerate)
}  # every algorithm by the mode that recipes call it
