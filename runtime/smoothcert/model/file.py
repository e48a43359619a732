"""An ONNX file as a classifier: checked, described, and given the runtime's own input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..errors import ModelError
from ..files.documents import typed
from ..inputs.levels import EIGHT_BIT, PCM16, Levels
from ..inputs.spatial import PLAIN
from .arrangement import Shape
from .card import ModelCard, entry
from .graph.checks import random_operators, require_one_meaning
from .graph.functions import inlined
from .graph.names import CONSTANT, INPUT, STEP, require_free_names
from .graph.walk import STANDARD, operators, tensors
from .preprocess import Preprocess
from .source import Readable, read_source
from .weights import Outside

_INTEGERS = {TensorProto.UINT8, TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64}
_NUMERIC = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16, *_INTEGERS}
FOLDED = "smoothcert_folded"  # prefix of the names of preprocessing that an exporter put into the graph
METADATA = "smoothcert.preprocess"  # key of the recipe of `Preprocess`, as JSON, in a model's metadata
_OLDEST_OPSET = 8  # all arithmetic broadcasts from there on


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A checked classifier graph, weights outside it left where they are.

    `batch` is the fixed batch size or None, `shape` that of one input, `output` the name of the scores or labels,
    `adapted` what was changed in memory, `given` the graph before that (None: nothing was), `warning` what could not be
    changed, `outside` the files of external weights. `denoiser`: of one put ahead of the file in memory:
    its SHA-256 and conventions.
    """

    proto: onnx.ModelProto
    folder: str
    sha256: str
    batch: int | None
    shape: Shape
    elem_type: int
    output: str
    adapted: tuple[str, ...] = ()
    given: onnx.ModelProto | None = None
    warning: str = ""
    outside: tuple[Outside, ...] = ()
    denoiser: Mapping[str, Any] | None = None

    @property
    def takes_integers(self) -> bool:
        """Whether the model takes intensity levels rather than [0,1] values."""
        return self.elem_type in _INTEGERS

    @property
    def precision(self) -> str:
        """Element types of the weights, such as `float16+float32`; those of quantisers and preprocessing aside."""
        biases = {tensor.name for tensor in self.proto.graph.initializer if tensor.data_type == TensorProto.INT32}
        aside: set[str] = set()
        for node in self.proto.graph.node:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                aside |= {*node.input[1:], *(biases & {node.input[0]})}
        counted = (t for t in tensors(self.proto) if t.dims and t.name not in aside and not t.name.startswith(FOLDED))
        kinds = {tensor.data_type for tensor in counted}
        names = {
            TensorProto.DataType.Name(k).lower()
            for k in kinds - {TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING}
        }
        return "+".join(sorted("float32" if n == "float" else n for n in names)) or "float32"

    def require_unchanged(self) -> None:
        """`ModelError` where the external weights are no longer the ones that `sha256` names."""
        for file in self.outside:
            file.require_unchanged()

    @property
    def card(self) -> ModelCard:
        """What the metadata say besides. `ModelError` where they are damaged."""
        return ModelCard.of(self._metadata)

    @property
    def preprocess(self) -> Preprocess | None:
        """What the metadata say of preprocessing; None where they say nothing."""
        if METADATA not in self._metadata:
            return None
        with entry(self._metadata, METADATA) as recipe:
            return Preprocess.of(typed(recipe, dict[str, Any]))

    @property
    def _metadata(self) -> dict[str, str]:
        return {prop.key: prop.value for prop in self.proto.metadata_props}

    def agreed(self, asked: Preprocess | None) -> Preprocess:
        """The preprocessing asked for, or the metadata's; `ModelError` where they differ.

        Metadata that say nothing of images of other sizes leave that open: it may be asked for besides.
        """
        own = self.preprocess
        open_ = own is not None and own.spatial == PLAIN
        if own and asked and open_ and replace(asked, spatial=PLAIN) in (Preprocess(), own):
            return replace(own, spatial=asked.spatial)
        if own is not None and asked not in (None, own):
            raise ModelError(
                f"the model brings its own preprocessing, {own.recipe}; leave the options for it out, "
                "or export the original again with them"
            )
        return own or asked or Preprocess()

    def with_input(self, dtype: np.dtype[Any], levels: Levels | None, preprocess: Preprocess) -> bytes:
        """The model behind an input of the given element type, (value * scale - mean) / std computed in the graph.

        Channels are turned round or copied ahead of mean and std, which are those of the model's own channels.
        `levels`: those that the input is in, perturbed. Scale is then their unit's inverse unless given, such as 1/255,
        and a model that takes integers gets the levels themselves, rounded, and clipped where its type has no others.
        """
        model = onnx.ModelProto()
        model.CopyFrom(self.proto)
        graph = model.graph
        inner = only_input(graph)
        chain: list[tuple[str, Any]] = []
        if levels and preprocess.scale is None and not self.takes_integers:
            chain += [("Div", np.float32(levels.unit))]
        elif preprocess.scale is not None:
            chain += [("Mul", np.float32(preprocess.scale))]
        if gathered := preprocess.gathered(self.shape):
            chain += [("Gather", gathered[0])]
        for op, values in (("Sub", preprocess.mean), ("Div", preprocess.std)):
            if values:
                chain.append((op, preprocess.channel_values(values, self.shape)))
        if self.takes_integers:
            chain += [("Add", np.float32(0.5)), ("Floor", None)]  # to the nearest; a cast would cut off
        clips: dict[int, Levels] = {TensorProto.UINT8: EIGHT_BIT}
        if levels == PCM16:
            clips[TensorProto.INT16] = PCM16
        if ends := clips.get(self.elem_type):
            chain += [("Max", np.float32(ends.lowest)), ("Min", np.float32(ends.highest))]
        name = f"{STEP}_0"
        nodes = [helper.make_node("Cast", [INPUT], [name], to=TensorProto.FLOAT)]
        for i, (op, value) in enumerate(chain, start=1):
            operands = [name]
            if value is not None:
                operands.append(f"{CONSTANT}_{i}")
                graph.initializer.append(numpy_helper.from_array(np.asarray(value), operands[1]))
            along: dict[str, Any] = {"axis": gathered[1] + 1} if gathered and op == "Gather" else {}
            nodes.append(helper.make_node(op, operands, [f"{STEP}_{i}"], **along))
            name = f"{STEP}_{i}"
        nodes.append(helper.make_node("Cast", [name], [inner.name], to=self.elem_type))
        outer = helper.make_tensor_value_info(INPUT, helper.np_dtype_to_tensor_dtype(dtype), None)
        outer.type.tensor_type.shape.CopyFrom(inner.type.tensor_type.shape)
        if gathered and preprocess.taken(self.shape) != self.shape:
            outer.type.tensor_type.shape.dim[gathered[1] + 1].dim_value = 1
        rest = list(graph.node)
        del graph.node[:]
        graph.node.extend([*nodes, *rest])
        graph.input.remove(inner)
        graph.input.append(outer)
        return bytes(model.SerializeToString())


