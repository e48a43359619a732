"""Shapes that depend on values: each model adapted computes what its file does, or is left at its batch, or refused."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from smoothcert import Noise, OrtClassifier, compose
from smoothcert.errors import ModelError
from smoothcert.model.classifier import as_classifier
from smoothcert.runs.folder import RunFolder
from smoothcert.sampling import PROBE, Sampler
from smoothcert_exporters.adapt import adapted as module
from smoothcert_exporters.adapt import folding
from smoothcert_exporters.adapt.adapted import adapt
from smoothcert_exporters.adapt.dynamic_batch import RULES
from smoothcert_exporters.adapt.ready import made_ready
from smoothcert_exporters.adapt.shapes import BY_ARGUMENTS, BY_SHAPE, BY_VALUES, DOMAINS, Proved
from smoothcert_exporters.proof import trial

from .models import value
from .value_cases import FLOAT, FOLDINGS, SETTLED, SOURCES, Build, branch, random_model, row, rows, scored

QUICK = (
    "test_what_depends_on_values_is_not_folded[NonZero]",
    "test_branches_with_the_same_names",
    "test_every_operator_of_onnx_has_its_place",
)

Cli = Callable[..., Any]
HARD = trial.hard_rows


def started(proto: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """ONNX Runtime on its own, without this project's sessions: the oracle."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def answers(proto: onnx.ModelProto, batch: NDArray[Any], size: int) -> NDArray[Any]:
    """Scores in batches of one size, NaN for a batch that ONNX Runtime fails on."""
    session, found = started(proto), []
    for i in range(0, len(batch) - size + 1, size):
        try:
            found.append(np.asarray(session.run(None, {"x": batch[i : i + size]})[0]).reshape(size, -1))
        except Exception:
            found.append(np.full((size, 3), np.nan, np.float32))
    return np.concatenate(found)


def verdict(proto: onnx.ModelProto) -> str:
    """What came of a model: refused, left at its batch size, free, or wrong."""
    own = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
    batch = rows()[:12]
    expected = answers(proto, batch, own)
    known = np.isfinite(expected).all(axis=1)
    if known.sum() < 4:
        return "does not run"
    try:
        adapted = adapt(proto)
    except ModelError as error:
        return "refused" if "\n" not in str(error) else "refused in many lines"
    for size in (adapted.batch,) if adapted.batch else (1, 2, own, 4):
        found = answers(adapted.proto, batch, size)
        if not np.allclose(found[known], expected[known], rtol=1e-3, atol=1e-3):
            return "wrong"
    return "left" if adapted.batch else "free"


def case(source: str, name: str, batch: int | str) -> onnx.ModelProto:
    """One source of a shape in front of one folding."""
    g = Build(batch)
    return scored(g, FOLDINGS[name](g, "f", (SOURCES | SETTLED)[source](g)))


def verdicts(cases: Iterable[tuple[str, str, int | str]]) -> dict[tuple[str, str, int | str], str]:
    return {one: verdict(case(*one)) for one in cases}


@pytest.mark.parametrize("source", SOURCES)
def test_what_depends_on_values_is_not_folded(source: str) -> None:
    """Every operator whose shape depends on values, ahead of the mean by a Size: at batch 1, and behind a free axis."""
    found = verdicts((source, "Sum, Size, Div", batch) for batch in (1, "N"))
    assert set(found.values()) == {"left"}


@pytest.mark.parametrize("name", FOLDINGS)
def test_no_folding_takes_a_count_for_fixed(name: str) -> None:
    """NonZero ahead of every reader of a shape: one row at a time, or refused where three share one count."""
    assert [verdict(case("NonZero", name, batch)) for batch in (1, 3)] == ["left", "refused"]


@pytest.mark.parametrize("source", SETTLED)
def test_what_is_proved_is_still_folded(source: str) -> None:
    assert verdict(case(source, "Reshape", 1)) == verdict(case(source, "Sum, Size, Div", 3)) == "free"


def in_turn(sources: Iterable[str]) -> list[tuple[str, str, int | str]]:
    """Every source in front of every folding once: half of each at a batch of 1, the other half at 3."""
    return [(s, name, (1, 3)[(i + j) % 2]) for i, s in enumerate(sources) for j, name in enumerate(FOLDINGS)]


