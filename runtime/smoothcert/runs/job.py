"""A run: what is certified, how, over which inputs; resumed where it stopped."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..algorithms import ALGORITHMS, Algorithm
from ..certificate import Certificate
from ..certification import certify_input, in_levels, require_one_function, sampler_of
from ..errors import DataError, RunError, SmoothcertError, first_line, require
from ..files.documents import built
from ..inputs.datasets import Dataset, Example, loaded, selection
from ..inputs.input import Input
from ..inputs.levels import levels_of
from ..inputs.spatial import PLAIN
from ..model.classifier import OrtClassifier
from ..sampling import PROBE
from ..smoothing import Attack, Smoothing
from ..smoothing.plugins import LOADED
from ..smoothing.table import require_plugin
from ..smoothing.transform import plugins_of
from .folder import Entry, Ledger, Recipe, RunFolder, run_key

_REAL = "float-unclipped"  # the attack model of real arithmetic
_COMPARED = 8  # first inputs that are tried among perturbed ones
_FIRST = 16  # inputs that are looked at before a run


@dataclass(frozen=True)
class Preflight:
    """A first look at model and data: batch size, samples a second, whether float data are 8-bit images in disguise.

    With mode slices also into how many the first input's range is cut, and how many seconds that takes.
    """

    batch_size: int
    rate: float
    disguised: bool
    slices: int = 1
    cutting: float = 0.0


@dataclass(frozen=True)
class Job:
    """One model, one data set, one question."""

    model_path: Path
    classifier: OrtClassifier
    data_path: Path
    data: Dataset
    smoothing: Smoothing
    algorithm: Algorithm
    skip: int = 0
    limit: int | None = None
    shard: str = "1/1"
    nonce: str = ""
    calibration_path: Path | None = None
    indices: range = field(init=False)

    def __post_init__(self) -> None:
        indices = selection(len(self.data), skip=self.skip, limit=self.limit, shard=self.shard)
        if not indices:
            raise DataError(f"{self.data_path}: `skip`, `limit` and `shard` leave none of its {len(self.data)} inputs")
        whole = self.shard == "1/1"
        require(whole or bool(self.nonce), "shard: expected a `nonce` too, any text, the same for every shard")
        object.__setattr__(self, "indices", indices)

    @property
    def recipe(self) -> Recipe:
        """The resolved configuration, as `recipe.toml` holds it."""
        channels = {} if self.classifier.channels is None else {"channels": self.classifier.channels}
        chosen = {"skip": self.skip, "shard": self.shard} | ({} if self.limit is None else {"limit": self.limit})
        return {
            "smoothcert": __version__,
            "nonce": self.nonce,
            "attack_model": self.attack_model,
            "model": {"path": str(self.model_path.resolve()), **self.classifier.recipe, **self._opencv},
            "data": {
                "path": str(self.data_path.resolve()),
                "sha256": self.data.sha256,
                "inputs": len(self.data),
                **channels,
            },
            "smoothing": self.smoothing.recipe,
            **({"calibration": {"path": str(self.calibration_path.resolve())}} if self.calibration_path else {}),
            "algorithm": self.algorithm.recipe,
            **self._plugins,
            "selection": chosen,
            "host": {
                "threads": self.classifier.threads,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "platform": platform.platform(),
            },
        }

    @cached_property
    def attack_model(self) -> str:
        """Whose attacks certificates speak of, for the first input that can be read; each input's is in the ledger."""
        return self.algorithm.attack_model(self.smoothing, levels_of(self._first().x))

    @property
    def _plugins(self) -> dict[str, Any]:
        """The users' files that the transformations come from, for people: the hashes stand where they count."""
        used = plugins_of(self.algorithm.transforms(self.smoothing)).values()
        return {"plugins": {"path": [LOADED[sha256].path for sha256 in dict.fromkeys(used)]}} if used else {}

    @property
    def _opencv(self) -> dict[str, str]:
        """OpenCV's version, where its pixels are part of what is certified."""
        warps = self.algorithm.acts_on_raw(self.smoothing)
        return {"opencv": cv2.__version__} if warps or self.classifier.preprocess.spatial != PLAIN else {}

    def preflight(self) -> Preflight:
        """Fit, classify and time the first input that can be read.

        Raises `DataError` or `ModelError` where that input does not fit the model or needs too many slices, before
        anything is written; a label that the model has no class for is refused for every input.
        """
        self._require_labels()
        raw = self._first().x
        for values in self._first_floats:
            self.classifier.require_range(values)
        x, smoothing = self.classifier.prepare(raw), self.smoothing
        if self.algorithm.certifies:
            smoothing = smoothing.of_input(x)
        sampler = sampler_of(self.algorithm, self.classifier, smoothing, x, key=0, index=0)
        start = time.perf_counter()
        pieces = self.algorithm.pieces(x, smoothing)
        cutting = time.perf_counter() - start
        require_one_function(self.classifier, sampler, smoothing, self._first_prepared())
        size = self.classifier.batch_size(math.prod(sampler.made.shape))
        round_ = size * self.classifier.threads
        sampler.counts(PROBE, 0, round_)  # kernels are chosen, engines built
        done, spent, start = 0, 0.0, time.perf_counter()
        while spent < 0.2:
            sampler.counts(PROBE, done, done + round_)
            done, spent = done + round_, time.perf_counter() - start
        return Preflight(size, done / spent, _disguised(raw), pieces, cutting)

    def _first_prepared(self) -> Iterator[Input]:
        """The first few inputs that can be read and fit the model, as it takes them."""
        for example in islice(self._readable, _COMPARED):
            with suppress(DataError):
                yield self.classifier.prepare(example.x)

    def _require_labels(self) -> None:
        classes = self.classifier.classes
        for index in self.indices if classes else ():
            label = self.data.label(index)
            if label is not None and classes is not None and label >= classes:
                name = self.data.name(index)
                raise DataError(f"{name}: expected a label below the model's {classes} classes, got {label}")

    def _first(self) -> Example:
        for example in self._readable:
            return example
        return self.data.load(self.indices[-1])  # which says why not

    @property
    def _readable(self) -> Iterator[Example]:
        for index in self.indices:
            with suppress(DataError):
                yield loaded(self.data, index)

    @cached_property
    def _first_floats(self) -> tuple[NDArray[Any], ...]:
        """The first few inputs that can be read, of float data; none of 8-bit data, which have one range."""
        if self._first().x.dtype == np.uint8:
            return ()
        return tuple(example.x for example in islice(self._readable, _FIRST))

    @property
    def in_levels(self) -> bool:
        """Whether the first float images, if there are any, look like 8-bit levels: see `certification.in_levels`."""
        return in_levels(self.classifier, self._first_floats)

    @property
    def unrounded(self) -> bool:
        """Whether 8-bit images are attacked in real arithmetic, which no 8-bit file of an attacked image follows."""
        eight_bits, claims = self._first().x.dtype == np.uint8, self.algorithm.certifies
        return eight_bits and claims and self.attack_model == _REAL

    @property
    def as_tokens(self) -> bool:
        """Whether levels of 8-bit data go into a model of wide integers, such as tokens, as they are."""
        return self._first().x.dtype == np.uint8 and self.classifier.takes_tokens

    def run(self, folder: RunFolder) -> Iterator[Entry]:
        """Certify what the folder's ledger does not hold yet, yielding each entry once it is on disk."""
        with folder.locked(self.recipe) as (recipe, ledger):
            key = run_key(recipe)
            done = {entry["index"] for entry in folder.entries()}
            for index in self.indices:
                if index not in done:
                    yield self._certify(index, key, ledger)

    def _certify(self, index: int, key: int, ledger: Ledger) -> Entry:
        start = time.perf_counter()
        entry: Entry = {"index": index, "name": self.data.name(index), "label": self.data.label(index)}
        try:
            example = loaded(self.data, index)
            entry["input"] = example.sha256
            x = self.classifier.prepare(example.x)
            certificate = self.certify(x, key, index)
            entry["base"] = self.classifier.answer(x)
            entry |= {"certificate": certificate.to_json(), "evidence": certificate.evidence.to_json()}
        except SmoothcertError as error:
            entry["error"] = str(error)
        except MemoryError as error:
            entry["error"] = f"{entry['name']}: not enough memory ({first_line(error)}); take a smaller --batch-size"
        entry["seconds"] = round(time.perf_counter() - start, 4)
        ledger.append(entry)
        return entry

    def certify(self, x: Input, key: int, index: int) -> Certificate:
        """The certificate of one input under the run key."""
        return certify_input(self.algorithm, self.classifier, self.smoothing, x, key=key, index=index)


