"""Which operators of a graph are computed with 8 bits."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from smoothcert.errors import ModelError

from ..graph import constants, inputs, is_standard, reads

LAYERS = ("Conv", "Gemm", "MatMul")
_BETWEEN = {  # operators that ONNX Runtime has 8-bit kernels for, or that only move values about
    "Add", "AveragePool", "Clip", "Concat", "Flatten", "GlobalAveragePool", "LeakyRelu", "MaxPool", "Mul", "Pad",
    "Relu", "Reshape", "Resize", "Sigmoid", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze",
}  # fmt: skip
_NORMS = {"LayerNormalization", "SimplifiedLayerNormalization", "SkipLayerNormalization", "RMSNormalization",
          "Attention", "MultiHeadAttention"}  # fmt: skip
_NARROW = {TensorProto.FLOAT16, TensorProto.BFLOAT16}


@dataclass(frozen=True)
class Chosen:
    """What is computed with 8 bits: names of nodes, their operators in order; `last`: layers that no layer follows."""

    nodes: tuple[str, ...]
    operators: tuple[str, ...]
    layers: int
    last: frozenset[str]


def chosen(graph: onnx.GraphProto, floats: Collection[str]) -> Chosen:
    """Convolutions and products with constant weights; of a convolutional network also what lies between two of them.

    A transformer, which multiplies two computed tensors or normalises layers, keeps all but its products in float32:
    a few large values would set the step of the others. What stands ahead of the first layer (normalisation) or behind
    the last (softmax) stays float32 in any network, and so do the scores: with 256 values they would tie. `floats`:
    names of the float32 tensors; nodes have names. `ModelError` where no layer has constant float32 weights.
    """
    layers = [node for node in graph.node if _is_layer(node, graph, floats)]
    if not layers:
        raise ModelError(
            f"precision int8: expected layers ({', '.join(LAYERS)}) with float32 weights, found none to quantise; "
            "leave --precision out"
        )
    after, before = _after(graph, layers), _before(graph, layers)
    picked = list(layers)
    if not _is_transformer(graph):
        picked += [
            node
            for node in graph.node
            if node.op_type in _BETWEEN and is_standard(node) and set(node.output) - {""} <= set(floats)
            if node.name in after and node.name in before
        ]
    names = {node.name for node in picked}
    return Chosen(
        nodes=tuple(node.name for node in graph.node if node.name in names),
        operators=tuple(sorted({node.op_type for node in picked})),
        layers=len(layers),
        last=frozenset(node.name for node in layers if node.name not in before),
    )


def require_float32(proto: onnx.ModelProto) -> None:
    """`ModelError` for a graph that is quantised already, has half-precision weights, or weights in other files."""
    if any("QuantizeLinear" in node.op_type or node.op_type.startswith("QLinear") for node in proto.graph.node):
        raise ModelError("precision int8: expected a float32 model, got one quantised already; take the original")
    if any(tensor.data_type in _NARROW for tensor in proto.graph.initializer):
        raise ModelError("precision int8: expected float32 weights, got half-precision ones; take the original")
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in proto.graph.initializer):
        raise ModelError("precision int8: expected the weights in one file, got external ones")


def _is_layer(node: onnx.NodeProto, graph: onnx.GraphProto, floats: Collection[str]) -> bool:
    if node.op_type not in LAYERS or not is_standard(node):
        return False
    weights = constants(graph).get(node.input[1])
    if weights is None or weights.data_type != TensorProto.FLOAT or node.input[0] not in floats:
        return False
    return node.op_type == "Conv" or len(weights.dims) == 2  # a stack of matrices has no axis of channels


def _is_transformer(graph: onnx.GraphProto) -> bool:
    weights = set(constants(graph))
    products = (n for n in graph.node if n.op_type in ("MatMul", "Einsum"))
    return any(weights.isdisjoint(n.input) for n in products) or any(n.op_type in _NORMS for n in graph.node)


def _after(graph: onnx.GraphProto, layers: list[onnx.NodeProto]) -> set[str]:
    """Names of the nodes that a layer's values reach."""
    own, reached, found = {node.name for node in layers}, set[str](), set[str]()
    for node in graph.node:
        if reads(node) & reached:
            found.add(node.name)
        if node.name in found | own:
            reached |= set(node.output) - {""}
    return found


def _before(graph: onnx.GraphProto, layers: list[onnx.NodeProto]) -> set[str]:
    """Names of the nodes whose values reach a layer."""
    own, needed, found = {node.name for node in layers}, set[str](), set[str]()
    for node in reversed(graph.node):
        if needed & set(node.output):
            found.add(node.name)
        if node.name in found | own:
            needed |= reads(node)
    return found


def activations(graph: onnx.GraphProto, picked: Chosen, floats: Collection[str]) -> tuple[str, ...]:
    """Names of the float32 tensors that these nodes take and give, constants aside, each once, in order."""
    weights = set(constants(graph))
    nodes = [node for node in graph.node if node.name in set(picked.nodes)]
    found = dict.fromkeys(name for node in nodes for name in (*node.input, *node.output))
    entries = {value.name for value in inputs(graph)}
    return tuple(name for name in found if name in floats and (name in entries or name not in weights))
