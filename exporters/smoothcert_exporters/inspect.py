"""What the runtime sees in a model file, and what adapting it would do."""

from __future__ import annotations

import math
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto

from smoothcert.errors import ModelError, ProviderError
from smoothcert.model.card import ModelCard, smoothing_words
from smoothcert.model.source import read_source

from .adapt.adapted import adapt
from .cuda_kernels import cuda_gaps
from .graph import inputs, static_shape

_COLOURS = (1, 3, 4)
_WIDE = ("int16", "int32", "int64")
_TOKENS = "the model takes integers: of 8-bit data it gets the levels 0 to 255 themselves, rounded"
_LOUDEST = (
    "the graph divides by what it finds largest in its input: a normalisation, which amplifies noise and attacks alike"
)
_EXTREMES = {"ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceSumSquare", "MaxPool"}
_PASSES = {"Abs", "Add", "Sub", "Mul", "Max", "Min", "Clip", "Neg", "Sqrt", "Pow", "Cast", "Reshape", "Unsqueeze",
           "Squeeze", "Identity", "Expand", "Transpose", "Flatten", "Div", "Where", "Reciprocal"}  # fmt: skip
_LONG = 100  # characters of a metadata value that are shown
_MANY = 12  # operators that are named


@dataclass(frozen=True)
class Tensor:
    """An input or output: element type, or what it is instead of a tensor; shape with names of free axes."""

    name: str
    kind: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.kind} ({', '.join(map(str, self.shape))})"


@dataclass(frozen=True)
class Inspection:
    """What a file holds. `size` counts bytes with external weights; `refusal` says why it cannot be certified."""

    path: Path
    sha256: str
    size: int
    ir_version: int
    opsets: dict[str, int]
    producer: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    layout: str
    parameters: int
    operators: dict[str, int]
    metadata: dict[str, str]
    without_cuda: tuple[str, ...]
    unknown_on_cuda: tuple[str, ...]
    normalises: bool
    changes: tuple[str, ...]
    warning: str
    refusal: str

    @property
    def lines(self) -> tuple[str, ...]:
        """The report, for people."""
        opsets = ", ".join(f"{domain} {version}" for domain, version in self.opsets.items())
        most = sorted(self.operators.items(), key=lambda item: (-item[1], item[0]))
        named = ", ".join(f"{name} {count}" for name, count in most[:_MANY])
        more = f", and {len(most) - _MANY} other kinds" if len(most) > _MANY else ""
        done = [f"refused: {self.refusal}"] if self.refusal else [*self.changes, *filter(None, [self.warning])]
        return (
            f"{self.path}: {self.size:,} bytes, {self.parameters:,} parameters",
            f"sha256: {self.sha256}",
            f"format: IR {self.ir_version}, opset {opsets}, written by {self.producer or 'nobody named'}",
            *(f"input: {tensor}, {self.layout}" for tensor in self.inputs),
            *(f"remark: {_TOKENS}" for tensor in self.inputs[:1] if tensor.kind in _WIDE),
            *([f"remark: {_LOUDEST}"] if self.normalises else []),
            *(f"output: {tensor}" for tensor in self.outputs),
            f"operators: {named}{more}",
            *(f"metadata: {key} = {_short(value)}" for key, value in self.metadata.items()),
            *_eight_bits(self.metadata),
            self._cuda,
            *(f"adaptation: {line}" for line in done or ("nothing to do",)),
        )

    @property
    def _cuda(self) -> str:
        text = f"no kernel for {', '.join(self.without_cuda)}: run on the CPU" if self.without_cuda else ""
        doubt = f"nothing known of {', '.join(self.unknown_on_cuda)}" if self.unknown_on_cuda else ""
        return "CUDA: " + ("; ".join(filter(None, (text, doubt))) or "kernels for all operators")


