"""Real inputs that an export is tried on, as the file will take them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.inputs.datasets import open_dataset
from smoothcert.model.preprocess import Preprocess, prepared

from .adapt.pipeline import Pipeline

_MOST = 256


def real_examples(
    data: Path, shape: tuple[int, ...], preprocess: Preprocess | None = None, input_layout: str = ""
) -> NDArray[Any]:
    """The first inputs of a data set, (n, *shape of one input of the file): resized, arranged.

    `shape`: of one input of the network. `preprocess`, `input_layout`: see `Options`. `DataError` where data misfit.
    """
    pipeline = Pipeline(preprocess or Preprocess(), shape, input_layout)
    after, outer = pipeline.residual, pipeline.outer
    channels = next((n for n in (outer[:1] + outer[-1:]) if n in (1, 3)), None) if len(outer) == 3 else None
    channels = 3 if after.spatial.grey else channels  # grey is made of colours
    opened = open_dataset(data, channels)
    found = islice((opened.load(i).x for i in range(len(opened))), _MOST)
    return np.stack([prepared(x, outer, after).values for x in found])
