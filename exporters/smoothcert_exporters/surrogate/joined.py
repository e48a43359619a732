"""A classifier of images behind a decoder: one graph, a plain classifier whose input is a code."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import load_external_data_for_model

from smoothcert.errors import DataError, ModelError
from smoothcert.inputs.levels import EIGHT_BIT
from smoothcert.model.arrangement import arrange, show
from smoothcert.model.file import ModelFile
from smoothcert.model.graph.names import INPUT
from smoothcert.model.preprocess import Preprocess
from smoothcert.model.sessions import Sessions

from ..graph import refill
from ..joining import joined

CODE, IMAGE, SCORES = "code", "image", "scores"
_TAKEN = "taken"  # the image as the classifier takes it


@dataclass(frozen=True, eq=False)
class Way:
    """From the decoder's images, (colours, height, width) in [0,1], to what a classifier takes.

    `places`: for each value of the classifier's input, which one of the image it is. `levels`: whether it takes levels.
    """

    file: ModelFile
    places: NDArray[np.int64]
    levels: bool

    @staticmethod
    def of(file: ModelFile, shape: tuple[int, int, int], where: str) -> Way:
        """The way to a classifier; `ModelError` where it takes images of another size, or its batch axis is fixed."""
        if file.batch is not None:
            raise ModelError(f"{where}: expected a free batch axis, got one of {file.batch}; export the model with one")
        places = np.arange(math.prod(shape)).reshape(shape)
        image, preprocess = (np.moveaxis(places, 0, -1) if shape[0] > 1 else places[0]), _preprocess(file)
        try:
            found = arrange(image, preprocess.taken(file.shape), preprocess.layout, planar=False)
        except DataError:
            raise ModelError(
                f"{where}: expected a classifier of images {show(shape)}, as the surrogate makes, got one of "
                f"{show(file.shape)}; train a surrogate at the classifier's own size"
            ) from None
        return Way(file, found, file.takes_integers or preprocess.scale is not None)

    def scores(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the classifier itself says of a batch of images."""
        rows = images.reshape(len(images), -1)[:, self.places]
        run = Sessions(self.file, _preprocess(self.file))
        return run.by(
            rows * np.float32(EIGHT_BIT.unit) if self.levels else rows, len(rows), EIGHT_BIT if self.levels else None
        )

    def nodes(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """Nodes from IMAGE to _TAKEN, and their constants."""
        constants = {"row": np.array([0, -1]), "axes": np.array([0, *self.places.shape])}
        steps: list[tuple[str, str, dict[str, Any]]] = [("Reshape", "row", {})]
        if not np.array_equal(self.places.ravel(), np.arange(self.places.size)):
            constants["places"] = self.places.ravel()
            steps.append(("Gather", "places", {"axis": 1}))
        steps.append(("Reshape", "axes", {}))
        tensors = [numpy_helper.from_array(value.astype(np.int64), f"way_{key}") for key, value in constants.items()]
        if self.levels:
            steps.append(("Mul", "unit", {}))
            tensors.append(numpy_helper.from_array(np.array(EIGHT_BIT.unit, np.float32), "way_unit"))
        names = [IMAGE, *(f"way_{i}" for i in range(1, len(steps))), _TAKEN]
        nodes = [
            helper.make_node(kind, [given, f"way_{constant}"], [made], **more)
            for (kind, constant, more), given, made in zip(steps, names, names[1:], strict=False)
        ]
        return nodes, tensors


def join(decoder: onnx.ModelProto, way: Way) -> onnx.ModelProto:
    """The decoder, then the classifier with its own preprocessing, from `code` (batch, d) to `scores`."""
    file = way.file
    levels = EIGHT_BIT if way.levels else None
    behind = onnx.ModelProto.FromString(file.with_input(np.dtype(np.float32), levels, _preprocess(file)))
    load_external_data_for_model(behind, file.folder)
    ahead = onnx.ModelProto()
    ahead.CopyFrom(decoder)
    nodes, tensors = way.nodes()
    ahead.graph.node.extend(nodes)
    ahead.graph.initializer.extend(tensors)
    del ahead.graph.output[:]
    axes = ["batch", *way.places.shape]
    ahead.graph.output.append(helper.make_tensor_value_info(_TAKEN, TensorProto.FLOAT, axes))
    (kept,) = [value for value in behind.graph.output if value.name == file.output]
    refill(behind.graph.output, [kept])
    return joined(ahead, behind, between=(_TAKEN, INPUT), ends=(CODE, SCORES))


def _preprocess(file: ModelFile) -> Preprocess:
    return file.preprocess or Preprocess()
