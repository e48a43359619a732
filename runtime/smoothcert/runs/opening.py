"""The model and the data of a run, found again: the same files, by their hashes."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError, ModelError
from ..inputs.datasets import Dataset, open_dataset
from ..model.classifier import OrtClassifier
from ..model.preprocess import Preprocess
from .folder import Recipe


def classifier_of(recipe: Recipe, model: Path | None, provider: str = "", threads: int | None = None) -> OrtClassifier:
    """The run's classifier; `model` where it has moved, `provider` where another is to run it.

    `ModelError` where the file is not there, or is another one; `ProviderError` where the provider does not start.
    """
    written = recipe["model"]
    path = model or Path(written["path"])
    if not path.exists():
        raise ModelError(f"model: {path} is not there; pass `model`")
    size = written.get("batch_size")
    classifier = OrtClassifier(
        path,
        providers=provider or written["provider"],
        threads=threads,
        batch_size=size if isinstance(size, int) else None,
        output=written["output"],
        preprocess=Preprocess.of(written["preprocess"]),
        tf32=written["tf32"],
    )
    if classifier.sha256 != written["sha256"]:
        raise ModelError(f"model: expected SHA-256 {written['sha256']}, got {classifier.sha256} for {path}")
    return classifier


def data_of(recipe: Recipe, data: Path | None) -> Dataset:
    """The run's data set; `data` where it has moved. `DataError` where it is not there, or is another one."""
    path = data or Path(recipe["data"]["path"])
    if not path.exists():
        raise DataError(f"data: {path} is not there; pass `data`")
    opened = open_dataset(path, recipe["data"].get("channels"))
    if opened.sha256 != recipe["data"]["sha256"]:
        raise DataError(f"data: expected SHA-256 {recipe['data']['sha256']}, got {opened.sha256} for {path}")
    return opened
