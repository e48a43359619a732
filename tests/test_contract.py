"""The contract of parts finds what is wrong, and nothing where all is right: every part of the product passes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from smoothcert import Attack, LogNormal, Normal, Part, Transform
from smoothcert.bounds.laws import Exponential
from smoothcert.contract import Finding, check
from smoothcert.errors import ArgumentError, DataError
from smoothcert.smoothing import TRANSFORMS, parse_part, register

from .plugged import tables_kept

Attributes = dict[str, Any]
AGREES = "8-bit form: is the own form"


@pytest.fixture(autouse=True)
def _kept() -> Iterator[None]:
    with tables_kept():
        yield


def tried(text: str, images: Sequence[NDArray[np.uint8]] = ()) -> tuple[Finding, ...]:
    """The findings of a part, or of a set where there is a colon."""
    name, _, values = text.partition("=")
    if ":" not in values:
        return check(parse_part(text), images)
    return check(Attack.of({name: tuple(map(float, values.split(":")))}), images)


# --- Every part of the product passes ---------------------------------------------------------------------------------

PRODUCT = [
    "noise=0.3", "brightness=0.2", "contrast=0.3", "contrast=0.3,about=mid", "gamma=0.2", "gamma=0.8,law=rayleigh",
    "hue=20", "hue=20,luma=bt709", "hue=20,luma=mean", "saturation=0.3", "saturation=0.3,luma=mean",
    "blur=2", "blur=2,law=uniform", "blur=2,law=folded-normal", "blur=2,law=rayleigh",
    "blur=2,border=wrap", "blur=2,border=reflect", "translation=2",
    "translation=1.5,border=black,interpolation=bilinear",
    "rotation=5", "rotation=5,border=wrap,interpolation=bicubic", "scaling=0.05", "shear=0.05", "jpeg=50:95",
    "rotation=-10:10", "scaling=0.9:1.1", "shear=-0.2:0.2", "rotation=-10:10:5", "brightness=-0.1:0.1",
    "pixelate=0.5:1", "pixelate=0.5:1:6", "pixelate=0.7:0.7", "defocus-blur=0:5", "zoom-blur=1:1.5",
    "rotational-blur=-10:10", "rotational-blur=-10:10:5", "motion-blur=1:5",
    "volume=3dB", "time-shift=20", "time-shift=-5:5", "frequency-shift=3", "pitch=0.5st", "pitch=-1:1:3",
    "time-stretch=0.02", "contrast=0.5:2:4", "gamma=0.5:2:4",
    "hue=-20:20:5", "saturation=0.5:2:4", "blur=0:3:4", "translation=0:2",
]  # fmt: skip
# The attackers' blur has OpenCV's default border, whatever the smoothing's is: docs/theory.md says what that costs.
OTHER_BORDERS = ("blur=2,border=wrap", "blur=2,border=reflect")


@pytest.mark.parametrize("text", PRODUCT)
def test_every_part_of_the_product_passes(text: str) -> None:
    findings = tried(text)
    failed = [finding for finding in findings if finding.passed is False]
    if text in OTHER_BORDERS:
        failed = [finding for finding in failed if AGREES not in finding.what]
    assert not failed
    assert all(finding.cases > 0 for finding in findings)


def test_every_name_of_the_table_is_tried() -> None:
    assert {text.partition("=")[0] for text in PRODUCT} == set(TRANSFORMS)


def test_an_error_is_measured_and_not_judged() -> None:
    """Of parts that compose up to an error: rotations do not, and a rotation by nothing does."""
    (measured,) = (finding for finding in tried("rotation=5") if finding.passed is None)
    assert "at most" in measured.note
    assert str(measured).startswith("measured 8-bit form: two values in a row")


def test_images_that_are_given_are_tried_too() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    alone, more = tried("jpeg=50:95"), tried("jpeg=50:95", [image])
    assert all(b.cases > a.cases for a, b in zip(alone[:3], more[:3], strict=True))


def test_what_cannot_be_tried_is_refused() -> None:
    with pytest.raises(ArgumentError, match="no end of members"):
        tried("blur=0:3")
    with pytest.raises(ArgumentError, match=r"check: expected a set of attacks on one parameter, got jpeg 5, blur 0"):
        check(Attack.of({"jpeg": 5, "blur": 0}))


# --- A right part, and the same with one thing wrong ------------------------------------------------------------------


def column(values: Any) -> NDArray[np.float32]:
    return np.asarray(values, np.float32).reshape(-1, 1, 1, 1, 1)


def darkened(self: Any, image: NDArray[np.uint8], value: Any) -> NDArray[np.uint8]:
    return np.asarray(np.rint(image * float(value)).clip(0, 255), np.uint8)


def multiplied(self: Any, out: NDArray[Any], values: NDArray[Any], unit: float) -> None:
    out *= column(values)


SCALES = (
    ("fade", "noise", "scales"),
    ("fade", "brightness", "scale first"),
    ("fade", "contrast about=0", "commute"),
)


def fade(transform: Attributes | None = None, part: Attributes | None = None) -> str:
    """x times a factor, as contrast is; with attributes of the transformation, or of the part, in place of its own."""

    class Fade(Transform):
        name, unit, kind, identity, help = "fade", "factor", "factor", 1.0, "a factor"
        apply = darkened

    class Faded(Part):
        transforms, laws, composes, pairs = Fade, {"lognormal": LogNormal}, True, SCALES
        act = multiplied
        scale: float
        law: str = "lognormal"

    return _added(Fade, Faded, transform, part, "fade=0.3")


def lift(transform: Attributes | None = None, part: Attributes | None = None) -> str:
    """x plus an offset, as brightness is."""

    def lifted(self: Any, image: NDArray[np.uint8], value: Any) -> NDArray[np.uint8]:
        return np.asarray(np.rint(image + 255 * float(value)).clip(0, 255), np.uint8)

    def added(self: Any, out: NDArray[Any], values: NDArray[Any], unit: float) -> None:
        out += column(values) * np.float32(unit)

    class Lift(Transform):
        name, unit, kind, identity, help = "lift", "intensities", "additive", 0.0, "an offset"
        apply = lifted

    class Lifted(Part):
        transforms, laws, composes, stretch = Lift, {"normal": Normal}, True, 1.0  # type: ignore[assignment]
        pairs = (("lift", "noise", "carries"),)  # type: ignore[assignment]
        act = added
        scale: float
        law: str = "normal"

    return _added(Lift, Lifted, transform, part, "lift=0.1")


def _added(kind: Any, part: Any, on_kind: Attributes | None, on_part: Attributes | None, text: str) -> str:
    for name, value in (on_kind or {}).items():
        setattr(kind, name, value)
    for name, value in (on_part or {}).items():
        setattr(part, name, value)
    dataclass(frozen=True)(kind)
    register(dataclass(frozen=True)(part))
    return text


@pytest.mark.parametrize("right", [fade, lift])
def test_the_right_one_passes(right: Callable[[], str]) -> None:
    findings = tried(right())
    assert not [finding for finding in findings if finding.passed is False]
    assert len(findings) >= 19


def _random(self: Any, image: Any, value: Any) -> Any:
    return np.random.default_rng().integers(0, 256, image.shape).astype(np.uint8)


def _in_place(self: Any, image: Any, value: Any) -> Any:
    image[...] = darkened(self, image, value)
    return image


_STATE = itertools.count()


def _by_turns(self: Any, image: Any, value: Any) -> Any:
    return darkened(self, image, value if next(_STATE) % 2 else value**1.1)


def _clipped(self: Any, out: Any, values: Any, unit: float) -> None:
    np.clip(out * column(values), 0, unit, out=out)


def _offset(self: Any, out: Any, values: Any, unit: float) -> None:
    out[...] = out * column(values) + np.float32(0.01 * unit)


def _by_the_mean(self: Any, out: Any, values: Any, unit: float) -> None:
    out *= np.float32(np.mean(values))


def _by_the_place(self: Any, out: Any, values: Any, unit: float) -> None:
    out *= column(values) * column(1 + 0.001 * np.arange(len(out)))


def _inner_only(self: Any, out: Any, values: Any, unit: float) -> None:
    out[..., :1] *= column(values)


def _squared(self: Any, image: Any, value: Any) -> Any:
    return darkened(self, image, value**2)


def _spoilt(self: Any, encoded: Any, values: Any, out: Any, unit: float) -> None:
    encoded *= np.float32(0.99)
    out[...] = encoded
    self.act(out, values, unit)


def _drawn(spread: float) -> Any:
    return lambda self, stream, first, batch: Part.draw(self, stream, first, batch) ** spread


def _by_batch(self: Any, stream: Any, first: int, batch: int) -> Any:
    return np.exp(0.3 * np.random.default_rng((stream.key, stream.index, stream.stage, first)).standard_normal(batch))


def _same_everywhere(self: Any, stream: Any, first: int, batch: int) -> Any:
    return np.exp(0.3 * np.random.default_rng(1).standard_normal(first + batch)[first:])


def _in_pairs(self: Any, stream: Any, first: int, batch: int) -> Any:
    values = Part.draw(self, stream, first // 2, batch // 2 + 2)
    return np.repeat(values, 2)[first % 2 :][:batch]


def _raises(self: Any, *arguments: Any) -> Any:
    raise TypeError("no such thing")


def _refuses(self: Any, *arguments: Any) -> Any:
    raise DataError("fade: no image is good enough")


@dataclass(frozen=True)
class Narrower(LogNormal):
    """Its ppf is not its cdf's."""

    def ppf(self, p: Any) -> Any:
        return 0.9 * LogNormal.ppf(self, p)


