"""Runs behind a denoiser: verified, audited and drawn again with both files; and the promise itself.

Oracle of the last part: behind a linear denoiser a half-space is another half-space, whose radius is known.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri

from smoothcert import ABSTAIN, Denoiser, Noise, OrtClassifier, certify, compose, open_denoised, open_run
from smoothcert.bounds.confidence import lower_confidence_bound
from smoothcert.runs.folder import RunFolder
from smoothcert.runs.recipe import run_key

from .conftest import Result
from .denoisers import across, scaled, told
from .models import half_space

Cli = Callable[..., Result]
CERTIFY = ("certify", "demo:digits-clean.onnx", "demo:digits.npz", "--smooth", "noise=0.5", "--limit", 6, "--n", 500,
           "--nonce", "n", "-q", "--run", "r")  # fmt: skip
AHEAD = ("--denoiser", "demo:digits-denoiser.onnx")


def test_a_run_is_certified_verified_and_audited(cli: Cli) -> None:
    result = cli(*CERTIFY, *AHEAD)
    assert result.code == 0, result
    assert "denoiser: images in 0:1, gives the image, for noise of 0.5\n" in result.out
    verified = cli("verify", "r", "--redraw", 2)
    assert (verified.code, verified.out.splitlines()[-1]) == (
        0,
        "r: 6 entries (attack model integer), 0 problems",
    )
    audited = cli("audit", "r", "--attacks", 2, "--limit", 3, "-q")
    assert audited.code == 0
    assert " 0 violations" in audited.out
    assert "resumed: 6 of 6 inputs were there already" in cli(*CERTIFY, *AHEAD).out
    predicted = cli("predict", *CERTIFY[1:9], "--nonce", "n", "-q", *AHEAD)
    assert predicted.code == 0


def test_both_files_are_needed_and_held_to_their_hashes(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "d.onnx").write_bytes(scaled((1, 32, 32), 0.9))
    line = (*CERTIFY, "--denoiser", "d.onnx,range=-1:1", "--denoiser-sigma", 0.25)
    result = cli(*line)
    assert result.code == 0, result
    assert (
        "note: the denoiser is told of noise 0.25, the smoothing's is 0.5: another level costs accuracy" in result.out
    )
    recipe = RunFolder(Path("r")).recipe()
    assert recipe["model"]["denoiser"]["range"] == [-1.0, 1.0]
    assert recipe["model"]["denoiser"]["sigma"] == 0.25
    Path("d.onnx").rename("moved.onnx")
    verified = cli("verify", "r")
    assert verified.code == 3
    assert re.search(r"^not checked: denoiser: \S+d.onnx is not there; pass --denoiser$", verified.out, re.MULTILINE)
    assert cli("verify", "r", "--denoiser", "moved.onnx", "--redraw", 1).code == 0
    assert cli("audit", "r", "--denoiser", "moved.onnx", "--attacks", 1, "--limit", 1, "-q").code == 0
    Path("other.onnx").write_bytes(scaled((1, 32, 32), 0.8))
    for command in ("verify", "audit"):
        other = cli(command, "r", "--denoiser", "other.onnx")
        assert other.code == (1 if command == "verify" else 2)
        assert "denoiser: expected SHA-256" in other.out + other.err
    shutil.copy("other.onnx", "d.onnx")
    again = cli(*line)
    assert again.code == 2
    assert "holds another run: model.denoiser.sha256" in again.err


def test_the_conventions_change_the_votes_and_the_key(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "d.onnx").write_bytes(told((1, 32, 32), axes=("N",)))
    keys = set()
    for words in ("input.t=1", "input.t=9", "input.t=1,range=-1:1", "input.t=1,clip=no"):
        result = cli(*CERTIFY[:-1], words, "--denoiser", f"d.onnx,{words}")
        assert result.code == 0, result
        keys.add(run_key(RunFolder(Path(words)).recipe()))
    assert cli(*CERTIFY[:-1], "plain").code == 0
    keys.add(run_key(RunFolder(Path("plain")).recipe()))
    assert len(keys) == 5
    recipe = RunFolder(Path("input.t=1")).recipe()
    recipe["denoiser"]["path"] = "elsewhere"
    assert run_key(recipe) in keys
    forged = RunFolder(Path("input.t=9")).path / "recipe.toml"
    forged.write_text(forged.read_text().replace("t = 9.0", "t = 1.0"))
    verified = cli("verify", forged.parent, "--redraw", 6)
    assert verified.code == 1


def test_a_run_goes_on_anywhere(cli: Cli, tmp_path: Path) -> None:
    assert cli(*CERTIFY, *AHEAD, "--denoiser-sigma", 0.5).code == 0
    folder = RunFolder(tmp_path / "r")
    shutil.copy(Path(folder.recipe()["denoiser"]["path"]), "here.onnx")
    entry = open_run(folder.recipe(), denoiser=Path("here.onnx")).entry(2)
    written = folder.entries()[2]
    assert {**entry, "seconds": 0} == {**written, "seconds": 0}


def test_one_file_of_both_is_certified(cli: Cli) -> None:
    result = cli("export", "denoised", "demo:digits-clean.onnx", "demo:digits-denoiser.onnx", "both.onnx",
                 "--denoiser-sigma", 0.5, "--examples", "demo:digits.npz")  # fmt: skip
    assert result.code == 0, result
    assert "the same scores at batch 1, 2 and 17" in result.out
    certified = cli("certify", "both.onnx", "demo:digits.npz", "--smooth", "noise=0.25", "--limit", 3, "--n", 500, "-q")
    assert certified.code == 0, certified
    assert "note: the denoiser is told of noise 0.5, the smoothing's is 0.25" in certified.out


# --- The promise ------------------------------------------------------------------------------------------------------

SIGMA, ALPHA, N = 0.5, 0.05, 400
NORMAL = np.array([[1.0, -0.5, 0.25, 0.75]])
BLUR = 3 * np.array([[0.5, 0.25, 0, 0], [0.5, 0.5, 0.25, 0], [0, 0.25, 0.5, 0.5], [0, 0, 0.25, 0.5]])


def behind(p: float, **how: object) -> tuple[OrtClassifier, float]:
    """A half-space behind a linear denoiser whose class 1 has probability p at 0; and its true radius there."""
    direction = BLUR @ NORMAL.ravel()  # x @ BLUR has the product with NORMAL that x has with this
    radius = float(SIGMA * ndtri(p))
    file = open_denoised(
        half_space((1, 1, 4), NORMAL, radius * float(np.linalg.norm(direction))),
        across(BLUR),
        Denoiser(clip=False, **how),  # type: ignore[arg-type]
    )
    return OrtClassifier(file, threads=1, batch_size=256), radius


def certified(classifier: OrtClassifier, runs: int) -> np.ndarray:
    """The radii of that many certificates at 0; below 0 for a wrong class."""
    zero = np.zeros((1, 1, 4), np.float32)
    found = [
        certify(classifier, compose(Noise(SIGMA)), zero, n0=50, n=N, alpha=ALPHA, key=3, index=i) for i in range(runs)
    ]
    return np.array([c.radius if c.prediction == 1 else 0.0 if c.prediction == ABSTAIN else np.inf for c in found])


@pytest.mark.parametrize("p", [0.75, 0.97])
def test_radii_behind_a_linear_denoiser_are_the_true_ones(p: float) -> None:
    classifier, truth = behind(p)
    radii, runs = certified(classifier, 300), 300
    wrong = int((radii > truth).sum())
    assert stats.binomtest(wrong, runs, ALPHA, alternative="greater").pvalue > 1e-3
    expected = SIGMA * ndtri(lower_confidence_bound(round(N * p), N, ALPHA))
    assert truth > np.median(radii) >= 0.93 * expected > 0


def test_the_check_can_fail() -> None:
    """Without its denoiser the half-space has another radius, and certificates of it are false of the two together."""
    _, truth = behind(0.75)
    alone = half_space((1, 1, 4), NORMAL, truth * float(np.linalg.norm(BLUR @ NORMAL.ravel())))
    radii = certified(OrtClassifier(alone, threads=1, batch_size=256), 300)
    assert stats.binomtest(int((radii > truth).sum()), 300, ALPHA, alternative="greater").pvalue < 1e-9
