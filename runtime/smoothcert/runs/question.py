"""What a run asks, read from its recipe alone: neither model nor data are opened for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..algorithms import ALGORITHMS, Algorithm
from ..errors import RunError, require
from ..files.documents import built
from ..model.preprocess import Preprocess
from ..smoothing import Attack, Smoothing, smoothing_of
from ..smoothing.table import require_plugin
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
        return chosen(self.recipe)

    @property
    def preprocess(self) -> Preprocess:
        """What stands between the data and the model; `ArgumentError` for what no run writes."""
        return Preprocess.of(self.recipe["model"]["preprocess"])

    @property
    def attack(self) -> Attack | None:
        return self.algorithm.attack


def _algorithm_of(recipe: Recipe) -> Algorithm:
    numbers: dict[str, Any] = dict(recipe["algorithm"])
    mode: Any = ALGORITHMS.get(numbers.pop("mode"))
    if mode is None:
        raise RunError(f"recipe: expected a mode of {', '.join(ALGORITHMS)}, got {recipe['algorithm']['mode']!r}")
    if "attack" in numbers:
        attack = numbers["attack"]
        order = numbers.pop("order", [*attack])  # a table's keys may have lost theirs
        require(sorted(order) == sorted(attack), f"recipe: expected an order of {', '.join(attack)}, got {order}")
        numbers["attack"] = Attack.of({name: attack[name] for name in order})
    for name, sha256 in numbers.pop("plugins", {}).items():
        require_plugin(name, sha256)
    numbers.pop("options", None)  # of attacks: said for people, and no others can be asked for
    found: Algorithm = built({**mode.before, **numbers}, mode, "recipe: [algorithm]")
    return found
