"""Certify ONNX classifiers by randomized smoothing.

    from smoothcert import Noise, OrtClassifier, certify
    certificate = certify(OrtClassifier("model.onnx"), Noise(0.5), image)

The public names stand in `api`, which is imported when the first is used: the command line answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import *  # noqa: F403

__version__ = "0.1.0"


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})


def __getattr__(name: str) -> Any:
    api = vars(importlib.import_module(".api", __name__))
    public = {key: value for key, value in api.items() if not key.startswith("_")}
    public["__all__"] = sorted(public)
    if name not in public:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals().update(public)
    return public[name]