def read_model(source: Readable, output: str | None = None) -> ModelFile:
    """Read and check an ONNX classifier; `output` names the scores or labels where there are several outputs.

    Raises `ModelError` for a file that is missing, truncated, not ONNX, random, or no classifier of one input.
    """
    read = read_source(source)
    file = checked(inlined(read.proto, read.where), output, read.where)
    return replace(file, folder=read.folder, sha256=read.sha256, outside=read.outside)


def checked(proto: onnx.ModelProto, output: str | None = None, where: str = "the model") -> ModelFile:
    """A graph, its functions written out, as a classifier, without folder and fingerprint; else `ModelError`."""
    require_free_names(proto, where)
    require_one_meaning(proto, where)
    opset = max((o.version for o in proto.opset_import if o.domain in STANDARD), default=0)
    if 0 < opset < _OLDEST_OPSET:
        raise ModelError(f"{where}: expected ONNX opset {_OLDEST_OPSET} or newer, got {opset}; export the model again")
    if "EPContext" in operators(proto):
        raise ModelError(f"{where}: expected operators, got a compiled engine (EPContext); take the original model")
    if random := random_operators(proto):
        raise ModelError(
            f"{where}: draws random numbers ({', '.join(random)}); the certified function must be one function: "
            "export it for inference"
        )
    value = only_input(proto.graph, where)
    tensor = value.type.tensor_type
    if tensor.elem_type not in _NUMERIC or not tensor.HasField("shape") or not tensor.shape.dim:
        raise ModelError(f"{where}: expected a numeric input with a batch axis, got {value.name!r} of another kind")
    batch, *shape = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in tensor.shape.dim]
    name = _output(proto.graph, output, where)
    return ModelFile(proto, "", "", batch, tuple(shape), tensor.elem_type, name)


def only_input(graph: onnx.GraphProto, where: str = "the model") -> onnx.ValueInfoProto:
    """The one input that is no constant, or `ModelError`."""
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
        raise ModelError(f"{where}: {got}; pass `output` with one of: {', '.join(names)}")
    return wanted
