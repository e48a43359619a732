"""Classifier files as exporters of all times wrote them: hand-made graphs with what makes them hard to certify."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .models import model, value

RNG = np.random.default_rng(11)
FLOAT = TensorProto.FLOAT
Nodes = list[onnx.NodeProto]
node = helper.make_node


@dataclass(frozen=True)
class Case:
    """A file, the shape of one input, and words that the changes must hold."""

    content: bytes
    shape: tuple[int, ...]
    says: tuple[str, ...] = ()
    output: str | None = None


def weights(*shape: int, scale: float | None = None) -> NDArray[np.float32]:
    """Random weights of about unit gain."""
    gain = scale or 1 / np.sqrt(np.prod(shape[1:]) if len(shape) > 2 else shape[0])
    return (gain * RNG.standard_normal(shape)).astype(np.float32)


def whole(*numbers: int) -> NDArray[np.int64]:
    """A tensor of whole numbers."""
    return np.array(numbers, np.int64)


def norm(name: str, channels: int) -> dict[str, NDArray[np.float32]]:
    """Statistics of a trained BatchNormalization."""
    return {
        f"{name}.scale": RNG.uniform(0.5, 1.5, channels).astype(np.float32),
        f"{name}.bias": weights(channels, scale=0.3),
        f"{name}.mean": weights(channels, scale=0.3),
        f"{name}.var": RNG.uniform(0.3, 2, channels).astype(np.float32),
    }


def batch_norm(name: str, source: str, target: str) -> onnx.NodeProto:
    """BatchNormalization with the statistics of that name."""
    statistics = [f"{name}.{part}" for part in ("scale", "bias", "mean", "var")]
    return node("BatchNormalization", [source, *statistics], [target], epsilon=1e-5)


def opset_9(*, batch: int = 1) -> Case:
    """What torch 1.0 wrote: BatchNormalization behind Conv, initializers as inputs, Reshape to [1, -1]."""
    pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    constants: dict[str, Any] = {"c1": weights(6, 3, 3, 3), "c2": weights(8, 6, 3, 3), "b2": weights(8, scale=0.1)}
    constants |= norm("n1", 6) | norm("n2", 8) | {"fc": weights(5, 128), "fb": weights(5, scale=0.1)}
    nodes = [
        node("Conv", ["x", "c1"], ["1"], **pads),
        batch_norm("n1", "1", "2"),
        node("Relu", ["2"], ["3"]),
        node("Conv", ["3", "c2", "b2"], ["4"], strides=[2, 2], **pads),
        batch_norm("n2", "4", "5"),
        node("Relu", ["5"], ["6"]),
        node("Constant", [], ["7"], value=numpy_helper.from_array(whole(batch, -1))),
        node("Reshape", ["6", "7"], ["8"]),
        node("Gemm", ["8", "fc", "fb"], ["y"], alpha=1.0, beta=1.0, transB=1),
    ]
    inputs, outputs = [value("x", FLOAT, (batch, 3, 8, 8))], [value("y", FLOAT, (batch, 5))]
    content = model(nodes, inputs, outputs, constants, opset=9, ir_version=3)
    says = (f"batch axis, fixed to {batch}, made free", "BatchNormalization folded", "no longer listed as inputs")
    return Case(content, (3, 8, 8), says)


def shape_gather_concat() -> Case:
    """x.view(x.size(0), -1) as torch traced it, the batch fixed at export."""
    nodes = [
        node("Conv", ["x", "w"], ["1"], kernel_shape=[3, 3]),
        node("Relu", ["1"], ["2"]),
        node("Shape", ["2"], ["3"]),
        node("Constant", [], ["4"], value=numpy_helper.from_array(np.array(0, np.int64))),
        node("Gather", ["3", "4"], ["5"], axis=0),
        node("Constant", [], ["6"], value=numpy_helper.from_array(np.array(-1, np.int64))),
        node("Unsqueeze", ["5"], ["7"], axes=[0]),
        node("Unsqueeze", ["6"], ["8"], axes=[0]),
        node("Concat", ["7", "8"], ["9"], axis=0),
        node("Reshape", ["2", "9"], ["10"]),
        node("MatMul", ["10", "fc"], ["y"]),
    ]
    constants = {"w": weights(4, 1, 3, 3), "fc": weights(144, 5)}
    content = model(nodes, [value("x", FLOAT, (1, 1, 8, 8))], [value("y", FLOAT, (1, 5))], constants, opset=11)
    return Case(content, (1, 8, 8), ("made free",))


def tensorflow() -> Case:
    """What tf2onnx writes of a Keras network: NHWC, Transpose to and fro, Sub/Div inside, Reshape to [1, 128]."""
    nodes = [
        node("Sub", ["image:0", "mean"], ["a"]),
        node("Div", ["a", "std"], ["b"]),
        node("Transpose", ["b"], ["c"], perm=[0, 3, 1, 2]),
        node("Conv", ["c", "w1", "b1"], ["d"], auto_pad="SAME_UPPER", strides=[2, 2], kernel_shape=[3, 3]),
        node("Relu", ["d"], ["e"]),
        node("Transpose", ["e"], ["f"], perm=[0, 2, 3, 1]),
        node("Mul", ["f", "gamma"], ["g"]),
        node("Add", ["g", "beta"], ["h"]),
        node("Reshape", ["h", "flat"], ["i"]),
        node("MatMul", ["i", "dense"], ["j"]),
        node("Add", ["j", "bias"], ["k"]),
        node("Softmax", ["k"], ["Identity:0"], axis=-1),
    ]
    constants: dict[str, Any] = {
        "mean": np.array([0.48, 0.45, 0.4], np.float32).reshape(1, 1, 1, 3),
        "std": np.array([0.22, 0.22, 0.22], np.float32),
        "w1": weights(8, 3, 3, 3),
        "b1": weights(8, scale=0.1),
        "gamma": RNG.uniform(0.5, 1.5, (1, 1, 1, 8)).astype(np.float32),
        "beta": weights(1, 1, 1, 8, scale=0.1),
        "flat": whole(1, 128),
        "dense": weights(128, 5),
        "bias": weights(1, 5, scale=0.1),
    }
    inputs, outputs = [value("image:0", FLOAT, (1, 8, 8, 3))], [value("Identity:0", FLOAT, (1, 5))]
    return Case(model(nodes, inputs, outputs, constants, opset=13), (8, 8, 3), ("made free",))


def _attention(x: str, name: str, tokens: int, width: int, heads: int) -> tuple[Nodes, dict[str, Any]]:
    """Self-attention with every size baked in; its result is NAME.out."""
    each = width // heads
    n = name + "."
    constants: dict[str, Any] = {
        n + "qkv": weights(width, 3 * width),
        n + "qkv_b": weights(3 * width, scale=0.1),
        n + "apart": whole(1, tokens, 3, heads, each),
        n + "together": whole(1, tokens, width),
        n + "scale": np.float32(each**-0.5),
        n + "proj": weights(width, width),
    }
    index = {f"{n}{i}": np.array(i, np.int64) for i in range(3)}
    nodes = [
        node("MatMul", [x, n + "qkv"], [n + "m"]),
        node("Add", [n + "m", n + "qkv_b"], [n + "a"]),
        node("Reshape", [n + "a", n + "apart"], [n + "r"]),
        node("Transpose", [n + "r"], [n + "t"], perm=[2, 0, 3, 1, 4]),
        *(node("Gather", [n + "t", f"{n}{i}"], [n + "qkv"[1:] + part], axis=0) for i, part in enumerate("QKV")),
        node("Transpose", [n + "kvK"], [n + "KT"], perm=[0, 1, 3, 2]),
        node("MatMul", [n + "kvQ", n + "KT"], [n + "s"]),
        node("Mul", [n + "s", n + "scale"], [n + "ss"]),
        node("Softmax", [n + "ss"], [n + "p"], axis=-1),
        node("MatMul", [n + "p", n + "kvV"], [n + "o"]),
        node("Transpose", [n + "o"], [n + "ot"], perm=[0, 2, 1, 3]),
        node("Reshape", [n + "ot", n + "together"], [n + "or"]),
        node("MatMul", [n + "or", n + "proj"], [n + "out"]),
    ]
    return nodes, constants | index


def transformer() -> Case:
    """A vision transformer with class token Concat, position embedding, and sizes baked into its Reshapes."""
    width, heads, tokens = 16, 4, 17
    attention, constants = _attention("e", "att", tokens, width, heads)
    constants |= {
        "patch": weights(width, 3, 4, 4),
        "rows": whole(1, width, 16),
        "token": weights(1, 1, width, scale=1),
        "position": weights(1, tokens, width, scale=1),
        "gamma": RNG.uniform(0.5, 1.5, width).astype(np.float32),
        "beta": weights(width, scale=0.1),
        "head": weights(width, 5, scale=1),
        "zero": np.array(0, np.int64),
    }
    nodes = [
        node("Conv", ["x", "patch"], ["a"], kernel_shape=[4, 4], strides=[4, 4]),
        node("Reshape", ["a", "rows"], ["b"]),
        node("Transpose", ["b"], ["c"], perm=[0, 2, 1]),
        node("Concat", ["token", "c"], ["d"], axis=1),
        node("Add", ["d", "position"], ["d2"]),
        node("LayerNormalization", ["d2", "gamma", "beta"], ["e"], axis=-1),
        *attention,
        node("Add", ["d2", "att.out"], ["f"]),
        node("Gather", ["f", "zero"], ["g"], axis=1),
        node("Gemm", ["g", "head"], ["y"]),
    ]
    inputs, outputs = [value("x", FLOAT, (1, 3, 16, 16))], [value("y", FLOAT, (1, 5))]
    return Case(model(nodes, inputs, outputs, constants, opset=17), (3, 16, 16), ("made free",))


def sequence_first() -> Case:
    """torch's MultiheadAttention: [tokens, batch, width], batch and heads merged in one axis, Expand of the token."""
    width, heads, tokens = 8, 2, 5
    each = width // heads
    constants: dict[str, Any] = {
        "patch": weights(width, 1, 4, 4),
        "rows": whole(1, width, 4),
        "token": weights(1, 1, width, scale=1),
        "expand": whole(1, -1, -1),
        "merged": whole(tokens, heads, each),
        "flat": whole(tokens, width),
        "apart": whole(tokens, 1, width),
        "one": np.array(0, np.int64),
        "head": weights(width, 5, scale=1),
    }
    constants |= {f"w{part}": weights(width, width) for part in "qkvo"}
    nodes = [
        node("Conv", ["x", "patch"], ["a"], kernel_shape=[4, 4], strides=[4, 4]),
        node("Reshape", ["a", "rows"], ["b"]),
        node("Transpose", ["b"], ["c"], perm=[0, 2, 1]),
        node("Abs", ["expand"], ["expand1"]),
        node("Expand", ["token", "expand1"], ["t"]),
        node("Concat", ["t", "c"], ["d"], axis=1),
        node("Transpose", ["d"], ["e"], perm=[1, 0, 2]),
    ]
    for part in "qkv":
        nodes += [
            node("MatMul", ["e", f"w{part}"], [f"{part}1"]),
            node("Reshape", [f"{part}1", "merged"], [f"{part}2"]),
            node("Transpose", [f"{part}2"], [f"{part}3"], perm=[1, 2, 0] if part == "k" else [1, 0, 2]),
        ]
    nodes += [
        node("MatMul", ["q3", "k3"], ["s"]),
        node("Softmax", ["s"], ["p"], axis=-1),
        node("MatMul", ["p", "v3"], ["o"]),
        node("Transpose", ["o"], ["ot"], perm=[1, 0, 2]),
        node("Reshape", ["ot", "flat"], ["of"]),
        node("Gemm", ["of", "wo"], ["og"]),
        node("Reshape", ["og", "apart"], ["oa"]),
        node("Add", ["oa", "e"], ["f"]),
        node("Gather", ["f", "one"], ["g"], axis=0),
        node("Gemm", ["g", "head"], ["y"]),
    ]
    inputs, outputs = [value("x", FLOAT, (1, 1, 8, 8))], [value("y", FLOAT, (1, 5))]
    return Case(model(nodes, inputs, outputs, constants, opset=17), (1, 8, 8), ("made free",))


