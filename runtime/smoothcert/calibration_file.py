"""Calibration files: a line of JSON that says what was measured, then the sample. Format: docs/calibration.md."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from .bounds.confidence import upper_confidence_bound
from .bounds.error_rule import ErrorBounds
from .errors import CalibrationError, require
from .files.documents import json_value, typed, understood
from .files.limits import CALIBRATION_BYTES, HEAD_BYTES
from .files.reading import read_regular, require_decodable
from .files.schema import Head, Sha256
from .inputs.spatial import Spatial
from .smoothing import Attack, Calibration

FORMAT, VERSION = "smoothcert-calibration", 1
SEARCHED = 4.0  # standard deviations of the smoothing's own draw that `input-global` searches
_UNSIGNED = "0" * 64


@dataclass(frozen=True, eq=False)
class CalibrationFile:
    """A head that says what was measured, and the sample.

    errors[i, j, k] is the l2 norm, in [0,1] intensities and rounded up, of P(T_b(T_g(x))) - P(T_{b+g}(x)) for the i-th
    input x, its j-th draw b of the smoothing, its k-th attack g.
    """

    head: Mapping[str, Any]
    errors: NDArray[np.float32]  # (inputs, draws, attacks)

    def __post_init__(self) -> None:
        if not ((self.errors >= 0) & (self.errors < np.inf)).all():  # NaN is neither
            raise CalibrationError("calibration: expected errors >= 0, for they are norms, got others; calibrate again")

    @property
    def calibration(self) -> Calibration:
        """What a certificate needs."""
        head, pipeline = self.head, self.head["pipeline"]
        return Calibration(
            sha256=head["sha256"],
            strategy=head["strategy"],
            confidence=head["confidence"],
            attack=Attack.of(head["attack"]),
            spatial=Spatial.of(pipeline["spatial"]),
            colours=pipeline["colours"],
            opencv=pipeline["opencv"],
            rate=pipeline.get("rate"),
            libraries=tuple(sorted(pipeline.get("libraries", {}).items())),
            sizes=tuple((min(side), max(side)) for side in zip(*head["sizes"], strict=True)),
            bounds=() if head["strategy"].startswith("input") else self.bounds(),
            inputs={sha256: self.bounds_of(i) for i, sha256 in enumerate(head.get("inputs", ()))},
            parts=tuple(pipeline["parts"]),
        ).require_points()

    @property
    def worst(self) -> NDArray[np.float32]:
        """The largest error of each input: draws that share an input are not independent, and count as one."""
        return np.asarray(self.errors.reshape(len(self.errors), -1).max(axis=1))

    def bounds(self) -> ErrorBounds:
        """What holds on average over inputs, all of it at once with the file's confidence."""
        return error_bounds(self.worst[:, None], 1 - self.head["confidence"])

    def bounds_of(self, position: int) -> ErrorBounds:
        """What holds for the input at that position alone, for any one of the attacks."""
        if self.head["strategy"] == "input-global":
            axes = sum(2 if part["part"] == "translation" else 1 for part in self.head["pipeline"]["parts"])
            beyond = float(2 * axes * ndtr(-SEARCHED))  # probability of a draw beyond what was searched
            return ((float(self.errors[position].max()), beyond),)
        return error_bounds(self.errors[position], 1 - self.head["confidence"])


def error_bounds(sample: NDArray[np.float32], rho: float) -> ErrorBounds:
    """(E, e) for which P(error > E) <= e in every column, all of them together with probability 1 - rho.

    `sample`: independent errors (draws, columns). Candidates for E, at an equal share of rho for each and each column,
    are the values that m = 0, 1, 2, 4, ... of the n in a column exceed; e is Clopper-Pearson's bound for m of n (Wilks
    1941, tolerance limits).
    """
    n, columns = sample.shape
    ranks = [0, *(2**i for i in range(n.bit_length()) if 2**i < n / 2)]
    ordered = np.sort(sample, axis=0)
    share = rho / (len(ranks) * columns)
    found = ((float(ordered[n - 1 - m].max()), upper_confidence_bound(m, n, share)) for m in ranks)
    return tuple((bound, e) for bound, e in found if e < 0.5)


