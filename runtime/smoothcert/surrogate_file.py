"""A surrogate's bundle: a folder of ONNX files and arrays that belong together, checked and opened. See `Bundle`.

Its manifest names the SHA-256 of every file. What certificates rest on is read from the files themselves: the encoder's
slope from its graph (`model.lipschitz`), never from what the manifest claims.
"""

from __future__ import annotations

import hashlib
import math
import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from .bounds.covariance import Covariance
from .errors import ArgumentError, DataError, ModelError, require
from .files.documents import json_value, typed, understood
from .files.limits import METADATA_BYTES, SURROGATE_BYTES
from .files.reading import read_regular
from .files.schema import Manifest
from .inputs.npz import read_archive
from .inputs.spatial import PLAIN
from .model import providers
from .model.classifier import OrtClassifier, open_model
from .model.file import ModelFile, only_input, read_model
from .model.labels import Classifier
from .model.lipschitz import EncoderBound, encoder_bound
from .model.preprocess import Preprocess
from .smoothing import AnyAttack, Attack, Range, Smoothing
from .smoothing.bundle import Bundle, CodeNoise
from .smoothing.coded import CodeLaw
from .smoothing.published import Published
from .smoothing.surrogate import Surrogate
from .smoothing.transform import transform_of

MANIFEST = "surrogate.json"
FORMAT, VERSION = "smoothcert surrogate", 1
FILES = ("encoder.onnx", "decoder.onnx", "classifier.onnx", "model.onnx", "arrays.npz")
ARRAYS = ("A1", "b1", "factor", "deviations")
_AT_ONCE = 32  # images that an encoder gets, always as many, where its graph shows that they do not see each other
_LEAST, _LARGEST = 1e-30, 1e30  # of numbers in arrays: their squares, times any sigma, are floats
_STEPS = (2.0**-24, 2.0**-4)  # what the spacing of codes may be