def mnist_flat() -> Case:
    """A digit network with input [1, 784, 1]: Reshape to an image, Squeeze at the end."""
    constants = {"image": whole(1, 1, 28, 28), "w": weights(4, 1, 5, 5), "fc": weights(4, 10, scale=1)}
    nodes = [
        node("Reshape", ["x", "image"], ["a"]),
        node("Conv", ["a", "w"], ["b"], kernel_shape=[5, 5], strides=[3, 3]),
        node("Relu", ["b"], ["c"]),
        node("GlobalAveragePool", ["c"], ["d"]),
        node("Squeeze", ["d"], ["e"]),
        node("Unsqueeze", ["e"], ["f"], axes=[0]),
        node("MatMul", ["f", "fc"], ["y"]),
    ]
    inputs, outputs = [value("x", FLOAT, (1, 784, 1))], [value("y", FLOAT, (1, 10))]
    return Case(model(nodes, inputs, outputs, constants, opset=11), (784, 1), ("made free",))


def reductions() -> Case:
    """Slice, Tile, ConstantOfShape, Expand, Split, Pad and ReduceMean with the batch among what they name."""
    constants: dict[str, Any] = {
        "starts": whole(0, 1),
        "ends": whole(1, 7),
        "axes": whole(0, 2),
        "repeats": whole(1, 2, 1, 1),
        "like": whole(1, 2, 6, 8),
        "fc": weights(2, 5, scale=1),
    }
    one = numpy_helper.from_array(np.array([0.5], np.float32))
    nodes = [
        node("Slice", ["x", "starts", "ends", "axes"], ["a"]),
        node("Tile", ["a", "repeats"], ["b"]),
        node("ConstantOfShape", ["like"], ["c"], value=one),
        node("Mul", ["b", "c"], ["d"]),
        node("Expand", ["d", "like"], ["e"]),
        node("Split", ["e"], ["f", "g"], axis=1),
        node("Tanh", ["g"], ["h"]),
        node("Concat", ["f", "h"], ["i"], axis=1),
        node("ReduceMean", ["i"], ["j"], axes=[2, 3], keepdims=0),
        node("MatMul", ["j", "fc"], ["y"]),
    ]
    inputs, outputs = [value("x", FLOAT, (1, 1, 8, 8))], [value("y", FLOAT, (1, 5))]
    return Case(model(nodes, inputs, outputs, constants, opset=11), (1, 8, 8), ("made free",))


