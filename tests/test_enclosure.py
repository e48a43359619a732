"""Enclosures of the attacker's warps. Oracle: the warps themselves, at many parameters; for the slack, ramps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from smoothcert.transforms import enclosure, warps
from smoothcert.transforms.motions import ROTATION, SCALING

QUICK = (
    "test_positions_beyond_sixteen_bits_get_the_whole_range",
    "test_narrow_parts_leave_smooth_images_almost_fixed",
    "test_it_refuses",
)

Image = NDArray[np.uint8]
MOTIONS = {"rotation": ROTATION, "scaling": SCALING}
KINDS = pytest.mark.parametrize("kind", ["rotation", "scaling"])
BORDERS = pytest.mark.parametrize("border", warps.WARP_BORDERS)
INTERPOLATIONS = pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
WARPS: dict[str, Callable[..., Image]] = {"rotation": warps.rotate, "scaling": warps.scale}
SHAPES = [(17, 23), (28, 28), (1, 9), (9, 1), (1, 1), (2, 2), (3, 40), (13, 18, 3), (16, 33, 4), (11, 12, 2), (9, 7, 1)]
ANGLES = [
    (0, 0),
    (0, 0.05),
    (-0.01, 0.01),
    (44, 46),
    (89.9, 90),
    (90, 90),
    (179.99, 180.01),
    (359, 361.5),
    (-725, -719),
]
FACTORS = [(1, 1), (0.999, 1.001), (1, 1.05), (0.5, 0.5), (1.99, 2), (2, 2.001), (0.25, 0.3), (3.9, 4.1)]
NARROW = {"rotation": (12.0, 12.1), "scaling": (0.9, 0.901)}


@pytest.fixture(params=[True, False], ids=["vectors", "baseline"])
def instructions(request: pytest.FixtureRequest) -> Iterator[None]:
    """OpenCV with this processor's instructions, and with those that every processor has, which fuse nothing."""
    before = cv2.useOptimized()
    cv2.setUseOptimized(request.param)
    yield
    cv2.setUseOptimized(before)


def noise(*shape: int, seed: int = 1) -> Image:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def extremes(*shape: int, seed: int = 1) -> Image:
    """Black and white pixels: the steepest there are."""
    return np.random.default_rng(seed).integers(0, 2, shape, dtype=np.uint8) * np.uint8(255)


def smooth(*shape: int, seed: int = 1) -> Image:
    field = np.random.default_rng(seed).standard_normal(shape)
    field = ndimage.gaussian_filter(field, (2, 2, *(0,) * (len(shape) - 2)), mode="mirror")
    return np.rint((field - field.min()) / max(np.ptp(field), 1e-9) * 255).astype(np.uint8)


def blobs(*shape: int, seed: int = 1) -> Image:
    """Flat strokes on black, like digits."""
    return np.where(smooth(*shape, seed=seed) > 150, 200, 0).astype(np.uint8)


def parameters(low: float, high: float, count: int, seed: int = 2) -> list[float]:
    """Both ends and their neighbours, special angles and factors, and random ones, of one part."""
    special = [*np.arange(math.ceil(low / 15), math.floor(high / 15) + 1)[:20] * 15.0, 0.25, 0.5, 1.0, 2.0, 4.0]
    ends = [low, np.nextafter(low, high), np.nextafter(high, low), high]
    drawn = np.random.default_rng(seed).uniform(low, high, count)
    return [min(max(float(one), low), high) for one in (*ends, *special, *drawn)]


def escapes(
    kind: Any, image: Image, low: float, high: float, pieces: int = 2, count: int = 30, **options: str
) -> list[tuple[float, int]]:
    """The parameters whose warp leaves its part's enclosure, and by how many pixels."""
    ends = np.linspace(low, high, pieces + 1).tolist()
    parts = list(enclosure.enclose(MOTIONS[kind], image, low, high, pieces=pieces, **options))
    assert len(parts) == pieces
    found = []
    for (first, last), (lowest, highest) in zip(pairwise(ends), parts, strict=True):
        assert lowest.shape == highest.shape == image.shape
        assert lowest.dtype == highest.dtype == np.uint8
        assert (lowest <= highest).all()
        for value in parameters(first, last, count):
            warped = WARPS[kind](image, value, **options)
            outside = np.count_nonzero((warped < lowest) | (warped > highest))
            if outside:
                found.append((value, outside))
    return found


