"""The laws of the parameters, recovered from perturbed images alone by the Fourier transform.

Oracles: scipy.stats by Kolmogorov and Smirnov, chi-squared and Spearman. Keys are fixed: what passes passes always.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from smoothcert import Blur, Brightness, Contrast, Gamma, Noise, Translation, compose
from smoothcert.sampling import ESTIMATION, SELECTION
from smoothcert.smoothing import Part, Smoothing

from .samples import perturbed

P_MIN = 1e-4
SIZE, N = 16, 4000
ANGLES = 2 * np.pi * np.arange(SIZE) / SIZE


def waves() -> NDArray[np.float32]:
    """(1, SIZE, SIZE, 1): a middle of 0.5 and waves of 1 and 3 periods down, 1 across: cyclic modes."""
    y, x = ANGLES[:, None], ANGLES[None, :]
    values = 0.5 + 0.15 * np.cos(y) + 0.15 * np.cos(3 * y) + 0.1 * np.cos(x)
    return values.astype(np.float32).reshape(1, SIZE, SIZE, 1)


def parameters(images: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Blur, contrast, brightness and translation that made the images of `waves()`, by the Fourier transform."""
    modes = np.fft.fft2(images[:, 0, :, :, 0].astype(float)) / SIZE**2
    w = ANGLES[1]
    variance = -np.log(np.abs(modes[:, 3, 0] / modes[:, 1, 0])) / (((3 * w) ** 2 - w**2) / 2)
    contrast = np.abs(modes[:, 1, 0]) * np.exp(variance * w * w / 2) / 0.075
    shifts = [np.rint(-np.angle(m) / w) for m in (modes[:, 1, 0], modes[:, 0, 1])]
    return {
        "blur": variance,
        "contrast": contrast,
        "brightness": modes[:, 0, 0].real - 0.5 * contrast,
        "down": shifts[0],
        "across": shifts[1],
    }


PARAMETRIC = compose(Blur(0.8, border="wrap"), Translation(1.2), Contrast(0.3), Brightness(0.2))
LAWS = {
    "blur, exponential": (compose(Blur(0.8, border="wrap")), "blur", stats.expon(scale=0.8)),
    "blur, uniform": (compose(Blur(2.0, "uniform", "wrap")), "blur", stats.uniform(0, 2.0)),
    "blur, folded-normal": (compose(Blur(0.9, "folded-normal", "wrap")), "blur", stats.halfnorm(scale=0.9)),
    "blur, rayleigh": (compose(Blur(0.7, "rayleigh", "wrap")), "blur", stats.rayleigh(scale=0.7)),
    "contrast": (compose(Contrast(0.3)), "contrast", stats.lognorm(0.3)),
    "brightness": (compose(Brightness(0.2)), "brightness", stats.norm(0, 0.2)),
    "blur in a composition": (PARAMETRIC, "blur", stats.expon(scale=0.8)),
    "contrast in a composition": (PARAMETRIC, "contrast", stats.lognorm(0.3)),
    "brightness in a composition": (PARAMETRIC, "brightness", stats.norm(0, 0.2)),
}


@pytest.mark.parametrize("stage", [SELECTION, ESTIMATION])
@pytest.mark.parametrize(("smoothing", "name", "law"), LAWS.values(), ids=LAWS)
def test_the_law_of_a_parameter(smoothing: Smoothing, name: str, law: Any, stage: int) -> None:
    """Kolmogorov and Smirnov against scipy.stats."""
    values = parameters(perturbed(smoothing, waves(), N, stage=stage))[name]
    assert stats.kstest(values, law.cdf).pvalue > P_MIN


@pytest.mark.parametrize(
    ("part", "law"),
    [(Gamma(0.3), stats.lognorm(0.3)), (Gamma(0.8, "rayleigh"), stats.rayleigh(scale=0.8))],
    ids=["lognormal", "rayleigh"],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_law_of_gamma(part: Part, law: Any, dtype: str) -> None:
    x = np.full((1, 1, 1, 1), 64, np.uint8) if dtype == "uint8" else np.full((1, 1, 1, 1), 0.25, np.float32)
    unit = 255.0 if dtype == "uint8" else 1.0
    values = np.log(perturbed(compose(part), x, N).ravel() / unit) / np.log(x.ravel() / unit)
    assert stats.kstest(values, law.cdf).pvalue > P_MIN


@pytest.mark.parametrize("axis", ["down", "across"])
@pytest.mark.parametrize("smoothing", [compose(Translation(1.2)), PARAMETRIC], ids=["alone", "composed"])
def test_the_law_of_translation(smoothing: Smoothing, axis: str) -> None:
    """Chi-squared against the normal law of whole pixels, both tails pooled."""
    values = parameters(perturbed(smoothing, waves(), N))[axis]
    edges = np.array([-np.inf, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, np.inf])
    found = np.histogram(values, edges)[0]
    expected = N * np.diff(stats.norm(0, 1.2).cdf(edges))
    assert stats.chisquare(found, expected).pvalue > P_MIN


def test_parameters_noise_stages_and_inputs_are_independent() -> None:
    """Spearman's correlations of all pairs, each parameter at three addresses, and the first values of the noise."""
    columns: dict[str, NDArray[np.float64]] = {}
    noisy = compose(*PARAMETRIC.parts, Noise(0.2))
    for stage, index in ((0, 0), (1, 0), (0, 1)):
        plain = perturbed(PARAMETRIC, waves(), N, stage=stage, index=index)
        noise = perturbed(noisy, waves(), N, stage=stage, index=index) - plain
        found = parameters(plain) | {f"noise {i}": noise.reshape(N, -1)[:, i] for i in range(3)}
        columns |= {f"{name} at {stage}, {index}": value for name, value in found.items()}
    correlation = stats.spearmanr(np.stack(list(columns.values()), axis=1)).statistic
    np.fill_diagonal(correlation, 0)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(N)
