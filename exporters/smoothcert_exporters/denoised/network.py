"""A denoiser's file, read and checked: where the noisy image goes in, and what its other inputs get."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.external_data_helper import load_external_data_for_model

from smoothcert.errors import ModelError
from smoothcert.model.arrangement import show
from smoothcert.model.denoiser import Denoiser
from smoothcert.model.graph.checks import random_operators, require_one_meaning
from smoothcert.model.graph.functions import inlined
from smoothcert.model.source import Source

from ..adapt.conversion import upgraded
from ..graph import inputs, opset, static_shape

COLOURS = (1, 3)
_OLDEST = 13  # opset from which arithmetic is put around a denoiser
_MOST = 1 << 24  # values of an input beside the image
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)


@dataclass(frozen=True, eq=False)
class Network:
    """A denoiser and its conventions; `source` is its file as it came.

    `image`: the input that the noisy image goes to, `output`: what comes back. `planar`: colours are ahead of rows.
    `colours`, `sides` (height, width) and `batch` are None where the file leaves them free. `constants`: what every
    other input gets, a number of the input's type.
    """

    source: Source
    how: Denoiser
    proto: onnx.ModelProto
    image: onnx.ValueInfoProto
    output: str
    planar: bool
    colours: int | None
    sides: tuple[int, int] | None
    batch: int | None
    constants: dict[str, NDArray[Any]]

    @property
    def where(self) -> str:
        """Its name in messages."""
        return f"denoiser: {self.source.where}"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of its images."""
        return helper.tensor_dtype_to_np_dtype(self.image.type.tensor_type.elem_type)

    def others(self) -> list[onnx.ValueInfoProto]:
        """The inputs beside the image."""
        return [value for value in inputs(self.proto.graph) if value.name != self.image.name]


def read_network(source: Source, how: Denoiser) -> Network:
    """The denoiser of a file, weights in memory; `ModelError` for what is none, or draws random numbers."""
    where = f"denoiser: {source.where}"
    require_one_meaning(source.proto, where)
    proto = onnx.ModelProto()
    proto.CopyFrom(inlined(source.proto, where))
    if random := random_operators(proto):
        raise ModelError(
            f"{where}: draws random numbers ({', '.join(random)}); the certified function must be one function: export "
            "one step of it, for inference"
        )
    if opset(proto) < _OLDEST:
        proto = upgraded(proto, _OLDEST)
    load_external_data_for_model(proto, source.folder)
    given = inputs(proto.graph)
    image = _image(given, how, where)
    if len(proto.graph.output) != 1:
        names = ", ".join(value.name for value in proto.graph.output)
        raise ModelError(f"{where}: expected one output, got {names}; export it again with the image or noise alone")
    batch, *axes = static_shape(image) or ()
    planar = axes[0] in COLOURS or axes[2] not in COLOURS
    colours, *sides = axes if planar else (axes[2], *axes[:2])
    if colours not in (None, *COLOURS):
        raise ModelError(f"{where}: expected images of 1 or 3 colours, got an input {show(tuple(axes))}")
    return Network(
        source=source,
        how=how,
        proto=proto,
        image=image,
        output=proto.graph.output[0].name,
        planar=planar,
        colours=colours,
        sides=None if None in sides else (sides[0] or 0, sides[1] or 0),
        batch=batch,
        constants={value.name: _constant(value, how, where) for value in given if value.name != image.name},
    )


def _image(given: Sequence[onnx.ValueInfoProto], how: Denoiser, where: str) -> onnx.ValueInfoProto:
    """The one input that no constant was given for; `ModelError` where that is none, or no image."""
    names = [value.name for value in given]
    if strange := [name for name in how.values if name not in names]:
        raise ModelError(f"{where}: expected input.NAME of one of its inputs, {', '.join(names)}, got {strange[0]!r}")
    left = [value for value in given if value.name not in how.values]
    images = [value for value in left if len(static_shape(value) or ()) == 4]
    if len(left) > 1:
        first = images[0] if images else left[0]
        rest = ", ".join(f"input.{value.name}=VALUE" for value in left if value is not first)
        raise ModelError(
            f"{where}: expected one input without a value, the image, got {len(left)}: "
            f"{', '.join(value.name for value in left)}; give {rest}, a number, sigma or step"
        )
    if not images:
        got = f"{left[0].name} {show((static_shape(left[0]) or ())[1:])}" if left else "none"
        raise ModelError(f"{where}: expected an input of images, (batch, colours, height, width), got {got}")
    if images[0].type.tensor_type.elem_type not in _FLOATS:
        kind = TensorProto.DataType.Name(images[0].type.tensor_type.elem_type).lower()
        raise ModelError(f"{where}: expected images of float values, got {kind}; export it again for floats")
    return images[0]


def _constant(value: onnx.ValueInfoProto, how: Denoiser, where: str) -> NDArray[Any]:
    """The number that an input gets, in its type; `ModelError` where it takes no numbers, or no such."""
    number = how.value(value.name)
    kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    if static_shape(value) is None or kind.kind not in "fiu":
        raise ModelError(f"{where}: expected a number for every input, got {value.name!r}, which takes none")
    if math.prod(n or 1 for n in static_shape(value) or ()) > _MOST:
        raise ModelError(f"{where}: expected an input {value.name!r} of at most {_MOST:,} values, got a larger one")
    if kind.kind != "f" and not number.is_integer():
        raise ModelError(f"{where}: expected a whole number for {value.name!r}, of type {kind}, got {number:g}")
    return np.array(number, kind)
