"""Operators that cut, pick, repeat or resize, and how they must be written so that the batch axis is free."""

from __future__ import annotations

import numpy as np
import onnx

from ..graph import CannotAdapt, attribute, set_attribute
from .batch_axis import Axis, Rewrite, relocate
from .batch_rules import only, same

_END = np.iinfo(np.int64).max


def slice_(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """A cut along another axis is kept; a cut that takes the whole batch still takes all of it."""
    axis = only(rewrite, node)
    shape = rewrite.shape(node.input[0])
    attributes = len(node.input) < 2
    if attributes:
        starts, ends, steps = (attribute(node, name) for name in ("starts", "ends", "axes"))
    else:
        starts, ends, steps = (rewrite.ints(name) if name else None for name in [*node.input[1:4], ""][:3])
    around = list(range(len(starts))) if steps is None else [step % len(shape) for step in steps]
    if axis.position not in around:
        return same(rewrite, node, axis)
    at = around.index(axis.position)
    stride = rewrite.ints(node.input[4])[at] if len(node.input) > 4 and node.input[4] else 1
    if starts[at] not in (0, -shape[axis.position]) or ends[at] < shape[axis.position] or stride != 1:
        raise CannotAdapt("a Slice cuts the batch")
    stops = [*ends[:at], _END, *ends[at + 1 :]]
    first = [*starts[:at], 0, *starts[at + 1 :]]
    if attributes:
        set_attribute(node, "starts", first)
        set_attribute(node, "ends", stops)
    else:  # all of one type, int64
        others = [rewrite.ints(name) if name else None for name in node.input[3:]]
        for i, numbers in enumerate([first, stops, *others], start=1):
            if numbers is not None:
                node.input[i] = rewrite.constant(np.array(numbers, np.int64))
    return same(rewrite, node, axis)


def gather(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """A pick along another axis, or of rows of a constant; the one row of a batch of 1 stands for the batch."""
    axis, picked = (rewrite.axis(name) for name in node.input)
    step = attribute(node, "axis", 0) % len(rewrite.shape(node.input[0]))
    if axis is None and picked is not None:
        return same(rewrite, node, picked.at(picked.position + step))
    if axis is None or picked is not None:
        raise CannotAdapt("Gather picks from the input by the input")
    if step == axis.position:
        alone = axis.exact and rewrite.batch == 1 and not np.any(rewrite.value(node.input[1]))
        new = rewrite.shape(node.output[0])
        if not alone or rewrite.value(node.input[1]).size != 1:
            raise CannotAdapt("Gather picks rows of the batch")
        moved = relocate(axis, rewrite.shape(node.input[0]), new, rewrite.batch)
        rewrite.reshape(node.input[0], new, moved, node.output[0])
        return [moved]
    rank = len(rewrite.shape(node.input[1]))
    return same(rewrite, node, axis if axis.position < step else axis.at(axis.position + rank - 1))


def pad(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """Other axes than the batch's may be padded."""
    axis = only(rewrite, node)
    rank = len(rewrite.shape(node.input[0]))
    widths = attribute(node, "pads")
    widths = rewrite.ints(node.input[1]) if widths is None else widths
    around = list(range(rank))
    if len(node.input) > 3 and node.input[3]:
        around = [step % rank for step in rewrite.ints(node.input[3])]
    if axis.position in around:
        at = around.index(axis.position)
        if widths[at] or widths[at + len(around)]:
            raise CannotAdapt("Pad adds rows to the batch")
    return same(rewrite, node, axis)


def expand(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """The target shape says 1 for the batch, which stands for a batch of any size."""
    axis = only(rewrite, node)
    target, rank = rewrite.ints(node.input[1]), len(rewrite.shape(node.input[0]))
    here = axis.position + max(0, len(target) - rank)
    last = here - (max(len(target), rank) - len(target))
    if last >= 0:
        if target[last] not in (1, rewrite.shape(node.input[0])[axis.position]):
            raise CannotAdapt("Expand repeats the batch")
        node.input[1] = rewrite.constant(np.array([1 if j == last else n for j, n in enumerate(target)], np.int64))
    return same(rewrite, node, axis.at(here))


def tile(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """Repeats along the batch's axis are merged into that axis."""
    axis = only(rewrite, node)
    repeats = rewrite.ints(node.input[1])[axis.position]
    return same(rewrite, node, Axis(axis.position, axis.outer * repeats, axis.inner))


def split(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """A split along another axis, or into equal parts of what is merged into the batch's axis."""
    axis = only(rewrite, node)
    step = attribute(node, "axis", 0) % len(rewrite.shape(node.input[0]))
    if step != axis.position:
        return same(rewrite, node, axis)
    parts, sizes = len(node.output), {rewrite.shape(name)[step] for name in node.output}
    given = attribute(node, "split") or (len(node.input) > 1 and node.input[1])
    if axis.outer % parts or len(sizes) != 1 or given:
        raise CannotAdapt("Split takes the batch apart")
    return same(rewrite, node, Axis(step, axis.outer // parts, axis.inner))


def resize(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """A resize by scales, the batch's 1; or to sizes, of which the batch's is read off the input."""
    axis = only(rewrite, node)
    shape, new = rewrite.shape(node.input[0]), rewrite.shape(node.output[0])
    if not axis.exact or shape[axis.position] != new[axis.position]:
        raise CannotAdapt(f"{node.op_type} changes the batch")
    around = attribute(node, "axes")
    named = around is None or axis.position in around
    if named and (scales := _scales(rewrite, node)):
        place = axis.position if around is None else list(around).index(axis.position)
        if scales[place] != 1:
            raise CannotAdapt(f"{node.op_type} resizes the batch")
    if attribute(node, "coordinate_transformation_mode", b"") == b"tf_crop_and_resize" and around is None:
        raise CannotAdapt("Resize crops, and names the batch among its axes")
    if named and len(node.input) > 3 and node.input[3]:
        if around is not None:
            raise CannotAdapt("Resize names the batch among its axes")
        node.input[3] = rewrite.sized(rewrite.ints(node.input[3]), axis.position)
    return same(rewrite, node, axis)


def _scales(rewrite: Rewrite, node: onnx.NodeProto) -> list[float]:
    """The scales of a Resize or Upsample; none where it is told sizes."""
    written = attribute(node, "scales")
    if written is not None:
        return list(written)
    place = 1 if node.op_type == "Upsample" or rewrite.opset < 11 else 2
    name = node.input[place] if len(node.input) > place else ""
    return rewrite.value(name).reshape(-1).tolist() if name else []


def recurrent(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """RNN, GRU, LSTM: the batch on the second axis, constant first states repeated for every row."""
    axis = rewrite.axis(node.input[0])
    if axis != Axis(1) or attribute(node, "layout", 0):
        raise CannotAdapt(f"{node.op_type} has the batch elsewhere than on its second axis")
    for i in range(1, len(node.input)):
        name = node.input[i]
        if name and i in (5, 6):
            own = rewrite.axis(name)
            if own is None:
                node.input[i] = rewrite.spread(name, Axis(1))
            elif own != Axis(1):
                raise CannotAdapt(f"{node.op_type} has the batch elsewhere than on its second axis")
        elif name and (i == 4 or rewrite.axis(name)):
            raise CannotAdapt(f"{node.op_type} has lengths or weights for each row")
    rewrite.nodes.append(node)
    return [Axis(2 if i == 0 else 1) for i in range(len(node.output))]


def einsum(rewrite: Rewrite, node: onnx.NodeProto) -> list[Axis | None]:
    """The batch has the same letter in every operand and in the result."""
    left, arrow, right = attribute(node, "equation").decode().replace(" ", "").partition("->")
    terms = left.split(",")
    if "." in left or not arrow:
        raise CannotAdapt("an Einsum does not name its axes")
    axes = [rewrite.axis(name) for name in node.input]
    found = {(term[axis.position], axis.outer, axis.inner) for term, axis in zip(terms, axes, strict=True) if axis}
    letter, outer, inner = next(iter(found))
    if len(found) > 1 or letter not in right or any(term.count(letter) > 1 for term in terms):
        raise CannotAdapt("Einsum meets tensors with the batch on different axes")
    for i, (term, axis) in enumerate(zip(terms, axes, strict=True)):
        if axis is None and letter in term:
            node.input[i] = rewrite.spread(node.input[i], Axis(term.index(letter), outer, inner))
    return same(rewrite, node, Axis(right.index(letter), outer, inner))
