"""Check a run by its evidence: hashes, addresses, vote totals, and every certificate decided again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .algorithms import Algorithm, Predict, Slices
from .calibration_file import read_calibration
from .datasets import Dataset, open_dataset
from .errors import CalibrationError, DataError, ModelError
from .evidence import Evidence
from .job import algorithm_of
from .model_file import open_model, read_proto
from .preprocess import Preprocess, Shape, raw_image, seen
from .runs import Entry, Recipe, RunFolder, chosen, run_key
from .smoothing import Calibrated, Smoothing, smoothing_of
from .smoothing.calibration import ErrorBounds
from .spatial import Spatial


@dataclass(frozen=True)
class Verdict:
    """`wrong`: what does not hold, a line each. `unchecked`: what could not be looked at, and why."""

    entries: int
    wrong: tuple[str, ...]
    unchecked: tuple[str, ...]


def verify(
    folder: RunFolder, model: Path | None = None, data: Path | None = None, calibration: Path | None = None
) -> Verdict:
    """Check the whole run; `model`, `data`, `calibration` where they are no longer where the recipe says."""
    recipe, entries = folder.recipe(), folder.entries()
    wrong: list[str] = []
    unchecked: list[str] = []
    shape = _check_model(recipe, model or Path(recipe["model"]["path"]), wrong, unchecked)
    inputs = _check_data(recipe, data or Path(recipe["data"]["path"]), wrong, unchecked)
    algorithm, smoothing, key = algorithm_of(recipe), smoothing_of(recipe["smoothing"]), run_key(recipe)
    errors = _check_calibration(recipe, smoothing, calibration, wrong, unchecked)
    preprocess = Preprocess.of(recipe["model"]["preprocess"])
    if isinstance(smoothing, Calibrated) and smoothing.calibration.spatial != preprocess.spatial:
        wrong.append("calibration: made for another preprocessing than the model's")
    for name, known in (("smoothing", smoothing.recipe), ("algorithm", algorithm.recipe)):
        if recipe[name] != known:
            wrong.append(f"recipe: expected [{name}] to say {known}, got {recipe[name]}")
    expected = chosen(recipe)
    seen: set[int] = set()
    for entry in entries:
        problems = _problems(entry, algorithm, smoothing, key)
        if entry["index"] in seen or entry["index"] not in expected:
            problems.append("not an input of this run, or in the ledger twice")
        elif inputs is not None and not problems:
            problems += _input_problems(entry, inputs, smoothing, preprocess.spatial)
            if isinstance(algorithm, Slices) and "evidence" in entry and not problems:
                problems += _slice_problems(entry, inputs, smoothing, algorithm, preprocess, shape)
        bounded = errors and not isinstance(algorithm, Predict)
        if bounded and "evidence" in entry and not problems and errors.get(entry.get("input", "")) != _errors(entry):
            problems.append("the bounds on the error are not the calibration's for this input")
        seen.add(entry["index"])
        wrong += [f"input {entry['index']}: {problem}" for problem in problems]
    if missing := len(expected) - len(seen & set(expected)):
        unchecked.append(f"the run is not finished: {missing} of {len(expected)} inputs are not in the ledger")
    return Verdict(len(entries), tuple(wrong), tuple(unchecked))


def _check_model(recipe: Recipe, path: Path, wrong: list[str], unchecked: list[str]) -> Shape | None:
    """The model's input shape, where it can be read."""
    if not path.exists():
        unchecked.append(f"model: {path} is not there; pass --model")
        return None
    try:
        _, got, _ = read_proto(path, str(path))
    except ModelError as error:
        wrong.append(f"model: {error}")
        return None
    if got != recipe["model"]["sha256"]:
        wrong.append(f"model: expected SHA-256 {recipe['model']['sha256']}, got {got} for {path}")
    try:
        return open_model(path, recipe["model"]["output"]).shape
    except ModelError:  # refused by this version, or hashed otherwise
        return None


