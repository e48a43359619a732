"""ONNX Runtime sessions of a model: loaded, run, and their failures told in one line."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, ModelError, ProviderError, SmoothcertError
from . import providers
from .file import ModelFile
from .graph.names import INPUT
from .preprocess import Preprocess


def session(content: bytes, folder: str, provider: str = "cpu", tf32: bool = False) -> Any:
    """A session; `ModelError` in ONNX Runtime's words where it cannot load the graph, `ProviderError` where the
    provider does not start."""
    try:
        return providers.start(content, folder, provider, tf32)
    except (SmoothcertError, ArgumentError):
        raise
    except Exception as error:
        raise ModelError(f"ONNX Runtime cannot load the model: {providers.reason(error)}") from None


def _run(session: Any, output: str, batch: NDArray[Any], *, watched: bool) -> Any:
    """The output for a batch; `ModelError` where ONNX Runtime fails. `watched`: ended where it takes too long."""
    names, feed = [output], {INPUT: batch}
    try:
        return (providers.first_run(session, names, feed) if watched else session.run(names, feed))[0]
    except ProviderError:
        raise
    except Exception as error:
        raise ModelError(f"ONNX Runtime failed on a batch of shape {batch.shape}: {providers.reason(error)}") from None


class Sessions:
    """A model on its provider: a session for each type of batch, started when the first such batch comes.

    For any number of threads. A change of the model's external weights is a `ModelError` with the next batch.
    """

    def __init__(self, file: ModelFile, preprocess: Preprocess, provider: str, tf32: bool) -> None:
        self._file, self._preprocess, self._provider, self._tf32 = file, preprocess, provider, tf32
        self._started: dict[tuple[np.dtype[Any], bool], Any] = {}
        self._answered: set[tuple[Any, ...]] = set()
        self._lock = threading.Lock()

    def scores(self, batch: NDArray[Any], levels: bool) -> Any:
        """The output for a batch, which holds 8-bit `levels`, or values."""
        session = self._started.get((batch.dtype, levels)) or self.of(batch.dtype, levels)
        known = (batch.dtype, levels, batch.shape)
        found = _run(session, self._file.output, batch, watched=known not in self._answered)
        self._answered.add(known)
        self._file.require_unchanged()
        return found

    def of(self, dtype: np.dtype[Any], levels: bool) -> Any:
        """The session for batches of that type."""
        with self._lock:
            if (dtype, levels) not in self._started:
                content = self._file.with_input(dtype, levels, self._preprocess)
                self._started[dtype, levels] = session(content, self._file.folder, self._provider, self._tf32)
                self._file.require_unchanged()
            return self._started[dtype, levels]


@dataclass(frozen=True)
class Runner:
    """A model ready to run on the CPU, in batches of any size that it takes."""

    session: Any
    output: str

    @staticmethod
    def of(file: ModelFile, dtype: np.dtype[Any], levels: bool, preprocess: Preprocess) -> Runner:
        """A runner for batches as `OrtClassifier.labels` gets them."""
        return Runner(session(file.with_input(dtype, levels, preprocess), file.folder), file.output)

    def __call__(self, batch: NDArray[Any]) -> NDArray[Any]:
        """The output for a batch, maps from classes as tables; `ModelError` where ONNX Runtime fails."""
        found = _run(self.session, self.output, batch, watched=True)
        if isinstance(found, list) and found and isinstance(found[0], dict):
            return np.array([list(row.values()) for row in found])
        return np.asarray(found)

    def by(self, rows: NDArray[Any], size: int) -> NDArray[Any]:
        """The output for all rows, run in batches of one size (the last one filled up with the first rows)."""
        parts = []
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            filled = np.concatenate([part, np.resize(rows, (size - len(part), *rows.shape[1:]))])
            found = self(filled)
            if size == 1 and (found.ndim == 0 or len(found) != 1):
                found = found[None]  # a graph that drops its batch axis of 1
            if len(found) != size:
                raise ModelError(f"expected {size} rows of output for {size} inputs, got shape {found.shape}")
            parts.append(found[: len(part)])
        return np.concatenate(parts)
