"""What `inspect` says of a file: against what the file was made with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto

from smoothcert_exporters.cuda_kernels import cuda_gaps
from smoothcert_exporters.inspect import guess_layout, inspect_model

from . import models
from .conftest import MODEL
from .models import model, value
from .onnx_cases import FLOAT, forest, node, opset_9, tensorflow, transformer, weights

LAYOUTS = {
    "nchw": (1, 3, 32, 32),
    "nhwc": (None, 32, 32, 3),
    "flat": (1, 784, 1),
    "layout unknown": (1, None, None, None),
}


@pytest.mark.parametrize(("layout", "shape"), LAYOUTS.items(), ids=LAYOUTS)
def test_layout(layout: str, shape: tuple[int | None, ...]) -> None:
    assert guess_layout(shape) == layout


def test_flat_and_ambiguous_layouts() -> None:
    assert guess_layout((None, 784)) == "flat"
    assert guess_layout((1, 3, 8, 3)) == guess_layout(None) == guess_layout((1, 28, 28)) == "layout unknown"


def test_what_a_file_holds(tmp_path: Path) -> None:
    case = opset_9()
    (tmp_path / "m.onnx").write_bytes(case.content)
    seen = inspect_model(tmp_path / "m.onnx")
    assert (seen.ir_version, seen.opsets, seen.size) == (3, {"ai.onnx": 9}, len(case.content))
    assert [str(tensor) for tensor in (*seen.inputs, *seen.outputs)] == ["x float32 (1, 3, 8, 8)", "y float32 (1, 5)"]
    assert seen.layout == "nchw"
    assert seen.parameters == 6 * 27 + 8 * 54 + 8 + 4 * (6 + 8) + 5 * 128 + 5
    assert seen.operators == {"Conv": 2, "BatchNormalization": 2, "Relu": 2, "Constant": 1, "Reshape": 1, "Gemm": 1}
    assert any("made free" in change for change in seen.changes)
    assert (seen.warning, seen.refusal, seen.without_cuda, seen.unknown_on_cuda) == ("", "", (), ())
    assert (tmp_path / "m.onnx").read_bytes() == case.content


CUDA: dict[str, tuple[Callable[[], bytes], tuple[str, ...], tuple[str, ...]]] = {
    "convolutions": (models.convnet, (), ()),
    "transformer": (lambda: transformer().content, (), ()),
    "scikit-learn": (
        lambda: forest().content,
        ("ai.onnx.ml.LinearClassifier", "ai.onnx.ml.Normalizer", "ai.onnx.ml.ZipMap"),
        (),
    ),
    "no kernel": (
        lambda: model(
            [node("Det", ["x"], ["a"]), node("Atan", ["a"], ["y"])],
            [value("x", FLOAT, (1, 4))],
            [value("y", FLOAT, (1, 4))],
        ),
        ("Atan", "Det"),
        (),
    ),
    "made of others": (
        lambda: model([node("Mish", ["x"], ["y"])], [value("x", FLOAT, (1, 4))], [value("y", FLOAT, (1, 4))]),
        (),
        (),
    ),
    "of a stranger": (
        lambda: model(
            [node("Odd", ["x"], ["y"], domain="strange")], [value("x", FLOAT, (1, 4))], [value("y", FLOAT, (1, 4))]
        ),
        (),
        ("strange.Odd",),
    ),
}


@pytest.mark.parametrize(("make", "without", "unknown"), CUDA.values(), ids=CUDA)
def test_cuda_gaps(make: Callable[[], bytes], without: tuple[str, ...], unknown: tuple[str, ...]) -> None:
    """Oracle: ONNX Runtime's list of kernels; Mish is Softplus, Tanh and Mul, which have some."""
    assert cuda_gaps(onnx.load_from_string(make())) == (without, unknown)


def test_the_command(cli: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(tensorflow().content)
    done = cli("inspect", "m.onnx")
    assert done.code == 0, done.err
    for line in (
        "input: image:0 float32 (1, 8, 8, 3), nhwc",
        "output: Identity:0 float32 (1, 5)",
        "CUDA: kernels for all operators",
        "adaptation: batch axis, fixed to 1, made free",
    ):
        assert line in done.out
    assert "adaptation: nothing to do" in cli("inspect", MODEL).out


def test_metadata_are_shown(cli: Callable[..., Any], tmp_path: Path) -> None:
    proto = onnx.load_from_string(models.convnet())
    proto.metadata_props.add(key="note", value="n" * 500)
    proto.producer_name, proto.producer_version = "somebody", "1.2"
    onnx.save(proto, tmp_path / "m.onnx")
    done = cli("inspect", "m.onnx").out
    assert "written by somebody 1.2" in done
    assert "metadata: note = " + "n" * 100 + "... (500 characters)" in done


def test_what_cannot_be_certified_is_shown_all_the_same(cli: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(models.two_inputs())
    done = cli("inspect", "m.onnx")
    assert done.code == 0
    assert "adaptation: refused: expected one input, got 2 (image, mask)" in done.out
    content = model(
        [node("Gemm", ["x", "w"], ["y"])],
        [value("x", TensorProto.FLOAT, ("N", 4))],
        [value("y", TensorProto.FLOAT, ("N", 1))],
        {"w": weights(4, 1)},
    )
    (tmp_path / "m.onnx").write_bytes(content)
    assert "refused" in cli("inspect", "m.onnx").out
    assert cli("inspect", "nothing.onnx").code == 2
