"""The bundle: a surrogate, its noise and a classifier as files that belong together, proved to compute the same."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from smoothcert.errors import ArgumentError, ModelError, require
from smoothcert.files.writing import scratch_folder
from smoothcert.inputs.spatial import Spatial
from smoothcert.model.classifier import open_model
from smoothcert.model.file import ModelFile
from smoothcert.model.preprocess import Preprocess
from smoothcert.model.sessions import Sessions
from smoothcert.model.source import read_source

from ..export import export
from ..files import save
from ..finish import finish
from ..frameworks import pytorch
from ..frameworks.naming import canonical
from ..joining import renamed
from ..metadata import strip
from ..options import Options
from ..proof.parity import TOLERANCE, Function, Parity, check_batches, compare
from ..proof.trial import runner
from .finetune import Normalised, Tuned
from .joined import CODE, IMAGE, Way, join
from .surrogate import lipschitz
from .training import Trained, codes

FILES = ("encoder.onnx", "decoder.onnx", "classifier.onnx", "model.onnx", "arrays.npz")
MANIFEST = "surrogate.json"
STEP = 2.0**-12


@dataclass(frozen=True)
class Bundle:
    """A bundle that was written: where, which files, and how far each graph lies from what it was made of."""

    path: Path
    sha256: dict[str, str]
    parity: dict[str, Parity]

    @property
    def lines(self) -> tuple[str, ...]:
        """For people."""
        files = [f"{self.path / name}: sha256 {digest}" for name, digest in self.sha256.items()]
        return (*files, *(f"{what}: {parity}" for what, parity in self.parity.items()))


def write_bundle(
    trained: Trained,
    classifier: Tuned | Path,
    out: Path,
    *,
    step: float = STEP,
    sigma: float = 1.0,
    tolerance: float = TOLERANCE,
) -> Bundle:
    """Write the surrogate joined with a classifier, its own fine-tuned one or an ONNX file, to the new folder `out`.

    Parity is measured on codes of real images, under real attacks and noise. `step`: of the grid that codes are
    rounded to, a power of two. `sigma`: the noise when a user names none, as a multiple of the fitted one. The same
    surrogate and classifier give the same bytes. Raises `ModelError` where a file computes something else, and leaves
    no folder then.
    """
    require(0 < step <= 1 and np.frexp(step)[0] == 0.5, f"step: expected a power of two up to 1, got {step:g}")
    require(0 < sigma < 1e6, f"sigma: expected a number above 0, got {sigma:g}")
    if out.exists():
        raise ArgumentError(f"{out}: expected a new folder, got one that is there; choose another name")
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(out.parent, ".surrogate-") as scratch:
        work = scratch / out.name
        work.mkdir()
        maker = _Maker(trained, work, _Samples.of(trained), tolerance)
        parity = maker.graphs(classifier)
        (work / "arrays.npz").write_bytes(_arrays(trained))
        digests = {name: hashlib.sha256((work / name).read_bytes()).hexdigest() for name in FILES}
        manifest = _manifest(trained, classifier, digests, parity, step, sigma)
        (work / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        work.rename(out)
    return Bundle(out, digests, parity)


@dataclass(frozen=True, eq=False)
class _Samples:
    """Real images, plain and attacked, and noisy codes of them."""

    images: NDArray[np.float32]
    codes: NDArray[np.float32]

    @staticmethod
    def of(trained: Trained) -> _Samples:
        images, fitted, rng = trained.samples, trained.covariance, np.random.default_rng(0)
        plain = codes(trained.surrogate, images)
        noise = rng.standard_normal((len(plain), fitted.factor.shape[1])) @ fitted.factor.T
        noise += rng.standard_normal(plain.shape) * fitted.deviations
        return _Samples(images, np.concatenate([plain, plain + noise], dtype=np.float32))


@dataclass(frozen=True, eq=False)
class _Maker:
    """Writes the graphs of a bundle into a folder, and proves each."""

    trained: Trained
    folder: Path
    samples: _Samples
    tolerance: float

    def graphs(self, classifier: Tuned | Path) -> dict[str, Parity]:
        """Write all four; how far each lies from what it was made of."""
        surrogate, tuned = self.trained.surrogate, classifier if isinstance(classifier, Tuned) else None
        decoder = tuned.decoder if tuned else surrogate.decoder
        encoding, _ = self._network("encoder", surrogate.encoder, IMAGE, CODE, self.samples.images)
        decoding, proto = self._network("decoder", decoder, CODE, IMAGE, self.samples.codes)
        found = {"encoder.onnx": encoding, "decoder.onnx": decoding}
        path = self.folder / "model.onnx"
        if tuned:
            found["model.onnx"] = self._tuned(tuned, path)
        else:
            path.write_bytes(_plain_bytes(Path(str(classifier))))
        where = tuned.model if tuned else str(classifier)
        file = open_model(path)
        self._require_pipeline(file, where)
        way = Way.of(file, self.trained.plan.image, where)
        found["classifier.onnx"] = self._joined(proto, way)
        if tuned:
            found["classifier.onnx against PyTorch"] = self._against_torch(tuned)
        return found

    def _network(
        self, name: str, module: Any, given: str, made: str, rows: NDArray[np.float32]
    ) -> tuple[Parity, onnx.ModelProto]:
        """Export one of the surrogate's own networks."""
        proto, reference = pytorch.to_onnx(module, rows[:1])
        proto = strip(proto)
        renamed(proto.graph, {proto.graph.input[0].name: given, proto.graph.output[0].name: made})
        canonical(proto)
        proto.graph.name = name
        save(proto, self.folder / f"{name}.onnx")
        what, run = f"parity of {name}.onnx", _run(proto, made)
        check_batches(run, rows[:17], self.tolerance)
        return compare(reference(rows), run(rows), self.tolerance, what), proto

    def _tuned(self, tuned: Tuned, path: Path) -> Parity:
        """Export the fine-tuned module, its preprocessing inside, the surrogate's pipeline in the metadata."""
        images = self.samples.images
        spatial = Spatial.of(self.trained.plan.spatial)
        options = Options(
            preprocess=replace(tuned.preprocess, spatial=spatial), examples=images, tolerance=self.tolerance
        )
        return export(tuned.classifier, path, example=images[:1], options=options).parity

    def _require_pipeline(self, file: ModelFile, where: str) -> None:
        """`ModelError` where the classifier resizes, crops or masks images in another way than the surrogate."""
        own, ours = (file.preprocess or Preprocess()).spatial, Spatial.of(self.trained.plan.spatial)
        if file.preprocess is not None and own != ours:
            raise ModelError(
                f"{where}: expected the preprocessing that the surrogate was trained behind, {ours.recipe}, got "
                f"{own.recipe}; train the surrogate with the classifier's own"
            )

    def _joined(self, decoder: onnx.ModelProto, way: Way) -> Parity:
        """Write the joined classifier, held against decoder and model run apart."""
        decode = _run(decoder, IMAGE)
        done = finish(
            join(decoder, way),
            self.folder / "classifier.onnx",
            reference=lambda batch: way.scores(decode(batch)),
            example=self.samples.codes[:1],
            source=f"smoothcert surrogate of {self.trained.plan.attacks.name}",
            options=Options(examples=self.samples.codes, tolerance=self.tolerance),
        )
        return done.parity

    def _against_torch(self, tuned: Tuned) -> Parity:
        """The joined classifier against decoder and classifier as PyTorch runs them."""
        model = Normalised(tuned.classifier, tuned.preprocess).eval()
        with torch.inference_mode():
            expected = model(tuned.decoder(torch.from_numpy(self.samples.codes))).numpy()
        file = open_model(self.folder / "classifier.onnx")
        got = Sessions(file, Preprocess()).by(self.samples.codes, len(self.samples.codes))
        return compare(expected, got, self.tolerance, "parity of classifier.onnx with PyTorch")


