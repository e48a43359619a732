"""Certify ONNX classifiers by randomized smoothing.

    from smoothcert import Noise, OrtClassifier, certify
    certificate = certify(OrtClassifier("model.onnx"), Noise(0.5), image)

Names are imported when first used, so that the command line answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bounds.confidence import lower_confidence_bound
    from .bounds.laws import LogNormal, Normal
    from .calibration_file import read_calibration
    from .certificate import ABSTAIN, Certificate
    from .certification import certify, certify_enumerated, certify_radius, certify_targets, predict
    from .errors import SmoothcertError
    from .evidence import Evidence
    from .files.demo_files import demo_file
    from .inputs.spatial import Spatial
    from .model.classifier import OrtClassifier
    from .model.preprocess import Preprocess
    from .smoothing import (
        Attack,
        Blur,
        Brightness,
        Contrast,
        Gamma,
        Hue,
        Noise,
        Part,
        Range,
        Rotation,
        Saturation,
        Scaling,
        Shear,
        Transform,
        Translation,
        compose,
    )
    from .smoothing.plugins import load_plugin

__version__ = "0.1.0"

_HOME = {
    "ABSTAIN": "certificate",
    "Attack": "smoothing",
    "Blur": "smoothing",
    "Brightness": "smoothing",
    "Certificate": "certificate",
    "Contrast": "smoothing",
    "Evidence": "evidence",
    "Gamma": "smoothing",
    "Hue": "smoothing",
    "LogNormal": "bounds.laws",
    "Noise": "smoothing",
    "Normal": "bounds.laws",
    "OrtClassifier": "model.classifier",
    "Part": "smoothing",
    "Preprocess": "model.preprocess",
    "Range": "smoothing",
    "Rotation": "smoothing",
    "Saturation": "smoothing",
    "Scaling": "smoothing",
    "Shear": "smoothing",
    "SmoothcertError": "errors",
    "Spatial": "inputs.spatial",
    "Transform": "smoothing",
    "Translation": "smoothing",
    "certify": "certification",
    "certify_enumerated": "certification",
    "certify_radius": "certification",
    "certify_targets": "certification",
    "compose": "smoothing",
    "demo_file": "files.demo_files",
    "load_plugin": "smoothing.plugins",
    "lower_confidence_bound": "bounds.confidence",
    "predict": "certification",
    "read_calibration": "calibration_file",
}

__all__ = [
    "ABSTAIN",
    "Attack",
    "Blur",
    "Brightness",
    "Certificate",
    "Contrast",
    "Evidence",
    "Gamma",
    "Hue",
    "LogNormal",
    "Noise",
    "Normal",
    "OrtClassifier",
    "Part",
    "Preprocess",
    "Range",
    "Rotation",
    "Saturation",
    "Scaling",
    "Shear",
    "SmoothcertError",
    "Spatial",
    "Transform",
    "Translation",
    "certify",
    "certify_enumerated",
    "certify_radius",
    "certify_targets",
    "compose",
    "demo_file",
    "load_plugin",
    "lower_confidence_bound",
    "predict",
    "read_calibration",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value
