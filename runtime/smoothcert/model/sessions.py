"""ONNX Runtime sessions of a model: loaded, run, and their failures told in one line."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, ModelError, ProviderError, SmoothcertError
from ..inputs.levels import Levels
from . import providers
from .file import ModelFile
from .graph.names import INPUT
from .preprocess import Preprocess


class Sessions:
    """A model on a provider: a session for each type of batch, started when the first such batch comes.

    For any number of threads. `levels`, in the methods: those that the batch is in. A change of the model's external
    weights is a `ModelError` with the next batch.
    """

    def __init__(self, file: ModelFile, preprocess: Preprocess, provider: str = "cpu", tf32: bool = False) -> None:
        self._file, self._preprocess, self._provider, self._tf32 = file, preprocess, provider, tf32
        self._started: dict[tuple[np.dtype[Any], Levels | None], Any] = {}
        self._answered: set[tuple[Any, ...]] = set()
        self._lock = threading.Lock()

    def of(self, dtype: np.dtype[Any], levels: Levels | None) -> Any:
        """The session for batches of that type; `ModelError` where the graph cannot be loaded, `ProviderError`."""
        with self._lock:
            if (dtype, levels) not in self._started:
                content = self._file.with_input(dtype, levels, self._preprocess)
                try:
                    session = providers.start(content, self._file.folder, self._provider, self._tf32)
                except (SmoothcertError, ArgumentError):
                    raise
                except Exception as error:
                    raise ModelError(f"ONNX Runtime cannot load the model: {providers.reason(error)}") from None
                self._started[dtype, levels] = session
                self._file.require_unchanged()
            return self._started[dtype, levels]

    def scores(self, batch: NDArray[Any], levels: Levels | None) -> Any:
        """The output for a batch. The first of each shape is ended where it takes longer than the provider may."""
        known = (batch.dtype, levels, batch.shape)
        found = self._run(batch, levels, watched=known not in self._answered)
        self._answered.add(known)
        return found

    def by(self, rows: NDArray[Any], size: int, levels: Levels | None = None) -> NDArray[Any]:
        """The output for all rows, one table, run in watched batches of one size; the last is filled up with rows."""
        parts = []
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            filled = np.concatenate([part, np.resize(rows, (size - len(part), *rows.shape[1:]))])
            found = self._run(filled, levels, watched=True)
            if isinstance(found, list) and found and isinstance(found[0], dict):
                found = [list(row.values()) for row in found]
            table = np.asarray(found)
            if size == 1 and (table.ndim == 0 or len(table) != 1):
                table = table[None]  # a graph that drops its batch axis of 1
            if len(table) != size:
                raise ModelError(f"expected {size} rows of output for {size} inputs, got shape {table.shape}")
            parts.append(table[: len(part)])
        return np.concatenate(parts)

    def _run(self, batch: NDArray[Any], levels: Levels | None, *, watched: bool) -> Any:
        session = self._started.get((batch.dtype, levels)) or self.of(batch.dtype, levels)
        names, feed = [self._file.output], {INPUT: batch}
        try:
            found = providers.first_run(session, names, feed) if watched else session.run(names, feed)
        except ProviderError:
            raise
        except Exception as error:
            why = providers.reason(error)
            raise ModelError(f"ONNX Runtime failed on a batch of shape {batch.shape}: {why}") from None
        self._file.require_unchanged()
        return found[0]
