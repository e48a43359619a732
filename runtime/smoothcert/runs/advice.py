"""Votes on a few inputs at a ladder of scales, and what a run at each of them is to be expected to certify."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ..algorithms.base import require_sizes
from ..bounds.forecast import Forecast, Planned, expected, forecast, forecast_share
from ..certification import require_one_function
from ..errors import DataError, require
from ..inputs.datasets import Dataset, selection
from ..inputs.input import Input
from ..model.classifier import OrtClassifier
from ..model.labels import require_labels
from ..sampling import Sampler
from ..smoothing import Smoothing
from .asked import first
from .ladder import Ladder, fitting, ladder
from .preflight import rate_of
from .voter import Row, Voter

SECONDS = 35.0  # of votes, unless the number of inputs is given
_MOST, _LEAST = 100, 20  # inputs then
_VOTES = 2000  # at most: the bounds' tables grow with them, and a run is what tells more
_PATIENCE = 4.0  # times as long as that, and only the first ladder is climbed, unless parts are named


@dataclass(frozen=True, eq=False)
class Rung:
    """One part at one scale: how many of `votes` went to the right class of each input, and the samples a second.

    Right is the label, or the base classifier's answer for an input without one. `slack`: see `Evidence`.
    """

    smoothing: Smoothing
    votes: int
    slack: float
    counts: tuple[int, ...]
    rate: float

    def needed(self, radius: float, run: Planned) -> int | None:
        """Votes of the run that certify the radius; radius 0: the answer for the input as it is."""
        return run.needed(lambda p: p > 1 - p and self.smoothing.radius(p, 1 - p) >= radius, self.slack)

    def forecast(self, radius: float, run: Planned) -> Forecast:
        """Of certified accuracy at that radius."""
        return forecast(self.counts, self.votes, run, self.needed(radius, run))

    def expected(self, radius: float, run: Planned) -> float:
        """The same without its interval, in a fraction of the time."""
        return expected(self.counts, self.votes, run, self.needed(radius, run))


@dataclass(frozen=True, eq=False)
class Climbed:
    """A ladder with its rungs' votes."""

    ladder: Ladder
    rungs: tuple[Rung, ...]


@dataclass(frozen=True, eq=False)
class Advice:
    """What was found on `inputs` inputs for a run over `run.fresh` others, of which the first is `following`.

    `left`: how many the data have from there on; where none, the figures are for as many as were tried. `base`: the
    base classifier's answers, `labels` likewise, None where not known. `left_out`: parts not tried, for want of time.
    """

    inputs: int
    following: int
    left: int
    run: Planned
    climbed: tuple[Climbed, ...]
    labels: tuple[int | None, ...]
    base: tuple[int | None, ...]
    left_out: tuple[str, ...]
    seconds: float

    @property
    def labelled(self) -> bool:
        return any(label is not None for label in self.labels)

    @property
    def votes(self) -> int:
        """For an input at one scale."""
        return self.climbed[0].rungs[0].votes

    @property
    def samples(self) -> int:
        return sum(rung.votes * len(rung.counts) for one in self.climbed for rung in one.rungs)

    @property
    def base_accuracy(self) -> Forecast:
        """Of the base classifier on the fresh inputs; of its own answers where nothing is labelled."""
        right = sum(a is not None and b in (None, a) for a, b in zip(self.base, self.labels, strict=True))
        return forecast_share(right, self.inputs, self.run.fresh)


@dataclass(frozen=True)
class Wanted:
    """What advice is asked for: parts by the texts of `ladder` (none: all that fit), votes at least, and the run.

    `limit`: inputs, as many as time allows unless given.
    """

    parts: tuple[str, ...] = ()
    radii: tuple[float, ...] = ()
    samples: int = 200
    n0: int = 100
    n: int = 10_000
    alpha: float = 0.001
    skip: int = 0
    limit: int | None = None

    def require_meant(self) -> None:
        """`ArgumentError` for numbers that no advice has."""
        require_sizes(self.n, self.alpha, self.n0)
        require(0 < self.samples <= _VOTES, f"samples: expected 1 to {_VOTES:,} votes, got {self.samples}")
        require(self.limit is None or self.limit > 0, f"limit: expected at least 1, got {self.limit}")
        require(all(radius > 0 for radius in self.radii), f"radii: expected radii > 0, got {self.radii}")
        one = not self.radii or len(self.parts) == 1
        require(one, f"radii: expected with one `smoothing`, whose radii they are, got {len(self.parts)}")


