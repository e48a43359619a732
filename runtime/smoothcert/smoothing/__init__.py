"""The defender's random transformations: one part per file, `compose` finds the theorem for a list of parts."""

from .compose import PARTS, Smoothing, compose, parse_part
from .noise import Noise

__all__ = ["PARTS", "Noise", "Smoothing", "compose", "parse_part"]
