"""Put the calibrations of shards together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from smoothcert.calibration_file import CalibrationFile, encode, read
from smoothcert.errors import CalibrationError
from smoothcert.files.writing import write_atomically
from smoothcert.inputs.datasets import selection

from .measure import as_read
from .plan import other_plan, plan_part


def merge(out: Path, files: list[Path]) -> CalibrationFile:
    """The calibration of all shards, byte for byte as if measured at once.

    `CalibrationError` for shards of different plans, for one twice or missing, and where OUT is there.
    """
    if out.exists():
        raise CalibrationError(f"{out} is there already; choose another file for the merged calibration")
    shards = [read(path) for path in files]
    places = [_place(path, shard) for path, shard in zip(files, shards, strict=True)]
    for path, shard in zip(files, shards, strict=True):
        if wrong := other_plan(shards[0].head, shard.head, shards=True):
            raise CalibrationError(f"{path} is no shard of the plan of {files[0]}: {wrong}")
    count = places[0][1]
    for number in range(1, count + 1):
        found = [path for path, place in zip(files, places, strict=True) if place == (number, count)]
        if len(found) != 1:
            raise CalibrationError(
                f"merge: expected each of {count} shards once, got shard {number}/{count} {len(found)} times; "
                "name every shard's file"
            )
    if len(files) != count:
        raise CalibrationError(f"merge: expected {count} shards, got {len(files)} files cut in different ways")
    ordered = [shard for _, shard in sorted(zip(places, shards, strict=True), key=lambda pair: pair[0])]
    write_atomically(out, _together(ordered))
    return read(out)


def _place(path: Path, shard: CalibrationFile) -> tuple[int, int]:
    number, _, count = shard.head["selection"]["shard"].partition("/")
    expected = len(selection(shard.head["data"]["inputs"], **shard.head["selection"]))
    if len(shard.errors) != expected:
        raise CalibrationError(f"{path}: expected {expected} inputs in shard {number}/{count}, got {len(shard.errors)}")
    return int(number), int(count)


def _together(shards: list[CalibrationFile]) -> bytes:
    """The bytes of the whole: shard i of k holds inputs i - 1, i - 1 + k, and so on."""
    count, (_, *rest) = len(shards), shards[0].errors.shape
    errors = np.empty((sum(len(shard.errors) for shard in shards), *rest), np.float32)
    names = [name for name in ("sizes", "inputs", "found") if name in shards[0].head]
    lists: dict[str, list[Any]] = {name: [None] * len(errors) for name in names}
    for first, shard in enumerate(shards):
        errors[first::count] = shard.errors
        for name, values in lists.items():
            values[first::count] = shard.head[name]
    head = plan_part(shards[0].head)
    head["selection"] = head["selection"] | {"shard": "1/1"}
    read = Counter[str]()
    for shard in shards:
        read.update(shard.head.get("read", {}))
    return encode(head | lists | as_read(read), errors)
