"""A summary for a terminal, and the field's tab-separated log."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from ..certificate import ABSTAIN, floor_text
from ..errors import RunError
from ..inputs.recordings import changed_text
from ..runs.folder import Entry
from ..runs.question import Question
from ..runs.recipe import Recipe
from .answers import Answers
from .summary import Summary, averaged, failures, summarise
from .terminal import counted


def interval_text(low: float, high: float) -> str:
    """`0.8188:1.2214`: an interval around the identity, its ends rounded towards it."""
    return f"{0.0 - float(floor_text(-low, 4)):.12g}:{float(floor_text(high, 4)):.12g}"


def _percent(share: float) -> str:
    return f"{floor_text(100 * share, 1)}%"


def title(recipe: Recipe, summary: Summary) -> str:
    """`noise = 0.5, target mode, attack model integer, 100 inputs`."""
    smoothing = Question.of(recipe).smoothing
    words = [smoothing.title] if smoothing.title else []
    words += [] if smoothing.guarantee in ("exact", "none") else [f"{smoothing.guarantee} guarantee"]
    words += [f"{recipe['algorithm']['mode']} mode", summary.attack_model, counted(summary.inputs, "input")]
    return ", ".join(words)


def table(recipe: Recipe, summary: Summary) -> Iterable[Any]:
    """Rich renderables: the table of certified accuracy, then a line for each other number."""
    yield _accuracies(recipe, summary)
    abstained = sum(summary.abstained.values())
    why = ", ".join(f"{count} {reason}" for reason, count in summary.abstained.most_common())
    yield f"abstained {_percent(abstained / max(summary.inputs, 1))}" + (f" ({why})" if why else "")
    if summary.failed:
        yield f"failed {counted(summary.failed, 'input')}: see the ledger"
    yield from _answered(summary.answers)
    if summary.mean_radius:
        yield f"mean certified radius (ACR) {floor_text(summary.mean_radius)}"
    question = Question.of(recipe)
    if (measured := question.smoothing.measured) and question.algorithm.certifies:
        alpha, shared = failures(recipe)
        each = f"each certificate wrong with probability {alpha:.6g} at most"
        each = f"nothing for any one input; confidence {1 - alpha - shared:.6g}" if averaged(recipe) else each
        yield f"claim: {measured.claim}; {each}"
    if summary.read:
        yield f"note: {changed_text(summary.read, summary.inputs)}"
    yield f"per input {summary.samples:,.0f} samples, {summary.seconds:.2f} s"
    if summary.poor and "surrogate" not in recipe["smoothing"]:
        yield (
            "a poor run: smoothcert advise MODEL DATA shows what other scales would certify, and whether the model, "
            "its training or a denoiser is what is missing"
        )


def _accuracies(recipe: Recipe, summary: Summary) -> Any:
    """Accuracy at each radius, or under the attack; of predictions, which promise nothing under attack, in one row."""
    from rich.table import Table

    question = Question.of(recipe)
    smoothing, attack = question.smoothing, question.attack
    rows = Table(title=title(recipe, summary), title_justify="left")
    one = smoothing.main is not None and not smoothing.main.is_norm and len(summary.accuracy) > 1
    heads = ["attack" if attack else "radius", *(["values"] if one else [])]
    what = "certified accuracy" if summary.answers.labelled else "certified share (no labels)"
    if recipe["algorithm"]["mode"] == "predict":
        heads, what = [], "smoothed accuracy" if summary.answers.labelled else "answered (no labels)"
    bounded = recipe["algorithm"]["alpha"] > 0 and not averaged(recipe)
    for name in [*heads, what, *([f"at least ({summary.confidence:.1%} confidence)"] if bounded else [])]:
        rows.add_column(name, justify="right")
    for r, share in summary.accuracy.items():
        short = f"{r:g}"
        cells = [short if float(short) == r else repr(r)] if r or not attack else [_set(question)]
        cells += [interval_text(*(smoothing.interval(r, r) or (0.0, 0.0)))] if one else []
        shares = [_percent(share), *([_percent(summary.at_least[r])] if bounded else [])]
        rows.add_row(*cells[: len(heads)], *shares)
    return rows


def _set(question: Question) -> str:
    """The attack as a row's label, such as `time-shift -800:800 cyclic`."""
    known = question.algorithm.transforms(question.smoothing)
    return question.attack.told({name: its.manner for name, its in known.items()}) if question.attack else ""


