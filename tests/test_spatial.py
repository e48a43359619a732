"""From images of any size to the model's pixels. Oracles: OpenCV called by hand; torchvision's rules of sizes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from smoothcert import Noise, OrtClassifier, Preprocess, Rotation, Spatial, certify, certify_enumerated
from smoothcert.errors import DataError, ModelError
from smoothcert.inputs.grey import LUMA
from smoothcert.inputs.levels import EIGHT_BIT
from smoothcert.inputs.spatial import INTERPOLATIONS, PLAIN, Raw
from smoothcert.model.file import METADATA
from smoothcert.model.preprocess import prepared

from . import models

Image = NDArray[Any]
RNG = np.random.default_rng(3)
TALL = RNG.integers(0, 256, (41, 30, 3), dtype=np.uint8)
CONVENTIONS = [  # height, width, resize -> height, width: the shorter side, the other cut off to a whole number
    (41, 30, 20, 27, 20),
    (30, 41, 20, 20, 27),
    (30, 30, 7, 7, 7),
    (480, 640, 256, 256, 341),
    (333, 500, 224, 224, 336),
    (7, 9, 20, 20, 25),
    (1, 3, 5, 5, 15),
    (50, 7, 1, 7, 1),
]


@pytest.mark.parametrize(("height", "width", "side", "rows", "columns"), CONVENTIONS)
def test_sizes_are_torchvisions(height: int, width: int, side: int, rows: int, columns: int) -> None:
    """Resize: new_long = int(size * long / short)."""
    short, long = sorted((height, width))
    assert sorted((rows, columns)) == [side, int(side * long / short)]
    for colours in ((), (1,), (3,), (4,)):
        out = Spatial(resize=side).apply(np.zeros((height, width, *colours), np.uint8))
        assert out.shape == (rows, columns, *colours)
        assert out.flags.c_contiguous


@pytest.mark.parametrize("height", range(20, 28))
def test_crops_are_torchvisions(height: int) -> None:
    """CenterCrop: top = int(round((height - crop) / 2.0)), halves to even. Oracle: pixels that hold their place."""
    places = np.arange(height * 31, dtype=np.float32).reshape(height, 31)
    top, left = int(round((height - 20) / 2.0)), int(round((31 - 20) / 2.0))  # noqa: RUF046
    np.testing.assert_array_equal(Spatial(crop=20).apply(places), places[top : top + 20, left : left + 20])


def resized(image: Image, width: int, height: int, flag: int) -> Image:
    return np.asarray(cv2.resize(image, (width, height), interpolation=flag))


def bordered(image: Image) -> Image:
    return np.pad(image, ((1, 1), (1, 1), *((0, 0),) * (image.ndim - 2)))


def framed(image: Image, top: int, left: int, height: int, width: int, levels: tuple[int, ...] = (114,)) -> Image:
    """OpenCV's own border around the image, of a colour in levels; of float images, of levels / 255."""
    unit = 1 if image.dtype == np.uint8 else 255
    bottom, right = height - top - image.shape[0], width - left - image.shape[1]
    value = [level / unit for level in (levels * 3)[:3]]
    return np.asarray(cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=value))


def seen(image: Image, spatial: Spatial) -> Image:
    """The image behind the pipeline, for a model of any shape."""
    return prepared(image, preprocess=Preprocess(spatial=spatial)).values


