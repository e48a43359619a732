"""An ONNX file as a classifier: read, checked, fingerprinted, and given the runtime's own input."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .documents import typed
from .errors import ModelError, first_line
from .model_card import ModelCard, damaged, value_of
from .preprocess import Preprocess, Shape

_RANDOM = {
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
}
_NUMERIC = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16, TensorProto.UINT8,
            TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64}  # fmt: skip
_INTEGERS = {TensorProto.UINT8, TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64}
INPUT = "smoothcert_input"
FOLDED = "smoothcert_folded"  # prefix of the names of preprocessing that an exporter put into the graph
METADATA = "smoothcert.preprocess"  # key of the recipe of `Preprocess`, as JSON, in a model's metadata
_OLDEST_OPSET = 8  # all arithmetic broadcasts from there on


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A checked classifier graph, weights outside it left where they are.

    `batch` is the fixed batch size or None, `shape` that of one input, `output` the name of the scores or labels,
    `adapted` what was changed in memory.
    """

    proto: onnx.ModelProto
    folder: str
    sha256: str
    batch: int | None
    shape: Shape
    elem_type: int
    output: str
    adapted: tuple[str, ...] = ()

    @property
    def takes_integers(self) -> bool:
        """Whether the model takes intensity levels rather than [0,1] values."""
        return self.elem_type in _INTEGERS

    @property
    def precision(self) -> str:
        """Element types of the weights, such as `float32` or `float16+float32`.

        Of a quantised graph the scales, zero points and 32-bit biases do not count, nor does folded preprocessing.
        """
        biases = {tensor.name for tensor in self.proto.graph.initializer if tensor.data_type == TensorProto.INT32}
        aside: set[str] = set()
        for node in self.proto.graph.node:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                aside |= {*node.input[1:], *(biases & {node.input[0]})}
        counted = (t for t in _tensors(self.proto) if t.dims and t.name not in aside and not t.name.startswith(FOLDED))
        kinds = {tensor.data_type for tensor in counted}
        names = {
            TensorProto.DataType.Name(k).lower()
            for k in kinds - {TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING}
        }
        return "+".join(sorted("float32" if n == "float" else n for n in names)) or "float32"

    @property
    def card(self) -> ModelCard:
        """What the metadata say besides. `ModelError` where they are damaged."""
        return ModelCard.of(self._metadata)

    @property
    def preprocess(self) -> Preprocess | None:
        """What the metadata say of preprocessing; None where they say nothing."""
        written = self._metadata.get(METADATA)
        if written is None:
            return None
        with damaged(METADATA):
            return Preprocess.of(typed(value_of(written), dict[str, Any]))

    @property
    def _metadata(self) -> dict[str, str]:
        return {entry.key: entry.value for entry in self.proto.metadata_props}

    def agreed(self, asked: Preprocess | None) -> Preprocess:
        """The preprocessing asked for, or the metadata's; `ModelError` where they differ."""
        own = self.preprocess
        if own is not None and asked not in (None, own):
            raise ModelError(
                f"the model brings its own preprocessing, {own.recipe}; leave the options for it out, "
                "or export the original again with them"
            )
        return own or asked or Preprocess()

    def with_input(self, dtype: np.dtype[Any], levels: bool, preprocess: Preprocess) -> bytes:
        """The model behind an input of the given element type, (value * scale - mean) / std computed in the graph.

        `levels`: it is a perturbed 8-bit image, in levels. Scale is then 1/255 unless given, and a model that takes
        integers gets the levels themselves, rounded, and clipped to 0..255 for uint8.
        """
        model = onnx.ModelProto()
        model.CopyFrom(self.proto)
        graph = model.graph
        inner = _input(graph)
        chain: list[tuple[str, Any]] = []
        if levels and preprocess.scale is None and not self.takes_integers:
            chain += [("Div", np.float32(255))]
        elif preprocess.scale is not None:
            chain += [("Mul", np.float32(preprocess.scale))]
        for op, values in (("Sub", preprocess.mean), ("Div", preprocess.std)):
            if values:
                chain.append((op, preprocess.channel_values(values, self.shape)))
        if self.takes_integers:
            chain += [("Add", np.float32(0.5)), ("Floor", None)]  # to the nearest; a cast would cut off
        if self.elem_type == TensorProto.UINT8:
            chain += [("Max", np.float32(0)), ("Min", np.float32(255))]
        name = "smoothcert_0"
        nodes = [helper.make_node("Cast", [INPUT], [name], to=TensorProto.FLOAT)]
        for i, (op, value) in enumerate(chain, start=1):
            operands = [name]
            if value is not None:
                operands.append(f"smoothcert_constant_{i}")
                graph.initializer.append(numpy_helper.from_array(np.asarray(value), operands[1]))
            nodes.append(helper.make_node(op, operands, [f"smoothcert_{i}"]))
            name = f"smoothcert_{i}"
        nodes.append(helper.make_node("Cast", [name], [inner.name], to=self.elem_type))
        outer = helper.make_tensor_value_info(INPUT, helper.np_dtype_to_tensor_dtype(dtype), None)
        outer.type.tensor_type.shape.CopyFrom(inner.type.tensor_type.shape)
        rest = list(graph.node)
        del graph.node[:]
        graph.node.extend([*nodes, *rest])
        graph.input.remove(inner)
        graph.input.append(outer)
        return bytes(model.SerializeToString())


