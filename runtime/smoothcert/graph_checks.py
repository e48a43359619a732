"""What an ONNX graph may hold: bounded when its functions are written out, no randomness, no shared scale.

Names are read by scope: a name inside a subgraph hides the one outside, and what cannot be proved constant counts as
unknown.
"""

from __future__ import annotations

import functools
import math
from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, inliner, numpy_helper

from .errors import ModelError, first_line

MOST_NODES = 200_000  # of a graph whose functions are written out; ONNX Runtime takes some 10 s to load as many
MOST_DEPTH = 100  # of functions that call functions
MOST_CODE = 256 << 20  # bytes of all nodes that functions are written out to
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
_STANDARD = ("", "ai.onnx")
_HOLDERS = {"Constant", "ConstantOfShape", "If", "Loop", "Scan", "SequenceMap"}  # the standard's own, with more inside

Body = onnx.GraphProto | onnx.FunctionProto
Key = tuple[str, str, str]  # domain, name and overload of a function
Scope = MutableMapping[str, TensorProto | None]  # name -> its value, None where it is no constant


def operators(proto: onnx.ModelProto) -> set[str]:
    """Names of all operators, those in functions and subgraphs too."""
    return {node.op_type for body in (proto.graph, *proto.functions) for graph in _within(body) for node in graph.node}