def test_every_source_in_front_of_every_folding() -> None:
    """49 sources by 23 foldings, at a batch of 1 or 3 in turn, and by 3 behind a free axis: 1,274, none made free."""
    free = {"Expand", "If", "Slice"}
    found = verdicts([*in_turn(SOURCES), *((s, name, "N") for s in SOURCES for name in FOLDINGS if name in free)])
    assert len(found) == 1274
    assert [one for one, what in found.items() if what not in ("left", "refused")] == []
    assert all(what == "left" for (_, _, batch), what in found.items() if batch != 3)


def test_every_settled_source_in_front_of_every_folding() -> None:
    """12 sources whose shape is fixed: nothing that is proved is lost but Loop, which is followed nowhere."""
    found = verdicts(in_turn(SETTLED))
    assert {what for (_, name, _), what in found.items() if name != "Loop"} == {"free"}
    assert {what for (_, name, _), what in found.items() if name == "Loop"} == {"left"}


def search(seeds: range) -> None:
    found = {seed: verdict(random_model(seed)) for seed in seeds}
    assert [seed for seed, what in found.items() if what not in ("left", "refused", "free")] == []
    proved = Counter(what for seed, what in found.items() if seed % 2 == 0)
    assert proved["free"] > 0.8 * len(found) / 2


def test_random_compositions() -> None:
    """60 models put together by chance; half of them without a shape that depends on values are mostly made free."""
    search(range(60))


def test_many_random_compositions() -> None:
    """The same over 400 models."""
    search(range(1000, 1400))


def blind(graph: onnx.GraphProto, *_: Any) -> Proved:
    """What was once taken for proved: every Shape and Size is a constant."""
    fixed = set(folding.constants(graph))
    for node in graph.node:
        if node.op_type in ("Shape", "Size") or folding.reads(node) <= fixed:
            fixed |= set(node.output)
    return Proved(fixed, set())


@pytest.fixture
def no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "proved", blind)
    monkeypatch.setattr(module, "loose", lambda _: [])
    monkeypatch.setattr(trial, "hard_rows", lambda kind, shape: np.zeros((0, *shape), np.float32))


@pytest.mark.usefixtures("no_proof")
def test_these_models_would_be_adapted_wrongly_without_the_proof() -> None:
    """The other side: with every Size a constant and only random rows in the trial, most answer otherwise."""
    found = verdicts((source, "Sum, Size, Div", 1) for source in SOURCES)
    assert Counter(found.values())["wrong"] > 0.6 * len(found)


@pytest.mark.usefixtures("no_proof")
def test_the_trial_notices_a_wrong_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the proof gone: the user's own inputs notice it, and so do the rows of the trial."""
    proto = case("NonZero", "Sum, Size, Div", 1)
    assert adapt(proto).batch is None
    assert adapt(proto, examples=rows()[5:7]).batch == 1
    monkeypatch.setattr(trial, "hard_rows", HARD)
    assert adapt(proto).batch == 1
    with pytest.raises(ValueError, match="examples: expected inputs of shape"):
        adapt(proto, examples=np.zeros((2, 16), np.float32))


# --- The list of what is known ----------------------------------------------------------------------------------------

ASIDE = {
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",  # random
    "Constant", "If", "Loop", "Scan", "SequenceMap",  # by what they hold
    "ConcatFromSequence", "Optional", "OptionalGetElement", "OptionalHasElement", "SequenceAt", "SequenceConstruct",
    "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength", "SplitToSequence",  # sequences
    "CastMap", "CategoryMapper", "DictVectorizer", "RegexFullMatch", "StringConcat", "TfIdfVectorizer", "ZipMap",
    "CausalConvWithState", "LinearAttention", "TensorScatter",  # not yet looked at
}  # fmt: skip


