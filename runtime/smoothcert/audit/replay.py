"""One certified input under one attack: the attacked input, and the smoothed classifier's answer to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..algorithms import Predict
from ..certificate import ABSTAIN
from ..draws import Stream
from ..errors import DataError, ModelError
from ..evidence import Counts
from ..inputs.datasets import Example
from ..inputs.spatial import Raw
from ..model.labels import Classifier
from ..sampling import Sampler
from ..smoothing import Attack, Calibrated, Enumeration, Guarantee, Part, Smoothing
from ..smoothing.pipeline import Encoded, raw_of
from ..transforms import blur, color, geometry
from ..transforms.attacks import Manner, attacked
from .members import Member

Outcome = Literal["confirmed", "undecided", "beyond", "violation"]
Pictures = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Replay:
    """One attack and the answer to it: ABSTAIN where the votes left it open, or where `note` says why none came.

    `beyond`: the answer changes under the 8-bit attack, but not under the same attack in real arithmetic, of which
    alone a `float-unclipped` certificate speaks. `pictures`: the image before and after, of changed answers.
    """

    index: int
    attack: Member
    certified: int
    answer: int
    votes: Counts
    outcome: Outcome
    arithmetic: Literal["8-bit", "real"]
    note: str = ""
    pictures: Pictures | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class _Elsewhere(Smoothing):
    """A smoothing as it acts on real `pixels` in place of the input's; behind an 8-bit input they stay levels."""

    inner: Smoothing
    pixels: NDArray[np.float32]
    parts: tuple[Part, ...] = ()
    guarantee: Guarantee = "exact"

    def attack_model(self, x: NDArray[Any]) -> str:
        return self.inner.attack_model(x)

    def slack(self, x: NDArray[Any]) -> float:
        return self.inner.slack(x)

    def dtype(self, x: NDArray[Any]) -> np.dtype[Any]:
        return self.inner.dtype(x)

    def encode(self, x: NDArray[Any], raw: Raw | None = None) -> Encoded:
        return replace(self.inner.encode(self.pixels), unit=255.0 if x.dtype == np.uint8 else 1.0)

    def perturb(self, encoded: Encoded, stream: Stream, first: int, out: NDArray[Any]) -> None:
        self.inner.perturb(encoded, stream, first, out)


