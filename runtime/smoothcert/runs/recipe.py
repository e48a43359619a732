"""A run's recipe, a table of plain values: its key, its inputs, what tells it from another. Format: docs/runs.md."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..inputs.datasets import selection

Recipe = dict[str, Any]

_ELSEWHERE = {"path"}  # may differ when a run is resumed or merged: the hashes decide
_FREE = {"host", "attack_model"}  # the second follows from data and smoothing


def run_key(recipe: Recipe) -> int:
    """64 bits of SHA-256 of all that determines the votes: model, denoiser, data, smoothing, algorithm and nonce.

    Provider, threads, batch size and shard do not enter: the same draws everywhere.
    """
    names = ("sha256", "output", "preprocess", *(("denoiser",) if "denoiser" in recipe["model"] else ()))
    model = {name: recipe["model"][name] for name in names}
    parts = [model, recipe["data"]["sha256"], recipe["smoothing"], recipe["algorithm"], recipe["nonce"]]
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def chosen(recipe: Recipe) -> range:
    """Indices of the inputs that the recipe selects."""
    return selection(recipe["data"]["inputs"], **recipe["selection"])


def differences(old: Recipe, new: Recipe, free: frozenset[str] = frozenset()) -> list[str]:
    """`name: old there, new here` for every setting that differs and matters; `free` names dotted settings that may."""

    def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
        for name, value in values.items():
            if name in _ELSEWHERE or prefix + name in free | _FREE:
                continue
            if isinstance(value, Mapping):
                yield from flat(value, f"{prefix}{name}.")
            else:
                yield prefix + name, value

    a, b = dict(flat(old)), dict(flat(new))
    return [
        _difference(name, a.get(name, "unset"), b.get(name, "unset"))
        for name in sorted(a.keys() | b.keys())
        if a.get(name) != b.get(name)
    ]


def _difference(name: str, there: Any, here: Any) -> str:
    if name in ("model.sha256", "data.sha256"):
        what, verb = ("model", "is another") if name.startswith("model") else ("data", "changed since")
        return f"the {what} {verb}: SHA-256 {there} there, {here} here"
    if name == "smoothing.parts" and isinstance(there, list) and isinstance(here, list):
        alike = [_words(part) for part in there] == [_words(part) for part in here]
        said = (" then ".join(_words(part, whole=alike) for part in parts) for parts in (there, here))
        return "smoothing: {} there, {} here".format(*said)
    return f"{name} is {there} there, {here} here"


def _words(part: Any, *, whole: bool = False) -> str:
    """A part of a smoothing as `noise0.5`, or with all that its recipe says of it."""
    table = dict(part) if isinstance(part, Mapping) else {"part": part}
    name = f"{table.pop('part', '')}{table.pop('scale', '')}"
    return " ".join([name, *(f"{key}={value}" for key, value in table.items() if whole and key != "unit")])
