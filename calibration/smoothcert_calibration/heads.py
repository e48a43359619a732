"""Whether two heads of calibration files are of one plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smoothcert.runs.recipe import differences

OWN = frozenset({"inputs", "found", "sizes", "shape", "sha256"})  # known when all is measured: no part of the plan
_DERIVED = {"claim", "meaning", "attacks"}  # follow from the rest


def plan_part(head: Mapping[str, Any]) -> dict[str, Any]:
    """What the plan says, without what was measured."""
    return {name: value for name, value in head.items() if name not in OWN}


def other_plan(there: Mapping[str, Any], here: Mapping[str, Any], *, shards: bool = False) -> str:
    """How the plans differ, in words; empty where they are one. `shards` may differ where that is asked for."""
    free = frozenset(_DERIVED | ({"selection.shard"} if shards else set()))
    return "; ".join(differences(plan_part(there), plan_part(here), free))
