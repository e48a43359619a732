"""Conventions by base accuracy, best first; those that the inputs cannot tell apart are ties."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothcert.bounds.confidence import binomial_p_value, lower_confidence_bound, upper_confidence_bound
from smoothcert.model.preprocess import Preprocess

Answers = NDArray[np.int64]
LEVEL = 0.05  # of intervals, and of all comparisons with the best together


@dataclass(frozen=True, eq=False)
class Tried:
    """One convention: the model's answers (inputs,) by it; `own`: what the model's metadata say."""

    preprocess: Preprocess
    answers: Answers
    labels: Answers
    own: bool = False

    @property
    def right(self) -> int:
        """How many answers are the labels."""
        return int((self.answers == self.labels).sum())

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / len(self.labels)

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's interval of the accuracy, at 95 %."""
        n = len(self.labels)
        return lower_confidence_bound(self.right, n, LEVEL / 2), upper_confidence_bound(self.right, n, LEVEL / 2)


@dataclass(frozen=True, eq=False)
class Ranking:
    """The conventions tried, best first; of equals, those that say least come first."""

    tried: tuple[Tried, ...]

    @staticmethod
    def of(tried: Sequence[Tried]) -> Ranking:
        """The ranking of some, in whatever order."""
        return Ranking(tuple(sorted(tried, key=lambda one: (-one.right, not one.own, len(str(one.preprocess.recipe))))))

    @property
    def best(self) -> Tried:
        """The first."""
        return self.tried[0]

    def compared(self, one: Tried) -> str:
        """`best`, `same answers`, `tie` or `worse`.

        A tie unless McNemar's exact test tells the two apart at 5 %, over all comparisons with the best (Bonferroni):
        of the inputs that just one of the two gets right, the better one must get significantly more than half.
        """
        if one is self.best:
            return "best"
        if np.array_equal(one.answers, self.best.answers):
            return "same answers"
        ours, theirs = self.best.answers == self.best.labels, one.answers == one.labels
        won, lost = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
        p_value = binomial_p_value(won, won + lost) if won + lost else 1.0
        return "worse" if p_value <= LEVEL / (len(self.tried) - 1) else "tie"

    @property
    def ties(self) -> int:
        """How many others cannot be told from the best."""
        return sum(self.compared(one) != "worse" for one in self.tried[1:])

    @property
    def chance(self) -> float:
        """Accuracy of always answering the commonest label."""
        return max(Counter(self.best.labels.tolist()).values()) / len(self.best.labels)
