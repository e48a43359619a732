"""ONNX classifiers that read the factor and the offset of an affine change off an image, and score them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from onnx import TensorProto, helper

from .models import model, value


def affine_scores(
    shape: tuple[int, ...], reading: ArrayLike, offset: ArrayLike, weights: Sequence[float], cuts: Sequence[float]
) -> bytes:
    """Class k where k of the ascending `cuts` lie below a score of the factor c and the offset w of an image.

    (c, w) = x.flatten() @ reading + offset; the score has `weights` on log c, w c, c^2, w / c and (w / c)^2. In
    float64: what float32 loses in reading c would be felt.
    """
    slopes = np.arange(len(cuts) + 1)
    constants = {
        "reading": np.asarray(reading, float),
        "offset": np.asarray(offset, float),
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "weights": np.outer(weights, slopes),
        "steps": -np.concatenate([[0.0], np.cumsum(cuts)]),
    }
    nodes = [
        helper.make_node("Cast", ["x"], ["double"], to=TensorProto.DOUBLE),
        helper.make_node("Flatten", ["double"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "reading"], ["linear"]),
        helper.make_node("Add", ["linear", "offset"], ["read"]),
        helper.make_node("Gather", ["read", "zero"], ["c"], axis=1),
        helper.make_node("Gather", ["read", "one"], ["w"], axis=1),
        helper.make_node("Log", ["c"], ["u"]),
        helper.make_node("Mul", ["w", "c"], ["wc"]),
        helper.make_node("Mul", ["c", "c"], ["cc"]),
        helper.make_node("Div", ["w", "c"], ["v"]),
        helper.make_node("Mul", ["v", "v"], ["vv"]),
        helper.make_node("Concat", ["u", "wc", "cc", "v", "vv"], ["features"], axis=1),
        helper.make_node("MatMul", ["features", "weights"], ["slopes"]),
        helper.make_node("Add", ["slopes", "steps"], ["scores"]),
    ]
    return model(
        nodes,
        [value("x", TensorProto.FLOAT, ("N", *shape))],
        [value("scores", TensorProto.DOUBLE, ("N", len(slopes)))],
        constants,
    )
