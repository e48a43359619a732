"""Attacks inside the certified sets of a run, replayed: what does the smoothed classifier answer there?

Answers come of fresh draws and the test of PREDICT: all that are confirmed are right with the stated confidence.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..algorithms import Predict
from ..certificate import ABSTAIN
from ..errors import ArgumentError, DataError, RunError, require
from ..evidence import Evidence
from ..runs.folder import Entry, RunFolder
from ..runs.opening import OpenRun, open_run
from ..runs.question import Question
from ..smoothing import Attack, Calibration, Noise
from .members import Member, Others, members, members_of
from .replay import Replay, Subject

_OTHERS = 64  # inputs kept, for noise towards them


@dataclass(frozen=True, eq=False)
class Audit:
    """At most `attacks` replays, n fresh votes each, on each of the first `limit` of `certified`, a run's certificates.

    `seed` fixes attacks and votes; by default it is fresh. It is never the run's key. See `certificates`.
    """

    run: OpenRun
    certified: tuple[Entry, ...]
    limit: int | None = None
    attacks: int = 20
    n: int = 1000
    confidence: float = 0.999
    seed: int = field(default_factory=lambda: secrets.randbits(48))

    def __post_init__(self) -> None:
        require(self.limit is None or self.limit > 0, f"limit: expected at least 1, got {self.limit}")
        require(self.attacks > 0, f"attacks: expected at least 1, got {self.attacks}")
        require(self.seed >= 0, f"seed: expected a whole number >= 0, got {self.seed}")
        require(0.5 < self.confidence < 1, f"confidence: expected 0.5 to 1, without either, got {self.confidence:g}")
        # Where members were enumerated, the base classifier answers once, and for sure.
        certain = self.question.algorithm.enumerates
        enough = Predict(self.n, self.alpha).largest(self.question.smoothing) > 0 or certain
        require(enough, f"n: expected enough votes to confirm one of {self.predictions} answers, got {self.n}")

    @property
    def entries(self) -> tuple[Entry, ...]:
        return self.certified[: self.limit]

    @property
    def question(self) -> Question:
        return self.run.question

    @property
    def predictions(self) -> int:
        """Answers that may be asked for: two an attack where a changed one is asked for in real arithmetic too."""
        smoothing = self.question.smoothing
        real = smoothing.guarantee in ("exact", "path") and not all(part.whole for part in smoothing.parts)
        return len(self.entries) * self.attacks * (2 if real else 1)

    @property
    def alpha(self) -> float:
        """Probability that one confirmed answer is wrong: an equal share of what the confidence leaves."""
        return (1 - self.confidence) / self.predictions

    def replays(self, entry: Entry) -> Iterator[Replay]:
        """The attacks on one certificate, one after the other."""
        subject, index = self.subject(entry), entry["index"]
        for number, member in enumerate(self._members(subject)):
            keys = self._key(index, number, "8-bit"), self._key(index, number, "real")
            yield subject.replay(member, Predict(self.n, self.alpha), keys)

    def _members(self, subject: Subject) -> list[Member]:
        pool, seed = self.question.algorithm.members(subject.x), (self.seed, subject.example.index)
        pool = _outcomes(subject) if pool is None else pool
        if pool is not None:
            return members_of([name for name, _ in subject.attack], pool, self.attacks, seed)
        parts = {part.name: part for part in subject.smoothing.parts}
        noisy = any(isinstance(parts.get(name), Noise) for name, _ in subject.attack)
        others = self._towards(subject) if noisy else ()
        transforms, pixels = subject.transforms, subject.pixels
        return members(subject.attack, transforms, parts, self.attacks, seed=seed, pixels=pixels, others=others)

    def subject(self, entry: Entry) -> Subject:
        """The certified input of an entry; `DataError` where it has changed."""
        index, sha256, certificate = entry["index"], entry.get("input"), entry["certificate"]
        example = self.run.data.load(index)
        if example.sha256 != sha256:
            raise DataError(f"input {index}: expected SHA-256 {sha256}, got {example.sha256}; pass the run's own data")
        smoothing = self.question.smoothing.of_evidence(Evidence.from_json(entry["evidence"]))
        attack = self._attack(certificate)
        algorithm, prediction = self.question.algorithm, certificate["prediction"]
        return Subject(self.run.classifier, algorithm, smoothing, attack, prediction, example)

    def _attack(self, certificate: dict[str, Any]) -> Attack:
        """The set certified: the run's, or what the radius means; empty for a prediction alone."""
        asked, main = self.question.attack, self.question.smoothing.main
        if asked is not None or main is None or not certificate["radius"]:
            return asked or Attack(())
        interval = certificate.get("interval")
        return Attack.of({main.name: interval}) if interval else self.question.smoothing.ball(certificate["radius"])

    @cached_property
    def _pool(self) -> list[Subject]:
        return [self.subject(entry) for entry in self.certified[:_OTHERS]]

    def _towards(self, subject: Subject) -> Others:
        """Other inputs of the same shape, those of other classes first, each kind by distance."""
        here, index = subject.pixels.astype(float), subject.example.index

        def distance(other: Subject) -> tuple[bool, float]:
            return other.prediction == subject.prediction, float(np.linalg.norm(other.pixels - here))

        others = [one for one in self._pool if one.example.index != index and one.pixels.shape == here.shape]
        return [(other.example.index, other.pixels) for other in sorted(others, key=distance)]

    def _key(self, index: int, number: int, arithmetic: str) -> int:
        text = f"audit {self.seed} {index} {number} {arithmetic}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _outcomes(subject: Subject) -> list[tuple[Any, ...]] | None:
    """The attacks of a set with finitely many outcomes, one of each, where it is listed; None elsewhere."""
    (name, r), *others = subject.attack.ranges or (("", None),)
    if r is None or r.points or others or subject.x.raw is None or subject.transforms[name].kind != "listed":
        return None
    try:
        members = subject.transforms[name].members_on(r, subject.x.raw.sides)
    except ArgumentError:  # an interval of them
        return None
    return [(member,) for member in members]


def certificates(
    folder: RunFolder,
    *,
    model: Path | None = None,
    data: Path | None = None,
    surrogate: Path | None = None,
    denoiser: Path | None = None,
    provider: str = "",
    threads: int | None = None,
) -> tuple[OpenRun, tuple[Entry, ...]]:
    """The run of a folder, opened as `open_run` does, and its certificates.

    `surrogate` and `denoiser` where it is no longer where the recipe says. Raises, besides, `RunError` where there are
    none, `CalibrationError` where a library that attacks are computed with is another than the run's.
    """
    recipe = folder.recipe()
    done = (entry for entry in folder.entries() if "certificate" in entry)
    certified = tuple(entry for entry in done if entry["certificate"].get("prediction", ABSTAIN) != ABSTAIN)
    if not certified:
        raise RunError(f"{folder.path}: expected certificates to audit, got none; run certify first")
    if "calibration" in recipe["smoothing"]:
        Calibration.of(recipe["smoothing"]["calibration"]).require_libraries("audit with that one")
    moved = {"model": model, "data": data, "surrogate": surrogate, "denoiser": denoiser}
    run = open_run(recipe, **moved, provider=provider, threads=threads)
    return run, certified
