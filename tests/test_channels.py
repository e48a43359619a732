"""Orders of colours and grey: what the model gets, and of which image a certificate speaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from smoothcert import Noise, OrtClassifier, Preprocess, Spatial, certify, compose
from smoothcert.errors import ArgumentError, DataError
from smoothcert.inputs.spatial import Raw
from smoothcert.smoothing import TRANSFORMS, parse_part
from smoothcert.smoothing.cutting import farthest
from smoothcert.smoothing.transform import attacked
from smoothcert_exporters.onnx_file import export_file
from smoothcert_exporters.options import Options

from . import models

RNG = np.random.default_rng(8)
SHAPE = (3, 6, 5)
WEIGHTS = RNG.standard_normal((*SHAPE, 4))
IMAGE = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)
GREY = Spatial(grey="bt601")
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def linear(weights: NDArray[Any], axis: int = 0, bias: float = 0.0) -> bytes:
    """Scores are weights (3, h, w, classes) times the image; colours along that axis of the model's input."""
    w = np.moveaxis(weights, 0, axis)
    return models.linear(w.shape[:3], w.reshape(-1, w.shape[3]), np.full(w.shape[3], bias))


def votes(model: bytes, preprocess: Preprocess, smoothing: Any = "noise=0.7", image: NDArray[Any] = IMAGE) -> Any:
    """The votes for an image: a fixed key, so that equal functions give equal votes."""
    classifier = OrtClassifier(model, threads=1, preprocess=preprocess)
    smooth = compose(*(parse_part(text) for text in smoothing.split()))
    return certify(classifier, smooth, image, n0=10, n=1500, key=3).evidence


@pytest.mark.parametrize("smoothing", ["noise=0.7", "hue=60", "saturation=0.9", "hue=40 noise=0.3"])
@pytest.mark.parametrize("axis", [0, 2], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_bgr_model_votes_as_the_rgb_model_of_turned_weights(smoothing: str, axis: int, dtype: Any) -> None:
    """Parts that act on colours know red from blue all the same; mean and std are in the model's own order."""
    image = IMAGE if dtype == np.uint8 else IMAGE.astype(np.float32) / 255
    turned = votes(linear(WEIGHTS[::-1], axis), Preprocess(mean=MEAN, std=STD), smoothing, image)
    bgr = Preprocess(mean=MEAN[::-1], std=STD[::-1], channels="bgr")
    assert votes(linear(WEIGHTS, axis), bgr, smoothing, image) == turned
    assert len(turned.estimation) > 1
    assert votes(linear(WEIGHTS, axis), Preprocess(mean=MEAN, std=STD), smoothing, image) != turned


def test_bgr_is_what_opencv_users_feed() -> None:
    """cv2.imread's array, minus Caffe's means, planar. Oracle: the same in numpy."""
    caffe = (103.939, 116.779, 123.68)
    classifier = OrtClassifier(linear(WEIGHTS), preprocess=Preprocess(1.0, caffe, channels="bgr"))
    for _ in range(20):
        image = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)
        by_hand = cv2.cvtColor(image, cv2.COLOR_RGB2BGR).astype(np.float32) - np.array(caffe, np.float32)
        scores = np.moveaxis(by_hand, 2, 0).ravel() @ WEIGHTS.reshape(-1, 4)
        assert classifier.answer(classifier.prepare(image)) == scores.argmax()


@pytest.mark.parametrize("axis", [0, 2], ids=["nchw", "nhwc"])
def test_one_grey_channel_becomes_three(axis: int) -> None:
    """Colours, and grey images, for a model of three channels: votes as of the model that takes their sum."""
    one = WEIGHTS.sum(axis=0, keepdims=True)
    means = Preprocess(mean=(0.4,), std=(0.2,), spatial=GREY)
    expected = votes(linear(one, axis), means)
    assert votes(linear(WEIGHTS, axis), means) == expected
    assert Preprocess(mean=(0.4,), std=(0.2,), channels="grey") == means
    assert len(expected.estimation) > 1
    grey = cv2.cvtColor(IMAGE, cv2.COLOR_RGB2GRAY)
    for image in (grey, grey[..., None], grey[None]):
        assert votes(linear(WEIGHTS, axis), means, image=image).estimation == expected.estimation
    assert OrtClassifier(linear(WEIGHTS, axis), preprocess=means).shape == ((1, 6, 5), (1, 6, 5), (6, 5, 1))[axis]


