"""What stands between a hostile or careless model file and a session: scopes, sizes, hashes, time."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from smoothcert import Noise, OrtClassifier, Preprocess, certify
from smoothcert.errors import ArgumentError, ModelError, ProviderError
from smoothcert.inputs.levels import EIGHT_BIT
from smoothcert.model import providers, weights
from smoothcert.model.file import read_model
from smoothcert.model.graph import checks as graph_checks
from smoothcert.model.graph import walk as graph_walk
from smoothcert.model.source import read_source

from . import models

node = helper.make_node
X = np.ones(4, np.float32)
OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]


def graph(nodes: list[onnx.NodeProto], initializers: tuple[TensorProto, ...] = (), **kept: Any) -> bytes:
    """A model of 4 floats to 4 scores."""
    built = helper.make_graph(
        nodes, "g", [models.value("x", 1, ("N", 4))], [models.value("y", 1, ("N", 4))], list(initializers)
    )
    return helper.make_model(built, opset_imports=OPSETS, ir_version=8, **kept).SerializeToString()


def flag(name: str, on: bool) -> TensorProto:
    return numpy_helper.from_array(np.array(on), name)


def constant(name: str, on: bool) -> onnx.NodeProto:
    return node("Constant", [], [name], value=flag("", on))


RELU = graph([node("Relu", ["x"], ["y"])])
RATIO = numpy_helper.from_array(np.float32(0.5), "ratio")


# --- Names by scope: every place of the true flag and of a false one that merging by name would prefer ---------------


def _branch(name: str, nodes: list[onnx.NodeProto], initializers: list[TensorProto] | None = None) -> onnx.GraphProto:
    return helper.make_graph(nodes, name, [], [models.value(f"{name}_y", 1, None)], initializers or [])


def _flagged(place: str, name: str, on: bool) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    return ([constant(name, on)], []) if place == "node" else ([], [flag(name, on)])


def dropouts() -> Iterator[tuple[str, bytes, bool]]:
    """(id, model, whether its Dropout trains): flags of one name, in the main graph and in either branch of an If."""
    kinds = ("node", "initializer")
    for outer, inner, on, other_first in itertools.product(kinds, kinds, (0, 1), (0, 1)):
        nodes, held = _flagged(outer, "t", not on)
        inside, kept = _flagged(inner, "t2", bool(on))
        trains = _branch("a", [*inside, node("Dropout", ["x", "ratio", "t2"], ["a_y"])], kept)
        hidden, more = _flagged(inner, "t2", not on)
        plain = _branch("b", [*hidden, node("Dropout", ["x", "ratio", "t"], ["b_y"])], more)
        first, last = (plain, trains) if other_first else (trains, plain)
        whether = node("If", ["on"], ["y"], then_branch=first, else_branch=last)
        content = graph([*nodes, whether], (RATIO, flag("on", True), *held))
        yield f"{outer} {inner} {on} {other_first}", content, True  # one of the two is on, in either branch
    for outer, inner in itertools.product(kinds, repeat=2):
        nodes, held = _flagged(outer, "t", False)
        inside, kept = _flagged(inner, "t2", False)
        both = [_branch(n, [*inside, node("Dropout", ["x", "ratio", "t2"], [f"{n}_y"])], kept) for n in "ab"]
        whether = node("If", ["on"], ["y"], then_branch=both[0], else_branch=both[1])
        yield f"{outer} {inner} off", graph([*nodes, whether], (RATIO, flag("on", True), *held)), False
    for shadow, given in itertools.product((False, True), repeat=2):  # a formal parameter called like an initializer
        body = [node("Dropout", ["a", "r", "t"], ["b"])]
        local = helper.make_function("local", "D", ["a", "r", "t"], ["b"], body, OPSETS[:1])
        call = node("D", ["x", "ratio", "given"], ["y"], domain="local")
        content = graph([call], (RATIO, flag("t", shadow), flag("given", given)), functions=[local])
        yield f"parameter {given} like initializer {shadow}", content, given
        filled = helper.make_function(
            "local", "D", ["a", "r"], ["b"], [node("Constant", [], ["t"]), *body], OPSETS[:1], attributes=["on"]
        )
        filled.node[0].attribute.add(name="value", ref_attr_name="on", type=AttributeProto.TENSOR)
        call = node("D", ["x", "ratio"], ["y"], domain="local", on=flag("", given))
        content = graph([call], (RATIO, flag("t", shadow)), functions=[filled])
        yield f"attribute {given} like initializer {shadow}", content, given
    computed = [node("Not", ["off"], ["t"]), node("Dropout", ["x", "ratio", "t"], ["y"])]
    yield "computed", graph(computed, (RATIO, flag("off", False))), True


CASES = {name: (content, trains) for name, content, trains in dropouts()}


@pytest.mark.parametrize(("content", "trains"), CASES.values(), ids=CASES)
def test_flags_are_read_by_scope_on_every_way_in(content: bytes, trains: bool, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    for way in (
        lambda: read_model(content),
        lambda: OrtClassifier(content),
        lambda: OrtClassifier(tmp_path / "m.onnx"),
    ):
        if trains:
            with pytest.raises(ModelError, match=r"draws random numbers \(Dropout\)"):
                way()
        else:
            way()


def test_a_scan_hides_names_too() -> None:
    """The loop's own state is called like a constant outside."""
    given = [models.value("t", TensorProto.BOOL, []), models.value("i", 1, None)]
    made = [models.value("t_out", TensorProto.BOOL, []), models.value("o", 1, None)]
    body = helper.make_graph(
        [node("Not", ["t"], ["t_out"]), node("Dropout", ["i", "ratio", "t"], ["o"])], "body", given, made
    )
    whole = [node("Scan", ["false", "x"], ["last", "y"], body=body, num_scan_inputs=1)]
    for name in ("t", "u"):
        with pytest.raises(ModelError, match="Dropout"):
            read_model(graph(whole, (RATIO, flag("false", False), flag(name, False))))


