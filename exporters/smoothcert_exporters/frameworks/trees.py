"""Boosted trees inside skl2onnx: how their classifiers are converted, and thresholds that float32 keeps exact."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx

from ..graph import attribute, set_attribute


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
    same question is x <= the largest float32 below t: where the converter rounds up, an x equal to the result takes the
    wrong branch.
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