def inspect_model(path: str | os.PathLike[str], output: str | None = None) -> Inspection:
    """Look at an ONNX file, and try on a copy what adapting it would do. `ModelError` for what is no ONNX file."""
    source = read_source(path)
    proto, folder = source.proto, source.folder
    weights = [*proto.graph.initializer, *_constants(proto.graph)]
    entries, (without, unknown) = inputs(proto.graph), cuda_gaps(proto)
    changes, warning, refusal = _adaptation(proto, folder, output)
    return Inspection(
        path=Path(path),
        sha256=source.sha256,
        size=Path(path).stat().st_size + _outside(weights, Path(folder)),
        ir_version=proto.ir_version,
        opsets={o.domain or "ai.onnx": o.version for o in proto.opset_import},
        producer=" ".join(filter(None, (proto.producer_name, proto.producer_version))),
        inputs=tuple(map(_tensor, entries)),
        outputs=tuple(map(_tensor, proto.graph.output)),
        layout=guess_layout(static_shape(entries[0])) if len(entries) == 1 else "layout unknown",
        parameters=sum(math.prod(t.dims) for t in weights if t.dims and t.data_type != TensorProto.INT64),
        operators=dict(Counter(node.op_type for node in proto.graph.node)),
        metadata={entry.key: entry.value for entry in proto.metadata_props},
        without_cuda=without,
        unknown_on_cuda=unknown,
        normalises=normalises(proto.graph),
        changes=changes,
        warning=warning,
        refusal=refusal,
    )


def guess_layout(shape: tuple[int | None, ...] | None) -> str:
    """How images lie in an input of that shape, batch axis included, as far as the shape tells."""
    rest = (shape or ())[1:]
    if len(rest) == 3 and (rest[0] in _COLOURS) != (rest[2] in _COLOURS):
        return "nchw" if rest[0] in _COLOURS else "nhwc"
    if rest and None not in rest and sum(n != 1 for n in rest) <= 1:
        return "flat"
    return "layout unknown"


def normalises(graph: onnx.GraphProto) -> bool:
    """Whether the input, ahead of any layer, is divided by its own largest value, or its own norm."""
    plain = {value.name for value in inputs(graph)}  # arithmetic on the input
    extreme: set[str] = set()  # what follows from its largest value
    for node in graph.node:
        read = set(node.input)
        if node.op_type == "Div" and len(node.input) == 2 and node.input[1] in extreme and node.input[0] in plain:
            return True
        if node.op_type == "LpNormalization" and read & plain:
            return True
        if read & extreme and node.op_type == "Mul" and read & plain and "Reciprocal" in _kinds(graph):
            return True
        if (node.op_type in _EXTREMES and read & plain) or (node.op_type in _PASSES and read & extreme):
            extreme |= set(node.output)
        elif node.op_type in _PASSES and read & plain:
            plain |= set(node.output)
    return False


def _kinds(graph: onnx.GraphProto) -> set[str]:
    return {node.op_type for node in graph.node}


def _adaptation(proto: onnx.ModelProto, folder: str, output: str | None) -> tuple[tuple[str, ...], str, str]:
    """Changes, warning and refusal."""
    try:
        adapted = adapt(proto, folder, output=output)
    except (ModelError, ProviderError) as error:
        return (), "", str(error)
    return adapted.changes, adapted.warning, ""


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    which = value.type.WhichOneof("value") or "tensor_type"
    if which != "tensor_type":
        return Tensor(value.name, which.removesuffix("_type"), ())
    kind = value.type.tensor_type
    names = [axis.dim_param or "?" for axis in kind.shape.dim]
    shape = tuple(size or name for size, name in zip(static_shape(value) or (), names, strict=False))
    name = TensorProto.DataType.Name(kind.elem_type).lower()
    return Tensor(value.name, {"float": "float32", "double": "float64"}.get(name, name), shape)


def _constants(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    return [a.t for node in graph.node if node.op_type == "Constant" for a in node.attribute if a.HasField("t")]


def _outside(tensors: list[onnx.TensorProto], folder: Path) -> int:
    """Bytes of the files of external weights that are there."""
    places = {e.value for t in tensors for e in t.external_data if e.key == "location"}
    return sum(file.stat().st_size for place in places if (file := folder / place).is_file())


def _eight_bits(metadata: dict[str, str]) -> tuple[str, ...]:
    """How a file with 8 bits came about, in a line, where its metadata say so."""
    try:
        said = ModelCard.of(metadata).quantisation or {}
    except ModelError:
        return ()  # damaged: the entry itself is shown
    if not said:
        return ()
    wanted = ("method", "activations", "weights", "copies", "inputs", "agreement")
    method, activations, weights, copies, inputs, agreement = (said.get(name, "unknown") for name in wanted)
    narrow = " of 7 bits" if said.get("reduce_range") else ""
    line = (
        f"8 bits: {method}; activations {activations}, weights {weights}{narrow}; ranges of {copies} perturbed copies "
        f"of {inputs} inputs at {smoothing_words(said)}; share of labels that agree with float32: {agreement}"
    )
    return (line,) if line.isprintable() else ()


def _short(value: str) -> str:
    return value if len(value) <= _LONG else f"{value[:_LONG]}... ({len(value)} characters)"
