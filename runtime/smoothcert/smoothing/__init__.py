"""The defender's random transformations: parts beside their kin, `compose` finds the theorem for a list of parts."""

from ..bounds.error_rule import ERROR_RULES
from .attack import Attack, Range
from .base import Guarantee, Smoothing
from .blur import Blur
from .calibrated import Calibrated
from .calibration import STRATEGIES, Calibration
from .color import Brightness, Contrast, Gamma
from .compose import PARTS, compose, described, parse_part, smoothing_of
from .composition import GUARANTEES, Composition
from .enumeration import Enumeration
from .geometry import Rotation, Scaling, Translation
from .grid import Grid
from .noise import Noise
from .part import Part

__all__ = [
    "ERROR_RULES",
    "GUARANTEES",
    "PARTS",
    "STRATEGIES",
    "Attack",
    "Blur",
    "Brightness",
    "Calibrated",
    "Calibration",
    "Composition",
    "Contrast",
    "Enumeration",
    "Gamma",
    "Grid",
    "Guarantee",
    "Noise",
    "Part",
    "Range",
    "Rotation",
    "Scaling",
    "Smoothing",
    "Translation",
    "compose",
    "described",
    "parse_part",
    "smoothing_of",
]