def test_every_operator_of_onnx_has_its_place() -> None:
    names = {s.name for s in onnx.defs.get_all_schemas_with_history() if s.domain in DOMAINS}
    assert names - BY_SHAPE - set(BY_ARGUMENTS) - BY_VALUES - ASIDE == set()
    assert not (BY_SHAPE | set(BY_ARGUMENTS)) & (BY_VALUES | ASIDE)
    assert set(RULES) <= BY_SHAPE | set(BY_ARGUMENTS)


def test_shapes_that_are_known_follow_from_shapes() -> None:
    """Oracle: ONNX's own example of every operator, run with other values of the same shapes: about 2,900 runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    rng = np.random.default_rng(0)
    ways = (np.zeros_like, np.ones_like, lambda v: rng.permuted(v.reshape(-1)).reshape(v.shape))
    found: Counter[bool] = Counter()
    for one in cases:
        (node, *others) = one.model.graph.node
        if others or node.domain not in DOMAINS or node.op_type not in BY_SHAPE | set(BY_ARGUMENTS):
            continue
        sizes = {node.input[i] for i in BY_ARGUMENTS.get(node.op_type, ()) if i < len(node.input)}
        try:
            session = started(one.model)
            feed = {i.name: np.asarray(v) for i, v in zip(session.get_inputs(), one.data_sets[0][0], strict=True)}
            before = [np.shape(v) for v in session.run(None, feed)]
            others = [{k: v if k in sizes or v.dtype.kind in "OU" else way(v) for k, v in feed.items()} for way in ways]
            after = [[np.shape(v) for v in session.run(None, other)] for other in others]
        except Exception:
            continue  # ONNX Runtime lacks it, or refuses the values
        found.update(shapes == before for shapes in after)
    assert set(found) == {True}
    assert found[True] > 2500


# --- Names, remarks and operators that could deceive ------------------------------------------------------------------


def test_branches_with_the_same_names() -> None:
    """Two branches that call different constants and results alike. Oracle: ONNX Runtime on the file as it came."""
    g = Build(1)
    parts = []
    for factor in (2.0, -3.0):
        inner = helper.make_graph(
            [helper.make_node("Mul", ["f", "k"], ["t"]), helper.make_node("Add", ["t", "k"], ["u"])],
            "branch",
            [],
            [value("u", FLOAT, None)],
            [numpy_helper.from_array(np.float32(factor), "k")],
        )
        other = branch(helper.make_node("Identity", ["f"], [g.name()]))
        parts.append(g("If", g("Greater", g("Size", "f"), np.array(3)), then_branch=inner, else_branch=other))
    assert verdict(scored(g, g("Tanh", g("Sub", *parts)))) == "free"


@pytest.mark.parametrize("said", [(2, 7), (16,)], ids=["size", "rank"])
def test_remarks_that_deny_a_measured_shape(said: tuple[int, ...]) -> None:
    """What others wrote of a shape may be what ONNX Runtime computes with."""
    proto = case("Relu", "Sum, Size, Div", 1)
    measured = next(node for node in proto.graph.node if node.op_type == "Size").input[0]
    proto.graph.value_info.append(value(measured, FLOAT, said))
    assert "says of" in adapt(proto).warning
    del proto.graph.value_info[:]
    proto.graph.value_info.append(value(measured, FLOAT, (1, "width")))
    assert adapt(proto).batch is None


def places(g: Build) -> str:
    """Where MaxPool found each value, counted from the first of the whole batch."""
    g("MaxPool", "x", outputs=2, kernel_shape=[2, 2])
    found = g("Cast", g.nodes[-1].output[1], to=FLOAT)
    return g("Pad", g("Reshape", found, [1, 9]), [0, 0, 0, 7])


def scaled(g: Build) -> str:
    """A Resize by a scale that is computed from the input."""
    scales = g("Concat", [1.0, 1.0], g("Reshape", g("ReduceMax", g("Sign", row(g)), [0]), [1]), axis=0)
    return g("Squeeze", g("Resize", g("Unsqueeze", "f", [1]), "", scales), [1])


@pytest.mark.parametrize("make", [places, scaled])
def test_what_is_another_function_beside_other_rows(
    make: Callable[[Build], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left as it came by the graph alone: with a trial that lets all pass."""
    monkeypatch.setattr(trial.Trial, "check", lambda *_, **__: None)
    g = Build(1)
    assert adapt(scored(g, make(g))).batch == 1