def read_model(source: str | os.PathLike[str] | bytes, output: str | None = None) -> ModelFile:
    """Read and check an ONNX classifier; `output` names the scores or labels where there are several outputs.

    Raises `ModelError` for a file that is missing, truncated, not ONNX, random, or no classifier of one input.
    """
    where = "the model" if isinstance(source, bytes) else str(source)
    proto, sha256, folder = read_proto(source, where)
    opset = max((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if 0 < opset < _OLDEST_OPSET:
        raise ModelError(f"{where}: expected ONNX opset {_OLDEST_OPSET} or newer, got {opset}; export the model again")
    random = sorted({op for op, training in _operators(proto) if op in _RANDOM or training})
    if random:
        raise ModelError(
            f"{where}: draws random numbers ({', '.join(random)}); the certified function must be one function: "
            "export it for inference"
        )
    value = _input(proto.graph, where)
    tensor = value.type.tensor_type
    if tensor.elem_type not in _NUMERIC or not tensor.HasField("shape") or not tensor.shape.dim:
        raise ModelError(
            f"{where}: expected a numeric input with a batch axis, got input {value.name!r} of another kind"
        )
    batch, *shape = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in tensor.shape.dim]
    return ModelFile(
        proto=proto,
        folder=folder,
        sha256=sha256,
        batch=batch,
        shape=tuple(shape),
        elem_type=tensor.elem_type,
        output=_output(proto.graph, output, where),
    )


def read_proto(source: str | os.PathLike[str] | bytes, where: str) -> tuple[onnx.ModelProto, str, str]:
    """Any ONNX file, a classifier or not, weights outside it left where they are; its SHA-256, theirs included; folder.

    `where` names it in messages. `ModelError` for anything else, and for weights that are missing or lie outside the
    file's folder.
    """
    content, folder = _content(source)
    try:
        proto = onnx.ModelProto.FromString(content)
    except Exception as error:
        raise ModelError(
            f"{where}: expected an ONNX file, got something else or a truncated one ({first_line(error)})"
        ) from None
    if not proto.graph.node or not proto.graph.output:
        raise ModelError(f"{where}: expected an ONNX graph with nodes and outputs, got none; export the model again")
    return proto, _fingerprint(proto, content, folder, where), folder


def _content(source: str | os.PathLike[str] | bytes) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        return source, ""
    path = Path(source)
    try:
        return path.read_bytes(), str(path.resolve().parent)
    except OSError as error:
        raise ModelError(f"{path}: expected a readable ONNX file, got: {error.strerror}") from None


def _input(graph: onnx.GraphProto, where: str = "the model") -> onnx.ValueInfoProto:
    weights = {tensor.name for tensor in graph.initializer}
    inputs: list[onnx.ValueInfoProto] = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ModelError(f"{where}: expected one input, got {len(inputs)} ({names}); fix the others inside the graph")
    return inputs[0]


def _output(graph: onnx.GraphProto, wanted: str | None, where: str) -> str:
    names: list[str] = [value.name for value in graph.output]
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted is None or wanted not in names:
        got = f"no output {wanted!r}" if wanted else f"{len(names)} outputs"
        raise ModelError(f"{where}: {got}; pass --output with one of: {', '.join(names)}")
    return wanted


def _graphs(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.GraphProto | onnx.FunctionProto]:
    """The graph or function, and the graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _graphs(inner)


def _operators(proto: onnx.ModelProto) -> Iterator[tuple[str, bool]]:
    """(operator, whether it runs in training mode) of every node, functions and subgraphs included."""
    bodies = [proto.graph, *proto.functions]
    nodes = [node for body in bodies for graph in _graphs(body) for node in graph.node]
    constants = {t.name: t for t in proto.graph.initializer}
    constants |= {n.output[0]: a.t for n in nodes if n.op_type == "Constant" for a in n.attribute if a.name == "value"}
    for node in nodes:
        training = any(a.name == "training_mode" and a.i for a in node.attribute)
        if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
            mode = constants.get(node.input[2])
            training = mode is None or bool(numpy_helper.to_array(mode))  # what is computed may be true
        if node.op_type == "BatchNormalization":  # before opset 14, running statistics as outputs said so
            training |= any(node.output[1:])
        yield node.op_type, training


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    for graph in _graphs(proto.graph):
        yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                yield from (*attribute.tensors, *([attribute.t] if attribute.HasField("t") else []))


def _fingerprint(proto: onnx.ModelProto, content: bytes, folder: str, where: str) -> str:
    """SHA-256 of a file and its external weights; `ModelError` where these are missing or outside its folder."""
    digest = hashlib.sha256(content)
    locations = {
        entry.value
        for tensor in _tensors(proto)
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    for location in sorted(locations):
        path = Path(folder, location).resolve()
        if not folder or not path.is_relative_to(folder):
            raise ModelError(
                f"{where}: expected external weights inside the model's folder, got {location!r}; "
                "move them beside the model"
            )
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise ModelError(
                f"{where}: external weights {location!r}: {error.strerror}; copy them beside the model"
            ) from None
    return digest.hexdigest()