def test_what_a_graph_does_not_show_is_found_by_asking_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each random operator, its name unknown to the reader; in one session, and through `certify`."""
    monkeypatch.setattr(graph_checks, "_RANDOM", set())
    monkeypatch.setattr(graph_checks, "_DROPOUTS", set())
    ways = {
        "RandomNormalLike": [node("RandomNormalLike", ["x"], ["r"])],
        "RandomUniformLike": [node("RandomUniformLike", ["x"], ["r"])],
        "Bernoulli": [node("Sigmoid", ["x"], ["s"]), node("Bernoulli", ["s"], ["r"])],
        "Dropout": [node("Dropout", ["x", "ratio", "t"], ["r"])],
    }
    for nodes in ways.values():
        content = graph([*nodes, node("Add", ["x", "r"], ["y"])], (RATIO, flag("t", True)))
        for size in (None, 1):
            with pytest.raises(ModelError, match="asked for twice"):
                certify(OrtClassifier(read_model(content), batch_size=size), Noise(0.1), X, key=1)


# --- Names that the runtime gives itself ------------------------------------------------------------------------------

ZEROS = np.zeros(4, np.float32)


def _held_dense(name: str) -> bytes:
    return graph([node("Add", ["x", name], ["y"])], (numpy_helper.from_array(ZEROS, name),))


def _held_sparse(name: str) -> bytes:
    model = onnx.load_from_string(graph([node("Add", ["x", name], ["y"])]))
    places = numpy_helper.from_array(np.array([0], np.int64), "")
    values = numpy_helper.from_array(np.zeros(1, np.float32), name)
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4]))
    return bytes(model.SerializeToString())


def _held_by_a_node(name: str) -> bytes:
    return graph([node("Neg", ["x"], [name]), node("Neg", [name], ["y"])])


def _held_in_a_branch(name: str) -> bytes:
    held = numpy_helper.from_array(ZEROS, name)
    both = [_branch(n, [node("Add", ["x", name], [f"{n}_y"])], [held]) for n in "ab"]
    return graph([node("If", ["on"], ["y"], then_branch=both[0], else_branch=both[1])], (flag("on", True),))


def _made_in_a_branch(name: str) -> bytes:
    both = [_branch(n, [node("Neg", ["x"], [name]), node("Neg", [name], [f"{n}_y"])]) for n in "ab"]
    return graph([node("If", ["on"], ["y"], then_branch=both[0], else_branch=both[1])], (flag("on", True),))


def _in_a_function(name: str) -> bytes:
    body = [node("Neg", ["a"], [name]), node("Neg", [name], ["b"])]
    return graph([call("F")], functions=[helper.make_function("local", "F", ["a"], ["b"], body, OPSETS)])


def _input_called(name: str) -> bytes:
    return _renamed("x", name)


def _output_called(name: str) -> bytes:
    return _renamed("y", name)


def _never_made(name: str) -> bytes:
    return graph([node("Add", ["x", name], ["y"])])


def _renamed(old: str, new: str) -> bytes:
    model = onnx.load_from_string(RELU)
    for value in (*model.graph.input, *model.graph.output):
        value.name = new if value.name == old else value.name
    for one in model.graph.node:
        for names in (one.input, one.output):
            names[:] = [new if name == old else name for name in names]
    return bytes(model.SerializeToString())


NAMED = [_held_dense, _held_sparse, _held_by_a_node, _held_in_a_branch, _made_in_a_branch, _in_a_function,
         _input_called, _output_called, _never_made]  # fmt: skip
RESERVED = ["smoothcert_input", "smoothcert_0", "smoothcert_12", "smoothcert_constant_1", "smoothcert_probe_0"]


@pytest.mark.parametrize("place", NAMED, ids=[place.__name__ for place in NAMED])
def test_names_of_the_runtimes_own_are_refused_wherever_they_are(place: Callable[[str], bytes], tmp_path: Path) -> None:
    """The value of one of the two would be taken for the other's, without a word."""
    for name in RESERVED:
        (tmp_path / "m.onnx").write_bytes(place(name))
        for way in (read_source, read_model, OrtClassifier):
            with pytest.raises(ModelError, match=f"expected no name that smoothcert gives itself, got '{name}'"):
                way(tmp_path / "m.onnx")  # type: ignore[operator]
    if place is not _never_made:
        for name in ("smoothcert", "smoothcert_folded_0", "smoothcert_inputs", "smoothcert_weights_0"):
            OrtClassifier(place(name))  # names that exporters write, or that hide nothing


