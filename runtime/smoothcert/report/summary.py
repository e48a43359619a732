"""The numbers of a run: certified accuracy at radii, abstention, average certified radius, cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..bounds.confidence import binomial_ppf
from ..certificate import ABSTAIN
from ..inputs.recordings import changes
from ..runs.decisions import attack_models
from ..runs.folder import Entry
from ..runs.question import Question
from ..runs.recipe import Recipe
from ..smoothing import smoothing_of
from .answers import Answers

_FEW = 10  # inputs that nothing is concluded from
_LOST = 0.75  # share of base accuracy below which smoothing has taken far too much of it


@dataclass(frozen=True)
class Summary:
    """A run in numbers. Failed inputs count as neither correct nor certified.

    `accuracy[r]` is the share of inputs certified at radius >= r, with the right class where labels are known;
    `at_least[r]` bounds the share of those that are true, with `confidence` over the whole run.
    """

    inputs: int
    failed: int
    abstained: Counter[str]
    accuracy: dict[float, float]
    at_least: dict[float, float]
    mean_radius: float
    seconds: float
    samples: float
    confidence: float
    answers: Answers
    attack_model: str  # in words, see `attack_models`
    read: Counter[str]  # how many recordings were changed as they were read, by change

    @property
    def poor(self) -> bool:
        """Whether most inputs abstain, or the smoothed classifier is right far less often than the base classifier."""
        answers = self.answers
        if self.inputs < _FEW or not answers.smoothed:
            return False
        kept = answers.agreement
        if answers.labelled and answers.base:
            kept = answers.accuracy(answers.smoothed) / max(answers.accuracy(answers.base), 1e-9)
        return sum(self.abstained.values()) > self.inputs / 2 or (bool(answers.base) and kept < _LOST)


def failures(recipe: Recipe) -> tuple[float, float]:
    """Probabilities that one certificate is wrong, and that what all inputs share is: alpha, a calibration's rho."""
    alpha, measured = recipe["algorithm"]["alpha"], smoothing_of(recipe["smoothing"]).measured
    rho = measured.rho if measured else 0.0
    return (alpha, rho) if averaged(recipe) else (alpha + rho, 0.0)


def averaged(recipe: Recipe) -> bool:
    """Whether certificates hold on average over inputs alone: then no number of false ones among them is bounded."""
    measured = smoothing_of(recipe["smoothing"]).measured
    return measured is not None and not measured.per_input


def certified(entry: Entry, radius: float) -> bool:
    """Whether the entry certifies that radius, and the right class where the label is known."""
    if "certificate" not in entry or entry["certificate"]["prediction"] == ABSTAIN:
        return False
    right = entry["label"] in (None, entry["certificate"]["prediction"])
    return bool(right and entry["certificate"]["radius"] >= radius)


def summarise(recipe: Recipe, entries: Sequence[Entry], radii: Sequence[float] = ()) -> Summary:
    """Summary at the radii given, or at the run's targets, or at a grid up to the largest certified."""
    m = len(entries)
    radii = radii or recipe["algorithm"].get("radii") or ([] if Question.of(recipe).attack else _grid(entries))
    alpha, shared = failures(recipe)
    counts = {r: sum(certified(entry, r) for entry in entries) for r in (0.0, *radii)}
    false = binomial_ppf(1 - alpha, m, alpha) if m and alpha else 0  # theory.md section 8
    done = [entry for entry in entries if "certificate" in entry]
    votes = (sum(e["evidence"][step].values()) for e in done for step in ("selection", "estimation"))
    return Summary(
        inputs=m,
        failed=m - len(done),
        abstained=Counter(reason.partition(":")[0] for e in done if (reason := e["certificate"]["reason"])),
        accuracy={r: count / max(m, 1) for r, count in counts.items()},
        at_least={r: max(0, count - false) / max(m, 1) for r, count in counts.items()},
        mean_radius=sum(e["certificate"]["radius"] for e in done if certified(e, 0.0)) / max(m, 1),
        seconds=sum(entry["seconds"] for entry in entries) / max(m, 1),
        samples=sum(votes) / max(len(done), 1),
        confidence=1 - alpha - shared,
        answers=Answers.of(entries),
        attack_model=attack_models(recipe, entries),
        read=changes(entry.get("read", "") for entry in entries),
    )


def _grid(entries: Sequence[Entry]) -> list[float]:
    largest = max((e["certificate"]["radius"] for e in entries if "certificate" in e), default=0.0)
    step = next((s for s in (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0) if largest / s <= 10), largest / 10)
    return [round(step * i, 6) for i in range(1, int(largest / step) + 1)] if largest else []
