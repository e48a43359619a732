"""The loop of a run: entries that its ledger lacks, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from .folder import Entry, RunFolder
from .opening import OpenRun


def complete(folder: RunFolder, run: OpenRun) -> Iterator[Entry]:
    """Certify what the folder's ledger does not hold yet, yielding each entry once it is on disk; see `begin`."""
    with folder.locked(run.question.recipe) as (recipe, ledger):
        there = replace(run, question=replace(run.question, recipe=recipe))
        done = {entry["index"] for entry in folder.entries()}
        for index in run.question.indices:
            if index not in done:
                entry = there.entry(index)
                ledger.append(entry)
                yield entry
