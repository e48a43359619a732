"""A run opened: its model, data, smoothing and algorithm from the recipe, and the ledger's entry of any input."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..calibration_file import read_calibration
from ..certification import certify_input
from ..errors import CalibrationError, DataError, ModelError, SmoothcertError, first_line, require
from ..evidence import Evidence
from ..inputs.datasets import Dataset, loaded, open_dataset
from ..inputs.recordings import Sound
from ..model.classifier import OrtClassifier, open_model
from ..model.denoised import open_denoised
from ..model.denoiser import Denoiser
from ..model.file import ModelFile
from ..model.preprocess import Preprocess
from ..model.source import Source, read_source
from ..published_file import with_published
from ..surrogate_file import with_codes
from .folder import Entry
from .question import Question
from .recipe import Recipe


@dataclass(frozen=True, eq=False)
class OpenRun:
    """A run whose model and data are open, with the hashes that its recipe says. See `open_run` and `new_run`."""

    question: Question
    classifier: OrtClassifier
    data: Dataset

    def entry(self, index: int) -> Entry:
        """The ledger's entry of that input, 0 to len(data) - 1: its certificate, or the error that it ended in.

        It follows from the recipe: with the run's provider and versions it is the same on any machine, but for
        `seconds`. `CalibrationError` where each input has error bounds of its own and their file was not found.
        """
        require(0 <= index < len(self.data), f"index: expected 0 to {len(self.data) - 1}, got {index}")
        if self.question.algorithm.certifies:
            self.question.smoothing.require_ready()
        start, asked = time.perf_counter(), self.question
        entry: Entry = {"index": index, "name": self.data.name(index), "label": self.data.label(index)}
        try:
            example = loaded(self.data, index)
            entry["input"] = example.sha256
            entry |= {"read": example.made} if example.made else {}
            x = self.classifier.prepare(example.x)
            found = certify_input(asked.algorithm, self.classifier, asked.smoothing, x, key=asked.key, index=index)
            entry |= {"base": self.classifier.answer(x), "certificate": found.to_json()}
            entry["evidence"] = found.evidence.to_json()
        except SmoothcertError as error:
            entry["error"] = str(error)
        except MemoryError as error:
            entry["error"] = f"{entry['name']}: not enough memory ({first_line(error)}); take a smaller --batch-size"
        entry["seconds"] = round(time.perf_counter() - start, 4)
        return entry

    def of_evidence(self, evidence: Evidence) -> OpenRun:
        """The run with the error bounds that held when the evidence was drawn; itself where all inputs share them."""
        smoothing = self.question.smoothing.of_evidence(evidence)
        return replace(self, question=replace(self.question, smoothing=smoothing))


def open_run(
    recipe: Recipe,
    *,
    model: Path | ModelFile | None = None,
    data: Path | Dataset | None = None,
    calibration: Path | None = None,
    surrogate: Path | None = None,
    denoiser: Path | None = None,
    provider: str = "",
    threads: int | None = None,
) -> OpenRun:
    """The run of a recipe, rebuilt on this machine.

    `model`, `data`, `calibration`, `surrogate`, `denoiser`: where they are no longer where the recipe says, or where
    the first two are open already. `provider`: the recipe's by default. `threads`: all cores by default. Raises
    `ModelError`, `DataError` or `CalibrationError` where one of them is not there, cannot be read or has another hash,
    `ProviderError` where the provider does not start, `RunError` or `ArgumentError` for a recipe that no run has.
    """
    question, written = Question.of(recipe), recipe["model"]
    if not isinstance(model, ModelFile):
        model = open_model_file(recipe, _there("model", model or Path(written["path"]), ModelError), denoiser)
    size = written.get("batch_size")
    classifier = OrtClassifier(
        model,
        providers=provider or written["provider"],
        threads=threads,
        batch_size=size if isinstance(size, int) else None,
        preprocess=question.preprocess,
        tf32=written["tf32"],
    )
    if data is None or isinstance(data, Path):
        data = open_data(recipe, _there("data", data or Path(recipe["data"]["path"]), DataError))
    return OpenRun(_with_codes(_with_bounds(question, calibration), surrogate, calibration), classifier, data)


def _there(name: str, path: Path, error: type[SmoothcertError]) -> Path:
    if not path.exists():
        raise error(f"{name}: {path} is not there; pass `{name}`")
    return path


def open_model_file(recipe: Recipe, path: Path, denoiser: Path | None = None) -> ModelFile:
    """The file of the run's model, adapted as the run adapted it, behind its denoiser. `ModelError` for other files.

    `denoiser`: where that is, if not where the recipe says.
    """
    written, source = recipe["model"], read_source(path)
    if source.sha256 != written["sha256"]:
        raise ModelError(f"model: expected SHA-256 {written['sha256']}, got {source.sha256} for {path}")
    opened = _behind(recipe, denoiser) if "denoiser" in written else open_model
    file = opened(source, written["output"])
    if list(file.adapted) != written.get("adapted", []):
        with suppress(ModelError):  # the run found the output by a trial: naming it adapts the file otherwise
            found = opened(source, None)
            return found if found.output == written["output"] else file
    return file


def _behind(recipe: Recipe, path: Path | None) -> Callable[[Source, str | None], ModelFile]:
    """How a model is opened behind the run's denoiser; `ModelError` for another one."""
    written = recipe["model"]["denoiser"]
    path = _there("denoiser", path or Path(recipe.get("denoiser", {}).get("path", "denoiser")), ModelError)
    ahead = read_source(path)
    if ahead.sha256 != written["sha256"]:
        raise ModelError(f"denoiser: expected SHA-256 {written['sha256']}, got {ahead.sha256} for {path}")
    spatial = Preprocess.of(recipe["model"]["preprocess"]).spatial
    preprocess = replace(Preprocess.of(written["preprocess"]), spatial=spatial)
    how = Denoiser.of_recipe(written)
    return lambda source, output: open_denoised(source, ahead, how, output=output, preprocess=preprocess)


