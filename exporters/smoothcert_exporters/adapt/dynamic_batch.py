"""A batch axis fixed at export made free: the batch is followed through the graph, and every operator in its way."""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import onnx
from onnx import helper

from ..graph import CannotAdapt, inputs, prune, reads, refill, set_shape, subgraphs
from ..proof.trial import observe_shapes
from . import batch_pieces as pieces
from . import batch_rules as rules
from .batch_axis import Axis, Rewrite
from .batch_rules import Rule
from .folding import constant_nodes, fold_constants, take_branches
from .shapes import BROADCAST, BY_ROW, BY_VALUES, DOMAINS, ELEMENTWISE, REDUCE

RULES: dict[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, rules.along),
    **dict.fromkeys(BROADCAST, rules.broadcast),
    **dict.fromkeys(BY_ROW, rules.images),
    **dict.fromkeys(REDUCE, rules.reduce),
    **dict.fromkeys(["Reshape", "Flatten", "Squeeze", "Unsqueeze"], rules.reshape),
    **dict.fromkeys(["Softmax", "LogSoftmax", "Hardmax"], rules.softmax),
    **dict.fromkeys(["LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization"], rules.normalise),
    **dict.fromkeys(["ArgMax", "ArgMin"], rules.extreme),
    **dict.fromkeys(["LSTM", "GRU", "RNN"], pieces.recurrent),
    **dict.fromkeys(["Resize", "Upsample"], pieces.resize),
    **dict.fromkeys(["QuantizeLinear", "DequantizeLinear"], rules.scaled),
    **dict.fromkeys(["LpNormalization", "TopK"], rules.apart),
    "MatMul": rules.matmul,
    "MatMulInteger": rules.matmul,
    "QLinearMatMul": partial(rules.matmul, at=(0, 3)),
    "Gemm": rules.gemm,
    "Transpose": rules.transpose,
    "Concat": rules.concat,
    "CumSum": rules.cumulative,
    "DynamicQuantizeLinear": rules.across,
    "Slice": pieces.slice_,
    "Gather": pieces.gather,
    "Pad": pieces.pad,
    "Expand": pieces.expand,
    "Tile": pieces.tile,
    "Split": pieces.split,
    "Einsum": pieces.einsum,
}


def free_batch(proto: onnx.ModelProto, folder: str, shape: tuple[int, ...]) -> None:
    """Make the first axis of the input free in place; `shape` is the input's, with the batch size it was made for.

    Raises `CannotAdapt` that names the operator in the way; the graph is then half changed, and to be thrown away.
    """
    while True:
        constant_nodes(proto)
        fold_constants(proto, folder, shape, static=True)
        if not take_branches(proto, folder):
            break
    graph = proto.graph
    (entry,) = inputs(graph)
    set_shape(entry, shape)
    shapes = observe_shapes(proto, folder, shape, [name for node in graph.node for name in node.output if name])
    rewrite = Rewrite(proto, folder, {entry.name: shape, **shapes}, shape[0], entry.name)
    for node in deepcopy(list(graph.node)):
        _follow(rewrite, node)
    (output,) = graph.output
    declared = _lead(rewrite, output.name)
    refill(graph.node, rewrite.nodes)
    del graph.value_info[:]
    set_shape(entry, ["batch", *shape[1:]])
    set_shape(output, ["batch", *declared])
    prune(graph)


def _follow(rewrite: Rewrite, node: onnx.NodeProto) -> None:
    """Write one node again for a free batch, and note where the batch is in what it gives."""
    if not any(rewrite.axis(name) for name in reads(node)):
        rewrite.nodes.append(node)
        return
    rule = RULES.get(node.op_type) if node.domain in DOMAINS else None
    if node.op_type in BY_VALUES:
        raise CannotAdapt(f"the shape of what {node.op_type} gives depends on the values of the input")
    if rule is None or any(True for _ in subgraphs(node)):
        raise CannotAdapt(f"what {node.op_type} does to the batch is not known")
    try:
        axes = rule(rewrite, node)
    except (IndexError, TypeError, ValueError, StopIteration):
        raise CannotAdapt(f"{node.op_type} is used in a way that is not known") from None
    for name, axis in zip(node.output, axes, strict=True):
        if name and axis is not None:
            rewrite.axes[name] = axis


def _lead(rewrite: Rewrite, output: str) -> tuple[int, ...]:
    """See that the batch is the output's first axis; the sizes of its other axes."""
    axis, shape = rewrite.axis(output), rewrite.shape(output)
    if axis is None:
        raise CannotAdapt("the output does not depend on the input")
    if axis == Axis(0):
        return shape[1:]
    if axis.outer != 1 or (axis.position and not axis.exact):
        raise CannotAdapt("the batch is not the output's first axis")
    writer = next(node for node in rewrite.nodes if output in node.output)
    inner = f"{output}_smoothcert"
    writer.output[list(writer.output).index(output)] = inner
    for node in rewrite.nodes:
        for i, name in enumerate(node.input):
            if name == output:
                node.input[i] = inner
    if axis.position:
        order = [axis.position, *(j for j in range(len(shape)) if j != axis.position)]
        rewrite.nodes.append(helper.make_node("Transpose", [inner], [output], perm=order))
        return tuple(shape[j] for j in order[1:])
    rest = (axis.inner, *shape[1:])
    rewrite.reshape(inner, (rewrite.batch, *rest), Axis(0), output)
    return rest
