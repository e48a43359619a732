"""One verb for every framework: a trained model to an ONNX file ready to certify."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import replace
from typing import Any

import numpy as np

from smoothcert.errors import ArgumentError, require

from .finish import Export, finish
from .graph import inputs, static_shape
from .options import DEFAULTS, Options

_PACKAGES = {  # module of `frameworks`: top-level packages of the classes of models that it exports
    "pytorch": ("torch",),
    "keras": ("keras", "tensorflow"),
    "boosting": ("xgboost", "lightgbm"),
    "sklearn": ("sklearn",),
    "jax": ("jax", "jaxlib", "flax", "equinox"),
}
FRAMEWORKS = {package: name for name, packages in _PACKAGES.items() for package in packages}


def export(
    model: Any,
    path: str | os.PathLike[str],
    *,
    example: Any,
    options: Options = DEFAULTS,
    framework: str | None = None,
) -> Export:
    """Write a trained classifier to `path` as ONNX, and prove that it computes the same.

    `model`: a classifier of PyTorch (in evaluation mode), Keras, JAX, scikit-learn, XGBoost or LightGBM; `framework`
    (pytorch, keras, jax, sklearn, boosting) is found by its type, and needed for a plain function alone. `example`: one
    input or a batch as the model itself takes it; its shape counts, and without preprocessing it is compared too.

    The same model gives the same bytes. Raises `ModelError` where the model cannot be exported or the file computes
    something else, and then leaves no file; `ArgumentError` for arguments.
    """
    root, module = _framework(model, framework)
    proto, reference = module.to_onnx(model, example)
    rows = np.asarray(example.detach().cpu() if hasattr(example, "detach") else example)
    rank = len(static_shape(inputs(proto.graph)[0]) or ())
    if not options.class_names and hasattr(module, "class_names"):
        options = replace(options, class_names=module.class_names(model))
    return finish(
        proto,
        path,
        reference=reference,
        example=rows[None] if rows.ndim == rank - 1 else rows,
        source=f"{root} {getattr(sys.modules[root], '__version__', 'of unknown version')}",
        options=options,
    )


def _framework(model: Any, wanted: str | None) -> tuple[str, Any]:
    """(top-level package, module of `frameworks`) for a model, without importing any framework."""
    roots = [cls.__module__.partition(".")[0] for cls in type(model).__mro__]
    names = sorted(set(FRAMEWORKS.values()))
    require(wanted is None or wanted in names, f"framework: expected one of {', '.join(names)}, got {wanted!r}")
    found = next((root for root in roots if FRAMEWORKS.get(root) in ({wanted} if wanted else set(names))), None)
    if found is None and wanted is not None:
        found = next((root for root, name in FRAMEWORKS.items() if name == wanted and root in sys.modules), None)
    if found is None:
        raise ArgumentError(
            f"model: expected one of {', '.join(names)}, got {type(model).__qualname__}; "
            "for a function, name its framework"
        )
    return found, importlib.import_module(f".frameworks.{FRAMEWORKS[found]}", __package__)
