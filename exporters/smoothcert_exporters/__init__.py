"""Framework models, and any ONNX file, to ONNX ready to certify."""

from .metadata import annotate

__all__ = ["annotate"]