# --- From the file to the certificate ---------------------------------------------------------------------------------


def mean_of_what_is_there(path: Path) -> onnx.ModelProto:
    """The sum of the image by the count of its pixels that are not zero: class 0 below 0.3, else 1."""
    g = Build(1)
    mean = g(
        "Div", g("ReduceSum", "f", [1]), g("Cast", g("Size", g("Compress", row(g), g("Cast", row(g), to=9))), to=1)
    )
    proto = g.model(g("Mul", g("Sub", mean, 0.3), np.array([[-1.0, 1.0, -2.0]])))
    onnx.save(proto, path)
    return proto


def sparse_images(path: Path) -> NDArray[np.uint8]:
    """One bright pixel in each: its mean over all pixels is another class than that over those that are there."""
    images = np.zeros((4, 1, 4, 4), np.uint8)
    images.reshape(4, 16)[range(4), [0, 5, 9, 15]] = 200
    np.savez(path, x=images, y=np.zeros(4, int))
    return images


COMMAND = ("certify", "m.onnx", "d.npz", "--smooth", "noise=0.001", "--n0", 10, "--n", 50, "-q", "--run", "r")


def test_certified_as_the_file_answers(cli: Cli, tmp_path: Path) -> None:
    """Oracle: ONNX Runtime on the file as it came."""
    proto, images = mean_of_what_is_there(tmp_path / "m.onnx"), sparse_images(tmp_path / "d.npz")
    done = cli(*COMMAND)
    assert done.code == 0, done.err
    assert "the batch axis stays fixed to 1, since the shape of what Compress gives depends on the values" in done.err
    expected = answers(proto, (images / 255).astype(np.float32), 1).argmax(axis=1)
    assert [entry["base"] for entry in RunFolder(tmp_path / "r").entries()] == expected.tolist()


@pytest.mark.usefixtures("no_proof")
def test_preflight_compares_the_runs_own_samples(cli: Cli, tmp_path: Path) -> None:
    """With proof and hard rows gone the file is adapted wrongly: the run is refused before anything is written."""
    mean_of_what_is_there(tmp_path / "m.onnx")
    sparse_images(tmp_path / "d.npz")
    done = cli(*COMMAND)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "adapted in memory, the model answers otherwise than its file" in done.err
    assert not (tmp_path / "r").exists()


def test_the_samples_compared_are_those_that_are_counted() -> None:
    """Oracle: the votes of the loop itself, over an 8-bit image and over a vector of floats."""
    rng = np.random.default_rng(4)
    for x in (rng.integers(0, 256, (4, 4), np.uint8), rng.random(16, np.float32)):
        base = as_classifier(lambda batch: batch.reshape(len(batch), 16)[:, :3])
        sampler = Sampler(base, compose(Noise(0.5)).perturbation, base.prepare(x), key=7, index=3)
        labels = base.labels(sampler.samples(PROBE, 5, 45), 40, sampler.x.levels)
        assert Counter(labels.tolist()) == sampler.counts(PROBE, 5, 45)


def test_an_adapted_model_keeps_its_file_as_it_came(tmp_path: Path) -> None:
    """What `OrtClassifier` is asked: nothing of equal functions, a `ModelError` of others."""
    onnx.save(case("Relu", "Sum, Size, Div", 3), tmp_path / "m.onnx")
    ready = made_ready(tmp_path / "m.onnx")
    assert ready is not None
    batch = rows()
    OrtClassifier(ready).require_one_function(batch, levels=None)
    other = case("Softmax, Transpose", "Tile", 3)
    with pytest.raises(ModelError, match="answers otherwise than its file"):
        OrtClassifier(replace(ready, given=other)).require_one_function(batch, levels=None)
    OrtClassifier(replace(ready, given=None)).require_one_function(batch, levels=None)


