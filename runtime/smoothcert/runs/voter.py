"""The votes that advice asks for, one input at every rung of every ladder."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from ..errors import DataError
from ..inputs.datasets import Dataset, loaded
from ..inputs.input import Input
from ..model.classifier import OrtClassifier
from ..sampling import ESTIMATION, Sampler
from ..smoothing import Smoothing


@dataclass(frozen=True)
class Row:
    """Of one input: the base classifier's answer, and for each rung the votes for the right class, with seconds."""

    base: int | None
    votes: tuple[tuple[int, float], ...]


@dataclass(frozen=True, eq=False)
class Voter:
    """Asks the classifier about inputs, at every rung. Its draws are those of advice alone: a run has others."""

    classifier: OrtClassifier
    data: Dataset
    rungs: tuple[Smoothing, ...]
    votes: int

    @cached_property
    def key(self) -> int:
        text = f"advice {self.classifier.sha256} {self.classifier.preprocess.recipe} {self.data.sha256}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

    def row(self, index: int) -> Row:
        """An input that cannot be read has no answer and no votes: in a run, it is not certified either."""
        try:
            x = self.classifier.prepare(loaded(self.data, index).x)
            base = self.classifier.answer(x)
        except DataError:
            return Row(None, tuple((0, 0.0) for _ in self.rungs))
        label = self.data.label(index)
        right = base if label is None else label
        return Row(base, tuple(self._cast(rung, x, index, right) for rung in self.rungs))

    def _cast(self, rung: Smoothing, x: Input, index: int, right: int) -> tuple[int, float]:
        start, count = time.perf_counter(), 0
        with suppress(DataError):  # an input that the part does not suit fails in a run too
            sampler = Sampler(self.classifier, rung.perturbation, x, self.key, index)
            count = sampler.counts(ESTIMATION, 0, self.votes).get(right, 0)
        return count, time.perf_counter() - start
