"""One verb for every framework: a trained model to an ONNX file ready to certify."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import ArgumentError, require
from smoothcert.model.preprocess import Preprocess

from .finish import Export, finish
from .proof.parity import TOLERANCE

FRAMEWORKS = {  # top-level package of a model's class: the module of `frameworks` that exports it
    "torch": "pytorch",
    "keras": "keras",
    "tensorflow": "keras",
    "xgboost": "boosting",
    "lightgbm": "boosting",
    "sklearn": "sklearn",
    "jax": "jax",
    "jaxlib": "jax",
    "flax": "jax",
    "equinox": "jax",
}


def export(
    model: Any,
    path: str | os.PathLike[str],
    *,
    example: Any,
    preprocess: Preprocess | None = None,
    input_layout: str = "",
    input_range: tuple[float, float] | None = None,
    class_names: Sequence[str] = (),
    training_noise: float | None = None,
    examples: NDArray[Any] | None = None,
    precision: str = "float32",
    tolerance: float = TOLERANCE,
    provider: str = "cpu",
    framework: str | None = None,
) -> Export:
    """Write a trained classifier to `path` as ONNX, and prove that it computes the same.

    `model`: a classifier of PyTorch (in evaluation mode), Keras, JAX, scikit-learn, XGBoost or LightGBM; `framework`
    (pytorch, keras, jax, sklearn, boosting) is found by its type, and needed for a plain function alone. `example`: one
    input or a batch as the model itself takes it; its shape counts, and without `preprocess` it is compared too.

    `preprocess`: what stands ahead of the model; scale, mean and std go into the graph, resizing and cropping into the
    metadata. `input_layout`: order of axes (nchw or nhwc) that the file takes; by default the model's. `input_range`:
    least and largest value of the file's inputs. `class_names`: one for each class; by default what scikit-learn and
    its like know. `training_noise`: its standard deviation, in [0,1] intensities. `examples`: real inputs, as the file
    takes them, that parity is measured on beside random ones. `precision`: float32, float16 or bfloat16. `tolerance`:
    largest difference of a score, as a share of the largest score. `provider` runs the comparison.

    The same model gives the same bytes. Raises `ModelError` where the model cannot be exported or the file computes
    something else, and then leaves no file; `ValueError` for arguments.
    """
    root, module = _framework(model, framework)
    proto, reference = module.to_onnx(model, example)
    rows = np.asarray(example.detach().cpu() if hasattr(example, "detach") else example)
    rank = len(graph_input_shape(proto))
    return finish(
        proto,
        path,
        reference=reference,
        example=rows[None] if rows.ndim == rank - 1 else rows,
        source=f"{root} {getattr(sys.modules[root], '__version__', 'of unknown version')}",
        preprocess=preprocess,
        input_layout=input_layout,
        input_range=input_range,
        class_names=class_names or (module.class_names(model) if hasattr(module, "class_names") else ()),
        training_noise=training_noise,
        examples=examples,
        precision=precision,
        tolerance=tolerance,
        provider=provider,
    )


def graph_input_shape(proto: Any) -> tuple[int | None, ...]:
    """Sizes of the axes of a graph's one input, None for free ones."""
    from .graph import inputs, static_shape

    return static_shape(inputs(proto.graph)[0]) or ()


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
