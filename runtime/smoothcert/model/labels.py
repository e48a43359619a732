"""What every base classifier is to the sampling loop, and how its answers become labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ModelError, require
from ..inputs.datasets import Dataset
from ..inputs.input import Input
from ..inputs.levels import Levels
from .graph.checks import MOST_VALUES

Labels = NDArray[np.int64]
_TELLING = 8  # inputs, of which one label more or less is no chance


@runtime_checkable
class Classifier(Protocol):
    """What the sampling loop needs. `labels` may be called from `threads` threads at once."""

    threads: int  # of the host, that perturb and classify side by side

    def prepare(self, x: NDArray[Any]) -> Input:
        """One raw input, arranged as the model wants it; `DataError` where it does not fit."""

    def batch_size(self, values: int) -> int:
        """The one batch size that inputs of so many values are classified in."""

    def buffer(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Memory for perturbed inputs, where the classifier reads them fastest: the host's."""
        return np.zeros(shape, dtype)

    def require_one_function(self, samples: NDArray[Any], levels: Levels | None) -> None:
        """`ModelError` where the answer to one of these inputs, an even number, depends on others, or on the moment.

        Or where it is not that of the model's file as it came. `levels`: as of `labels`.
        """

    def labels(self, batch: NDArray[Any], rows: int, levels: Levels | None) -> Labels:
        """Labels of the first `rows` rows; all of the batch is computed, so that f is one function.

        `levels`: those that the values are in, with what a smoothing did to them, and beyond; None for real numbers.
        """


def require_moderate(size: int, values: int) -> None:
    """`ArgumentError` for a batch of more values than any machine should be asked to hold."""
    most = MOST_VALUES // max(1, values)
    require(size <= most, f"batch_size: expected at most {most:,} inputs of {values:,} values, got {size:,}")


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


def require_labels(classes: int | None, data: Dataset, indices: Iterable[int]) -> None:
    """`DataError` where a label has no class in a model of so many; None: its graph does not say."""
    for index in indices if classes else ():
        label = data.label(index)
        if label is not None and label >= (classes or 0):
            got = f"{data.name(index)}: expected a label below the model's {classes} classes, got {label}"
            raise DataError(f"{got}; name folders, or number labels, from 0 on in the model's order")


def sorted_by_label(data: Dataset, indices: Sequence[int]) -> str:
    """A line where labels show that these inputs are unlike the rest, as the first of sorted data are; else empty."""
    taken = {data.label(index) for index in indices}
    spread = {data.label(int(i)) for i in np.linspace(0, len(data) - 1, len(indices))}
    if len(indices) < _TELLING or 2 * len(taken) > len(spread):
        return ""
    return (
        f"the {len(indices)} inputs taken have {len(taken)} of the labels, as many spread over the data have "
        f"{len(spread)}: the data are sorted, and no figure here speaks of the rest; give them in random order, such "
        "as a .csv manifest of shuffled lines"
    )