@dataclass(frozen=True, eq=False)
class Subject:
    """One certified input: the set certified, the smoothing as it applied, and what is made of both."""

    classifier: Classifier
    smoothing: Smoothing
    attack: Attack
    manner: Manner  # of attacks that no part of the smoothing describes
    prediction: int
    example: Example

    @cached_property
    def fitted(self) -> NDArray[Any]:
        """The input in the model's shape."""
        return self.classifier.fit(self.example.x)

    @cached_property
    def image(self) -> tuple[int, ...] | None:
        """(outer, height, width, inner) of the model's pixels; None for a vector."""
        return self.classifier.image(self.example.x)

    @property
    def pixels(self) -> NDArray[Any]:
        """The model's pixels, a vector as one row."""
        return self.fitted.reshape(self.image or (1, 1, -1, 1))

    @property
    def is_levels(self) -> bool:
        """Whether the input is an 8-bit one."""
        return bool(self.fitted.dtype == np.uint8)

    def steps(self, member: Member, *, raw: bool) -> list[tuple[str, Any, Manner]]:
        """What is done to the raw image, or to the model's pixels: each attack acts where the smoothing's part does."""
        parts = {part.name: part for part in self.smoothing.parts}
        warps = isinstance(self.smoothing, Calibrated)
        names = [name for name in (*parts, *(n for n in member if n not in parts)) if name in member]
        here = (n for n in names if n != "noise" and (n not in parts or warps) == raw)
        return [(n, member[n], parts[n].manner if n in parts else self.manner) for n in here]

    def in_levels(self, member: Member) -> tuple[NDArray[np.uint8], Raw | None, Pictures]:
        """The model's pixels under the attack as an 8-bit pipeline makes it, the raw image, pictures before and after.

        The pictures are of the raw image where the attack is on that, else of the model's pixels.
        """
        raw, pixels = self.classifier.raw(self.example.x), self.pixels.copy()
        pictures = raw_of(pixels).image, raw_of(pixels).image
        if steps := self.steps(member, raw=True):
            if raw is None:
                raise DataError(f"{self.example.name}: expected an 8-bit image to attack by {steps[0][0]}, got none")
            warped = Raw(attacked(raw.image, steps), raw.spatial)
            warped.place(warped.image, pixels)
            pictures, raw = (raw.image, warped.image), warped
        inner, push = self.steps(member, raw=False), member.get("noise")
        if inner:
            changed = attacked(raw_of(pixels).image, inner)
            Raw(changed).place(changed, pixels)
        if push is not None:
            pixels = (pixels + push.shift).clip(0, 255).astype(np.uint8)
        if inner or push is not None:
            pictures = raw_of(self.pixels).image, raw_of(pixels).image
        return pixels, raw, pictures

    def in_reals(self, member: Member) -> NDArray[np.float32]:
        """The pixels under the attack in real arithmetic, by the smoothing's own forms, in the shape it works on."""
        if self.steps(member, raw=True):
            raise DataError(f"{self.example.name}: expected an 8-bit image to attack, got {self.fitted.dtype} values")
        batch = self.fitted.reshape(self.image or -1).astype(np.float32)[None]
        unit = 255.0 if self.is_levels else 1.0
        for name, value, manner in self.steps(member, raw=False):
            if name == "brightness":
                color.add_brightness(batch, [value], unit)
            elif name == "contrast":
                color.scale_contrast(batch, [value], manner.about, unit)
            elif name == "gamma":
                color.raise_gamma(batch, [value], unit)
            elif name == "translation":
                geometry.cyclic_shift(batch[0].copy(), np.array([value], int), batch)
            else:
                (border,) = (str(p.description["border"]) for p in self.smoothing.parts if p.name == "blur")
                blur.blur(blur.spectrum(batch[0], border), [value], border, batch)
        if "noise" in member:
            batch += member["noise"].shift.reshape(batch.shape)
        return np.asarray(batch[0])

    def replay(self, member: Member, algorithm: Predict, keys: tuple[int, int]) -> Replay:
        """Attack, and ask; a changed answer is asked for again in real arithmetic where the certificate speaks of it.

        `keys`: of the draws of either answer.
        """
        try:
            return self._replay(member, algorithm, keys)
        except (DataError, ModelError) as error:
            arithmetic: Literal["8-bit", "real"] = "8-bit" if self.is_levels else "real"
            note = str(error)
            return Replay(self.example.index, member, self.prediction, ABSTAIN, {}, "undecided", arithmetic, note)

    def _replay(self, member: Member, algorithm: Predict, keys: tuple[int, int]) -> Replay:
        if not self.is_levels:
            answer, votes = self._in_reals(member, algorithm, keys[1])
            return self._result(member, answer, votes, "real", (self.fitted, self.in_reals(member)))
        pixels, raw, pictures = self.in_levels(member)
        answer, votes = self._in_levels(member, pixels, raw, algorithm, keys[0])
        found = self._result(member, answer, votes, "8-bit", pictures)
        if found.outcome != "violation" or self.smoothing.attack_model(self.pixels) != "float-unclipped":
            return found
        again = self._result(member, *self._in_reals(member, algorithm, keys[1]), "real", pictures)
        if again.outcome == "violation":
            return again
        real = "undecided" if again.answer == ABSTAIN else f"class {again.answer}"
        return replace(found, outcome="beyond", note=f"in real arithmetic {real}")

    def _result(
        self, member: Member, answer: int, votes: Counts, arithmetic: Literal["8-bit", "real"], pictures: Pictures
    ) -> Replay:
        outcomes: Mapping[int, Outcome] = {self.prediction: "confirmed", ABSTAIN: "undecided"}
        outcome = outcomes.get(answer, "violation")
        kept = pictures if outcome == "violation" else None
        return Replay(self.example.index, member, self.prediction, answer, votes, outcome, arithmetic, pictures=kept)

    def _in_levels(
        self, member: Member, pixels: NDArray[np.uint8], raw: Raw | None, algorithm: Predict, key: int
    ) -> tuple[int, Counts]:
        """The answer for attacked levels; of the base classifier itself where the smoothing is an enumeration."""
        x = pixels.reshape(self.fitted.shape)
        if isinstance(self.smoothing, Enumeration):
            batch = np.repeat(x[None].astype(np.int16), self.classifier.batch_size(x), axis=0)
            answer = int(self.classifier.labels(batch, 1, True)[0])
            return answer, {answer: 1}
        return self._ask(self.smoothing, x, raw, algorithm, key)

    def _in_reals(self, member: Member, algorithm: Predict, key: int) -> tuple[int, Counts]:
        smoothing = _Elsewhere(self.smoothing, self.in_reals(member))
        return self._ask(smoothing, self.fitted, None, algorithm, key)

    def _ask(
        self, smoothing: Smoothing, x: NDArray[Any], raw: Raw | None, algorithm: Predict, key: int
    ) -> tuple[int, Counts]:
        sampler = Sampler(self.classifier, smoothing, x, key, self.example.index, self.image, raw)
        evidence = algorithm.draw(sampler)
        return algorithm.decide(evidence, smoothing).prediction, evidence.estimation