@dataclass(frozen=True)
class Heavy:
    """Cauchy's law, which is not log-concave."""

    name = "lognormal"
    smooth = True
    scale: float

    def cdf(self, y: Any) -> Any:
        return 0.5 + np.arctan(np.divide(y, self.scale)) / np.pi

    def sf(self, y: Any) -> Any:
        return 0.5 - np.arctan(np.divide(y, self.scale)) / np.pi

    def ppf(self, p: Any) -> Any:
        return self.scale * np.tan(np.pi * (np.asarray(p) - 0.5))

    def isf(self, p: Any) -> Any:
        return -self.ppf(p)

    def pdf(self, y: Any) -> Any:
        return self.scale / np.pi / (self.scale**2 + np.square(y))

    def score(self, y: Any) -> Any:
        return 2 * y / (self.scale**2 + np.square(y))


@dataclass(frozen=True)
class Smooth(Exponential):
    """A density that begins with a jump, and says that it does not."""

    smooth = True


@dataclass(frozen=True)
class NotNormal(LogNormal):
    """By inheritance a normal law, which closed forms are taken for, by its functions another one."""

    def cdf(self, y: Any) -> Any:
        return LogNormal(2 * self.scale).cdf(y)

    def sf(self, y: Any) -> Any:
        return LogNormal(2 * self.scale).sf(y)

    def ppf(self, p: Any) -> Any:
        return LogNormal(2 * self.scale).ppf(p)

    def isf(self, p: Any) -> Any:
        return LogNormal(2 * self.scale).isf(p)

    def pdf(self, y: Any) -> Any:
        return LogNormal(2 * self.scale).pdf(y)

    def score(self, y: Any) -> Any:
        return LogNormal(2 * self.scale).score(y)


