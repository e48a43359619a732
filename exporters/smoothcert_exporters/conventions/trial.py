"""A model's answers under each convention: one session, the arithmetic on the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import ArgumentError, DataError, SmoothcertError
from smoothcert.inputs.datasets import Dataset, Example, loaded
from smoothcert.inputs.levels import EIGHT_BIT
from smoothcert.model.classifier import OrtClassifier
from smoothcert.model.file import METADATA, ModelFile
from smoothcert.model.labels import require_labels
from smoothcert.model.preprocess import Preprocess, prepared

from ..adapt.pipeline import Pipeline
from .families import Range, Subject, spatials, values
from .ranking import Answers, Ranking, Tried

_BYTES = 2**31  # of inputs that are held at once


def rank_conventions(
    file: ModelFile,
    data: Dataset,
    indices: Sequence[int],
    *,
    sides: tuple[int, int] | None = None,
    threads: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Ranking:
    """The base accuracy of a model under the common conventions, on labelled inputs.

    Values first, behind one way to the model's size; then the other ways with the best values; and values again where
    another way is better. `sides`: height and width to bring images to, for a model that takes any; by default what
    its metadata say, or 224. A model's own preprocessing is tried too. `progress` gets the number of conventions
    tried. `DataError` without labels, or where no convention fits.
    """
    seen = [_seen(loaded(data, index)) for index in indices]
    labels = np.array([one.label for one in seen])
    own = None if file.preprocess is None else file.preprocess.spatial.box
    subject = _subject(file, seen, sides or (None if own is None else own[::-1]))
    trial = _Trial(file, data, indices, threads, divided=subject.range == "levels" and not file.takes_integers)
    require_labels(trial.classifier.classes, data, indices)
    tried, failed = dict[tuple[Preprocess, bool], Tried](), list[Exception]()

    def attempt(preprocess: Preprocess, *, own: bool = False) -> None:
        if (preprocess, own) in tried:
            return
        try:
            tried[preprocess, own] = Tried(preprocess, trial.answers(preprocess), labels, own)
        except (SmoothcertError, ArgumentError) as error:
            failed.append(error)
        progress(len(tried) + len(failed))

    ways = spatials(subject)
    for preprocess in values(subject, ways[0]):
        attempt(preprocess)
    if tried and len(ways) > 1:
        best = Ranking.of([*tried.values()]).best.preprocess
        for spatial in ways:
            attempt(replace(best, spatial=spatial))
        for preprocess in values(subject, Ranking.of([*tried.values()]).best.preprocess.spatial):
            attempt(preprocess)
    if file.preprocess is not None:
        attempt(file.preprocess, own=True)
    if not tried:
        raise failed[0]
    return Ranking.of([*tried.values()])


@dataclass(frozen=True)
class _Seen:
    """What is remembered of an input: label, colours, sides, whether it is in levels, and its greatest value."""

    label: int
    colours: int
    sides: tuple[int, int]
    whole: bool
    greatest: float


def _seen(example: Example) -> _Seen:
    """`DataError` for what has no label, or is no image."""
    if example.label is None:
        raise DataError(
            f"{example.name}: expected labelled data to try conventions on, got no label; give an array y, a folder "
            "for each class, or lines path,label"
        )
    image = prepared(example.x)
    if image.layout is None:
        x = example.x
        raise DataError(f"{example.name}: expected an image to try conventions on, got {x.dtype} of shape {x.shape}")
    outer, height, width, inner = image.layout
    return _Seen(
        example.label, outer * inner, (height, width), image.levels is not None, float(image.values.max(initial=0))
    )


def _subject(file: ModelFile, seen: Sequence[_Seen], asked: tuple[int, int] | None) -> Subject:
    floats: Range = "float levels" if max(one.greatest for one in seen) > 2 else "unit"
    return Subject(
        file.shape,
        file.takes_integers,
        seen[0].colours,
        "levels" if seen[0].whole else floats,
        frozenset(one.sides for one in seen),
        asked,
    )


class _Trial:
    """One session of a model, and the inputs, behind the spatial pipeline that was last asked for."""

    def __init__(
        self, file: ModelFile, data: Dataset, indices: Sequence[int], threads: int | None, *, divided: bool
    ) -> None:
        proto = deepcopy(file.proto)
        kept = [entry for entry in proto.metadata_props if entry.key != METADATA]
        del proto.metadata_props[:]
        proto.metadata_props.extend(kept)
        self._file, self._data, self._indices, self._divided = file, data, indices, divided
        self.classifier = OrtClassifier(replace(file, proto=proto), threads=threads, preprocess=Preprocess(scale=1.0))
        self._prepared: tuple[Preprocess, list[NDArray[Any]]] | None = None

    def answers(self, preprocess: Preprocess) -> Answers:
        """The label of every input; `DataError` and `ModelError` where inputs do not fit."""
        rows = self._rows(preprocess)
        divided = preprocess.scale is None and self._divided
        found, groups = np.empty(len(rows), np.int64), dict[tuple[int, ...], list[int]]()
        for i, row in enumerate(rows):
            groups.setdefault(row.shape, []).append(i)
        with ThreadPoolExecutor(self.classifier.threads) as pool:
            for shape, places in groups.items():
                network = tuple(m or n for m, n in zip(self._file.shape, shape, strict=True))
                pipeline = Pipeline(preprocess, network)
                size = self.classifier.batch_size(rows[places[0]].size)
                batches = [places[i : i + size] for i in range(0, len(places), size)]
                ask = partial(self._labels, rows, pipeline, divided, size)
                for batch, labels in zip(batches, pool.map(ask, batches), strict=True):
                    found[batch] = labels
        return found

    def _labels(
        self, rows: list[NDArray[Any]], pipeline: Pipeline, divided: bool, size: int, places: list[int]
    ) -> Answers:
        batch = np.stack([rows[i] for i in places]).astype(np.float32)
        if divided:
            batch = batch / np.float32(EIGHT_BIT.unit)
        batch = pipeline.apply(batch)
        filled = np.resize(batch, (size, *batch.shape[1:]))
        return self.classifier.labels(filled, len(places), None)

    def _rows(self, preprocess: Preprocess) -> list[NDArray[Any]]:
        """The inputs in the model's layout behind `spatial`, before any arithmetic; read again for every pipeline."""
        way = Preprocess(layout=preprocess.layout, spatial=preprocess.spatial)
        if self._prepared is None or self._prepared[0] != way:
            self._prepared = None
            made, size = list[NDArray[Any]](), 0
            for index in self._indices:
                made.append(prepared(loaded(self._data, index).x, self._file.shape, way).values)
                size += made[-1].nbytes
                if size > _BYTES:
                    raise DataError(
                        f"expected inputs of at most {_BYTES:,} bytes in all, got more; take fewer: `limit`"
                    )
            self._prepared = way, made
        return self._prepared[1]
