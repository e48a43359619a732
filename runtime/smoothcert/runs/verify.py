"""Check a run by its evidence: hashes, addresses, vote totals, and every certificate decided again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..bounds.error_rule import ErrorBounds
from ..calibration_file import read_calibration
from ..errors import ArgumentError, DataError, ProviderError, RunError, SmoothcertError
from ..evidence import Evidence
from ..inputs.datasets import Dataset, loaded
from ..model.arrangement import Shape
from ..model.file import ModelFile
from ..model.preprocess import prepared
from ..model.providers import PROVIDERS
from ..published_file import with_published
from ..smoothing.calibration import Calibration
from ..surrogate_file import with_codes
from .decisions import attack_models, problems, recipe_problems
from .folder import RECIPE, Entry, RunFolder
from .opening import open_data, open_model_file
from .question import Question
from .recipe import Recipe
from .redraw import Redrawn, redraw

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Verdict:
    """What checking a run has found."""

    entries: int
    wrong: tuple[str, ...]  # what does not hold, a line each
    unchecked: tuple[str, ...]  # what could not be looked at, and why
    attack_model: str = ""  # whose attacks the certificates speak of
    redrawn: Redrawn | None = None  # what was sampled again; None: nothing was asked


def verify(
    folder: RunFolder,
    model: Path | None = None,
    data: Path | None = None,
    calibration: Path | None = None,
    surrogate: Path | None = None,
    denoiser: Path | None = None,
    *,
    redraws: int | None = None,
) -> Verdict:
    """Check the whole run; `model`, `data`, `calibration`, `surrogate`, `denoiser`: where they have moved.

    `redraws`: for `redraw`, or none.
    """
    recipe, entries = folder.recipe(), folder.entries()
    question = _question(folder, recipe)
    looked = _Looked([f"recipe: {line}" for line in _strange(recipe["model"])], [])
    wrong, unchecked = looked.wrong, looked.unchecked
    file = _model(recipe, model or Path(recipe["model"]["path"]), denoiser, looked)
    inputs = _data(recipe, data or Path(recipe["data"]["path"]), looked)
    errors = _errors(question, calibration, looked)
    question, opened = _opened(question, surrogate, calibration, looked)
    wrong += recipe_problems(question, entries)
    for entry, found in problems(question, entries):
        if inputs is not None and opened and not found:
            found += _input_problems(entry, inputs, question, file.shape if file else None)
        own = errors.get(entry.get("input", ""))
        if errors and not found and "evidence" in entry and Evidence.from_json(entry["evidence"]).errors != own:
            found.append("the bounds on the error are not the calibration's for this input")
        wrong += [f"input {entry['index']}: {problem}" for problem in found]
    there, expected = {entry["index"] for entry in entries}, question.indices
    if missing := len(expected) - sum(index in expected for index in there):
        unchecked.append(f"the run is not finished: {missing} of {len(expected)} inputs are not in the ledger")
    again = None
    if redraws is not None:
        opened_data = data if inputs is None else inputs
        again = redraw(folder, redraws, file or model, opened_data, surrogate, calibration, denoiser)
        known = [line for line in unchecked if not any(line in other for other in again.unchecked)]
        wrong, unchecked = [*wrong, *again.wrong], [*known, *again.unchecked]
    return Verdict(len(entries), tuple(wrong), tuple(unchecked), attack_models(recipe, entries), again)


def _question(folder: RunFolder, recipe: Recipe) -> Question:
    try:
        question = Question.of(recipe)
        _ = question.preprocess, question.indices
    except ArgumentError as error:
        raise RunError(f"{folder.path / RECIPE}: {error}; use the version that wrote it") from None
    return question


@dataclass(frozen=True)
class _Looked:
    """What was found so far, see `Verdict`."""

    wrong: list[str]
    unchecked: list[str]

    def at(self, name: str, path: Path, read: Callable[[Path], _Read]) -> _Read | None:
        """What is read there; None, and why, where nothing is there or it cannot be read."""
        if not path.exists():
            self.unchecked.append(f"{name}: {path} is not there; pass `{name}`")
            return None
        try:
            return read(path)
        except ProviderError as error:
            self.unchecked.append(f"{name}: {error}")
        except SmoothcertError as error:
            self.wrong.append(f"{name}: {str(error).removeprefix(f'{name}: ')}")
        return None


def _model(recipe: Recipe, path: Path, denoiser: Path | None, looked: _Looked) -> ModelFile | None:
    def read(path: Path) -> tuple[ModelFile, dict[str, Any]]:
        file = open_model_file(recipe, path, denoiser)
        own = {} if file.preprocess is None else {"preprocess": file.preprocess.recipe}
        return file, {"precision": file.precision, "adapted": list(file.adapted), **own}

    if "denoiser" in recipe["model"]:
        ahead = denoiser or Path(recipe.get("denoiser", {}).get("path", "denoiser"))
        if looked.at("denoiser", ahead, lambda path: path) is None:
            return None
    file, known = looked.at("model", path, read) or (None, {})
    for name, value in known.items():
        if (got := recipe["model"].get(name, [])) != value:
            looked.wrong.append(f"model: expected {name} {value}, that of {path}, got {got} in the recipe")
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


def _errors(question: Question, path: Path | None, looked: _Looked) -> Mapping[str, ErrorBounds]:
    """The bounds of each input, where each has its own and certificates need them."""
    smoothing, recipe = question.smoothing, question.recipe
    if smoothing.measured is None:
        return {}
    if smoothing.measured.spatial != question.preprocess.spatial:
        looked.wrong.append("calibration: made for another preprocessing than the model's")

    def read(path: Path) -> Calibration:
        found = read_calibration(path)
        found.require_parts(smoothing.parts[:-1])
        return found

    path = path or Path(recipe.get("calibration", {}).get("path", "calibration file"))
    if (found := looked.at("calibration", path, read)) is None:
        return {}
    written = recipe["smoothing"]["calibration"]
    if any(written.get(name, value) != value for name, value in found.recipe.items()):
        looked.wrong.append(f"calibration: {path} is not the file that the recipe describes")
    return found.inputs if question.algorithm.certifies else {}


def _opened(
    question: Question, surrogate: Path | None, calibration: Path | None, looked: _Looked
) -> tuple[Question, bool]:
    """The question with the files of its surrogate open, and whether inputs can be held against it."""
    recipe = question.recipe
    if "surrogate" not in recipe["smoothing"]:
        return question, True
    path = surrogate or Path(recipe.get("surrogate", {}).get("path", "surrogate"))
    smoothing = looked.at("surrogate", path, partial(with_codes, question.smoothing))
    if smoothing and "published" in recipe["smoothing"]["surrogate"]:
        path = calibration or Path(recipe.get("calibration", {}).get("path", "calibration file"))
        smoothing = looked.at("calibration", path, partial(with_published, smoothing))
    return (question, False) if smoothing is None else (replace(question, smoothing=smoothing), True)


def _data(recipe: Recipe, path: Path, looked: _Looked) -> Dataset | None:
    data = looked.at("data", path, partial(open_data, recipe))
    said = recipe["data"]["inputs"]
    if data is not None and len(data) != said:
        looked.wrong.append(f"data: expected {len(data)} inputs, those of {path}, got {said} in the recipe")
        return None
    return data


def _input_problems(entry: Entry, data: Dataset, question: Question, shape: Shape | None) -> list[str]:
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
    try:
        if algorithm.certifies and (wrong := smoothing.problem(x, evidence)):
            return [wrong]
    except (SmoothcertError, ArgumentError) as error:  # attacks that no run is about
        return [str(error)]
    return algorithm.problems(x, evidence, smoothing)
