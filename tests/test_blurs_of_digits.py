"""Blurs and pixelation of the digits, end to end: enumerated over the published ranges, decided again, and audited."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from smoothcert import ABSTAIN, OrtClassifier, certify_enumerated
from smoothcert.inputs.levels import EIGHT_BIT
from smoothcert.runs.folder import RunFolder
from smoothcert.smoothing.transform import transform_of

from .conftest import IMAGES, MODEL, Result

QUICK = ("test_certificates_hold_for_every_value[pixelate]",)

RANGES = {  # of Hao et al. 2022 (GSmooth) where they name one
    "pixelate": (0.5, 1.0),
    "defocus-blur": (0.0, 5.0),
    "zoom-blur": (1.0, 1.5),
    "rotational-blur": (-10.0, 10.0, 41),
    "motion-blur": (1.0, 7.0),
}
ASKED = {name: ":".join(f"{number:g}" for number in numbers) for name, numbers in RANGES.items()}


@pytest.fixture(scope="module")
def digits() -> OrtClassifier:
    return OrtClassifier(MODEL)


@pytest.mark.parametrize("name", RANGES)
def test_certificates_hold_for_every_value(digits: OrtClassifier, name: str) -> None:
    """400 values of the range, drawn at random, one by one: none changes a certified answer."""
    rng, transform = np.random.default_rng(8), transform_of(name, {})
    low, high, *points = RANGES[name]
    with np.load(IMAGES) as archive:
        images, labels = archive["x"][:6], archive["y"][:6]
    values = np.linspace(low, high, int(points[0])) if points else rng.uniform(low, high, 400)
    values = np.unique(np.rint(values)) if name == "motion-blur" else values
    certified = 0
    for image, label in zip(images, labels, strict=True):
        found = certify_enumerated(digits, image, {name: RANGES[name]}).prediction
        attacked = np.stack([transform.apply(image, value) for value in values.tolist()])[:, None]
        size = digits.batch_size(image.size)
        batches = [attacked[i : i + size].astype(np.int16) for i in range(0, len(attacked), size)]
        full = [np.concatenate([b, np.zeros((size - len(b), *b.shape[1:]), np.int16)]) for b in batches]
        answers = np.concatenate([digits.labels(f, len(b), EIGHT_BIT) for f, b in zip(full, batches, strict=True)])
        assert found in (ABSTAIN, label)
        if found != ABSTAIN:
            certified += 1
            assert (answers == found).all()
    assert certified >= 4


@pytest.mark.parametrize("name", RANGES)
def test_runs_are_verified_and_audited(cli: Callable[..., Result], name: str) -> None:
    run = ("certify", MODEL, IMAGES, "--mode", "enumerate", "--attack", f"{name}={ASKED[name]}", "--limit", 12)
    assert cli(*run, "-q", "--run", "r").code == 0
    entries = RunFolder(Path("r")).entries()
    assert sum(entry["certificate"]["prediction"] == entry["label"] for entry in entries) >= 9
    assert "12 entries (attack model enumerated), 0 problems" in cli("verify", "r").out
    audited = cli("audit", "r", "-q", "--limit", 3)
    assert audited.code == 0
    assert " 0 undecided, 0 violations" in audited.out