def test_every_name_of_the_runtime_is_reserved() -> None:
    """What a model behind its input has beyond its own names."""
    pipeline = Preprocess(mean=(0.5,), std=(0.5,), scale=0.5)
    for kind in (TensorProto.FLOAT, TensorProto.UINT8):
        model = onnx.load_from_string(graph([node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)]))
        model.graph.input[0].type.tensor_type.elem_type = kind
        file = read_model(model.SerializeToString())
        behind = onnx.load_from_string(file.with_input(np.dtype(np.int16), EIGHT_BIT, pipeline)).graph
        made = {name for one in behind.node for name in (*one.input, *one.output)} - {"x", "y"}
        assert len(made) >= 8
        for name in made:
            with pytest.raises(ModelError, match="gives itself"):
                read_source(_held_by_a_node(name))


# --- Sizes, before memory is taken -----------------------------------------------------------------------------------


def function(name: str, calls: list[str]) -> onnx.FunctionProto:
    names = ["a", *(f"v{i}" for i in range(len(calls) - 1)), "b"]
    nodes = [
        node(op, [first] * (2 if op == "Add" else 1), [last], domain="" if op == "Add" else "local")
        for op, first, last in zip(calls, names, names[1:], strict=False)
    ]
    return helper.make_function("local", name, ["a"], ["b"], nodes, OPSETS)


