"""Tiny ONNX classifiers with known answers, built with `onnx.helper`; every builder returns a model's bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

Batch = str | int
OUTPUTS = {"logits": TensorProto.FLOAT, "probabilities": TensorProto.FLOAT, "labels": TensorProto.INT64}


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: dict[str, Any] | None = None,
    *,
    opset: int = 18,
    ir_version: int = 8,
) -> bytes:
    """A serialized model; `constants` become initializers (and inputs too, as IR versions below 4 want it)."""
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()]
    listed = (
        [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in initializers] if ir_version < 4 else []
    )
    graph = helper.make_graph(nodes, "test", [*inputs, *listed], outputs, initializers)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version).SerializeToString()


def value(name: str, elem_type: int, shape: Sequence[Batch | None]) -> onnx.ValueInfoProto:
    """A graph input or output."""
    return helper.make_tensor_value_info(name, elem_type, shape)


def linear(
    shape: tuple[int, ...],
    weights: ArrayLike,
    bias: ArrayLike,
    *,
    batch: Batch = "N",
    outputs: Sequence[str] = ("logits",),
    elem_type: int = TensorProto.FLOAT,
    opset: int = 18,
    ir_version: int = 8,
) -> bytes:
    """argmax over x.flatten() @ weights + bias: weights (size, classes), inputs (batch, *shape) of `elem_type`.

    `outputs` are any of OUTPUTS. The arithmetic is float32 (float64 and float16 for inputs of those types).
    """
    inner = elem_type if elem_type in (TensorProto.FLOAT16, TensorProto.DOUBLE) else TensorProto.FLOAT
    dtype = helper.tensor_dtype_to_np_dtype(inner)
    w, b = np.asarray(weights, dtype), np.asarray(bias, dtype)
    nodes = [
        helper.make_node("Cast", ["x"], ["cast"], to=inner),
        helper.make_node("Flatten", ["cast"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w", "b"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["labels"], axis=1, keepdims=0),
    ]
    shapes = {name: (batch,) if name == "labels" else (batch, w.shape[1]) for name in outputs}
    kinds = OUTPUTS | {"logits": inner, "probabilities": inner}
    keep = nodes[: 5 if "labels" in outputs else 4 if "probabilities" in outputs else 3]
    if "labels" in outputs and "probabilities" not in outputs:
        keep.remove(nodes[3])
    return model(
        keep,
        [value("x", elem_type, (batch, *shape))],
        [value(name, kinds[name], shapes[name]) for name in outputs],
        {"w": w, "b": b},
        opset=opset,
        ir_version=ir_version,
    )


def half_space(shape: tuple[int, ...], w: ArrayLike, b: float, **options: Any) -> bytes:
    """Class 1 where w.x + b > 0, else 0. The smoothed classifier's l2 radius at x is |w.x + b| / |w|, for any sigma."""
    w = np.asarray(w, float).reshape(-1)
    return linear(shape, np.stack([np.zeros_like(w), w], axis=1), [0.0, b], **options)


def slabs(shape: tuple[int, ...], direction: ArrayLike, cuts: Sequence[float], **options: Any) -> bytes:
    """Class k where k of the ascending `cuts` lie below direction.x: the top line of k t - (cuts_1 + ... + cuts_k)."""
    direction = np.asarray(direction, float).reshape(-1)
    slopes = np.arange(len(cuts) + 1)
    return linear(shape, np.outer(direction, slopes), -np.concatenate([[0.0], np.cumsum(cuts)]), **options)


