"""XGBoost and LightGBM classifiers to ONNX, by onnxmltools."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from smoothcert.errors import ModelError, require

from ..adapt.outputs import keep_output
from ..graph import attribute, set_attribute
from ..proof.parity import Function
from .converting import converting
from .naming import canonical

_XGBOOST = {"binary:logistic": "binary", "multi:softprob": "table", "multi:softmax": "margins"}
_LIGHTGBM = {"binary": "binary", "multiclass": "table", "multiclassova": "table"}


def to_onnx(model: Any, example: Any) -> tuple[onnx.ModelProto, Function]:
    """The ONNX graph of a trained XGBoost or LightGBM classifier, and its own answers.

    `XGBClassifier`, `LGBMClassifier` and kin are exported as scikit-learn's classifiers are, a `Booster` by its
    objective; input float32 vectors (batch, features), output probabilities (batch, classes), for multi:softmax the
    margins. `example`: one vector or a batch. Raises `ModelError` for other objectives, and what cannot be converted.
    """
    if not type(model).__name__.endswith("Booster"):
        from . import sklearn

        return sklearn.to_onnx(model, example)
    rows = np.asarray(example, np.float32)
    xgboost = type(model).__module__.startswith("xgboost")
    features = model.num_features() if xgboost else model.num_feature()
    require(
        rows.ndim in (1, 2) and rows.shape[-1] == features,
        f"example: expected a vector of {features} features, or a batch of them, got {rows.shape}",
    )
    return _xgboost(model, features) if xgboost else _lightgbm(model, features)


def class_names(model: Any) -> tuple[str, ...]:
    """The model's `classes_` as text; empty for a Booster, which has none, and where they are the numbers from 0."""
    from . import sklearn

    return sklearn.class_names(model)


def register() -> None:
    """Let skl2onnx convert the classifiers of XGBoost and LightGBM that are loaded, by themselves or in pipelines."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes as shapes

    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    if "xgboost" in sys.modules:
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
        from xgboost import XGBClassifier, XGBRFClassifier

        for kind in (XGBClassifier, XGBRFClassifier):
            update_registered_converter(kind, f"Smoothcert{kind.__name__}", shapes, convert_xgboost, options=options)
    if "lightgbm" in sys.modules:
        from lightgbm import LGBMClassifier
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

        update_registered_converter(
            LGBMClassifier, "SmoothcertLGBMClassifier", shapes, convert_lightgbm, options=options
        )


def exact_thresholds(proto: onnx.ModelProto, model: Any) -> None:
    """Give the trees of a LightGBM model, or of a pipeline that ends in one, the thresholds that it compares with.

    LightGBM asks x <= t in double precision, the converter rounds t to the nearest float32. For float32 inputs the
    same question is x <= the largest float32 below t; where the nearest lies above, an x equal to it went astray.
    """
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    booster = getattr(last, "booster_", last)
    if not type(booster).__module__.startswith("lightgbm"):
        return
    doubles: dict[tuple[int, np.float32], set[bool]] = {}
    for node in _splits(booster.dump_model()):
        nearest = np.float32(node["threshold"])
        doubles.setdefault((node["split_feature"], nearest), set()).add(float(nearest) > node["threshold"])
    for tree in (n for n in proto.graph.node if n.op_type == "TreeEnsembleClassifier"):
        values = np.asarray(attribute(tree, "nodes_values"), np.float32)
        features, modes = attribute(tree, "nodes_featureids"), attribute(tree, "nodes_modes")
        for i, (feature, mode) in enumerate(zip(features, modes, strict=True)):
            if mode == b"BRANCH_LEQ" and doubles.get((feature, values[i])) == {True}:
                values[i] = np.nextafter(values[i], np.float32(-np.inf))
        set_attribute(tree, "nodes_values", values.tolist())


def _splits(dump: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The nodes of all trees that compare with a number."""
    waiting = [tree["tree_structure"] for tree in dump["tree_info"]]
    while waiting:
        node = waiting.pop()
        if "split_feature" in node:
            waiting += [node["left_child"], node["right_child"]]
            if node["decision_type"] == "<=":
                yield node


def _kind(objective: str, known: dict[str, str]) -> str:
    if objective not in known:
        raise ModelError(f"expected a classifier ({', '.join(known)}), got a Booster of objective {objective}")
    return known[objective]


def _both(p: NDArray[Any]) -> NDArray[Any]:
    """Probabilities of both classes from those of the second."""
    return np.stack([1 - p, p], axis=1)


def _xgboost(model: Any, features: int) -> tuple[onnx.ModelProto, Function]:
    from xgboost import DMatrix

    kind = _kind(json.loads(model.save_config())["learner"]["objective"]["name"], _XGBOOST)
    with converting("onnxmltools", "the XGBoost Booster"):
        from onnxmltools import convert_xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType

        proto = convert_xgboost(model, "classifier", [("features", FloatTensorType([None, features]))])

    def reference(batch: NDArray[np.float32]) -> NDArray[Any]:
        matrix = DMatrix(batch, feature_names=model.feature_names, feature_types=model.feature_types)
        answer = np.asarray(model.predict(matrix, output_margin=kind == "margins"))
        return _both(answer) if kind == "binary" else answer

    return _scores_only(proto), reference


def _lightgbm(model: Any, features: int) -> tuple[onnx.ModelProto, Function]:
    kind = _kind(model.dump_model(num_iteration=1)["objective"].split()[0], _LIGHTGBM)
    with converting("onnxmltools", "the LightGBM Booster"):
        from onnxmltools import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType

        types = [("features", FloatTensorType([None, features]))]
        proto = convert_lightgbm(model, "classifier", types, zipmap=False)
        exact_thresholds(proto, model)

    def reference(batch: NDArray[np.float32]) -> NDArray[Any]:
        answer = np.asarray(model.predict(batch))
        return _both(answer) if kind == "binary" else answer

    return _scores_only(proto), reference


def _scores_only(proto: onnx.ModelProto) -> onnx.ModelProto:
    keep_output(proto, proto.graph.output[-1].name)
    canonical(proto)
    if all(entry.domain for entry in proto.opset_import):  # a tree alone needs no standard operator; what is added does
        proto.opset_import.add(domain="", version=18)
    return proto
