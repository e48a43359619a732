"""The run folder: `recipe.toml`, written first, and `ledger.jsonl`, one fsynced line for each input.

Killing a run at any instant loses at most the input in flight. Format: docs/runs.md.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from .datasets import selection
from .errors import RunError

Recipe = dict[str, Any]
Entry = dict[str, Any]

RECIPE, LEDGER = "recipe.toml", "ledger.jsonl"
_ELSEWHERE = {"path"}  # may differ when a run is resumed or merged: the hashes decide
_FREE = {"host", "attack_model"}  # the second follows from data and smoothing
_LIMIT = frozenset({"selection.limit"})  # may differ: it changes no vote, only how many inputs there are
_SECTIONS = {"smoothcert", "nonce", "model", "data", "smoothing", "algorithm", "selection"}


def run_key(recipe: Recipe) -> int:
    """64 bits of SHA-256 of all that determines the votes: model, data, smoothing, algorithm and nonce.

    The nonce is written down before sampling: once published, it fixes every draw. Provider, threads, batch size and
    shard do not enter: the same draws everywhere.
    """
    model = {name: recipe["model"][name] for name in ("sha256", "output", "preprocess")}
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
        f"{name} is {a.get(name, 'unset')} there, {b.get(name, 'unset')} here"
        for name in sorted(a.keys() | b.keys())
        if a.get(name) != b.get(name)
    ]


@dataclass(frozen=True)
class RunFolder:
    """A run on disk."""

    path: Path

    def begin(self, recipe: Recipe) -> Recipe:
        """Write the recipe, or return the one that is there if it is the same run. `RunError` if it is another.

        A recipe that is there keeps its nonce unless the new one brings its own. Its limit becomes the new one's, but
        never so small that it leaves out an input of the ledger.
        """
        if (self.path / RECIPE).exists():
            there = self.recipe()
            nonce = recipe["nonce"] or there["nonce"]
            if wrong := differences(there, recipe | {"nonce": nonce}, _LIMIT):
                raise RunError(f"{self.path} holds another run: {'; '.join(wrong)}; choose another `run` folder")
            if (selection := self._limited(recipe["selection"])) != there["selection"]:
                there = there | {"selection": selection}
                write_atomically(self.path / RECIPE, tomli_w.dumps(there).encode())
            return there
        if (self.path / LEDGER).exists() and (self.path / LEDGER).stat().st_size:
            raise RunError(f"{self.path} holds a ledger without its recipe; choose another `run` folder")
        recipe = recipe | {"nonce": recipe["nonce"] or os.urandom(16).hex()}
        write_atomically(self.path / RECIPE, tomli_w.dumps(recipe).encode())
        return recipe

    def _limited(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The selection asked for, its limit no smaller than what the ledger holds."""
        held = max((entry["index"] for entry in self.entries()), default=-1)
        limit = {"limit": max(asked["limit"], held + 1 - asked["skip"])} if "limit" in asked else {}
        return {**asked, **limit}

    def recipe(self) -> Recipe:
        """The recipe; `RunError` where there is none."""
        try:
            recipe = tomllib.loads((self.path / RECIPE).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise RunError(f"{self.path}: expected a run folder with a {RECIPE}, got: {error}") from None
        if missing := _SECTIONS - recipe.keys():
            raise RunError(f"{self.path / RECIPE}: expected a recipe of smoothcert, got one without {min(missing)}")
        return recipe

    def entries(self) -> list[Entry]:
        """Every whole line of the ledger, in order; a torn last line, left by a kill, does not count."""
        path = self.path / LEDGER
        if not path.exists():
            return []
        lines = path.read_bytes().split(b"\n")[:-1]
        entries = []
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
                whole = type(entry["index"]) is int and {"label", "seconds"} <= entry.keys()
            except (ValueError, KeyError, TypeError):
                whole = False
            if not whole:
                raise RunError(f"{path}, line {number}: expected a ledger entry, got a damaged line")
            entries.append(entry)
        return entries

    @contextmanager
    def locked(self, recipe: Recipe) -> Iterator[tuple[Recipe, Ledger]]:
        """The run's recipe, see `begin`, and its ledger, held by this process alone. `RunError` while another does.

        The lock comes first: two processes that begin the same run at once must not write two nonces.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / LEDGER, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunError(
                    f"{self.path} is in use by another process; wait for it, or choose another `run`"
                ) from None
            recipe = self.begin(recipe)
            content = (self.path / LEDGER).read_bytes()
            os.ftruncate(descriptor, content.rfind(b"\n") + 1)
            yield recipe, Ledger(descriptor)
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class Ledger:
    """Whole lines, on disk when `append` returns."""

    descriptor: int

    def append(self, entry: Entry) -> None:
        """Add a line, or, where the disk is full, leave the ledger as it was and raise `OSError`."""
        end = os.fstat(self.descriptor).st_size
        line = (json.dumps(entry, separators=(",", ":")) + "\n").encode()
        try:
            while line:
                line = line[os.write(self.descriptor, line) :]
            os.fsync(self.descriptor)
        except OSError:
            os.ftruncate(self.descriptor, end)
            raise


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def merge(out: RunFolder, shards: list[RunFolder]) -> int:
    """Merge the ledgers of shards of one run, sorted by input. Returns the number of entries.

    `RunError` where the recipes differ in more than shard and limit, or two shards hold the same input. The largest
    limit counts.
    """
    if (out.path / RECIPE).exists() or (out.path / LEDGER).exists():
        raise RunError(f"{out.path} already holds a run; choose another folder for the merged one")
    recipe = shards[0].recipe()
    entries: dict[int, Entry] = {}
    for shard in shards:
        if wrong := differences(recipe, shard.recipe(), _LIMIT | {"selection.shard"}):
            raise RunError(f"{shard.path} is no shard of {shards[0].path}: {'; '.join(wrong)}")
        for entry in shard.entries():
            if entry["index"] in entries:
                raise RunError(f"{shard.path}: input {entry['index']} is in another shard too; merge each shard once")
            entries[entry["index"]] = entry
    limits = [shard.recipe()["selection"].get("limit") for shard in shards]
    recipe["selection"] = {"skip": recipe["selection"]["skip"], "shard": "1/1"}
    if None not in limits:
        recipe["selection"]["limit"] = max(limits)
    lines = (json.dumps(entries[index], separators=(",", ":")) + "\n" for index in sorted(entries))
    write_atomically(out.path / LEDGER, "".join(lines).encode())
    write_atomically(out.path / RECIPE, tomli_w.dumps(recipe).encode())
    return len(entries)
