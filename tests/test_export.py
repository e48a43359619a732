"""What every export does, whatever the framework: preprocessing inside, metadata, proof, one file or none."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from smoothcert import Noise, OrtClassifier, Preprocess, Spatial, certify
from smoothcert.errors import ModelError
from smoothcert.model.card import ModelCard
from smoothcert.runs.recipe import run_key
from smoothcert_exporters import Export, Options, annotate, export, files
from smoothcert_exporters.export import FRAMEWORKS
from smoothcert_exporters.finish import finish
from smoothcert_exporters.proof.parity import check_batches, compare, random_inputs

from . import models

SHAPE = (3, 12, 12)
PLANAR = models.convnet(SHAPE)
CHANNELS = Preprocess(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
NAMES = ("plane", "car", "bird", "cat", "deer")
RNG = np.random.default_rng(3)


def reference(content: bytes) -> Any:
    """ONNX's own evaluator in Python: another implementation than the one that certifies."""
    evaluator = ReferenceEvaluator(onnx.load_from_string(content))
    return lambda batch: evaluator.run(None, {"x": batch})[0]


def finished(path: Path, content: bytes = PLANAR, shape: tuple[int, ...] = SHAPE, **values: Any) -> Export:
    proto, function = onnx.load_from_string(content), values.pop("reference", None) or reference(content)
    example = values.pop("example", np.zeros((1, *shape), np.float32))
    return finish(proto, path, reference=function, example=example, source="test 1.0", options=Options(**values))


# --- Preprocessing inside the graph -----------------------------------------------------------------------------------

