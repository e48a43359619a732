"""A summary for a terminal, and the field's tab-separated log."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from ..certificate import ABSTAIN
from ..errors import RunError
from ..runs import Entry, Recipe
from ..smoothing import smoothing_of
from .summary import Summary, attack_of, averaged


def floor_text(radius: float, digits: int = 3) -> str:
    """The radius in decimals, rounded down: never more than was certified."""
    text = f"{math.floor(radius * 10**digits) / 10**digits:.{digits}f}"
    return text if float(text) <= radius else f"{math.floor(radius * 10**digits - 1) / 10**digits:.{digits}f}"


def interval_text(low: float, high: float) -> str:
    """`0.8188:1.2214`: an interval around the identity, its ends rounded towards it."""
    return f"{0.0 - float(floor_text(-low, 4)):.12g}:{float(floor_text(high, 4)):.12g}"


def _percent(share: float) -> str:
    return f"{floor_text(100 * share, 1)}%"


def table(recipe: Recipe, summary: Summary) -> Iterable[Any]:
    """Rich renderables: the table of certified accuracy, then a line for each other number."""
    from rich.table import Table

    what = "certified accuracy" if summary.labelled else "certified share (no labels)"
    alpha, attack, smoothing = recipe["algorithm"]["alpha"], attack_of(recipe), smoothing_of(recipe["smoothing"])
    bounded = alpha > 0 and not averaged(recipe)
    words = [f"{part.name} = {part.scale:g}" for part in smoothing.parts]
    words += [] if smoothing.guarantee == "exact" else [f"{smoothing.guarantee} guarantee"]
    words += [f"{recipe['algorithm']['mode']} mode", f"{summary.inputs} inputs"]
    rows = Table(title=", ".join(words), title_justify="left")
    one = smoothing.main is not None and smoothing.main.kind != "norm" and len(summary.accuracy) > 1
    heads = ["attack" if attack else "radius", *(["values"] if one else []), what]
    for name in [*heads, f"at least ({summary.confidence:.1%} confidence)"] if bounded else heads:
        rows.add_column(name, justify="right")
    for r, share in summary.accuracy.items():
        short = f"{r:g}"
        cells = [short if float(short) == r else repr(r)] if r or not attack else [str(attack)]
        cells += [interval_text(*(smoothing.interval_of(r) or (0.0, 0.0)))] if one else []
        rows.add_row(*cells, _percent(share), *([_percent(summary.at_least[r])] if bounded else []))
    yield rows
    abstained = sum(summary.abstained.values())
    why = ", ".join(f"{count} {reason}" for reason, count in summary.abstained.most_common())
    yield f"abstained {_percent(abstained / max(summary.inputs, 1))}" + (f" ({why})" if why else "")
    if summary.failed:
        yield f"failed {summary.failed} inputs: see the ledger"
    if summary.mean_radius:
        yield f"mean certified radius (ACR) {floor_text(summary.mean_radius)}"
    calibration = recipe["smoothing"].get("calibration")
    if calibration and recipe["algorithm"]["mode"] != "predict":
        rho = 1 - calibration["confidence"]
        each = f"each certificate wrong with probability {alpha + rho:.6g} at most"
        each = f"nothing for any one input; confidence {1 - alpha - rho:.6g}" if averaged(recipe) else each
        yield f"claim: {calibration['claim']}; {each}"
    yield f"per input {summary.samples:,.0f} samples, {summary.seconds:.2f} s"


def evaluation(summary: Summary, unit: str) -> Any:
    """The table of Fischer, Baader, Vechev 2020: a rich table of counts and shares."""
    from rich.table import Table

    base = summary.base
    if base is None:
        raise RunError("--evaluation: the ledger has no answers of the base classifier; run again with this version")
    heads = {
        "abstained": base.abstained, "verified": base.verified, "accurately verified": base.accurately,
        **({"correctly verified": base.correctly} if summary.labelled else {}),
    }  # fmt: skip
    rows = Table(title=f"{summary.inputs} inputs", title_justify="left")
    for name in [*heads, f"certified {unit or 'radius'}", "s an input"]:
        rows.add_column(name, justify="right")
    cells = [f"{count} ({_percent(count / max(summary.inputs, 1))})" for count in heads.values()]
    certified = f"{floor_text(base.mean)} ± {base.deviation:.3f}" if base.mean else "the attack"
    rows.add_row(*cells, certified, f"{summary.seconds:.2f}")
    return rows


def tsv(entries: Sequence[Entry]) -> Iterable[str]:
    """The field's log: idx, label, predict, radius, correct, time (seconds); a label that is not known is empty."""
    yield "idx\tlabel\tpredict\tradius\tcorrect\ttime"
    for entry in sorted(entries, key=lambda e: int(e["index"])):
        certificate = entry.get("certificate", {"prediction": ABSTAIN, "radius": 0.0})
        label = "" if entry["label"] is None else entry["label"]
        correct = "" if entry["label"] is None else int(certificate["prediction"] == entry["label"])
        radius = floor_text(certificate["radius"], 6)
        yield f"{entry['index']}\t{label}\t{certificate['prediction']}\t{radius}\t{correct}\t{entry['seconds']:.3f}"
