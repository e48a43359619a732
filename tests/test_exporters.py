"""What exporters write into a model file is what the runtime reads from it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from smoothcert import Noise, OrtClassifier, Preprocess, Spatial, certify
from smoothcert.errors import ModelError
from smoothcert_exporters import annotate

from .conftest import IMAGES, MODEL, Result

Cli = Callable[..., Result]
PIPELINE = Preprocess(spatial=Spatial(resize=32, antialias=True, mask="circle"))


def test_the_runtime_reads_what_was_annotated(tmp_path: Path) -> None:
    annotate(MODEL, tmp_path / "a.onnx", PIPELINE)
    annotate(MODEL, tmp_path / "b.onnx", PIPELINE)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert OrtClassifier(tmp_path / "a.onnx").preprocess == PIPELINE
    assert OrtClassifier(tmp_path / "a.onnx", preprocess=PIPELINE).preprocess == PIPELINE
    with pytest.raises(ModelError, match="brings its own preprocessing"):
        OrtClassifier(tmp_path / "a.onnx", preprocess=Preprocess(scale=1.0))


def test_annotating_again_replaces_and_keeps_other_metadata(tmp_path: Path) -> None:
    proto = onnx.load(MODEL)
    proto.metadata_props.add(key="author", value="somebody")
    onnx.save(proto, tmp_path / "m.onnx")
    annotate(tmp_path / "m.onnx", tmp_path / "a.onnx", PIPELINE)
    annotate(tmp_path / "a.onnx", tmp_path / "a.onnx", Preprocess(scale=0.5))
    written = {entry.key: entry.value for entry in onnx.load(tmp_path / "a.onnx").metadata_props}
    assert written["author"] == "somebody"
    assert OrtClassifier(tmp_path / "a.onnx").preprocess == Preprocess(scale=0.5)


def test_an_annotated_model_certifies_raw_images_as_preprocessed_ones(tmp_path: Path) -> None:
    annotate(MODEL, tmp_path / "a.onnx", PIPELINE)
    rng = np.random.default_rng(0)
    raw = np.kron(np.load(IMAGES)["x"][0], np.ones((3, 3), np.uint8)) // 2 + rng.integers(0, 9, (96, 96), np.uint8)
    through = certify(OrtClassifier(tmp_path / "a.onnx"), Noise(0.5), raw, n=500, key=1)
    ahead = certify(OrtClassifier(MODEL), Noise(0.5), PIPELINE.spatial.apply(raw), n=500, key=1)
    assert through.evidence.estimation == ahead.evidence.estimation


def test_what_is_no_classifier_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="expected an ONNX"):
        annotate(tmp_path / "m.onnx", tmp_path / "a.onnx", PIPELINE)
    assert not (tmp_path / "a.onnx").exists()


def test_what_an_export_settled_is_not_settled_again(tmp_path: Path, cli: Cli) -> None:
    """A mean that may be in the graph already is not subtracted twice."""
    shutil.copy(IMAGES, tmp_path / "d.npz")
    assert cli("export", "onnx", MODEL, "m.onnx").code == 0
    assert OrtClassifier(tmp_path / "m.onnx").preprocess == Preprocess(layout="nchw")
    refused = cli("certify", "m.onnx", "d.npz", "--smooth", "noise=0.5", "--mean", 0.5)
    assert (refused.code, "export the original again" in refused.err) == (2, True)
