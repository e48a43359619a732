"""What each operator does to the batch axis, and how it must be written so that the axis is free."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from ..graph import CannotAdapt, attribute, set_attribute
from .batch_axis import Axis, Rewrite, relocate

Rule = Callable[[Rewrite, onnx.NodeProto], list[Axis | None]]


def only(rewrite: Rewrite, node: onnx.NodeProto) -> Axis:
    """The batch is where it is in the first input; all other inputs must be constants."""
    axis = rewrite.axis(node.input[0])
    if axis is None or any(rewrite.axis(name) for name in node.input[1:] if name):
        raise CannotAdapt(f"{node.op_type} takes more than its first operand from the input")
    return axis


def same(rewrite: Rewrite, node: onnx.NodeProto, axis: Axis) -> list[Axis | None]:
    rewrite.nodes.append(node)
    return [axis for _ in node.output]


def along(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """The operator computes each value by itself: the batch stays on its axis."""
    return same(rewrite, node, only(rewrite, node))


def broadcast(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """Operands are aligned at their last axes, and so must their batches be."""
    names = [name for name in node.input if name]
    rank = max(len(rewrite.shape(name)) for name in names)
    found = {axis.at(axis.position + rank - len(rewrite.shape(name))) for name in names if (axis := rewrite.axis(name))}
    if len(found) != 1:
        raise CannotAdapt(f"{node.op_type} meets tensors with the batch on different axes")
    (axis,) = found
    for i, name in enumerate(node.input):
        if name and rewrite.axis(name) is None:
            node.input[i] = rewrite.fitting(name, rank, axis)
    return same(rewrite, node, axis)


def images(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """The first axis is the batch, whatever is merged into it; a tensor of one axis is one row to many operators."""
    axis = only(rewrite, node)
    if len(rewrite.shape(node.input[0])) < 2:
        raise CannotAdapt(f"{node.op_type} takes a tensor of one axis for one row")
    if axis.position != 0:
        raise CannotAdapt(f"{node.op_type} has the batch on axis {axis.position}")
    if node.op_type == "MaxPool" and any(node.output[1:]):
        raise CannotAdapt("MaxPool gives places in the whole batch")
    return same(rewrite, node, axis)


def matmul(rewrite: Rewrite, node: onnx.NodeProto, at: tuple[int, int] = (0, 1)) -> list[Axis | None]:
    """The batch among the leading axes of both operands, or on an axis of one that is not summed over."""
    names = [node.input[i] for i in at]
    axes = [rewrite.axis(name) for name in names]
    if any(rewrite.axis(name) for i, name in enumerate(node.input) if name and i not in at):
        raise CannotAdapt(f"{node.op_type} has a scale that is computed from the input")
    ranks = [len(rewrite.shape(name)) for name in names]
    if min(ranks) < 2:
        raise CannotAdapt("a MatMul with a vector has no axis left for the batch")
    rank = max(ranks)
    found = {axis.at(axis.position + rank - r) for axis, r in zip(axes, ranks, strict=True) if axis}
    if len(found) != 1:
        raise CannotAdapt("MatMul meets tensors with the batch on different axes")
    (axis,) = found
    if axis.position >= rank - 2:
        summed = rank - 1 if axes[0] else rank - 2
        if axis.position == summed or None not in axes:
            raise CannotAdapt("a MatMul sums over the axis that holds the batch")
    else:
        for i, own in zip(at, axes, strict=True):
            if own is None:
                node.input[i] = rewrite.fitting(node.input[i], rank, axis)
    return same(rewrite, node, axis)


def gemm(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """The batch is the rows of the first operand; the other operands are constants."""
    axis = rewrite.axis(node.input[0])
    if axis is None or rewrite.axis(node.input[1]) or axis.position != attribute(node, "transA", 0):
        raise CannotAdapt("a Gemm sums over the axis that holds the batch")
    rows = axis.at(0)
    if len(node.input) > 2 and node.input[2]:
        other = rewrite.axis(node.input[2])
        if other is None:
            node.input[2] = rewrite.fitting(node.input[2], 2, rows)
        elif other.at(other.position + 2 - len(rewrite.shape(node.input[2]))) != rows:
            raise CannotAdapt("Gemm meets tensors with the batch on different axes")
    return same(rewrite, node, rows)


def reshape(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """Reshape, Flatten, Squeeze, Unsqueeze: written again as they are where the batch keeps an axis to itself."""
    axis = only(rewrite, node)
    old, new = rewrite.shape(node.input[0]), rewrite.shape(node.output[0])
    steps = attribute(node, "axes")
    if steps is None and node.op_type in ("Squeeze", "Unsqueeze") and len(node.input) > 1 and node.input[1]:
        steps = rewrite.ints(node.input[1])
    steps = steps if axis.exact else None  # with more merged in, the batch may get its axis back
    if node.op_type == "Flatten" and axis == Axis(0) and attribute(node, "axis", 1) == 1:
        return same(rewrite, node, axis)
    if node.op_type == "Squeeze" and steps is not None:
        gone = {step % len(old) for step in steps}
        if axis.position not in gone:
            return same(rewrite, node, axis.at(axis.position - sum(step < axis.position for step in gone)))
    if node.op_type == "Unsqueeze" and steps is not None:
        added = {step % len(new) for step in steps}
        return same(rewrite, node, axis.at([j for j in range(len(new)) if j not in added][axis.position]))
    moved = relocate(axis, old, new, rewrite.batch)
    rewrite.reshape(node.input[0], new, moved, node.output[0])
    return [moved]


def transpose(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """The batch goes where the permutation sends its axis."""
    axis = only(rewrite, node)
    rank = len(rewrite.shape(node.input[0]))
    return same(rewrite, node, axis.at(list(attribute(node, "perm", range(rank)[::-1])).index(axis.position)))


def concat(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """Constants beside the batch, such as a class token, are repeated for every row."""
    axes = [axis for name in node.input if (axis := rewrite.axis(name))]
    first, rank = axes[0], len(rewrite.shape(node.output[0]))
    side = attribute(node, "axis") % rank
    if side == first.position:
        if len(axes) < len(node.input) or {(a.position, a.inner) for a in axes} != {(side, 1)}:
            raise CannotAdapt("a Concat puts rows of the batch together")
        return same(rewrite, node, Axis(side, sum(a.outer for a in axes)))
    if len(set(axes)) > 1:
        raise CannotAdapt("Concat meets tensors with the batch on different axes")
    for i, name in enumerate(node.input):
        if rewrite.axis(name) is None:
            node.input[i] = rewrite.spread(name, first)
    return same(rewrite, node, first)


def beside(rewrite: Rewrite, node: onnx.NodeProto, step: int, *, onwards: bool = False) -> Axis:
    """The batch's axis, which an operator leaves alone that works along axis `step`, or from there `onwards`."""
    axis = only(rewrite, node)
    step %= len(rewrite.shape(node.input[0]))
    if step == axis.position or (onwards and step < axis.position):
        raise CannotAdapt(f"{node.op_type} works across the batch")
    return axis


