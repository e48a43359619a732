"""Weights that lie outside the model's file: which files they are, their hashes, and that they stay what they were."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto

from ..errors import ModelError
from ..files.reading import open_regular
from .graph.walk import tensors

_MOST = 1 << 40  # bytes of one file of weights
_TICK = 0.02  # seconds: two changes of a file within one tick of the system's clock can bear the same time


@dataclass(frozen=True)
class Outside:
    """One file of weights beside the model, as it was just before it was hashed."""

    path: Path
    stamp: tuple[int, ...]

    def require_unchanged(self) -> None:
        """`ModelError` where the file was replaced or written to since."""
        try:
            same = _stamp(os.stat(self.path)) == self.stamp
        except OSError:
            same = False
        if not same:
            raise ModelError(
                f"{self.path}: expected the weights to stay as they were when they were hashed, got a changed file; "
                "begin the run again, and leave the file alone until it is done"
            )


def fingerprint(proto: onnx.ModelProto, content: bytes, folder: str, where: str) -> tuple[str, tuple[Outside, ...]]:
    """SHA-256 of a file with all weights outside it, and those files; `ModelError` for weights not in the folder."""
    digest = hashlib.sha256(content)
    locations = {
        entry.value
        for tensor in (tensors(proto, everywhere=True) if b"location" in content else ())  # the key that names a file
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    files = []
    for location in sorted(locations):
        path = _inside(folder, location, where)
        _settled(path)
        with open_regular(path, f"the external weights {location!r} of {where}", ModelError, _MOST) as file:
            files.append(Outside(path, _stamp(os.fstat(file.fileno()))))
            digest.update(hashlib.file_digest(file, "sha256").digest())
    for outside in files:
        outside.require_unchanged()
    return digest.hexdigest(), tuple(files)


def _inside(folder: str, location: str, where: str) -> Path:
    try:
        path = Path(folder, location).resolve()
        if not folder or not path.is_relative_to(folder) or "_ORT_MEM_ADDR_" in location:
            raise ModelError(
                f"{where}: expected external weights inside the model's folder, got {location!r}; "
                "move them beside the model"
            )
        path.stat()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name; links that lead in a circle
        why = getattr(error, "strerror", None) or error
        raise ModelError(f"{where}: external weights {location!r}: {why}; copy them beside the model") from None
    return path


def _settled(path: Path) -> None:
    """Wait until a change from now on would bear another time than the last one: a moment, for a file just written."""
    age = time.time() - os.stat(path).st_ctime
    time.sleep(min(_TICK, max(0.0, _TICK - age)))


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
