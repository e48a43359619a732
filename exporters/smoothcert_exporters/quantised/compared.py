"""A classifier of 8 bits against its float32 model: the same samples, the same inputs, what either certifies."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.algorithms import Fixed
from smoothcert.certificate import ABSTAIN, floor_text
from smoothcert.errors import ModelError
from smoothcert.inputs.input import Input
from smoothcert.inputs.levels import Levels
from smoothcert.model.classifier import OrtClassifier
from smoothcert.model.labels import Classifier, Labels
from smoothcert.sampling import ESTIMATION, SELECTION, Sampler
from smoothcert.smoothing import Smoothing

from .calibration import Inputs, sampler

_PAIR = 2**31  # one label beside another in 64 bits
_ALPHA = 0.001


@dataclass(frozen=True)
class Certified:
    """How many inputs a classifier certified (rightly, where labels are known), and the mean radius of all, 0 else."""

    count: int
    mean_radius: float | None  # None: smoothings of several parameters have no radius


@dataclass(frozen=True)
class Compared:
    """Two precisions on the same samples. `agreement`: share of equal labels; `worst`: the input with the least."""

    inputs: int
    votes: int
    agreement: float
    worst: tuple[str, float]
    float32: Certified
    int8: Certified
    labelled: bool
    apart: bool
    smoothing: str

    @property
    def lines(self) -> tuple[str, ...]:
        """The report, for people."""
        whose = "that no range was measured on" if self.apart else "that ranges were measured on too: the data are few"
        name, least = self.worst
        what = "certified rightly" if self.labelled else "certified (the data have no labels)"
        radii = [one.mean_radius for one in (self.float32, self.int8) if one.mean_radius is not None]
        means = f"; mean radius {' and '.join(map(floor_text, radii))}" if radii else ""
        both = f"{self.float32.count} of {self.inputs} by float32, {self.int8.count} by int8"
        return (
            f"8 bits against float32: {self.inputs} inputs {whose}, {self.votes:,} copies of each at {self.smoothing}",
            f"labels that agree: {_percent(self.agreement)}; of the worst input, {name}, {_percent(least)}",
            f"{what} by these copies, alpha {_ALPHA:g}: {both}{means}",
        )


def compared(float32: OrtClassifier, int8: OrtClassifier, smoothing: Smoothing, inputs: Inputs, votes: int) -> Compared:
    """Both classifiers on the same perturbed copies of the inputs compared, and what each of them would certify."""
    agreed: dict[int, int] = {}
    found: tuple[list[Any], list[Any]] = [], []
    algorithm = Fixed(n0=max(1, votes // 10), n=votes, alpha=_ALPHA)
    pair = _Pair(float32, int8)
    for index in inputs.compared:
        drawn = sampler(float32, smoothing, inputs, index)
        both = Sampler(pair, drawn.perturbation, drawn.x, drawn.key, index)
        holding = smoothing.of_input(drawn.x)
        chose, told = both.counts(SELECTION, 0, algorithm.n0), both.counts(ESTIMATION, 0, votes)
        agreed[index] = sum(count for labels, count in told.items() if len(set(divmod(labels, _PAIR))) == 1)
        for which, certificates in enumerate(found):
            own = Sampler(drawn.classifier, drawn.perturbation, drawn.x, drawn.key, index, holding.evidence)
            evidence = own.evidence(algorithm.mode, _of(chose, which), _of(told, which))
            certificates.append((index, algorithm.decide(evidence, holding)))
    worst = min(agreed, key=lambda index: (agreed[index], index))
    labels = {index: inputs.data.label(index) for index in inputs.compared}
    return Compared(
        inputs=len(agreed),
        votes=votes,
        agreement=sum(agreed.values()) / (votes * len(agreed)),
        worst=(inputs.data.name(worst), agreed[worst] / votes),
        float32=_certified(found[0], labels, smoothing),
        int8=_certified(found[1], labels, smoothing),
        labelled=None not in labels.values(),
        apart=inputs.apart,
        smoothing=smoothing.title,
    )


def require_agreement(found: Compared, least: float) -> None:
    """`ModelError` where fewer labels agree than asked for."""
    if not found.agreement >= least:
        raise ModelError(
            f"precision int8: expected at least {_percent(least)} of labels to agree with float32, got "
            f"{_percent(found.agreement)}; nothing was written. Calibrate on data like those to be certified, at the "
            "smoothing of the run, train the model with 8 bits, or lower `agreement`"
        )


class _Pair(Classifier):
    """Two classifiers that take the same inputs as one, whose label is both labels."""

    def __init__(self, first: OrtClassifier, second: OrtClassifier) -> None:
        self._first, self._second = first, second
        self.threads = first.threads

    def prepare(self, x: NDArray[Any]) -> Input:
        return self._first.prepare(x)

    def batch_size(self, values: int) -> int:
        return self._first.batch_size(values)

    def require_one_function(self, samples: NDArray[Any], levels: Levels | None) -> None:
        for one in (self._first, self._second):
            one.require_one_function(samples, levels)

    def labels(self, batch: NDArray[Any], rows: int, levels: Levels | None) -> Labels:
        first, second = (c.labels(batch, rows, levels) for c in (self._first, self._second))
        if max(first.max(initial=0), second.max(initial=0)) >= _PAIR:
            raise ModelError(f"precision int8: expected labels below 2**31, got {max(first.max(), second.max())}")
        return np.asarray(first * _PAIR + second, np.int64)


def _of(counts: Mapping[int, int], which: int) -> Counter[int]:
    """The votes of one of the two."""
    votes: Counter[int] = Counter()
    for labels, count in counts.items():
        votes[divmod(labels, _PAIR)[which]] += count
    return votes


def _certified(found: list[Any], labels: Mapping[int, int | None], smoothing: Smoothing) -> Certified:
    good = [c for index, c in found if c.prediction != ABSTAIN and labels[index] in (None, c.prediction)]
    radii = [certificate.radius for certificate in good]
    return Certified(len(good), None if smoothing.main is None else math.fsum(radii) / len(found))


def _percent(share: float) -> str:
    """Rounded down: 100 % are all."""
    return f"{math.floor(10_000 * share) / 100:.2f} %"