def _run(proto: onnx.ModelProto, output: str) -> Function:
    """A graph as a function of batches of any size; its answers are flat."""
    session = runner(proto, "", output)
    return lambda batch: session.by(batch, len(batch))


def _plain_bytes(path: Path) -> bytes:
    """The user's file, byte for byte; `ModelError` where its weights lie in files of their own."""
    source = read_source(path)
    if source.outside:
        raise ModelError(f"{path}: expected weights inside the file, got files beside it; export it again with them")
    return path.read_bytes()


def _arrays(trained: Trained) -> bytes:
    """arrays.npz: what F1 and the noise are, in double precision."""
    surrogate, fitted = trained.surrogate, trained.covariance
    directions = surrogate.directions.detach().double().numpy() / surrogate.span
    arrays = {"A1": directions, "b1": np.zeros(len(directions))}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays, factor=fitted.factor, deviations=fitted.deviations)
    return file.getvalue()


def _manifest(
    trained: Trained,
    classifier: Tuned | Path,
    files: dict[str, str],
    parity: dict[str, Parity],
    step: float,
    sigma: float,
) -> dict[str, Any]:
    """surrogate.json: format, and what was trained how, as plain values."""
    plan, recipe = trained.plan, trained.plan.recipe
    tuned = classifier if isinstance(classifier, Tuned) else None
    return {
        "format": "smoothcert surrogate",
        "version": 1,
        "transform": {"name": plan.attacks.name, "options": plan.attacks.transform.options},
        "trained": {"low": plan.attacks.range.low, "high": plan.attacks.range.high},
        "image": list(plan.image),
        "code": len(trained.covariance.deviations),
        "step": step,
        "noise": {"sigma": sigma},
        "files": files,
        "training": {
            **{key: value for key, value in recipe.items() if key not in ("name", "options", "low", "high", "image")},
            "torch": torch.__version__,
            "lipschitz of F2": lipschitz(trained.surrogate),
            "losses": trained.history[-1],
            "finetuned": tuned and {**tuned.recipe, "losses": tuned.history[-1]},
            "parity": {what: found.bounds for what, found in parity.items()},
        },
    }