@dataclass(frozen=True, eq=False)
class OpenBundle:
    """A bundle whose files are open: `Codes` for the smoothing. The encoder runs on the CPU, once an input.

    `noise` is the one that the bundle recommends.
    """

    path: Path
    bundle: Bundle
    step: float
    noise: CodeNoise
    encoder: onnx.ModelProto
    decoder: onnx.ModelProto
    classifier: ModelFile
    preprocess: Preprocess
    arrays: Mapping[str, NDArray[np.float64]]
    _voters: weakref.WeakKeyDictionary[Classifier, Classifier] = field(default_factory=weakref.WeakKeyDictionary)

    @cached_property
    def _encoder(self) -> Any:
        return providers.start(self.encoder.SerializeToString(), "", "cpu", False)

    @cached_property
    def _decoder(self) -> Any:
        return providers.start(self.decoder.SerializeToString(), "", "cpu", False)

    def of(self, images: NDArray[np.uint8], step: float) -> NDArray[np.float64]:
        """The codes of images (n, colours, height, width), with b1, in whole steps."""
        codes = self.encoded(_unit(images)).astype(np.float64)
        return np.asarray(np.rint(codes / step) + np.rint(self.arrays["b1"] / step))

    def encoded(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """F2 of images (n, colours, height, width) in [0,1]: codes (n, d). `DataError` for another size."""
        if images.shape[1:] != self.bundle.image:
            raise DataError(f"surrogate: expected images of {self.bundle.image} pixels, got {images.shape[1:]}")
        alone = self._bound.lipschitz is None
        codes = _by_batches(self._encoder, "image", "code", images, 1 if alone else _AT_ONCE)
        if codes.shape[1:] != (self.bundle.code,) or not np.isfinite(codes).all():
            raise ModelError(f"encoder.onnx: expected finite codes of {self.bundle.code} values, got {codes.shape[1:]}")
        return codes

    def imitated(self, image: NDArray[np.uint8], xi: NDArray[np.float64]) -> NDArray[np.float32]:
        """H(A1 xi + b1 + F2(x)): what the surrogate makes of an image (colours, height, width), for each row of xi."""
        moved = np.atleast_2d(xi.T).T @ self.arrays["A1"].T + self.arrays["b1"]
        codes = self.encoded(_unit(image[None])) + moved
        return _by_batches(self._decoder, "code", "image", codes.astype(np.float32), _AT_ONCE)

    def xi(self, value: float) -> float:
        """The parameter of the surrogate for the value of an attack: 0 at the identity."""
        transform = self.bundle.transform
        return transform.coordinate(value) - transform.coordinate(transform.identity)

    def covariance(self, noise: CodeNoise) -> Covariance:
        """Of the noise: the fitted one, or that of the paper."""
        if noise.sigma is not None:
            return Covariance(self.arrays["factor"], self.arrays["deviations"]).scaled(noise.sigma)
        assert noise.sigma1 is not None
        assert noise.sigma2 is not None
        return Covariance(noise.sigma1 * self.arrays["A1"], np.full(self.bundle.code, noise.sigma2))

    @cached_property
    def _bound(self) -> EncoderBound:
        return encoder_bound(self.encoder, self.bundle.image)

    @property
    def lipschitz(self) -> float | None:
        """No codes are further apart, in l2, than so many times their images; None where that is not known."""
        return self._bound.lipschitz

    def slope(self, law: CodeLaw) -> tuple[float, float] | None:
        """By the encoder's graph; what float32 and the grid of codes round is in the second number."""
        bound, covariance, d = self._bound, law.covariance, self.bundle.code
        if bound.lipschitz is None:
            return None
        steep = bound.lipschitz / covariance.least
        if bound.matrix is not None:
            steep = min(steep, covariance.stretch(bound.matrix))
        return steep, 2 * (bound.rounding + law.step * math.sqrt(d) / 2) / covariance.least

    def voter(self, classifier: Classifier) -> Classifier:
        """Decoder and classifier joined, on the provider and threads of `classifier`."""
        if not isinstance(classifier, OrtClassifier):
            raise ArgumentError(f"classifier: expected an OrtClassifier, got a {type(classifier).__name__}")
        if classifier.denoiser is not None:
            raise ArgumentError("denoiser: a surrogate's noise is on codes, ahead of its decoder; leave `denoiser` out")
        if classifier.sha256 != self.bundle.model:
            raise ModelError(
                f"surrogate: expected the classifier that it was joined with, SHA-256 {self.bundle.model}, got "
                f"{classifier.sha256}; take {self.path / 'model.onnx'}, or join the surrogate with this one"
            )
        asked, own = (replace(how, spatial=PLAIN, layout="auto") for how in (classifier.preprocess, self.preprocess))
        same = f"expected the preprocessing that the surrogate was joined with, {own.recipe}"
        require(asked == own, f"surrogate: {same}, got {asked.recipe}; leave the options for it out")
        if classifier not in self._voters:
            self._voters[classifier] = OrtClassifier(
                self.classifier,
                providers=classifier.provider,
                threads=classifier.threads,
                batch_size=self.classifier.batch or classifier.batch,
                tf32=classifier.tf32,
            )
        return self._voters[classifier]

    def smoothing(
        self, noise: CodeNoise | None = None, attack: AnyAttack | None = None, published: Published | None = None
    ) -> Surrogate:
        """The smoothing by that noise, the bundle's own by default, over the attacks, by default those trained on.

        With `published`, see `read_published`, certificates are those of the paper.
        """
        whole = Attack(((self.bundle.transform.name, self.bundle.trained),)) if attack is None else Attack.of(attack)
        return Surrogate(self.bundle, noise or self.noise, whole, published, codes=self)


def open_surrogate(path: str | os.PathLike[str]) -> OpenBundle:
    """The bundle in that folder; `ModelError` for one that is damaged, or whose files do not belong together."""
    folder, expected = Path(path), "a surrogate's bundle, a folder of `smoothcert export surrogate`"
    manifest_bytes = read_regular(folder / MANIFEST, f"{MANIFEST} of {expected}", ModelError, METADATA_BYTES)
    with understood(str(folder / MANIFEST), "a surrogate's manifest", ModelError, "export the surrogate again"):
        manifest = typed(json_value(manifest_bytes), Manifest)
        known = manifest["format"], manifest["version"]
        require(known == (FORMAT, VERSION), f"format {FORMAT} {VERSION}, not {known}: use the version that wrote it")
        name, options = manifest["transform"]["name"], manifest["transform"]["options"]
        transform = transform_of(name, options)
        require(transform.options == options, f"options {transform.options} of {name}, not {options}")
        trained, step = Range(**manifest["trained"]), manifest["step"]
        require(math.log2(step) % 1 == 0 and _STEPS[0] <= step <= _STEPS[1], f"a step of 2^-24 to 2^-4, not {step:g}")
        noise, hashes = CodeNoise(**manifest["noise"]), manifest["files"]
        require(sorted(hashes) == sorted(FILES), f"the files {', '.join(FILES)}, not {', '.join(hashes)}")
    held = {file: read_regular(folder / file, expected, ModelError, SURROGATE_BYTES) for file in FILES}
    for file, content in held.items():
        if (found := _sha256(content)) != hashes[file]:
            why = f"expected SHA-256 {hashes[file]}, got {found}: not of this bundle; export it again"
            raise ModelError(f"{folder / file}: {why}")
    colours, height, width = manifest["image"]
    bundle = Bundle(
        sha256=_sha256(manifest_bytes),
        model=hashes["model.onnx"],
        transform=transform,
        trained=trained,
        image=(colours, height, width),
        code=manifest["code"],
    )
    encoder = _network(held, folder, "encoder.onnx", ("image", bundle.image), "code")
    decoder = _network(held, folder, "decoder.onnx", ("code", (bundle.code,)), "image")
    classifier = open_model(held["classifier.onnx"])
    if classifier.shape != (bundle.code,):
        raise ModelError(f"{folder / 'classifier.onnx'}: expected codes ({bundle.code},), got {classifier.shape}")
    preprocess = open_model(held["model.onnx"]).preprocess or Preprocess()
    arrays = _arrays(folder / "arrays.npz", bundle)
    return OpenBundle(folder, bundle, step, noise, encoder, decoder, classifier, preprocess, arrays)


def with_codes(smoothing: Smoothing, path: Path) -> Smoothing:
    """The smoothing of a recipe with its bundle open; `ModelError` for another bundle than its own."""
    if not isinstance(smoothing, Surrogate):
        return smoothing
    opened = open_surrogate(path)
    if opened.bundle != smoothing.bundle:
        expected, got = smoothing.bundle.sha256, opened.bundle.sha256
        raise ModelError(f"surrogate: expected {MANIFEST} of SHA-256 {expected}, got {got} for {path}")
    return replace(smoothing, codes=opened)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _network(
    held: Mapping[str, bytes], folder: Path, name: str, takes: tuple[str, tuple[int, ...]], gives: str
) -> onnx.ModelProto:
    """A graph of those names and shape of input; `ModelError` for any other, or one that draws numbers."""
    file = read_model(held[name])
    got = only_input(file.proto.graph).name, file.shape
    if got != takes or file.output != gives or file.batch is not None:
        expected = f"any number of {takes[0]} {takes[1]} to {gives}"
        raise ModelError(f"{folder / name}: expected {expected}, got {got[0]} {got[1]} to {file.output}")
    return file.proto


def _unit(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """8-bit levels in [0,1]."""
    return images.astype(np.float32) / np.float32(255)


def _by_batches(session: Any, takes: str, gives: str, rows: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The output for all rows, always as many at once, the last ones filled up with zeros."""
    found = []
    for at in range(0, len(rows), size):
        some = rows[at : at + size]
        batch = np.zeros((size, *rows.shape[1:]), np.float32)
        batch[: len(some)] = some
        (answer,) = session.run([gives], {takes: batch})
        found.append(answer[: len(some)])
    return np.concatenate(found)


def _arrays(path: Path, bundle: Bundle) -> dict[str, NDArray[np.float64]]:
    """A1, b1, and the fitted covariance, one of each for all inputs; `ModelError` for any other shape."""
    arrays, names = read_archive(path, ARRAYS)
    d, m = bundle.code, 2 if bundle.transform.is_planar() else 1
    for name, want in {"A1": (d, m), "b1": (d,), "factor": (d, -1), "deviations": (d,)}.items():
        got = arrays[name].shape if name in arrays else None
        right = got is not None and len(got) == len(want) and all(w in (-1, g) for w, g in zip(want, got, strict=True))
        if not right or arrays[name].dtype != np.float64 or not np.isfinite(arrays[name]).all():
            raise ModelError(
                f"{path}: expected {name} of shape {want}, the same for every input, got {got} among {names}"
            )
        if np.abs(arrays[name]).max(initial=0.0) > _LARGEST:
            raise ModelError(f"{path}: expected {name} up to {_LARGEST:g}, got {np.abs(arrays[name]).max():g}")
    if not (least := arrays["deviations"].min()) >= _LEAST:
        raise ModelError(f"{path}: expected deviations above 0, {_LEAST:g} at least, got {least:g}")
    if (k := arrays["factor"].shape[1]) > d:
        raise ModelError(f"{path}: expected factor with at most {d} columns, as many as codes have values, got {k}")
    return arrays
