"""The numbers of a run: certified accuracy at radii, abstention, average certified radius, cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..certificate import ABSTAIN
from ..confidence import binomial_quantile
from ..runs import Entry, Recipe
from ..smoothing import Attack


@dataclass(frozen=True)
class Summary:
    """A run in numbers. Failed inputs count as neither correct nor certified.

    `accuracy[r]` is the share of inputs certified at radius >= r, with the right class where labels are known;
    `at_least[r]` holds for the share of certificates that are true, with confidence 1 - alpha over the whole run.
    """

    inputs: int
    labelled: bool
    failed: int
    abstained: Counter[str]
    accuracy: dict[float, float]
    at_least: dict[float, float]
    mean_radius: float
    seconds: float
    samples: float


def attack_of(recipe: Recipe) -> Attack | None:
    """The set of attacks that the run asked about, if any."""
    attack = recipe["algorithm"].get("attack") or recipe["smoothing"].get("attack")
    return None if attack is None else Attack.of(attack)


def certified(entry: Entry, radius: float) -> bool:
    """Whether the entry certifies that radius, and the right class where the label is known."""
    if "certificate" not in entry or entry["certificate"]["prediction"] == ABSTAIN:
        return False
    right = entry["label"] in (None, entry["certificate"]["prediction"])
    return bool(right and entry["certificate"]["radius"] >= radius)


def summarise(recipe: Recipe, entries: Sequence[Entry], radii: Sequence[float] = ()) -> Summary:
    """Summary at the radii given, or at the run's targets, or at a grid up to the largest certified.

    The lower bound takes off the number of false certificates that m inputs exceed with probability alpha at most
    (theory.md section 8).
    """
    m = len(entries)
    radii = radii or recipe["algorithm"].get("radii") or ([] if attack_of(recipe) else _grid(entries))
    alpha = recipe["algorithm"]["alpha"]
    counts = {r: sum(certified(entry, r) for entry in entries) for r in (0.0, *radii)}
    false = binomial_quantile(1 - alpha, m, alpha) if m and alpha else 0
    done = [entry for entry in entries if "certificate" in entry]
    return Summary(
        inputs=m,
        labelled=any(entry["label"] is not None for entry in entries),
        failed=m - len(done),
        abstained=Counter(_why(entry["certificate"]) for entry in done if entry["certificate"]["reason"]),
        accuracy={r: count / max(m, 1) for r, count in counts.items()},
        at_least={r: max(0, count - false) / max(m, 1) for r, count in counts.items()},
        mean_radius=sum(e["certificate"]["radius"] for e in done if certified(e, 0.0)) / max(m, 1),
        seconds=sum(entry["seconds"] for entry in entries) / max(m, 1),
        samples=sum(_samples(entry["evidence"]) for entry in done) / max(len(done), 1),
    )


def _why(certificate: dict[str, Any]) -> str:
    return str(certificate["reason"]).partition(":")[0]


def _samples(evidence: dict[str, Any]) -> int:
    return int(sum(evidence["selection"].values()) + sum(evidence["estimation"].values()))


def _grid(entries: Sequence[Entry]) -> list[float]:
    largest = max((e["certificate"]["radius"] for e in entries if "certificate" in e), default=0.0)
    step = next((s for s in (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0) if largest / s <= 10), largest / 10)
    return [round(step * i, 6) for i in range(1, int(largest / step) + 1)] if largest else []
