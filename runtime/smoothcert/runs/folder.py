"""The run folder: `recipe.toml`, written first, and `ledger.jsonl`, a synced line for each input: docs/runs.md."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from ..errors import RunError
from ..files.documents import json_value, toml_value, typed, understood
from ..files.limits import LEDGER_BYTES, LINE_BYTES, RECIPE_BYTES
from ..files.reading import open_regular, read_regular
from ..files.schema import EntryLine, RecipeTable
from ..files.writing import named, open_own, write_atomically, write_whole
from .recipe import Recipe, differences

Entry = dict[str, Any]

RECIPE, LEDGER = "recipe.toml", "ledger.jsonl"
_LIMIT = frozenset({"selection.limit"})  # may differ: it changes no vote, only how many inputs there are
_SELECTION = {"skip", "limit", "shard"}


@dataclass(frozen=True)
class RunFolder:
    """A run on disk."""

    path: Path

    def begin(self, recipe: Recipe) -> Recipe:
        """Write the recipe, or return the one that is there if it is the same run. `RunError` if it is another.

        What is there keeps its nonce, and takes the new limit, as far as that leaves out no input of the ledger.
        """
        if os.path.lexists(self.path / RECIPE):
            there, selection = self.require_same(recipe), recipe["selection"]
            if "limit" in selection:
                held = max((entry["index"] for entry in self.entries()), default=-1)
                selection = selection | {"limit": max(selection["limit"], held + 1 - selection["skip"])}
            if selection != there["selection"]:
                there = there | {"selection": selection}
                write_atomically(self.path / RECIPE, _encoded(there, self.path))
            return there
        if (self.path / LEDGER).exists() and (self.path / LEDGER).stat().st_size:
            raise RunError(f"{self.path} holds a ledger without its recipe; choose another `run` folder")
        recipe = recipe | {"nonce": recipe["nonce"] or os.urandom(16).hex()}
        write_atomically(self.path / RECIPE, _encoded(recipe, self.path))
        return recipe

    def require_same(self, recipe: Recipe) -> Recipe:
        """The recipe that is there; `RunError` where it is another run's. The limit, and an unset nonce, may differ."""
        there = self.recipe()
        nonce = recipe["nonce"] or there["nonce"]
        if wrong := differences(there, recipe | {"nonce": nonce}, _LIMIT):
            raise RunError(f"{self.path} holds another run: {'; '.join(wrong)}; choose another `run` folder")
        return there

    def recipe(self) -> Recipe:
        """The recipe; `RunError` where there is none, or one whose keys, types or numbers are no recipe's."""
        path, expected = self.path / RECIPE, f"a run folder with a {RECIPE} of smoothcert"
        content = read_regular(path, expected, RunError, RECIPE_BYTES)
        with understood(str(path), expected, RunError):
            recipe = toml_value(content)
        advice = f"use the version that wrote it, {recipe.get('smoothcert', 'which is not named')!r:.40}"
        with understood(str(path), expected, RunError, advice):
            typed(recipe, RecipeTable)
        if strange := sorted(recipe["selection"].keys() - _SELECTION):
            raise RunError(f"{path}: expected [selection] to say {', '.join(sorted(_SELECTION))}, got {strange[0]!r}")
        return recipe

    def entries(self) -> list[Entry]:
        """Every whole line of the ledger, in order: not one that a kill has torn. `RunError` for what is no entry."""
        path = self.path / LEDGER
        entries: list[Entry] = []
        if not path.exists():
            return []
        with open_regular(path, "a ledger", RunError, LEDGER_BYTES) as file:
            while (line := file.readline(LINE_BYTES)).endswith(b"\n"):
                entries.append(_entry(line, f"{path}, line {len(entries) + 1}"))
        if len(line) >= LINE_BYTES:
            raise RunError(f"{path}, line {len(entries) + 1}: expected at most {LINE_BYTES:,} bytes, got more")
        return entries

    @contextmanager
    def locked(self, recipe: Recipe) -> Iterator[tuple[Recipe, Ledger]]:
        """The run's recipe, see `begin`, and its ledger, held by this process alone. `RunError` while another does."""
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.path / LEDGER
        descriptor = open_own(path, "a ledger", RunError)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                why = f"{self.path} is in use by another process; wait for it, or choose another `run`"
                raise RunError(why) from None
            recipe = self.begin(recipe)  # behind the lock: two processes must not write two nonces
            size = os.fstat(descriptor).st_size
            start = max(0, size - LINE_BYTES)
            os.ftruncate(descriptor, start + os.pread(descriptor, size - start, start).rfind(b"\n") + 1)
            yield recipe, Ledger(descriptor, path)
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class Ledger:
    """Whole lines, on disk when `append` returns."""

    descriptor: int
    path: Path

    def append(self, entry: Entry) -> None:
        """Add a line, or, where the disk is full, leave the ledger as it was and raise `OSError` with its name."""
        end = os.fstat(self.descriptor).st_size
        with named(self.path):
            try:
                write_whole(self.descriptor, _line(entry))
                os.fsync(self.descriptor)
            except OSError:
                os.ftruncate(self.descriptor, end)
                raise


def _line(entry: Entry) -> bytes:
    return (json.dumps(entry, separators=(",", ":")) + "\n").encode()


def _entry(line: bytes, where: str) -> Entry:
    with understood(where, "a ledger entry", RunError):
        entry = json_value(line)
        typed(entry, EntryLine)
    parts = entry.keys() & {"certificate", "evidence", "error"}
    if parts not in ({"error"}, {"certificate", "evidence"}):
        got = " and ".join(sorted(parts)) or "neither"
        raise RunError(f"{where}: expected a ledger entry with an error, or a certificate and its evidence, got {got}")
    return dict(entry)


def _encoded(recipe: Recipe, where: Path) -> bytes:
    try:
        return tomli_w.dumps(recipe).encode("utf-8")
    except UnicodeEncodeError as error:
        raise RunError(f"{where}: expected names and options in UTF-8, got {error.object!r}; rename the file") from None


def merge(out: RunFolder, shards: list[RunFolder]) -> int:
    """Merge the ledgers of shards of one run, sorted by input, with the largest limit. Returns the number of entries.

    `RunError` where recipes differ in more than shard and limit, or two shards hold the same input.
    """
    if (out.path / RECIPE).exists():
        raise RunError(f"{out.path} already holds a run; choose another folder for the merged one")
    recipe = shards[0].recipe()
    entries: dict[int, Entry] = {}
    limits = []
    for shard in shards:
        other = shard.recipe()
        limits.append(other["selection"].get("limit"))
        if wrong := differences(recipe, other, _LIMIT | {"selection.shard"}):
            raise RunError(f"{shard.path} is no shard of {shards[0].path}: {'; '.join(wrong)}")
        for entry in shard.entries():
            if entry["index"] in entries:
                raise RunError(f"{shard.path}: input {entry['index']} is in another shard too; merge each shard once")
            entries[entry["index"]] = entry
    recipe["selection"] = {"skip": recipe["selection"]["skip"], "shard": "1/1"}
    if None not in limits:
        recipe["selection"]["limit"] = max(limits)
    ledger = b"".join(_line(entries[index]) for index in sorted(entries))
    there = out.path / LEDGER
    if there.exists() and read_regular(there, "a ledger", RunError, LEDGER_BYTES) != ledger:
        raise RunError(f"{out.path} already holds another ledger; choose another folder for the merged one")
    write_atomically(there, ledger)
    # The recipe comes last: a merge that was killed can be repeated.
    write_atomically(out.path / RECIPE, _encoded(recipe, out.path))
    return len(entries)