def branches() -> Case:
    """x.squeeze(1) as torch traced it: an If on the size of the axis."""

    def branch(name: str, op: str, *more: str) -> onnx.GraphProto:
        return helper.make_graph([node(op, ["a", *more], [name])], name, [], [value(name, FLOAT, None)])

    constants: dict[str, Any] = {"one": whole(1), "axis": whole(1), "flat": whole(1, 64), "fc": weights(64, 5)}
    nodes = [
        node("Relu", ["x"], ["a"]),
        node("Shape", ["a"], ["s"]),
        node("Gather", ["s", "one"], ["n"], axis=0),
        node("Equal", ["n", "one"], ["alone"]),
        node(
            "If", ["alone"], ["b"], then_branch=branch("then", "Squeeze", "axis"), else_branch=branch("not", "Identity")
        ),
        node("Reshape", ["b", "flat"], ["c"]),
        node("MatMul", ["c", "fc"], ["y"]),
    ]
    inputs, outputs = [value("x", FLOAT, (1, 1, 8, 8))], [value("y", FLOAT, (1, 5))]
    return Case(model(nodes, inputs, outputs, constants, opset=13), (1, 8, 8), ("made free",))


def quantised() -> Case:
    """QDQ as onnxruntime.quantization writes it: 8-bit weights and activations around Conv and Gemm."""

    def levels(name: str, *shape: int) -> dict[str, Any]:
        return {
            name: RNG.integers(-127, 128, shape, np.int8),
            f"{name}.scale": np.float32(0.01),
            f"{name}.zero": np.int8(0),
        }

    def through(name: str) -> Nodes:
        ends = ["step", "zero"]
        return [
            node("QuantizeLinear", [name, *ends], [f"{name}.q"]),
            node("DequantizeLinear", [f"{name}.q", *ends], [f"{name}.d"]),
        ]

    def loaded(name: str) -> onnx.NodeProto:
        return node("DequantizeLinear", [name, f"{name}.scale", f"{name}.zero"], [f"{name}.d"])

    constants = levels("w", 4, 1, 3, 3) | levels("fc", 144, 5) | {"flat": whole(1, -1)}
    constants |= {"step": np.float32(0.05), "zero": np.uint8(128)}
    nodes = [
        *through("x"),
        loaded("w"),
        node("Conv", ["x.d", "w.d"], ["a"], kernel_shape=[3, 3]),
        *through("a"),
        node("Reshape", ["a.d", "flat"], ["b"]),
        loaded("fc"),
        node("MatMul", ["b", "fc.d"], ["y"]),
    ]
    inputs, outputs = [value("x", FLOAT, (1, 1, 8, 8))], [value("y", FLOAT, (1, 5))]
    return Case(model(nodes, inputs, outputs, constants, opset=13), (1, 8, 8), ("made free",))