def _disguised(x: NDArray[Any]) -> bool:
    """Whether a float image holds whole multiples of 1/255 between 0 and 1."""
    if x.dtype.kind != "f" or x.ndim < 2 or x.min() < 0 or not 0 < x.max() <= 1:
        return False
    return bool(np.all(np.rint(x * 255) / 255 == x))


def algorithm_of(recipe: Recipe) -> Algorithm:
    """The algorithm that a recipe describes; `RunError` for a mode, `ArgumentError` for numbers that are none's.

    `PluginError` for a transformation of a plugin that is not loaded, or another.
    """
    numbers: dict[str, Any] = dict(recipe["algorithm"])
    mode: Any = ALGORITHMS.get(numbers.pop("mode"))
    if mode is None:
        raise RunError(f"recipe: expected a mode of {', '.join(ALGORITHMS)}, got {recipe['algorithm']['mode']!r}")
    for name, sha256 in numbers.pop("plugins", {}).items():
        require_plugin(name, sha256)
    if "attack" in numbers:
        order = numbers.pop("order", [*numbers["attack"]])  # a table's keys may have lost theirs
        numbers["attack"] = Attack.of({name: numbers["attack"][name] for name in order})
    if "alpha" not in {field.name for field in fields(mode)}:
        numbers.pop("alpha", None)  # of an algorithm that leaves nothing to chance
    found: Algorithm = built(numbers, mode, "recipe: [algorithm]")
    return found
