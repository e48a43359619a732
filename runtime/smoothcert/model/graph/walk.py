"""Walking through everything that an ONNX model holds: subgraphs, functions, and messages of any kind."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import onnx
from onnx import TensorProto

STANDARD = ("", "ai.onnx")  # names of the domain of the standard operators
_HOLDERS = {"Constant", "ConstantOfShape", "If", "Loop", "Scan", "SequenceMap"}  # the standard's own, with more inside

Body = onnx.GraphProto | onnx.FunctionProto


def operators(proto: onnx.ModelProto) -> set[str]:
    """Names of all operators, those in functions and subgraphs too."""
    return {node.op_type for body in (proto.graph, *proto.functions) for graph in within(body) for node in graph.node}


def tensors(proto: onnx.ModelProto, *, everywhere: bool = False) -> Iterator[TensorProto]:
    """Every tensor of the model; with `everywhere`, also those in places where ONNX Runtime refuses them."""
    yield from messages(proto, TensorProto, everywhere=everywhere)


def within(body: Body) -> Iterator[Body]:
    """The graph or function, and the graphs inside its nodes."""
    left: list[Body] = [body]
    while left:
        graph = left.pop()
        yield graph
        for node in graph.node:
            left += inside(node)


def inside(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs inside a node."""
    if not _holds(node):
        return []
    return [g for a in node.attribute for g in (*a.graphs, *([a.g] if a.HasField("g") else []))]


def _holds(node: onnx.NodeProto) -> bool:
    """Whether a node may hold graphs or tensors: ONNX Runtime refuses attributes that an operator does not have."""
    return node.op_type in _HOLDERS or node.domain not in STANDARD


def messages(proto: onnx.ModelProto, kind: Any, *, everywhere: bool = False) -> Iterator[Any]:
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


@functools.cache
def _paths(target: str) -> Mapping[str, frozenset[str]]:
    """For each kind of message of the format, its fields that lead to a message of the kind `target`."""
    kinds = onnx.ModelProto.DESCRIPTOR.file.message_types_by_name.values()
    nested = [inner for kind in kinds for inner in kind.nested_types]
    fields = [
        (k.full_name, f.name, f.message_type.full_name) for k in (*kinds, *nested) for f in k.fields if f.message_type
    ]
    found = {target}
    while more := {kind for kind, _, inner in fields if inner in found} - found:
        found |= more
    return {k: frozenset(name for kind, name, inner in fields if kind == k and inner in found) for k in found}
