"""A model's answers under each convention: one session, the arithmetic on the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import ArgumentError, DataError, SmoothcertError
from smoothcert.inputs.datasets import Dataset, Example, loaded
from smoothcert.model.classifier import OrtClassifier
from smoothcert.model.file import METADATA, ModelFile
from smoothcert.model.preprocess import Preprocess, prepared

from ..adapt.pipeline import Pipeline
from .families import Range, Subject, spatials, values
from .ranking import Answers, Ranking, Tried


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
        another way is better. `sides`: height and width to bring images to, for a model that takes any; by default what its
    XX"""
    examples = [loaded(data, index) for index in indices]
    labels = np.array([_label(example) for example in examples])
    own = None if file.preprocess is None else file.preprocess.spatial.box
    subject = _subject(file, examples, sides or (None if own is None else own[::-1]))
    trial = _Trial(file, examples, threads)
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


def _label(example: Example) -> int:
    if example.label is None:
        raise DataError(
            f"{example.name}: expected labelled data to try conventions on, got no label; give an array y, a folder "
            "for each class, or lines path,label"
        )
    return example.label


def _subject(file: ModelFile, examples: Sequence[Example], asked: tuple[int, int] | None) -> Subject:
    """`DataError` for data that are no images."""
    images = [prepared(example.x) for example in examples]
    strange = next((e for e, image in zip(examples, images, strict=True) if image.layout is None), None)
    if strange is not None:
        x = strange.x
        raise DataError(f"{strange.name}: expected an image to try conventions on, got {x.dtype} of shape {x.shape}")
    sides = [image.layout for image in images if image.layout]
    whole = images[0].levels is not None
    floats: Range = "float levels" if max(float(image.values.max()) for image in images) > 2 else "unit"
    return Subject(
        file.shape,
        file.takes_integers,
        sides[0][0] * sides[0][3],
        "levels" if whole else floats,
        frozenset((height, width) for _, height, width, _ in sides),
        asked,
    )


class _Trial:
    """One session of a model, and the inputs, behind the spatial pipeline that was last asked for."""

    def __init__(self, file: ModelFile, examples: Sequence[Example], threads: int | None) -> None:
        proto = deepcopy(file.proto)
        kept = [entry for entry in proto.metadata_props if entry.key != METADATA]
        del proto.metadata_props[:]
        proto.metadata_props.extend(kept)
        self._file, self._examples = file, examples
        self._classifier = OrtClassifier(replace(file, proto=proto), threads=threads, preprocess=Preprocess(scale=1.0))
        self._prepared: tuple[Preprocess, list[NDArray[np.float32]]] | None = None

    def answers(self, preprocess: Preprocess) -> Answers:
        """The label of every input; `DataError` and `ModelError` where inputs do not fit."""
        rows = self._rows(preprocess)
        divided = preprocess.scale is None and not self._file.takes_integers
        found, groups = np.empty(len(rows), np.int64), dict[tuple[int, ...], list[int]]()
        for i, row in enumerate(rows):
            groups.setdefault(row.shape, []).append(i)
        with ThreadPoolExecutor(self._classifier.threads) as pool:
            for shape, places in groups.items():
                network = tuple(m or n for m, n in zip(self._file.shape, shape, strict=True))
                pipeline = Pipeline(preprocess, network)
                size = self._classifier.batch_size(rows[places[0]].size)
                batches = [places[i : i + size] for i in range(0, len(places), size)]
                ask = partial(self._labels, rows, pipeline, divided, size)
                for batch, labels in zip(batches, pool.map(ask, batches), strict=True):
                    found[batch] = labels
        return found

    def _labels(
        self, rows: list[NDArray[np.float32]], pipeline: Pipeline, divided: bool, size: int, places: list[int]
    ) -> Answers:
        batch = np.stack([rows[i] for i in places])
        if divided and self._examples[places[0]].x.dtype == np.uint8:
            batch = batch / np.float32(255)
        batch = pipeline.apply(batch)
        filled = np.resize(batch, (size, *batch.shape[1:]))
        return self._classifier.labels(filled, len(places), None)

    def _rows(self, preprocess: Preprocess) -> list[NDArray[np.float32]]:
        """The inputs in the model's layout behind `spatial`, before any arithmetic."""
        way = Preprocess(layout=preprocess.layout, spatial=preprocess.spatial)
        if self._prepared is None or self._prepared[0] != way:
            made = [prepared(e.x, self._file.shape, way).values.astype(np.float32) for e in self._examples]
            self._prepared = way, made
        return self._prepared[1]
