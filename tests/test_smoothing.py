"""Gaussian noise alone. Oracles: scipy.stats.norm, a Monte Carlo half-space, the values in docs/theory.md."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from smoothcert import Noise, compose
from smoothcert.draws import Stream, integer_normal
from smoothcert.errors import DataError
from smoothcert.smoothing import Smoothing

from .samples import KEY, made, perturbed


def gaussian(sigma: float) -> Smoothing:
    """Noise as a smoothing of its own."""
    return compose(Noise(sigma))


@pytest.mark.parametrize("sigma", [0.12, 0.5, 3.0])
@pytest.mark.parametrize("norm_", [0.0, 0.1, 0.5, 2.0])
def test_p_star_is_phi(sigma: float, norm_: float) -> None:
    assert gaussian(sigma).p_star({"noise": norm_}) == pytest.approx(norm.cdf(norm_ / sigma), rel=1e-12)


@pytest.mark.parametrize("p", [0.5001, 0.6, 0.9, 0.9986501, 0.999930924833])
def test_radius_is_the_inverse_of_p_star_and_rounds_down(p: float) -> None:
    smoothing = gaussian(0.25)
    radius = smoothing.radius(p)
    assert radius == pytest.approx(0.25 * norm.ppf(p), rel=1e-9)
    assert smoothing.p_star({"noise": radius}) < p


def test_radius_of_the_field() -> None:
    """All of n = 100,000 votes agreeing at alpha = .001: 3.811456563 sigma (theory.md section 8)."""
    assert gaussian(1.0).radius(0.999930924833) == pytest.approx(3.811456563, abs=1e-8)


@pytest.mark.parametrize(
    ("p_lower", "p_upper", "expected"),
    [(0.9, 0.05, 0.5 * (norm.ppf(0.9) - norm.ppf(0.05))), (0.4, 0.3, 0.5 * (norm.ppf(0.4) - norm.ppf(0.3)))],
    ids=["above one half", "below one half"],
)
def test_two_sided_radius(p_lower: float, p_upper: float, expected: float) -> None:
    assert gaussian(1.0).radius(p_lower, p_upper) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("p_lower", "p_upper"), [(0.5, None), (0.2, None), (0.3, 0.3), (0.3, 0.4), (0.0, 1.0)])
def test_no_margin_no_radius(p_lower: float, p_upper: float | None) -> None:
    assert gaussian(1.0).radius(p_lower, p_upper) == 0.0


@pytest.mark.parametrize("scale", [0.98, 1.02])
def test_worst_case_classifier_falls_just_beyond_the_radius(scale: float) -> None:
    """Neyman and Pearson's half-space, which has probability p at x: kept within the radius, lost beyond it."""
    sigma, p, n = 0.5, 0.8, 2_000_000
    radius = gaussian(sigma).radius(p)
    noise = sigma * np.random.default_rng(1).standard_normal(n)
    kept = (scale * radius + noise < sigma * norm.ppf(p)).mean()
    assert (kept > 0.5) == (scale < 1)


@pytest.mark.parametrize("attack", [{}, {"rotation": 3.0}, {"noise": 0.1, "rotation": 1.0}])
def test_attacks_that_are_not_smoothed_are_refused(attack: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="'noise'"):
        gaussian(0.5).p_star(attack)


@pytest.mark.parametrize(
    ("value", "message"),
    [(-0.1, "l2 norm >= 0"), (float("nan"), "finite LOW <= HIGH"), (float("inf"), "finite LOW <= HIGH")],
)
def test_attacks_without_a_norm_are_refused(value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gaussian(0.5).p_star({"noise": value})


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_scales_that_are_none(sigma: float) -> None:
    with pytest.raises(ValueError, match=r"sigma (> 0|from 1e-30 to 1e\+12), got"):
        Noise(sigma)


def test_eight_bit_inputs_get_the_integers_of_their_address() -> None:
    x = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) * 10
    out = perturbed(gaussian(0.3), x, 5, first=7, index=1)
    noise = np.zeros((5, x.size), np.int16)
    integer_normal(255 * 0.3).fill(Stream(KEY, 1, 0), 7, noise)
    assert out.dtype == np.int16
    np.testing.assert_array_equal(out, noise.reshape(out.shape) + x.astype(np.int16))


def test_float_inputs_get_float_noise_of_the_right_size() -> None:
    x = np.full((1000,), 5.0, np.float32)
    out = perturbed(gaussian(0.3), x, 200, key=9, index=1)
    assert out.dtype == np.float32
    assert out.mean() == pytest.approx(5.0, abs=0.003)
    assert out.std() == pytest.approx(0.3, rel=0.01)


@pytest.mark.parametrize(("value", "sigma"), [(1e8, 0.5), (3e4, 1e-3), (-1e30, 1.0)])
def test_noise_that_float32_would_lose_is_refused(value: float, sigma: float) -> None:
    with pytest.raises(DataError, match="lost to float32 rounding"):
        made(gaussian(sigma), np.array([0.0, value], np.float32))


def test_attack_model_slack_and_limits() -> None:
    eight, real = np.zeros(3072, np.uint8), np.zeros(3072, np.float32)
    whole, floats = made(gaussian(0.5), eight), made(gaussian(0.5), real)
    assert (whole.attack_model, floats.attack_model) == ("integer", "float-unclipped")
    assert 0 < whole.slack < 1e-10
    assert floats.slack == 0
    wide = made(gaussian(50.0), real)
    assert (wide.dtype, wide.slack) == (np.float32, 0)
    with pytest.raises(ValueError, match=r"sigma <= 6\.27 for 8-bit images"):
        made(gaussian(6.5), eight)