def test_a_certificate_of_grey_speaks_of_the_grey_image() -> None:
    """From both sides, on half-spaces: the radius is the distance of the one channel that is drawn on, in its l2.

    Noise on three copies certifies sqrt(3) times that distance, which an attacker on the grey image beats.
    """
    for seed in range(6):
        rng = np.random.default_rng(seed)
        w = np.repeat(rng.standard_normal((1, 6, 5)), 3, axis=0)
        grey = cv2.cvtColor(IMAGE, cv2.COLOR_RGB2GRAY) / 255.0
        distance = 0.35
        bias = -float((w.sum(axis=0) * grey).sum()) + distance * float(np.linalg.norm(w.sum(axis=0)))
        model = models.half_space(SHAPE, w, bias)
        found = certify(
            OrtClassifier(model, preprocess=Preprocess(spatial=GREY)), Noise(0.3), IMAGE, n=20_000, key=seed
        )
        assert 0.9 * distance < found.radius <= distance
        copies = cv2.cvtColor(cv2.cvtColor(IMAGE, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        wrong = certify(OrtClassifier(model), Noise(0.3), copies, n=20_000, key=seed)
        assert wrong.radius > 1.5 * distance
        beyond = grey - 1.01 * distance * w.sum(axis=0) / np.linalg.norm(w.sum(axis=0))
        assert float((w * beyond).sum() + bias) < 0 < float((w * grey).sum() + bias)


REFUSED: dict[str, tuple[tuple[int, ...], Preprocess, str]] = {
    "bgr of one channel": ((1, 6, 5), Preprocess(channels="bgr"), "bgr is for models of three channels, got one of"),
    "bgr of a vector": ((90,), Preprocess(channels="bgr"), "bgr is for models of three channels, got one of"),
}


@pytest.mark.parametrize(("shape", "preprocess", "message"), REFUSED.values(), ids=REFUSED)
def test_models_without_three_channels(shape: tuple[int, ...], preprocess: Preprocess, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        OrtClassifier(models.half_space(shape, np.ones(shape), 0.0), preprocess=preprocess)


def test_images_without_three_colours() -> None:
    free = models.half_space((None, None, None), np.ones(90), 0.0)  # type: ignore[arg-type]
    classifier = OrtClassifier(free, preprocess=Preprocess(layout="nchw", channels="bgr"))
    with pytest.raises(DataError, match="channels: expected images of three colours for bgr, got uint8"):
        classifier.prepare(IMAGE[..., 0])


ADVICE: dict[str, tuple[tuple[int, ...], tuple[int, ...], str, str]] = {
    "a size": ((3, 9, 9), (6, 5, 3), "auto", "pass `resize=9x9`, which stretches, `resize=9` with `crop=9`"),
    "a size of that ratio": ((3, 12, 10), (6, 5, 3), "auto", "pass `resize=10x12`$"),
    "a wide size": (
        (4, 9, 3),
        (6, 5, 3),
        "nhwc",
        "pass `resize=9x4`, which stretches, or `resize=9x4` with `pad=black`",
    ),
    "grey": ((1, 6, 5), (6, 5, 3), "auto", "pass `channels=grey`$"),
    "three of grey": ((3, 6, 5), (6, 5), "auto", "pass `channels=grey`$"),
    "grey and a size": ((1, 12, 10), (6, 5, 3), "auto", "pass `channels=grey` and `resize=10x12`$"),
    "a fourth channel": ((3, 6, 5), (6, 5, 4), "auto", "leave out the fourth channel of the data"),
    "a layout": ((6, 5, 3), (3, 6, 5), "nchw", "pass `layout=auto`"),
    "a vector": ((64,), (6, 5), "auto", "`resize=8` with `crop=8`"),
}


@pytest.mark.parametrize(("model", "data", "layout", "message"), ADVICE.values(), ids=ADVICE)
def test_what_does_not_fit_names_what_would(
    model: tuple[int, ...], data: tuple[int, ...], layout: Any, message: str
) -> None:
    """And what it names does fit."""
    content, x = models.half_space(model, np.ones(model), 0.0), np.zeros(data, np.uint8)
    with pytest.raises(DataError, match=message) as error:
        OrtClassifier(content, preprocess=Preprocess(layout=layout)).prepare(x)
    assert "\n" not in str(error.value)
    text = str(error.value)
    if "`resize=" in text:
        grey = "bt601" if "`channels=grey`" in text else ""
        size = text.split("`resize=")[1].split("`")[0]
        for spatial in (Spatial(size, grey=grey), *([Spatial(size, pad="black", grey=grey)] if "pad=" in text else [])):
            OrtClassifier(content, preprocess=Preprocess(layout=layout, spatial=spatial)).prepare(x)


def test_constants_in_levels_are_noticed(cli: Callable[..., Any]) -> None:
    np.savez("x.npz", x=IMAGE[None], y=np.zeros(1, int))
    Path("m.onnx").write_bytes(linear(WEIGHTS))
    command = ("certify", "m.onnx", "x.npz", "--smooth", "noise=0.5", "--n", 200, "-q", "--mean", "123.7,116.8,103.9")
    done = cli(*command)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "add --scale 1 where they are in levels 0 to 255" in done.err
    assert cli(*command, "--scale", 1).code == 0
    refused = cli("export", "onnx", "m.onnx", "out.onnx", "--mean", "123.7,116.8,103.9")
    assert (refused.code, "add --scale 1" in refused.err) == (2, True)


# --- Slices, calibrations, exports ------------------------------------------------------------------------------------

RAW = RNG.integers(0, 256, (23, 31, 3), dtype=np.uint8)
WAYS = [
    Spatial("16x12", pad="114", grey="bt601"),
    Spatial(14, pad="10,200,30", pad_align="start", antialias=True),
    Spatial("13x17", grey="bt709", mask="circle"),
]


def outside(spatial: Spatial, transform: str, low: float, high: float) -> int:
    """How many pixels leave the enclosure, and whether images leave `farthest`, over many attacks of the interval."""
    raw, attack = Raw(RAW, spatial), TRANSFORMS[transform]
    bounds = [(raw.processed(a), raw.processed(b)) for a, b in attack().enclose(RAW, low, high)]
    least, most = np.min([a for a, _ in bounds], 0).astype(int), np.max([b for _, b in bounds], 0).astype(int)
    middle = raw.processed(attacked(RAW, [(attack(), (low + high) / 2)])).astype(int)
    reach, count = 255 * farthest(raw, attack(), low, high) + 1e-6, 0
    for value in np.linspace(low, high, 41).tolist():
        seen = raw.processed(attacked(RAW, [(attack(), value)])).astype(int)
        count += int(((seen < least) | (seen > most)).sum()) + int(np.linalg.norm(seen - middle) > reach)
    return count


@pytest.mark.parametrize("spatial", WAYS, ids=lambda s: str(s.recipe))
@pytest.mark.parametrize(("transform", "low", "high"), [("rotation", 2.0, 3.0), ("scaling", 1.0, 1.02)])
def test_slices_enclose_through_grey_and_letterboxes(spatial: Spatial, transform: str, low: float, high: float) -> None:
    assert spatial.monotone
    assert outside(spatial, transform, low, high) == 0


def test_the_enclosure_test_can_fail() -> None:
    """A pipeline that overshoots is caught by it."""
    assert outside(Spatial("40x33", "lanczos", grey="bt601"), "rotation", 2.0, 3.0) > 0


def test_slices_of_a_letterbox_verify_and_audit(cli: Callable[..., Any]) -> None:
    """A run by slices through grey and a letterbox: verified, and attacked through the same pipeline."""
    np.savez("raw.npz", x=np.stack([RAW, RAW[::-1]]), y=np.ones(2, int))
    w = RNG.standard_normal((1, 12, 16))
    w -= w.mean()
    Path("m.onnx").write_bytes(models.half_space((1, 12, 16), w, 40.0))
    ways = ("--channels", "grey", "--resize", "16x12", "--pad", 114, "--pad-align", "start")
    done = cli(
        "certify", "m.onnx", "raw.npz", "--smooth", "noise=1", "--mode", "slices", "--attack", "rotation=-1:1",
        "--n", 3000, "--run", "run", "-q", *ways
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "rotation -1:1 │             100.0%" in done.out
    verdict = cli("verify", "run")
    assert (verdict.code, "0 problems" in verdict.out) == (0, True), verdict.out
    audit = cli("audit", "run", "--attacks", 4, "-q")
    assert (audit.code, "0 violations" in audit.out) == (0, True), audit.out


def test_calibrations_hold_the_pipeline(cli: Callable[..., Any]) -> None:
    """Measured through grey and a letterbox; certifying through another grey is refused. bgr changes no error."""
    images = [cv2.GaussianBlur(RNG.integers(0, 256, (23, 31, 3), dtype=np.uint8), (9, 9), 3) for _ in range(40)]
    np.savez("raw.npz", x=np.stack(images), y=np.zeros(40, int))
    Path("m.onnx").write_bytes(models.half_space((1, 12, 16), np.ones((1, 12, 16)), 100.0))
    ways = ("--resize", "16x12", "--pad", 114)
    measured = cli(
        "calibrate", "measure", "raw.npz", "r.cal", "--smooth", "rotation=5", "--attack", "rotation=-5:5", "-q",
        *ways, "--channels", "grey"
    )  # fmt: skip
    assert measured.code == 0, measured.err
    command = (
        "certify", "m.onnx", "raw.npz", "--smooth", "rotation=5", "--smooth", "noise=0.5", "--calibration", "r.cal",
        "--n", 500, "--limit", 2, "-q", *ways,
    )  # fmt: skip
    done = cli(*command, "--channels", "grey", "--run", "run")
    assert done.code == 0, done.err
    verdict = cli("verify", "run")
    assert (verdict.code, "0 problems" in verdict.out) == (0, True), verdict.out
    other = cli(*command, "--channels", "grey=bt709")
    assert other.code == 2
    assert "calibrate this pipeline" in other.err
    for name, channels in (("a", "rgb"), ("b", "bgr")):
        cli("calibrate", "measure", "raw.npz", f"{name}.cal", "--smooth", "rotation=5", "--attack", "rotation=-5:5",
            "--channels", channels, "-q")  # fmt: skip
    assert Path("a.cal").read_bytes() == Path("b.cal").read_bytes()


EXPORTED = {
    "bgr": Preprocess(mean=MEAN, std=STD, channels="bgr"),
    "bgr in levels": Preprocess(1.0, (104.0, 117.0, 124.0), channels="bgr"),
    "grey": Preprocess(mean=MEAN, std=STD, spatial=GREY),
    "grey, resized": Preprocess(mean=(0.5,), std=(0.5,), spatial=Spatial("5x6", pad="114", grey="mean")),
}


@pytest.mark.parametrize("layout", ["", "nhwc"])
@pytest.mark.parametrize("preprocess", EXPORTED.values(), ids=EXPORTED)
def test_exports_hold_it(preprocess: Preprocess, layout: str, tmp_path: Path) -> None:
    """Channels, mean and std in the graph, the way to the pixels in the metadata: the same votes without options."""
    (tmp_path / "m.onnx").write_bytes(linear(WEIGHTS))
    done = export_file(
        tmp_path / "m.onnx", tmp_path / "out.onnx", options=Options(preprocess=preprocess, input_layout=layout)
    )
    assert "the channels" in done.changes[-1]
    exported = OrtClassifier(tmp_path / "out.onnx", threads=1)
    one = preprocess.spatial.grey != ""
    assert exported.shape == ((6, 5, 1 if one else 3) if layout else (1 if one else 3, 6, 5))
    assert (exported.preprocess.channels, exported.preprocess.mean) == ("rgb", ())
    image = RAW if preprocess.spatial.resize else IMAGE
    expected = votes((tmp_path / "m.onnx").read_bytes(), preprocess, image=image)
    found = certify(exported, compose(Noise(0.7)), image, n0=10, n=1500, key=3).evidence
    if not layout:  # the order of axes is that of the draws
        assert found == expected
    assert len(found.estimation) > 1
