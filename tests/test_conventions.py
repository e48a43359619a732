"""`inspect MODEL DATA`: the convention that a model was made with comes first, and ties are called ties."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from scipy.stats import binomtest

from smoothcert import OrtClassifier, Preprocess, Spatial
from smoothcert.cli.inspect import option_text
from smoothcert.inputs.datasets import open_dataset
from smoothcert.model.classifier import open_model
from smoothcert.model.file import METADATA
from smoothcert_exporters.conventions.ranking import LEVEL, Ranking, Tried
from smoothcert_exporters.conventions.trial import rank_conventions

from . import models
from .conftest import IMAGES, MODEL

RNG = np.random.default_rng(11)
COUNT, CLASSES = 150, 6
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ROOM = RNG.integers(0, 256, (COUNT, 1, 1, 3)).astype(float)
PHOTOS = np.clip(ROOM + RNG.normal(0, 50, (COUNT, 20, 26, 3)), 0, 255).astype(np.uint8)


def network(shape: tuple[int, ...], low: float, high: float, *, seed: int = 1, **options: Any) -> bytes:
    """Classes of random smooth directions, whose offsets suit inputs of that range: another is answered otherwise."""
    rng = np.random.default_rng(seed)
    planar = shape[0] < shape[2]
    height, width = shape[1:] if planar else shape[:2]
    colours = shape[0] if planar else shape[2]
    coarse = rng.standard_normal((CLASSES, colours, 3, 3))
    fine = np.array([[cv2.resize(plane, (width, height)) for plane in one] for one in coarse])
    w = (fine if planar else np.moveaxis(fine, 1, -1)).reshape(CLASSES, -1).T
    typical = np.full(shape, (low + high) / 2).ravel()
    return models.linear(shape, w, -(typical @ w), **options)


MADE: dict[str, tuple[tuple[int, ...], tuple[float, float], Preprocess]] = {
    "[0,1]": ((3, 12, 12), (0, 1), Preprocess()),
    "[-1,1], bgr": ((3, 12, 12), (-1, 1), Preprocess(mean=(0.5,), std=(0.5,), channels="bgr")),
    "levels, channels last": ((12, 12, 3), (0, 255), Preprocess(1.0)),
    "ImageNet": ((3, 12, 12), (-2, 2.5), Preprocess(mean=IMAGENET[0], std=IMAGENET[1])),
    "ImageNet, bgr": (
        (3, 12, 12), (-2, 2.5), Preprocess(mean=IMAGENET[0][::-1], std=IMAGENET[1][::-1], channels="bgr")
    ),
    "Caffe": ((3, 12, 12), (-110, 140), Preprocess(1.0, (103.939, 116.779, 123.68), channels="bgr")),
    "grey for one channel": ((1, 12, 12), (0, 1), Preprocess()),
}  # fmt: skip
SIZES: dict[str, Spatial] = {
    "stretched": Spatial("12x12"),
    "cut": Spatial(12, crop=12, antialias=True),
    "letterbox": Spatial("12x12", pad="114"),
    "letterbox, start": Spatial("12x12", pad="black", pad_align="start"),
}


def answers(content: bytes, preprocess: Preprocess, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    classifier = OrtClassifier(content, threads=1, preprocess=preprocess)
    return np.array([classifier.answer(classifier.prepare(image)) for image in images])


def ranked(
    content: bytes, images: NDArray[Any], labels: NDArray[np.int64], folder: Path, count: int = COUNT
) -> Ranking:
    np.savez(folder / "x.npz", x=images, y=labels)
    return rank_conventions(open_model(content), open_dataset(folder / "x.npz"), range(count), threads=1)


@pytest.mark.parametrize(("shape", "span", "made"), MADE.values(), ids=MADE)
def test_the_convention_of_the_labels_is_found(
    shape: tuple[int, ...], span: tuple[float, float], made: Preprocess, tmp_path: Path
) -> None:
    """Labels are a model's answers by one convention, as `certify` computes it: 100 %, ahead of all that differ."""
    content = network(shape, *span)
    way = "bt601" if 1 in shape else ""
    made = Preprocess(made.scale, made.mean, made.std, "auto", Spatial("12x12", grey=way), made.channels)
    labels = answers(content, made, PHOTOS)
    assert len(np.unique(labels)) > 2
    found = ranked(content, PHOTOS, labels, tmp_path)
    assert (found.best.accuracy, found.best.preprocess) == (1.0, made)
    others = [
        one for one in found.tried if one.preprocess.channels != made.channels or one.preprocess.mean != made.mean
    ]
    assert all(one.accuracy < 1 for one in others if found.compared(one) == "worse")
    assert any(found.compared(one) == "worse" for one in others)
    assert not any(one.accuracy < 0.7 and found.compared(one) != "worse" for one in found.tried)