def _check_calibration(
    recipe: Recipe, smoothing: Smoothing, path: Path | None, wrong: list[str], unchecked: list[str]
) -> Mapping[str, ErrorBounds]:
    """The bounds of each input, where each has its own."""
    written = recipe["smoothing"].get("calibration")
    if written is None:
        return {}
    path = path or Path(recipe.get("calibration", {}).get("path", "calibration file"))
    if not path.exists():
        unchecked.append(f"calibration: {path} is not there; pass --calibration")
        return {}
    try:
        found = read_calibration(path)
        found.require_parts(smoothing.parts[:-1])
    except CalibrationError as error:
        wrong.append(f"calibration: {error}")
        return {}
    if any(written.get(name, value) != value for name, value in found.recipe.items()):
        wrong.append(f"calibration: {path} is not the file that the recipe describes")
    return found.inputs


def _errors(entry: Entry) -> ErrorBounds:
    return Evidence.from_json(entry["evidence"]).errors


def _check_data(recipe: Recipe, path: Path, wrong: list[str], unchecked: list[str]) -> Dataset | None:
    if not path.exists():
        unchecked.append(f"data: {path} is not there; pass --data")
        return None
    try:
        data = open_dataset(path, recipe["data"].get("channels"))
    except DataError as error:
        wrong.append(f"data: {error}")
        return None
    if data.sha256 != recipe["data"]["sha256"]:
        wrong.append(f"data: expected SHA-256 {recipe['data']['sha256']}, got {data.sha256} for {path}")
        return None
    return data


def _problems(entry: Entry, algorithm: Algorithm, smoothing: Smoothing, key: int) -> list[str]:
    if "error" in entry:
        return ["holds an error and a certificate"] if entry.keys() & {"certificate", "evidence"} else []
    try:
        evidence, written = Evidence.from_json(entry["evidence"]), dict(entry["certificate"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return ["the evidence or the certificate cannot be read"]
    if min((*evidence.selection.values(), *evidence.estimation.values()), default=0) < 0:
        return ["negative votes"]
    if (evidence.key, evidence.index) != (key, entry["index"]):
        return ["the votes were not drawn under this run's key"]
    smoothing = smoothing.of_evidence(evidence)
    try:
        possible = algorithm.consistent(evidence, smoothing)
    except ValueError as error:
        return [f"the evidence is none that the algorithm leaves: {error}"]
    if not possible:
        return ["the votes are not as many as the algorithm draws"]
    decided = algorithm.decide(evidence, smoothing).to_json()
    return [
        f"{name} is {written.get(name)} in the ledger, {decided.get(name)} by the evidence"
        for name in decided | written
        if written.get(name) != decided.get(name)
    ]


def _input_problems(entry: Entry, data: Dataset, smoothing: Smoothing, spatial: Spatial) -> list[str]:
    if (label := data.label(entry["index"])) != entry["label"]:
        return [f"label is {entry['label']} there, {label} in the data"]
    if "input" not in entry:
        return [] if "error" in entry else ["the input's hash is missing"]
    try:
        example = data.load(entry["index"])
    except DataError as error:
        return [str(error)]
    if example.sha256 != entry["input"]:
        return [f"expected an input with SHA-256 {entry['input']}, got {example.sha256}"]
    evidence = entry.get("evidence", {})
    if "error" in entry:
        return []
    x = seen(example.x, spatial)
    drawn = {"slack": smoothing.slack(x), "attack_model": smoothing.attack_model(x)}
    if any(evidence.get(name) != value for name, value in drawn.items()):
        return [f"expected evidence with {drawn} for this input, got others"]
    return []


def _slice_problems(
    entry: Entry, data: Dataset, smoothing: Smoothing, algorithm: Slices, preprocess: Preprocess, shape: Shape | None
) -> list[str]:
    raw = raw_image(data.load(entry["index"]).x, shape, preprocess.layout, preprocess.spatial)
    cuts = [(s.low, s.high) for s in Evidence.from_json(entry["evidence"]).slices]
    try:
        covered = algorithm.covers(algorithm.image(raw), smoothing, cuts)
    except (DataError, ValueError) as error:
        return [str(error)]
    return [] if covered else ["the slices are not those of this image: it moves farther in one than sigma / 2"]
