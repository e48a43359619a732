"""scikit-learn classifiers and pipelines to ONNX, by skl2onnx."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from smoothcert.errors import ModelError, require
from smoothcert.model.scores import difference

from ..adapt.outputs import keep_output, unzip
from ..graph import ML_DOMAIN
from ..proof.parity import Function
from ..proof.trial import runner
from .converting import converting
from .naming import canonical
from .trees import exact_thresholds, register

_PROBES = 256  # inputs that scores are tried on
_CLOSE = 1e-3  # of the largest score: beyond that the converter writes scores of another kind
_SCORES = ("predict_proba", "decision_function")


def to_onnx(model: Any, example: Any) -> tuple[onnx.ModelProto, Function]:
    """The ONNX graph of a fitted classifier or a pipeline that ends in one, and its own answers.

    Input: float32 vectors (batch, features). Output: probabilities, else decision scores, a column for each of
    `classes_`, where ONNX gives those of scikit-learn and their largest is what `predict` says, both tried on the
    example and noisy copies; else the labels of `predict`, as indices into `classes_`. `example`: one vector or a
    batch. Raises `ModelError` for regressors, several targets, and what skl2onnx cannot convert.
    """
    classes = _classes(model)
    rows = vectors(example, getattr(model, "n_features_in_", None))
    name = type(model).__name__
    with converting("skl2onnx", name):
        proto = _converted(model, rows.shape[1])
    unzip(proto)
    if len(proto.graph.output) != 2:
        raise ModelError(
            f"expected skl2onnx to give labels and scores of {name}, got {len(proto.graph.output)} outputs"
        )
    label, scores = (value.name for value in proto.graph.output)
    method = _agreeing(model, proto, scores, classes, _noisy(rows))
    if method:
        keep_output(proto, scores)
        canonical(proto)
        return proto, lambda batch: np.asarray(getattr(model, method)(batch))
    keep_output(proto, label)
    _as_indices(proto, classes)
    canonical(proto)
    # scikit-learn keeps `classes_` sorted
    return proto, lambda batch: np.searchsorted(classes, model.predict(batch)).astype(np.int64)


def class_names(model: Any) -> tuple[str, ...]:
    """The model's `classes_` as text, in the order of its scores; empty where they are the numbers from 0."""
    classes = np.asarray(getattr(model, "classes_", ()))
    return () if _from_zero(classes) else tuple(map(str, classes.tolist()))


def _from_zero(classes: NDArray[Any]) -> bool:
    return classes.dtype.kind in "iu" and np.array_equal(classes, np.arange(len(classes)))


def _classes(model: Any) -> NDArray[Any]:
    from sklearn.base import is_classifier
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    name = type(model).__name__
    if not is_classifier(model):
        raise ModelError(f"expected a classifier, got {name}, which is none; pass a classifier, or a pipeline with one")
    try:
        check_is_fitted(model)
    except NotFittedError:
        raise ModelError(f"expected a fitted classifier, got {name} before fit; fit it first") from None
    classes = model.classes_
    if isinstance(classes, list):
        raise ModelError(f"expected a classifier of one target, got {name} of {len(classes)}; export one by itself")
    return np.asarray(classes)


def vectors(example: Any, features: int | None) -> NDArray[np.float32]:
    """The example, one vector of so many features (None: any number) or a batch of them, as a batch."""
    rows = np.atleast_2d(np.asarray(example, np.float32))
    features = rows.shape[-1] if features is None else features
    require(
        rows.ndim == 2 and len(rows) > 0 and rows.shape[1] == features,
        f"example: expected a vector of {features} features, or a batch of them, got {rows.shape}; flatten images",
    )
    return rows


def _converted(model: Any, features: int) -> onnx.ModelProto:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.preprocessing import StandardScaler

    register()
    types = [("features", FloatTensorType([None, features]))]
    # Division as scikit-learn computes it, not times the inverse: a last bit can cross a tree's threshold behind it.
    options = {StandardScaler: {"div": "div"}}
    opsets = {"": 18, "ai.onnx.ml": 3}  # the newest of both that onnxmltools knows as well
    proto: onnx.ModelProto = convert_sklearn(model, "classifier", types, options=options, target_opset=opsets)
    exact_thresholds(proto, model)
    return proto


def _noisy(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows and noisy copies of them, the same every time."""
    rng = np.random.default_rng(0)
    many = np.resize(rows, (max(_PROBES, 2 * len(rows)), rows.shape[1]))
    noisy, spread = many[len(rows) :], max(float(rows.std()), 0.1)
    noisy += spread * rng.uniform(0, 1, (len(noisy), 1)) * rng.standard_normal(noisy.shape)
    return many.astype(np.float32)


def _agreeing(
    model: Any, proto: onnx.ModelProto, output: str, classes: NDArray[Any], rows: NDArray[np.float32]
) -> str | None:
    """The method whose scores ONNX gives, and whose largest score is the model's answer; None where there is none."""
    method = next((name for name in _SCORES if hasattr(model, name)), None)
    if method is None:
        return None
    table = np.asarray(getattr(model, method)(rows))
    if table.shape != (len(rows), len(classes)) or (classes[table.argmax(axis=1)] != model.predict(rows)).any():
        return None
    return method if difference(runner(proto, "", output).by(rows, len(rows)), table) < _CLOSE else None


def _as_indices(proto: onnx.ModelProto, classes: NDArray[Any]) -> None:
    """Map the one output, labels, to indices into the classes."""
    (value,) = proto.graph.output
    text = value.type.tensor_type.elem_type == TensorProto.STRING
    if not text and _from_zero(classes):
        return
    keys = {"keys_strings": [str(c) for c in classes]} if text else {"keys_int64s": [int(c) for c in classes]}
    node = helper.make_node(
        "LabelEncoder", [value.name], ["index"], domain=ML_DOMAIN, values_int64s=range(len(classes)), **keys
    )
    proto.graph.node.append(node)
    for entry in proto.opset_import:
        if entry.domain == ML_DOMAIN:
            entry.version = max(entry.version, 2)  # from there on LabelEncoder maps between any two types
    value.name = "index"
    value.type.tensor_type.elem_type = TensorProto.INT64
