"""What is measured so far: a head line, then one record for each input, appended as they come."""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.calibration_file import FORMAT
from smoothcert.errors import CalibrationError, require
from smoothcert.files.documents import json_value, typed, understood
from smoothcert.files.writing import named, open_own, write_whole

from .attacks import axes
from .plan import Plan, other_plan

Records = NDArray[np.void]


def record_type(plan: Plan) -> np.dtype[Any]:
    """One input: index, SHA-256 and `found` (zero where the plan has none), size, errors (draws, attacks), a CRC-32."""
    found = 2 * sum(map(axes, plan.parts)) if plan.strategy == "input-global" else 0
    fields = [("index", "<u4"), ("sha256", "u1", 32), ("found", "<f8", found), ("size", "<u4", 2)]
    return np.dtype([*fields, ("errors", "<f4", plan.shape[1:]), ("crc", "<u4")])


def _crc(record: NDArray[Any]) -> int:
    return zlib.crc32(record.tobytes()[:-4])


@dataclass(frozen=True)
class Partial:
    """Records of one plan on disk, held by this process alone."""

    descriptor: int
    path: Path
    plan: Plan

    def append(self, index: int, note: tuple[str, list[float], list[int]], errors: NDArray[np.float32]) -> Records:
        """Add the record, which a killed process leaves behind whole or torn; `OSError` where the disk is full."""
        record = np.zeros(1, record_type(self.plan))
        record["index"], record["errors"] = index, errors
        sha256, record["found"], record["size"] = note
        record["sha256"] = np.frombuffer(bytes.fromhex(sha256).ljust(32, b"\0"), np.uint8)
        record["crc"] = _crc(record)
        with named(self.path):
            write_whole(self.descriptor, record.tobytes())
        return record


@contextmanager
def opened(path: Path, plan: Plan) -> Iterator[tuple[Partial, Records]]:
    """The file and the records that it holds already. `CalibrationError` for another plan's, or one in use.

    A torn or damaged record is dropped, with all behind it: those inputs are measured again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = open_own(path, "the beginning of a calibration", CalibrationError)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CalibrationError(f"{path} is in use by another process; wait, or choose another file") from None
        line, end, body = path.read_bytes().partition(b"\n")
        if end:
            _require_same(path, line, plan, bool(body))
        records = _whole(body, plan)
        if not len(records):
            line = json.dumps(plan.head).encode()
            os.ftruncate(descriptor, 0)
            with named(path):
                write_whole(descriptor, line + b"\n")
        os.ftruncate(descriptor, len(line) + 1 + records.nbytes)
        yield Partial(descriptor, path, plan), records
    finally:
        os.close(descriptor)


def _require_same(path: Path, line: bytes, plan: Plan, begun: bool) -> None:
    """`CalibrationError` unless the head is this plan's, or another plan's that has measured nothing."""
    with understood(str(path), "the beginning of a calibration", CalibrationError, "move the file"):
        head = typed(json_value(line), dict[str, Any])
        require(head.get("format") == FORMAT, "another file")
    if begun and (wrong := other_plan(head, plan.head)):
        raise CalibrationError(f"{path} holds another calibration: {wrong}; finish it, or delete the file")


def _whole(body: bytes, plan: Plan) -> Records:
    """The records up to the first that is torn or damaged."""
    kind = record_type(plan)
    records = np.frombuffer(body, kind, len(body) // kind.itemsize)
    known = set(plan.indices)
    for place in range(len(records)):
        record = records[place : place + 1]
        if _crc(record) != record["crc"][0] or int(record["index"][0]) not in known:
            return records[:place]
    return records
