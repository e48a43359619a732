"""A calibration file for people: what was measured, what may be claimed, the tables of the error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.bounds.confidence import lower_confidence_bound
from smoothcert.bounds.error_rule import least_sigma
from smoothcert.calibration_file import CalibrationFile
from smoothcert.inputs.recordings import changed_text
from smoothcert.report import floor_text
from smoothcert.smoothing import Attack, Calibrated, Calibration, Noise, Range, described

if TYPE_CHECKING:
    from rich.table import Table

SHARES = (0.25, 0.5, 1.0)  # of the range that was measured
VOTES, ALPHA = 100_000, 0.001  # what certify takes unless it is told otherwise
# Fixed ahead of the data: a threshold chosen to suit them would not have its probability.
THRESHOLDS = (0.25, 0.5, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)


def up(value: float, digits: int) -> str:
    """Rounded up to so many digits after the point."""
    text = f"{math.ceil(value * 10**digits) / 10**digits:.{digits}f}"
    return text if float(text) >= value else f"{math.ceil(value * 10**digits + 1) / 10**digits:.{digits}f}"


def below(worst: NDArray[np.float32], threshold: float, confidence: float) -> tuple[int, float]:
    """How many inputs have their largest error below the threshold, and the probability that an input has, at least.

    Clopper and Pearson's bound, for this one threshold, chosen ahead of the data.
    """
    count = int(np.count_nonzero(worst < threshold))
    return count, lower_confidence_bound(count, len(worst), 1 - confidence)


def lines(file: CalibrationFile) -> list[str]:
    """Claim, pipeline and sample, a line each."""
    head = file.head
    inputs, draws, attacks = file.errors.shape
    selection = head["selection"]
    shard = "" if selection["shard"] == "1/1" else f", shard {selection['shard']}"
    each = f"{draws} {'draw' if draws == 1 else 'draws'} of the smoothing for each"
    each += f", {attacks} attacks" if "attacks" in head else ", one attack"
    if head["strategy"] == "input-global":
        each = f"about {head['evaluations']} evaluations of a search for each"
    taken = f"{inputs} of {head['data']['inputs']} inputs{shard}"
    as_read = changed_text(head.get("read", {}), inputs)
    moments = f"mean {file.errors.mean():.4f}, standard deviation {file.errors.std():.4f}"
    return [
        f"{head['strategy']}: {file.calibration.claim}",
        f"pipeline: {pipeline_text(head['pipeline'])}",
        f"data: {head['data']['name']}, {taken}; {each}; seed {head['seed']}",
        f"errors: l2 in [0,1] intensities, {moments}, largest {up(float(file.errors.max()), 4)}",
        *([f"note: {as_read}"] if as_read else []),
    ]


def pipeline_text(pipeline: Mapping[str, Any]) -> str:
    """The parts, then the preprocessing: `rotation 5 degrees bilinear black; resize 256, crop 224; 3 colours`."""
    parts = []
    for part in pipeline["parts"]:
        said = {k: v for k, v in part.items() if k not in ("part", "scale", "law", "unit")}
        options = [f"plugin {v:.8}" if k == "plugin" else str(v) for k, v in said.items()]
        unit = {"degrees": "degrees", "l2 norm, pixels": "pixels"}.get(part["unit"], "")
        parts.append(" ".join(word for word in (part["part"], f"{part['scale']:g}", unit, *options) if word))
    steps = ", ".join(f"{k} {v}" for k, v in pipeline["spatial"].items()) or "no preprocessing"
    made = f"{pipeline['colours']} colours; OpenCV {pipeline['opencv']}"
    if "libraries" in pipeline:
        rate = f"{pipeline['rate']} Hz" if "rate" in pipeline else "sample rate not known"
        made = "; ".join([rate, ", ".join(map(" ".join, pipeline["libraries"].items()))])
    return f"{' then '.join(parts)}; {steps}; {made}"


def tables(file: CalibrationFile, thresholds: Sequence[float] = ()) -> list[Table]:
    """The tables of the file: of dataset strategies thresholds and bounds, of others the bounds over inputs."""
    if file.calibration.per_input:
        return [_over_inputs(file), noise_table(file.calibration)]
    return [_below(file, thresholds or THRESHOLDS), _bounds(file), noise_table(file.calibration)]


def _below(file: CalibrationFile, thresholds: Sequence[float]) -> Table:
    confidence = file.head["confidence"]
    title = f"P(E < t), each alone with confidence {confidence:g}"
    table = table_of(title, "t", "inputs with all |e| < t", "P at least")
    for threshold in thresholds:
        count, probability = below(file.worst, threshold, confidence)
        table.add_row(f"{threshold:g}", f"{count} of {len(file.worst)}", floor_text(probability, 4))
    return table


def _bounds(file: CalibrationFile) -> Table:
    confidence = file.head["confidence"]
    title = f"what certificates may use, all at once with confidence {confidence:g}"
    table = table_of(title, "E", "P(|e| > E) at most")
    for bound, e in file.calibration.bounds:
        table.add_row(up(bound, 4), up(e, 6))
    if not table.row_count:
        table.caption = f"nothing: {len(file.worst)} inputs are too few to bound any error"
    return table


def noise_table(calibration: Calibration) -> Table:
    """The least noise that can certify the attacks within shares of the range measured, by the default rule.

    Where each input has bounds of its own: for the input that needs least.
    """
    parts = tuple(described(part) for part in calibration.parts)
    smoothing = Calibrated((*parts, Noise(1.0)), calibration=calibration).favourable
    each = ", for the input that needs least" if calibration.per_input else ""
    title = f"least noise that can certify, by {VOTES:,} votes that all agree, alpha {ALPHA:g}{each}"
    table = table_of(title, "attacks within", "sigma at least", "by E")
    for share in SHARES:
        both = [(part, r) for part, (_, r) in zip(parts, calibration.attack, strict=True)]
        ends = [[share * part.coordinate(end) for end in (r.low, r.high)] for part, r in both]
        values = [(p.name, Range(p.value(low), p.value(high))) for (p, _), (low, high) in zip(both, ends, strict=True)]
        moved = math.hypot(*(max(map(abs, pair)) / part.scale for (part, _), pair in zip(both, ends, strict=True)))
        found = least_sigma(moved, smoothing.calibration.bounds, ALPHA ** (1 / VOTES), smoothing.error_rule)
        table.add_row(str(Attack(tuple(values))), *(up(v, 4) for v in found) if found else ("none is enough", ""))
    return table


def _over_inputs(file: CalibrationFile) -> Table:
    """For each probability the E of the inputs; all inputs have the same probabilities."""
    found = [file.bounds_of(i) for i in range(len(file.errors))]
    searched = file.head["strategy"] == "input-global"
    confidence = file.head["confidence"]
    title = "the largest that a search found" if searched else "each input's own bounds, all of it at once"
    title += "" if searched else f" with confidence {confidence:g}"
    table = table_of(f"E of {len(found)} inputs, {title}", "P(|e| > E) at most", "least E", "median E", "largest E")
    for same in zip(*found, strict=True):
        bounds = [bound for bound, _ in same]
        table.add_row(up(same[0][1], 6), *(up(float(f(bounds)), 4) for f in (min, np.median, max)))
    if not table.row_count:
        table.caption = f"nothing: {file.errors.shape[1]} draws are too few to bound any error"
    return table


def table_of(title: str, *heads: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", caption_justify="left")
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    return table