BY_HAND: dict[str, tuple[Spatial, Callable[[Image], Image]]] = {
    "nothing": (Spatial(), lambda x: x),
    **{
        f"smaller, {name}": (
            Spatial(resize=20, interpolation=name), lambda x, flag=flag: resized(x, 20, 27, flag)  # type: ignore[misc]
        )
        for name, flag in INTERPOLATIONS.items()
    },
    **{
        f"larger, {name}": (
            Spatial(resize=45, interpolation=name), lambda x, flag=flag: resized(x, 45, 61, flag)  # type: ignore[misc]
        )
        for name, flag in INTERPOLATIONS.items()
    },
    "smaller, areas": (Spatial(resize=20, antialias=True), lambda x: resized(x, 20, 27, cv2.INTER_AREA)),
    "smaller, areas for bicubic": (
        Spatial(resize=20, antialias=True, interpolation="bicubic"), lambda x: resized(x, 20, 27, cv2.INTER_AREA)
    ),
    "larger, areas asked for": (
        Spatial(resize=45, antialias=True, interpolation="bicubic"), lambda x: resized(x, 45, 61, cv2.INTER_CUBIC)
    ),
    "the same": (Spatial(resize=30, interpolation="lanczos"), lambda x: x),
    "cut": (Spatial(crop=17), lambda x: x[12:29, 6:23]),
    "resized and cut": (Spatial(resize=20, crop=16), lambda x: resized(x, 20, 27, cv2.INTER_LINEAR)[6:22, 2:18]),
    "stretched": (Spatial("17x23"), lambda x: resized(x, 17, 23, cv2.INTER_LINEAR)),
    "stretched, areas": (Spatial("17x23", antialias=True), lambda x: resized(x, 17, 23, cv2.INTER_AREA)),
    "stretched, one side longer": (
        Spatial("40x23", antialias=True), lambda x: resized(x, 40, 23, cv2.INTER_LINEAR)
    ),
    "stretched to itself": (Spatial("30x41", "lanczos"), lambda x: x),
    "letterbox": (
        Spatial(20, pad="114"), lambda x: framed(resized(x, 15, 20, cv2.INTER_LINEAR), 0, 2, 20, 20)
    ),
    "letterbox, start": (
        Spatial(20, pad="114", pad_align="start"), lambda x: framed(resized(x, 15, 20, cv2.INTER_LINEAR), 0, 0, 20, 20)
    ),
    "letterbox, wide": (
        Spatial("31x11", pad="black"), lambda x: framed(resized(x, 8, 11, cv2.INTER_LINEAR), 0, 11, 11, 31, (0,))
    ),
    "letterbox, larger, cut": (
        Spatial("60x50", pad="white", crop=40),
        lambda x: framed(resized(x, 37, 50, 1), 0, 11, 50, 60, (255,))[5:45, 10:50],
    ),
    "cut and masked": (Spatial(crop=4, mask="rectangle", share=0.5), lambda x: bordered(x[19:21, 14:16])),
}  # fmt: skip


@pytest.mark.parametrize(("spatial", "by_hand"), BY_HAND.values(), ids=BY_HAND)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_pipeline_is_opencvs(spatial: Spatial, by_hand: Callable[[Image], Image], dtype: Any) -> None:
    """8-bit images stay 8-bit; float ones are not rounded. The image itself is left alone."""
    for image in (TALL, TALL[:, :, 0], TALL[:, :, :1]):
        x = np.ascontiguousarray(image).astype(dtype) / dtype(1 if dtype == np.uint8 else 255)
        x = x.astype(dtype)
        before = x.copy()
        out = spatial.apply(x)
        np.testing.assert_array_equal(out, by_hand(x).reshape(out.shape))
        assert out.dtype == dtype
        assert out.ndim == x.ndim
        np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("share", [1.0, 0.9, 0.5, 0.1])
@pytest.mark.parametrize("shape", [(20, 20), (21, 21), (20, 31), (9, 4), (1, 1)], ids=str)
@pytest.mark.parametrize("mask", ["circle", "rectangle"])
def test_masks(mask: str, shape: tuple[int, int], share: float) -> None:
    """Pixel by pixel by the distance of its centre from the image's; symmetric; black outside, the same inside."""
    height, width = shape
    image = RNG.integers(1, 256, (*shape, 3), dtype=np.uint8)
    kept = np.zeros(shape, bool)
    for y, x in np.ndindex(shape):
        down, right = abs(2 * y - (height - 1)), abs(2 * x - (width - 1))  # in half pixels: whole numbers
        if mask == "circle":
            kept[y, x] = down**2 + right**2 <= (share * min(shape)) ** 2
        else:
            kept[y, x] = down <= share * height and right <= share * width
    out = Spatial(mask=mask, share=share).apply(image)
    np.testing.assert_array_equal(out, np.where(kept[..., None], image, 0))
    white = Spatial(mask=mask, share=share).apply(np.full(shape, 255, np.uint8))
    assert {*np.unique(white)} <= {0, 255}
    for mirrored in (white[::-1], white[:, ::-1], *([white.T] if height == width else [])):
        np.testing.assert_array_equal(white, mirrored)
    if mask == "circle" and height == width:
        np.testing.assert_array_equal(white, np.rot90(white))


YOLO = [(41, 30, 20, 20), (30, 41, 33, 21), (7, 100, 64, 64), (333, 500, 640, 640), (5, 5, 64, 32), (101, 100, 50, 50)]


