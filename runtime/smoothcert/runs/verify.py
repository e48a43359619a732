"""Check a run by its evidence: hashes, addresses, vote totals, and every certificate decided again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..algorithms import Algorithm
from ..bounds.error_rule import ErrorBounds
from ..calibration_file import read_calibration
from ..errors import ArgumentError, CalibrationError, DataError, ModelError, ProviderError, RunError, SmoothcertError
from ..evidence import Evidence
from ..inputs.datasets import Dataset, loaded, open_dataset
from ..model.file import ModelFile
from ..model.opened import open_model
from ..model.preprocess import Preprocess, Shape, prepared
from ..model.providers import PROVIDERS
from ..model.source import Source, read_source
from ..smoothing import Smoothing, smoothing_of
from .decisions import attack_models, problems, recipe_problems
from .folder import RECIPE, Entry, Recipe, RunFolder, chosen
from .job import algorithm_of


@dataclass(frozen=True)
class Verdict:
    """`wrong`: what does not hold, a line each. `unchecked`: what could not be looked at, and why.

    `attack_model`: whose attacks the certificates speak of, in words.
    """

    entries: int
    wrong: tuple[str, ...]
    unchecked: tuple[str, ...]
    attack_model: str = ""


def verify(
    folder: RunFolder, model: Path | None = None, data: Path | None = None, calibration: Path | None = None
) -> Verdict:
    """Check the whole run; `model`, `data`, `calibration` where they are no longer where the recipe says."""
    recipe, entries = folder.recipe(), folder.entries()
    try:
        algorithm, smoothing = algorithm_of(recipe), smoothing_of(recipe["smoothing"])
        preprocess, expected = Preprocess.of(recipe["model"]["preprocess"]), chosen(recipe)
    except ArgumentError as error:
        raise RunError(f"{folder.path / RECIPE}: {error}; use the version that wrote it") from None
    wrong: list[str] = [f"recipe: {line}" for line in _strange(recipe["model"])]
    unchecked: list[str] = []
    shape = _check_model(recipe, model or Path(recipe["model"]["path"]), wrong, unchecked)
    inputs = _check_data(recipe, data or Path(recipe["data"]["path"]), wrong, unchecked)
    errors = _check_calibration(recipe, smoothing, calibration, wrong, unchecked)
    if smoothing.spatial not in (None, preprocess.spatial):
        wrong.append("calibration: made for another preprocessing than the model's")
    wrong += recipe_problems(recipe, entries)
    for entry, found in problems(recipe, entries):
        if inputs is not None and not found:
            found += _input_problems(entry, inputs, smoothing, algorithm, preprocess, shape)
        bounded = errors and algorithm.certifies
        if bounded and "evidence" in entry and not found and errors.get(entry.get("input", "")) != _errors(entry):
            found.append("the bounds on the error are not the calibration's for this input")
        wrong += [f"input {entry['index']}: {problem}" for problem in found]
    seen = {entry["index"] for entry in entries}
    if missing := len(expected) - sum(index in expected for index in seen):
        unchecked.append(f"the run is not finished: {missing} of {len(expected)} inputs are not in the ledger")
    return Verdict(len(entries), tuple(wrong), tuple(unchecked), attack_models(recipe, entries))


def _check_model(recipe: Recipe, path: Path, wrong: list[str], unchecked: list[str]) -> Shape | None:
    """The model's input shape, where it can be read."""
    if not path.exists():
        unchecked.append(f"model: {path} is not there; pass --model")
        return None
    said = recipe["model"]
    try:
        source = read_source(path)
        if source.sha256 != said["sha256"]:
            wrong.append(f"model: expected SHA-256 {said['sha256']}, got {source.sha256} for {path}")
            return None
        file = _opened(source, said)
        own = file.preprocess
    except ProviderError as error:
        unchecked.append(f"model: {error}")
        return None
    except ModelError as error:
        wrong.append(f"model: {error}")
        return None
    known: dict[str, Any] = {"precision": file.precision, "adapted": list(file.adapted)}
    known |= {} if own is None else {"preprocess": own.recipe}
    for name, value in known.items():
        if (got := said.get(name, [])) != value:
            wrong.append(f"model: expected {name} {value}, that of {path}, got {got} in the recipe")
    return file.shape


def _opened(source: Source, said: Mapping[str, Any]) -> ModelFile:
    """The model as the run opened it: its output found by a trial, where naming it adapts the file otherwise."""
    file = open_model(source, said["output"])
    if list(file.adapted) != said.get("adapted", []):
        with suppress(ModelError):
            found = open_model(source)
            return found if found.output == said["output"] else file
    return file


def _strange(model: Mapping[str, Any]) -> Iterator[str]:
    """What no run writes: providers and runtimes that do not exist, or not together."""
    provider, runtime = model["provider"], re.fullmatch(r"(onnxruntime(-gpu)?) [0-9][0-9a-z.+-]*", model["runtime"])
    if provider not in PROVIDERS:
        yield f"expected a provider of {', '.join(PROVIDERS)}, got {provider!r}"
    if runtime is None:
        yield f"expected a runtime, onnxruntime or onnxruntime-gpu with its version, got {model['runtime']!r}"
    elif provider in PROVIDERS and provider != "cpu" and runtime[1] == "onnxruntime":
        yield f"expected onnxruntime-gpu, without which provider {provider} does not start, got {model['runtime']}"
    if provider == "cpu" and model["tf32"]:
        yield "expected tf32 = false, for the provider cpu has none, got true"
    if ("batch_size" in model) != (provider != "cpu"):
        yield f"expected a batch_size for providers but cpu, and for these alone; the provider is {provider}"


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
    if len(data) != recipe["data"]["inputs"]:
        wrong.append(
            f"data: expected {len(data)} inputs, those of {path}, got {recipe['data']['inputs']} in the recipe"
        )
        return None
    return data


def _input_problems(
    entry: Entry, data: Dataset, smoothing: Smoothing, algorithm: Algorithm, preprocess: Preprocess, shape: Shape | None
) -> list[str]:
    if (label := data.label(entry["index"])) != entry["label"]:
        return [f"label is {entry['label']} there, {label} in the data"]
    if "input" not in entry:
        return [] if "error" in entry else ["the input's hash is missing"]
    try:
        example = loaded(data, entry["index"])
    except DataError as error:
        return [str(error)]
    if example.sha256 != entry["input"]:
        return [f"expected an input with SHA-256 {entry['input']}, got {example.sha256}"]
    if "error" in entry:
        return []
    evidence = Evidence.from_json(entry["evidence"])
    try:
        x = prepared(example.x, shape, preprocess)
        made = algorithm.perturbation(smoothing).samples(x)
    except (SmoothcertError, ArgumentError) as error:
        return [str(error)]
    drawn = {"slack": made.slack, "attack_model": made.attack_model}
    if (evidence.slack, evidence.attack_model) != (made.slack, made.attack_model):
        return [f"expected evidence with {drawn} for this input, got others"]
    return algorithm.problems(x, evidence, smoothing)
