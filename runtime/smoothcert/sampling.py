"""The only Monte Carlo loop: smoothing and classifier -> class counts, in memory that does not depend on n."""

from __future__ import annotations

import functools
import os
import threading
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .draws import Stream
from .evidence import Counts, Evidence
from .inputs.spatial import Raw
from .machine import one_thread
from .model.independence import tried
from .model.labels import Classifier
from .smoothing import Smoothing

_BLOCK = 800_000  # values that a thread perturbs at a time
SELECTION, ESTIMATION, PROBE = 0, 1, 2  # stages: samples of different stages are independent


@functools.lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="smoothcert")


if hasattr(os, "register_at_fork"):  # a child has the pool's lists but none of its threads, and would wait for ever
    os.register_at_fork(after_in_child=_pool.cache_clear)


@dataclass(frozen=True, eq=False)
class Sampler:
    """Votes of the base classifier on the smoothed x; sample i of a stage depends on (key, index, stage, i) alone."""

    classifier: Classifier
    smoothing: Smoothing
    x: NDArray[Any]  # as the classifier fitted it
    key: int
    index: int
    image: tuple[int, ...] | None = None  # (outer, height, width, inner) of x, where it has rows and columns
    raw: Raw | None = None  # what x was made of, where that is an 8-bit image

    @staticmethod
    def of(classifier: Classifier, smoothing: Smoothing, x: NDArray[Any], key: int, index: int) -> Sampler:
        """The sampler of one raw input. `DataError` where it does not fit the model."""
        return Sampler(classifier, smoothing, classifier.fit(x), key, index, classifier.image(x), classifier.raw(x))

    def require_one_function(self, others: Iterable[NDArray[Any]] = ()) -> None:
        """`ModelError` where the answer to some perturbed x depends on more than that x: see `Classifier`.

        `others`: inputs as the classifier fitted them, which are tried too where they are of the shape and type of x.
        """
        with one_thread():
            samples = self.samples(PROBE, 0, 2 * tried(self.x.size))
            alike = [x.astype(samples.dtype) for x in others if (x.shape, x.dtype) == (self.x.shape, self.x.dtype)]
            rows = np.stack([*alike, *samples[len(alike) % 2 :]])
            self.classifier.require_one_function(rows, self.x.dtype == np.uint8)

    @property
    def slack(self) -> float:
        """Total variation between the law drawn from and the smoothing's."""
        return self.smoothing.slack(self.x)

    def evidence(self, mode: str, selection: Counts, estimation: Counts) -> Evidence:
        """The votes with their address."""
        return Evidence(
            mode=mode,
            estimation=dict(estimation),
            selection=dict(selection),
            key=self.key,
            index=self.index,
            slack=self.slack,
            attack_model=self.smoothing.attack_model(self.x),
            errors=self.smoothing.errors,
        )

    def samples(self, stage: int, first: int, last: int) -> NDArray[Any]:
        """Samples first..last - 1 of the stage, as the classifier gets them."""
        x = self.x.reshape(self.image or -1)
        made = np.zeros((last - first, *x.shape), self.smoothing.dtype(x))
        self.smoothing.perturb(self.smoothing.encode(x, self.raw), Stream(self.key, self.index, stage), first, made)
        return made.reshape(-1, *self.x.shape)

    def counts(self, stage: int, first: int, last: int) -> Counts:
        """Votes of samples first..last - 1 of the stage, by label.

        Each thread takes the next block, perturbs it at once (numpy's calls cost less so) and classifies it batch by
        batch. Batches all have the classifier's one shape; rows of the last one that are past the end are classified
        and dropped. The classifier's `ModelError` passes through.
        """
        x = self.x.reshape(self.image or -1)  # no image: no axis is rows or columns
        dtype, encoded = self.smoothing.dtype(x), self.smoothing.encode(x, self.raw)
        levels = x.dtype == np.uint8
        size = self.classifier.batch_size(self.x)
        workers = min(self.classifier.threads, -(-(last - first) // size))
        share = (last - first) // max(1, size * workers)  # batches a thread: many blocks each, so that none waits long
        block = size * max(1, min(_BLOCK // (size * self.x.size), share // 16))
        starts = iter(range(first, last, block))
        stop = threading.Event()

        def work() -> Counter[int]:
            samples = np.zeros((block, *x.shape), dtype)
            inputs = samples.reshape(block, *self.x.shape)
            stream = Stream(self.key, self.index, stage)
            votes: Counter[int] = Counter()
            try:
                for start in starts:
                    rows = min(block, last - start)
                    self.smoothing.perturb(encoded, stream, start, samples[:rows])
                    for at in range(0, rows, size):
                        if stop.is_set():
                            return votes
                        labels = self.classifier.labels(inputs[at : at + size], min(size, rows - at), levels)
                        votes.update(labels.tolist())
            except BaseException:
                stop.set()
                raise
            return votes

        with one_thread():
            if workers <= 1:
                return work()
            futures = [_pool(workers).submit(work) for _ in range(workers)]
            try:
                return sum((future.result() for future in futures), Counter[int]())
            finally:
                stop.set()
