"""Some inputs of a run sampled again: the model must give the very votes that the ledger holds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ..algorithms import Algorithm
from ..certification import sampler_of
from ..errors import DataError, ModelError, ProviderError, SmoothcertError, require
from ..evidence import Evidence
from ..inputs.datasets import Dataset, loaded
from ..model import providers
from ..model.classifier import OrtClassifier
from ..smoothing import smoothing_of
from .folder import Entry, Recipe, RunFolder, run_key
from .job import algorithm_of
from .opening import classifier_of, data_of
from .verify import Verdict


def redraw(folder: RunFolder, count: int, model: Path | None = None, data: Path | None = None) -> Verdict:
    """Sample `count` inputs again, evenly over all of the ledger: what is wrong with votes, base classes and errors.

    Draws depend on the recipe alone, so all of an input's evidence must come again, exactly: on the provider and with
    the versions of ONNX Runtime and OpenCV that the run had. With others the votes are not compared. `model` and
    `data`: where they have moved.
    """
    require(count > 0, f"redraw: expected at least 1 input, got {count}")
    recipe = folder.recipe()
    entries = folder.entries()
    if reason := _another_machine(recipe):
        return Verdict(0, (), (f"votes were not drawn again: {reason}",))
    try:
        classifier, opened = classifier_of(recipe, model), data_of(recipe, data)
    except (ModelError, DataError, ProviderError) as error:
        return Verdict(0, (), (f"votes were not drawn again: {error}",))
    places = np.unique(np.linspace(0, len(entries) - 1, min(count, len(entries))).round().astype(int))
    algorithm = algorithm_of(recipe)
    wrong = [_problem(recipe, entries[place], algorithm, classifier, opened) for place in places]
    return Verdict(len(places), tuple(problem for problem in wrong if problem), ())


def _another_machine(recipe: Recipe) -> str:
    """Why this machine need not give the run's votes; empty where it must."""
    written = recipe["model"]
    here = {"runtime": providers.installed(), "opencv": cv2.__version__}
    other = [f"{written[name]}, here {now}" for name, now in here.items() if written.get(name, now) != now]
    return f"the run had {'; '.join(other)}" if other else ""


def _problem(recipe: Recipe, entry: Entry, algorithm: Algorithm, classifier: OrtClassifier, data: Dataset) -> str:
    index = entry["index"]
    if "error" in entry:
        return _error_problem(recipe, entry, algorithm, classifier, data)
    try:
        written = Evidence.from_json(entry["evidence"])
        smoothing = smoothing_of(recipe["smoothing"]).of_evidence(written)
        example = loaded(data, index)
        x = classifier.prepare(example.x)
        sampler = sampler_of(algorithm, classifier, smoothing, x, key=run_key(recipe), index=index)
        drawn, base = algorithm.draw(sampler, smoothing), classifier.answer(x)
    except (ModelError, DataError) as error:
        return f"input {index}: its votes cannot be drawn again: {error}"
    if base != entry.get("base", base):
        return f"input {index}: the base classifier's class is {entry['base']} in the ledger, {base} asked again"
    if drawn.to_json() == written.to_json():
        return ""
    counts = [dict(sorted(votes.items())) for votes in (written.estimation, drawn.estimation)]
    if counts[0] == counts[1]:
        return f"input {index}: the votes come again, but not the rest of the evidence"
    return f"input {index}: the votes are {counts[0]} in the ledger, {counts[1]} drawn again"


def _error_problem(recipe: Recipe, entry: Entry, algorithm: Algorithm, classifier: OrtClassifier, data: Dataset) -> str:
    """That an input which failed does not fail any more: it may have been left out for its answer."""
    try:
        example = loaded(data, entry["index"])
        smoothing = smoothing_of(recipe["smoothing"])
        if smoothing.per_input:
            return ""  # the input may have no bounds, which stand in the calibration file alone
        x = classifier.prepare(example.x)
        sampler = sampler_of(algorithm, classifier, smoothing, x, key=run_key(recipe), index=entry["index"])
        algorithm.draw(sampler, smoothing)
        classifier.answer(x)
    except (SmoothcertError, MemoryError):
        return ""
    return f"input {entry['index']}: the error does not come again: {entry['error']}"
