"""Hue and saturation. Oracles: matrix products, singular values, a classifier of the hue angle with a known radius."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from smoothcert import Brightness, Contrast, Gamma, Hue, Noise, Saturation, certify, compose
from smoothcert.errors import DataError
from smoothcert.smoothing import Part
from smoothcert.smoothing.chroma import LUMA, RotateHue, ScaleSaturation, _longest, colour_matrix

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("luma", LUMA)
def test_angles_add_up_and_factors_multiply(luma: str) -> None:
    """2,000 random pairs; what docs/theory.md, section 3, says of grey and of luma."""
    w = np.array(LUMA[luma])
    for _ in range(2000):
        (t, u), (s, r) = RNG.uniform(-720, 720, 2), np.exp(RNG.normal(0, 1, 2))
        both = colour_matrix(luma, t, s) @ colour_matrix(luma, u, r)
        np.testing.assert_allclose(both, colour_matrix(luma, t + u, s * r), rtol=0, atol=3e-13 * max(1, s * r))
        np.testing.assert_allclose(colour_matrix(luma, t, s) @ np.ones(3), 1, rtol=0, atol=1e-12 * max(1, s))
        np.testing.assert_allclose(w @ colour_matrix(luma, t, s), w, rtol=0, atol=1e-12 * max(1, s))
    np.testing.assert_allclose(colour_matrix(luma, 360, 1), np.eye(3), rtol=0, atol=1e-15)


@pytest.mark.parametrize(("luma", "published"), [("mean", 1.0), ("bt601", 1.742), ("bt709", 2.126)])
def test_how_much_a_hue_lengthens(luma: str, published: float) -> None:
    """Largest singular values at 20,000 random angles; docs/theory.md, section 3, has them."""
    norms = [np.linalg.norm(colour_matrix(luma, t, 1), 2) for t in RNG.uniform(0, 360, 20_000)]
    assert max(norms) <= _longest(luma) < max(norms) + 2e-3
    assert max(norms) == pytest.approx(published, abs=1e-3)


@pytest.mark.parametrize(
    ("part", "value"), [(Hue(20.0), 33.0), (Saturation(0.3, luma="bt709"), 1.4), (Hue(9.0, luma="mean"), -120.0)]
)
def test_the_smoothing_does_what_the_attacker_does(part: Part, value: float) -> None:
    """Within rounding, in both layouts, where nothing saturates."""
    image = RNG.integers(90, 150, (9, 7, 3), dtype=np.uint8)
    attacked = part.transform.apply(image, value).astype(float)
    for layout in (lambda x: x[None, None], lambda x: np.moveaxis(x, 2, 0)[None, ..., None]):
        out = np.ascontiguousarray(layout(image.astype(np.float32)))
        part.act(out, np.array([value]), 255.0)
        assert abs(out - layout(attacked)).max() <= 0.5 + 1e-4


def test_library_saturation_is_ours() -> None:
    """Oracle: grey by BT.601's weights, blended as image libraries do."""
    image = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    grey = (image @ np.array([0.299, 0.587, 0.114]))[..., None]
    blended = np.rint(grey + 0.6 * (image - grey)).clip(0, 255)
    assert abs(ScaleSaturation().apply(image, 0.6) - blended).max() <= 1  # where a half is rounded


def angle_of(batch: NDArray[Any], luma: str = "bt601") -> NDArray[np.float64]:
    """The hue of an image's mean colour, in degrees from that of pure red."""
    colour = batch.reshape(len(batch), -1, 3).mean(axis=1)
    chroma = colour @ (colour_matrix(luma, 0, 2) - colour_matrix(luma, 0, 1)).T
    red = (colour_matrix(luma, 0, 2) - colour_matrix(luma, 0, 1)) @ np.array([1.0, 0, 0])
    quarter = (colour_matrix(luma, 90, 1) - colour_matrix(luma, 0, 0)) @ red
    return np.degrees(np.arctan2(chroma @ quarter / (quarter @ quarter), chroma @ red / (red @ red)))


@pytest.mark.slow
def test_certificates_of_hue_are_right_and_not_needlessly_weak() -> None:
    """The class is whether the hue lies below 25 degrees: from red, it changes at 25 degrees exactly.

    At alpha = .05, 400 runs: at most 5 % may certify more, binomially 32; none certifies less than 80 % in the mean.
    """
    x = np.zeros((2, 2, 3), np.float32) + np.array([0.8, 0.2, 0.2], np.float32)

    def below(batch: NDArray[Any]) -> NDArray[np.int64]:
        return (angle_of(batch) < 25).astype(int)

    # At 20 degrees of deviation, angles beyond 180 degrees, which come round, weigh 1e-14.
    found = [certify(below, Hue(20.0), x, n=1000, alpha=0.05, key=key) for key in range(400)]
    assert all(c.prediction == 1 for c in found)
    assert sum(c.radius > 25 for c in found) <= 32
    assert np.mean([c.radius for c in found]) > 20
    assert all(c.interval is not None and c.unit == "degrees" for c in found)


def test_what_composes() -> None:
    together = compose(Hue(20.0), Saturation(0.3), Contrast(0.4), Brightness(0.3), Noise(0.25))
    alone = compose(Hue(20.0)).p_star({"hue": 10})
    assert together.p_star({"hue": 10}) == pytest.approx(alone)
    assert alone == pytest.approx(0.5 * math.erfc(-0.5 / math.sqrt(2)))
    both = together.p_star({"hue": 10, "saturation": math.exp(0.15)})
    assert both == pytest.approx(0.5 * math.erfc(-math.hypot(0.5, 0.5) / math.sqrt(2)))
    with pytest.raises(ValueError, match="no theorem for an attack on noise behind saturation"):
        together.p_star({"noise": 0.1})
    behind = compose(Hue(20.0, luma="mean"), Noise(0.5)).p_star({"noise": 0.3})
    assert compose(Noise(0.5)).p_star({"noise": 0.3}) <= behind < compose(Noise(0.5)).p_star({"noise": 0.301})
    for others in ((Gamma(0.3), Hue(20.0)), (Hue(20.0), Gamma(0.3)), (Hue(20.0), Saturation(0.3, luma="mean"))):
        with pytest.raises(ValueError, match="no theorem"):
            compose(*others)


def test_images_without_colours_are_refused() -> None:
    with pytest.raises(DataError, match="3 colours"):
        certify(len, Hue(20.0), np.zeros((8, 8), np.uint8), n=100)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="3 colours"):
        RotateHue().apply(np.zeros((8, 8, 1), np.uint8), 20.0)
    with pytest.raises(ValueError, match="luma"):
        Hue(20.0, luma="hsv")
