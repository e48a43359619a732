"""The base classifier: an ONNX Runtime session, or any Python callable, as a function from batches to labels."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any, Never

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from ..errors import DataError, ModelError, require
from ..inputs.input import Input
from ..inputs.levels import PCM16, Levels
from ..inputs.recordings import Sound
from ..machine import cores
from . import providers as ort
from .agreement import AsItCame
from .file import ModelFile, read_model
from .graph.checks import require_no_shared_scale
from .independence import contrasts, require_independent, require_independent_samples
from .labels import Classifier, Labels, require_moderate, to_labels
from .preprocess import Preprocess, prepared
from .scores import NEIGHBOURS
from .sessions import Sessions
from .source import Readable, read_source

__all__ = ["CallableClassifier", "Classifier", "Labels", "OrtClassifier", "as_classifier", "to_labels"]
_COMPARED = 16  # inputs on which an adapted model is held against its file


class OrtClassifier(Classifier):
    """An ONNX classifier on ONNX Runtime.

    `model`: path of an ONNX file, or its bytes, adapted in memory where it is not ready to certify; or one that was
    opened. `providers`: `cpu`, `cuda` or `tensorrt`. `threads`: of the host, all cores by default, each running the
    one-threaded session. `batch_size`: by default by input size. `output`: name of the scores, probabilities or integer
    labels where the model has several outputs. `preprocess`: what the graph lacks; by default what its metadata say.

    A model whose answers depend on the other rows of a batch, or on the moment, is refused (see `independence`).

    Raises `ModelError` (file, graph, output, external weights that change later), `ProviderError` (what was asked for
    did not start, or left its first batch unanswered), `ArgumentError`. Attributes: `sha256` of the file and its
    external weights, `adapted`: what was changed in memory, `warning`: what could not be, `shape` of one input (None:
    free axis), `classes` (None: the graph does not say), `batch`, its size (None: by the input's), `provider`,
    `precision`, `threads`, `card`, `denoiser`: see `open_denoised`.
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
        **misplaced: Never,
    ) -> None:
        require(not misplaced, _misplaced(sorted(misplaced)))
        most = 4 * cores()
        require(threads is None or 0 < threads <= most, f"threads: expected 1 to {most} on this machine, got {threads}")
        require(batch_size is None or batch_size > 0, f"batch_size: expected at least 1, got {batch_size}")
        readable = isinstance(model, str | os.PathLike | bytes | ModelFile)
        require(readable, f"model: expected a path, bytes or an opened model, got {model!r:.99}")
        self._file = model if isinstance(model, ModelFile) else open_model(model, output)
        fixed = self._file.batch
        if batch_size and fixed and batch_size != fixed:
            raise ModelError(f"batch_size: the model's batch axis is fixed to {fixed}, got {batch_size}; leave it out")
        self.batch = fixed or batch_size
        self.provider, self.tf32 = providers, tf32
        self.threads = threads or cores()
        self.preprocess = self._file.agreed(preprocess)
        self.sha256, self.precision = self._file.sha256, self._file.precision
        self.shape = self.preprocess.taken(self._file.shape)
        self.adapted, self.warning, self.card = self._file.adapted, self._file.warning, self._file.card
        self.denoiser = self._file.denoiser
        self._independent: set[tuple[int, ...]] = set()
        self._sessions = Sessions(self._file, self.preprocess, providers, tf32)
        self._as_it_came = AsItCame(self._file, self.preprocess)
        outputs = self._sessions.of(np.dtype(np.float32), None).get_outputs()
        (scores,) = (o for o in outputs if o.name == self._file.output)
        free = len(scores.shape) != 2 or not isinstance(scores.shape[1], int) or scores.shape[1] < 2
        self.classes: int | None = None if free else scores.shape[1]

    @property
    def channels(self) -> int | None:
        """1 or 3 where the model's input says so: how image files are to be read. In colour where that becomes grey."""
        if self.preprocess.spatial.grey:
            return 3
        ends = (self.shape[0], self.shape[2]) if len(self.shape) == 3 else ()
        grey = len(self.shape) == 2 or (len(self.shape) == 1 and math.isqrt(self.shape[0] or 2) ** 2 == self.shape[0])
        return next((c for c in ends if c in (1, 3)), 1 if grey else None)

    @property
    def sound(self) -> Sound:
        """What recordings the model takes, where its metadata have a sample rate: that, and as many as its input."""
        long = [n for n in self.shape if n != 1]
        known = self.card.sample_rate is not None and len(long) == 1
        return Sound(self.card.sample_rate, long[0] if known else None)

    @property
    def takes_tokens(self) -> bool:
        """Whether the model takes integers wider than 8 bits, and gets the levels of 8-bit data themselves."""
        narrow = self._file.elem_type in (TensorProto.UINT8, TensorProto.INT8)
        return self._file.takes_integers and not narrow and self.preprocess.scale is None

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
            **({} if self.provider == "cpu" else {"batch_size": self.batch or "by input size"}),
            "preprocess": self.preprocess.recipe,
            **({"adapted": list(self._file.adapted)} if self._file.adapted else {}),
            **({"denoiser": dict(self._file.denoiser)} if self._file.denoiser else {}),
        }

    def prepare(self, x: NDArray[Any]) -> Input:
        """One raw input (H W, H W C, C H W, a vector; uint8, int16, float) in the model's shape, or `DataError`."""
        found = prepared(np.asarray(x), self.shape, self.preprocess)
        if self._file.takes_integers and found.levels is None and self.preprocess.scale is None:
            raise DataError("the model takes integers, the data are float; convert the data to uint8, or pass `scale`")
        if self._file.elem_type == TensorProto.UINT8 and found.levels == PCM16 and self.preprocess.scale is None:
            raise DataError("the model takes uint8, which 16-bit recordings do not fit; pass `scale`")
        if self._file.elem_type == TensorProto.INT8 and self.preprocess.scale is None:
            raise DataError("the model takes int8, which 8-bit images do not fit; pass `scale`, such as 0.5")
        self.require_range(found.values)
        if found.values.shape not in self._independent:
            self._require_independent(found)
            self._independent.add(found.values.shape)
        return found

    def require_constants(self, x: NDArray[Any]) -> None:
        """`ArgumentError` where mean and std are in levels, and 8-bit data like x would be divided by 255 first."""
        if x.dtype == np.uint8 and not self._file.takes_integers:
            self.preprocess.require_unit()

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

    def batch_size(self, values: int) -> int:
        """The model's fixed batch size, the one asked for, or about 200 KB (CPU) or 32 MB (GPU) of 16-bit samples."""
        most, share = (64, 100_000) if self.provider == "cpu" else (2048, 16_000_000)
        return self.batch or int(np.clip(share // max(1, values), 4, most))

    def labels(self, batch: NDArray[Any], rows: int, levels: Levels | None) -> Labels:
        return to_labels(self._sessions.scores(batch, levels), len(batch), rows)

    def answer(self, x: Input) -> int:
        """The label of one input as it is; `ModelError` where an adapted model's file clearly says another."""
        levels = x.levels
        row = x.values[None].astype(levels.wide if levels else np.float32)
        batch = np.repeat(row, self.batch_size(x.values.size), axis=0)
        scores = np.asarray(self._sessions.scores(batch, levels))
        label = int(to_labels(scores, len(batch), 1)[0])
        self._as_it_came.require_label(batch, levels, scores, self._rounding)
        return label

    def require_one_function(self, samples: NDArray[Any], levels: Levels | None) -> None:
        """`ModelError` where scores depend on the batch around an input, or are not those of the file as it came."""
        size = self.batch_size(samples[0].size)
        self._as_it_came.require_scores(samples[:_COMPARED], levels)
        ask = partial(self._sessions.scores, levels=levels)
        require_independent_samples(ask, samples, levels, size, self._rounding)

    @property
    def _rounding(self) -> float:
        wide = set(self.precision.split("+")) <= {"float32", "double"} and not self.tf32
        return NEIGHBOURS.of(not wide or self.provider == "tensorrt")

    def _require_independent(self, x: Input) -> None:
        """The search for rows that depend on each other, with rows made of the first input of a shape."""
        size, levels = self.batch_size(x.values.size), x.levels
        require_moderate(size, x.values.size)
        if size > 1:
            require_no_shared_scale(self._file.proto)
        quiet, loud = contrasts(x.values, levels.wide if levels else np.dtype(np.float32), levels)
        require_independent(partial(self._sessions.scores, levels=levels), quiet, loud, size, self._rounding)


def open_model(source: Readable, output: str | None = None) -> ModelFile:
    """A classifier ready to certify, adapted in memory where the file is not; `ModelError` as from `read_model`."""
    from smoothcert_exporters.adapt.ready import made_ready

    read = read_source(source)
    return made_ready(read, output) or read_model(read, output)


def _misplaced(names: list[str]) -> str:
    ours = [name for name in names if name in {field.name for field in fields(Preprocess)}]
    if ours:
        how = ", ".join(f"{name}=..." for name in ours)
        return f"{ours[0]}: preprocessing is given as preprocess=Preprocess({how}), from smoothcert import Preprocess"
    return f"{', '.join(names)}: expected arguments that OrtClassifier has; see help(OrtClassifier)"


class CallableClassifier(Classifier):
    """A Python callable as a base classifier: batch -> labels (batch,) or scores (batch, classes).

    It gets float32 batches of shape (batch, *x.shape), 8-bit inputs divided by 255 (unclipped: noise is on them), from
    one thread, and must classify each row by itself.
    """

    threads = 1

    def __init__(self, function: Callable[[NDArray[np.float32]], Any], *, batch_size: int | None = None) -> None:
        self._function, self._batch_size = function, batch_size

    def prepare(self, x: NDArray[Any]) -> Input:
        """x itself, uint8 or float32; an image has rows and columns first, or last behind 1, 3 or 4 colours."""
        found = prepared(np.asarray(x))
        require_moderate(self.batch_size(found.values.size), found.values.size)
        return found

    def batch_size(self, values: int) -> int:
        return self._batch_size or int(np.clip(1_000_000 // max(1, values), 1, 4096))

    def require_one_function(self, samples: NDArray[Any], levels: Levels | None) -> None:
        size = min(self.batch_size(samples[0].size), len(samples))  # rows that mix do so in small batches too
        ask = partial(self._answer, levels=levels)
        require_independent_samples(ask, samples, levels, size, NEIGHBOURS.narrow)

    def labels(self, batch: NDArray[Any], rows: int, levels: Levels | None) -> Labels:
        return to_labels(self._answer(batch, levels), len(batch), rows)

    def _answer(self, batch: NDArray[Any], levels: Levels | None) -> NDArray[Any]:
        return np.asarray(self._function(batch.astype(np.float32) / np.float32(levels.unit) if levels else batch))


def as_classifier(classifier: Classifier | Callable[[NDArray[np.float32]], Any]) -> Classifier:
    """The classifier itself, or a callable wrapped as one."""
    if isinstance(classifier, Classifier):
        return classifier
    got = type(classifier).__name__
    require(callable(classifier), f"classifier: expected an OrtClassifier or a callable, got {got}")
    return CallableClassifier(classifier)
