"""What a model file says of itself, in its ONNX metadata: preprocessing, card; and what it shall not say."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from smoothcert.errors import ModelError
from smoothcert.files.writing import write_atomically
from smoothcert.model.card import ModelCard
from smoothcert.model.file import FOLDED, METADATA, read_model
from smoothcert.model.preprocess import Preprocess

from .graph import array, inputs, subgraphs


def annotate(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    preprocess: Preprocess,
    *,
    card: ModelCard | None = None,
    output: str | None = None,
) -> None:
    """Write the classifier to `out` with its preprocessing in the metadata, so that certifying needs no options.

    The graph is left as it is; metadata of that key are replaced, and those of `card`. External weights are named, not
    copied: `out` belongs in the same folder. `output` names the scores where there are several outputs. The same bytes
    every time. Raises `ModelError` for what is no classifier.
    """
    source, target = Path(model), Path(out)
    file = read_model(source, output)
    external = [t.name for t in file.proto.graph.initializer if t.data_location == TensorProto.EXTERNAL]
    if external and source.resolve().parent != target.resolve().parent:
        raise ModelError(f"{target}: expected a path beside {source}, whose weights lie in files of their own")
    proto = deepcopy(file.proto)
    describe(proto, preprocess, card or ModelCard())
    write_atomically(target, proto.SerializeToString(deterministic=True))


def describe(proto: onnx.ModelProto, preprocess: Preprocess, card: ModelCard) -> None:
    """Put preprocessing, if there is any, and card into the metadata, sorted by key; other entries stay."""
    entries = {entry.key: entry.value for entry in proto.metadata_props if entry.key != METADATA} | card.metadata
    if preprocess != Preprocess():
        entries[METADATA] = json.dumps(preprocess.recipe, sort_keys=True)
    del proto.metadata_props[:]
    for key in sorted(entries):
        proto.metadata_props.add(key=key, value=entries[key])


def strip(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what its exporter wrote beside the function: sources, stack traces with paths, comments.

    Names of values and the model's own metadata stay; the batch axis, where it is free, is called `batch`.
    """
    model = deepcopy(proto)
    model.doc_string = ""
    for message in (*_graphs(model.graph), *model.functions, *_parts(model)):
        message.doc_string = ""
        if hasattr(message, "metadata_props"):
            del message.metadata_props[:]
    _name_batch(model.graph)
    return model


def weights_sha256(proto: onnx.ModelProto, folder: str = "") -> str:
    """SHA-256 over type, shape and values of every initializer but folded preprocessing, whatever their names."""
    digests = []
    for tensor in proto.graph.initializer:
        if not tensor.name.startswith(FOLDED):
            head = f"{TensorProto.DataType.Name(tensor.data_type)} {list(tensor.dims)} ".encode()
            text = tensor.data_type == TensorProto.STRING  # whose array holds addresses
            values = b"\0".join(tensor.string_data) if text else array(tensor, folder).tobytes()
            digests.append(hashlib.sha256(head + values).digest())
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from _graphs(inner)


def _parts(model: onnx.ModelProto) -> Iterable[Any]:
    """Nodes, values and tensors, wherever they are."""
    for graph in _graphs(model.graph):
        yield from (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer)
        for node in graph.node:
            yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))
    for function in model.functions:
        yield from (*function.node, *function.value_info)


def _name_batch(graph: onnx.GraphProto) -> None:
    """Call the batch axis `batch`, whatever the exporter called it."""
    shapes = [value.type.tensor_type.shape for value in inputs(graph)]
    drawn = {shape.dim[0].dim_param for shape in shapes if shape.dim} - {""}
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in drawn:
                dim.dim_param = "batch"
