"""From what is asked to a run: its recipe, written down before anything is sampled."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from .. import __version__
from ..algorithms import Algorithm
from ..errors import DataError, require
from ..inputs.datasets import Dataset, Example, loaded, selection
from ..inputs.levels import levels_of
from ..inputs.spatial import PLAIN
from ..model.classifier import OrtClassifier
from ..smoothing import Smoothing
from ..smoothing.plugins import LOADED
from ..smoothing.transform import plugins_of
from .opening import OpenRun
from .question import Question


@dataclass(frozen=True)
class Files:
    """Where the model, the data, and the calibration, surrogate or denoiser of a run stand."""

    model: Path
    data: Path
    calibration: Path | None = None
    surrogate: Path | None = None
    denoiser: Path | None = None


def new_run(
    files: Files,
    classifier: OrtClassifier,
    data: Dataset,
    smoothing: Smoothing,
    algorithm: Algorithm,
    *,
    skip: int = 0,
    limit: int | None = None,
    shard: str = "1/1",
    nonce: str = "",
) -> OpenRun:
    """The run of a model over a data set, both opened from `files`; see `selection`. `nonce`: see `run_key`.

    Raises `DataError` where no input is left or none can be read, `CalibrationError` for one at another sample rate.
    """
    indices = selection(len(data), skip=skip, limit=limit, shard=shard)
    if not indices:
        raise DataError(f"{files.data}: `skip`, `limit` and `shard` leave none of its {len(data)} inputs")
    require(shard == "1/1" or bool(nonce), "shard: expected a `nonce` too, any text, the same for every shard")
    if smoothing.measured is not None:
        smoothing.measured.require_rate(classifier.sound.rate)
    one = first(data, indices).x
    classifier.require_constants(one)
    on_images = algorithm.acts_on_raw(smoothing) or classifier.preprocess.spatial != PLAIN
    opencv = {"opencv": cv2.__version__} if on_images else {}
    channels = {} if classifier.channels is None else {"channels": classifier.channels}
    sound = {name: value for name, value in asdict(classifier.sound).items() if value is not None}
    plugins = dict.fromkeys(plugins_of(algorithm.transforms(smoothing)).values())
    host = {"python": platform.python_version(), "numpy": np.__version__, "platform": platform.platform()}
    recipe = {
        "smoothcert": __version__,
        "nonce": nonce,
        "attack_model": algorithm.attack_model(smoothing, levels_of(one)),
        "model": {"path": str(files.model.resolve()), **classifier.recipe, **opencv},
        "data": {"path": str(files.data.resolve()), "sha256": data.sha256, "inputs": len(data), **channels, **sound},
        "smoothing": smoothing.recipe,
        **({"calibration": {"path": str(files.calibration.resolve())}} if files.calibration else {}),
        **({"surrogate": {"path": str(files.surrogate.resolve())}} if files.surrogate else {}),
        **({"denoiser": {"path": str(files.denoiser.resolve())}} if files.denoiser else {}),
        "algorithm": algorithm.recipe,
        **({"plugins": {"path": [LOADED[sha256].path for sha256 in plugins]}} if plugins else {}),
        "selection": {"skip": skip, "shard": shard} | ({} if limit is None else {"limit": limit}),
        "host": {"threads": classifier.threads, **host},
    }
    return OpenRun(Question(recipe, smoothing, algorithm), classifier, data)


def readable(data: Dataset, indices: Sequence[int]) -> Iterator[Example]:
    """The inputs that can be read, in order."""
    for index in indices:
        with suppress(DataError):
            yield loaded(data, index)


def first(data: Dataset, indices: Sequence[int]) -> Example:
    """The first input that can be read; where none can, the last one's own error."""
    return next(readable(data, indices), None) or data.load(indices[-1])