def apart(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """LpNormalization and TopK work along one axis, which must not be the batch's."""
    return same(rewrite, node, beside(rewrite, node, attribute(node, "axis", -1)))


def softmax(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """Softmax and its kin work along one axis; in opsets before 13, over all axes from that one on."""
    old = rewrite.opset < 13
    return same(rewrite, node, beside(rewrite, node, attribute(node, "axis", 1 if old else -1), onwards=old))


def reduce(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """A reduction over other axes than the batch's; one over a batch of 1 is left out."""
    axis = only(rewrite, node)
    rank = len(rewrite.shape(node.input[0]))
    given = len(node.input) > 1 and node.input[1]
    steps = rewrite.ints(node.input[1]) if given else attribute(node, "axes")
    if not steps and attribute(node, "noop_with_empty_axes", 0):
        return same(rewrite, node, axis)
    gone = {step % rank for step in steps} if steps else set(range(rank))
    keep = attribute(node, "keepdims", 1)
    if axis.position in gone:
        if not keep or rewrite.batch != 1 or not axis.exact or len(gone) == 1:
            raise CannotAdapt(f"{node.op_type} works across the batch")
        gone.remove(axis.position)
        if given or rewrite.opset >= (13 if node.op_type == "ReduceSum" else 18):  # axes are an input from there on
            node.input[1:] = [rewrite.constant(np.array(sorted(gone), np.int64))]
        else:
            set_attribute(node, "axes", sorted(gone))
    return same(rewrite, node, axis if keep else axis.at(axis.position - sum(s < axis.position for s in gone)))


def extreme(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """ArgMax and ArgMin along another axis than the batch's."""
    step = attribute(node, "axis", 0)
    axis = beside(rewrite, node, step)
    ahead = step % len(rewrite.shape(node.input[0])) < axis.position
    return same(rewrite, node, axis if attribute(node, "keepdims", 1) else axis.at(axis.position - ahead))


def normalise(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """LayerNormalization works over all axes from one on, the batch's not among them."""
    return same(rewrite, node, beside(rewrite, node, attribute(node, "axis", -1), onwards=True))


def scaled(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """QuantizeLinear and DequantizeLinear with one scale, or one for each index of another axis."""
    axis = only(rewrite, node)
    rank = len(rewrite.shape(node.input[0]))
    if rewrite.shape(node.input[1]) not in ((), (1,)) and attribute(node, "axis", 1) % rank == axis.position:
        raise CannotAdapt(f"{node.op_type} has a scale for each row")
    return same(rewrite, node, axis)


def cumulative(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """A running sum along another axis than the batch's."""
    return same(rewrite, node, beside(rewrite, node, rewrite.ints(node.input[1])[0]))


def across(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """The operator computes one number for the whole batch: rows would depend on each other."""
    raise CannotAdapt(f"{node.op_type} computes one scale for the whole batch")
