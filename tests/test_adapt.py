"""Files nobody here wrote: each adapted, compared with itself as it came, and certified; or refused in a line."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnx.external_data_helper import convert_model_to_external_data
from onnx.reference import ReferenceEvaluator

from smoothcert import OrtClassifier
from smoothcert.errors import ModelError
from smoothcert.model.file import read_model
from smoothcert.model.source import read_source
from smoothcert.runs.folder import RunFolder
from smoothcert_exporters.adapt import adapted as module
from smoothcert_exporters.adapt import batch_rules, dynamic_batch, ready
from smoothcert_exporters.adapt.adapted import adapt
from smoothcert_exporters.adapt.ready import made_ready

from . import models
from .conftest import IMAGES, MODEL
from .models import model, value
from .onnx_cases import (
    CASES,
    FLOAT,
    RNG,
    Case,
    batch_norm,
    brain_float,
    dead_input,
    forest,
    node,
    norm,
    opset_9,
    transformer,
    weights,
    whole,
)

Cli = Callable[..., Any]


def run(proto: onnx.ModelProto, batch: NDArray[Any], output: str | None = None) -> NDArray[Any]:
    """ONNX Runtime on its own, without this project's sessions: the oracle."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    kind = {"tensor(float16)": np.float16, "tensor(double)": np.float64, "tensor(uint8)": np.uint8}
    values = batch.astype(kind.get(entry.type, np.float32))
    (found,) = session.run([output or session.get_outputs()[0].name], {entry.name: values})
    if isinstance(found, list):
        return np.array([list(row.values()) for row in found])
    return np.asarray(found)


def batch_of(case: Case, proto: onnx.ModelProto, rows: int = 33) -> NDArray[Any]:
    rng = np.random.default_rng(3)
    if proto.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8:
        return rng.integers(0, 256, (rows, *case.shape), np.uint8)
    return rng.standard_normal((rows, *case.shape), np.float32)


def declared(proto: onnx.ModelProto) -> int:
    return int(proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value) or 1


COMPARED = {name: make for name, make in CASES.items() if name not in ("bfloat16", "dead input")}


@pytest.mark.parametrize("make", COMPARED.values(), ids=COMPARED)
def test_adapted_computes_what_the_file_did(make: Callable[[], Case]) -> None:
    """Oracle: the file as it came, in ONNX Runtime, batch by batch of its own size; 1e-5 of a row's largest score."""
    case = make()
    proto = onnx.load_from_string(case.content)
    adapted = adapt(proto)
    assert proto.SerializeToString() == case.content
    onnx.checker.check_model(adapted.proto, full_check=True)
    assert (adapted.batch, adapted.warning) == (None, "")
    for words in case.says:
        assert any(words in change for change in adapted.changes)
    (output,) = adapted.proto.graph.output
    assert adapted.proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 0
    assert output.type.tensor_type.shape.dim[0].dim_value == 0
    own = declared(proto)
    batch = batch_of(case, proto, 32)
    before = np.stack([run(proto, batch[i : i + own], output.name) for i in range(0, 32, own)]).reshape(32, -1)
    for size in (1, 2, 16, 32):
        after = np.concatenate([run(adapted.proto, batch[i : i + size]) for i in range(0, 32, size)]).reshape(32, -1)
        gap = np.abs(after.astype(float) - before) / np.abs(before).max(axis=1, keepdims=True).clip(1e-6)
        assert gap.max() <= 1e-5
    assert len(np.unique(before, axis=0)) > 1