def recurrent() -> Case:
    """Rows of an image read by an LSTM whose first states are zeros for a batch of 1."""
    zeros = numpy_helper.from_array(np.zeros(1, np.float32))
    constants: dict[str, Any] = {
        "w": weights(1, 24, 8),
        "r": weights(1, 24, 6),
        "b": weights(1, 48, scale=0.1),
        "states": whole(1, 1, 6),
        "axis": whole(0),
        "fc": weights(6, 5, scale=1),
    }
    nodes = [
        node("Squeeze", ["x", "one"], ["a"]),
        node("Transpose", ["a"], ["t"], perm=[1, 0, 2]),
        node("ConstantOfShape", ["states"], ["h0"], value=zeros),
        node("ConstantOfShape", ["states"], ["c0"], value=zeros),
        node("LSTM", ["t", "w", "r", "b", "", "h0", "c0"], ["", "h"], hidden_size=6),
        node("Squeeze", ["h", "axis"], ["s"]),
        node("Gemm", ["s", "fc"], ["y"]),
    ]
    inputs, outputs = [value("x", FLOAT, (1, 1, 8, 8))], [value("y", FLOAT, (1, 5))]
    return Case(model(nodes, inputs, outputs, constants | {"one": whole(1)}, opset=14), (1, 8, 8), ("made free",))