@pytest.mark.parametrize(("height", "width", "columns", "rows"), YOLO)
@pytest.mark.parametrize("align", ["centre", "start"])
def test_letterboxes_are_yolos(height: int, width: int, columns: int, rows: int, align: str) -> None:
    """r = min(ratios), sides round(r side), borders round(d - .1) and round(d + .1) of half the rest; colours too."""
    image = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
    ratio = min(rows / height, columns / width)
    size = round(width * ratio), round(height * ratio)
    inner = resized(image, *size, cv2.INTER_LINEAR) if size != (width, height) else image
    half = (rows - size[1]) / 2, (columns - size[0]) / 2
    top, left = (round(half[0] - 0.1), round(half[1] - 0.1)) if align == "centre" else (0, 0)
    expected = framed(inner, top, left, rows, columns, (10, 20, 30))
    out = Spatial(f"{columns}x{rows}", pad="10,20,30", pad_align=align).apply(image)
    np.testing.assert_array_equal(out, expected)


GREYS: dict[str, Callable[[Image], Image]] = {
    "bt601": lambda x: np.asarray(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)),
    "bt709": lambda x: np.floor(x @ np.array([0.2126, 0.7152, 0.0722]) + 0.5),
    "mean": lambda x: np.floor(x.sum(axis=2) / 3 + 0.5),
}


@pytest.mark.parametrize("luma", GREYS)
def test_grey(luma: str) -> None:
    """8-bit as OpenCV, or as exact weights, round it (a level off where weights of 16 bits tip a tie); ahead of all."""
    image = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    out, expected = Spatial(grey=luma).apply(image), GREYS[luma](image)
    assert (out.dtype, out.shape) == (np.uint8, (64, 64, 1))
    gap = np.abs(out[..., 0].astype(int) - expected)
    assert gap.max() <= (luma != "bt601")
    assert (gap > 0).mean() < 0.01
    exact = image @ np.array(LUMA[luma])
    assert np.abs(out[..., 0] - exact).max() < 0.51
    np.testing.assert_allclose(Spatial(grey=luma).apply(image.astype(np.float32) / 255)[..., 0], exact / 255, atol=1e-4)
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    np.testing.assert_array_equal(Spatial(grey=luma).apply(grey)[..., 0], grey[..., 0])
    both = Spatial(9, pad="7", grey=luma, crop=5).apply(image)
    np.testing.assert_array_equal(both, Spatial(9, pad="7", crop=5).apply(out))


def test_grey_of_what_is_grey_already() -> None:
    for image in (TALL[:, :, 0], TALL[:, :, :1]):
        np.testing.assert_array_equal(Spatial(grey="bt709").apply(image), image)
    with pytest.raises(DataError, match="channels: expected 1 or 3 colours to make grey, got 4"):
        Spatial(grey="bt601").apply(np.zeros((4, 4, 4), np.uint8))


MONOTONE = [
    Spatial(),
    *(Spatial(grey=luma) for luma in LUMA),
    *(Spatial(7, pad="114", pad_align=align, grey="bt601", antialias=True) for align in ("centre", "start")),
    *(Spatial(box, name) for box in ("5x9", "23x4", "20x20") for name in ("nearest", "bilinear", "area")),
    Spatial(crop=5, mask="circle"),
    *(
        Spatial(resize=side, interpolation=name, antialias=antialias)
        for side, name, antialias in itertools.product(
            (3, 6, 7, 9, 12, 23), ("nearest", "bilinear", "area"), (False, True)
        )
    ),
]


def pairs(count: int) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """x <= y: by a level here and there, by a spike, by a lot."""
    found = []
    for k in range(count):
        shape = (int(RNG.integers(6, 18)), int(RNG.integers(6, 18)), 3)
        x = RNG.integers(0, 256, shape)
        more = [RNG.integers(0, 2, shape), 255 * (RNG.random(shape) < 0.02), RNG.integers(0, 256, shape)][k % 3]
        found.append((x.astype(np.uint8), np.minimum(255, x + more).astype(np.uint8)))
    return found


@pytest.mark.parametrize("spatial", MONOTONE, ids=lambda s: str(s.recipe))
def test_monotone_pipelines_keep_the_order(spatial: Spatial) -> None:
    """x <= y everywhere, then so behind the pipeline: on random pairs of images of any size, odd ones included."""
    assert spatial.monotone
    for x, y in pairs(150):
        assert (spatial.apply(x) <= spatial.apply(y)).all()