@pytest.mark.parametrize("name", ["tensorflow", "vision transformer", "sequence first", "recurrent"])
def test_adapted_agrees_with_the_reference_evaluator(name: str) -> None:
    """Oracle: onnx.reference, which is numpy, on the file as it came, row by row."""
    case = CASES[name]()
    proto = onnx.load_from_string(case.content)
    batch = batch_of(case, proto, 3)
    reference = ReferenceEvaluator(proto)
    entry = proto.graph.input[0].name
    before = np.concatenate([reference.run(None, {entry: row[None]})[0] for row in batch])
    assert np.allclose(run(adapt(proto).proto, batch), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_the_same_bytes_every_time(make: Callable[[], Case]) -> None:
    proto = onnx.load_from_string(make().content)
    first, second = (adapt(proto).proto.SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
    again = adapt(onnx.load_from_string(first))
    assert again.changes == ()
    assert again.proto.SerializeToString(deterministic=True) == first


def save_data(case: Case, path: Path) -> None:
    rng = np.random.default_rng(9)
    np.savez(path, x=rng.integers(0, 256, (2, *case.shape), np.uint8), y=np.array([0, 1]))


@pytest.mark.parametrize("name", CASES)
def test_certify_adapts_in_memory(name: str, cli: Cli, tmp_path: Path) -> None:
    """The recipe names the file's own fingerprint and the changes, and `verify` holds it against the file."""
    case = CASES[name]()
    (tmp_path / "m.onnx").write_bytes(case.content)
    save_data(case, tmp_path / "d.npz")
    done = cli("certify", "m.onnx", "d.npz", "--smooth", "noise=0.5", "--n0", 20, "--n", 100, "--run", "r", "-q")
    assert done.code == 0, done.err
    assert "adapted in memory: " in done.out
    assert done.err == ""
    recipe = RunFolder(tmp_path / "r").recipe()["model"]
    for words in case.says:
        assert words in done.out
        assert any(words in change for change in recipe["adapted"])
    assert recipe["sha256"] == read_source(tmp_path / "m.onnx").sha256
    checked = cli("verify", "r")
    assert (checked.code, "0 problems" in checked.out) == (0, True)


def test_audit_asks_the_model_as_it_was_adapted(cli: Cli, tmp_path: Path) -> None:
    """Not the file as it came, whose zipped probabilities are no table of scores."""
    case = CASES["scikit-learn, zipped"]()
    (tmp_path / "m.onnx").write_bytes(case.content)
    save_data(case, tmp_path / "d.npz")
    noise = ("--smooth", "noise=0.001")  # next to none: every vote is for one class
    assert cli("certify", "m.onnx", "d.npz", *noise, "--n0", 20, "--n", 200, "--run", "r", "-q").code == 0
    done = cli("audit", "r", "--attacks", 2, "--seed", 1, "-q")
    assert (done.code, done.err) == (0, "")
    assert "4 confirmed, 0 undecided, 0 violations" in done.out


@pytest.mark.parametrize("name", CASES)
def test_export_onnx_writes_what_certify_takes_as_it_is(name: str, cli: Cli, tmp_path: Path) -> None:
    """The file is ready: certify changes nothing. The same file is written twice."""
    case = CASES[name]()
    (tmp_path / "m.onnx").write_bytes(case.content)
    save_data(case, tmp_path / "d.npz")
    for out in ("a/m.onnx", "b/m.onnx"):
        done = cli("export", "onnx", "m.onnx", out)
        assert done.code == 0, done.err
        for words in case.says:
            assert words in done.out
    assert (tmp_path / "a/m.onnx").read_bytes() == (tmp_path / "b/m.onnx").read_bytes()
    done = cli("certify", "a/m.onnx", "d.npz", "--smooth", "noise=0.5", "--n0", 20, "--n", 100, "--run", "r", "-q")
    assert done.code == 0, done.err
    assert "adapted" not in done.out


def test_a_free_batch_axis_is_left_alone(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(models.convnet())
    proto = onnx.load_from_string(models.convnet())
    assert adapt(proto).changes == ()
    assert made_ready(tmp_path / "m.onnx") is None


def test_an_output_that_is_asked_for_is_kept() -> None:
    """Labels stay labels where they are asked for, and columns are not taken for classes that are called otherwise."""
    proto = onnx.load_from_string(forest(zipped=False).content)
    assert adapt(proto).proto.graph.output[0].name == "probabilities"
    assert adapt(proto, output="output_label").proto.graph.output[0].name == "output_label"
    other = onnx.load_from_string(forest(classes=(3, 7, 9)).content)
    assert adapt(other).proto.graph.output[0].name == "output_label"
    with pytest.raises(ModelError, match="no output 'other'; pass `output` with one of: output_label, probabilities"):
        adapt(proto, output="other")


def test_maps_from_words_become_columns() -> None:
    """Classes that are words: the table's columns in the order of the words, which the change names."""
    zip_ = node("ZipMap", ["x"], ["p"], domain="ai.onnx.ml", classlabels_strings=["cat", "dog", "fox"])
    kind = onnx.helper.make_map_type_proto(TensorProto.STRING, onnx.helper.make_tensor_type_proto(FLOAT, ()))
    maps = onnx.helper.make_value_info("p", onnx.helper.make_sequence_type_proto(kind))
    graph = onnx.helper.make_graph([zip_], "words", [value("x", FLOAT, (None, 3))], [maps])
    opsets = [onnx.helper.make_opsetid("", 15), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    adapted = adapt(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8))
    assert adapted.changes[0].endswith("a column a class: cat, dog, fox")
    batch = np.eye(3, dtype=np.float32)[[2, 0]]
    assert (run(adapted.proto, batch) == batch).all()


@pytest.mark.parametrize("name", ["opset 9", "vision transformer", "sequence first", "shape, gather, concat"])
def test_the_graph_stays_lean(name: str) -> None:
    """No loop, and beside the file's own operators only what repeats a class token: as fast as a dynamic export."""
    proto = onnx.load_from_string(CASES[name]().content)
    adapted = adapt(proto).proto
    own = {n.op_type for n in proto.graph.node}
    new = {n.op_type for n in adapted.graph.node} - own
    assert new <= {"Shape", "Gather", "Concat", "Expand", "Reshape"}
    assert len(adapted.graph.node) <= len(proto.graph.node) + 4


def test_external_weights(cli: Cli, tmp_path: Path) -> None:
    """Weights in a file of their own are folded, adapted in memory, and written to another folder."""
    case = opset_9()
    proto = onnx.load_from_string(case.content)
    before = run(proto, batch_of(case, proto, 1))
    (tmp_path / "in").mkdir()
    convert_model_to_external_data(proto, location="w.bin", size_threshold=0)
    onnx.save(proto, str(tmp_path / "in/m.onnx"))
    assert (tmp_path / "in/w.bin").stat().st_size > 1000
    save_data(case, tmp_path / "d.npz")
    options = ["d.npz", "--smooth", "noise=0.5", "--n0", 20, "--n", 100, "-q", "--run"]
    done = cli("certify", "in/m.onnx", *options, "r")
    assert done.code == 0, done.err
    assert "BatchNormalization folded" in done.out
    assert cli("verify", "r").code == 0
    assert cli("export", "onnx", "in/m.onnx", "out/m.onnx").code == 0
    after = run(onnx.load(tmp_path / "out/m.onnx"), batch_of(case, proto, 1))
    assert np.allclose(after, before, rtol=1e-5)
    content = bytearray((tmp_path / "in/w.bin").read_bytes())
    content[100] ^= 1
    (tmp_path / "in/w.bin").write_bytes(content)
    assert cli("verify", "r").code == 1


def test_old_opset_is_upgraded(cli: Cli, tmp_path: Path) -> None:
    """Opset 7 is converted, since the runtime takes 8 and newer. Oracle: ONNX Runtime, which takes 7."""
    nodes = [node("Flatten", ["x"], ["a"], axis=1), node("Gemm", ["a", "w", "b"], ["y"])]
    constants = {"w": weights(64, 5), "b": weights(5, scale=0.1)}
    inputs, outputs = [value("x", FLOAT, (1, 1, 8, 8))], [value("y", FLOAT, (1, 5))]
    content = model(nodes, inputs, outputs, constants, opset=7, ir_version=3)
    case, proto = Case(content, (1, 8, 8)), onnx.load_from_string(content)
    adapted = adapt(proto)
    assert "opset 7 upgraded to 18" in adapted.changes
    batch = batch_of(case, proto, 1)
    assert np.allclose(run(adapted.proto, batch), run(proto, batch), rtol=1e-5)
    (tmp_path / "m.onnx").write_bytes(content)
    assert cli("export", "onnx", "m.onnx", "out.onnx").code == 0
    save_data(case, tmp_path / "d.npz")
    done = cli("certify", "m.onnx", "d.npz", "--smooth", "noise=0.5", "--n0", 20, "--n", 100, "--run", "r", "-q")
    assert (done.code, "opset 7 upgraded to 18" in done.out) == (0, True)
    assert cli("verify", "r").code == 0


def test_brain_float_scores_are_the_same_numbers() -> None:
    """Oracle: the float scores, rounded by onnx's own conversion to bfloat16."""
    case = brain_float()
    proto = onnx.load_from_string(case.content)
    batch = batch_of(case, proto, 4)
    fc = numpy_helper.to_array(next(t for t in proto.graph.initializer if t.name == "fc"))
    from ml_dtypes import bfloat16

    expected = (batch.astype(bfloat16).astype(np.float32).reshape(4, -1) @ fc).astype(bfloat16).astype(np.float32)
    inner = onnx.load_from_string(adapt(proto).proto.SerializeToString())
    inner.graph.node.insert(0, node("Cast", ["outer"], [inner.graph.input[0].name], to=TensorProto.BFLOAT16))
    inner.graph.input[0].CopyFrom(value("outer", FLOAT, ("N", 1, 8, 8)))
    assert np.allclose(run(inner, batch), expected, rtol=0.01)


def test_dead_inputs_are_left_out() -> None:
    case = dead_input()
    adapted = adapt(onnx.load_from_string(case.content)).proto
    assert [entry.name for entry in adapted.graph.input] == ["x"]
    fc = numpy_helper.to_array(next(t for t in adapted.graph.initializer if t.name == "fc"))
    batch = batch_of(case, adapted, 5)
    assert np.allclose(run(adapted, batch), batch.reshape(5, -1) @ fc, rtol=1e-4, atol=1e-5)


PAGE = (Path(__file__).parents[1] / "docs" / "export-onnx.md").read_text()


def test_the_page_runs(cli: Cli, tmp_path: Path) -> None:
    """The commands and the Python of docs/export-onnx.md, on the digit network with its batch axis fixed to 1."""
    proto = onnx.load(MODEL)
    for entry in (proto.graph.input[0], proto.graph.output[0]):
        entry.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(proto, tmp_path / "old.onnx")
    shutil.copy(IMAGES, tmp_path / "digits.npz")
    commands = re.findall(r"^\$ smoothcert (.*)$", PAGE, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        done = cli(*shlex.split(command))
        assert (done.code, done.err) == (0, ""), command
        assert ("batch axis, fixed to 1, made free" in done.out) == (not command.startswith("certify"))
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "export-onnx.md", "exec"), names)
    assert names["certificate"].prediction >= 0


# --- What cannot be adapted -------------------------------------------------------------------------------------------


def unknown_operator() -> bytes:
    """GatherND with what to pick computed from the input."""
    nodes = [
        node("Flatten", ["x"], ["a"], axis=1),
        node("MatMul", ["a", "fc"], ["b"]),
        node("Transpose", ["b"], ["c"], perm=[1, 0]),
        node("GatherND", ["c", "order"], ["d"]),
        node("Transpose", ["d"], ["y"], perm=[1, 0]),
    ]
    constants = {"fc": weights(64, 5), "order": whole(4, 3, 2, 1, 0).reshape(5, 1)}
    return model(nodes, [value("x", FLOAT, (1, 1, 8, 8))], [value("y", FLOAT, (1, 5))], constants)


def test_what_cannot_be_freed_runs_at_batch_1_and_says_so(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(unknown_operator())
    save_data(Case(b"", (1, 8, 8)), tmp_path / "d.npz")
    done = cli("certify", "m.onnx", "d.npz", "--smooth", "noise=0.5", "--n0", 10, "--n", 50, "--run", "r", "-q")
    assert done.code == 0, done.err
    for words in ("warning: the batch axis stays fixed to 1", "GatherND", "times slower"):
        assert words in done.err
    assert "batch 1)" in done.out


def free_sides() -> bytes:
    """A batch of 1 beside free height and width: no trial says what a change would do."""
    nodes = [
        node("Conv", ["x", "w"], ["a"], kernel_shape=[3, 3]),
        node("GlobalAveragePool", ["a"], ["b"]),
        node("Flatten", ["b"], ["y"]),
    ]
    inputs, outputs = [value("x", FLOAT, (1, 1, None, None))], [value("y", FLOAT, (1, 5))]
    return model(nodes, inputs, outputs, {"w": weights(5, 1, 3, 3)})


def test_free_sides_beside_a_fixed_batch(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(free_sides())
    save_data(Case(b"", (1, 8, 8)), tmp_path / "d.npz")
    options = ["--layout", "nchw", "--smooth", "noise=0.5", "--n0", 10, "--n", 50, "-q"]
    done = cli("certify", "m.onnx", "d.npz", *options)
    assert done.code == 0, done.err
    assert "warning: the batch axis stays fixed to 1, since other axes of its input are free" in done.err
    refused = cli("export", "onnx", "m.onnx", "out.onnx")
    assert (refused.code, "--shape: expected the axes of one input" in refused.err) == (2, True)
    assert cli("export", "onnx", "m.onnx", "out.onnx", "--shape", "1,8,8").code == 0


def mixing_rows() -> bytes:
    """Divides by the largest value of the whole batch: one function at batch 1 alone."""
    nodes = [
        node("ReduceMax", ["x"], ["a"], keepdims=1),
        node("Div", ["x", "a"], ["b"]),
        node("Flatten", ["b"], ["c"], axis=1),
        node("MatMul", ["c", "fc"], ["y"]),
    ]
    return model(
        nodes, [value("x", FLOAT, ("N", 1, 8, 8))], [value("y", FLOAT, ("N", 5))], {"fc": weights(64, 5)}, opset=13
    )


def test_rows_that_depend_on_each_other_are_not_batched() -> None:
    """At batch 1 a maximum of the batch is that of the row. Oracle: numpy, row by row."""
    adapted = adapt(onnx.load_from_string(mixing_rows()))
    batch = np.random.default_rng(2).random((6, 1, 8, 8), np.float32)
    fixed = adapted.batch or 6
    found = np.concatenate([run(adapted.proto, batch[i : i + fixed]) for i in range(0, 6, fixed)])
    fc = numpy_helper.to_array(next(t for t in adapted.proto.graph.initializer if t.name == "fc"))
    expected = (batch / batch.max(axis=(1, 2, 3), keepdims=True)).reshape(6, -1) @ fc
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-5)


REFUSED = {
    "two inputs": (models.two_inputs, "expected one input, got 2 (image, mask)"),
    "regression": (models.regression, "not a classifier's output"),
    "random": (models.random_operator, "draws random numbers"),
    "hidden random": (models.hidden_random_operator, "draws random numbers"),
    "training": (models.training_dropout, "draws random numbers"),
    "unknown to ONNX Runtime": (
        lambda: model(
            [node("Mystery", ["x"], ["y"], domain="nowhere")],
            [value("x", FLOAT, (1, 4))],
            [value("y", FLOAT, (1, 4))],
        ),
        "ONNX Runtime cannot load the model",
    ),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_refusals(make: Callable[[], bytes], words: str, cli: Cli, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        adapt(onnx.load_from_string(make()))
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    (tmp_path / "m.onnx").write_bytes(make())
    done = cli("export", "onnx", "m.onnx", "out.onnx")
    assert done.code == 2
    assert words in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("content", [b"", b"no model", opset_9().content[:200]], ids=["empty", "text", "truncated"])
@pytest.mark.parametrize("command", [("export", "onnx"), ("inspect",)], ids=["export", "inspect"])
def test_what_is_no_model_is_refused_in_a_line(
    command: tuple[str, ...], content: bytes, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    done = cli(*command, "m.onnx", *(["out.onnx"] if command[0] == "export" else []))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "expected an ONNX" in done.err


# --- A wrong change is noticed ----------------------------------------------------------------------------------------


def test_a_wrong_rule_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that loses its operator gives other scores; the file is then left at its batch size."""

    def wrong(rewrite: Any, node: onnx.NodeProto) -> Any:
        node.CopyFrom(onnx.helper.make_node("Relu", node.input[:1], node.output))
        return batch_rules.along(rewrite, node)

    monkeypatch.setitem(dynamic_batch.RULES, "LayerNormalization", wrong)
    adapted = adapt(onnx.load_from_string(transformer().content))
    assert adapted.batch == 1
    assert "its scores change by" in adapted.warning


def test_a_wrong_fold_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores beyond 1e-5: the fold is not made, the rest is."""

    def wrong(proto: onnx.ModelProto, folder: str, seen: Any) -> tuple[str, ...]:
        weights = next(t for t in proto.graph.initializer if t.name == "c1")
        values = numpy_helper.to_array(weights) * np.float32(1.0001)
        weights.CopyFrom(numpy_helper.from_array(values, "c1"))
        return ("folded",)

    monkeypatch.setattr(module, "fold_batch_norm", wrong)
    adapted = adapt(onnx.load_from_string(opset_9().content))
    assert adapted.batch is None
    assert "folded" not in adapted.changes


def test_without_adaptation_the_files_would_run_at_batch_1(
    monkeypatch: pytest.MonkeyPatch, cli: Cli, tmp_path: Path
) -> None:
    """The other side of `test_certify_adapts_in_memory`: with the hook gone, nothing is adapted and batch 1 is used."""
    case = transformer()
    (tmp_path / "m.onnx").write_bytes(case.content)
    save_data(case, tmp_path / "d.npz")
    options = ["m.onnx", "d.npz", "--smooth", "noise=0.5", "--n0", 10, "--n", 50, "-q", "--run"]
    assert "batch 1)" not in cli("certify", *options, "a").out
    monkeypatch.setattr(ready, "made_ready", lambda *_: None)
    assert "batch 1)" in cli("certify", *options, "b").out


def _file(nodes: list[onnx.NodeProto], constants: dict[str, Any], batch: int | str = "N") -> onnx.ModelProto:
    content = model(nodes, [value("x", FLOAT, (batch, 16))], [value("y", FLOAT, (batch, 5))], constants, opset=13)
    return onnx.ModelProto.FromString(content)


def test_a_mask_does_not_hide_that_rows_mix(tmp_path: Path) -> None:
    """-1e9 for a class was the scale of every difference."""
    nodes = [
        node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
        node("Sub", ["x", "m"], ["a"]),
        node("MatMul", ["a", "w"], ["b"]),
        node("Add", ["b", "mask"], ["y"]),
    ]
    mask = np.array([0, 0, 0, 0, -1e9], np.float32)
    proto = _file(nodes, {"w": weights(16, 5), "mask": mask})
    assert adapt(proto).batch == 1
    onnx.save(proto, tmp_path / "mix.onnx")
    with pytest.raises(ModelError, match="others in its batch"):
        OrtClassifier(read_model(tmp_path / "mix.onnx")).prepare(np.zeros(16, np.float32))


def test_scores_that_depend_on_the_batch_are_adapted_in_memory(tmp_path: Path) -> None:
    """What onnxruntime's quantize_dynamic writes: one scale for the whole batch."""
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        node("MatMulInteger", ["q", "w", "z"], ["i"]),
        node("Cast", ["i"], ["f"], to=FLOAT),
        node("Mul", ["f", "s"], ["y"]),
    ]
    onnx.save(_file(nodes, {"w": RNG.integers(-128, 127, (16, 5)).astype(np.int8)}), tmp_path / "dynamic.onnx")
    ready = made_ready(tmp_path / "dynamic.onnx")
    assert ready is not None
    assert ready.batch == 1
    assert "whole batch" in ready.warning


def test_norms_are_folded_beside_a_repeated_token() -> None:
    nodes = [
        node("Concat", ["token", "x"], ["a"], axis=1),
        node("Gemm", ["a", "w", "b"], ["c"]),
        batch_norm("n", "c", "d"),
        node("Relu", ["d"], ["e"]),
        node("MatMul", ["e", "v"], ["y"]),
    ]
    constants = {"token": weights(1, 4), "w": weights(20, 6), "b": weights(6), "v": weights(6, 5)} | norm("n", 6)
    adapted = adapt(_file(nodes, constants, batch=1))
    assert adapted.batch is None
    assert "BatchNormalization" not in {n.op_type for n in adapted.proto.graph.node}


def test_two_heads_with_one_favourite_are_a_matter_of_choice() -> None:
    bias = np.array([1e4, 0, 0, 0, 0], np.float32)
    nodes = [node("Gemm", ["x", "w", "b"], ["y"]), node("Gemm", ["x", "v", "b"], ["aux_logits"])]
    proto = _file(nodes, {"w": weights(16, 5), "v": weights(16, 5), "b": bias})
    proto.graph.output.append(value("aux_logits", FLOAT, ("N", 5)))
    with pytest.raises(ModelError, match="pass `output`"):
        adapt(proto)
