"""Some inputs of a run sampled again: the model must give the very votes that the ledger holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..errors import ArgumentError, CalibrationError, DataError, ModelError, ProviderError, require
from ..evidence import Evidence
from ..inputs.datasets import Dataset
from ..model import providers
from ..model.classifier import OrtClassifier
from ..model.file import ModelFile
from .folder import Entry, RunFolder
from .opening import OpenRun, open_run
from .recipe import Recipe


@dataclass(frozen=True)
class Redrawn:
    """What sampling entries again has found."""

    entries: int = 0
    wrong: tuple[str, ...] = ()  # what differs, a line each
    unchecked: tuple[str, ...] = ()  # why nothing was drawn; empty where it was
    classifier: OrtClassifier | None = None  # None where none could be opened


def redraw(
    folder: RunFolder,
    count: int,
    model: Path | ModelFile | None = None,
    data: Path | Dataset | None = None,
    surrogate: Path | None = None,
    calibration: Path | None = None,
    denoiser: Path | None = None,
) -> Redrawn:
    """Sample `count` inputs again, evenly over all of the ledger: what is wrong with votes, base classes and errors.

    All of an input's evidence must come again, exactly, with the versions of ONNX Runtime and OpenCV that the run had;
    with others nothing is compared. `model`, `data`, `surrogate`, `calibration`, `denoiser`: where they have moved; the
    first two may be open already.
    """
    require(count > 0, f"redraw: expected at least 1 input, got {count}")
    recipe = folder.recipe()
    entries = folder.entries()
    if reason := _another_machine(recipe):
        return Redrawn(unchecked=(f"votes were not drawn again: {reason}",))
    try:
        run = open_run(recipe, model=model, data=data, surrogate=surrogate, calibration=calibration, denoiser=denoiser)
    except (ModelError, DataError, ProviderError) as error:
        return Redrawn(unchecked=(f"votes were not drawn again: {error}",))
    places = np.unique(np.linspace(0, len(entries) - 1, min(count, len(entries))).round().astype(int))
    wrong = [_problem(run, entries[place]) for place in places]
    return Redrawn(len(places), tuple(problem for problem in wrong if problem), (), run.classifier)


def _another_machine(recipe: Recipe) -> str:
    """Why this machine need not give the run's votes; empty where it must."""
    written = recipe["model"]
    here = {"runtime": providers.installed(), "opencv": cv2.__version__}
    other = [f"{written[name]}, here {now}" for name, now in here.items() if written.get(name, now) != now]
    return f"the run had {'; '.join(other)}" if other else ""


def _problem(run: OpenRun, written: Entry) -> str:
    """What differs from the entry as it comes again; empty where nothing does."""
    index, failed = written["index"], written.get("error")
    evidence = Evidence.from_json(written["evidence"]) if failed is None else None
    try:
        again = (run.of_evidence(evidence) if evidence else run).entry(index)
    except (ArgumentError, CalibrationError) as error:
        again = {"error": str(error)}
    if evidence is None:  # an input may have been left out for its answer
        return "" if "error" in again else f"input {index}: the error does not come again: {failed}"
    if "error" in again:
        return f"input {index}: its votes cannot be drawn again: {again['error']}"
    if (base := again["base"]) != written.get("base", base):
        return f"input {index}: the base classifier's class is {written['base']} in the ledger, {base} asked again"
    if again["evidence"] == evidence.to_json():
        return ""
    both = evidence.estimation, Evidence.from_json(again["evidence"]).estimation
    counts = [dict(sorted(votes.items())) for votes in both]
    if counts[0] == counts[1]:
        return f"input {index}: the votes come again, but not the rest of the evidence"
    return f"input {index}: the votes are {counts[0]} in the ledger, {counts[1]} drawn again"
