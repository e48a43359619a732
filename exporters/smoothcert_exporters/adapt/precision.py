"""Narrower arithmetic for a finished graph: float16 or bfloat16 inside, float32 input, last layer and scores."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from smoothcert.errors import ModelError, require

from ..graph import opset, order, subgraphs
from .conversion import upgraded
from .folding import constant_nodes

PRECISIONS = ("float32", "float16", "bfloat16")
TOLERANCES = {"float16": 0.03, "bfloat16": 0.2}  # of the scores' scale, against the float32 graph: a guard, not a goal
_LAYERS = {"Gemm", "MatMul", "Conv"}
_OTHERS = {TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
_BFLOAT16_OPSET = 22  # convolutions and pooling take it from there on


def convert(proto: onnx.ModelProto, precision: str) -> onnx.ModelProto:
    """The graph computed in `precision`, by ONNX Runtime's converter; the layer that makes the scores stays float32.

    Operators without a kernel of that type stay float32 too, between casts. Raises `ModelError` for a graph that is not
    float32 throughout: what is quantised already, or has weights in files of their own.
    """
    require(precision in PRECISIONS, f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    model = deepcopy(proto)
    if precision == "float32":
        return model
    found = {tensor.data_type for tensor in model.graph.initializer} & _OTHERS
    if found or any(node.op_type == "DequantizeLinear" for node in model.graph.node):
        raise ModelError(f"precision {precision}: expected a graph of float32 weights, got a narrower one")
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise ModelError(f"precision {precision}: expected the weights in one file, got external ones")
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    if precision == "bfloat16" and opset(model) < _BFLOAT16_OPSET:
        model = upgraded(model, _BFLOAT16_OPSET)
    constant_nodes(model)  # so that both types are rounded from the same numbers
    for i, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{i}"
    originals = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.data_type == TensorProto.FLOAT}
    narrow: onnx.ModelProto = convert_float_to_float16(
        model, keep_io_types=True, op_block_list=DEFAULT_OP_BLOCK_LIST, node_block_list=_last_layer(model.graph)
    )
    _uncast_outputs(narrow.graph)
    if precision == "bfloat16":
        _to_bfloat16(narrow.graph, originals)
    order(narrow.graph)
    return narrow


def _last_layer(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes from the last layer with weights to the scores: float16 scores would tie."""
    makers = {name: node for node in graph.node for name in node.output}
    weights = {tensor.name for tensor in graph.initializer}
    names = []
    for output in graph.output:
        node = makers.get(output.name)
        while node is not None:
            names.append(node.name)
            before = [name for name in node.input if name and name not in weights]
            node = None if node.op_type in _LAYERS or len(before) != 1 else makers.get(before[0])
    return names


def _uncast_outputs(graph: onnx.GraphProto) -> None:
    """Drop the way through float16 that the converter puts between the last layer and an output."""
    makers = {name: node for node in graph.node for name in node.output}
    for output in graph.output:
        chain = [makers[output.name]]
        while chain[-1].op_type == "Cast" and chain[-1].input[0] in makers:
            chain.append(makers[chain[-1].input[0]])
        *casts, layer = chain
        if len(casts) == 2:
            layer.output[list(layer.output).index(casts[-1].input[0])] = output.name
            for cast in casts:
                graph.node.remove(cast)


def _to_bfloat16(graph: onnx.GraphProto, originals: dict[str, NDArray[Any]]) -> None:
    """bfloat16 wherever the converter wrote float16, rounded from the float32 numbers themselves."""
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            values = originals.get(tensor.name)
            _round(tensor, numpy_helper.to_array(tensor).astype(np.float32) if values is None else values)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.BFLOAT16
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.BFLOAT16
            if attribute.HasField("t") and attribute.t.data_type == TensorProto.FLOAT16:
                _round(attribute.t, numpy_helper.to_array(attribute.t).astype(np.float32))
        for inner in subgraphs(node):
            _to_bfloat16(inner, originals)


def _round(tensor: onnx.TensorProto, values: NDArray[Any]) -> None:
    dtype = helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16)
    tensor.CopyFrom(numpy_helper.from_array(values.astype(dtype), tensor.name))