def convnet(
    shape: tuple[int, int, int] = (3, 12, 12),
    classes: int = 5,
    *,
    nhwc: bool = False,
    seed: int = 0,
    batch: Batch = "N",
) -> bytes:
    """Two convolutions and a linear layer with random weights; `shape` is that of the input, as `nhwc` says."""
    rng = np.random.default_rng(seed)
    height, width, channels = shape if nhwc else (*shape[1:], shape[0])
    features = 16 * -(-height // 2) * -(-width // 2)
    weights = {
        "w1": rng.standard_normal((8, channels, 3, 3)) / 3,
        "w2": rng.standard_normal((16, 8, 3, 3)) / 6,
        "w3": rng.standard_normal((features, classes)) / 10,
        "b3": rng.standard_normal(classes) / 10,
    }
    pads = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
    nodes = [
        helper.make_node("Transpose", ["x"], ["planar"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planar" if nhwc else "x", "w1"], ["c1"], **pads),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], strides=[2, 2], **pads),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Flatten", ["r2"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["logits"]),
    ]
    return model(
        nodes if nhwc else nodes[1:],
        [value("x", TensorProto.FLOAT, (batch, *shape))],
        [value("logits", TensorProto.FLOAT, (batch, classes))],
        {name: w.astype(np.float32) for name, w in weights.items()},
    )


def _unary(nodes: Sequence[onnx.NodeProto], classes: int, **options: Any) -> bytes:
    """A model of 4 float inputs whose last node writes `y` (batch, classes)."""
    inputs, outputs = [value("x", TensorProto.FLOAT, ("N", 4))], [value("y", TensorProto.FLOAT, ("N", classes))]
    return model(nodes, inputs, outputs, **options)


def random_operator() -> bytes:
    """Adds noise of its own."""
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["noise"]),
        helper.make_node("Add", ["x", "noise"], ["y"]),
    ]
    return _unary(nodes, 4)


def hidden_random_operator() -> bytes:
    """A random operator in the branch of an If, inside a model-local function."""

    def branch(name: str, op: str) -> onnx.GraphProto:
        return helper.make_graph(
            [helper.make_node(op, ["z"], [name])], name, [], [value(name, TensorProto.FLOAT, None)]
        )

    body = [
        helper.make_node("Constant", [], ["on"], value=numpy_helper.from_array(np.array(True))),
        helper.make_node(
            "If", ["on"], ["out"], then_branch=branch("yes", "RandomNormalLike"), else_branch=branch("no", "Identity")
        ),
    ]
    opset = helper.make_opsetid("", 18)
    function = helper.make_function("local", "Noisy", ["z"], ["out"], body, [opset])
    graph = helper.make_graph(
        [helper.make_node("Noisy", ["x"], ["y"], domain="local")],
        "test",
        [value("x", TensorProto.FLOAT, ("N", 4))],
        [value("y", TensorProto.FLOAT, ("N", 4))],
    )
    opsets = [opset, helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=[function], ir_version=8).SerializeToString()


def training_dropout(*, constant_node: bool = False) -> bytes:
    """Dropout whose training mode is on, by an initializer or by a Constant node (as tracing exporters write it)."""
    constants: dict[str, Any] = {"ratio": np.float32(0.5)}
    nodes = [helper.make_node("Dropout", ["x", "ratio", "training"], ["y"])]
    if constant_node:
        on = numpy_helper.from_array(np.array(True))
        nodes.insert(0, helper.make_node("Constant", [], ["training"], value=on))
    else:
        constants["training"] = np.array(True)
    return _unary(nodes, 4, constants=constants)


def training_batch_norm() -> bytes:
    """BatchNormalization over the batch at hand: not a function of one input."""
    nodes = [helper.make_node("BatchNormalization", ["x", *"sbmv"], ["y", "mean", "var"], training_mode=1)]
    return _unary(nodes, 4, constants={n: np.full(4, n in "sv", np.float32) for n in "sbmv"})


def two_inputs() -> bytes:
    """The sum of two inputs."""
    inputs = [value(name, TensorProto.FLOAT, ("N", 4)) for name in ("image", "mask")]
    return model([helper.make_node("Add", ["image", "mask"], ["y"])], inputs, [value("y", TensorProto.FLOAT, ("N", 4))])


def regression() -> bytes:
    """One float: the mean of the input."""
    return _unary([helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=1)], 1, opset=13)


def gives_nan() -> bytes:
    """log(x): NaN where any value is negative."""
    return _unary([helper.make_node("Log", ["x"], ["y"])], 4)


def map_output() -> bytes:
    """Labels and, as converters of classical models write them, a sequence of maps for the probabilities."""
    nodes = [
        helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0),
        helper.make_node("ZipMap", ["x"], ["probability"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2, 3]),
    ]
    kind = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, ()))
    outputs = [
        value("label", TensorProto.INT64, ("N",)),
        helper.make_value_info("probability", helper.make_sequence_type_proto(kind)),
    ]
    graph = helper.make_graph(nodes, "test", [value("x", TensorProto.FLOAT, ("N", 4))], outputs)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def line_labels(x: NDArray[Any], weights: ArrayLike, bias: ArrayLike) -> NDArray[np.int64]:
    """The labels of `linear`, in numpy and double precision: the oracle."""
    scores = np.asarray(x, float).reshape(len(x), -1) @ np.asarray(weights, float) + np.asarray(bias, float)
    return np.argmax(scores, axis=1)
