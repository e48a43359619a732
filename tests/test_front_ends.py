"""Spectrograms inside the graph. Oracle: librosa in double precision."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from smoothcert import OrtClassifier, demo_file
from smoothcert.errors import ModelError
from smoothcert.inputs.recordings import Sound
from smoothcert_exporters.audio import FrontEnd, with_front_end
from smoothcert_exporters.inspect import inspect_model, normalises
from smoothcert_exporters.onnx_file import export_file

RNG = np.random.default_rng(3)
WAVES = np.concatenate(
    [
        np.load(demo_file("spoken.npz"))["x"][:4].astype(np.float32) / 32768,
        RNG.normal(0, 0.1, (2, 8000)).astype(np.float32),
    ]
)
FRONT_ENDS = {
    "log-mel,rate=8000": FrontEnd(rate=8000),
    "log-mel,rate=8000,n_fft=512,hop=100,mels=64": FrontEnd(rate=8000, n_fft=512, hop=100, mels=64),
    "log-mel,rate=8000,amin=1e-6": FrontEnd(rate=8000, amin=1e-6),
    "mfcc,rate=8000": FrontEnd(rate=8000, mfcc=13),
    "mfcc,rate=16000,hop=64,mfcc=20": FrontEnd(rate=16000, hop=64, mfcc=20),
}


def by_librosa(front_end: FrontEnd) -> NDArray[np.float64]:
    found = []
    for wave in WAVES.astype(np.float64):
        bands = librosa.feature.melspectrogram(
            y=wave, sr=front_end.rate, n_fft=front_end.n_fft, hop_length=front_end.hop, n_mels=front_end.mels
        )
        decibels = librosa.power_to_db(bands, amin=front_end.amin, top_db=None)
        found.append(librosa.feature.mfcc(S=decibels, n_mfcc=front_end.mfcc) if front_end.mfcc else decibels)
    return np.stack(found)


def identity(*shape: int | str, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """A network that gives back what it gets."""
    values = [helper.make_tensor_value_info(name, kind, ["N", *shape]) for name in ("w", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize("text", FRONT_ENDS)
@pytest.mark.parametrize("layout", ["bands", "channel first", "channel last", "frames first"])
def test_features_are_librosas(text: str, layout: str) -> None:
    """To 1e-4 of their scale (they are decibels, down to -100), in every arrangement."""
    front_end = FrontEnd.of(text)
    assert front_end == FRONT_ENDS[text]
    f, t = front_end.features, front_end.frames(8000)
    shapes: dict[str, tuple[int, ...]] = {"bands": (f, t), "channel first": (1, f, t), "channel last": (f, t, 1)}
    shape = shapes.get(layout, (t, f))
    model = with_front_end(identity(*shape), front_end, 8000)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found = session.run(None, {"w": WAVES})[0]
    assert found.shape == (len(WAVES), *shape)
    expected = by_librosa(front_end)
    if layout == "frames first":
        expected = expected.swapaxes(1, 2)
    assert abs(found.reshape(expected.shape) - expected).max() < 1e-4 * abs(expected).max()
    assert {node.op_type for node in model.graph.node} <= {
        "Reshape", "Conv", "Mul", "Add", "MatMul", "Max", "Log", "Transpose", "Identity",
    }  # fmt: skip


def test_what_does_not_fit_says_so() -> None:
    with pytest.raises(ModelError, match="expected a classifier of 40 features and 63 frames, got an input of"):
        with_front_end(identity(40, 60), FrontEnd(rate=8000), 8000)
    for text in ("mel,rate=8000", "log-mel", "log-mel,rate=x", "log-mel,rate=8000,speed=1", "mfcc,rate=8000,mfcc=99"):
        with pytest.raises((ModelError, ValueError), match="front_end: expected"):
            FrontEnd.of(text)


def classifier_file(path: Path, *ahead: onnx.NodeProto) -> Path:
    """A linear classifier of 40 x 63 features, or of 8000 samples behind some nodes that make `z` of `w`."""
    sizes = [8000] if ahead else [40, 63]
    weights = RNG.normal(0, 1, (int(np.prod(sizes)), 3)).astype(np.float32)
    last = [helper.make_node("Flatten", ["z" if ahead else "w"], ["f"]), helper.make_node("MatMul", ["f", "v"], ["y"])]
    graph = helper.make_graph(
        [*ahead, *last],
        "g",
        [helper.make_tensor_value_info("w", TensorProto.FLOAT, ["N", *sizes])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(weights, "v")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_an_exported_classifier_takes_recordings(tmp_path: Path) -> None:
    """And says their rate, so that files of another are resampled; the scores are those behind librosa's features."""
    given = classifier_file(tmp_path / "bands.onnx")
    front_end = FrontEnd(rate=8000)
    export_file(given, tmp_path / "waves.onnx", front_end=front_end, samples=8000)
    classifier = OrtClassifier(tmp_path / "waves.onnx", threads=1)
    assert classifier.sound == Sound(8000, 8000)
    session = onnxruntime.InferenceSession(given.read_bytes())
    expected = session.run(None, {"w": by_librosa(front_end).astype(np.float32)})[0].argmax(axis=1)
    for wave, label in zip(WAVES, expected, strict=True):
        recording = np.rint(wave * 32768).astype(np.int16)
        assert classifier.answer(classifier.prepare(recording)) == label


def test_a_normalisation_is_remarked_on(tmp_path: Path) -> None:
    """Division by the largest sample, or by a norm; not softmax, nor what comes behind a layer."""
    peak = [
        helper.make_node("Abs", ["w"], ["a"]),
        helper.make_node("ReduceMax", ["a"], ["m"], axes=[1], keepdims=1),
        helper.make_node("Div", ["w", "m"], ["z"]),
    ]
    found = inspect_model(classifier_file(tmp_path / "peak.onnx", *peak))
    assert found.normalises
    assert any("a normalisation, which amplifies noise" in line for line in found.lines)
    norm = helper.make_node("LpNormalization", ["w"], ["z"], axis=1)
    assert inspect_model(classifier_file(tmp_path / "norm.onnx", norm)).normalises
    plain = helper.make_node("Mul", ["w", "w"], ["z"])
    assert not inspect_model(classifier_file(tmp_path / "plain.onnx", plain)).normalises
    for name in ("spoken.onnx", "digits.onnx"):
        assert not normalises(onnx.load(demo_file(name)).graph)
