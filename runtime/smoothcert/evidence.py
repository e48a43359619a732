"""What was sampled, and how it was drawn: expensive, never thrown away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import RunError
from .files.documents import typed, understood

Counts = Mapping[int, int]
_Looks = list[tuple[int, int, int]]  # as a ledger has them


def top(counts: Counts) -> int:
    """The label with the most votes, the smallest of those that tie."""
    return min(counts, key=lambda label: (-counts[label], label))


def runner_up(counts: Counts, label: int) -> int:
    """The largest count of any label but this one; 0 where there is none."""
    return max((count for other, count in counts.items() if other != label), default=0)


@dataclass(frozen=True)
class Look:
    """A look of a sequential test: `count` of the first `n` votes went to `label`, the class followed then."""

    n: int
    label: int
    count: int


@dataclass(frozen=True)
class Slice:
    """Attacks from `low` to `high`, and the looks at the votes around the image in their middle; none: not reached."""

    low: float
    high: float
    looks: tuple[Look, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """Votes of the base classifier on perturbed copies of one input.

    `selection` chose the class (empty where one sample does both), `estimation` measured it, `looks` are a sequential
    test's. The draws are those of (`key`, `index`); `slack` bounds the total variation between their law and the
    smoothing's, `attack_model` says which attacker the law answers. `errors`: bounds (E, e), measured for this input
    alone: an error above E has probability e at most. `slices`: pieces of an attack's range, each with its looks.
    `brightness`: the pieces, in levels, of its range behind that attack, if there is one: `slices` has all for each.
    `pilot`: the votes that chose the class and the slices' `reach` (deviations of the noise), attack by attack: see
    `algorithms.reach`; without it, as runs of earlier versions are, the reach is half a deviation.
    `distances` (first, second, deviations): how far attacks move this input's code, see `smoothing.coverage`.
    """

    mode: str
    estimation: Counts
    selection: Counts = field(default_factory=dict)
    looks: tuple[Look, ...] = ()
    key: int = 0
    index: int = 0
    slack: float = 0.0
    attack_model: str = "float-unclipped"
    errors: tuple[tuple[float, float], ...] = ()
    slices: tuple[Slice, ...] = ()
    brightness: tuple[tuple[int, int], ...] = ()
    pilot: tuple[Look, ...] = ()
    reach: float = 0.0
    distances: tuple[tuple[float, float, float], ...] = ()

    @property
    def samples(self) -> int:
        """All votes cast."""
        return sum(self.selection.values()) + sum(self.estimation.values())

    def to_json(self) -> dict[str, Any]:
        """Plain values; labels become strings, the key hexadecimal."""
        return {
            "mode": self.mode,
            "selection": {str(k): v for k, v in sorted(self.selection.items())},
            "estimation": {str(k): v for k, v in sorted(self.estimation.items())},
            "looks": _plain(self.looks),
            "key": f"{self.key:016x}",
            "index": self.index,
            "slack": self.slack,
            "attack_model": self.attack_model,
            **({"errors": [list(pair) for pair in self.errors]} if self.errors else {}),
            **({"slices": [[s.low, s.high, _plain(s.looks)] for s in self.slices]} if self.slices else {}),
            **({"brightness": [list(piece) for piece in self.brightness]} if self.brightness else {}),
            **({"pilot": _plain(self.pilot), "reach": self.reach} if self.pilot else {}),
            **({"distances": [list(row) for row in self.distances]} if self.distances else {}),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Evidence:
        """The evidence that `to_json` wrote; `RunError` for anything else."""
        with understood("the ledger", "evidence", RunError):
            looks = _looks(typed(value["looks"], _Looks))
            cut = typed(value.get("slices", []), list[tuple[float, float, _Looks]])
            slices = [Slice(low, high, _looks(inner)) for low, high, inner in cut]
            pilot = _looks(typed(value.get("pilot", []), _Looks))
            made = {"key": int(value["key"], 16), "looks": looks, "slices": slices, "pilot": pilot}
            return typed({**value, **made}, Evidence)


def _plain(looks: tuple[Look, ...]) -> list[list[int]]:
    return [[look.n, look.label, look.count] for look in looks]


def _looks(values: _Looks) -> tuple[Look, ...]:
    return tuple(Look(*look) for look in values)
