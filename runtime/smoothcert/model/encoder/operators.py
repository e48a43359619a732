"""The operators that are known, each read from its node: an operator that is not among them has no bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto

from ...errors import ModelError
from .steps import Convolution, Curve, CurveName, Dense, Layout, Reals, Scale, Shape, Shift, Step, Sum
from .walk import MOST_VALUES, UnknownOperatorError, Walk, attributes, read_array

_SCALES = 1 / 32, 32  # alpha and beta of Gemm: no room for sums that overflow, or products that vanish, before them


def _conv(node: onnx.NodeProto, walk: Walk) -> Step:
    source, shape = walk.value(node.input[0])
    kernel = walk.constant(node.input[1])
    a = attributes(
        node, auto_pad="NOTSET", dilations=[1, 1], group=1, kernel_shape=[], pads=[0, 0, 0, 0], strides=[1, 1]
    )
    plain = list(a["dilations"]) == [1, 1] and list(a["strides"]) == [1, 1] and a["group"] == 1
    if not plain or kernel.ndim != 4 or len(shape) != 3 or min(kernel.shape) < 1:
        raise UnknownOperatorError("Conv with strides, dilations or groups, or not over images")
    out, channels, *size = kernel.shape
    bias = np.zeros(out)
    if len(node.input) > 2 and node.input[2]:
        bias = walk.constant(node.input[2])
    if channels != shape[0] or bias.shape != (out,) or list(a["kernel_shape"] or size) != size:
        raise ModelError("the encoder's graph: expected a Conv whose weights fit its input, got others")
    pads = _pads(a["auto_pad"], list(a["pads"]), size)
    height, width = (n + pads[i] + pads[i + 2] - k + 1 for i, (n, k) in enumerate(zip(shape[1:], size, strict=True)))
    if max(height, width, channels * (height + size[0]) * (width + size[1])) > MOST_VALUES:
        raise UnknownOperatorError("values of this size")
    return Convolution(source, kernel, bias, pads, (out, height, width))


def _pads(auto: str, pads: list[int], size: list[int]) -> tuple[int, int, int, int]:
    """Zeros on the top, left, bottom and right; of an even kernel's odd padding, the larger half lies on one side."""
    less, more = [(k - 1) // 2 for k in size], [k // 2 for k in size]
    explicit = pads if auto == "NOTSET" else [0, 0, 0, 0]
    found = {"NOTSET": explicit, "VALID": explicit, "SAME_UPPER": [*less, *more], "SAME_LOWER": [*more, *less]}.get(
        auto
    )
    if found is None or len(found) != 4 or min(found) < 0:
        raise UnknownOperatorError("Conv with this padding")
    return found[0], found[1], found[2], found[3]


def _gemm(node: onnx.NodeProto, walk: Walk) -> Step:
    source, shape = walk.value(node.input[0])
    matrix = walk.constant(node.input[1])
    a = attributes(node, alpha=1.0, beta=1.0, transA=0, transB=0)
    if a["transA"] or len(shape) != 1 or matrix.ndim != 2:
        raise UnknownOperatorError("Gemm over another axis than the last")
    if not all(_SCALES[0] <= abs(a[name]) <= _SCALES[1] for name in ("alpha", "beta")):
        raise UnknownOperatorError("Gemm of another scale than about 1")
    matrix = a["alpha"] * (matrix.T if a["transB"] else matrix)
    bias = np.zeros(matrix.shape[1])
    if len(node.input) > 2 and node.input[2]:
        bias = a["beta"] * _fitted(walk.constant(node.input[2]), (matrix.shape[1],))
    return _dense(source, shape, matrix, bias)


def _matmul(node: onnx.NodeProto, walk: Walk) -> Step:
    source, shape = walk.value(node.input[0])
    matrix = walk.constant(node.input[1])
    attributes(node)
    if matrix.ndim != 2 or not shape:
        raise UnknownOperatorError("MatMul by another constant than a matrix")
    return _dense(source, shape, matrix, np.zeros(matrix.shape[1]))


def _dense(source: int, shape: Shape, matrix: Reals, bias: Reals) -> Step:
    if matrix.shape[0] != shape[-1]:
        raise ModelError(f"the encoder's graph: expected a matrix of {shape[-1]} rows, got {matrix.shape[0]}")
    return Dense(source, matrix, bias, (*shape[:-1], matrix.shape[1]))


def _fitted(constant: Reals, shape: Shape) -> Reals:
    """A constant as it is added to each value of that shape: never larger, and the same for the whole batch."""
    if constant.ndim == len(shape) + 1 and constant.shape[0] == 1:
        constant = constant[0]
    if constant.ndim > len(shape) or any(
        own not in (1, size) for own, size in zip(constant.shape[::-1], shape[::-1], strict=False)
    ):
        raise UnknownOperatorError("a constant that widens the values")
    return constant


def _sum(node: onnx.NodeProto, walk: Walk) -> Step:
    attributes(node)
    first, second = node.input
    sign = 1 if node.op_type == "Add" else -1
    left, right = walk.reals(first), walk.reals(second)
    if left is not None:
        source, shape = walk.value(second)
        return Shift(source, sign, _fitted(left, shape), shape)
    source, shape = walk.value(first)
    if right is not None:
        return Shift(source, 1, sign * _fitted(right, shape), shape)
    other, same = walk.value(second)
    if same != shape:
        raise UnknownOperatorError("a sum of values of two shapes")
    return Sum(source, other, sign, shape)


def _scale(node: onnx.NodeProto, walk: Walk) -> Step:
    attributes(node)
    first, second = node.input
    if node.op_type == "Mul" and first in walk.constants:
        first, second = second, first
    source, shape = walk.value(first)
    factor = _fitted(walk.constant(second), shape)
    if node.op_type == "Div":
        if not factor.all():
            raise ModelError("the encoder's graph: expected divisors other than 0, got 0")
        factor = 1 / factor
    return Scale(source, factor, shape)


def _curve(node: onnx.NodeProto, walk: Walk) -> Step:
    slope = 0.0
    if node.op_type == "LeakyRelu":
        slope = attributes(node, alpha=float(np.float32(0.01)))["alpha"]
    else:
        attributes(node)
    source, shape = walk.value(node.input[0])
    return Curve(source, cast(CurveName, node.op_type), slope, shape)


def _same(node: onnx.NodeProto, walk: Walk) -> Step | NDArray[Any]:
    if node.op_type == "Identity" and node.input[0] in walk.constants:
        return walk.constants[node.input[0]]
    if node.op_type == "Cast":
        if attributes(node, to=0, saturate=1)["to"] != TensorProto.FLOAT:
            raise UnknownOperatorError("Cast to another type than float32")
    else:
        attributes(node)
    source, shape = walk.value(node.input[0])
    return Layout(source, None, shape)


def _flatten(node: onnx.NodeProto, walk: Walk) -> Step:
    source, shape = walk.value(node.input[0])
    axis = attributes(node, axis=1)["axis"]
    if axis not in (1, -len(shape)):
        raise UnknownOperatorError("Flatten over the batch")
    return Layout(source, None, (math.prod(shape),))


def _reshape(node: onnx.NodeProto, walk: Walk) -> Step:
    source, shape = walk.value(node.input[0])
    target = walk.constants.get(node.input[1])
    zeros = bool(attributes(node, allowzero=0)["allowzero"]) and target is not None and 0 in target
    if zeros or target is None or target.dtype != np.int64 or target.ndim != 1:
        raise UnknownOperatorError("Reshape to a shape that is not constant")
    if not 1 <= target.size <= 9 or target[0] not in (0, -1) or (target == -1).sum() > 1:
        raise UnknownOperatorError("Reshape of the batch")
    rest = [int(size) for size in target[1:]]
    sizes = [shape[i] if size == 0 and i < len(shape) else size for i, size in enumerate(rest)]
    if -1 in sizes:
        place = sizes.index(-1)
        sizes[place] = math.prod(shape) // max(1, abs(math.prod(sizes)))
    if min(sizes, default=1) < 1 or math.prod(sizes) != math.prod(shape):
        raise UnknownOperatorError("Reshape of the batch")
    return Layout(source, None, tuple(sizes))


def _transpose(node: onnx.NodeProto, walk: Walk) -> Step:
    source, shape = walk.value(node.input[0])
    axes = tuple(attributes(node, perm=[])["perm"])
    if axes[:1] != (0,) or sorted(axes) != list(range(len(shape) + 1)):
        raise UnknownOperatorError("Transpose of the batch")
    return Layout(source, axes, tuple(shape[axis - 1] for axis in axes[1:]))


def _constant(node: onnx.NodeProto, walk: Walk) -> NDArray[Any]:
    if len(node.attribute) != 1 or node.attribute[0].ref_attr_name:
        raise UnknownOperatorError("Constant of several values")
    (attribute,) = node.attribute
    kinds = {"value": AttributeProto.TENSOR, "value_int": AttributeProto.INT, "value_ints": AttributeProto.INTS}
    kinds |= {"value_float": AttributeProto.FLOAT, "value_floats": AttributeProto.FLOATS}
    if attribute.type != kinds.get(attribute.name):
        raise UnknownOperatorError(f"Constant with {attribute.name}")
    if attribute.name == "value":
        return read_array(attribute.t, MOST_VALUES)
    value = onnx.helper.get_attribute_value(attribute)
    return np.array(value, np.float32 if "float" in attribute.name else np.int64)


OPERATORS: dict[str, tuple[int, int, Callable[[onnx.NodeProto, Walk], Step | NDArray[Any]]]] = {
    "Conv": (2, 3, _conv),
    "Gemm": (2, 3, _gemm),
    "MatMul": (2, 2, _matmul),
    **dict.fromkeys(("Add", "Sub"), (2, 2, _sum)),
    **dict.fromkeys(("Mul", "Div"), (2, 2, _scale)),
    **dict.fromkeys(("Relu", "LeakyRelu", "Tanh", "Sigmoid"), (1, 1, _curve)),
    **dict.fromkeys(("Identity", "Cast"), (1, 1, _same)),
    "Flatten": (1, 1, _flatten),
    "Reshape": (2, 2, _reshape),
    "Transpose": (1, 1, _transpose),
    "Constant": (0, 0, _constant),
}
