"""Small questions and small changes to an ONNX graph, shared by what adapts it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from smoothcert.errors import ModelError

Array = NDArray[Any]
ML_DOMAIN = "ai.onnx.ml"


class CannotAdapt(ModelError):
    """A change that this graph does not allow; the message says why, as the end of a sentence."""


def opset(proto: onnx.ModelProto) -> int:
    """Version of the standard operators; 1 where the file names none."""
    return max((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), default=1)


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of an attribute, or the default."""
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def set_attribute(node: onnx.NodeProto, name: str, value: Any) -> None:
    keep(node.attribute, lambda a: a.name != name)
    node.attribute.append(helper.make_attribute(name, value))


def keep(items: Any, wanted: Callable[[Any], bool]) -> None:
    """Leave out of a list of a graph (nodes, initializers, inputs) what is not wanted."""
    for i in reversed(range(len(items))):
        if not wanted(items[i]):
            del items[i]


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs inside a node (branches of If, bodies of Loop and Scan)."""
    for entry in node.attribute:
        yield from entry.graphs
        if entry.HasField("g"):
            yield entry.g


def reads(node: onnx.NodeProto) -> set[str]:
    """Names that a node, or a graph inside it, takes from the graph that it stands in."""
    names = set(node.input)
    for graph in subgraphs(node):
        own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        for inner in graph.node:
            names |= reads(inner) - own
            own |= set(inner.output)
        names |= {value.name for value in graph.output} - own
    return names - {""}


def constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Initializers by name."""
    return {tensor.name: tensor for tensor in graph.initializer}


def inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Graph inputs that are no initializers."""
    weights = constants(graph)
    return [value for value in graph.input if value.name not in weights]


def array(tensor: onnx.TensorProto, folder: str) -> Array:
    """The values of a tensor, read from its own file where they lie outside."""
    return numpy_helper.to_array(tensor, base_dir=folder)


def consumers(graph: onnx.GraphProto) -> Counter[str]:
    """How often every name is read, graph outputs included."""
    return Counter([name for node in graph.node for name in reads(node)] + [value.name for value in graph.output])


def fresh(graph: onnx.GraphProto, stem: str) -> str:
    """A name that nothing in the graph has yet, the same in every run."""
    taken = {name for node in graph.node for name in (*node.input, *node.output)} | set(constants(graph))
    taken |= {value.name for value in (*graph.input, *graph.output)}
    return next(name for i in range(len(taken) + 1) if (name := f"{stem}_{i}") not in taken)


def add_constant(graph: onnx.GraphProto, stem: str, values: Array) -> str:
    """A new initializer; its name."""
    name = fresh(graph, stem)
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
    return name


def refill(items: Any, others: Iterable[Any]) -> None:
    """Replace all entries of a list of a graph by others, in this order."""
    kept = list(others)
    del items[:]
    items.extend(kept)


def order(graph: onnx.GraphProto) -> None:
    """Nodes behind those they read from, as ONNX wants it; converters append theirs."""
    maker = {name: i for i, node in enumerate(graph.node) for name in node.output}
    behind = {i: sorted({maker[n] for n in reads(node) if n in maker}) for i, node in enumerate(graph.node)}
    refill(graph.node, [graph.node[i] for i in TopologicalSorter(behind).static_order()])


def rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename tensors wherever a node of the graph, or of a graph inside it, writes or reads them."""
    for node in graph.node:
        for found in (node.input, node.output):
            for i, name in enumerate(found):
                found[i] = names.get(name, name)
        for inner in subgraphs(node):
            own = defined(inner) | {value.name for value in inner.input}
            outer = {old: new for old, new in names.items() if old not in own}
            rename(inner, outer)
            for value in inner.output:
                value.name = outer.get(value.name, value.name)


def defined(graph: onnx.GraphProto) -> set[str]:
    """Names that a graph gives to its constants and to what its nodes compute."""
    return set(constants(graph)) | {name for node in graph.node for name in node.output} - {""}


def prune(graph: onnx.GraphProto) -> None:
    """Drop nodes that no output needs, initializers that nothing reads, and initializers listed as inputs."""
    needed = {value.name for value in graph.output}
    for i in reversed(range(len(graph.node))):
        if needed & set(graph.node[i].output):
            needed |= reads(graph.node[i])
        else:
            del graph.node[i]
    weights = constants(graph)
    keep(graph.input, lambda value: value.name not in weights)
    keep(graph.initializer, lambda tensor: tensor.name in needed)


def is_standard(node: onnx.NodeProto) -> bool:
    return node.domain in ("", "ai.onnx")


def static_shape(value: onnx.ValueInfoProto) -> tuple[int | None, ...] | None:
    """Sizes of the axes, None for a free one; None where the file does not say."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in kind.shape.dim)


def element_type(graph: onnx.GraphProto) -> int:
    """Type of the input's values, as ONNX numbers it."""
    return inputs(graph)[0].type.tensor_type.elem_type


def fixed_batch(graph: onnx.GraphProto) -> int | None:
    """The size that the batch axis of the input is fixed to; None where it is free."""
    return (static_shape(inputs(graph)[0]) or (None,))[0]


def set_shape(value: onnx.ValueInfoProto, shape: Sequence[int | str]) -> None:
    """Declare the shape of an input or output, names for free axes."""
    kind = value.type.tensor_type
    value.CopyFrom(helper.make_tensor_value_info(value.name, kind.elem_type or TensorProto.FLOAT, shape))
