"""The defender's random transformations: parts beside their kin, and the smoothings that `compose` makes of them."""

from ..bounds.error_rule import ERROR_RULES
from .attack import Attack
from .blur import Blur
from .calibrated import Calibrated
from .calibration import STRATEGIES, Calibration
from .chroma import Hue, Saturation
from .color import Brightness, Contrast, Gamma
from .compose import compose, parse_part, smoothing_of
from .composition import GUARANTEES, Composition
from .geometry import Rotation, Scaling, Translation
from .grid import Grid
from .noise import Noise
from .part import Part
from .ranges import Range
from .shear import Shear
from .smoothing import AnyAttack, Guarantee, Smoothing
from .sound import FrequencyShift, Pitch, TimeShift, TimeStretch, Volume
from .table import PARTS, described, register
from .transform import TRANSFORMS, Transform
from .unsmoothed import UNSMOOTHED

__all__ = [
    "ERROR_RULES",
    "GUARANTEES",
    "PARTS",
    "STRATEGIES",
    "TRANSFORMS",
    "UNSMOOTHED",
    "AnyAttack",
    "Attack",
    "Blur",
    "Brightness",
    "Calibrated",
    "Calibration",
    "Composition",
    "Contrast",
    "FrequencyShift",
    "Gamma",
    "Grid",
    "Guarantee",
    "Hue",
    "Noise",
    "Part",
    "Pitch",
    "Range",
    "Rotation",
    "Saturation",
    "Scaling",
    "Shear",
    "Smoothing",
    "TimeShift",
    "TimeStretch",
    "Transform",
    "Translation",
    "Volume",
    "compose",
    "described",
    "parse_part",
    "register",
    "smoothing_of",
]
