"""An encoder's ONNX graph as steps of real arithmetic, where it has none but operators that are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from ...errors import ModelError
from ..graph.walk import STANDARD
from .operators import OPERATORS
from .steps import Convolution, Dense, Shape, Step, Steps
from .walk import MOST_VALUES, UnknownOperatorError, Walk, read_array

INPUT, OUTPUT = "image", "code"
MOST_STEPS = 2_000
_OLDEST_OPSET = 8  # all arithmetic broadcasts from there on


def encoder_steps(proto: onnx.ModelProto, image: Shape) -> Steps:
    """The steps from "image" (batch, *image) to "code" (batch, d).

    `ModelError` for a graph that is none, `UnknownOperatorError` for one with other operators, types or sizes.
    """
    graph = proto.graph
    opsets = [entry.version for entry in proto.opset_import if entry.domain in STANDARD]
    if proto.functions or graph.sparse_initializer or len(opsets) != 1 or opsets[0] < _OLDEST_OPSET:
        raise UnknownOperatorError("functions, sparse weights or old operators")
    if max(len(graph.node), len(graph.initializer)) > MOST_STEPS or not 0 < math.prod(image) <= MOST_VALUES:
        raise UnknownOperatorError("a graph of this size")
    _require_ends(graph, image)
    walk = Walk(_constants(graph), {INPUT: 0}, [image])
    for node in graph.node:
        _take(node, walk)
    result, shape = walk.value(OUTPUT)
    if len(shape) != 1:
        raise ModelError(f"the encoder's graph: expected codes (batch, d), got {len(shape) + 1} axes; flatten them")
    return Steps(image, tuple(walk.steps), result)


def _require_ends(graph: onnx.GraphProto, image: Shape) -> None:
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if [value.name for value in inputs] != [INPUT] or [value.name for value in graph.output] != [OUTPUT]:
        raise ModelError(f"the encoder's graph: expected one input {INPUT!r} and one output {OUTPUT!r}, got others")
    tensor = inputs[0].type.tensor_type
    sizes = [d.dim_value for d in tensor.shape.dim]
    fits = len(sizes) == 4 and all(own in (0, given) for own, given in zip(sizes[1:], image, strict=True))
    if tensor.elem_type != TensorProto.FLOAT or not fits:
        raise ModelError(
            f"the encoder's graph: expected float32 images (batch, {', '.join(map(str, image))}), got others"
        )


def _constants(graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    left = MOST_VALUES
    for tensor in graph.initializer:
        if tensor.name in found or tensor.name == INPUT:
            raise ModelError(f"the encoder's graph: expected one meaning of {tensor.name[:99]!r}, got two")
        found[tensor.name] = read_array(tensor, left)
        left -= found[tensor.name].size
    return found


def _take(node: onnx.NodeProto, walk: Walk) -> None:
    if node.domain not in STANDARD or node.op_type not in OPERATORS or len(node.output) != 1:
        raise UnknownOperatorError(node.op_type)
    (name,) = node.output
    if not name or name in walk.constants or name in walk.values:
        raise ModelError(f"the encoder's graph: expected outputs with names of their own, got {name[:99]!r}")
    least, most, read = OPERATORS[node.op_type]
    if not least <= len(node.input) <= most or not all(node.input[:least]):
        raise ModelError(f"the encoder's graph: expected {least} to {most} inputs of {node.op_type}, got others")
    found = read(node, walk)
    if isinstance(found, np.ndarray):
        if sum(array.size for array in walk.constants.values()) + found.size > MOST_VALUES:
            raise UnknownOperatorError("weights of this size")
        walk.constants[name] = found
        return
    walk.held.append(math.prod(found.shape) + _weights(found))
    if min(found.shape, default=1) < 1 or sum(walk.held) > MOST_VALUES:
        raise UnknownOperatorError("values of this size")
    walk.steps.append(found)
    walk.shapes.append(found.shape)
    walk.values[name] = len(walk.steps)


def _weights(step: Step) -> int:
    match step:
        case Convolution():
            return step.kernel.size
        case Dense():
            return step.matrix.size
        case _:
            return 0