def call(name: str, given: str = "x", out: str = "y") -> onnx.NodeProto:
    return node(name, [given], [out], domain="local")


def doubling(times: int) -> bytes:
    """A function that inlines to 2 ** times nodes."""
    functions = [function("f0", ["Add"]), *(function(f"f{i}", [f"f{i - 1}"] * 2) for i in range(1, times + 1))]
    return graph([call(f"f{times}")], functions=functions)


def chain(length: int) -> bytes:
    functions = [function("f0", ["Add"]), *(function(f"f{i}", [f"f{i - 1}"]) for i in range(1, length))]
    return graph([call(f"f{length - 1}")], functions=functions)


def swollen() -> bytes:
    """20,000 calls of a function that holds 100 KB: 2 GB."""
    big = numpy_helper.from_array(np.zeros(25_000, np.float32), "w")
    nodes = [
        node("Constant", [], ["w"], value=big),
        node("ReduceSum", ["w"], ["s"], keepdims=0),
        node("Add", ["a", "s"], ["b"]),
    ]
    local = helper.make_function("local", "f", ["a"], ["b"], nodes, OPSETS)
    calls = [
        node("f", ["x" if i == 0 else f"v{i}"], ["y" if i == 19_999 else f"v{i + 1}"], domain="local")
        for i in range(20_000)
    ]
    return graph(calls, functions=[local])


def declared(dims: list[int]) -> bytes:
    empty = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims)
    return graph([node("ReduceSum", ["w"], ["r"], keepdims=0), node("Add", ["x", "r"], ["y"])], (empty,))


def sparse(dims: list[int]) -> bytes:
    proto = onnx.ModelProto.FromString(
        graph([node("ReduceSum", ["w"], ["r"], keepdims=0), node("Add", ["x", "r"], ["y"])])
    )
    tensor = proto.graph.sparse_initializer.add(dims=dims)
    tensor.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "w"))
    tensor.indices.CopyFrom(numpy_helper.from_array(np.array([3], np.int64), "i"))
    return proto.SerializeToString()


def made(op: str, inputs: list[str], **constants: Any) -> bytes:
    held = tuple(numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items())
    nodes = [node(op, inputs, ["a"]), node("Cast", ["a"], ["c"], to=TensorProto.FLOAT)]
    return graph([*nodes, node("ReduceSum", ["c"], ["r"], keepdims=0), node("Add", ["x", "r"], ["y"])], held)


HUGE: dict[str, tuple[Callable[[], bytes], str]] = {
    "2^23 nodes": (lambda: doubling(23), "at most 200,000 nodes with its functions written out, got 8,388,608"),
    "2^60 nodes": (lambda: doubling(60), "at most 200,000 nodes"),
    "a deep chain": (lambda: chain(150), "at most 100 functions within functions, got 149"),
    "a chain of thousands": (lambda: chain(5000), "at most 100 functions within functions"),
    "itself": (lambda: graph([call("f")], functions=[function("f", ["f"])]), "call themselves"),
    "each other": (
        lambda: graph([call("f")], functions=[function("f", ["g"]), function("g", ["f"])]),
        "call themselves",
    ),
    "defined twice": (
        lambda: graph([call("f")], functions=[function("f", ["Add"])] * 2),
        "one defined twice",
    ),
    "bytes": (swollen, "bytes of functions written out"),
    "an initializer": (lambda: declared([2**33]), "expected a file that holds its weights"),
    "more than 64 bits": (lambda: declared([2**40, 2**40]), "expected a file that holds its weights"),
    "a sparse one": (lambda: sparse([2**32]), "expected tensors of at most"),
    "ConstantOfShape": (lambda: made("ConstantOfShape", ["s"], s=[2**20, 2**20]), "declared with 1,099,511,627,776"),
    "Tile": (lambda: made("Tile", ["x", "s"], s=[2**31, 1]), "expected tensors of at most"),
    "Expand": (lambda: made("Expand", ["o", "s"], o=np.float32(1), s=[2**31]), "expected tensors of at most"),
    "Range": (lambda: made("Range", ["l", "h", "d"], l=0, h=2**40, d=1), "expected tensors of at most"),
    "the input": (lambda: models.linear((4,), np.ones((4, 2)), [0.0] * 2, batch=2**40), "expected tensors of at"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "words"), HUGE.values(), ids=HUGE)
