"""Model files of any size, and the same bytes every time."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import onnx
from onnx.external_data_helper import convert_model_to_external_data, write_external_data_tensors

_LARGEST = 2**31 - 2**24  # bytes of weights in one file: protobuf's limit of 2 GiB, less room for the graph itself


def outsourced(proto: onnx.ModelProto, folder: str, spill: Path) -> tuple[onnx.ModelProto, str]:
    """The model and the folder of its weights: `spill`, new, where they are too large for protobuf."""
    if _size(proto) <= _LARGEST:
        return proto, folder
    spill.mkdir()
    return onnx.load(save(proto, spill / "model.onnx"), load_external_data=False), str(spill)


def save(proto: onnx.ModelProto, path: Path) -> Path:
    """Write a model whose weights are in memory; too large ones go to NAME.data beside it."""
    weights = path.with_name(path.name + ".data")
    weights.unlink(missing_ok=True)  # ONNX appends
    if _size(proto) > _LARGEST:
        proto = deepcopy(proto)
        convert_model_to_external_data(proto, location=weights.name, size_threshold=1024)
        write_external_data_tensors(proto, str(path.parent))
    path.write_bytes(proto.SerializeToString(deterministic=True))
    if weights.exists():
        weights.chmod(path.stat().st_mode)  # ONNX writes them for their owner alone
    return path


def publish(work: Path, target: Path) -> None:
    """Move a finished model to where it belongs, its weights first."""
    for name in (target.name + ".data", target.name):
        if (work / name).exists():
            (work / name).replace(target.with_name(name))


def _size(proto: onnx.ModelProto) -> int:
    return sum(len(tensor.raw_data) for tensor in proto.graph.initializer)
