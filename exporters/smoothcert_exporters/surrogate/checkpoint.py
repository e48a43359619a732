"""Checkpoints: one file of tensors and plain values, whole or not there, read without running anything."""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path
from typing import Any

import torch

from smoothcert.errors import RunError, require
from smoothcert.files.documents import understood
from smoothcert.files.reading import read_regular
from smoothcert.files.writing import write_atomically

TRAINED, FINETUNED = "surrogate.pt", "finetuned.pt"  # files of the folder
_FORMAT, _VERSION = "smoothcert surrogate checkpoint", 1
_MOST = 2**33  # bytes


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint; the same content gives the same bytes."""
    file = io.BytesIO()
    torch.save(_plain({"format": _FORMAT, "version": _VERSION, **content}), file)
    write_atomically(path, file.getvalue())


def load(path: Path) -> dict[str, Any]:
    """The content of a checkpoint; `RunError` for anything else. Only tensors and plain values are read."""
    expected, advice = "a checkpoint of smoothcert surrogate", "train again, in another folder"
    content = read_regular(path, expected, RunError, _MOST)
    with understood(str(path), expected, RunError, advice):
        found: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        require(found["format"] == _FORMAT, f"the format {found['format']!r:.99}")
        require(found["version"] == _VERSION, f"version {found['version']!r:.99}")
    return found


def _plain(value: Any) -> Any:
    """The same values in containers of their own, sorted: which objects were one in memory must not show in a file."""
    if isinstance(value, dict):
        return {_plain(key): _plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return type(value)(_plain(one) for one in value)
    if isinstance(value, torch.Tensor):
        return value.detach().clone(memory_format=torch.contiguous_format)
    return sys.intern(value) if isinstance(value, str) else value


def sha256(path: Path) -> str:
    """Fingerprint of a checkpoint's file."""
    return hashlib.sha256(read_regular(path, "a checkpoint", RunError, _MOST)).hexdigest()
