"""Names that the runtime puts into a graph, and that no file may have already."""

from __future__ import annotations

import re
from collections.abc import Iterator

import onnx

from ...errors import ModelError
from .walk import tensors, within

INPUT = "smoothcert_input"
PROBE = "smoothcert_probe"  # with _0, _1, ...: outputs of a trial
CONSTANT = "smoothcert_constant"  # likewise: constants of preprocessing
STEP = "smoothcert"  # likewise: results of preprocessing
_RESERVED = re.compile(f"{INPUT}|({PROBE}|{CONSTANT}|{STEP})_[0-9]+")


def require_free_names(proto: onnx.ModelProto, where: str) -> None:
    """`ModelError` for a graph with a name of the runtime's own anywhere: one of two values would hide the other."""
    taken = next((name for name in _names(proto) if _RESERVED.fullmatch(name)), None)
    if taken is not None:
        raise ModelError(f"{where}: expected no name that smoothcert gives itself, got {taken!r}; rename it")


def _names(proto: onnx.ModelProto) -> Iterator[str]:
    yield from (tensor.name for tensor in tensors(proto, everywhere=True))
    for body in (proto.graph, *proto.functions):
        for graph in within(body):
            for node in graph.node:
                yield from (*node.input, *node.output)
            ends = (*graph.input, *graph.output)
            yield from (end if isinstance(end, str) else end.name for end in ends)
