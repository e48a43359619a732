"""The base classifier: an ONNX Runtime session, or any Python callable, as a function from batches to labels."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from . import providers as ort
from .errors import ArgumentError, DataError, ModelError, SmoothcertError, require
from .machine import cores
from .model_file import INPUT, ModelFile, read_model
from .preprocess import Preprocess, arrange, image_shape, numeric, raw_image, seen
from .scores import scales
from .spatial import Raw

Labels = NDArray[np.int64]


@runtime_checkable
class Classifier(Protocol):
    """What the sampling loop needs. `labels` may be called from `threads` threads at once."""

    @property
    def threads(self) -> int:
        """Host threads that perturb and classify side by side."""
        ...

    def fit(self, x: NDArray[Any]) -> NDArray[Any]:
        """One raw input, arranged as the model wants it; `DataError` where it does not fit."""
        ...

    def batch_size(self, x: NDArray[Any]) -> int:
        """The one batch size that fitted inputs like x are classified in."""
        ...

    def image(self, x: NDArray[Any]) -> tuple[int, ...] | None:
        """Shape (outer, height, width, inner) that the fitted input has as an image; None for one that is none."""
        ...

    def raw(self, x: NDArray[Any]) -> Raw | None:
        """The raw input as an attacker's 8-bit image, and the way to the model's pixels; None for what is none."""
        ...

    def labels(self, batch: NDArray[Any], rows: int, levels: bool) -> Labels:
        """Labels of the first `rows` rows; all of the batch is computed, so that f is one function.

        `levels`: the values are 8-bit intensity levels with what a smoothing did to them, 0 to 255 and beyond.
        """
        ...


class OrtClassifier:
    """An ONNX classifier on ONNX Runtime.

    `model`: path of an ONNX file, or its bytes,
    or one that was read. `providers`: `cpu`, `cuda` or `tensorrt`; the session is asked what
    it really runs on. `threads`: host threads (default: all cores), each running the one-threaded session.
    `batch_size`: default by input size; the last batch is padded, so that every kernel sees one shape. `output`: name
    of the scores, probabilities or integer labels where the model has several outputs. `preprocess`: resizing,
    arithmetic and layout that the graph lacks; by default what the model's own metadata say.

    Raises `ModelError` (file, graph, output), `ProviderError` (what was asked for did not start), `ValueError`
    (arguments). Attributes: `sha256` of the file and its external weights, `shape` of one input (None: free axis),
    `classes` (None: the graph does not say), `provider`, `precision`, `threads`, `card`: what an exporter wrote into
    the metadata (class names, training noise, input range, source, ...).
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes | ModelFile,
        *,
        providers: str = "cpu",
        threads: int | None = None,
        batch_size: int | None = None,
        output: str | None = None,
        preprocess: Preprocess | None = None,
        tf32: bool = False,
    ) -> None:
        most = 4 * cores()
        require(threads is None or 0 < threads <= most, f"threads: expected 1 to {most} on this machine, got {threads}")
        require(batch_size is None or batch_size > 0, f"batch_size: expected at least 1, got {batch_size}")
        self._file = model if isinstance(model, ModelFile) else read_model(model, output)
        fixed = self._file.batch
        if batch_size and fixed and batch_size != fixed:
            raise ModelError(f"batch_size: the model's batch axis is fixed to {fixed}, got {batch_size}; leave it out")
        self._batch_size = fixed or batch_size
        self.provider, self.tf32 = providers, tf32
        self.threads = threads or cores()
        self.preprocess = self._file.agreed(preprocess)
        self.sha256, self.shape, self.precision = self._file.sha256, self._file.shape, self._file.precision
        self.card = self._file.card
        self._independent: set[tuple[int, ...]] = set()
        self._sessions: dict[tuple[np.dtype[Any], bool], Any] = {}
        self._lock = threading.Lock()
        (scores,) = (
            o for o in self._session(np.dtype(np.float32), levels=False).get_outputs() if o.name == self._file.output
        )
        free = len(scores.shape) != 2 or not isinstance(scores.shape[1], int) or scores.shape[1] < 2
        self.classes: int | None = None if free else scores.shape[1]

    @property
    def channels(self) -> int | None:
        """1 or 3 where the model's input says so: how image files are to be read."""
        ends = (self.shape[0], self.shape[2]) if len(self.shape) == 3 else ()
        grey = len(self.shape) == 2 or (len(self.shape) == 1 and math.isqrt(self.shape[0] or 2) ** 2 == self.shape[0])
        return next((c for c in ends if c in (1, 3)), 1 if grey else None)

    @property
    def recipe(self) -> dict[str, Any]:
        """What determines the certified function, and where it runs, as plain values."""
        return {
            "sha256": self.sha256,
            "output": self._file.output,
            "precision": self.precision,
            "runtime": ort.installed(),
            "provider": self.provider,
            "tf32": self.tf32,
            **({} if self.provider == "cpu" else {"batch_size": self._batch_size or "by input size"}),
            "preprocess": self.preprocess.recipe,
            **({"adapted": list(self._file.adapted)} if self._file.adapted else {}),
        }

    def fit(self, x: NDArray[Any]) -> NDArray[Any]:
        """One raw input (H W, H W C, C H W or a vector; uint8 or float) in the model's shape, or `DataError`."""
        fitted = arrange(seen(np.asarray(x), self.preprocess.spatial), self.shape, self.preprocess.layout)
        if self._file.takes_integers and fitted.dtype != np.uint8 and self.preprocess.scale is None:
            raise DataError("the model takes integers, the data are float; convert the data to uint8, or pass `scale`")
        if self._file.elem_type == TensorProto.INT8 and self.preprocess.scale is None:
            raise DataError("the model takes int8, which 8-bit images do not fit; pass `scale`, such as 0.5")
        self.require_range(fitted)
        if fitted.shape not in self._independent:
            self._require_independent_rows(fitted)
            self._independent.add(fitted.shape)
        return fitted

    def require_range(self, x: NDArray[Any]) -> None:
        """`DataError` for float values that are far beyond the input range of the model's metadata, as levels are."""
        if self.card.input_range is None or x.dtype.kind != "f" or not x.size:
            return
        low, high = self.card.input_range
        least, most = (float(end) * (self.preprocess.scale or 1.0) for end in (x.min(), x.max()))
        if least < 2 * low - high or most > 2 * high - low:
            raise DataError(
                f"expected values of {low:g} to {high:g}, the model's own input range, got {least:g} to {most:g}; "
                "divide 8-bit levels by 255, or give the data as uint8"
            )

    def batch_size(self, x: NDArray[Any]) -> int:
        """The model's fixed batch size, the one asked for, or about 200 KB (CPU) or 32 MB (GPU) of 16-bit samples."""
        values = 100_000 if self.provider == "cpu" else 16_000_000
        return self._batch_size or int(np.clip(values // x.size, 4, 64 if self.provider == "cpu" else 2048))

    def image(self, x: NDArray[Any]) -> tuple[int, ...] | None:
        """Shape (outer, height, width, inner) of a raw input as the model sees it; None for a vector."""
        return image_shape(seen(np.asarray(x), self.preprocess.spatial), self.shape, self.preprocess.layout)

    def raw(self, x: NDArray[Any]) -> Raw | None:
        """The raw 8-bit image with the spatial pipeline; None for vectors and float data."""
        return raw_image(np.asarray(x), self.shape, self.preprocess.layout, self.preprocess.spatial)

    def labels(self, batch: NDArray[Any], rows: int, levels: bool) -> Labels:
        """Labels of the first rows of a batch of perturbed inputs: levels (int16 or float32), or float32 values."""
        return to_labels(self._scores(batch, levels), len(batch), rows)

    def _scores(self, batch: NDArray[Any], levels: bool) -> Any:
        session = self._sessions.get((batch.dtype, levels)) or self._session(batch.dtype, levels)
        try:
            return session.run([self._file.output], {INPUT: batch})[0]
        except Exception as error:
            raise ModelError(f"ONNX Runtime failed on a batch of shape {batch.shape}: {ort.reason(error)}") from None

    def _require_independent_rows(self, x: NDArray[Any]) -> None:
        """`ModelError` where a row's output depends on the rows beside it: such votes would not be independent.

        Four random inputs are run among others and among copies of themselves. Kernels may round differently.
        """
        rng = np.random.default_rng(0)
        shape = (self.batch_size(x), *x.shape)
        levels = x.dtype == np.uint8
        batch = rng.integers(0, 256, shape, np.int16) if levels else x + rng.standard_normal(shape, np.float32)
        among = self._scores(batch, levels)
        for i in range(min(4, len(batch))):
            alone = self._scores(np.repeat(batch[i : i + 1], len(batch), axis=0), levels)
            if not isinstance(alone, np.ndarray) or alone.shape[:1] != batch.shape[:1] or alone.dtype.kind not in "fiu":
                return  # not scores or labels at all: `to_labels` says so
            scale = scales(np.asarray(alone, float).reshape(len(alone), -1)[:1]).max()
            if not np.allclose(among[i], alone[0], rtol=0.01, atol=0.01 * scale, equal_nan=True):
                raise ModelError(
                    "the model's answer for an input depends on the others in its batch (batch statistics?); "
                    "export it for inference, or pass `batch_size=1`"
                )

    def _session(self, dtype: np.dtype[Any], levels: bool) -> Any:
        with self._lock:
            if (dtype, levels) not in self._sessions:
                content = self._file.with_input(dtype, levels, self.preprocess)
                try:
                    self._sessions[dtype, levels] = ort.start(content, self._file.folder, self.provider, self.tf32)
                except (SmoothcertError, ArgumentError):
                    raise
                except Exception as error:
                    raise ModelError(f"ONNX Runtime cannot load the model: {ort.reason(error)}") from None
            return self._sessions[dtype, levels]


class CallableClassifier:
    """A Python callable as a base classifier: batch -> labels (batch,) or scores (batch, classes).

    Rows must be classified independently. It gets float32 batches of shape (batch, *x.shape), 8-bit inputs divided by
    255 (unclipped: noise is on them). Called from one thread; the last batch is padded.
    """

    threads = 1

    def __init__(self, function: Callable[[NDArray[np.float32]], Any], *, batch_size: int | None = None) -> None:
        self._function, self._batch_size = function, batch_size

    def fit(self, x: NDArray[Any]) -> NDArray[Any]:
        """x itself, uint8 or float32."""
        return np.ascontiguousarray(numeric(np.asarray(x)))

    def batch_size(self, x: NDArray[Any]) -> int:
        """The one asked for, or about a million values."""
        return self._batch_size or int(np.clip(1_000_000 // x.size, 1, 4096))

    def image(self, x: NDArray[Any]) -> tuple[int, ...] | None:
        """Rows and columns first, or last behind 1, 3 or 4 colours; None for a vector."""
        return image_shape(np.asarray(x))

    def raw(self, x: NDArray[Any]) -> Raw | None:
        """The 8-bit image itself; None for vectors and float data."""
        return raw_image(np.asarray(x))

    def labels(self, batch: NDArray[Any], rows: int, levels: bool) -> Labels:
        """Labels of the first rows."""
        values = batch.astype(np.float32) / np.float32(255) if levels else batch
        return to_labels(np.asarray(self._function(values)), len(batch), rows)


def as_classifier(classifier: Classifier | Callable[[NDArray[np.float32]], Any]) -> Classifier:
    """The classifier itself, or a callable wrapped as one."""
    if isinstance(classifier, Classifier):
        return classifier
    require(
        callable(classifier), f"classifier: expected an OrtClassifier or a callable, got {type(classifier).__name__}"
    )
    return CallableClassifier(classifier)


def to_labels(scores: NDArray[Any], batch: int, rows: int) -> Labels:
    """Labels of the first rows of an output: integers (batch,) or (batch, 1), or argmax of scores (batch, classes).

    Ties go to the smaller class. Raises `ModelError` for NaN, negative labels, and outputs of any other shape.
    """
    if not isinstance(scores, np.ndarray):
        raise ModelError(
            f"expected an output of scores or labels, got a {type(scores).__name__}; pass `output` with another one"
        )
    if scores.ndim == 0 or len(scores) != batch:
        raise ModelError(
            f"expected one row of output for each of {batch} inputs, got shape {scores.shape}; try `batch_size=1`"
        )
    table = scores.reshape(batch, -1)[:rows]
    if np.issubdtype(scores.dtype, np.integer) and table.shape[1] == 1:
        labels = table[:, 0].astype(np.int64)
        if (labels < 0).any():
            raise ModelError(f"expected labels >= 0, got {labels.min()}; shift the model's labels")
        return labels
    if scores.dtype == np.int64 and table.shape[1] > 1:
        raise ModelError(
            f"expected scores or one label a row, got int64 {scores.shape}, perhaps indices; "
            "pass `output` with the scores"
        )
    if table.shape[1] < 2 or max(scores.shape[1:]) != table.shape[1] or scores.dtype.kind not in "fiu":
        raise ModelError(
            f"expected scores (batch, classes) or integer labels (batch,), got {scores.dtype} {scores.shape}: "
            "not a classifier's output"
        )
    if np.isnan(table).any():
        raise ModelError("the model gave NaN; a base classifier must give a label for every input")
    return np.asarray(np.argmax(table, axis=1), np.int64)
