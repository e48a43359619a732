"""The graph from a noisy image in [0,1] to what a classifier takes: into the denoiser, out of it, resized, arranged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from ..graph import rename, static_shape
from .network import Network
from .view import View

IMAGE, TAKEN = "image", "taken"
_OWN = "denoiser/"  # ahead of every name of the denoiser's own
_FIRST, _LAST = (0, 3, 1, 2), (0, 2, 3, 1)  # colours behind rows and columns brought first; and last


@dataclass(frozen=True)
class _Nodes:
    """Nodes and constants as they come, named by their number."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, operator: str, *operands: str, **attributes: Any) -> str:
        """A node's result."""
        name = f"step_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, operands, [name], **attributes))
        return name

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def affine(self, given: str, factor: float, term: float) -> str:
        """given * factor + term."""
        if factor != 1:
            given = self.add("Mul", given, self.constant(factor))
        return self.add("Add", given, self.constant(term)) if term else given


def ahead(network: Network, view: View, batch: int | None) -> onnx.ModelProto:
    """From `image` (batch, colours, height, width) in [0,1] through the denoiser to `taken`, the classifier's input.

    `batch`: what its size is fixed to, or None.
    """
    made, how = _Nodes(), network.how
    given = made.affine(IMAGE, *how.into)
    found = _through(made, network, view, given)
    p, q, r = how.back
    clean = made.affine(found, q, r)
    if p:
        clean = made.add("Add", made.affine(given, p, 0.0), clean)
    if how.clip:
        clean = made.add("Min", made.add("Max", clean, made.constant(0.0)), made.constant(1.0))
    if view.weights is not None:
        rows, columns = view.weights
        clean = made.add("MatMul", made.add("MatMul", made.constant(rows), clean), made.constant(columns.T))
    if view.turned:
        clean = made.add("Transpose", clean, perm=_LAST)
    elif len(view.shape) != 3:
        clean = made.add("Reshape", clean, made.constant([0, *view.shape], np.int64))
    if view.levels is not None:
        clean = made.add("Mul", clean, made.constant(view.levels.unit))
    made.nodes.append(helper.make_node("Identity", [clean], [TAKEN]))
    size = batch or "batch"
    graph = helper.make_graph(
        made.nodes,
        "denoiser",
        [helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, [size, view.colours, *view.noisy])],
        [helper.make_tensor_value_info(TAKEN, TensorProto.FLOAT, [size, *view.shape])],
        initializer=made.constants,
    )
    return helper.make_model(graph, opset_imports=network.proto.opset_import, ir_version=network.proto.ir_version)


def _through(made: _Nodes, network: Network, view: View, given: str) -> str:
    """What the denoiser makes of the image given to it, colours first and in the classifier's order."""
    flipped = network.how.channels == "bgr" and view.colours == 3
    order = [*range(view.colours)][:: -1 if flipped else 1]
    if flipped:
        given = made.add("Gather", given, made.constant(order, np.int64), axis=1)
    if not network.planar:
        given = made.add("Transpose", given, perm=_LAST)
    if network.dtype != np.float32:
        given = made.add("Cast", given, to=network.image.type.tensor_type.elem_type)
    own = compose.add_prefix(network.proto, _OWN).graph
    names = {_OWN + network.image.name: given}
    for value in network.others():
        names[_OWN + value.name] = _filled(made, network, view, value)
    rename(own, names)
    made.nodes.extend(own.node)
    made.constants.extend(own.initializer)
    found = names.get(_OWN + network.output, _OWN + network.output)
    if network.dtype != np.float32:
        found = made.add("Cast", found, to=TensorProto.FLOAT)
    if not network.planar:
        found = made.add("Transpose", found, perm=_FIRST)
    if flipped or network.how.variance == "learned":
        found = made.add("Gather", found, made.constant(order, np.int64), axis=1)
    return found


def _filled(made: _Nodes, network: Network, view: View, value: onnx.ValueInfoProto) -> str:
    """An input beside the image, its number in every place; a batch axis is as long as the image's."""
    number, sizes = network.constants[value.name], axes(network, view, value)
    if sizes[:1] != (None,):
        return made.constant(np.full([n or 1 for n in sizes], number), number.dtype)
    rows = made.add("Gather", made.add("Shape", IMAGE), made.constant([0], np.int64), axis=0)
    if len(sizes) > 1:
        rows = made.add("Concat", rows, made.constant(sizes[1:], np.int64), axis=0)
    return made.add("Expand", made.constant(number, number.dtype), rows)


def axes(network: Network, view: View, value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """Sizes of the axes of an input beside the image; None for the batch's. Free ones are those of the image."""
    image = (view.colours, *view.noisy) if network.planar else (*view.noisy, view.colours)
    own, sizes = network.image.type.tensor_type.shape.dim, static_shape(value) or ()
    named = {axis.dim_param: n for axis, n in zip(own[1:], image, strict=True) if axis.dim_param}
    likely = image if len(sizes) == 4 else (1,) * len(sizes)
    found = [
        n or named.get(axis.dim_param, same)
        for n, axis, same in zip(sizes[1:], value.type.tensor_type.shape.dim[1:], likely, strict=False)
    ]
    return (None if sizes[0] in (None, network.batch) else sizes[0], *found) if sizes else ()