def _narrow(self: Any, image: Any, low: float, high: float) -> Any:
    yield self.apply(image, low), self.apply(image, low)


Case = tuple[Callable[[], str], str]
WRONG: dict[str, Case] = {
    "random output": (lambda: fade({"apply": _random}), "gives the same image again"),
    "output by turns": (lambda: fade({"apply": _by_turns}), "gives the same image again"),
    "input modified": (lambda: fade({"apply": _in_place}), "leaves its input as it is"),
    "another shape": (lambda: fade({"apply": lambda self, x, v: x[1:]}), "8-bit image of the same shape"),
    "real numbers": (lambda: fade({"apply": lambda self, x, v: x * v}), "8-bit image of the same shape"),
    "no image": (lambda: fade({"apply": lambda self, x, v: None}), "8-bit image of the same shape"),
    "an exception": (lambda: fade({"apply": _raises}), "8-bit image of the same shape"),
    "all refused": (lambda: fade({"apply": _refuses}), "8-bit image of the same shape"),
    "8-bit identity": (lambda: fade({"apply": lambda self, x, v: 255 - x}), "the identity, 1, changes nothing"),
    "8-bit form of another value": (lambda: fade({"apply": _squared}), AGREES),
    "cut off": (lambda: fade(part={"act": _clipped}), "two values in a row are their combination"),
    "own identity": (lambda: fade(part={"act": _offset}), "own form: the identity changes nothing"),
    "mean of the batch": (lambda: fade(part={"act": _by_the_mean}), "the same in any batch"),
    "place in the batch": (lambda: fade(part={"act": _by_the_place}), "the same in any batch"),
    "one layout": (lambda: fade(part={"act": _inner_only}), "planar and interleaved are one image"),
    "encoding modified": (lambda: fade(part={"fill": _spoilt}), "leaves its encoding as it is"),
    "fractions": (lambda: fade(part={"whole": True, "pairs": ()}), "whole levels stay whole"),
    "own form raises": (lambda: fade(part={"act": _raises}), "two values in a row"),
    "a wider draw": (lambda: fade(part={"draw": _drawn(1.03)}), "draws: follow the law"),
    "a draw of its batch": (lambda: fade(part={"draw": _by_batch}), "functions of their address"),
    "a draw of no address": (lambda: fade(part={"draw": _same_everywhere}), "functions of their address"),
    "draws in pairs": (lambda: fade(part={"draw": _in_pairs}), "tell nothing of the next"),
    "a law at odds": (lambda: fade(part={"laws": {"lognormal": Narrower}}), "cdf, sf, ppf, isf, pdf and score agree"),
    "no normal law": (lambda: fade(part={"laws": {"lognormal": NotNormal}}), "cdf, sf, ppf, isf, pdf and score agree"),
    "a heavy tail": (lambda: fade(part={"laws": {"lognormal": Heavy}}), "log-concave"),
    "a hidden jump": (lambda: lift(part={"laws": {"normal": Smooth}}), "begins and ends at 0"),
    "sums of factors": (lambda: fade({"combined": lambda a, b: a + b - 1}), "coordinates of values in a row add up"),
    "a wrong coordinate": (lambda: fade({"coordinate": lambda v: v - 1}), "coordinates of values in a row add up"),
    "not commuting": (lambda: fade(part={"pairs": (("fade", "brightness", "commute"),)}), "in either order are one"),
    "the wrong way round": (
        lambda: lift(part={"pairs": (("lift", "contrast about=0", "scale first"),)}),
        "lift then contrast about=0 are a group",
    ),
    "too short a stretch": (
        lambda: fade(part={"pairs": (("fade", "noise", "carries"),), "stretch": 1.0}),
        "longer by its stretch at most",
    ),
    "another factor": (
        lambda: lift({"kind": "factor", "identity": 1.0}, {"pairs": (("lift", "noise", "scales"),)}),
        "multiplies noise by its own factor",
    ),
    "a pair with a stranger": (lambda: fade(part={"pairs": (("fade", "glow", "commute"),)}), "fade and glow"),
    "a recipe that forgets": (
        lambda: fade(part={"description": property(lambda self: {"part": "fade", "scale": 1.0, "unit": ""})}),
        "the description gives the part again",
    ),
    "members twice": (
        lambda: fade({"members": lambda self, r: (r.low, r.low)}).replace("0.3", "0.5:0.7:3"),
        "members are numbers, each once",
    ),
    "too narrow an enclosure": (lambda: fade({"enclose": _narrow}).replace("0.3", "0.5:0.7"), "the enclosure holds"),
}


@pytest.mark.parametrize(("wrong", "by"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_found_by_the_check_for_it(wrong: Callable[[], str], by: str) -> None:
    found = [finding for finding in tried(wrong()) if by in finding.what]
    assert found, f"no check of {by}"
    assert any(finding.passed is False for finding in found), found
    assert all("\n" not in str(finding) for finding in found)


def test_a_finding_says_what_was_tried_and_how_far_off_it_is() -> None:
    (found,) = (
        finding for finding in tried(fade({"apply": lambda self, x, v: 255 - x})) if "identity, 1," in finding.what
    )
    assert found == Finding(found.what, 4, False, "off by 255, allowed 0 (random colour, 1.433)")
    assert str(found).startswith("FAILED   8-bit form: the identity, 1, changes nothing: 4 cases, off by 255")
