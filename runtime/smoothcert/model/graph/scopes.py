"""Names by scope: a name inside a subgraph hides the one outside, and what is not proved constant is unknown."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Iterator, MutableMapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .walk import STANDARD, Body, inside

_SMALL = 100  # values of a constant that is looked into

Scope = MutableMapping[str, TensorProto | None]  # name -> its value, None where it is no constant


def scoped(proto: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, Scope]]:
    """Every node with the constants that it can see."""
    empty: ChainMap[str, TensorProto | None] = ChainMap()
    for body in (proto.graph, *proto.functions):
        yield from _nodes(body, empty, is_called=body is not proto.graph)


def small_array(tensor: TensorProto | None) -> NDArray[Any] | None:
    """The values of a small constant, where the file itself holds them."""
    if tensor is None or tensor.data_location == TensorProto.EXTERNAL or math.prod(tensor.dims) > _SMALL:
        return None
    try:
        return numpy_helper.to_array(tensor)
    except Exception:
        return None


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
        for inner in inside(node):
            yield from _nodes(inner, scope, is_called=True)


def _constant(node: onnx.NodeProto) -> TensorProto | None:
    """The value of a Constant node; None for any other, and for one that its function's caller fills in."""
    if node.op_type != "Constant" or node.domain not in STANDARD or len(node.attribute) != 1:
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
