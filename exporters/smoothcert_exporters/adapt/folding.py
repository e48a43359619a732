"""Constants computed ahead, and BatchNormalization folded into the layer before it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..graph import (
    Array,
    CannotAdapt,
    add_constant,
    array,
    attribute,
    constants,
    consumers,
    defined,
    is_standard,
    keep,
    prune,
    reads,
    refill,
    rename,
    static_shape,
)
from ..proof.trial import observe, observe_shapes
from .shapes import proved

_MOST = 64 << 20  # bytes of one constant computed ahead
_SMALL = 1 << 16  # of one that an operator makes from less
_GROWS = {"ConstantOfShape", "Expand", "Tile", "Range", "OneHot", "EyeLike", "Pad", "Resize", "Upsample"}
_KEPT = {"QuantizeLinear", "DequantizeLinear"}  # ONNX Runtime finds its 8-bit kernels by them


def constant_nodes(proto: onnx.ModelProto) -> None:
    """Turn Constant nodes into initializers."""
    graph = proto.graph
    gone: set[str] = set()
    for node in graph.node:
        values = _constant(node) if node.op_type == "Constant" and is_standard(node) else None
        if values is not None:
            values.name = node.output[0]
            graph.initializer.append(values)
            gone.add(values.name)
    keep(graph.node, lambda node: gone.isdisjoint(node.output))


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    if len(node.attribute) != 1:
        return None  # ONNX Runtime refuses it
    (entry,) = node.attribute
    value: Any = helper.get_attribute_value(entry)
    if isinstance(value, onnx.TensorProto):
        return deepcopy(value)
    if entry.name in ("value_float", "value_floats"):
        return numpy_helper.from_array(np.array(value, np.float32))
    if entry.name in ("value_int", "value_ints"):
        return numpy_helper.from_array(np.array(value, np.int64))
    return None


def fold_constants(proto: onnx.ModelProto, folder: str, shape: tuple[int, ...], *, static: bool) -> int:
    """Compute ahead what does not depend on the input, on one run with inputs of that shape; how many nodes went.

    `static`: the shape is fixed, batch included, so that shapes of tensors are constants too, where they are proved
    not to depend on values. `CannotAdapt` where the file says otherwise of such a shape than what it is.
    """
    graph = proto.graph
    fixed = proved(graph).values if static else _of_constants(graph)
    nodes = [node for node in graph.node if set(node.output) - {""} <= fixed]
    if not nodes:
        return 0
    made = [name for node in nodes for name in node.output if name]
    measured = [node.input[0] for node in nodes if node.op_type in ("Shape", "Size")]
    sizes = observe_shapes(proto, folder, shape, list(dict.fromkeys([*made, *measured])))
    _require_honest(graph, {name: sizes[name] for name in measured})
    done: set[str] = set()
    for node in nodes:
        limit = _SMALL if node.op_type in _GROWS else _MOST
        if node.op_type not in _KEPT and all(8 * np.prod(sizes[name], dtype=float) <= limit for name in node.output):
            done |= set(node.output)
    staying = [node for node in graph.node if not set(node.output) <= done]
    needed = {name for node in staying for name in reads(node)} | {value.name for value in graph.output}
    wanted = [name for name in made if name in done & needed]
    values = observe(proto, folder, shape, wanted)
    if any(not isinstance(value, np.ndarray) for value in values.values()):
        return 0  # sequences
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items())
    before = len(graph.node)
    refill(graph.node, staying)
    prune(graph)
    return before - len(graph.node)


def take_branches(proto: onnx.ModelProto, folder: str) -> int:
    """Replace every If whose condition is an initializer by the branch that it takes; returns how many."""
    graph, weights = proto.graph, constants(proto.graph)
    nodes: list[onnx.NodeProto] = []
    count, stem = 0, "smoothcert_branch"
    while any(name.startswith(stem) for name in defined(graph)):
        stem += "_"
    for node in graph.node:
        if node.op_type != "If" or not is_standard(node) or node.input[0] not in weights:
            nodes.append(node)
            continue
        yes = bool(array(weights[node.input[0]], folder).reshape(-1)[0])
        branch: onnx.GraphProto = attribute(node, "then_branch" if yes else "else_branch")
        if branch.sparse_initializer:
            raise CannotAdapt("a branch of an If has sparse constants")
        _own_names(branch, f"{stem}{count}_")
        graph.initializer.extend(branch.initializer)
        graph.value_info.extend(branch.value_info)
        ends = zip(branch.output, node.output, strict=True)
        nodes += [*branch.node, *(helper.make_node("Identity", [inner.name], [name]) for inner, name in ends)]
        count += 1
    if count:
        refill(graph.node, nodes)
        prune(graph)
    return count


def _own_names(branch: onnx.GraphProto, prefix: str) -> None:
    """Rename what a branch defines: two branches may give one name to different things."""
    names = {name: prefix + name for name in sorted(defined(branch))}
    rename(branch, names)
    for value in (*branch.initializer, *branch.value_info, *branch.output):
        value.name = names.get(value.name, value.name)


def _of_constants(graph: onnx.GraphProto) -> set[str]:
    """Names that are computed from initializers alone."""
    fixed = set(constants(graph))
    for node in graph.node:
        if reads(node) <= fixed:
            fixed |= set(node.output)
    return fixed


def _require_honest(graph: onnx.GraphProto, sizes: Mapping[str, tuple[int, ...]]) -> None:
    """`CannotAdapt` where the file declares another shape than was measured: ONNX Runtime may compute with that."""
    for value in graph.value_info:
        said, size = static_shape(value), sizes.get(value.name)
        if said is None or size is None:
            continue
        if len(said) != len(size) or any(n not in (None, m) for n, m in zip(said, size, strict=True)):
            raise CannotAdapt(f"the file says of {value.name!r} (value_info) a shape that it does not have")


def _norm(graph: onnx.GraphProto, node: onnx.NodeProto, folder: str) -> tuple[Array, Array] | None:
    """Factor and shift of each channel by a BatchNormalization; None where it does not compute with constants."""
    weights = constants(graph)
    if any(node.output[1:]) or any(name not in weights for name in node.input[1:]):
        return None
    if attribute(node, "training_mode", 0) or not attribute(node, "spatial", 1):
        return None
    scale, bias, mean, variance = (array(weights[name], folder).astype(float) for name in node.input[1:])
    factor = scale / np.sqrt(variance + float(attribute(node, "epsilon", 1e-5)))
    return factor, bias - mean * factor


def fold_batch_norm(proto: onnx.ModelProto, folder: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """Fold every BatchNormalization into the Conv, ConvTranspose, Gemm or MatMul before it, where there is one.

    Any other stays: one kernel of ONNX Runtime does it in one pass. `shapes`: those of the tensors that they take.
    """
    graph = proto.graph
    counts, settled = consumers(graph), proved(graph).shapes
    writers = {name: node for node in graph.node for name in node.output}
    count = 0
    for node in [n for n in graph.node if n.op_type == "BatchNormalization" and is_standard(n)]:
        norm = _norm(graph, node, folder)
        before = writers.get(node.input[0])
        if norm is None or before is None or counts[node.input[0]] != 1 or not is_standard(before):
            continue
        if before.op_type == "MatMul" and before.input[0] not in settled:
            continue  # the rank, and so the axis that is normalised, may be another
        vectors = len(shapes.get(before.input[0], ())) == 2
        if _into(graph, before, *norm, folder, vectors):
            if before.op_type == "MatMul":  # has no place for the shift
                dtype = helper.tensor_dtype_to_np_dtype(constants(graph)[before.input[1]].data_type)
                shift = add_constant(graph, "smoothcert_shift", norm[1].astype(dtype))
                node.CopyFrom(helper.make_node("Add", [node.input[0], shift], [node.output[0]], name=node.name))
            else:
                before.output[0] = node.output[0]
                writers[node.output[0]] = before
                graph.node.remove(node)
            count += 1
    prune(graph)
    return (f"BatchNormalization folded into the layer before it: {count}",) if count else ()


def _into(
    graph: onnx.GraphProto, node: onnx.NodeProto, factor: Array, shift: Array, folder: str, vectors: bool
) -> bool:
    """Scale the weights of a layer and shift its bias; False, and nothing done, where it is not that simple.

    `vectors`: it takes one for each row.
    """
    weights = constants(graph)
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or node.input[1] not in weights:
        return False
    old = weights[node.input[1]]
    rank = len(old.dims)
    axis = {"Conv": 0, "ConvTranspose": 1, "MatMul": rank - 1}.get(node.op_type, 1 - attribute(node, "transB", 0))
    one_channel_axis = node.op_type != "MatMul" or (rank == 2 and vectors)
    grouped = node.op_type == "ConvTranspose" and attribute(node, "group", 1) != 1
    if grouped or not one_channel_axis or old.dims[axis] != len(factor):
        return False
    dtype = helper.tensor_dtype_to_np_dtype(old.data_type)
    bias = node.input[2] if len(node.input) > 2 else ""  # a MatMul has none
    if bias and (bias not in weights or np.prod(weights[bias].dims) != len(factor)):
        return False
    if bias:
        beta = attribute(node, "beta", 1.0) if node.op_type == "Gemm" else 1.0
        shift = beta * array(weights[bias], folder).astype(float).reshape(-1) * factor + shift
    scaled = array(old, folder).astype(float) * factor.reshape([-1 if i == axis else 1 for i in range(rank)])
    node.input[1] = add_constant(graph, "smoothcert_weights", scaled.astype(dtype))
    if node.op_type != "MatMul":
        node.input[2:] = [add_constant(graph, "smoothcert_bias", shift.astype(dtype))]
    if node.op_type == "Gemm":
        keep(node.attribute, lambda a: a.name != "beta")
    return True
