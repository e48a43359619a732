"""Files of `smoothcert calibrate surrogate`: the constants of the paper's bound, a JSON text with its own checksum."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from .errors import CalibrationError, require
from .files.documents import json_value, typed, understood
from .files.limits import HEAD_BYTES
from .files.reading import read_regular
from .files.schema import Measurement
from .smoothing import Range, Smoothing
from .smoothing.published import Published
from .smoothing.surrogate import Surrogate

FORMAT, VERSION = "smoothcert surrogate calibration", 1
_UNSIGNED = "0" * 64


def encode(surrogate: str, r: Range, points: int, lipschitz: float, rows: Mapping[str, tuple[float, float]]) -> bytes:
    """The file's bytes. `rows`: by the input's SHA-256, its largest slope and error; see `Published`."""
    table = {
        "format": FORMAT,
        "version": VERSION,
        "sha256": _UNSIGNED,
        "surrogate": surrogate,
        "range": {"low": r.low, "high": r.high, "points": points},
        "lipschitz": lipschitz,
        "inputs": {sha256: list(row) for sha256, row in sorted(rows.items())},
    }
    text = json.dumps(table, indent=1) + "\n"
    return text.replace(_UNSIGNED, hashlib.sha256(text.encode()).hexdigest(), 1).encode()


def with_published(smoothing: Smoothing, path: Path) -> Smoothing:
    """The smoothing of a recipe with the slopes of its calibration; `CalibrationError` for another file."""
    if not isinstance(smoothing, Surrogate) or smoothing.published is None:
        return smoothing
    found = read_published(path)
    if found != smoothing.published:
        expected, got = smoothing.published.sha256, found.sha256
        raise CalibrationError(f"calibration: expected SHA-256 {expected}, got {got} for {path}")
    return replace(smoothing, published=found)


def read_published(path: str | os.PathLike[str]) -> Published:
    """What `OpenBundle.smoothing` needs of such a file; `CalibrationError` for a damaged one, or any other."""
    expected, advice = "a surrogate's calibration", "make one with smoothcert calibrate surrogate"
    content = read_regular(path, expected, CalibrationError, HEAD_BYTES)
    with understood(str(path), expected, CalibrationError, advice):
        table = typed(json_value(content), Measurement)
        known = table["format"], table["version"]
        require(known == (FORMAT, VERSION), f"format {FORMAT} {VERSION}, not {known}")
        unsigned = content.replace(table["sha256"].encode(), _UNSIGNED.encode(), 1)
        signed = hashlib.sha256(unsigned).hexdigest() == table["sha256"]
        require(signed, "another checksum than its own: truncated or edited")
        rows = table["inputs"]
        require(bool(rows), "no input")
        return Published(
            sha256=table["sha256"],
            surrogate=table["surrogate"],
            range=Range(table["range"]["low"], table["range"]["high"]),
            lipschitz=table["lipschitz"],
            error=max(error for _, error in rows.values()),
            slopes={sha256: slope for sha256, (slope, _) in rows.items()},
        )