@pytest.mark.parametrize("name", ["bicubic", "lanczos"])
def test_others_do_not(name: str) -> None:
    """A counterexample is easily found: their weights are negative in places."""
    spatial = Spatial(resize=11, interpolation=name)
    assert not spatial.monotone
    assert any((spatial.apply(x) > spatial.apply(y)).any() for x, y in pairs(30))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no side": ({"resize": 0}, "resize: expected a side of 1 to 16384 pixels, got 0"),
    "negative": ({"crop": -3}, "crop: expected a side of 1 to 16384 pixels, got -3"),
    "huge": ({"resize": 20_000}, "resize: expected a side of 1 to 16384 pixels, got 20000"),
    "a fraction": ({"resize": 10.5}, "resize: expected"),
    "interpolation": ({"resize": 8, "interpolation": "cubic"}, "interpolation: expected nearest, bilinear, bicubic"),
    "mask": ({"mask": "star"}, "mask: expected circle or rectangle, got 'star'"),
    "share": ({"mask": "circle", "share": 1.5}, "mask: expected a share of the side, above 0 and up to 1, got 1.5"),
    "no share": ({"mask": "circle", "share": 0.0}, "mask: expected a share"),
    "nan": ({"mask": "circle", "share": float("nan")}, "mask: expected a share"),
    "idle interpolation": ({"interpolation": "area"}, "expected interpolation with resize, a share with mask"),
    "idle antialias": ({"antialias": True, "crop": 4}, "expected interpolation with resize, a share with mask"),
    "a size that is none": ({"resize": "224"}, "resize: expected a side in pixels, such as 256, or WIDTHxHEIGHT"),
    "a size of three": ({"resize": "2x2x2"}, "resize: expected a side in pixels, such as 256, or WIDTHxHEIGHT"),
    "an empty size": ({"resize": "0x5"}, "resize: expected a side of 1 to 16384 pixels, got 0"),
    "no colour": ({"resize": 8, "pad": "purple"}, "pad: expected black, white, grey, a level 0 to 255, or three"),
    "two levels": ({"resize": 8, "pad": "1,2"}, "pad: expected black"),
    "a level too high": ({"resize": 8, "pad": "256"}, "pad: expected black"),
    "a colour that is no text": ({"resize": 8, "pad": 114}, "pad: expected black"),
    "nothing to fill": ({"pad": "black"}, "pad: expected with `resize`, the size to fill up to, got none"),
    "nothing to fill with": ({"resize": 8, "pad_align": "start"}, "pad_align: expected with `pad`, a colour"),
    "align": ({"resize": 8, "pad": "0", "pad_align": "end"}, "pad_align: expected centre or start, got 'end'"),
    "weights": ({"grey": "rec2020"}, "grey: expected bt601, bt709, mean, got 'rec2020'"),
    "colours around grey": ({"resize": 8, "pad": "1,2,3", "grey": "mean"}, "pad: expected one level for a grey image"),
    "idle share": ({"share": 0.5}, "expected interpolation with resize, a share with mask"),
}


@pytest.mark.parametrize(("values", "message"), REFUSED.values(), ids=REFUSED)
def test_pipelines_that_are_none(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        Spatial(**values)
    assert "\n" not in str(error.value)


def test_images_that_are_too_small() -> None:
    with pytest.raises(DataError, match="crop: expected at least 8x8 pixels, got 7x30; resize first"):
        Spatial(crop=8).apply(np.zeros((7, 30), np.uint8))
    with pytest.raises(DataError, match="expected an image to resize, crop or mask, got"):
        seen(np.zeros(64, np.uint8), Spatial(crop=8))
    raw, out = Raw(np.zeros((9, 9, 1), np.uint8), Spatial(crop=8)), np.zeros((1, 9, 9, 1), np.int16)
    with pytest.raises(DataError, match="expected 9x9 pixels for the model"):
        raw.place(raw.image, out)


def test_colours_stay_where_they_were() -> None:
    spatial = Spatial(resize=20, crop=16, mask="circle")
    last = seen(TALL, spatial)
    np.testing.assert_array_equal(seen(np.moveaxis(TALL, 2, 0), spatial), np.moveaxis(last, 2, 0))
    np.testing.assert_array_equal(seen(TALL[:, :, 0], spatial), last[:, :, 0])
    np.testing.assert_array_equal(seen(TALL[None, :, :, 0], spatial), last[None, :, :, 0])


# --- Recipes, and models that bring their own -------------------------------------------------------------------------

PIPELINES = [spatial for spatial, _ in BY_HAND.values()] + [
    Spatial(256, "bicubic", True, 224, "rectangle", 0.75),
    Spatial("32x16", pad="1,2,3", pad_align="start"),
    Spatial("32x16", pad="grey", grey="bt709"),
]
WHOLE = [
    Preprocess(),
    Preprocess(1.0, (0.5,), (0.25,), "nchw"),
    Preprocess(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), spatial=Spatial(resize=256, crop=224)),
    Preprocess(1.0, (103.939, 116.779, 123.68), channels="bgr"),
]


