"""The base classifier: an ONNX Runtime session, or any Python callable, as a function from batches to labels."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Never

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from ..errors import ArgumentError, DataError, ModelError, ProviderError, SmoothcertError, require
from ..inputs.input import Input
from ..inputs.levels import Levels
from ..machine import cores
from . import providers as ort
from .agreement import Runner, declared_batch, given_runner, require_as_given, tolerance
from .file import ModelFile, open_model
from .graph.checks import shared_scales
from .graph.names import INPUT
from .independence import COARSE, FINE, contrasts, require_independent, require_independent_samples
from .labels import Classifier, Labels, require_moderate, to_labels
from .preprocess import Preprocess, prepared
from .scores import difference

__all__ = ["CallableClassifier", "Classifier", "Labels", "OrtClassifier", "as_classifier", "to_labels"]
_COMPARED = 16  # inputs on which an adapted model is held against its file


class OrtClassifier:
    """An ONNX classifier on ONNX Runtime.

    `model`: path of an ONNX file, or its bytes, adapted in memory where it is not ready to certify; or one that was
    opened. `providers`: `cpu`, `cuda` or `tensorrt`; the session is asked what
    it really runs on. `threads`: host threads (default: all cores), each running the one-threaded session.
    `batch_size`: default by input size; the last batch is padded, so that every kernel sees one shape. `output`: name
    of the scores, probabilities or integer labels where the model has several outputs. `preprocess`: resizing,
    arithmetic and layout that the graph lacks; by default what the model's own metadata say.

    The first input of each shape is preceded by a search for answers that depend on the other rows of a batch, or on
    the moment (see `independence`): such a model is no function of its input, and is refused.

    Raises `ModelError` (file, graph, output), `ProviderError` (what was asked for did not start, or left its first
    batch unanswered for longer than `providers.PATIENCE`), `ArgumentError`. Attributes: `sha256` of the file and its
    external weights, `adapted`: what was changed in memory, `warning`: what could not be, `shape` of one input (None:
    free axis), `classes` (None: the graph does not say), `provider`, `precision`, `threads`, `card`: what an exporter
    wrote into the metadata (class names, training noise, input range, source, ...). External weights are hashed when
    the model is opened; a change of their files after that is a `ModelError` with the next batch.
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
        self._batch_size = fixed or batch_size
        self.provider, self.tf32 = providers, tf32
        self.threads = threads or cores()
        self.preprocess = self._file.agreed(preprocess)
        self.sha256, self.shape, self.precision = self._file.sha256, self._file.shape, self._file.precision
        self.adapted, self.warning, self.card = self._file.adapted, self._file.warning, self._file.card
        self._answered: set[tuple[Any, ...]] = set()
        self._independent: set[tuple[int, ...]] = set()
        self._sessions: dict[tuple[np.dtype[Any], bool], Any] = {}
        self._given: dict[tuple[np.dtype[Any], bool], Runner] = {}
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
            **({} if self.provider == "cpu" else {"batch_size": self._batch_size or "by input size"}),
            "preprocess": self.preprocess.recipe,
            **({"adapted": list(self._file.adapted)} if self._file.adapted else {}),
        }

    def prepare(self, x: NDArray[Any]) -> Input:
        """One raw input (H W, H W C, C H W or a vector; uint8 or float) in the model's shape, or `DataError`."""
        found = prepared(np.asarray(x), self.shape, self.preprocess)
        if self._file.takes_integers and found.levels is None and self.preprocess.scale is None:
            raise DataError("the model takes integers, the data are float; convert the data to uint8, or pass `scale`")
        if self._file.elem_type == TensorProto.INT8 and self.preprocess.scale is None:
            raise DataError("the model takes int8, which 8-bit images do not fit; pass `scale`, such as 0.5")
        self.require_range(found.values)
        if found.values.shape not in self._independent:
            self._require_independent(found)
            self._independent.add(found.values.shape)
        return found

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
        return self._batch_size or int(np.clip(share // max(1, values), 4, most))

    def buffer(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Host memory."""
        return np.zeros(shape, dtype)

    def labels(self, batch: NDArray[Any], rows: int, levels: Levels | None) -> Labels:
        """Labels of the first rows of a batch of perturbed inputs: levels (int16 or float32), or float32 values."""
        return to_labels(self._scores(batch, levels is not None), len(batch), rows)

    def answer(self, x: Input) -> int:
        """The label of one input as it is; `ModelError` where an adapted model's file clearly says another."""
        levels = x.levels is not None
        row = x.values[None].astype(np.int16 if levels else np.float32)
        batch = np.repeat(row, self.batch_size(x.values.size), axis=0)
        scores = np.asarray(self._scores(batch, levels))
        label = int(to_labels(scores, len(batch), 1)[0])
        if self._file.given is not None:
            self._require_given_label(batch, scores, label, levels)
        return label

    def _require_given_label(self, batch: NDArray[Any], scores: NDArray[Any], label: int, levels: bool) -> None:
        """Near ties aside, which rounding decides."""
        case = (batch.dtype, levels)
        if case not in self._given:
            self._given[case] = given_runner(self._file, *case, self.preprocess)
        theirs = self._given[case].by(batch[:1], declared_batch(self._given_proto) or 1)
        own = int(to_labels(theirs, 1, 1)[0])
        ours = scores[:1] if len(scores) == len(batch) else scores[None]
        if own != label and not difference(ours, theirs) <= max(tolerance(self._given_proto), self._tolerance):
            raise ModelError(
                f"adapted in memory, the model answers {label} to this input, its file {own}; export it again with a "
                "free batch axis by its own framework"
            )

    @property
    def _given_proto(self) -> onnx.ModelProto:
        return self._file.given or self._file.proto

    def require_one_function(self, samples: NDArray[Any], levels: Levels | None) -> None:
        """`ModelError` where scores depend on the batch around an input, or are not those of the file as it came."""
        eight_bit, size = levels is not None, self.batch_size(samples[0].size)
        require_as_given(self._file, self.preprocess, samples[:_COMPARED], eight_bit)
        require_independent_samples(lambda b: self._scores(b, eight_bit), samples, eight_bit, size, self._tolerance)

    @property
    def _tolerance(self) -> float:
        wide = set(self.precision.split("+")) <= {"float32", "double"} and not self.tf32
        return FINE if wide and self.provider != "tensorrt" else COARSE

    def _require_independent(self, x: Input) -> None:
        """The search for rows that depend on each other, with rows made of the first input of a shape."""
        size, levels = self.batch_size(x.values.size), x.levels is not None
        require_moderate(size, x.values.size)
        shared = shared_scales(self._file.proto) if size > 1 else ()
        if shared:
            raise ModelError(
                f"the model is quantised dynamically ({', '.join(shared)}): one scale for all rows of a batch makes an "
                "answer depend on the other rows; pass `batch_size=1`, or quantise it statically"
            )
        quiet, loud = contrasts(x.values, np.dtype(np.int16 if levels else np.float32), levels)
        require_independent(lambda batch: self._scores(batch, levels), quiet, loud, size, self._tolerance)

    def _scores(self, batch: NDArray[Any], levels: bool) -> Any:
        session = self._sessions.get((batch.dtype, levels)) or self._session(batch.dtype, levels)
        known = (batch.dtype, levels, batch.shape)
        names, feed = [self._file.output], {INPUT: batch}
        try:
            found = session.run(names, feed) if known in self._answered else ort.first_run(session, names, feed)
        except ProviderError:
            raise
        except Exception as error:
            raise ModelError(f"ONNX Runtime failed on a batch of shape {batch.shape}: {ort.reason(error)}") from None
        self._answered.add(known)
        self._file.require_unchanged()
        return found[0]

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
                self._file.require_unchanged()
            return self._sessions[dtype, levels]


def _misplaced(names: list[str]) -> str:
    """What to write in place of arguments that `OrtClassifier` does not take."""
    pipeline = [name for name in names if name in {field.name for field in fields(Preprocess)}]
    if pipeline:
        said = ", ".join(f"{name}=..." for name in pipeline)
        return (
            f"{pipeline[0]}: preprocessing is given as preprocess=Preprocess({said}), from smoothcert import Preprocess"
        )
    return f"{', '.join(names)}: expected arguments that OrtClassifier has; see help(OrtClassifier)"


class CallableClassifier:
    """A Python callable as a base classifier: batch -> labels (batch,) or scores (batch, classes).

    Rows must be classified independently. It gets float32 batches of shape (batch, *x.shape), 8-bit inputs divided by
    255 (unclipped: noise is on them). Called from one thread; the last batch is padded.
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
        """The one asked for, or about a million values."""
        return self._batch_size or int(np.clip(1_000_000 // max(1, values), 1, 4096))

    def buffer(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Host memory."""
        return np.zeros(shape, dtype)

    def require_one_function(self, samples: NDArray[Any], levels: Levels | None) -> None:
        """`ModelError` where what the callable makes of these perturbed inputs depends on the batch around them."""
        size = min(self.batch_size(samples[0].size), len(samples))  # rows that mix do so in small batches too
        require_independent_samples(lambda b: self._answer(b, levels), samples, levels is not None, size, COARSE)

    def labels(self, batch: NDArray[Any], rows: int, levels: Levels | None) -> Labels:
        """Labels of the first rows."""
        return to_labels(self._answer(batch, levels), len(batch), rows)

    def _answer(self, batch: NDArray[Any], levels: Levels | None) -> NDArray[Any]:
        return np.asarray(self._function(batch.astype(np.float32) / np.float32(levels.unit) if levels else batch))


def as_classifier(classifier: Classifier | Callable[[NDArray[np.float32]], Any]) -> Classifier:
    """The classifier itself, or a callable wrapped as one."""
    if isinstance(classifier, Classifier):
        return classifier
    require(
        callable(classifier), f"classifier: expected an OrtClassifier or a callable, got {type(classifier).__name__}"
    )
    return CallableClassifier(classifier)