def frozen_inside() -> Case:
    """A file that declares a free batch axis, with [1, -1] baked into its Reshape."""
    constants = {"flat": whole(1, -1), "fc": weights(64, 5)}
    nodes = [node("Reshape", ["x", "flat"], ["a"]), node("MatMul", ["a", "fc"], ["y"])]
    inputs, outputs = [value("x", FLOAT, ("N", 1, 8, 8))], [value("y", FLOAT, ("N", 5))]
    return Case(model(nodes, inputs, outputs, constants), (1, 8, 8), ("baked into the graph taken out",))


def forest(*, classes: Sequence[int] = range(3), zipped: bool = True, batch: int | None = None) -> Case:
    """A linear classifier as skl2onnx writes it: labels, and probabilities in a ZipMap."""
    coefficients = weights(3, 64, scale=1).reshape(-1)
    nodes = [
        node(
            "LinearClassifier",
            ["X"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            coefficients=coefficients,
            intercepts=[0.1, -0.2, 0.0],
            classlabels_ints=list(classes),
            multi_class=1,
            post_transform="SOFTMAX",
        ),
        node("Cast", ["label"], ["output_label"], to=TensorProto.INT64),
        node("Normalizer", ["scores"], ["probabilities"], domain="ai.onnx.ml", norm="L1"),
    ]
    zip_ = node(
        "ZipMap", ["probabilities"], ["output_probability"], domain="ai.onnx.ml", classlabels_int64s=list(classes)
    )
    kind = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(FLOAT, ()))
    maps = helper.make_value_info("output_probability", helper.make_sequence_type_proto(kind))
    scores = maps if zipped else value("probabilities", FLOAT, (batch, 3))
    outputs = [value("output_label", TensorProto.INT64, (batch,)), scores]
    graph = helper.make_graph(
        [*nodes, *([zip_] if zipped else [])], "forest", [value("X", FLOAT, (batch, 64))], outputs
    )
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 1)]
    content = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    said = ("ZipMap removed",) if zipped else ("left out",)
    return Case(content, (64,), said)