@pytest.mark.parametrize("spatial", PIPELINES, ids=lambda s: str(s.recipe))
def test_pipelines_come_back(spatial: Spatial) -> None:
    assert Spatial.of(json.loads(json.dumps(spatial.recipe))) == spatial
    assert (spatial.recipe == {}) == (spatial == Spatial())


@pytest.mark.parametrize(
    "preprocess", [*WHOLE, *(Preprocess(spatial=s) for s in PIPELINES)], ids=lambda p: str(p.recipe)
)
def test_preprocessing_comes_back(preprocess: Preprocess) -> None:
    assert Preprocess.of(json.loads(json.dumps(preprocess.recipe))) == preprocess


def with_metadata(content: bytes, text: str) -> bytes:
    model = onnx.ModelProto.FromString(content)
    onnx.helper.set_model_props(model, {METADATA: text, "other": "kept"})
    return bytes(model.SerializeToString())


OWN = Preprocess(mean=(0.5,), std=(0.25,), spatial=Spatial(resize=20, crop=16))
MODEL = models.half_space((3, 16, 16), RNG.standard_normal((3, 16, 16)), 0.0)
SIGNED = with_metadata(MODEL, json.dumps(OWN.recipe))


def test_a_models_own_preprocessing_is_used() -> None:
    """And says the same as when it is asked for: the same votes of the same noise."""
    assert METADATA == "smoothcert.preprocess"
    own, asked = OrtClassifier(SIGNED), OrtClassifier(MODEL, preprocess=OWN)
    assert own.preprocess == OWN == OrtClassifier(SIGNED, preprocess=OWN).preprocess
    assert OrtClassifier(MODEL).preprocess == Preprocess()
    votes = [certify(c, Noise(0.5), TALL, n=1000, key=4).evidence.estimation for c in (own, asked)]
    assert votes[0] == votes[1]
    assert min(votes[0].values()) > 50


def test_a_way_to_the_pixels_may_be_asked_for_where_metadata_have_none() -> None:
    """As it is of an export whose graph has the arithmetic, and whose metadata have the layout alone."""
    arithmetic = replace(OWN, spatial=PLAIN)
    model = with_metadata(MODEL, json.dumps(arithmetic.recipe))
    for asked in (Preprocess(spatial=OWN.spatial), OWN):  # as on the command line, and as in a recipe
        assert OrtClassifier(model, preprocess=asked).preprocess == OWN
    with pytest.raises(ModelError, match="brings its own preprocessing"):
        OrtClassifier(model, preprocess=Preprocess(scale=0.5, spatial=OWN.spatial))


@pytest.mark.parametrize("asked", [*WHOLE, Preprocess(spatial=OWN.spatial)], ids=lambda p: str(p.recipe))
def test_another_preprocessing_is_refused(asked: Preprocess) -> None:
    with pytest.raises(ModelError, match=r"the model brings its own preprocessing, .*leave the options") as error:
        OrtClassifier(SIGNED, preprocess=asked)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "null", "[]", "7", '"crop"', '{"crop": 16}', '{"layout": "nwhc"}', '{"layout": ["nchw"]}',
        '{"scale": "1"}', '{"scale": 0}', '{"scale": NaN}', '{"mean": 0.5}', '{"mean": ["a"]}', '{"mean": [NaN]}',
        '{"std": 0.5}', '{"std": [0]}', '{"std": ["a"]}', '{"spatial": null}', '{"spatial": 5}', '{"spatial": []}',
        '{"spatial": {"size": 5}}', '{"spatial": {"resize": "20"}}', '{"spatial": {"resize": 20.5}}',
        '{"spatial": {"crop": [16]}}', '{"spatial": {"crop": -1}}', '{"spatial": {"mask": ["circle"]}}',
        '{"spatial": {"resize": 20, "interpolation": ["bilinear"]}}',
        '{"channels": "gray"}', '{"channels": ["bgr"]}', '{"spatial": {"resize": 20, "pad": 114}}',
        '{"channels": "bgr", "spatial": {"grey": "bt601"}}', '{"spatial": {"resize": "20x"}}',
        '{"spatial": {"resize": 20, "antialias": "no"}}', '{"spatial": {"mask": "circle", "share": "1"}}',
    ],
)  # fmt: skip
def test_damaged_metadata_are_refused(text: str) -> None:
    """In one line, as the fault of the model's file."""
    with pytest.raises(ModelError, match=r"metadata 'smoothcert\.preprocess': .*write them again") as error:
        OrtClassifier(with_metadata(MODEL, text))
    assert "\n" not in str(error.value)


