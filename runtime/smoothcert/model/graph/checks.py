"""What an ONNX graph may hold: no randomness, no scale that rows share, and about as much as its file has bytes."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import TensorProto, helper

from ...errors import ModelError
from .functions import require_bounded_functions
from .scopes import Scope, scoped, small_array
from .walk import STANDARD, messages, operators, tensors

MOST_VALUES = 1 << 28  # of one batch or one declared tensor: 1 GiB in float32
_MOST_MADE = 1 << 27  # values of one tensor that an operator makes of constants, which happens while the model loads
_SWELL = 8  # bytes that a byte of a file can stand for, where numbers are packed
_RANDOM = {
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
    "Sampling",
}
_DYNAMIC = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}
_DROPOUTS = {"Dropout", "BiasDropout", "BitmaskDropout", "BitmaskBiasDropout"}
_SHAPING = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}  # operator -> its input that multiplies values


def require_no_shared_scale(proto: onnx.ModelProto) -> None:
    """`ModelError` for operators that quantise all rows of a batch with one scale, measured on the batch."""
    shared = sorted(operators(proto) & _DYNAMIC)
    if shared:
        raise ModelError(
            f"the model is quantised dynamically ({', '.join(shared)}): one scale for all rows of a batch makes an "
            "answer depend on the other rows; pass `batch_size=1`, or quantise it statically"
        )


def random_operators(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Operators that draw random numbers or run in training mode, as far as the graph can tell."""
    return tuple(sorted({n.op_type for n, scope in scoped(proto) if n.op_type in _RANDOM or _trains(n, scope)}))


def require_plausible(proto: onnx.ModelProto, size: int, where: str) -> None:
    """`ModelError` for a graph that would take far more memory or time than its file has bytes.

    `size`: bytes of the file. All is counted before anything is expanded. Nor for one that names two versions of a
    domain, or two outputs alike, or has a tensor of a negative size.
    """
    require_one_meaning(proto, where)
    require_bounded_functions(proto, where)
    every = [*tensors(proto, everywhere=True), *messages(proto, onnx.SparseTensorProto, everywhere=True)]
    if any(size < 0 for tensor in every for size in tensor.dims):
        raise ModelError(f"{where}: expected tensors of sizes from 0 on, got one of a negative size; export it again")
    declared = sum(_bytes(t) for t in tensors(proto) if t.data_location != TensorProto.EXTERNAL)
    if declared > _SWELL * size:
        raise ModelError(
            f"{where}: expected a file that holds its weights, {declared:,} bytes by their shapes, got {size:,} bytes; "
            "copy or export the model again"
        )
    dense = [math.prod(sparse.dims) for sparse in messages(proto, onnx.SparseTensorProto)]
    shapes = [[d.dim_value for d in v.type.tensor_type.shape.dim if d.dim_value > 0] for v in proto.graph.input]
    made = [_made(node, scope) for node, scope in scoped(proto) if node.op_type in {*_SHAPING, "Range"}]
    for sizes, most in (([*dense, *map(math.prod, shapes)], MOST_VALUES), (made, _MOST_MADE)):
        if max(sizes, default=0) > most:
            raise ModelError(
                f"{where}: expected tensors of at most {most:,} values, got one declared with {max(sizes):,}; "
                "make the model's input or constants smaller"
            )


def require_one_meaning(proto: onnx.ModelProto, where: str) -> None:
    """`ModelError` where the version of an operator, or an output's name, could be read in two ways."""
    for body in (proto, *proto.functions):
        versions: dict[str, set[int]] = {}
        for entry in body.opset_import:
            domain = "the standard operators" if entry.domain in STANDARD else entry.domain
            versions.setdefault(domain, set()).add(entry.version)
        for domain, found in versions.items():
            if len(found) > 1:
                got = " and ".join(map(str, sorted(found)))
                raise ModelError(f"{where}: expected one opset of {domain}, got {got}; export the model again")
    names = [value.name for value in proto.graph.output]
    if len(set(names)) < len(names):
        raise ModelError(f"{where}: expected outputs with names of their own, got two alike; export the model again")


def _trains(node: onnx.NodeProto, scope: Scope) -> bool:
    if any(a.name == "training_mode" and (a.i or a.ref_attr_name) for a in node.attribute):
        return True
    if node.op_type in _DROPOUTS:
        flag = (4 if "Bias" in node.op_type else 2) if len(node.input) else 0
        if len(node.input) <= flag or not node.input[flag]:
            return False
        mode = small_array(scope.get(node.input[flag]))
        return mode is None or bool(mode.any())
    # Before opset 14, running statistics as outputs said that a BatchNormalization is one in training.
    return node.op_type == "BatchNormalization" and any(node.output[1:])


def _made(node: onnx.NodeProto, scope: Scope) -> int:
    """Values that an operator makes by constants alone, as far as they are written there; 0 where they are not."""
    places = range(3) if node.op_type == "Range" else [_SHAPING[node.op_type]]
    values: list[float] = []
    for place in places:
        found = small_array(scope.get(node.input[place])) if place < len(node.input) else None
        if found is None or found.dtype.kind not in "iuf" or not np.isfinite(found).all():
            return 0
        values += found.ravel().tolist()
    if node.op_type != "Range":
        return int(math.prod(map(int, values)))
    if len(values) != 3 or values[2] == 0:
        return 0
    return max(0, math.ceil((values[1] - values[0]) / values[2]))


def _bytes(tensor: TensorProto) -> int:
    """Bytes that a tensor's declared shape takes; 0 for strings and types that this version of ONNX does not know."""
    try:
        kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except KeyError:
        return 0
    return 0 if kind.kind == "O" else math.prod(tensor.dims) * kind.itemsize
