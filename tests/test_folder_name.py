"""The default run folder: readable, found again by the same command, never shared by another."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from smoothcert.cli import launch
from smoothcert.runs.folder import RunFolder
from smoothcert.runs.opening import OpenRun
from smoothcert.runs.recipe import differences

from .conftest import MODEL, Result

Cli = Callable[..., Result]
COMMAND = ("certify", MODEL, "six.npz", "-q")
NOISE = ("--smooth", "noise=0.5", "--n", 200)
TARGET = ("--smooth", "noise=0.5", "--mode", "target", "--radii")


@pytest.fixture
def folder(cli: Cli, few_digits: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, RunFolder]]:
    """The name of a command's default folder, and a folder that holds its recipe; nothing is sampled."""
    count = itertools.count()
    kept: list[tuple[str, RunFolder]] = []

    def instead(run: OpenRun, folder: RunFolder, *, quiet: bool) -> str:
        there = RunFolder(Path(f"recipe{next(count)}"))
        there.begin(run.question.recipe)
        kept.append((str(folder.path), there))
        return ""

    monkeypatch.setattr(launch, "show_run", instead)

    def named(*options: object) -> tuple[str, RunFolder]:
        result = cli(*COMMAND, *options)
        assert result.code == 0, result.err
        return kept[-1]

    return named


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (("--smooth", "noise=0.5"), "noise0.5-fixed"),
        (("--smooth", "noise=0.5", "--limit", 3, "--threads", 1), "noise0.5-fixed"),
        ((*TARGET, "0.25,0.5,0.75,1", "--limit", 3), "noise0.5-target-radii=0.25,0.5,0.75,1"),
        ((*NOISE, "--nonce", "readme"), "noise0.5-fixed-n=200-nonce=readme"),
        (("--smooth", "contrast=0.4", "--attack", "contrast=0.7:1.4"), "contrast0.4-fixed-contrast0.7to1.4"),
        ((*NOISE, "--shard", "1/2", "--nonce", "a"), "noise0.5-fixed-1of2-n=200-nonce=a"),
    ],
)
def test_names_are_readable(
    folder: Callable[..., tuple[str, RunFolder]], options: tuple[object, ...], name: str
) -> None:
    assert folder(*options)[0] == f"runs/digits-six-{name}"


OTHERS = [
    ("--n", 300), ("--alpha", 0.01), ("--n0", 50), ("--bound", "two-sided"), ("--skip", 1), ("--nonce", "a"),
    ("--nonce", "b"), ("--nonce", "a/b"), ("--nonce", "a b"), ("--nonce", "n=300"), ("--nonce", "c" * 300),
    ("--scale", 0.004), ("--mean", "0.5"), ("--std", "0.5"), ("--mean", "0.5", "--std", "0.5"), ("--layout", "nchw"),
    ("--resize", 32), ("--resize", 32, "--antialias"), ("--resize", 32, "--interpolation", "area"), ("--crop", 32),
    ("--mask", "circle"), ("--mask", "circle=0.9"), ("--attack", "noise=0.1"), ("--attack", "noise=0.2"),
    ("--attack", "noise=0.10000001"), ("--mode", "radius"), ("--mode", "radius", "--bound", "two-sided"),
    ("--mode", "slices", "--attack", "rotation=-1:1"),
    ("--mode", "slices", "--attack", "rotation=-1:1", "--border", "wrap"),
    ("--mode", "target", "--radii", "0.1"), ("--mode", "target", "--radii", "0.1,0.2"),
    ("--mode", "target", "--radii", "0.1000001"),
    ("--mode", "target", "--radii", ",".join(f"0.{i}" for i in range(10, 90))),
    ("--mode", "target", "--radii", ",".join(f"0.{i}" for i in range(10, 91))),
]  # fmt: skip
ENUMERATED = [
    ("--mode", "enumerate", "--attack", "translation=1", *more) for more in ((), ("--border", "wrap"), ("--skip", 1))
]
SMOOTHED = [
    ("--smooth", part)
    for part in (
        "noise=0.5", "noise=0.5000001", "gamma=0.2", "gamma=0.2,law=rayleigh", "contrast=0.2", "contrast=0.2,about=mid",
        "blur=2", "blur=2,border=wrap", "brightness=0.2",
    )
]  # fmt: skip


@pytest.mark.slow
def test_different_settings_have_different_names(folder: Callable[..., tuple[str, RunFolder]]) -> None:
    """Every pair of 47 commands: one name if and only if the recipes are of one run."""
    commands = [NOISE, *((*NOISE, *other) for other in OTHERS), *ENUMERATED, *SMOOTHED]
    found = [folder(*command) for command in commands]
    assert len({name for name, _ in found}) == len(found) == 47
    for (name, _), command in zip(found, commands, strict=True):
        assert re.fullmatch(r"runs/[ -~]{1,240}", name)
        assert folder(*command, "--limit", 2, "--batch-size", 3)[0] == name
    recipes = [there.recipe() for _, there in found]
    for a, b in itertools.combinations(recipes, 2):
        assert differences(a, b)


def test_a_run_is_found_again_and_told_apart(cli: Cli, few_digits: Path) -> None:
    assert "run folder: runs/digits-six-noise0.5-fixed-n=200\n" in cli(*COMMAND, *NOISE).out
    assert "6 of 6 inputs were there already" in cli(*COMMAND, *NOISE).out
    assert "there already" not in cli(*COMMAND, *NOISE, "--alpha", 0.01).out
