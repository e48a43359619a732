"""Where the batch is in a tensor: the bookkeeping behind giving a graph a free batch axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import helper

from ..graph import Array, CannotAdapt, add_constant, array, constants, fresh, opset

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Axis:
    """The batch lies on this axis of a tensor, whose size is outer * batch * inner, the batch between the two.

    outer and inner are 1 unless a Reshape, Concat or Tile has merged other things into the axis.
    """

    position: int
    outer: int = 1
    inner: int = 1

    @property
    def exact(self) -> bool:
        """Whether the axis holds the batch and nothing else."""
        return self.outer == self.inner == 1

    def at(self, position: int) -> Axis:
        """The same on another axis."""
        return replace(self, position=position)


def relocate(axis: Axis, old: Shape, new: Shape, batch: int) -> Axis:
    """Where the batch is after a Reshape that keeps all values in order; `CannotAdapt` where it is torn apart.

    An axis with nothing but the batch is preferred, then one that is not the last, then the nearest.
    """
    before = math.prod(old[: axis.position]) * axis.outer
    found = []
    for j, size in enumerate(new):
        ahead = math.prod(new[:j])
        if ahead and before % ahead == 0 and size and size % (before // ahead * batch) == 0:
            outer = before // ahead
            found.append(Axis(j, outer, size // (outer * batch)))
    if not found:
        raise CannotAdapt(f"a Reshape from {list(old)} to {list(new)} tears the batch apart")
    return min(found, key=lambda a: (not a.exact, a.position == len(new) - 1, abs(a.position - axis.position)))


class Rewrite:
    """A graph on its way to a free batch axis: what is known of its tensors, and the nodes written so far."""

    def __init__(
        self, proto: onnx.ModelProto, folder: str, shapes: Mapping[str, Shape], batch: int, entry: str
    ) -> None:
        self.graph, self.batch, self.entry, self.opset = proto.graph, batch, entry, opset(proto)
        self.axes: dict[str, Axis] = {entry: Axis(0)}
        self.nodes: list[onnx.NodeProto] = []
        self._folder, self._weights = folder, constants(proto.graph)
        self._shapes = {**shapes, **{name: tuple(tensor.dims) for name, tensor in self._weights.items()}}
        self._size = ""

    def axis(self, name: str) -> Axis | None:
        """Where the batch is in a tensor; None in a constant."""
        return self.axes.get(name)

    def shape(self, name: str) -> Shape:
        """Shape at the fixed batch size; `CannotAdapt` where it is not known."""
        if name not in self._shapes:
            raise CannotAdapt(f"the shape of {name!r} is not known")
        return self._shapes[name]

    def value(self, name: str) -> Array:
        """The values of a constant; `CannotAdapt` for anything else."""
        if name not in self._weights:
            raise CannotAdapt(f"{name!r} is computed from the input")
        return array(self._weights[name], self._folder)

    def ints(self, name: str) -> list[int]:
        """A constant as whole numbers."""
        return [int(v) for v in self.value(name).reshape(-1)]

    def constant(self, values: Array) -> str:
        """A new constant; its name."""
        name = add_constant(self.graph, "smoothcert_batch", values)
        self._shapes[name], self._weights[name] = np.shape(values), self.graph.initializer[-1]
        return name

    def emit(self, op: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Write a node; the name of its output."""
        taken = {name for node in self.nodes for name in node.output}
        stem = f"smoothcert_{op.lower()}"
        while not output or output in taken:
            output, stem = fresh(self.graph, stem), f"{stem}_"
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def size(self) -> str:
        """The batch size as a tensor of one element, read off the graph's input."""
        if not self._size:
            shape = self.emit("Shape", [self.entry])
            self._size = self.emit("Gather", [shape, self.constant(np.array([0], np.int64))], axis=0)
        return self._size

    def sized(self, shape: Sequence[int], position: int) -> str:
        """A shape as a tensor, the batch size at one position."""
        parts = [np.array(part, np.int64) for part in (shape[:position], shape[position + 1 :])]
        before, after = ([self.constant(part)] if len(part) else [] for part in parts)
        return self.emit("Concat", [*before, self.size(), *after], axis=0)

    def reshape(self, name: str, shape: Shape, axis: Axis, output: str = "") -> str:
        """Write a Reshape to that shape with the batch free."""
        target = [-1 if j == axis.position else size for j, size in enumerate(shape)]
        return self.emit("Reshape", [name, self.constant(np.array(target, np.int64))], output)

    def single(self, name: str, axis: Axis) -> str:
        """A constant that holds the same for every row, given once: batch size 1 at that axis.

        `CannotAdapt` where its rows differ.
        """
        if axis.exact and self.batch == 1:
            return name
        values = self.value(name)
        parts = values.reshape(
            *values.shape[: axis.position], axis.outer, self.batch, axis.inner, *values.shape[axis.position + 1 :]
        )
        first = np.take(parts, [0], axis=axis.position + 1)
        if (parts != first).any():
            raise CannotAdapt(f"{name!r} holds something else for every row of the batch")
        merged = first.reshape(*values.shape[: axis.position], -1, *values.shape[axis.position + 1 :])
        return name if merged.shape == values.shape else self.constant(merged)

    def spread(self, name: str, axis: Axis) -> str:
        """A constant repeated for every row of the batch, as a tensor with the batch at that axis."""
        once = self.single(name, axis)
        shape = list(self.shape(once))
        if axis.exact:  # the shape's own number there does not count
            return self.emit("Expand", [once, self.sized(shape, axis.position)])
        apart = [*shape[: axis.position], axis.outer, 1, axis.inner, *shape[axis.position + 1 :]]
        parts = self.constant(self.value(once).reshape(apart))
        whole = self.emit("Expand", [parts, self.sized(apart, axis.position + 1)])
        return self.reshape(whole, tuple(shape), axis)

    def fitting(self, name: str, rank: int, axis: Axis) -> str:
        """A constant operand that broadcasts against a tensor of that rank with the batch at that axis."""
        shape = self.shape(name)
        here = axis.position - (rank - len(shape))
        if here < 0 or shape[here] == 1:
            return name
        if shape[here] != axis.outer * self.batch * axis.inner:
            raise CannotAdapt(f"the constant {name!r} broadcasts over the batch")
        own = axis.at(here)
        return self.single(name, own) if axis.exact else self.spread(name, own)
