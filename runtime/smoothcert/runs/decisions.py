"""The entries of a run decided again from their evidence: what `verify` checks, and every report begins with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..algorithms import Algorithm
from ..errors import RunError
from ..evidence import Evidence
from ..smoothing import Smoothing
from .folder import Entry
from .question import Question
from .recipe import Recipe

_ROUNDING = 1e-11  # relative: far less than is ever printed


@dataclass(frozen=True, eq=False)
class Decisions:
    """What the evidence of a run's entries decides. Equal votes are decided once."""

    algorithm: Algorithm
    smoothing: Smoothing
    key: int
    _known: dict[Any, dict[str, Any] | str] = field(default_factory=dict, init=False, repr=False)

    def problems(self, entry: Entry) -> list[str]:
        """What of an entry does not follow from its own evidence, drawn under the run's key; empty where all does."""
        if "error" in entry:
            return []
        evidence, written = Evidence.from_json(entry["evidence"]), entry["certificate"]
        if (evidence.key, evidence.index) != (self.key, entry["index"]):
            return ["the votes were not drawn under this run's key"]
        if evidence.mode != self.algorithm.recipe["mode"]:
            return [f"expected votes of mode {self.algorithm.recipe['mode']}, got {evidence.mode}"]
        known = self.algorithm.attack_models(self.smoothing)
        if evidence.attack_model not in known:
            return [f"expected attack_model {' or '.join(known)}, got {evidence.attack_model}"]
        if evidence.slack and evidence.attack_model != "integer":
            return [f"expected no slack with attack_model {evidence.attack_model}, got {evidence.slack:g}"]
        decided = self._decided(evidence)
        if isinstance(decided, str):
            return [decided]
        return [
            f"{name} is {written.get(name)} in the ledger, {decided.get(name)} by the evidence"
            for name in decided | written
            if not _same(written.get(name), decided.get(name))
        ]

    def _decided(self, evidence: Evidence) -> dict[str, Any] | str:
        votes = frozenset(evidence.selection.items()), frozenset(evidence.estimation.items())
        measured = evidence.slack, evidence.errors, evidence.slices, evidence.pilot, evidence.reach, evidence.distances
        case = (evidence.mode, *votes, evidence.looks, evidence.brightness, *measured)
        if case not in self._known:
            self._known[case] = self._decide(evidence)
        return self._known[case]

    def _decide(self, evidence: Evidence) -> dict[str, Any] | str:
        try:
            smoothing = self.smoothing.of_evidence(evidence)
            possible = self.algorithm.consistent(evidence, smoothing)
            decided = self.algorithm.decide(evidence, smoothing).to_json() if possible else None
        except ValueError as error:
            return f"the evidence is none that the algorithm leaves: {error}"
        return decided or "the votes are not as many as the algorithm draws"


def _same(a: Any, b: Any) -> bool:
    """Equal, but for what processors and libraries round differently."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=_ROUNDING)
    return bool(a == b)


def problems(question: Question, entries: Sequence[Entry]) -> Iterator[tuple[Entry, list[str]]]:
    """Each entry with what of it is wrong, without a look at model or data: see `Decisions.problems`."""
    decisions, expected = Decisions(question.algorithm, question.smoothing, question.key), question.indices
    seen: set[int] = set()
    for entry in entries:
        found = decisions.problems(entry)
        if entry["index"] in seen or entry["index"] not in expected:
            found.append("not an input of this run, or in the ledger twice")
        seen.add(entry["index"])
        yield entry, found


def recipe_problems(question: Question, entries: Sequence[Entry]) -> list[str]:
    """Settings of the recipe that are not as this version writes them: a claim in words that was changed, say."""
    recipe = question.recipe
    known = {"smoothing": question.smoothing.recipe, "algorithm": question.algorithm.recipe}
    wrong = [
        f"recipe: expected [{name}] to say {value}, got {recipe[name]}"
        for name, value in known.items()
        if recipe[name] != value
    ]
    said, models = recipe.get("attack_model"), _attack_models(entries)
    if said is not None and models and said not in models:
        wrong.append(f"recipe: expected attack_model {', '.join(sorted(models))}, got {said}")
    return wrong


def _attack_models(entries: Sequence[Entry]) -> Counter[str]:
    return Counter(e["evidence"]["attack_model"] for e in entries if "attack_model" in e.get("evidence", {}))


def attack_models(recipe: Recipe, entries: Sequence[Entry]) -> str:
    """`attack model integer`, or how many inputs have which where they differ; the recipe's where there are none."""
    found = _attack_models(entries)
    if len(found) > 1:
        return "mixed attack models: " + ", ".join(f"{count} {name}" for name, count in sorted(found.items()))
    return f"attack model {next(iter(found), recipe.get('attack_model', 'unknown'))}"


def require_decided(path: Path, recipe: Recipe, entries: Sequence[Entry]) -> None:
    """Raise `RunError` where something in a run does not follow from its evidence: then nothing of it is reported."""
    question = Question.of(recipe)
    wrong = recipe_problems(question, entries)
    wrong += [f"input {entry['index']}: {found[0]}" for entry, found in problems(question, entries) if found]
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise RunError(f"{path}: {wrong[0]}{more}; nothing is reported of it, see smoothcert verify {path}")
