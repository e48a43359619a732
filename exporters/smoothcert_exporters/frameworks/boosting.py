"""XGBoost and LightGBM classifiers to ONNX, by onnxmltools."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from smoothcert.errors import ModelError

from ..adapt.outputs import keep_output
from ..proof.parity import Function
from . import sklearn
from .converting import converting
from .naming import canonical
from .trees import exact_thresholds

_XGBOOST = {"binary:logistic": "binary", "multi:softprob": "table", "multi:softmax": "margins"}
_LIGHTGBM = {"binary": "binary", "multiclass": "table", "multiclassova": "table"}


def to_onnx(model: Any, example: Any) -> tuple[onnx.ModelProto, Function]:
    """The ONNX graph of a trained XGBoost or LightGBM classifier, and its own answers.

    `XGBClassifier`, `LGBMClassifier` and kin are exported as scikit-learn's classifiers are, a `Booster` by its
    objective; input float32 vectors (batch, features), output probabilities (batch, classes), for multi:softmax the
    margins. `example`: one vector or a batch. Raises `ModelError` for other objectives, and what cannot be converted.
    """
    if not type(model).__name__.endswith("Booster"):
        return sklearn.to_onnx(model, example)
    xgboost = type(model).__module__.startswith("xgboost")
    features = model.num_features() if xgboost else model.num_feature()
    sklearn.vectors(example, features)
    return _xgboost(model, features) if xgboost else _lightgbm(model, features)


class_names = sklearn.class_names  # none of a Booster, which has no `classes_`


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
