"""Check a run by its evidence: hashes, addresses, vote totals, and every certificate decided again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..bounds.error_rule import ErrorBounds
from ..calibration_file import read_calibration
from ..errors import ArgumentError, CalibrationError, DataError, ModelError, ProviderError, RunError, SmoothcertError
from ..evidence import Evidence
from ..inputs.datasets import Dataset, loaded
from ..model.file import ModelFile
from ..model.preprocess import Shape, prepared
from ..model.providers import PROVIDERS
from .decisions import attack_models, problems, recipe_problems
from .folder import RECIPE, Entry, RunFolder
from .opening import open_data, open_model_file
from .question import Question
from .recipe import Recipe
from .redraw import Redrawn, redraw


@dataclass(frozen=True)
class Verdict:
    """`wrong`: what does not hold, a line each. `unchecked`: what could not be looked at, and why.

    `attack_model`: whose attacks the certificates speak of, in words. `redrawn`: the inputs that were sampled again,
    None where that was not asked for.
    """

    entries: int
    wrong: tuple[str, ...]
    unchecked: tuple[str, ...]
    attack_model: str = ""
    redrawn: Redrawn | None = None


def verify(
    folder: RunFolder,
    model: Path | None = None,
    data: Path | None = None,
    calibration: Path | None = None,
    *,
    redraws: int | None = None,
) -> Verdict:
    """Check the whole run; `model`, `data`, `calibration` where they are no longer where the recipe says.

    `redraws`: sample so many inputs again too, see `redraw`.
    """
    recipe, entries = folder.recipe(), folder.entries()
    question = _question(folder, recipe)
    wrong: list[str] = [f"recipe: {line}" for line in _strange(recipe["model"])]
    unchecked: list[str] = []
    file = _check_model(recipe, model or Path(recipe["model"]["path"]), wrong, unchecked)
    inputs = _check_data(recipe, data or Path(recipe["data"]["path"]), wrong, unchecked)
    errors = _check_calibration(question, calibration, wrong, unchecked)
    wrong += recipe_problems(question, entries)
    for entry, found in problems(question, entries):
        if inputs is not None and not found:
            found += _input_problems(entry, inputs, question, file.shape if file else None)
        if "evidence" in entry and not found and errors and errors.get(entry.get("input", "")) != _errors(entry):
            found.append("the bounds on the error are not the calibration's for this input")
        wrong += [f"input {entry['index']}: {problem}" for problem in found]
    there, expected = {entry["index"] for entry in entries}, question.indices
    if missing := len(expected) - sum(index in expected for index in there):
        unchecked.append(f"the run is not finished: {missing} of {len(expected)} inputs are not in the ledger")
    verdict = Verdict(len(entries), tuple(wrong), tuple(unchecked), attack_models(recipe, entries))
    if redraws is None:
        return verdict
    return _with(verdict, redraw(folder, redraws, file or model, data if inputs is None else inputs))


def _question(folder: RunFolder, recipe: Recipe) -> Question:
    """What the run asks; `RunError` where this version knows no such thing."""
    try:
        question = Question.of(recipe)
        _ = question.preprocess, question.indices
    except ArgumentError as error:
        raise RunError(f"{folder.path / RECIPE}: {error}; use the version that wrote it") from None
    return question


def _with(verdict: Verdict, again: Redrawn) -> Verdict:
    """The verdict and that of redrawing; one reason is said once."""
    known = tuple(line for line in verdict.unchecked if not any(line in other for other in again.unchecked))
    wrong, unchecked = (*verdict.wrong, *again.wrong), (*known, *again.unchecked)
    return replace(verdict, wrong=wrong, unchecked=unchecked, redrawn=again)


def _about(name: str, error: Exception) -> str:
    """The error's message, which begins with the name of what it speaks of."""
    text = str(error)
    return text if text.startswith(f"{name}: ") else f"{name}: {text}"


def _check_model(recipe: Recipe, path: Path, wrong: list[str], unchecked: list[str]) -> ModelFile | None:
    """The model's file, where it is the run's and can be opened."""
    if not path.exists():
        unchecked.append(f"model: {path} is not there; pass `model`")
        return None
    said = recipe["model"]
    try:
        file = open_model_file(recipe, path)
        own = file.preprocess
    except ProviderError as error:
        unchecked.append(f"model: {error}")
        return None
    except ModelError as error:
        wrong.append(_about("model", error))
        return None
    known: dict[str, Any] = {"precision": file.precision, "adapted": list(file.adapted)}
    known |= {} if own is None else {"preprocess": own.recipe}
    for name, value in known.items():
        if (got := said.get(name, [])) != value:
            wrong.append(f"model: expected {name} {value}, that of {path}, got {got} in the recipe")
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
    question: Question, path: Path | None, wrong: list[str], unchecked: list[str]
) -> Mapping[str, ErrorBounds]:
    """The bounds of each input, where each has its own and certificates need them."""
    smoothing, recipe = question.smoothing, question.recipe
    if smoothing.measured is None:
        return {}
    if smoothing.measured.spatial != question.preprocess.spatial:
        wrong.append("calibration: made for another preprocessing than the model's")
    written = recipe["smoothing"]["calibration"]
    path = path or Path(recipe.get("calibration", {}).get("path", "calibration file"))
    if not path.exists():
        unchecked.append(f"calibration: {path} is not there; pass `calibration`")
        return {}
    try:
        found = read_calibration(path)
        found.require_parts(smoothing.parts[:-1])
    except CalibrationError as error:
        wrong.append(f"calibration: {error}")
        return {}
    if any(written.get(name, value) != value for name, value in found.recipe.items()):
        wrong.append(f"calibration: {path} is not the file that the recipe describes")
    return found.inputs if question.algorithm.certifies else {}


def _errors(entry: Entry) -> ErrorBounds:
    return Evidence.from_json(entry["evidence"]).errors


def _check_data(recipe: Recipe, path: Path, wrong: list[str], unchecked: list[str]) -> Dataset | None:
    """The data set, where it is the run's."""
    if not path.exists():
        unchecked.append(f"data: {path} is not there; pass `data`")
        return None
    try:
        data = open_data(recipe, path)
    except DataError as error:
        wrong.append(_about("data", error))
        return None
    if len(data) != recipe["data"]["inputs"]:
        wrong.append(
            f"data: expected {len(data)} inputs, those of {path}, got {recipe['data']['inputs']} in the recipe"
        )
        return None
    return data


def _input_problems(entry: Entry, data: Dataset, question: Question, shape: Shape | None) -> list[str]:
    """What of an entry is not so by its input; `shape`: of the model's input, None where it is not known."""
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
    evidence, algorithm, smoothing = Evidence.from_json(entry["evidence"]), question.algorithm, question.smoothing
    try:
        x = prepared(example.x, shape, question.preprocess)
        made = algorithm.perturbation(smoothing).samples(x)
    except (SmoothcertError, ArgumentError) as error:
        return [str(error)]
    if (evidence.slack, evidence.attack_model) != (made.slack, made.attack_model):
        drawn = {"slack": made.slack, "attack_model": made.attack_model}
        return [f"expected evidence with {drawn} for this input, got others"]
    return algorithm.problems(x, evidence, smoothing)
