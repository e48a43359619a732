"""Two graphs as one, the second behind the first; nothing of either changes but names."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import compose, helper

from .adapt.conversion import upgraded
from .frameworks.naming import canonical
from .graph import opset


def joined(
    ahead: onnx.ModelProto, behind: onnx.ModelProto, *, between: tuple[str, str], ends: tuple[str, str]
) -> onnx.ModelProto:
    """One model: `between` names an output of `ahead` and the input of `behind` that it becomes.

    `ends`: the names that the one input of `ahead` and the one output of `behind` get. Weights must be in memory. The
    older of two opsets is upgraded, see `upgraded`. The same two graphs give the same bytes. Metadata are left out.
    """
    newest = max(opset(ahead), opset(behind))
    ahead, behind = (model if opset(model) == newest else upgraded(model, newest) for model in (ahead, behind))
    first, second = (compose.add_prefix(model, prefix) for model, prefix in ((ahead, "ahead/"), (behind, "behind/")))
    (given,), (found,) = ([value.name for value in values] for values in (first.graph.input, second.graph.output))
    graph = compose.merge_graphs(
        first.graph, second.graph, io_map=[(f"ahead/{between[0]}", f"behind/{between[1]}")], outputs=[found]
    )
    versions = {entry.domain: entry.version for model in (first, second) for entry in model.opset_import}
    both = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in sorted(versions.items())],
        ir_version=max(first.ir_version, second.ir_version),
    )
    renamed(both.graph, {given: ends[0], found: ends[1]})
    canonical(both)
    return both


def renamed(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Give values of a graph other names."""
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