def _answered(answers: Answers) -> Iterable[str]:
    if answers.base:
        base = f"base accuracy {_percent(answers.accuracy(answers.base))}" if answers.labelled else "base classifier"
        labels = f" ({_distinct(answers.labels)} labels)" if answers.labelled else ""
        yield f"{base}, distinct answers {_distinct(answers.base)}{labels}"
    if answers.smoothed:
        smoothed = "smoothed classifier"
        if answers.labelled:
            smoothed = f"smoothed accuracy {_percent(answers.accuracy(answers.smoothed))} (abstentions count as wrong)"
        elif answers.base:
            smoothed += f", as the base classifier {_percent(answers.agreement)}"
        yield f"{smoothed}, distinct answers {_distinct(answers.smoothed)}"


def _distinct(answers: Sequence[int | None]) -> int:
    return len(set(answers) - {None})


def evaluation(recipe: Recipe, entries: Sequence[Entry], unit: str) -> Any:
    """The table of Fischer, Baader, Vechev 2020, section 5, a rich table of counts and shares.

    `base class` and `right class` are what is called accurately and correctly verified there; radii, in `unit`, are of
    the certified alone.
    """
    from rich.table import Table

    done, summary = [entry for entry in entries if "certificate" in entry], summarise(recipe, entries)
    if not done or not all("base" in entry for entry in done):
        raise RunError("`evaluation`: the ledger has no answers of the base classifier; run again with this version")
    held = [entry for entry in done if entry["certificate"]["prediction"] != ABSTAIN]
    radii = [entry["certificate"]["radius"] for entry in held]
    heads = {"abstained": len(done) - len(held), "certified": len(held)}
    for name, of in (("base class", "base"), ("right class", "label")):
        if of == "base" or summary.answers.labelled:
            heads[name] = sum(entry["certificate"]["prediction"] == entry[of] for entry in held)
    rows = Table(title=title(recipe, summary), title_justify="left")
    rows.caption, rows.caption_justify = f"radius: {unit}" if unit and any(radii) else None, "left"
    for name in [*heads, "mean radius", "s each"]:
        rows.add_column(name, justify="right")
    cells = [f"{count} ({_percent(count / max(summary.inputs, 1))})" for count in heads.values()]
    radius = "the attack" if Question.of(recipe).attack else "none"
    if any(radii):
        radius = f"{floor_text(statistics.fmean(radii))} ± {statistics.pstdev(radii):.3f}"
    rows.add_row(*cells, radius, f"{summary.seconds:.2f}")
    return rows


def tsv(entries: Sequence[Entry]) -> Iterable[str]:
    """The field's log, with seconds, the base classifier's own answer and the attack model; empty is not known."""
    yield "idx\tlabel\tpredict\tradius\tcorrect\ttime\tbase\tattack_model"
    for entry in sorted(entries, key=lambda e: int(e["index"])):
        certificate = entry.get("certificate", {"prediction": ABSTAIN, "radius": 0.0})
        label, base = ("" if entry.get(name) is None else entry[name] for name in ("label", "base"))
        correct = "" if entry["label"] is None else int(certificate["prediction"] == entry["label"])
        cells = [entry["index"], label, certificate["prediction"], floor_text(certificate["radius"], 6), correct]
        model = entry.get("evidence", {}).get("attack_model", "")
        yield "\t".join(map(str, [*cells, f"{entry['seconds']:.3f}", base, model]))