@pytest.mark.parametrize("spatial", SIZES.values(), ids=SIZES)
def test_the_way_to_the_size_is_found(spatial: Spatial, tmp_path: Path) -> None:
    content, made = network((3, 12, 12), 0, 255), Preprocess(1.0, spatial=spatial)
    labels = answers(content, made, PHOTOS)
    assert len(np.unique(labels)) > 2
    found = ranked(content, PHOTOS, labels, tmp_path)
    assert found.best.accuracy == 1.0
    same = [one.preprocess for one in found.tried if found.compared(one) in ("best", "same answers")]
    assert made in same


def test_floats_and_integers(tmp_path: Path) -> None:
    """Data of 0 to 1 and of 0 to 255, in float; a model that takes integers."""
    images = PHOTOS[:, :12, :12]
    content = network((3, 12, 12), -1, 1)
    labels = answers(content, Preprocess(mean=(0.5,), std=(0.5,)), images)
    for x, scale in ((images / np.float32(255), None), (images.astype(np.float32), 1 / 255)):
        best = ranked(content, x, labels, tmp_path).best
        assert (best.accuracy, best.preprocess.mean, best.preprocess.scale) == (1.0, (0.5,), scale)
    content = network((3, 12, 12), 0, 255, elem_type=TensorProto.UINT8)
    labels = answers(content, Preprocess(channels="bgr"), images)
    found = ranked(content, images, labels, tmp_path)
    assert [one.preprocess.channels for one in found.tried] == ["bgr", "rgb"]
    assert (found.best.accuracy, found.compared(found.tried[1])) == (1.0, "worse")


def test_layouts_that_the_shape_leaves_open(tmp_path: Path) -> None:
    images = PHOTOS[:, :12, :12]
    proto = onnx.load_from_string(network((12, 12, 3), 0, 1))
    for dim in proto.graph.input[0].type.tensor_type.shape.dim[1:]:
        dim.ClearField("dim_value")
    content = proto.SerializeToString()
    labels = answers(content, Preprocess(layout="nhwc"), images)
    found = ranked(content, images, labels, tmp_path)
    assert found.best.preprocess == Preprocess(layout="nhwc")
    assert {one.preprocess.layout for one in found.tried} == {"nchw", "nhwc"}


def test_ties_are_called_ties(tmp_path: Path) -> None:
    """Without an offset a scale changes no answer: the same answers. With few inputs little can be told."""
    w = RNG.standard_normal((3 * 12 * 12, CLASSES))
    images, content = PHOTOS[:, :12, :12], models.linear((3, 12, 12), w, np.zeros(CLASSES))
    labels = answers(content, Preprocess(), images)
    found = ranked(content, images, labels, tmp_path)
    levels = next(one for one in found.tried if one.preprocess == Preprocess(1.0))
    assert (found.best.preprocess, found.compared(levels)) == (Preprocess(), "same answers")
    few = ranked(content, images, labels, tmp_path, count=4)
    assert few.ties == len(few.tried) - 1


