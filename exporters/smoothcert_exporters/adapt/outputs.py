"""One output that is a classifier's: maps of classes unpacked, the scores found among several outputs."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from smoothcert.errors import ModelError
from smoothcert.model.labels import to_labels

from ..graph import (
    Array,
    attribute,
    consumers,
    element_type,
    fixed_batch,
    fresh,
    inputs,
    keep,
    prune,
    rename,
    set_shape,
)
from ..proof.trial import input_shape, random_rows, runner

_TOLD = 12  # class names that a message can hold
_UNREADABLE = (TensorProto.UNDEFINED, TensorProto.STRING)
_ROUNDING = 1e-5  # of the range of scores: steps down that are none


def unzip(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Give outputs that are maps from classes to scores (ZipMap) as tables, under their own names."""
    graph, changes = proto.graph, []
    for value in graph.output:
        node = next((n for n in graph.node if n.op_type == "ZipMap" and value.name in n.output), None)
        if node is None:
            continue
        source = node.input[0]
        texts = [text.decode() for text in attribute(node, "classlabels_strings", [])]
        classes = attribute(node, "classlabels_int64s") or texts
        graph.node.remove(node)
        if source in {v.name for v in (*graph.output, *graph.input)}:
            graph.node.append(helper.make_node("Identity", [source], [value.name]))
        else:
            rename(graph, {source: value.name})
        value.type.tensor_type.elem_type = TensorProto.FLOAT
        set_shape(value, [fixed_batch(graph) or "batch", len(classes)])
        told = ", ".join(map(str, classes[:_TOLD])) + (", ..." if len(classes) > _TOLD else "")
        changes.append(f"ZipMap removed: output {value.name!r} is a table of scores, a column a class: {told}")
    return tuple(changes)


def keep_output(proto: onnx.ModelProto, name: str) -> tuple[str, ...]:
    """Leave one output of several, and of the inputs those that it needs."""
    graph = proto.graph
    others = [value.name for value in graph.output if value.name != name]
    keep(graph.output, lambda value: value.name == name)
    prune(graph)
    changes = [f"outputs {', '.join(others)} left out, {name!r} kept"] if others else []
    return (*changes, *drop_dead_inputs(proto))


def drop_dead_inputs(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Leave out inputs that no node reads."""
    graph = proto.graph
    used = consumers(graph)
    dead = [value.name for value in inputs(graph) if value.name not in used]
    keep(graph.input, lambda value: value.name not in dead)
    return (f"inputs that nothing reads left out: {', '.join(dead)}",) if dead else ()


def scores_output(proto: onnx.ModelProto, folder: str) -> str:
    """The output to certify of a graph with several: scores, or labels where these are not their argmax.

    Raises a `ModelError` that asks for the output's name where several could be meant.
    """
    names: list[str] = [value.name for value in proto.graph.output]
    if len(names) == 1:
        return names[0]
    ask = f"{len(names)} outputs; pass `output` with one of: {', '.join(names)}"
    shape = input_shape(proto)
    if shape is None or len(inputs(proto.graph)) != 1:
        raise ModelError(ask)
    rows, batch = random_rows(element_type(proto.graph), shape), fixed_batch(proto.graph) or 1
    readable: list[str] = [v.name for v in proto.graph.output if v.type.tensor_type.elem_type not in _UNREADABLE]
    found = {name: runner(proto, folder, name).by(rows, batch) for name in readable}
    labels = {name: answer for name, table in found.items() if (answer := _answers(table)) is not None}
    tables = [name for name in labels if found[name].dtype.kind == "f"]
    single = [name for name in labels if found[name].dtype.kind != "f"]
    differ = any((labels[name] != labels[tables[0]]).any() for name in tables)
    if len(single) > 1 or differ or not all(_same_order(found[name], found[tables[0]]) for name in tables):
        raise ModelError(ask)
    if not tables and not single:
        raise ModelError(f"expected an output of scores or integer labels, got none among {', '.join(names)}")
    if single and (not tables or (labels[single[0]] != labels[tables[0]]).any()):
        return single[0]
    return next((name for name in tables if "logit" in name.lower()), tables[0])


def _answers(table: Array) -> Array | None:
    """Labels by an output, None where it is no classifier's."""
    try:
        return to_labels(np.nan_to_num(table), len(table), len(table))
    except ModelError:
        return None


def _same_order(first: Array, other: Array) -> bool:
    """Whether one table grows with the other, as probabilities do with logits: two heads may agree on a favourite."""
    a, b = (np.nan_to_num(table.astype(float)).reshape(len(table), -1) for table in (first, other))
    if a.shape != b.shape:
        return False
    pairs = ((a, b), (b, a))  # one of the two may be saturated
    steps = [np.diff(np.take_along_axis(v, np.argsort(by, axis=1), axis=1)) / np.ptp(v).clip(1e-30) for by, v in pairs]
    return any((step >= -_ROUNDING).all() for step in steps)


def wide(proto: onnx.ModelProto) -> bool:
    """Whether an output is bfloat16, which numpy does not know."""
    return any(value.type.tensor_type.elem_type == TensorProto.BFLOAT16 for value in proto.graph.output)


def widen(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Give bfloat16 scores, which numpy does not know, as float32: the same numbers."""
    graph = proto.graph
    (value,) = graph.output
    if not wide(proto):
        return ()
    inner = fresh(graph, "smoothcert_bfloat16")
    rename(graph, {value.name: inner})
    graph.node.append(helper.make_node("Cast", [inner], [value.name], to=TensorProto.FLOAT))
    value.type.tensor_type.elem_type = TensorProto.FLOAT
    return ("scores given as float32, not bfloat16: the same numbers",)
