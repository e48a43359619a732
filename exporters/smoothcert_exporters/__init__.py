"""Framework models, and any ONNX file, to ONNX ready to certify."""

from .export import export
from .finish import Export
from .metadata import annotate
from .options import Options, Quantisation
from .proof.parity import Parity

__all__ = ["Export", "Options", "Parity", "Quantisation", "annotate", "export"]
