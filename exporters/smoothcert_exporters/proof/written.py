"""The file itself on trial: run by ONNX Runtime, against the framework, at several batch sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from smoothcert.errors import ModelError, require
from smoothcert.model.file import read_model
from smoothcert.model.labels import to_labels
from smoothcert.model.preprocess import Preprocess
from smoothcert.model.sessions import Sessions

from ..files import save
from .parity import Function, Parity, Scores, check_batches, compare

_ROWS = 16  # inputs that are classified at once


@dataclass(frozen=True, eq=False)
class Proof:
    """Where graphs are tried (`file`, written for it), on which inputs, in batches of which size (None: any).

    `inputs` are what the file takes, `preprocessed` the same as the network itself takes them. `preprocess`, in the
    methods, is what a graph leaves to be done ahead of it.
    """

    file: Path
    inputs: NDArray[np.float32]
    preprocessed: NDArray[np.float32]
    batch: int | None
    provider: str
    class_names: Sequence[str] = ()

    def parity(
        self, graph: onnx.ModelProto, preprocess: Preprocess, reference: Function, tolerance: float
    ) -> tuple[Parity, Scores]:
        """The graph against the framework, which gets preprocessed inputs; and the graph's scores."""
        run = self._started(graph, preprocess, "float32")
        scores = self._answers(run, self.inputs)
        labels = to_labels(scores, len(scores), len(scores))
        classes = scores.reshape(len(labels), -1).shape[1]
        fits = classes == 1 or len(self.class_names) in (0, classes)
        require(fits, f"class_names: expected {classes}, one a class of the model, got {len(self.class_names)}")
        parity = compare(self._answers(reference, self.preprocessed), scores, tolerance, "parity")
        if self.batch is None:
            check_batches(run, self.inputs, tolerance)
        else:  # at one fixed size the file would hide that the framework's own answer depends on the batch
            try:
                check_batches(reference, self.preprocessed, tolerance)
            except ModelError:
                raise
            except Exception:
                pass  # its batch axis is fixed too
        return parity, scores

    def agreement(
        self, graph: onnx.ModelProto, preprocess: Preprocess, scores: Scores, precision: str, tolerance: float
    ) -> Parity:
        """A graph of another precision against the float32 graph's scores."""
        run = self._started(graph, preprocess, precision)
        agreement = compare(scores, self._answers(run, self.inputs), tolerance, f"precision {precision}")
        if self.batch is None:
            check_batches(run, self.inputs, tolerance)
        return agreement

    def _started(self, graph: onnx.ModelProto, preprocess: Preprocess, precision: str) -> Function:
        """The graph, written and read back, as a function from batches to scores."""
        sessions = Sessions(read_model(save(graph, self.file)), preprocess, self.provider)
        try:
            sessions.of(np.dtype(np.float32), None)
        except ModelError as error:
            hint = "" if precision == "float32" else f"{precision} does not run on provider {self.provider}: "
            raise ModelError(f"{hint}{error}") from None
        return lambda batch: np.asarray(sessions.scores(batch, None))

    def _answers(self, function: Function, inputs: NDArray[np.float32]) -> NDArray[Any]:
        """A function's answers for all inputs, a few at a time, or as many as the batch axis is fixed to."""
        size = self.batch or _ROWS
        answers = []
        for start in range(0, len(inputs), size):
            part = inputs[start : start + size]
            whole = np.resize(part, (self.batch or len(part), *part.shape[1:]))
            answer = np.asarray(function(whole))
            if answer.ndim == 0 or len(answer) != len(whole):
                raise ModelError(f"expected a row of scores for each of {len(whole)} inputs, got shape {answer.shape}")
            answers.append(answer[: len(part)])
        return np.concatenate(answers)
