"""The defender's random transformations: parts beside their kin, `compose` finds the theorem for a list of parts."""

from .attack import Attack, Range
from .blur import Blur
from .color import Brightness, Contrast, Gamma
from .compose import PARTS, compose, parse_part, smoothing_of
from .composition import GUARANTEES, Composition, Guarantee, Part, Smoothing
from .enumeration import Enumeration
from .geometry import Translation
from .noise import Noise

__all__ = [
    "GUARANTEES",
    "PARTS",
    "Attack",
    "Blur",
    "Brightness",
    "Composition",
    "Contrast",
    "Enumeration",
    "Gamma",
    "Guarantee",
    "Noise",
    "Part",
    "Range",
    "Smoothing",
    "Translation",
    "compose",
    "parse_part",
    "smoothing_of",
]