def test_what_would_explode_is_refused_at_once(content: Callable[[], bytes], words: str) -> None:
    built = content()
    start = time.perf_counter()
    with pytest.raises(ModelError, match=words) as error:
        OrtClassifier(built)
    assert time.perf_counter() - start < 5
    assert "\n" not in str(error.value)


def test_honest_functions_and_shapes_pass() -> None:
    for content in (
        doubling(8),
        chain(60),
        made("Tile", ["x", "s"], s=[1, 3]),
        sparse([8]),
        made("ConstantOfShape", ["s"], s=[3]),
    ):
        assert read_model(content).shape == (4,)
    assert not read_model(doubling(4)).proto.functions


@pytest.mark.parametrize("size", [10**9, 10**18])
def test_huge_batches_are_refused_before_memory_is_taken(size: int) -> None:
    for classifier in (OrtClassifier(graph([node("Relu", ["x"], ["y"])]), batch_size=size),):
        with pytest.raises(
            ArgumentError, match=rf"batch_size: expected at most 67,108,864 inputs of 4 values, got {size:,}"
        ):
            certify(classifier, Noise(0.5), X, key=1)


# --- Every byte is hashed, and stays what it was ---------------------------------------------------------------------


def external(name: str, values: Any, location: str) -> TensorProto:
    tensor = numpy_helper.from_array(np.asarray(values, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def _in_initializer(model: onnx.ModelProto, tensor: TensorProto) -> None:
    model.graph.initializer.append(tensor)


def _in_sparse_values(model: onnx.ModelProto, tensor: TensorProto) -> None:
    model.graph.sparse_initializer.add(dims=[9]).values.CopyFrom(tensor)


def _in_sparse_indices(model: onnx.ModelProto, tensor: TensorProto) -> None:
    model.graph.sparse_initializer.add(dims=[9]).indices.CopyFrom(tensor)


def _in_constant(model: onnx.ModelProto, tensor: TensorProto) -> None:
    model.graph.node.append(node("Constant", [], ["k"], value=tensor))


def _in_sparse_constant(model: onnx.ModelProto, tensor: TensorProto) -> None:
    held = onnx.SparseTensorProto(dims=[9])
    held.values.CopyFrom(tensor)
    model.graph.node.append(node("Constant", [], ["k"], sparse_value=held))


def _in_list(model: onnx.ModelProto, tensor: TensorProto) -> None:
    model.graph.node.append(node("Anything", [], ["k"]))
    model.graph.node[-1].attribute.add(name="many", type=AttributeProto.TENSORS).tensors.append(tensor)


def _in_sparse_list(model: onnx.ModelProto, tensor: TensorProto) -> None:
    model.graph.node.append(node("Anything", [], ["k"]))
    held = model.graph.node[-1].attribute.add(name="many", type=AttributeProto.SPARSE_TENSORS).sparse_tensors.add()
    held.indices.CopyFrom(tensor)


def _in_branch(model: onnx.ModelProto, tensor: TensorProto) -> None:
    inner = helper.make_graph([node("Constant", [], ["k"], value=tensor)], "i", [], [])
    model.graph.node.append(node("If", ["c"], ["z"], then_branch=inner, else_branch=inner))


def _in_function(model: onnx.ModelProto, tensor: TensorProto) -> None:
    body = [node("Constant", [], ["b"], value=tensor)]
    model.functions.append(helper.make_function("local", "unused", ["a"], ["b"], body, OPSETS))


def _in_default(model: onnx.ModelProto, tensor: TensorProto) -> None:
    body = [node("Identity", ["a"], ["b"])]
    local = helper.make_function("local", "unused", ["a"], ["b"], body, OPSETS)
    local.attribute_proto.append(helper.make_attribute("k", tensor))
    model.functions.append(local)


def _in_training(model: onnx.ModelProto, tensor: TensorProto) -> None:
    model.training_info.add().initialization.initializer.append(tensor)


PLACES = [
    _in_initializer, _in_sparse_values, _in_sparse_indices, _in_constant, _in_sparse_constant, _in_list,
    _in_sparse_list, _in_branch, _in_function, _in_default, _in_training,
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=[place.__name__ for place in PLACES])
def test_external_bytes_count_wherever_the_format_has_them(place: Callable[..., None], tmp_path: Path) -> None:
    proto = onnx.ModelProto.FromString(RELU)
    place(proto, external("w", np.zeros(3), "w.bin"))
    path, beside = tmp_path / "m.onnx", tmp_path / "w.bin"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=r"external weights 'w\.bin'"):
        read_source(path)
    beside.write_bytes(bytes(12))
    first = read_source(path).sha256
    beside.write_bytes(bytes(11) + b"1")
    assert read_source(path).sha256 != first
    for location in ("../w.bin", str(tmp_path.parent / "w.bin"), "*/_ORT_MEM_ADDR_/*", "w\0.bin"):
        (tmp_path.parent / "w.bin").write_bytes(bytes(12))
        other = onnx.ModelProto.FromString(RELU)
        place(other, external("w", np.zeros(3), location))
        path.write_bytes(other.SerializeToString())
        with pytest.raises(ModelError):
            read_source(path)


def test_every_place_of_a_tensor_is_known() -> None:
    """The walk goes by the format's description; a newer ONNX with another kind of message shows here."""
    assert set(graph_walk._paths("onnx.TensorProto")) == {
        f"onnx.{kind}"
        for kind in ("TensorProto", "SparseTensorProto", "AttributeProto", "NodeProto", "GraphProto", "FunctionProto",
                     "ModelProto", "TrainingInfoProto")
    }  # fmt: skip


def with_weights(folder: Path) -> Path:
    proto = onnx.ModelProto.FromString(models.linear((4,), np.eye(4), np.zeros(4)))
    path = folder / "m.onnx"
    onnx.save_model(proto, str(path), save_as_external_data=True, location="w.bin", size_threshold=0)
    return path


def _written(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _one_byte(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\x01")


def _replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def _dated_back(path: Path) -> None:
    status = path.stat()
    _one_byte(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _linked(path: Path) -> None:
    other = path.with_name("other")
    path.rename(other)
    path.symlink_to(other)
    other.write_bytes(bytes(other.stat().st_size))


def _removed(path: Path) -> None:
    path.unlink()


CHANGES = [_written, _one_byte, _replaced, _dated_back, _linked, _removed]


@pytest.mark.parametrize("change", CHANGES, ids=[change.__name__ for change in CHANGES])
@pytest.mark.parametrize("when", ["after hashing", "before the second session", "during the run"])
def test_weights_that_change_are_noticed(change: Callable[[Path], None], when: str, tmp_path: Path) -> None:
    path, levels = with_weights(tmp_path), np.full(4, 9, np.uint8)
    file = read_model(path)
    if when == "after hashing":
        change(tmp_path / "w.bin")
        with pytest.raises(ModelError, match=r"hashed|cannot load"):
            OrtClassifier(file)
        return
    classifier = OrtClassifier(file)
    x = X if when == "during the run" else levels
    if when == "during the run":
        certify(classifier, Noise(0.5), x, n0=10, n=50, key=1)
    change(tmp_path / "w.bin")
    with pytest.raises(ModelError, match=r"hashed|cannot load"):
        certify(classifier, Noise(0.5), x, n0=10, n=50, key=1)


def test_weights_written_within_a_tick_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second change within one tick of the clock would bear the same time."""
    waited: list[float] = []
    path = with_weights(tmp_path)
    monkeypatch.setattr(weights.time, "sleep", waited.append)
    for age in (0.005, 1):
        monkeypatch.setattr(weights.time, "time", lambda age=age: os.stat(tmp_path / "w.bin").st_ctime + age)
        read_model(path)
    assert waited == [pytest.approx(0.015, abs=1e-4), 0]


# --- Time ------------------------------------------------------------------------------------------------------------


def endless() -> bytes:
    given = [models.value("i", 7, []), models.value("go", 9, []), models.value("v", 1, None)]
    made_ = [models.value("go_on", 9, []), models.value("w", 1, None)]
    body = helper.make_graph([node("Identity", ["go"], ["go_on"]), node("Add", ["v", "v"], ["w"])], "b", given, made_)
    held = numpy_helper.from_array(np.array(2**62), "n"), flag("true", True)
    return graph([node("Loop", ["n", "true", "x"], ["y"], body=body)], held)


def test_a_model_that_loops_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is, and while it is tried for adaptation: once, not trial after trial."""
    monkeypatch.setitem(providers.PATIENCE, "CPUExecutionProvider", 0.5)
    for way in (lambda: OrtClassifier(read_model(endless())).prepare(X), lambda: OrtClassifier(endless()).prepare(X)):
        start = time.perf_counter()
        with pytest.raises(
            ProviderError, match=r"expected an answer to a batch of shape \(.*\) within 0.5 s, got none"
        ):
            way()
        assert time.perf_counter() - start < 5


# --- Messages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [123, None, 0.5, lambda batch: batch], ids=lambda value: type(value).__name__)
def test_what_is_no_model_is_named(model: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^model: expected a path, bytes or an opened model, got "):
        OrtClassifier(model)


def test_preprocessing_as_keywords_is_told_what_to_write() -> None:
    content = RELU
    for name in ("mean", "std", "scale", "layout", "spatial"):
        with pytest.raises(
            ArgumentError,
            match=rf"^{name}: preprocessing is given as preprocess=Preprocess\({name}=\.\.\.\), from ",
        ):
            OrtClassifier(content, **{name: (0.5,)})  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"^mean: .*Preprocess\(mean=\.\.\., std=\.\.\.\)"):
        OrtClassifier(content, mean=(0.5,), std=(0.5,))  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"^batchsize: expected arguments that OrtClassifier has"):
        OrtClassifier(content, batchsize=3)  # type: ignore[arg-type]
    assert OrtClassifier(content, preprocess=Preprocess(mean=(0.5,))).preprocess.mean == (0.5,)


@pytest.mark.parametrize("smoothing", [object(), None, 0.5, "noise=0.5", Noise], ids=lambda value: type(value).__name__)
def test_what_is_no_smoothing_is_named(smoothing: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^smoothing: expected a smoothing, such as Noise\(0\.5\), got "):
        certify(lambda batch: batch, smoothing, X)


def test_the_door_says_what_it_did(tmp_path: Path) -> None:
    """Python sees what the command line prints."""
    (tmp_path / "m.onnx").write_bytes(models.linear((4,), np.eye(4), np.zeros(4), batch=3))
    for model in (tmp_path / "m.onnx", (tmp_path / "m.onnx").read_bytes()):
        classifier = OrtClassifier(model)
        assert classifier.adapted == ("batch axis, fixed to 3, made free",)
        assert classifier.warning == ""
        assert classifier.recipe["adapted"] == list(classifier.adapted)
        assert classifier.sha256 == read_source(model).sha256