def test_the_comparison_is_mcnemars() -> None:
    """Oracle: scipy's binomial test of the inputs that just one of two gets right, at 5 % over all comparisons."""
    labels = np.zeros(100, np.int64)
    best = Tried(Preprocess(), np.r_[np.zeros(80), np.ones(20)].astype(np.int64), labels)
    for lost in range(31):
        other = Tried(Preprocess(1.0), np.r_[np.ones(lost), np.zeros(55), np.ones(45 - lost)].astype(np.int64), labels)
        third = Tried(Preprocess(0.5), best.answers, labels)
        ranking = Ranking.of([other, best, third])
        won, back = (
            int(((other.answers != 0) & (best.answers == 0)).sum()),
            int(((other.answers == 0) & (best.answers != 0)).sum()),
        )
        p_value = binomtest(won, won + back).pvalue
        assert ranking.best is best
        assert ranking.compared(other) == ("worse" if p_value <= LEVEL / 2 else "tie")
        assert ranking.compared(third) == "same answers"


def test_options_to_copy_do_what_they_say(cli: Callable[..., Any]) -> None:
    """The first line of the table, pasted into `certify`, gives the base accuracy that it promises."""
    made = Preprocess(1.0, (103.939, 116.779, 123.68), spatial=Spatial("12x12", pad="black", pad_align="start"))
    content = network((3, 12, 12), -110, 140)
    Path("m.onnx").write_bytes(content)
    np.savez("x.npz", x=PHOTOS[:60], y=answers(content, made, PHOTOS[:60]))
    text = option_text(made)
    done = cli(
        "certify",
        "m.onnx",
        "x.npz",
        "--smooth",
        "noise=0.1",
        "--n",
        100,
        "--n0",
        10,
        "-q",
        "--run",
        "a",
        "--alpha",
        0.1,
        *shlex.split(text),
    )
    assert done.code == 0, done.err
    assert "base accuracy 100.0%" in done.out
    full = Preprocess(0.5, (0.1,), (1 / 3,), "nhwc", Spatial("9x8", "area", True, 7, "circle", 0.5, "1,2,3"), "bgr")
    assert option_text(full) == (
        "--channels bgr --resize 9x8 --interpolation area --pad 1,2,3 --crop 7 --mask circle=0.5 --scale 0.5 "
        "--mean 0.1 --std 0.3333333333333333 --layout nhwc --antialias"
    )
    assert option_text(Preprocess(spatial=Spatial(grey="mean"))) == "--channels grey=mean"


def test_the_command(cli: Callable[..., Any]) -> None:
    done = cli("inspect", MODEL, IMAGES, "--limit", 50)
    assert done.code == 0, done.err
    first, best, *_ = done.out.splitlines()
    assert first.startswith("base accuracy on 50 inputs, 4 conventions, best first")
    assert best.split() == ["100.0%", "92.9", "to", "100.0", "best", "(no", "options)"]
    assert "cannot be told from the best by these inputs" in done.out
    np.savez("none.npz", x=PHOTOS[:3])
    bare = cli("inspect", MODEL, "none.npz")
    assert (bare.code, bare.err.count("\n")) == (2, 1)
    assert "expected labelled data to try conventions on, got no label" in bare.err
    np.savez("vectors.npz", x=np.zeros((3, 7), np.float32), y=np.zeros(3, int))
    vectors = cli("inspect", MODEL, "vectors.npz")
    assert (vectors.code, "expected an image to try conventions on" in vectors.err) == (2, True)


def test_a_model_that_brings_its_own_says_so(cli: Callable[..., Any]) -> None:
    proto = onnx.load_from_string(network((3, 20, 26), -1, 1))
    content = proto.SerializeToString()
    onnx.helper.set_model_props(proto, {METADATA: '{"mean": [0.5], "std": [0.5]}'})
    Path("m.onnx").write_bytes(proto.SerializeToString())
    np.savez("x.npz", x=PHOTOS[:60], y=answers(content, Preprocess(mean=(0.5,), std=(0.5,)), PHOTOS[:60]))
    done = cli("inspect", "m.onnx", "x.npz")
    assert done.code == 0, done.err
    assert "best          from the model's own metadata: --mean 0.5 --std 0.5" in done.out
    assert "remark: the model brings its own preprocessing, and takes no options" in done.out