def test_a_free_axis_in_front_of_a_count_is_run_one_by_one(tmp_path: Path) -> None:
    """Rows that share one count depend on each other, which rows without zeros do not show."""
    onnx.save(case("NonZero", "Sum, Size, Div", "N"), tmp_path / "m.onnx")
    ready = made_ready(tmp_path / "m.onnx")
    assert ready is not None
    assert ready.batch == 1
    assert "NonZero" in ready.warning
    onnx.save(case("Relu", "Sum, Size, Div", 1), tmp_path / "n.onnx")
    assert made_ready(tmp_path / "n.onnx", None, rows()) is not None


# --- What frameworks write stays adaptable ----------------------------------------------------------------------------


def attention(g: Build) -> str:
    """Four tokens of width 4, two heads: every size read off the tensors, as torch traces it."""
    x = g("Reshape", "f", g("Concat", g("Shape", "f", end=1), [4, 4], axis=0))
    sizes = [g("Unsqueeze", g("Gather", g("Shape", x), np.array(i)), [0]) for i in range(3)]
    each = g("Div", sizes[2], [2])

    def heads(scale: float) -> str:
        shape = g("Concat", sizes[0], sizes[1], [2], each, axis=0)
        return g("Transpose", g("Reshape", g("MatMul", x, scale * np.tri(4)), shape), perm=[0, 2, 1, 3])

    score = g("MatMul", heads(1.0), g("Transpose", heads(0.5), perm=[0, 1, 3, 2]))
    score = g("Div", score, g("Sqrt", g("Cast", each, to=FLOAT)))
    mixed = g("Transpose", g("MatMul", g("Softmax", score), heads(0.7)), perm=[0, 2, 1, 3])
    return g("Reshape", mixed, g("Concat", sizes[0], g("Mul", sizes[1], sizes[2]), axis=0))


def token(g: Build) -> str:
    """A class token expanded to the batch that a Shape gives, and its row cut off again."""
    x = g("Reshape", "f", [-1, 4, 4])
    shape = g("Concat", g("Shape", x, end=1), [-1, -1], axis=0)
    where = g("Where", g("Equal", shape, [-1]), [1, 1, 1], shape)
    x = g("Concat", g("Expand", np.linspace(0, 1, 4)[None, None], where), x, axis=1)
    rows_ = g("Slice", x, [1], g("Gather", g("Shape", x), [1]), [1])
    return g("Flatten", g("Mul", rows_, g("Slice", x, [0], [1], [1])), axis=1)


def tensorflow_flatten(g: Build) -> str:
    """Strided slices of a shape in 32-bit integers, packed again."""
    x = g("Transpose", g("Conv", "x", np.ones((2, 1, 3, 3)), kernel_shape=[3, 3], pads=[1] * 4), perm=[0, 2, 3, 1])
    batch = g("Slice", g("Cast", g("Shape", x), to=6), np.int32([0]), np.int32([1]), np.int32([0]))
    flat = g("Reshape", x, g("Cast", g("Concat", batch, np.int32([32]), axis=0), to=7))
    return g("Slice", flat, [0], [32], [1], [2])


def skip_resized(g: Build) -> str:
    """A map resized to the height and width of an earlier one."""
    small = g("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2])
    sizes = g("Concat", g("Slice", g("Shape", small), [0], [2]), g("Slice", g("Shape", "x"), [2], [4]), axis=0)
    return g("Flatten", g("Add", "x", g("Resize", small, "", "", sizes, mode="nearest")), axis=1)


def mean_of_a_map(g: Build) -> str:
    """ReduceMean as a sum by the number of pixels that a Shape gives."""
    x = g("Relu", g("Conv", "x", np.ones((16, 1, 3, 3)), kernel_shape=[3, 3]))
    pixels = g("ReduceProd", g("Cast", g("Slice", g("Shape", x), [2], [4]), to=FLOAT), keepdims=0)
    return g("Div", g("ReduceSum", x, [2, 3], keepdims=0), pixels)


@pytest.mark.parametrize("make", [attention, token, tensorflow_flatten, skip_resized, mean_of_a_map])
@pytest.mark.parametrize("batch", [1, 3])
def test_sizes_that_are_read_off_tensors(make: Callable[[Build], str], batch: int) -> None:
    g = Build(batch)
    assert verdict(scored(g, make(g))) == "free"
