"""Preprocessing put into a graph: scale, mean, std, and the order of its axes and colours."""

from __future__ import annotations

import itertools
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from smoothcert.errors import require
from smoothcert.model.arrangement import Layout, Shape, show
from smoothcert.model.file import FOLDED
from smoothcert.model.preprocess import Preprocess

from ..graph import defined, inputs, refill, rename

_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}
_COLOURS = (1, 3, 4)
_AXES = {("nchw", "nhwc"): (0, 2, 3, 1), ("nhwc", "nchw"): (0, 3, 1, 2)}  # from the file's order to the network's
_WORDS = {"Mul": "scale", "Gather": "the channels", "Sub": "mean", "Div": "std"}


@dataclass(frozen=True)
class Pipeline:
    """What stands ahead of a network: `preprocess`, and the file's order of axes, `layout` (empty: the network's).

    `network` is the shape of one of its inputs. Raises `ValueError` where mean or std do not fit it.
    """

    preprocess: Preprocess
    network: Shape
    layout: str = ""

    def __post_init__(self) -> None:
        require(self.layout in ("", "nchw", "nhwc"), f"input_layout: expected nchw or nhwc, got {self.layout!r}")
        known = not self.layout or self.inner in ("nchw", "nhwc")
        require(known, f"input_layout: the network's own, {show(self.network)}, is open; give it in preprocess too")
        _ = self.arithmetic

    @property
    def inner(self) -> Layout:
        """The network's layout: as it was given, or as its shape says; `auto` where that leaves it open."""
        if self.preprocess.layout != "auto" or len(self.network) != 3:
            return self.preprocess.layout
        first, last = self.network[0] in _COLOURS, self.network[2] in _COLOURS
        return "auto" if first == last else "nchw" if first else "nhwc"

    @property
    def axes(self) -> tuple[int, ...] | None:
        """The file's axes, batch first, in the network's order; None where they are in that order."""
        return _AXES.get((self.layout, self.inner))

    @property
    def residual(self) -> Preprocess:
        """What the file leaves to its user: `spatial`; and not to divide 8-bit levels by 255 where it has a scale."""
        scale = None if self.preprocess.scale is None else 1.0
        layout: Any = self.layout or self.inner
        return Preprocess(scale=scale, layout=layout, spatial=self.preprocess.spatial)

    @property
    def arithmetic(self) -> list[tuple[str, NDArray[Any]]]:
        """(operator, operand) in order, as the runtime computes them."""
        chain: list[tuple[str, NDArray[Any]]] = []
        if self.preprocess.scale not in (None, 1.0):
            chain.append(("Mul", np.asarray(self.preprocess.scale, np.float32)))
        arranged = self._arranged
        if gathered := arranged.gathered(self.network):
            chain.append(("Gather", gathered[0]))
        for operator, values in (("Sub", arranged.mean), ("Div", arranged.std)):
            if values:
                chain.append((operator, arranged.channel_values(values, self.network)))
        return chain

    def apply(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The file's inputs (n, *shape) as the network takes them, in numpy: for the framework's own answer."""
        if self.axes is not None:
            batch = np.transpose(batch, self.axes)
        for operator, operand in self.arithmetic:
            if operator == "Gather":
                batch = np.take(batch, operand, self.channel_axis)
            else:
                batch = {"Mul": np.multiply, "Sub": np.subtract, "Div": np.divide}[operator](batch, operand)
        return np.ascontiguousarray(batch, np.float32)

    @property
    def _arranged(self) -> Preprocess:
        return replace(self.preprocess, layout=self.inner)

    @property
    def channel_axis(self) -> int:
        """The axis of a batch, in the network's order, along which channels are turned round or copied."""
        gathered = self._arranged.gathered(self.network)
        return 0 if gathered is None else gathered[1] + 1

    @property
    def taken(self) -> Shape:
        """Shape of one input in the network's order of axes: of one channel where the graph makes three of it."""
        return self._arranged.taken(self.network)

    @property
    def outer(self) -> Shape:
        """Shape of one of the file's inputs."""
        if self.axes is None:
            return self.taken
        return tuple(self.taken[axis - 1] for axis in np.argsort(self.axes)[1:])


@dataclass(frozen=True, eq=False)
class Folded:
    """A graph with preprocessing inside, what remains to be done ahead of it, and what was done, in words."""

    proto: onnx.ModelProto
    preprocess: Preprocess
    changes: tuple[str, ...]


def fold(proto: onnx.ModelProto, pipeline: Pipeline) -> Folded:
    """The graph with the pipeline's arithmetic and transposition inside, in float32; its input keeps its name.

    A graph that takes integers gets neither: its arithmetic needs rounding, which is left to the runtime.
    """
    model = deepcopy(proto)
    (value,) = inputs(model.graph)
    tensor = value.type.tensor_type
    arithmetic, axes = pipeline.arithmetic, pipeline.axes
    if tensor.elem_type not in _FLOATS:
        require(axes is None, "input_layout: expected a network that takes floats, got one of integers")
        return Folded(model, replace(pipeline.preprocess, layout=pipeline.inner), ())
    if not arithmetic and axes is None:
        return Folded(model, pipeline.residual, ())
    nodes: list[onnx.NodeProto] = []
    name, taken = value.name, defined(model.graph)  # a file may be exported twice
    names = (free for i in itertools.count() if (free := f"{FOLDED}_{i}") not in taken)

    def add(operator: str, *operands: str, **attributes: Any) -> str:
        output = next(names)
        nodes.append(helper.make_node(operator, operands, [output], name=output, **attributes))
        return output

    if pipeline.taken != pipeline.network:
        tensor.shape.dim[pipeline.channel_axis].dim_value = 1
    if axes is not None:
        name = add("Transpose", name, perm=axes)
        tensor.shape.CopyFrom(onnx.TensorShapeProto(dim=[tensor.shape.dim[axis] for axis in np.argsort(axes)]))
    for operator, operand in arithmetic:
        constant = next(names)
        model.graph.initializer.append(numpy_helper.from_array(operand, constant))
        along = {"axis": pipeline.channel_axis} if operator == "Gather" else {}
        name = add(operator, name, constant, **along)
    if tensor.elem_type != TensorProto.FLOAT:
        name = add("Cast", name, to=tensor.elem_type)
        tensor.elem_type = TensorProto.FLOAT
    rename(model.graph, {value.name: name})
    refill(model.graph.node, [*nodes, *model.graph.node])
    words = ["the order of axes"] * bool(axes) + [_WORDS[operator] for operator, _ in arithmetic]
    return Folded(model, pipeline.residual, (f"{', '.join(words)} put into the graph",))
