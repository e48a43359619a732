"""The only Monte Carlo loop: perturbation and classifier -> class counts, in memory that does not depend on n."""

from __future__ import annotations

import functools
import math
import os
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .draws import Stream
from .evidence import Counts, Evidence
from .inputs.input import Input
from .machine import one_thread
from .model.independence import tried
from .model.labels import Classifier
from .smoothing.perturbation import Perturbation, Samples

_BLOCK = 800_000  # values that a thread perturbs at a time
SELECTION, ESTIMATION, PROBE = 0, 1, 2  # stages: samples of different stages are independent


@functools.lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="smoothcert")


if hasattr(os, "register_at_fork"):  # a child has the pool's lists but none of its threads, and would wait for ever
    os.register_at_fork(after_in_child=_pool.cache_clear)


@dataclass(frozen=True, eq=False)
class Sampler:
    """Votes of the base classifier on perturbed copies of x; sample i of a stage depends on (key, index, stage, i).

    `made`: the samples of x. `own`: what belongs to the evidence of this input besides its votes, see
    `Smoothing.evidence`. `DataError` for data that do not suit.
    """

    classifier: Classifier
    perturbation: Perturbation
    x: Input
    key: int
    index: int
    own: Mapping[str, Any] = field(default_factory=dict)
    made: Samples = field(init=False)

    def __post_init__(self) -> None:
        # Not a cached property: Python 3.11 has a lock in those, for which a forked child would wait for ever.
        object.__setattr__(self, "made", self.perturbation.samples(self.x))

    def require_one_function(self, others: Iterable[Input] = ()) -> None:
        """`ModelError` where the answer to a perturbed x depends on more than that x; `others` are tried among them."""
        with one_thread():
            samples = self.samples(PROBE, 0, 2 * tried(math.prod(self.made.shape)))
            fitting = (x.values for x in others if (x.values.shape, x.levels) == (self.made.shape, self.made.levels))
            alike = [values.astype(samples.dtype) for values in fitting]
            rows = np.stack([*alike, *samples[len(alike) % 2 :]])
            self.classifier.require_one_function(rows, self.made.levels)

    def evidence(self, mode: str, selection: Counts, estimation: Counts) -> Evidence:
        """The votes with their address."""
        return Evidence(
            mode=mode,
            estimation=dict(estimation),
            selection=dict(selection),
            key=self.key,
            index=self.index,
            slack=self.made.slack,
            attack_model=self.made.attack_model,
            **self.own,
        )

    def samples(self, stage: int, first: int, last: int) -> NDArray[Any]:
        """Samples first..last - 1 of the stage, as the classifier gets them."""
        samples = np.zeros((last - first, *self.made.shape), self.made.dtype)
        self.made.fill(Stream(self.key, self.index, stage), first, samples)
        return samples

    def counts(self, stage: int, first: int, last: int) -> Counts:
        """Votes of samples first..last - 1 of the stage, by label.

        Each thread takes the next block, perturbs it at once and classifies it batch by batch. Batches all have one
        shape; rows past the end are classified and dropped.
        """
        made, levels, stream = self.made, self.made.levels, Stream(self.key, self.index, stage)
        values = math.prod(made.shape)
        size = self.classifier.batch_size(values)
        workers = min(self.classifier.threads, -(-(last - first) // size))
        share = (last - first) // max(1, size * workers)  # batches a thread: many blocks each, so that none waits long
        block = size * max(1, min(_BLOCK // (size * values), share // 16))
        starts = iter(range(first, last, block))
        stop = threading.Event()

        def work() -> Counter[int]:
            samples = self.classifier.buffer((block, *made.shape), made.dtype)
            votes: Counter[int] = Counter()
            try:
                for start in starts:
                    rows = min(block, last - start)
                    made.fill(stream, start, samples[:rows])
                    for at in range(0, rows, size):
                        if stop.is_set():
                            return votes
                        labels = self.classifier.labels(samples[at : at + size], min(size, rows - at), levels)
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
