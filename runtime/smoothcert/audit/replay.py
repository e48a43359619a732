"""One certified input under one attack: the attacked input, and the smoothed classifier's answer to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..algorithms import Algorithm, Predict
from ..certificate import ABSTAIN
from ..errors import DataError, ModelError
from ..evidence import Counts
from ..inputs.datasets import Example
from ..inputs.input import Input
from ..inputs.levels import PCM16
from ..inputs.spatial import Raw
from ..model.labels import Classifier
from ..sampling import Sampler
from ..smoothing import Attack, Smoothing, Transform
from ..smoothing.transform import attacked, told
from .members import Delta, Member

Outcome = Literal["confirmed", "undecided", "beyond", "violation"]
Arithmetic = Literal["8-bit", "real"]
Pictures = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Replay:
    """One attack and the answer to it: ABSTAIN where the votes left it open, or where `note` says why none came.

    `beyond`: the answer changes under the 8-bit attack, but not under the same attack in real arithmetic, of which
    alone a `float-unclipped` certificate speaks. `pictures`: the image before and after, of changed answers.
    """

    index: int
    member: Member
    certified: int
    answer: int
    votes: Counts
    outcome: Outcome
    arithmetic: Arithmetic
    note: str = ""
    pictures: Pictures | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Subject:
    """One certified input: the set certified, the smoothing as it applied, and what is made of both."""

    classifier: Classifier
    algorithm: Algorithm
    smoothing: Smoothing
    attack: Attack
    prediction: int
    example: Example

    @cached_property
    def x(self) -> Input:
        return self.classifier.prepare(self.example.x)

    @property
    def pixels(self) -> NDArray[Any]:
        """The model's pixels, a vector as one row; the samples of a recording."""
        if self.x.levels == PCM16:
            return self.x.pixels
        return self.x.values.reshape(self.x.layout or (1, 1, -1, 1))

    def _shown(self, pixels: NDArray[Any]) -> Raw:
        """Pixels as an image or a recording of their own."""
        layout = None if pixels.ndim == 1 else pixels.shape
        return replace(self.x, values=pixels, layout=layout).image()

    @cached_property
    def transforms(self) -> Mapping[str, Transform]:
        return self.algorithm.transforms(self.smoothing)

    def steps(self, member: Member, *, raw: bool) -> list[tuple[Transform, Any]]:
        """What is done to the raw image, or to the model's pixels: attacks act where the smoothing does, noise last."""
        if raw != self.algorithm.acts_on_raw(self.smoothing):
            return []
        named = ((transform, member.get(name)) for name, transform in self.transforms.items())
        return [(transform, value) for transform, value in named if value is not None and not isinstance(value, Delta)]

    def in_levels(self, member: Member) -> tuple[Input, Pictures]:
        """The input under the attack as an 8-bit pipeline makes it; pictures of what is attacked, before and after."""
        raw, pixels = self.x.raw, self.pixels.copy()
        before = self._shown(self.pixels).image
        pictures = before, before
        if steps := self.steps(member, raw=True):
            if raw is None:
                name = steps[0][0].name
                raise DataError(f"{self.example.name}: expected an image or recording to attack by {name}, got none")
            raw = Raw(attacked(raw.image, steps), raw.spatial)
            raw.place(raw.image, pixels)
            pictures = self.x.raw.image if self.x.raw else before, raw.image
        deltas = [(self.transforms[name], value.shift) for name, value in member.items() if isinstance(value, Delta)]
        if inner := self.steps(member, raw=False):
            changed = attacked(before, inner)
            Raw(changed).place(changed, pixels)
        for transform, shift in deltas:
            pixels = transform.apply(pixels, shift)
        if inner or deltas:
            pictures = before, self._shown(pixels).image
        return replace(self.x, values=pixels.reshape(self.x.values.shape), raw=raw), pictures

    def in_reals(self, member: Member) -> Input:
        """The input under the attack in real arithmetic, by the smoothing's own forms."""
        if self.steps(member, raw=True):
            raise DataError(f"{self.example.name}: expected an 8-bit image to attack, got {self.x.values.dtype} values")
        batch = self.x.pixels.astype(np.float32)[None]
        for part in self.smoothing.parts:
            value = member.get(part.name)
            with told(part.transforms):
                if isinstance(value, Delta):
                    part.act(batch, value.shift.reshape(batch.shape), self.x.unit)
                elif value is not None:
                    part.fill(part.encode(batch[0].copy()), np.array([value]), batch, self.x.unit)
        return self.x.moved(batch[0])

    def replay(self, member: Member, algorithm: Predict, keys: tuple[int, int]) -> Replay:
        """Attack, and ask; a changed answer again in real arithmetic, where the certificate speaks of that."""
        try:
            return self._replay(member, algorithm, keys)
        except (DataError, ModelError) as error:
            numbers: Arithmetic = "8-bit" if self.x.is_whole else "real"
            index, note = self.example.index, str(error)
            return Replay(index, member, self.prediction, ABSTAIN, {}, "undecided", numbers, note)

    def _replay(self, member: Member, algorithm: Predict, keys: tuple[int, int]) -> Replay:
        if not self.x.is_whole:
            moved = self.in_reals(member)
            return self._result(member, *self._ask(moved, algorithm, keys[1]), "real", (self.x.values, moved.values))
        moved, pictures = self.in_levels(member)
        found = self._result(member, *self._in_levels(moved, algorithm, keys[0]), "8-bit", pictures)
        if found.outcome != "violation" or self.algorithm.enumerates:
            return found
        if self.smoothing.perturbation.samples(self.x).attack_model != "float-unclipped":
            return found
        again = self._result(member, *self._ask(self.in_reals(member), algorithm, keys[1]), "real", pictures)
        if again.outcome == "violation":
            return again
        real = "undecided" if again.answer == ABSTAIN else f"class {again.answer}"
        return replace(found, outcome="beyond", note=f"in real arithmetic {real}")

    def _result(self, member: Member, answer: int, votes: Counts, arithmetic: Arithmetic, pictures: Pictures) -> Replay:
        outcomes: Mapping[int, Outcome] = {self.prediction: "confirmed", ABSTAIN: "undecided"}
        outcome = outcomes.get(answer, "violation")
        kept = pictures if outcome == "violation" else None
        return Replay(self.example.index, member, self.prediction, answer, votes, outcome, arithmetic, pictures=kept)

    def _in_levels(self, moved: Input, algorithm: Predict, key: int) -> tuple[int, Counts]:
        if not self.algorithm.enumerates:
            return self._ask(moved, algorithm, key)
        row = moved.values[None].astype(moved.levels.wide if moved.levels else np.float32)
        batch = np.repeat(row, self.classifier.batch_size(moved.values.size), axis=0)
        answer = int(self.classifier.labels(batch, 1, moved.levels)[0])
        return answer, {answer: 1}

    def _ask(self, moved: Input, algorithm: Predict, key: int) -> tuple[int, Counts]:
        voter = self.smoothing.voter(self.classifier)
        sampler = Sampler(voter, self.smoothing.perturbation, moved, key, self.example.index)
        evidence = algorithm.draw(sampler, self.smoothing)
        return algorithm.decide(evidence, self.smoothing).prediction, evidence.estimation
