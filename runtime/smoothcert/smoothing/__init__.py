"""The defender's random transformations: parts beside their kin, `compose` finds the theorem for a list of parts."""

from .attack import Attack, Range
from .base import Guarantee, Smoothing
from .blur import Blur
from .calibrated import ERROR_RULES, Calibrated
from .calibration import STRATEGIES, Calibration
from .color import Brightness, Contrast, Gamma
from .compose import PARTS, compose, parse_part, smoothing_of
from .composition import GUARANTEES, Composition
from .enumeration import Enumeration
from .geometry import Rotation, Scaling, Translation
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
    "Guarantee",
    "Noise",
    "Part",
    "Range",
    "Rotation",
    "Scaling",
    "Smoothing",
    "Translation",
    "compose",
    "parse_part",
    "smoothing_of",
]
