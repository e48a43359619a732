"""What a model file says of itself: the preprocessing that belongs to it, in its ONNX metadata."""

from __future__ import annotations

import json
import os
from pathlib import Path

import onnx

from smoothcert.errors import ModelError
from smoothcert.model_file import METADATA, read_model
from smoothcert.preprocess import Preprocess
from smoothcert.runs import write_atomically


def annotate(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    preprocess: Preprocess,
    *,
    output: str | None = None,
) -> None:
    """Write the classifier to `out` with its preprocessing in the metadata, so that certifying needs no options.

    The graph is left as it is; metadata of that key are replaced. External weights are named, not copied: `out` belongs
    in the same folder. `output` names the scores where there are several outputs. The same bytes every time. Raises
    `ModelError` for what is no classifier.
    """
    source, target = Path(model), Path(out)
    file = read_model(source, output)
    external = [t.name for t in file.proto.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    if external and source.resolve().parent != target.resolve().parent:
        raise ModelError(f"{target}: expected a path beside {source}, whose weights lie in files of their own")
    proto = onnx.ModelProto()
    proto.CopyFrom(file.proto)
    kept = [entry for entry in proto.metadata_props if entry.key != METADATA]
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    proto.metadata_props.add(key=METADATA, value=json.dumps(preprocess.recipe, sort_keys=True))
    write_atomically(target, proto.SerializeToString(deterministic=True))