# Containment.


@KINDS
@BORDERS
@INTERPOLATIONS
def test_every_warp_lies_within(kind: str, border: str, interpolation: str, instructions: None) -> None:
    intervals = ANGLES if kind == "rotation" else FACTORS
    options = {"border": border, "interpolation": interpolation}
    for number, shape in enumerate(SHAPES):
        for make in (noise, extremes, blobs):
            for low, high in intervals[number % 2 :: 2]:
                assert not escapes(kind, make(*shape, seed=number), low, high, count=12, **options), (shape, make)


@BORDERS
@INTERPOLATIONS
@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [("rotation", -30, 50), ("rotation", 0, 360), ("rotation", 100, 1e6), ("scaling", 0.3, 2), ("scaling", 0.01, 100)],
)
def test_wide_intervals_hold_too(kind: str, low: float, high: float, border: str, interpolation: str) -> None:
    options = {"border": border, "interpolation": interpolation}
    for shape in ((12, 15), (4, 31), (8, 8, 3)):
        assert not escapes(kind, noise(*shape), low, high, pieces=1, count=200, **options), shape


@KINDS
@INTERPOLATIONS
@pytest.mark.parametrize("make", [noise, extremes, smooth])
def test_large_images_hold_too(kind: str, interpolation: str, make: Callable[..., Image], instructions: None) -> None:
    for shape in ((257, 255), (120, 301, 3)):
        assert not escapes(kind, make(*shape), *NARROW[kind], pieces=1, count=12, interpolation=interpolation), shape


@BORDERS
@INTERPOLATIONS
def test_positions_beyond_sixteen_bits_get_the_whole_range(border: str, interpolation: str) -> None:
    image = noise(2, 700)  # at factor 0.01, the last position lies at 35 000 pixels
    assert not escapes("scaling", image, 0.01, 0.0101, pieces=1, border=border, interpolation=interpolation)


def test_random_cases() -> None:
    random = np.random.default_rng(3)
    for _ in range(150):
        kind = str(random.choice(["rotation", "scaling"]))
        shape = (*random.integers(1, 24, 2).tolist(), *([], [1], [2], [3], [4])[random.integers(5)])
        image = (noise, extremes, smooth)[random.integers(3)](*shape, seed=int(random.integers(1000)))
        width = 10 ** random.uniform(-6, 1)
        low = random.uniform(-400, 400) if kind == "rotation" else math.exp(random.uniform(-2, 2))
        border, interpolation = str(random.choice(warps.WARP_BORDERS)), str(random.choice(["bilinear", "nearest"]))
        high = low + (width if kind == "rotation" else width * low / 10)
        found = escapes(kind, image, low, high, count=20, border=border, interpolation=interpolation)
        assert not found, (kind, shape, low, high, border, interpolation)


# Tightness.


