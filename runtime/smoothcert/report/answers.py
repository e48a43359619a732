"""What the base and the smoothed classifier answer for the inputs as they are, and what looks wrong about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import bdtr, bdtrc

from ..bounds.confidence import binomial_p_value
from ..certificate import ABSTAIN
from ..evidence import runner_up, top
from ..runs.folder import Entry

_FEW = 10  # inputs that nothing is concluded from
_ONE_CLASS = 0.95  # share of answers from which on they are nearly all one class
_VARIED = 0.75  # share of one class up to which labels, or base answers, are not
_LEVEL = 0.01  # of the tests
_STOPPING = ("target", "slices")  # modes that stop once the votes cannot show what was asked


@dataclass(frozen=True)
class Answers:
    """Answers and labels, one for each input, None where not known; empty where a run has no answers of that kind."""

    labels: tuple[int | None, ...]
    base: tuple[int | None, ...]
    smoothed: tuple[int | None, ...]

    @staticmethod
    def of(entries: Sequence[Entry]) -> Answers:
        """Those of a ledger."""
        base = tuple(entry.get("base") for entry in entries)
        enumerated = any(entry.get("evidence", {}).get("mode") == "enumerate" for entry in entries)
        return Answers(
            tuple(entry["label"] for entry in entries),
            base if set(base) - {None} else (),
            () if enumerated else tuple(map(smoothed_answer, entries)),
        )

    @property
    def labelled(self) -> bool:
        return any(label is not None for label in self.labels)

    def accuracy(self, answers: Sequence[int | None]) -> float:
        """Share of labelled inputs answered right; an abstention, or a failure, counts as wrong."""
        right = sum(a == label for a, label in zip(answers, self.labels, strict=True) if label is not None)
        return right / max(1, len(self.labels) - self.labels.count(None))

    @property
    def agreement(self) -> float:
        """Share of the base classifier's answers that the smoothed classifier gives too."""
        same = sum(a == b for a, b in zip(self.smoothed, self.base, strict=True) if b is not None)
        return same / max(1, len(self.base) - self.base.count(None))

    @property
    def warning(self) -> str:
        """What makes the numbers of the run mean less than they seem to, in a line; empty where nothing does."""
        return self._near_chance() or self._collapsed() or self._destroyed()

    def _collapsed(self) -> str:
        """Nearly all smoothed answers are one class, of which labels (base answers, without labels) are not."""
        others, whose = (self.labels, "labels") if self.labelled else (self.base, "base classifier's answers")
        pairs = [(a, b) for a, b in zip(self.smoothed, others, strict=False) if a is not None and b is not None]
        if len(pairs) < _FEW:
            return ""
        ((favourite, count),) = Counter(a for a, _ in pairs).most_common(1)
        there = sum(b == favourite for _, b in pairs)
        largest = max(Counter(b for _, b in pairs).values())
        if count < _ONE_CLASS * len(pairs) or largest > _VARIED * len(pairs):
            return ""
        return (
            f"the smoothed classifier has collapsed: it answers class {favourite} for {count} of {len(pairs)} inputs, "
            f"the {whose} say so for {there}; a constant answer is easily certified, so take weaker smoothing, or a "
            "model that was trained with it"
        )

    def _destroyed(self) -> str:
        """Far fewer smoothed than base answers are right (as the base classifier's, without labels): under half."""
        truth = self.labels if self.labelled else self.base
        known = [x for x in zip(self.smoothed, self.base, truth, strict=False) if None not in x[1:]]
        n, before = len(known), sum(b == t for _, b, t in known)
        right, abstained = sum(a == t for a, _, t in known), sum(a is None for a, _, _ in known)
        if n < _FEW or 2 * right >= before or bdtr(right, before, 0.5) > _LEVEL:
            return ""
        said = f"base accuracy {100 * before / n:.1f}%, " if self.labelled else ""
        return (
            f"the smoothed classifier answers {right} of {n} inputs {'right' if self.labelled else 'as the base does'} "
            f"({said}{abstained} abstained): the smoothing is stronger than this model bears; take less of it, or a "
            "model that was trained with it"
        )

    def _near_chance(self) -> str:
        """The base accuracy is no better than always answering the commonest label, though there is room to be."""
        pairs = [(a, b) for a, b in zip(self.base, self.labels, strict=False) if a is not None and b is not None]
        n, labels = len(pairs), Counter(b for _, b in pairs)
        if n < _FEW or len(labels) < 2:
            return ""
        right, chance = sum(a == b for a, b in pairs), max(labels.values()) / n
        as_chance = bdtrc(right - 1, n, chance) if right else 1.0  # P(so many right, or more) by chance
        as_useful = bdtr(right, n, (1 + chance) / 2)  # P(so few, or fewer) half way from chance to always right
        constant = max(Counter(a for a, _ in pairs).values()) >= _ONE_CLASS * n and chance <= _VARIED
        if as_chance <= _LEVEL or (as_useful > _LEVEL and not constant):
            return ""
        return (
            f"base accuracy is {100 * right / n:.1f}% of {n} inputs, no better than always answering the commonest "
            f"label ({100 * chance:.1f}%): check the preprocessing (`scale`, `mean`, `std`, `layout`) and the order of "
            "the classes; smoothcert inspect MODEL DATA tries what is common"
        )


def smoothed_answer(entry: Entry) -> int | None:
    """The smoothed classifier's answer for the input as it is, where the votes show it, certified or not.

    Where sampling stopped before a bound was made, a binomial test at 1 % says whether the lead is clear.
    """
    if "certificate" not in entry:
        return None
    certificate, evidence = entry["certificate"], entry["evidence"]
    if certificate["prediction"] != ABSTAIN:
        return int(certificate["prediction"])
    votes = {int(label): count for label, count in (evidence["selection"] or evidence["estimation"]).items()}
    if not votes:
        return None
    first, clear = top(votes), certificate["p_lower"] > certificate["p_upper"]
    if evidence["mode"] in _STOPPING or not evidence["estimation"]:
        clear = binomial_p_value(votes[first], votes[first] + runner_up(votes, first)) <= _LEVEL
    return first if clear else None
