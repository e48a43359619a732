"""Measure a calibration: every input once, on all cores, resumed where it stopped."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.calibration_file import CalibrationFile, encode, read
from smoothcert.errors import CalibrationError
from smoothcert.files.writing import write_atomically
from smoothcert.inputs.datasets import Dataset, Example
from smoothcert.inputs.levels import PCM16
from smoothcert.inputs.recordings import changes
from smoothcert.machine import cores

from .errors import errors_of
from .partial import Records, opened
from .plan import Plan, other_plan
from .search import search
from .stream import Work, worked

# The input's SHA-256 or nothing, where a search found the worst, the raw image's height and width.
Note = tuple[str, list[float], list[int]]
Answer = tuple[Note, NDArray[np.float32]]  # with errors (draws, attacks)


def _works(plan: Plan, threads: int) -> list[Work[Answer]]:
    """Errors of some of the attacks each, as many works as threads where attacks are many; the first says the rest."""

    def errors(example: Example, part: slice) -> Answer:
        index, raw = example.index, plan.raw(example)
        found = errors_of(raw, plan.parts, plan.attacks(index)[part], plan.drawn(index))
        about = example.sha256 if plan.calibration.per_input and part.start == 0 else ""
        return (about, [], list(raw.sides)), found

    def searched(example: Example) -> Answer:
        raw = plan.raw(example)
        error, place = search(raw, plan.parts, plan.attack, plan.evaluations)
        return (example.sha256, place, list(raw.sides)), np.full((1, 1), error, np.float32)

    if plan.strategy == "input-global":
        return [searched]
    cuts = np.linspace(0, plan.shape[2], min(threads, plan.shape[2]) + 1).astype(int).tolist()
    return [functools.partial(errors, part=slice(*ends)) for ends in itertools.pairwise(cuts)]


def measure(
    plan: Plan,
    data: Dataset,
    out: Path,
    *,
    threads: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> CalibrationFile:
    """Measure what OUT lacks, and write it: the same bytes whatever the threads, and however often it was killed.

    What is measured so far stands in OUT.partial until then. A finished file of this plan is read and left alone;
    `CalibrationError` for one of another plan. `progress` hears how many inputs are done, once at the start too.
    """
    if out.exists():
        there = read(out)
        if wrong := other_plan(there.head, plan.head):
            raise CalibrationError(f"{out} holds another calibration: {wrong}; choose another file")
        return there
    threads = threads or cores()
    part = out.with_name(out.name + ".partial")
    rows = {index: row for row, index in enumerate(plan.indices)}
    errors = np.zeros(plan.shape, np.float32)
    notes: dict[int, Note] = {}

    def keep(records: Records) -> None:
        for record in records:
            row = rows[int(record["index"])]
            errors[row] = record["errors"]
            notes[row] = bytes(record["sha256"]).hex(), record["found"].tolist(), record["size"].tolist()
        progress(len(notes))

    with opened(part, plan) as (partial, records):
        keep(records)
        missing = [index for index, row in rows.items() if row not in notes]
        with closing(worked(data, missing, _works(plan, threads), threads)) as answers:
            for index, answer in zip(missing, answers, strict=True):
                note, _ = answer[0]
                keep(partial.append(index, note, np.concatenate([found for _, found in answer], axis=1)))
        head = _head(plan, [notes[row] for row in range(len(rows))]) | as_read(_read(plan, data))
        write_atomically(out, encode(head, errors))
        part.unlink()
    return read(out)


def _read(plan: Plan, data: Dataset) -> Counter[str]:
    """How many recordings were changed as they were read, and how; files are read again, for a kill forgets it."""
    return changes(data.load(index).made for index in plan.indices) if plan.levels is PCM16 else Counter()


def as_read(counts: Counter[str]) -> dict[str, Any]:
    """What a head says of it; nothing where nothing was changed."""
    return {"read": dict(sorted(counts.items()))} if counts else {}


def _head(plan: Plan, notes: Sequence[Note]) -> dict[str, Any]:
    """The plan's head, and what is known of each input in the end."""
    inputs, places, sizes = zip(*notes, strict=True)
    own = {"inputs": inputs} if plan.calibration.per_input else {}
    found = {"found": places} if plan.strategy == "input-global" else {}
    return plan.head | {"sizes": sizes} | own | found