PIPELINES = {
    "mean and std by channel": CHANNELS,
    "one mean, one std": Preprocess(mean=(0.5,), std=(0.25,)),
    "mean alone": Preprocess(mean=(0.4, 0.5, 0.6)),
    "levels": Preprocess(scale=1.0, mean=(120.0, 117.0, 104.0)),
    "scaled levels": Preprocess(scale=1 / 127.5, mean=(1.0,)),
    "resized and masked": Preprocess(mean=(0.5,), std=(0.2,), spatial=Spatial(resize=12, crop=12, mask="circle")),
    "nothing": Preprocess(),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("preprocess", PIPELINES.values(), ids=PIPELINES)
def test_a_folded_model_votes_as_the_unfolded_one(preprocess: Preprocess, dtype: Any, tmp_path: Path) -> None:
    """Oracle: the runtime's own preprocessing, sample by sample under one key."""
    finished(tmp_path / "m.onnx", preprocess=preprocess)
    side = 20 if preprocess.spatial.resize else 12
    x = RNG.integers(0, 256, (side, side, 3), np.uint8)
    image = x if dtype == np.uint8 else (x / np.float32(255)).astype(np.float32)
    folded = certify(OrtClassifier(tmp_path / "m.onnx"), Noise(0.5), image, n=2000, key=2)
    apart = certify(OrtClassifier(PLANAR, preprocess=preprocess), Noise(0.5), image, n=2000, key=2)
    assert folded.evidence == apart.evidence
    assert len(folded.evidence.estimation) > 1


@pytest.mark.parametrize("nhwc", [False, True], ids=["planar network", "channels last network"])
def test_the_order_of_axes_is_folded(nhwc: bool, tmp_path: Path) -> None:
    """Oracle: the network itself on images whose axes numpy moved. Sides differ, so that a mix-up shows."""
    shape = (10, 14, 3) if nhwc else (3, 10, 14)
    outer = (3, 10, 14) if nhwc else (10, 14, 3)
    content = models.convnet(shape, nhwc=nhwc)
    layout = "nchw" if nhwc else "nhwc"
    finished(tmp_path / "m.onnx", content, shape, preprocess=CHANNELS, input_layout=layout)
    classifier = OrtClassifier(tmp_path / "m.onnx", threads=1, batch_size=30)
    assert (classifier.shape, classifier.preprocess) == (outer, Preprocess(layout=layout))  # type: ignore[arg-type]
    batch = 3 * RNG.standard_normal((30, *outer), np.float32)
    moved = np.moveaxis(batch, 1, -1) if nhwc else np.moveaxis(batch, -1, 1)
    mean, std = (np.reshape(v, (3,) if nhwc else (3, 1, 1)) for v in (CHANNELS.mean, CHANNELS.std))
    expected = reference(content)(((moved - mean) / std).astype(np.float32)).argmax(axis=1)
    assert classifier.labels(batch, 30, None).tolist() == expected.tolist()
    assert len(set(expected.tolist())) > 1


def test_an_exported_file_is_exported_again(tmp_path: Path) -> None:
    """Arithmetic first, then another order of axes. Oracle: the network on moved and standardised images."""
    first = finished(tmp_path / "a.onnx", preprocess=CHANNELS)
    again = onnx.load(first.path)
    mean, std = (np.reshape(v, (3, 1, 1)).astype(np.float32) for v in (CHANNELS.mean, CHANNELS.std))
    finish(
        again,
        tmp_path / "b.onnx",
        reference=lambda batch: reference(PLANAR)((batch - mean) / std),
        example=np.zeros((1, *SHAPE), np.float32),
        source="again",
        options=Options(preprocess=Preprocess(mean=(0.0,), layout="nchw"), input_layout="nhwc"),
    )
    classifier = OrtClassifier(tmp_path / "b.onnx", threads=1, batch_size=30)
    batch = 3 * RNG.standard_normal((30, 12, 12, 3), np.float32)
    expected = reference(PLANAR)((np.moveaxis(batch, -1, 1) - mean) / std).argmax(axis=1)
    assert classifier.labels(batch, 30, None).tolist() == expected.tolist()
    assert classifier.card.source == "again"


def test_preprocessing_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mean/std: expected one value, or one a channel"):
        finished(tmp_path / "m.onnx", preprocess=Preprocess(mean=(0.1, 0.2)))
    with pytest.raises(ValueError, match="input_layout: expected nchw or nhwc, got 'hwc'"):
        finished(tmp_path / "m.onnx", input_layout="hwc")
    with pytest.raises(ValueError, match="example: expected a batch of inputs of shape"):
        finished(tmp_path / "m.onnx", example=np.zeros((1, 3, 9, 9), np.float32))
    with pytest.raises(ValueError, match="examples: expected inputs of shape"):
        finished(tmp_path / "m.onnx", examples=np.zeros((2, 3, 9, 9), np.float32))
    with pytest.raises(ValueError, match=r"tolerance: expected a share of the scores' scale between 0 and 1, got 1$"):
        finished(tmp_path / "m.onnx", tolerance=1)
    assert not any(tmp_path.iterdir())


# --- Metadata ---------------------------------------------------------------------------------------------------------


def test_the_runtime_reads_back_what_was_written(tmp_path: Path) -> None:
    told = {"class_names": NAMES, "training_noise": 0.25, "preprocess": Preprocess(scale=1.0, mean=(128.0,))}
    done = finished(tmp_path / "m.onnx", **told)
    classifier = OrtClassifier(tmp_path / "m.onnx")
    card = classifier.card
    assert (card.class_names, card.training_noise, card.source) == (NAMES, 0.25, "test 1.0")
    assert card.input_range == (0.0, 255.0)
    assert classifier.preprocess == Preprocess(scale=1.0, layout="nchw")
    assert classifier.sha256 == done.sha256
    assert card.parity is not None
    assert card.parity["framework"]["relative"] >= done.parity.relative
    assert card.parity["framework"]["relative"] <= 1e-5
    assert (card.parity["framework"]["flips"], card.parity["batches"]) == (done.parity.flips, [1, 2, 17])


def test_the_weights_have_one_hash_whatever_is_around_them(tmp_path: Path) -> None:
    cards = []
    for i, options in enumerate([{}, {"preprocess": CHANNELS}, {"class_names": NAMES, "training_noise": 1.0}]):
        finished(tmp_path / f"{i}.onnx", **options)
        cards.append(OrtClassifier(tmp_path / f"{i}.onnx").card.weights_sha256)
    finished(tmp_path / "other.onnx", models.convnet(SHAPE, seed=1))
    assert len(set(cards)) == 1
    assert OrtClassifier(tmp_path / "other.onnx").card.weights_sha256 not in cards


def test_an_unmarked_model_has_an_empty_card() -> None:
    assert OrtClassifier(PLANAR).card == ModelCard()


DAMAGED = {
    "no JSON": ("class_names", "[", "class_names"),
    "numbers for names": ("class_names", "[1, 2]", "Expected `str`, got `int`"),
    "negative noise": ("training_noise", "-1", "expected at least 0, got -1"),
    "empty range": ("input_range", "[1, 0]", "expected LOW < HIGH"),
    "no range": ("input_range", "3", "input_range"),
}


@pytest.mark.parametrize(("key", "value", "words"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_metadata_are_refused(key: str, value: str, words: str) -> None:
    model = onnx.load_from_string(PLANAR)
    model.metadata_props.add(key=f"smoothcert.{key}", value=value)
    with pytest.raises(ModelError, match="metadata") as error:
        OrtClassifier(model.SerializeToString())
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_class_names_must_be_as_many_as_classes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="class_names: expected 5, one a class of the model, got 2"):
        finished(tmp_path / "m.onnx", class_names=("a", "b"))
    assert not any(tmp_path.iterdir())


def test_the_card_stays_out_of_the_run_key(tmp_path: Path) -> None:
    """Only hash, output and preprocessing of a model enter it."""
    finished(tmp_path / "m.onnx", class_names=NAMES, training_noise=0.5)
    recipe = OrtClassifier(tmp_path / "m.onnx").recipe
    assert "class_names" not in json.dumps(recipe)
    rest = {"data": {"sha256": ""}, "smoothing": {}, "algorithm": {}, "nonce": ""}
    assert run_key({"model": recipe} | rest) == run_key({"model": recipe | {"class_names": list(NAMES)}} | rest)


def test_annotate_writes_a_card(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(PLANAR)
    annotate(tmp_path / "m.onnx", tmp_path / "a.onnx", CHANNELS, card=ModelCard(class_names=NAMES))
    classifier = OrtClassifier(tmp_path / "a.onnx")
    assert (classifier.card.class_names, classifier.preprocess) == (NAMES, CHANNELS)


def test_what_the_exporter_wrote_besides_is_gone(tmp_path: Path) -> None:
    """Paths and source lines of the machine that exported."""
    model = onnx.load_from_string(PLANAR)
    secret = "/home/somebody/train.py"
    model.graph.node[0].doc_string = model.doc_string = model.graph.doc_string = secret
    model.graph.node[1].metadata_props.add(key="stack_trace", value=secret)
    model.graph.input[0].metadata_props.add(key="file", value=secret)
    model.graph.metadata_props.add(key="file", value=secret)
    model.metadata_props.add(key="author", value="somebody else")
    finished(tmp_path / "m.onnx", model.SerializeToString())
    content = (tmp_path / "m.onnx").read_bytes()
    assert b"train.py" not in content
    assert b"somebody else" in content


# --- The same bytes, one file or none ---------------------------------------------------------------------------------


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        finished(tmp_path / name / "m.onnx", preprocess=CHANNELS, class_names=NAMES)
    assert (tmp_path / "a" / "m.onnx").read_bytes() == (tmp_path / "b" / "m.onnx").read_bytes()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["m.onnx"]


def test_a_fault_leaves_no_file(tmp_path: Path) -> None:
    """A framework whose scores differ by a hundredth of their scale."""
    right = reference(PLANAR)
    faults = {
        "one score": lambda batch: right(batch) + 0.01 * np.abs(right(batch)).max() * np.eye(5)[0],
        "classes": lambda batch: right(batch)[:, ::-1],
        "NaN": lambda batch: np.full((len(batch), 5), np.nan),
        "fewer classes": lambda batch: right(batch)[:, :4],
        "no rows": lambda batch: right(batch)[:-1],
    }
    for name, fault in faults.items():
        with pytest.raises(ModelError) as error:
            finished(tmp_path / "m.onnx", reference=fault)
        assert "\n" not in str(error.value), name
        assert not any(tmp_path.iterdir()), name
    finished(tmp_path / "m.onnx", reference=faults["one score"], tolerance=0.05)
    assert (tmp_path / "m.onnx").exists()


def test_a_fault_on_real_inputs_alone_is_found(tmp_path: Path) -> None:
    """A framework that treats black images otherwise, which random inputs never are."""
    right = reference(PLANAR)

    def other(batch: NDArray[np.float32]) -> NDArray[Any]:
        return np.where(batch.any(axis=(1, 2, 3))[:, None], right(batch), 9.0)

    assert finished(tmp_path / "m.onnx", reference=other, preprocess=Preprocess()).parity.inputs == 128
    with pytest.raises(ModelError, match=r"parity: expected differences up to 0\.0001"):
        finished(tmp_path / "n.onnx", reference=other, examples=np.zeros((2, *SHAPE), np.uint8))
    assert not (tmp_path / "n.onnx").exists()


def test_a_failed_export_keeps_an_older_file(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"older")
    with pytest.raises(ModelError):
        finished(tmp_path / "m.onnx", reference=lambda batch: np.zeros((len(batch), 5)))
    assert (tmp_path / "m.onnx").read_bytes() == b"older"


def test_batches_that_see_each_other_are_refused() -> None:
    with pytest.raises(ModelError, match="batches of 2 against single inputs"):
        check_batches(lambda batch: batch - batch.mean(axis=0), RNG.random((17, 3), np.float32), 1e-4)


def test_weights_beyond_the_limit_lie_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for models of gigabytes; the limit is lowered. Oracle: the file in one piece."""
    content = models.convnet((3, 24, 24))
    whole = finished(tmp_path / "whole.onnx", content, (3, 24, 24), preprocess=CHANNELS)
    monkeypatch.setattr(files, "_LARGEST", 10_000)
    for folder in ("a", "b"):
        finished(tmp_path / folder / "m.onnx", content, (3, 24, 24), preprocess=CHANNELS)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["m.onnx", "m.onnx.data"]
    assert len({path.stat().st_mode for path in (tmp_path / "a").iterdir()}) == 1
    assert (tmp_path / "a" / "m.onnx").read_bytes() == (tmp_path / "b" / "m.onnx").read_bytes()
    batch = RNG.random((40, 3, 24, 24), np.float32)
    found, expected = (
        OrtClassifier(path, threads=1, batch_size=40) for path in (tmp_path / "a" / "m.onnx", whole.path)
    )
    assert found.labels(batch, 40, None).tolist() == expected.labels(batch, 40, None).tolist()
    assert found.card.weights_sha256 == expected.card.weights_sha256


# --- Bad models -------------------------------------------------------------------------------------------------------

BAD = {
    "random": (models.random_operator(), "draws random numbers"),
    "two inputs": (models.two_inputs(), "one input"),
    "regression": (models.regression(), "classifier"),
    "NaN": (models.gives_nan(), "NaN"),
}


@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=BAD)
def test_what_is_no_classifier_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        finished(tmp_path / "m.onnx", content, (4,), reference=lambda batch: batch)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert not any(tmp_path.iterdir())


def test_levels_for_networks_of_integers(tmp_path: Path) -> None:
    """Arithmetic of 8-bit networks stays with the runtime, which rounds. Oracle: numpy."""
    weights, bias = RNG.standard_normal((16, 3)) / 100, RNG.standard_normal(3)
    content = models.linear((16,), weights, bias, elem_type=TensorProto.UINT8)

    def scores(batch: NDArray[np.float32]) -> NDArray[Any]:
        return np.clip(np.floor(batch + 0.5), 0, 255) @ weights + bias

    finished(tmp_path / "m.onnx", content, (16,), reference=scores, input_range=(0, 255))
    assert OrtClassifier(tmp_path / "m.onnx").prepare(np.zeros(16, np.uint8)).values.dtype == np.uint8


# --- Comparison -------------------------------------------------------------------------------------------------------


def test_compare_counts_flips_and_measures() -> None:
    """Worked by hand: scale 4, differences 1e-4 and 2e-4, one flip between scores that nearly tie."""
    expected = np.array([[4.0, 0.0], [1.0, 0.9999], [0.0, 2.0]])
    got = np.array([[4.0001, 0.0], [1.0, 1.0001], [0.0, 2.0]])
    parity = compare(expected, got, 1e-4, "test")
    assert (parity.inputs, parity.flips) == (3, 1)
    assert math.isclose(parity.absolute, 2e-4, rel_tol=1e-6)
    assert math.isclose(parity.relative, 5e-5, rel_tol=1e-6)
    assert parity.bounds == {"inputs": 3, "absolute": 1e-3, "relative": 1e-4, "flips": 1}
    with pytest.raises(ModelError, match=r"1 of 3 classes flipped"):
        compare(expected, got, 1e-5, "test")


def test_compare_labels_and_scores() -> None:
    scores = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert compare(scores, np.array([1, 0]), 1e-4, "test").flips == 0
    assert compare(np.array([[1], [0]]), np.array([1, 0]), 1e-4, "test").inputs == 2
    with pytest.raises(ModelError, match="test: 1 of 2 labels differ"):
        compare(scores, np.array([1, 1]), 1e-4, "test")


def test_equal_infinities_do_not_differ() -> None:
    scores = np.array([[-np.inf, 0.0], [0.0, -np.inf]])
    assert compare(scores, scores, 1e-4, "test").absolute == 0
    with pytest.raises(ModelError):
        compare(scores, np.array([[-1e9, 0.0], [0.0, -np.inf]]), 1e-4, "test")


def test_random_inputs_are_the_same_and_noisy() -> None:
    first = random_inputs((3, 4), 0.0, 2.0)
    assert np.array_equal(first, random_inputs((3, 4), 0.0, 2.0))
    assert 0 <= first[::2].min() < 0.1 < 1.9 < first[::2].max() <= 2
    assert first[1::2].min() < 0
    assert len(random_inputs((3, 1000, 1000), 0, 1)) == 17


# --- One verb ---------------------------------------------------------------------------------------------------------


def test_a_model_of_no_framework_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model: expected one of boosting, jax, .*got function; for a function, name"):
        export(lambda batch: batch, tmp_path / "m.onnx", example=np.zeros(4))
    with pytest.raises(ValueError, match=r"framework: expected one of .*got 'caffe'"):
        export(object(), tmp_path / "m.onnx", example=np.zeros(4), framework="caffe")


def test_importing_brings_no_framework() -> None:
    """In a process of its own: importing everything here imports none of them."""
    code = (
        "import sys, smoothcert, smoothcert_exporters, smoothcert_exporters.examples\n"
        "import smoothcert_exporters.frameworks.pytorch\n"
        f"print(*sorted(set({list(FRAMEWORKS)!r}) & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_a_mask_does_not_hide_a_difference() -> None:
    """-1e9 for a class was the scale of every difference."""
    tables = np.random.default_rng(0).standard_normal((2, 20, 5))
    tables[:, :, 4] = -1e9
    with pytest.raises(ModelError, match="classes flipped"):
        compare(*tables, 1e-4, "parity")
    assert compare(tables[0], tables[0] * (1 + 1e-7), 1e-4, "parity").relative < 1e-6
