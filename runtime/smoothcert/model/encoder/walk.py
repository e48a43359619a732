"""What a walk over an encoder's graph knows so far: constants by name, and the steps that made the other values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, numpy_helper

from ...errors import ModelError, first_line
from .steps import Reals, Shape, Step

MOST_VALUES = 1 << 25  # of all constants, and of all values of one image: 256 MiB each in float64
_KINDS = {int: AttributeProto.INT, float: AttributeProto.FLOAT, str: AttributeProto.STRING, list: AttributeProto.INTS}


class UnknownOperatorError(Exception):
    """An operator, or a form of it, that no bound is known for."""


@dataclass(frozen=True, eq=False)
class Walk:
    """What is known of a graph's names so far: constants, and numbers of values with their shapes."""

    constants: dict[str, NDArray[Any]]
    values: dict[str, int]
    shapes: list[Shape]
    steps: list[Step] = field(default_factory=list)
    held: list[int] = field(default_factory=list)  # numbers that each step makes or keeps

    def value(self, name: str) -> tuple[int, Shape]:
        """The number and shape of a value that depends on the image."""
        if name in self.constants:
            raise UnknownOperatorError("an operator over constants alone")
        if name not in self.values:
            raise ModelError(f"the encoder's graph: expected values made before they are used, got {name[:99]!r}")
        return self.values[name], self.shapes[self.values[name]]

    def reals(self, name: str) -> Reals | None:
        """A constant of float32 numbers in float64; None for a value that depends on the image."""
        if name not in self.constants:
            return None
        array = self.constants[name]
        if array.dtype != np.float32:
            raise UnknownOperatorError("arithmetic of another type than float32")
        if not np.isfinite(array).all():
            raise ModelError(f"the encoder's graph: expected finite weights, got {name[:99]!r} with NaN or infinity")
        return array.astype(np.float64)

    def constant(self, name: str) -> Reals:
        """`reals` where nothing else is known."""
        found = self.reals(name)
        if found is None:
            self.value(name)
            raise UnknownOperatorError("a product of two values that depend on the image")
        return found


def read_array(tensor: TensorProto, most: int) -> NDArray[Any]:
    if tensor.data_location == TensorProto.EXTERNAL:
        raise ModelError(
            "the encoder's graph: expected weights inside the file, got external ones; save it as one file"
        )
    if any(size < 0 for size in tensor.dims):
        raise ModelError("the encoder's graph: expected weights of sizes from 0 on, got a negative size")
    if math.prod(tensor.dims) > most:
        raise UnknownOperatorError("weights of this size")
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except Exception as error:
        raise ModelError(
            f"the encoder's graph: weights {tensor.name[:99]!r} cannot be read: {first_line(error)}"
        ) from None


def attributes(node: onnx.NodeProto, **defaults: Any) -> dict[str, Any]:
    """Attributes by name; any other than these is unknown, and so is one of another type."""
    found = dict(defaults)
    for attribute in node.attribute:
        kind = _KINDS[type(defaults[attribute.name])] if attribute.name in defaults else None
        if attribute.type != kind or attribute.ref_attr_name:
            raise UnknownOperatorError(f"{node.op_type} with {attribute.name}")
        value = onnx.helper.get_attribute_value(attribute)
        if kind == AttributeProto.FLOAT and not math.isfinite(value):
            raise ModelError(f"the encoder's graph: expected a finite {attribute.name} of {node.op_type}, got {value}")
        found[attribute.name] = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    return found
