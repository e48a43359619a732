"""Local functions of an ONNX model: bounded before they are written out, then written out."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

import onnx
from onnx import inliner

from ...errors import ModelError, first_line
from .walk import STANDARD, Body, within

MOST_NODES = 200_000  # of a graph whose functions are written out; ONNX Runtime takes some 10 s to load as many
MOST_DEPTH = 100  # of functions that call functions
MOST_CODE = 256 << 20  # bytes of all nodes that functions are written out to

Key = tuple[str, str, str]  # domain, name and overload of a function


def inlined(proto: onnx.ModelProto, where: str = "the model") -> onnx.ModelProto:
    """The model with its local functions written out; `ModelError` where a call of one would be left."""
    if not proto.functions:
        return proto
    found, left = _inlined(proto, where)
    if left:
        raise ModelError(
            f"{where}: expected functions that can be written out, got {left[0]}, whose opsets are others than the "
            "model's; export it again without functions, or with one opset"
        )
    return found


def standing(proto: onnx.ModelProto, where: str = "the model") -> list[str]:
    """Names of the functions that are still called, or there, once all are written out that can be."""
    return _inlined(proto, where)[1] if proto.functions else []


def _inlined(proto: onnx.ModelProto, where: str) -> tuple[onnx.ModelProto, list[str]]:
    try:
        found: onnx.ModelProto = inliner.inline_local_functions(proto)
    except Exception as error:
        raise ModelError(
            f"{where}: its local functions cannot be written out ({first_line(error)}); export it without them"
        ) from None
    names = {_name(f.domain, f.name) for f in proto.functions}
    left = {_name(f.domain, f.name) for f in found.functions}
    left |= {_name(n.domain, n.op_type) for graph in within(found.graph) for n in graph.node} & names
    return found, sorted(left)


def _name(domain: str, name: str) -> str:
    return name if domain in STANDARD else f"{domain}::{name}"


def require_bounded_functions(proto: onnx.ModelProto, where: str) -> None:
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
    nodes = [node for graph in within(body) for node in graph.node]
    keys = ((node.domain, node.op_type, getattr(node, "overload", "")) for node in nodes)
    calls = [key for key in keys if key in functions]
    return len(nodes) - len(calls), calls


def _expanded(
    called: tuple[int, list[Key]], sizes: Mapping[Key, tuple[int, int, int]], own: int
) -> tuple[int, int, int]:
    count, calls = called
    inner = [sizes[key] for key in calls]
    depth = 1 + max((size[2] for size in inner), default=-1)
    return count + sum(size[0] for size in inner), own + sum(size[1] for size in inner), depth
