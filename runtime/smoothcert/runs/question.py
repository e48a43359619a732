"""What a run asks, read from its recipe alone: neither model nor data are opened for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..algorithms import ALGORITHMS, Algorithm, Enumerate
from ..errors import RunError
from ..files.documents import built
from ..model.preprocess import Preprocess
from ..smoothing import Attack, Enumeration, Smoothing, smoothing_of
from ..transforms.attacks import Manner
from .recipe import Recipe, chosen, run_key


@dataclass(frozen=True, eq=False)
class Question:
    """By which algorithm the inputs of a run are certified, under which smoothing. The recipe says the rest."""

    recipe: Recipe
    smoothing: Smoothing
    algorithm: Algorithm

    @staticmethod
    def of(recipe: Recipe) -> Question:
        """The question of a recipe; `RunError` for a mode, `ArgumentError` for numbers that no run has."""
        return Question(recipe, smoothing_of(recipe["smoothing"]), _algorithm_of(recipe))

    @cached_property
    def key(self) -> int:
        """The run key, under which all votes are drawn."""
        return run_key(self.recipe)

    @property
    def indices(self) -> range:
        """The inputs that are asked about."""
        return chosen(self.recipe)

    @property
    def preprocess(self) -> Preprocess:
        """What stands between the data and the model; `ArgumentError` for what no run writes."""
        return Preprocess.of(self.recipe["model"]["preprocess"])

    @property
    def attack(self) -> Attack | None:
        """The set of attacks that is asked about, if any."""
        return self.smoothing.attack if isinstance(self.smoothing, Enumeration) else self.algorithm.attack

    @property
    def manner(self) -> Manner:
        """Border and interpolation of attacks that no part of the smoothing describes: enumerated and sliced ones."""
        asked = {**self.recipe["algorithm"], **self.recipe["smoothing"]}
        return Manner(asked.get("border", "black"), asked.get("interpolation", "bilinear"))


def _algorithm_of(recipe: Recipe) -> Algorithm:
    numbers: dict[str, Any] = dict(recipe["algorithm"])
    mode: Any = ALGORITHMS.get(numbers.pop("mode"))
    if mode is None:
        raise RunError(f"recipe: expected a mode of {', '.join(ALGORITHMS)}, got {recipe['algorithm']['mode']!r}")
    if mode is Enumerate:
        return Enumerate()
    if "attack" in numbers:
        numbers["attack"] = Attack.of(numbers["attack"])
    found: Algorithm = built(numbers, mode, "recipe: [algorithm]")
    return found
