"""The bytes of an ONNX file, read once: its graph, its fingerprint, and the files of its weights."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import onnx

from ..errors import ModelError, first_line
from ..files.reading import read_regular
from .graph.checks import require_plausible
from .graph.names import require_free_names
from .weights import Outside, fingerprint

_READABLE = ("a readable ONNX file", ModelError, 1 << 31)  # protobuf's own limit of bytes


@dataclass(frozen=True, eq=False)
class Source:
    """An ONNX file as it was read, once: its graph, its SHA-256 with external weights, their folder and files."""

    proto: onnx.ModelProto
    where: str  # its name in messages
    folder: str
    sha256: str
    outside: tuple[Outside, ...]


Readable = str | os.PathLike[str] | bytes | Source


def read_source(source: Readable) -> Source:
    """Any ONNX file, a classifier or not, weights outside it left where they are.

    `ModelError` for anything else, for weights that are missing or lie outside the file's folder, and for a graph that
    would take far more memory than its bytes (see `require_plausible`) or has names that the runtime gives itself.
    """
    if isinstance(source, Source):
        return source
    where = "the model" if isinstance(source, bytes) else str(source)
    content, folder = source if isinstance(source, bytes) else read_regular(source, *_READABLE), ""
    if not isinstance(source, bytes):
        folder = str(Path(source).resolve().parent)
    try:
        proto = onnx.ModelProto.FromString(content)
    except Exception as error:
        raise ModelError(
            f"{where}: expected an ONNX file, got something else or a truncated one ({first_line(error)})"
        ) from None
    if not proto.graph.node or not proto.graph.output:
        raise ModelError(f"{where}: expected an ONNX graph with nodes and outputs, got none; export the model again")
    require_plausible(proto, len(content), where)
    require_free_names(proto, where)
    sha256, outside = fingerprint(proto, content, folder, where)
    return Source(proto, where, folder, sha256, outside)