# --- Certificates of raw images ---------------------------------------------------------------------------------------

SEEN = [
    Spatial(resize=20, crop=16),
    Spatial(resize=16, antialias=True, crop=16, mask="circle", share=0.9),
    Spatial(crop=16, mask="rectangle", share=0.5),
    Spatial("16x16", pad="114", antialias=True),
]


@pytest.mark.parametrize("spatial", SEEN, ids=lambda s: str(s.recipe))
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("nhwc", [False, True], ids=["planar", "last"])
def test_noise_comes_behind_the_pipeline(spatial: Spatial, dtype: Any, nhwc: bool) -> None:
    """Certifying a raw image is certifying the image preprocessed beforehand: the same votes, the same radius."""
    model = models.convnet((16, 16, 3) if nhwc else (3, 16, 16), nhwc=nhwc, seed=4)
    image = TALL if dtype == np.uint8 else TALL.astype(np.float32) / 255
    before = certify(OrtClassifier(model), Noise(0.3), spatial.apply(image), n=1500, key=6)
    for data in (image, np.ascontiguousarray(np.moveaxis(image, 2, 0))):
        raw = certify(OrtClassifier(model, preprocess=Preprocess(spatial=spatial)), Noise(0.3), data, n=1500, key=6)
        assert raw.evidence == before.evidence
        assert (raw.prediction, raw.radius) == (before.prediction, before.radius)
    assert len(before.evidence.estimation) > 1


def test_members_are_attacked_ahead_of_the_pipeline() -> None:
    """Enumerated rotations turn the raw image, corners included, and are then resized and cut. Oracle: a loop."""
    spatial = SEEN[0]
    model = models.convnet((3, 16, 16), seed=4)
    bare = OrtClassifier(model)
    expected = []
    for angle in np.linspace(-90, 90, 13).tolist():
        matrix = cv2.getRotationMatrix2D((14.5, 20.0), angle, 1)
        turned = TALL if angle == 0 else cv2.warpAffine(TALL, matrix, (30, 41))
        batch = np.moveaxis(spatial.apply(turned), 2, 0)[None].astype(np.int16)
        expected.append(int(bare.labels(batch, 1, EIGHT_BIT)[0]))
    classifier = OrtClassifier(model, preprocess=Preprocess(spatial=spatial))
    votes = certify_enumerated(classifier, TALL, {"rotation": (-90, 90, 13)}).evidence.estimation
    assert votes == {label: expected.count(label) for label in set(expected)}


def test_a_run_with_a_pipeline_verifies(cli: Callable[..., Any], tmp_path: Path) -> None:
    """The run's evidence speaks of the model's pixels, its inputs are the raw ones: `verify` must tell them apart."""
    np.savez(tmp_path / "raw.npz", x=RNG.integers(0, 256, (3, 41, 30), dtype=np.uint8), y=np.zeros(3, int))
    (tmp_path / "model.onnx").write_bytes(models.half_space((1, 16, 16), np.ones(256), -100.0))
    options = ("--smooth", "noise=0.5", "--resize", 20, "--crop", 16, "--n", 500, "--run", "run", "-q")
    done = cli("certify", "model.onnx", "raw.npz", *options)
    assert done.code == 0, done.err
    verdict = cli("verify", "run")
    assert verdict.code == 0, verdict.out
    assert "3 entries (attack model integer), 0 problems" in verdict.out


def test_geometric_parts_need_a_calibration_on_raw_images_too() -> None:
    classifier = OrtClassifier(MODEL, preprocess=Preprocess(spatial=SEEN[0]))
    with pytest.raises(ValueError, match="smoothcert calibrate"):
        certify(classifier, Rotation(5.0), TALL, n=1000, key=1)


def test_a_long_thin_image_is_refused_not_resized_to_fill_the_memory() -> None:
    for wide in (30_000, 3000):
        with pytest.raises(DataError, match="resize: expected at most 67,108,864 pixels, got "):
            Spatial(resize=2**14).apply(np.zeros((1, wide), np.uint8))