def shared_scales(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Operators that quantise all rows of a batch with one scale, measured on the batch."""
    return tuple(sorted(operators(proto) & _DYNAMIC))


def random_operators(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Operators that draw random numbers or run in training mode, as far as the graph can tell."""
    return tuple(sorted({n.op_type for n, scope in _scoped(proto) if n.op_type in _RANDOM or _trains(n, scope)}))


def require_plausible(proto: onnx.ModelProto, size: int, where: str) -> None:
    """`ModelError` for a graph that would take far more memory or time than its file has bytes.

    `size`: bytes of the file. Functions, written out, come to at most MOST_NODES nodes and MOST_CODE bytes, MOST_DEPTH
    deep and never recursive; tensors declare about what the file holds; no input and no sparse tensor has more than
    MOST_VALUES values, and none that constants size more than 2^27. All this is counted before anything is expanded.
    """
    _require_bounded_functions(proto, where)
    declared = sum(_bytes(t) for t in tensors(proto) if t.data_location != TensorProto.EXTERNAL)
    if declared > _SWELL * size:
        raise ModelError(
            f"{where}: expected a file that holds its weights, {declared:,} bytes by their shapes, got {size:,} bytes; "
            "copy or export the model again"
        )
    dense = [math.prod(sparse.dims) for sparse in _messages(proto, onnx.SparseTensorProto)]
    shapes = [[d.dim_value for d in v.type.tensor_type.shape.dim if d.dim_value > 0] for v in proto.graph.input]
    made = [_made(node, scope) for node, scope in _scoped(proto) if node.op_type in {*_SHAPING, "Range"}]
    for sizes, most in (([*dense, *map(math.prod, shapes)], MOST_VALUES), (made, _MOST_MADE)):
        if max(sizes, default=0) > most:
            raise ModelError(
                f"{where}: expected tensors of at most {most:,} values, got one declared with {max(sizes):,}; "
                "make the model's input or constants smaller"
            )


def inlined(proto: onnx.ModelProto, where: str = "the model") -> onnx.ModelProto:
    """The model with its local functions written out; itself where it has none."""
    if not proto.functions:
        return proto
    try:
        return inliner.inline_local_functions(proto)
    except Exception as error:
        raise ModelError(
            f"{where}: its local functions cannot be written out ({first_line(error)}); export it without them"
        ) from None


def tensors(proto: onnx.ModelProto, *, everywhere: bool = False) -> Iterator[TensorProto]:
    """Every tensor of the model; with `everywhere`, also those in places where ONNX Runtime refuses them."""
    yield from _messages(proto, TensorProto, everywhere=everywhere)


def _require_bounded_functions(proto: onnx.ModelProto, where: str) -> None:
    functions: dict[Key, onnx.FunctionProto] = {
        (f.domain, f.name, getattr(f, "overload", "")): f for f in proto.functions
    }
    if len(functions) < len(proto.functions):
        raise ModelError(f"{where}: expected functions with names of their own, got one defined twice; export it again")
    called = {key: _calls(f, functions) for key, f in functions.items()}
    sizes: dict[Key, tuple[int, int, int]] = {}
    try:
        for key in TopologicalSorter({key: set(calls) for key, (_, calls) in called.items()}).static_order():
            sizes[key] = _expanded(called[key], sizes, functions[key].ByteSize())
    except CycleError as error:
        names = " and ".join(dict.fromkeys(name for _, name, _ in error.args[1]))
        raise ModelError(f"{where}: expected functions that end, got {names}, which call themselves") from None
    nodes, code, depth = _expanded(_calls(proto.graph, functions), sizes, 0)
    deepest = max((size[2] for size in sizes.values()), default=depth)
    for got, most, what in (
        (nodes, MOST_NODES, "nodes with its functions written out"),
        (code, MOST_CODE, "bytes of functions written out"),
        (deepest, MOST_DEPTH, "functions within functions"),
    ):
        if got > most:
            raise ModelError(f"{where}: expected at most {most:,} {what}, got {got:,}; export a smaller graph")


def _calls(body: Body, functions: Mapping[Key, object]) -> tuple[int, list[Key]]:
    """Nodes of a body that call no function, subgraphs included, and the functions that the others call."""
    nodes = [node for graph in _within(body) for node in graph.node]
    keys = ((node.domain, node.op_type, getattr(node, "overload", "")) for node in nodes)
    calls = [key for key in keys if key in functions]
    return len(nodes) - len(calls), calls


def _expanded(
    called: tuple[int, list[Key]], sizes: Mapping[Key, tuple[int, int, int]], own: int
) -> tuple[int, int, int]:
    """Nodes, bytes and depth of a body with all calls written out."""
    count, calls = called
    inner = [sizes[key] for key in calls]
    depth = 1 + max((size[2] for size in inner), default=-1)
    return count + sum(size[0] for size in inner), own + sum(size[1] for size in inner), depth


def _within(body: Body) -> Iterator[Body]:
    """The graph or function, and the graphs inside its nodes."""
    left: list[Body] = [body]
    while left:
        graph = left.pop()
        yield graph
        for node in graph.node:
            left += _inside(node)


def _inside(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs inside a node."""
    if not _holds(node):
        return []
    return [g for a in node.attribute for g in (*a.graphs, *([a.g] if a.HasField("g") else []))]


def _holds(node: onnx.NodeProto) -> bool:
    """Whether a node may hold graphs or tensors: ONNX Runtime refuses attributes that an operator does not have."""
    return node.op_type in _HOLDERS or node.domain not in _STANDARD


def _scoped(proto: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, Scope]]:
    """Every node with the constants that it can see."""
    empty: ChainMap[str, TensorProto | None] = ChainMap()
    for body in (proto.graph, *proto.functions):
        yield from _nodes(body, empty, is_called=body is not proto.graph)


def _nodes(
    body: Body, outer: ChainMap[str, TensorProto | None], *, is_called: bool
) -> Iterator[tuple[onnx.NodeProto, Scope]]:
    """`is_called`: the body's inputs are given by its caller, so that initializers of their names are none."""
    own: dict[str, TensorProto | None] = {}
    if isinstance(body, onnx.GraphProto):
        formal = {value.name for value in body.input} if is_called else set()
        own |= {t.name: None if t.name in formal else t for t in body.initializer}
        names = [value.name for value in body.input] + [s.values.name for s in body.sparse_initializer]
    else:
        names = list(body.input)
    own |= {name: own.get(name) for name in names}
    for node in body.node:
        own |= {name: None if name in own else _constant(node) for name in node.output if name}
    scope = outer.new_child(own)
    for node in body.node:
        yield node, scope
        for inner in _inside(node):
            yield from _nodes(inner, scope, is_called=True)


def _constant(node: onnx.NodeProto) -> TensorProto | None:
    """The value of a Constant node; None for any other, and for one that its function's caller fills in."""
    if node.op_type != "Constant" or node.domain not in _STANDARD or len(node.attribute) != 1:
        return None
    (attribute,) = node.attribute
    if attribute.ref_attr_name:
        return None
    if attribute.HasField("t"):
        value: TensorProto = attribute.t
        return value
    if attribute.name in ("value_int", "value_ints"):
        return numpy_helper.from_array(np.array(helper.get_attribute_value(attribute), np.int64))
    return None


def _array(tensor: TensorProto | None) -> NDArray[Any] | None:
    """The values of a small constant, where the file itself holds them."""
    if tensor is None or tensor.data_location == TensorProto.EXTERNAL or math.prod(tensor.dims) > MOST_DEPTH:
        return None
    try:
        return numpy_helper.to_array(tensor)
    except Exception:
        return None


def _trains(node: onnx.NodeProto, scope: Scope) -> bool:
    """Whether a node runs in training mode, or may."""
    if any(a.name == "training_mode" and (a.i or a.ref_attr_name) for a in node.attribute):
        return True
    if node.op_type in _DROPOUTS:
        flag = (4 if "Bias" in node.op_type else 2) if len(node.input) else 0
        if len(node.input) <= flag or not node.input[flag]:
            return False
        mode = _array(scope.get(node.input[flag]))
        return mode is None or bool(mode.any())
    # Before opset 14, running statistics as outputs said that a BatchNormalization is one in training.
    return node.op_type == "BatchNormalization" and any(node.output[1:])


def _made(node: onnx.NodeProto, scope: Scope) -> int:
    """Values that an operator makes by constants alone, as far as they are written there; 0 where they are not."""
    places = range(3) if node.op_type == "Range" else [_SHAPING[node.op_type]]
    values: list[float] = []
    for place in places:
        found = _array(scope.get(node.input[place])) if place < len(node.input) else None
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


@functools.cache
def _paths(target: str) -> Mapping[str, frozenset[str]]:
    """For each kind of message of the format, its fields that lead to a message of the kind `target`."""
    kinds = onnx.ModelProto.DESCRIPTOR.file.message_types_by_name.values()
    nested = [inner for kind in kinds for inner in kind.nested_types]
    fields = [
        (k.full_name, f.name, f.message_type.full_name) for k in (*kinds, *nested) for f in k.fields if f.message_type
    ]
    reach = {target}
    while more := {kind for kind, _, inner in fields if inner in reach} - reach:
        reach |= more
    return {k: frozenset(name for kind, name, inner in fields if kind == k and inner in reach) for k in reach}


def _messages(proto: onnx.ModelProto, kind: Any, *, everywhere: bool = False) -> Iterator[Any]:
    """Every message of one kind inside the model, by the format's own description; see `tensors`."""
    target = kind.DESCRIPTOR.full_name
    paths = _paths(target)
    left: list[Any] = [proto]
    while left:
        message = left.pop()
        if message.DESCRIPTOR.full_name == target:
            yield message
            continue
        if not everywhere and isinstance(message, onnx.NodeProto) and not _holds(message):
            continue
        for field, value in message.ListFields():
            if field.name in paths[message.DESCRIPTOR.full_name]:
                left += [value] if hasattr(value, "DESCRIPTOR") else value