def typed(elem_type: int, *, labels: bool = False) -> Case:
    """A fixed batch with an input of another type; float16 and double throughout, others cast to float."""
    inner = elem_type if elem_type in (TensorProto.FLOAT16, TensorProto.DOUBLE) else FLOAT
    dtype = helper.tensor_dtype_to_np_dtype(inner)
    constants = {"flat": whole(1, 192), "fc": weights(192, 5).astype(dtype), "b": weights(1, 5).astype(dtype)}
    nodes = [
        node("Cast", ["x"], ["a"], to=inner),
        node("Reshape", ["a", "flat"], ["b1"]),
        node("MatMul", ["b1", "fc"], ["c"]),
        node("Add", ["c", "b"], ["scores"]),
        *([node("ArgMax", ["scores"], ["y"], axis=1, keepdims=0)] if labels else []),
    ]
    out = value("y", TensorProto.INT64, (1,)) if labels else value("scores", inner, (1, 5))
    return Case(model(nodes, [value("x", elem_type, (1, 3, 8, 8))], [out], constants), (3, 8, 8), ("made free",))


def brain_float() -> Case:
    """bfloat16 at both ends, float inside, as a graph for other hardware arrives."""
    constants = {"flat": whole(1, 64), "fc": weights(64, 5)}
    nodes = [
        node("Cast", ["x"], ["a"], to=FLOAT),
        node("Reshape", ["a", "flat"], ["b"]),
        node("MatMul", ["b", "fc"], ["c"]),
        node("Cast", ["c"], ["y"], to=TensorProto.BFLOAT16),
    ]
    kind = TensorProto.BFLOAT16
    content = model(nodes, [value("x", kind, (1, 1, 8, 8))], [value("y", kind, (1, 5))], constants)
    return Case(content, (1, 8, 8), ("made free", "as float32, not bfloat16"))


def dead_input() -> Case:
    """An input that nothing reads, left over from training."""
    constants = {"flat": whole(1, 64), "fc": weights(64, 5)}
    nodes = [node("Reshape", ["x", "flat"], ["a"]), node("MatMul", ["a", "fc"], ["y"])]
    inputs = [value("x", FLOAT, (1, 1, 8, 8)), value("keep_prob", FLOAT, ())]
    return Case(model(nodes, inputs, [value("y", FLOAT, (1, 5))], constants), (1, 8, 8), ("nothing reads left out",))


def without_batch() -> Case:
    """Scores squeezed to [classes]: no batch axis left at the end."""
    constants = {"fc": weights(64, 5), "axis": whole(0)}
    nodes = [
        node("Flatten", ["x"], ["a"], axis=1),
        node("MatMul", ["a", "fc"], ["b"]),
        node("Squeeze", ["b", "axis"], ["y"]),
    ]
    content = model(nodes, [value("x", FLOAT, (1, 1, 8, 8))], [value("y", FLOAT, (5,))], constants)
    return Case(content, (1, 8, 8), ("made free",))


CASES: dict[str, Callable[[], Case]] = {
    "opset 9": opset_9,
    "opset 9, batch of 4": lambda: opset_9(batch=4),
    "shape, gather, concat": shape_gather_concat,
    "tensorflow": tensorflow,
    "vision transformer": transformer,
    "sequence first": sequence_first,
    "mnist [1,784,1]": mnist_flat,
    "slices and sums": reductions,
    "branches": branches,
    "8 bits": quantised,
    "recurrent": recurrent,
    "frozen inside": frozen_inside,
    "scikit-learn, zipped": forest,
    "scikit-learn, two outputs": lambda: forest(zipped=False),
    "scikit-learn, batch of 1": lambda: forest(zipped=False, batch=1),
    "double": lambda: typed(TensorProto.DOUBLE),
    "float16": lambda: typed(TensorProto.FLOAT16),
    "uint8": lambda: typed(TensorProto.UINT8),
    "labels": lambda: typed(FLOAT, labels=True),
    "bfloat16": brain_float,
    "dead input": dead_input,
    "no batch axis at the end": without_batch,
}