def open_data(recipe: Recipe, path: Path) -> Dataset:
    """The run's data set. `DataError` for another one."""
    written = recipe["data"]
    data = open_dataset(path, written.get("channels"), Sound(written.get("rate"), written.get("samples")))
    if data.sha256 != recipe["data"]["sha256"]:
        raise DataError(f"data: expected SHA-256 {recipe['data']['sha256']}, got {data.sha256} for {path}")
    return data


def _with_codes(question: Question, given: Path | None, calibration: Path | None) -> Question:
    """The question with its surrogate open, where it has one, and with its calibration, where that is found."""
    recipe = question.recipe
    if "surrogate" not in recipe["smoothing"]:
        return question
    path = _there("surrogate", given or Path(recipe.get("surrogate", {}).get("path", "")), ModelError)
    smoothing, known = with_codes(question.smoothing, path), Path(recipe.get("calibration", {}).get("path", ""))
    if calibration is not None or known.is_file():
        smoothing = with_published(smoothing, calibration or known)
    return replace(question, smoothing=smoothing)


def _with_bounds(question: Question, given: Path | None) -> Question:
    """The question with each input's error bounds, where their file is found: only new entries need them."""
    smoothing, measured = question.smoothing, question.smoothing.measured
    if measured is None or not measured.per_input:
        return question
    path = given or Path(question.recipe.get("calibration", {}).get("path", ""))
    try:
        found = read_calibration(path)
        if found.sha256 != measured.sha256:
            raise CalibrationError(f"calibration: expected SHA-256 {measured.sha256}, got {found.sha256} for {path}")
    except CalibrationError:
        if given is not None:
            raise
        return question
    return replace(question, smoothing=smoothing.with_measured(replace(measured, inputs=found.inputs)))