def advise(
    classifier: OrtClassifier, data: Dataset, wanted: Wanted, progress: Callable[[int], None] = lambda done: None
) -> Advice:
    """Vote on the first inputs behind `skip`; `progress` gets the number done.

    Deterministic but for the number of inputs, where no limit is given. `DataError` where no input is left or can be
    read, or a part that was named does not suit the data.
    """
    start = time.perf_counter()
    wanted.require_meant()
    indices = selection(len(data), skip=wanted.skip)
    if not indices:
        raise DataError(f"`skip` leaves none of {len(data)} inputs; take less")
    require_labels(classifier.classes, data, indices)
    x = classifier.prepare(first(data, indices).x)
    size = classifier.batch_size(x.values.size)
    votes = -(-wanted.samples // size) * size  # part of a batch costs as much as a whole one
    ladders, number, left_out = _planned(classifier, _ladders(classifier, x, wanted), x, votes, len(indices), wanted)
    rungs = [smoothing for one in ladders for smoothing in one.rungs]
    voter, rows = Voter(classifier, data, tuple(rungs), votes), list[Row]()
    for index in indices[:number]:
        if wanted.limit is None and len(rows) >= _LEAST and time.perf_counter() - start > SECONDS:
            break
        rows.append(voter.row(index))
        progress(len(rows))
    found = iter([_rung(smoothing, votes, x, [row.votes[i] for row in rows]) for i, smoothing in enumerate(rungs)])
    used = len(rows)
    return Advice(
        inputs=used,
        following=wanted.skip + used,
        left=len(indices) - used,
        run=Planned(wanted.n0, wanted.n, wanted.alpha, len(indices) - used or used),
        climbed=tuple(Climbed(one, tuple(next(found) for _ in one.rungs)) for one in ladders),
        labels=tuple(data.label(index) for index in indices[:used]),
        base=tuple(row.base for row in rows),
        left_out=left_out,
        seconds=time.perf_counter() - start,
    )


def _ladders(classifier: OrtClassifier, x: Input, wanted: Wanted) -> list[Ladder]:
    trained = classifier.card.training_noise
    if wanted.parts:
        return [ladder(text, x, trained, wanted.radii) for text in wanted.parts]
    found = []
    for name in fitting(x):
        with suppress(DataError):
            found.append(ladder(name, x, trained, wanted.radii))
    if not found:
        raise DataError(f"{x.values.dtype} values of shape {x.values.shape}: no part suits these data; name one")
    return found


def _planned(
    classifier: OrtClassifier, ladders: list[Ladder], x: Input, votes: int, there: int, wanted: Wanted
) -> tuple[list[Ladder], int, tuple[str, ...]]:
    """The ladders to climb, by how many inputs, and the names of those left out, after a fraction of a second."""
    smoothing = ladders[0].rungs[len(ladders[0].rungs) // 2]
    sampler = Sampler(classifier, smoothing.perturbation, x, 0, 0)
    require_one_function(classifier, sampler, smoothing)
    each = votes / rate_of(sampler, classifier.batch_size(x.values.size) * classifier.threads)
    kept = ladders
    if not wanted.parts and wanted.limit is None:
        slow = _LEAST * each * sum(len(one.rungs) for one in ladders) > _PATIENCE * SECONDS
        kept = ladders[:1] if slow else ladders
    left_out = tuple(one.name for one in ladders if one not in kept)
    within = int(SECONDS / (each * sum(len(one.rungs) for one in kept)))
    most = min(_MOST, max(1, there // 2), max(_LEAST, within))
    return kept, min(there, most if wanted.limit is None else wanted.limit), left_out


def _rung(smoothing: Smoothing, votes: int, x: Input, cast: list[tuple[int, float]]) -> Rung:
    slack, spent = smoothing.perturbation.samples(x).slack, sum(seconds for _, seconds in cast)
    return Rung(smoothing, votes, slack, tuple(count for count, _ in cast), votes * len(cast) / max(spent, 1e-9))
