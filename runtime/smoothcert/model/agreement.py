"""A model that was adapted in memory, held against its file as it came."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from ..errors import ModelError
from ..inputs.levels import Levels
from .file import ModelFile, only_input
from .labels import to_labels
from .preprocess import Preprocess
from .scores import ADAPTED, difference, is_narrow
from .sessions import Sessions


class AsItCame:
    """The file of an adapted model before the changes, to hold the model against; one that was not adapted agrees."""

    def __init__(self, file: ModelFile, preprocess: Preprocess) -> None:
        self._file, self._preprocess = file, preprocess
        given = file.given or file.proto
        self._given = Sessions(replace(file, proto=given), preprocess)
        axes = only_input(given.graph).type.tensor_type.shape.dim
        self._batch = int(axes[0].dim_value) or 1 if axes else 1  # a free axis is asked row by row

    def require_scores(self, batch: NDArray[Any], levels: Levels | None) -> None:
        """`ModelError` unless the adapted model scores every row as its file does, in batches of the file's size."""
        file = self._file
        if file.given is None:
            return
        theirs = self._given.by(batch, self._batch, levels)
        ours = Sessions(file, self._preprocess).by(batch, file.batch or len(batch), levels)
        gap = difference(ours, theirs)
        if not gap <= ADAPTED.of(is_narrow(file.given)):
            raise ModelError(
                f"adapted in memory, the model answers otherwise than its file: on these inputs and samples of them "
                f"the scores change by {gap:.1e} of the largest; export it again with a free batch axis by its own "
                "framework"
            )

    def require_label(self, batch: NDArray[Any], levels: Levels | None, ours: NDArray[Any], rounding: float) -> None:
        """`ModelError` where the file clearly gives the first row another label than the adapted model's scores do.

        `ours`: the scores for the batch; `rounding`: what they may be off by besides. Rounding decides near ties.
        """
        if self._file.given is None:
            return
        theirs = self._given.by(batch[:1], self._batch, levels)
        label, own = int(to_labels(ours, len(batch), 1)[0]), int(to_labels(theirs, 1, 1)[0])
        first = ours[:1] if len(ours) == len(batch) else ours[None]
        limit = max(ADAPTED.of(is_narrow(self._file.given)), rounding)
        if own != label and not difference(first, theirs) <= limit:
            raise ModelError(
                f"adapted in memory, the model answers {label} to this input, its file {own}; export it again with a "
                "free batch axis by its own framework"
            )
