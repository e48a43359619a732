"""ONNX files that exist already: exported again, ready to certify, or made ready in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from smoothcert.errors import ModelError, require
from smoothcert.model.agreement import COARSE
from smoothcert.model.file import ModelFile, Readable, Source, checked, read_proto, read_source
from smoothcert.model.preprocess import Preprocess, show
from smoothcert.model.scores import difference

from .adapt import Adapted, adapt
from .finish import Export, finish
from .graph import Array, inputs, opset, static_shape
from .outputs import wide
from .parity import TOLERANCE
from .shapes import loose
from .trial import hard_rows, input_shape, random_rows, runner


@dataclass(frozen=True)
class Ready:
    """A file made ready in memory, under its own SHA-256; `warning` says what could not be changed, if anything."""

    file: ModelFile
    warning: str


def made_ready(path: Readable, output: str | None = None, examples: NDArray[Any] | None = None) -> Ready | None:
    """The classifier of a file, adapted; None where it can be certified as it is.

    `examples` (n, *shape of one input), values as the graph takes them, are tried besides inputs that are made up.
    Raises `ModelError` for what cannot be certified.
    """
    source = read_source(path)
    if not _needs(source.proto, source.folder, output):
        return None
    adapted = _adapted(source, output, examples)
    if not adapted.changes and not adapted.warning:
        return None
    file = checked(adapted.proto, adapted.proto.graph.output[0].name, source.where)
    given = adapted.given if adapted.changes else None
    file = replace(
        file,
        folder=source.folder,
        sha256=source.sha256,
        outside=source.outside,
        adapted=adapted.changes,
        given=given,
    )
    return Ready(file, adapted.warning)


def _adapted(source: Source, output: str | None, examples: Array | None = None) -> Adapted:
    try:
        return adapt(source.proto, source.folder, output=output, examples=examples)
    except ModelError as error:
        raise ModelError(f"{source.where}: {error}") from None


def _needs(proto: onnx.ModelProto, folder: str, output: str | None) -> bool:
    """Whether the runtime would refuse the file as it is, or run it slowly.

    Where it looks ready, a few rows are tried, alone and together: they must get the same scores.
    """
    entries = inputs(proto.graph)
    kinds = {value.name: value.type.tensor_type.elem_type for value in proto.graph.output}
    if len(entries) != 1 or opset(proto) < 8 or wide(proto) or proto.functions:
        return True
    if len(kinds) > 1 and (output is None or kinds.get(output) == TensorProto.UNDEFINED):
        return True
    shape = static_shape(entries[0])
    if (shape and shape[0] is not None) or loose(proto.graph):
        return True
    one = input_shape(proto)
    if one is None:
        return False
    try:
        run = runner(proto, folder, output or next(iter(kinds)))
        kind = entries[0].type.tensor_type.elem_type
        rows = np.concatenate([random_rows(kind, one, 3), hard_rows(kind, one)[::3]])
        return not difference(run.by(rows, len(rows)), run.by(rows, 1)) <= COARSE
    except ModelError:
        return True


def export_file(
    model: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    output: str | None = None,
    shape: tuple[int, ...] | None = None,
    preprocess: Preprocess | None = None,
    input_layout: str = "",
    input_range: tuple[float, float] | None = None,
    class_names: Sequence[str] = (),
    training_noise: float | None = None,
    examples: NDArray[np.generic] | None = None,
    precision: str = "float32",
    tolerance: float = TOLERANCE,
    provider: str = "cpu",
) -> Export:
    """Write the classifier of an ONNX file to `path`, ready to certify, and prove that it computes the same.

    `output` names the scores where there are several outputs and a trial cannot tell; `shape` is that of one input
    where the file leaves axes free. What the file's own metadata say of preprocessing, class names and training noise
    holds unless said otherwise here; the other arguments are those of `export`. Raises `ModelError` for what is no
    classifier, and leaves no file then.
    """
    source = read_source(model)
    proto, folder = source.proto, source.folder
    ready = _adapted(source, output)
    (entry,) = inputs(ready.proto.graph)
    known = input_shape(ready.proto)
    one = known or shape
    require(shape in (None, one), f"shape: {model} says {show(known or ())} itself; leave it out")
    require(one is not None, f"shape: expected the axes of one input, which {model} leaves free, got none")
    own = ModelFile(ready.proto, folder, "", None, (), entry.type.tensor_type.elem_type, "")
    card, pipeline = own.card, own.preprocess and own.agreed(preprocess)
    done = finish(
        ready.proto,
        path,
        reference=_reference(ready, folder),
        example=random_rows(entry.type.tensor_type.elem_type, one or ()),
        source=card.source or " ".join(filter(None, (proto.producer_name, proto.producer_version))) or "the file",
        folder=folder,
        preprocess=pipeline or preprocess,
        input_layout=input_layout,
        input_range=input_range or card.input_range,
        class_names=class_names or card.class_names,
        training_noise=card.training_noise if training_noise is None else training_noise,
        examples=examples,
        precision=precision,
        tolerance=tolerance,
        provider=provider,
    )
    return replace(done, changes=(*ready.changes, *done.changes))


def _reference(ready: Adapted, folder: str) -> Callable[[Array], Array]:
    """The file as it came, run in batches of its own size."""
    run = runner(ready.given, folder, ready.proto.graph.output[0].name)
    fixed = (static_shape(inputs(ready.given.graph)[0]) or (None,))[0] or 1
    return lambda batch: run.by(np.asarray(batch, np.float32), fixed)


def known_shape(model: str | os.PathLike[str]) -> tuple[int, ...] | None:
    """The shape of one input of an ONNX file's network; None where the file leaves axes free."""
    return input_shape(read_proto(model, str(model))[0])
