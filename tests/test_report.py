"""Reports of made-up ledgers. Oracles: sums by hand, scipy.stats.binom."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy.stats import binom

from smoothcert import Attack, Brightness, Contrast, Gamma, Noise, Translation, compose
from smoothcert.algorithms import Enumerate
from smoothcert.report import floor_text, summarise, table, tsv
from smoothcert.report.table import interval_text
from smoothcert.smoothing import UNSMOOTHED

RECIPE: dict[str, Any] = {"algorithm": {"mode": "fixed", "alpha": 0.001}, "smoothing": compose(Noise(0.5)).recipe}


def entry(index: int, label: int | None, prediction: int, radius: float, reason: str = "") -> dict[str, Any]:
    return {
        "index": index,
        "name": "",
        "label": label,
        "seconds": 2.0,
        "certificate": {"prediction": prediction, "radius": radius, "p_lower": 0.4, "p_upper": 0.6, "reason": reason},
        "evidence": {"mode": "fixed", "selection": {"0": 10}, "estimation": {"0": 90}, "attack_model": "integer"},
        "base": prediction,
    }


ENTRIES = [
    entry(0, 1, 1, 0.8),
    entry(1, 1, 2, 0.9),
    entry(2, 0, 0, 0.3),
    entry(3, 2, -1, 0.0, "no majority: class 2 got 40 of 90 votes") | {"base": 7},
    {"index": 4, "name": "", "label": 0, "seconds": 1.0, "error": "corrupt"},
]


def test_summary_by_hand() -> None:
    summary = summarise(RECIPE, ENTRIES, [0.3, 0.5, 0.85])
    assert (summary.inputs, summary.failed, summary.answers.labelled) == (5, 1, True)
    assert summary.accuracy == {0.0: 0.4, 0.3: 0.4, 0.5: 0.2, 0.85: 0.0}
    assert summary.mean_radius == pytest.approx((0.8 + 0.3) / 5)
    assert summary.abstained == {"no majority": 1}
    assert summary.seconds == pytest.approx(9 / 5)
    assert summary.samples == 100


@pytest.mark.parametrize("m", [1, 20, 100, 1000])
def test_lower_bound_takes_off_the_quantile_of_false_certificates(m: int) -> None:
    entries = [entry(i, 1, 1, 1.0) for i in range(m)]
    expected = (m - binom.ppf(0.999, m, 0.001)) / m
    assert summarise(RECIPE, entries, [0.5]).at_least[0.5] == pytest.approx(expected)


def test_without_labels_certificates_count() -> None:
    summary = summarise(RECIPE, [entry(0, None, 3, 0.5), entry(1, None, -1, 0.0, "futile: x")], [0.4])
    assert (summary.answers.labelled, summary.accuracy[0.4], summary.mean_radius) == (False, 0.5, 0.25)


def test_targets_are_the_default_radii() -> None:
    recipe = RECIPE | {"algorithm": {"mode": "target", "alpha": 0.001, "radii": [0.25, 0.75]}}
    assert list(summarise(recipe, ENTRIES).accuracy) == [0.0, 0.25, 0.75]
    assert list(summarise(RECIPE, ENTRIES).accuracy)[:3] == [0.0, 0.1, 0.2]


def test_tsv() -> None:
    assert list(tsv(ENTRIES[::-1])) == [
        "idx\tlabel\tpredict\tradius\tcorrect\ttime\tbase\tattack_model",
        "0\t1\t1\t0.800000\t1\t2.000\t1\tinteger",
        "1\t1\t2\t0.900000\t0\t2.000\t2\tinteger",
        "2\t0\t0\t0.300000\t1\t2.000\t0\tinteger",
        "3\t2\t-1\t0.000000\t0\t2.000\t7\tinteger",
        "4\t0\t-1\t0.000000\t0\t1.000\t\t",
    ]


@given(st.floats(0, 1e6), st.integers(0, 6))
def test_radii_are_printed_rounded_down(radius: float, digits: int) -> None:
    text = floor_text(radius, digits)
    assert float(text) <= radius
    assert radius - float(text) <= 2.1 * 10.0**-digits + math.ulp(radius)


def printed(entries: list[dict[str, Any]], radii: Sequence[float] = (), recipe: dict[str, Any] = RECIPE) -> str:
    console = Console(width=100, file=io.StringIO(), record=True)
    for part in table(recipe, summarise(recipe, entries, radii)):
        console.print(part)
    return console.export_text()


def test_a_target_is_printed_as_it_was_tested() -> None:
    text = printed(ENTRIES, [0.1234567, 1.0])
    assert "0.1234567 " in text
    assert " 1 " in text


def test_shares_are_printed_rounded_down() -> None:
    text = printed([entry(i, int(i < 2999), 1, 1.0) for i in range(3000)], [0.5])
    assert "99.9%" in text
    assert "100.0%" not in text


ASKED = Attack.of({"contrast": (0.5, 2), "brightness": 0.2}).recipe


@pytest.mark.parametrize(
    ("smoothing", "algorithm", "title", "rows"),
    [
        (
            compose(Contrast(0.6), Brightness(0.4)),
            {"mode": "target", "alpha": 0.001, "attack": ASKED},
            "contrast = 0.6, brightness = 0.4, target mode, attack model integer, 5 inputs",
            ["attack", "contrast 0.5:2, brightness 0.2", "40.0%"],
        ),
        (
            compose(Gamma(0.6), Contrast(0.4), guarantee="path"),
            {"mode": "fixed", "alpha": 0.001},
            "gamma = 0.6, contrast = 0.4, path guarantee, fixed mode, attack model integer, 5 inputs",
            ["radius", "40.0%"],
        ),
        (
            UNSMOOTHED,
            Enumerate(Attack.of(ASKED | {"contrast": (0.5, 2, 4)})).recipe,
            "enumerate mode, attack model integer, 5 inputs",
            ["attack", "contrast 0.5:2:4, brightness 0.2 (grid: contrast every 0.5;", "40.0%"],
        ),
    ],
    ids=["attack", "no attack", "enumeration"],
)
def test_the_attack_is_printed_in_place_of_radii(
    smoothing: Any, algorithm: dict[str, Any], title: str, rows: list[str]
) -> None:
    text = printed(ENTRIES, (), {"smoothing": smoothing.recipe, "algorithm": algorithm})
    words = " ".join(text.replace("│", " ").split())
    assert title in words
    for row in rows:
        assert row in words
    assert ("at least" in text) == (algorithm["alpha"] > 0)


def test_radii_of_a_factor_are_printed_with_their_values() -> None:
    """Oracle: exp of the radius, ends rounded towards 1; the distance is that of the logarithm."""
    text = printed(ENTRIES, [0.3, 0.8], {"smoothing": compose(Contrast(0.6)).recipe, "algorithm": RECIPE["algorithm"]})
    assert "values" in text
    assert "0.7409:1.3498" in text  # 0.74081822, 1.34985880
    assert "0.4494:2.2255" in text  # 0.44932896, 2.22554092
    assert "values" not in printed(
        ENTRIES, [0.3], {"smoothing": compose(Translation(2.0)).recipe, "algorithm": RECIPE["algorithm"]}
    )


@given(st.floats(0.01, 3), st.booleans())
def test_printed_values_lie_within_the_certified(radius: float, factor: bool) -> None:
    low, high = (math.exp(-radius), math.exp(radius)) if factor else (-radius, radius)
    shown = [float(end) for end in interval_text(low, high).split(":")]
    assert low <= shown[0] <= low + 2.1e-4
    assert high - 2.1e-4 <= shown[1] <= high