def encode(head: Mapping[str, Any], errors: NDArray[np.float32]) -> bytes:
    """The file's bytes: the same for the same head and errors, always."""
    body = gzip.compress(np.ascontiguousarray(errors, "<f4").tobytes(), mtime=0)
    line = json.dumps({**head, "shape": list(errors.shape), "sha256": _UNSIGNED})
    unsigned = f"{line}\n".encode() + body
    return unsigned.replace(_UNSIGNED.encode(), hashlib.sha256(unsigned).hexdigest().encode(), 1)


def read(path: str | os.PathLike[str]) -> CalibrationFile:
    """The file; `CalibrationError` where it is missing, truncated, edited, or another kind of file."""
    expected, advice = "a calibration file of smoothcert", "make one with smoothcert calibrate"
    line, _, body = read_regular(path, expected, CalibrationError, CALIBRATION_BYTES).partition(b"\n")
    with understood(str(path), expected, CalibrationError, advice):
        head = json_value(line[:HEAD_BYTES])
        known = (head["format"], head["version"])
        signed = typed(head["sha256"], Sha256)
    if known != (FORMAT, VERSION):
        wanted = f"expected a calibration file, format {FORMAT} {VERSION}"
        raise CalibrationError(f"{path}: {wanted}, got {known}; use the version that wrote it")
    digest = hashlib.sha256(line.replace(signed.encode(), _UNSIGNED.encode(), 1) + b"\n")
    digest.update(body)
    if digest.hexdigest() != signed:
        raise CalibrationError(f"{path}: its checksum does not fit: truncated or edited; calibrate again")
    with understood(f"{path}, its head", "what a calibration says", CalibrationError, "calibrate again"):
        typed(head, Head)
        _require_measured(head)
    return CalibrationFile(head, _errors(str(path), head, body))


def _require_measured(head: Mapping[str, Any]) -> None:
    """`ArgumentError` unless the draws and attacks that a head names are those that its shape counts."""
    attack = Attack.of(head["attack"])
    names = [part["part"] for part in head["pipeline"]["parts"]]
    require([name for name, _ in attack] == names, f"expected an attack on {', '.join(names)}, got {attack}")
    points = attack.points if attack.is_grid else ((),)
    got = [head["draws"], len(head.get("attacks", [()]))]
    require(
        got == head["shape"][1:] == [head["draws"], len(points)],
        f"expected {head['draws']} draws and {len(points)} attacks, got shape {head['shape']}",
    )
    columns, expected = zip(*head.get("attacks", ()), strict=True), zip(*points, strict=True)
    pairs = zip(columns, expected, strict=True)
    same = all(np.shape(a) == np.shape(b) and np.allclose(a, b, 1e-12, 1e-15) for a, b in pairs)
    require(same, "expected the attacks of the grid, got others")


def _errors(where: str, head: Mapping[str, Any], body: bytes) -> NDArray[np.float32]:
    """The sample, as many numbers as the head says and no more; `CalibrationError` otherwise."""
    shape = head["shape"]
    listed = [head["sizes"], *(head[name] for name in ("inputs", "found") if name in head)]
    if any(len(values) != shape[0] for values in listed):
        raise CalibrationError(f"{where}: expected sizes, inputs and places of {shape[0]} inputs; calibrate again")
    size = 4 * math.prod(shape)
    if size > CALIBRATION_BYTES:
        raise CalibrationError(f"{where}: expected at most {CALIBRATION_BYTES:,} bytes of errors, got {size:,}")
    require_decodable(where, len(body), size, CalibrationError)
    with understood(where, f"{size:,} bytes of errors, compressed by gzip", CalibrationError):
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        content = stream.decompress(body, size + 1)
    if len(content) != size or not stream.eof or stream.unused_data:
        raise CalibrationError(f"{where}: expected errors of shape {shape}, got more or fewer; calibrate again")
    return np.frombuffer(content, "<f4").reshape(shape)


def read_calibration(path: str | os.PathLike[str]) -> Calibration:
    """What `compose` needs of a calibration file; `CalibrationError` where it cannot be had."""
    file = read(path)
    with understood(str(path), "what a calibration says", CalibrationError, "calibrate again"):
        return file.calibration