@KINDS
@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 3), (128, 128)])
@pytest.mark.parametrize("make", [smooth, blobs])
def test_it_is_hardly_wider_than_what_is_seen(kind: str, shape: tuple[int, ...], make: Callable[..., Image]) -> None:
    """A pixel may be wider by what the slack can do, by one level that it rounds over on each side, and, where its way
    crosses a bend of the interpolant, by half the bend times half the way."""
    image, (low, high) = make(*shape), NARROW[kind]
    pixels, levels = enclosure.misses(image.size // math.prod(shape[:2]), "bilinear", math.hypot(*shape[:2]), 1 / 0.9)
    doubt = 2 * (2 * pixels * 255 + levels)
    ((lowest, highest),) = enclosure.enclose(MOTIONS[kind], image, low, high, pieces=1)
    seen = np.stack([WARPS[kind](image, value) for value in np.linspace(low, high, 200).tolist()]).astype(int)
    excess = (highest.astype(int) - lowest) - np.ptp(seen, axis=0)
    assert excess.min() >= 0
    bend = max(abs(np.diff(image.astype(int), n=2, axis=axis)).max() for axis in (0, 1))
    way = math.hypot(*shape[:2]) / 2 * (math.radians(high - low) if kind == "rotation" else 1 / low - 1 / high)
    assert excess.max() <= 2 + doubt + bend * way / 4
    assert excess.mean() <= 0.03 + doubt / 10


@KINDS
def test_narrow_parts_leave_smooth_images_almost_fixed(kind: str) -> None:
    for shape in ((32, 32), (64, 64, 3)):
        ((lowest, highest),) = enclosure.enclose(MOTIONS[kind], smooth(*shape), *NARROW[kind], pieces=1)
        assert (highest.astype(int) - lowest <= 1).mean() > (
            0.9 if enclosure.misses(1, "bilinear", 1, 1)[1] < 0.01 else 0.6
        )


@KINDS
def test_more_pieces_are_tighter(kind: str) -> None:
    image, (low, high) = noise(24, 24), (5.0, 9.0) if kind == "rotation" else (1.1, 1.2)
    widths = [
        np.mean([(highest.astype(int) - lowest).mean() for lowest, highest in parts])
        for parts in (enclosure.enclose(MOTIONS[kind], image, low, high, pieces=n) for n in (1, 4, 16))
    ]
    assert widths[0] > 1.5 * widths[1] > 2.25 * widths[2]


@KINDS
@INTERPOLATIONS
def test_a_wide_part_is_about_the_hull_of_narrow_ones(kind: str, interpolation: str) -> None:
    image, (low, high) = noise(24, 24), (5.0, 45.0) if kind == "rotation" else (0.5, 1.2)
    options: Any = {"interpolation": interpolation}
    ((lowest, highest),) = enclosure.enclose(MOTIONS[kind], image, low, high, pieces=1, **options)
    parts = list(enclosure.enclose(MOTIONS[kind], image, low, high, pieces=200, **options))
    gaps = (np.min([part[0] for part in parts], 0) - lowest.astype(int), highest.astype(int) - np.max(parts, (0, 1)))
    assert min(gap.min() for gap in gaps) >= 0
    assert max(gap.mean() for gap in gaps) < 6


def test_no_turn_of_a_flat_image_changes_it_inside() -> None:
    image = np.full((20, 20), 77, np.uint8)
    for lowest, highest in enclosure.enclose(ROTATION, image, -180, 180, border="replicate"):
        assert (lowest == 77).all()
        assert (highest == 77).all()


# The slack.


def miss(kind: str, shape: tuple[int, int], channels: int, interpolation: str, value: float) -> float:
    """By how many pixels OpenCV's positions miss the exact ones, at the least, judged by images of one axis each."""
    height, width = shape
    position = [(size - 1) / 2 for size in (width, height)]
    offsets = [np.arange(width)[None, :] - position[0], np.arange(height)[:, None] - position[1]]
    angle, stretch = (math.radians(value), 1.0) if kind == "rotation" else (0.0, 1 / value)
    turned = [
        stretch * (math.cos(angle) * offsets[0] - math.sin(angle) * offsets[1]) + position[0],
        stretch * (math.sin(angle) * offsets[0] + math.cos(angle) * offsets[1]) + position[1],
    ]
    worst = 0.0
    for axis, exact in enumerate(turned):
        index = np.broadcast_to(np.arange(width)[None, :] if axis == 0 else np.arange(height)[:, None], shape)

        def warped(levels: NDArray[Any], border: str) -> NDArray[np.int64]:
            image = np.repeat(levels.astype(np.uint8)[..., None], channels, axis=2)
            result = WARPS[kind](image, value, border, interpolation).astype(int)
            assert (result == result[..., :1]).all()
            return np.asarray(result[..., 0])

        if interpolation == "bilinear":  # black and white lines in turn: the value is 255 times the way to a line
            way = 255 * (1 - abs(exact % 2 - 1))
            worst = max(worst, (abs(warped(index % 2 * 255, "reflect101") - way).max() - 0.5) / 255)
        else:  # the index of the pixel taken, from its two halves
            taken = warped(index % 256, "replicate") + 256 * warped(index // 256, "replicate")
            worst = max(worst, abs(taken - exact.clip(0, index.max())).max() - 0.5)
    return worst


@KINDS
@INTERPOLATIONS
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_opencvs_positions_lie_within_the_slack(
    kind: str, interpolation: str, channels: int, instructions: None
) -> None:
    """On small and large images, with all the last columns that vectors may leave over; nor is it far too large."""
    random = np.random.default_rng(4)
    for shape in ((8, 17), (31, 32), (257, 255), (40, 1003), (801, 640)):
        values = (random.uniform(-180, 180, 6) if kind == "rotation" else random.uniform(0.4, 2, 6)).tolist()
        stretch = 1.0 if kind == "rotation" else 1 / min(values)
        pixels, levels = enclosure.misses(channels, interpolation, math.hypot(*shape), stretch)
        worst = max(miss(kind, shape, channels, interpolation, value) for value in values)
        assert worst <= pixels + (levels / 255 if interpolation == "bilinear" else 0), shape
        if shape[0] > 250 and kind == "rotation" and (cv2.__version__ == "5.0.0" or cv2.__version__ < "5"):
            assert worst >= pixels / 100, shape


@pytest.mark.parametrize("share", [0.0, 0.01])
def test_a_hundredth_of_the_slack_is_too_little(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    image, real = extremes(257, 255), enclosure.misses
    angles = np.random.default_rng(5).uniform(0, 360, 4).tolist()
    assert not any(escapes("rotation", image, angle, angle, pieces=1, count=0) for angle in angles)
    monkeypatch.setattr(enclosure, "misses", lambda *a: (share * real(*a)[0], share * real(*a)[1]))
    assert any(escapes("rotation", image, angle, angle, pieces=1, count=0) for angle in angles)


def test_without_slack_nearest_takes_other_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ties break the other way in 5.0, and positions are coarse in 4.x."""
    image = noise(255, 255)

    def found() -> list[bool]:
        cases = [("scaling", 2.0), ("rotation", 33.0), ("rotation", 144.0)]
        return [bool(escapes(k, image, a, a, pieces=1, count=0, interpolation="nearest")) for k, a in cases]

    assert not any(found())
    monkeypatch.setattr(enclosure, "misses", lambda *_: (0.0, 0.0))
    assert any(found())


def test_an_unknown_opencv_gets_the_larger_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = enclosure.misses(2, "bilinear", 300, 1)
    for version in ("4.9.0", "4.13.0", "5.0.1", "5.1.0"):
        monkeypatch.setattr(cv2, "__version__", version)
        assert [enclosure.misses(channels, "bilinear", 300, 1) for channels in (1, 2, 3, 4)] == [fixed] * 4
    monkeypatch.setattr(cv2, "__version__", "5.0.0")
    assert enclosure.misses(3, "bilinear", 300, 1)[0] < fixed[0] / 10


# Refusals.


@pytest.mark.parametrize(
    ("kind", "low", "high", "options", "message"),
    [
        ("rotation", 0, 1, {"border": "reflect"}, "border: expected one of"),
        ("rotation", 0, 1, {"interpolation": "bicubic"}, "overshoots"),
        ("rotation", 0, 1, {"interpolation": "area"}, "interpolation: expected one of nearest, bilinear"),
        ("rotation", 1, 0, {}, "low <= high"),
        ("rotation", 0, math.inf, {}, "low <= high"),
        ("rotation", math.nan, 1, {}, "low <= high"),
        ("scaling", 0.001, 1, {}, "expected 0.01 <= low"),
        ("scaling", 1, 101, {}, "high <= 100"),
        ("rotation", 0, 1, {"pieces": 0}, "1 piece or more, got 0"),
    ],
)
def test_it_refuses(kind: Any, low: float, high: float, options: dict[str, Any], message: str) -> None:
    """At once, not when the first part is asked for."""
    with pytest.raises(ValueError, match=message):
        enclosure.enclose(MOTIONS[kind], noise(4, 4), low, high, **options)


def test_it_refuses_images_that_the_warps_cannot_take() -> None:
    for image, message in (
        (noise(4, 4, 5), "4 channels"),
        (noise(1, 16385), "at most 16384"),
        (noise(4, 4).astype(np.float32), "expected uint8"),
    ):
        with pytest.raises(ValueError, match=message):
            enclosure.enclose(ROTATION, image, 0, 1)


def test_it_refuses_an_opencv_that_blends_in_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "Algorithm Hint: ALGO_HINT_APPROX")
    with pytest.raises(ValueError, match="ALGO_HINT_APPROX"):
        enclosure.enclose(ROTATION, noise(4, 4), 0, 1)
