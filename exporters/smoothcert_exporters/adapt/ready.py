"""An ONNX file made ready to certify in memory, where it is not ready as it came."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from smoothcert.errors import ModelError
from smoothcert.model.file import ModelFile, checked
from smoothcert.model.scores import ADAPTED, difference
from smoothcert.model.source import Readable, Source, read_source

from ..graph import Array, element_type, fixed_batch, inputs, opset
from ..proof.trial import hard_rows, input_shape, random_rows, runner
from .adapted import Adapted, adapt
from .outputs import wide
from .shapes import loose


def made_ready(path: Readable, output: str | None = None, examples: NDArray[Any] | None = None) -> ModelFile | None:
    """The classifier of a file, adapted, under its own SHA-256; None where it can be certified as it is.

    `examples` (n, *shape of one input), as the graph takes them, are tried too. `ModelError` for what is no classifier.
    """
    source = read_source(path)
    if not _needs(source.proto, source.folder, output):
        return None
    adapted = adapted_source(source, output, examples)
    if not adapted.changes and not adapted.warning:
        return None
    return replace(
        checked(adapted.proto, adapted.proto.graph.output[0].name, source.where),
        folder=source.folder,
        sha256=source.sha256,
        outside=source.outside,
        adapted=adapted.changes,
        given=adapted.given if adapted.changes else None,
        warning=adapted.warning,
    )


def adapted_source(source: Source, output: str | None, examples: Array | None = None) -> Adapted:
    try:
        return adapt(source.proto, source.folder, output=output, examples=examples)
    except ModelError as error:
        raise ModelError(f"{source.where}: {error}") from None


def _needs(proto: onnx.ModelProto, folder: str, output: str | None) -> bool:
    """Whether the runtime would refuse the file as it is, or run it slowly.

    Where it looks ready, a few rows are tried, alone and together: they must get the same scores.
    """
    kinds = {value.name: value.type.tensor_type.elem_type for value in proto.graph.output}
    if len(inputs(proto.graph)) != 1 or opset(proto) < 8 or wide(proto) or proto.functions:
        return True
    if len(kinds) > 1 and (output is None or kinds.get(output) == TensorProto.UNDEFINED):
        return True
    if fixed_batch(proto.graph) is not None or loose(proto.graph):
        return True
    one = input_shape(proto)
    if one is None:
        return False
    try:
        run = runner(proto, folder, output or next(iter(kinds)))
        kind = element_type(proto.graph)
        rows = np.concatenate([random_rows(kind, one, 3), hard_rows(kind, one)[::3]])
        return not difference(run.by(rows, len(rows)), run.by(rows, 1)) <= ADAPTED.narrow
    except ModelError:
        return True
