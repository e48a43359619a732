"""One order and one set of names for a graph: converters that count on, or iterate over sets, give the same bytes."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from ..graph import prune, refill, subgraphs


def canonical(proto: onnx.ModelProto) -> None:
    """Order nodes by what the outputs need first, and number nodes, tensors and free axes in that order.

    Inputs and outputs of the model keep their names. Neither the names given nor the order of independent nodes and
    of initializers count: the same computation gives the same bytes.
    """
    graph = proto.graph
    prune(graph)
    refill(graph.node, [graph.node[i] for i in _order(graph)])
    names = {name: name for name in ("", *(value.name for value in (*graph.input, *graph.output)))}
    reads = [name for node in graph.node for name in _inputs(node)]
    place = {name: i for i, name in reversed(list(enumerate(reads)))}
    weights = sorted(graph.initializer, key=lambda tensor: place.get(tensor.name, len(reads)))
    _number(graph, weights, names)
    _rename(graph, names)
    refill(graph.initializer, weights)
    for value in (*graph.input, *graph.output):
        for i, axis in enumerate(value.type.tensor_type.shape.dim):
            if not axis.dim_value:
                axis.dim_param = f"axis_{i}" if i else "batch"
    graph.name, graph.doc_string = "classifier", ""


def _inputs(node: onnx.NodeProto) -> Iterator[str]:
    """Names that a node reads, those inside its graphs last, each in its order."""
    yield from node.input
    for graph in subgraphs(node):
        for inner in graph.node:
            yield from _inputs(inner)
        yield from (value.name for value in graph.output)


def _order(graph: onnx.GraphProto) -> list[int]:
    """The nodes' places in the order of computing the outputs, inputs of a node from the first to the last."""
    writer = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    order: list[int] = []
    done: set[int] = set()
    for value in graph.output:
        waiting = [writer[value.name]] if value.name in writer else []
        while waiting:
            node = graph.node[waiting[-1]]
            needed = (writer[name] for name in _inputs(node) if name in writer)
            missing = next((i for i in needed if i not in done), None)
            if missing is not None:
                waiting.append(missing)
                continue
            last = waiting.pop()
            if last not in done:
                done.add(last)
                order.append(last)
    return order


def _number(graph: onnx.GraphProto, weights: list[onnx.TensorProto], names: dict[str, str]) -> None:
    """A new name for every tensor of the graph and of the graphs inside."""
    for tensor in (*weights, *graph.input):
        names.setdefault(tensor.name, f"constant_{len(names)}")
    for node in graph.node:
        for inner in subgraphs(node):
            _number(inner, list(inner.initializer), names)
        for name in node.output:
            names.setdefault(name, f"value_{len(names)}")


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    del graph.value_info[:]
    for tensor in (*graph.initializer, *graph.input, *graph.output):
        tensor.name = names[tensor.name]
    for i, node in enumerate(graph.node):
        node.name = f"node_{i}"
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
        for inner in subgraphs(node):
            _rename(inner, names)
