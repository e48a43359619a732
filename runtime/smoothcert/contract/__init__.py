"""The contract of transformations and parts, tried on images: what certificates take for granted of them."""

from .check import check
from .finding import Finding

__all__ = ["Finding", "check"]
