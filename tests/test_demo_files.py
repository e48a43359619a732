"""`demo:NAME` on the command line: the files that come with the package, wherever a path is read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from smoothcert import SmoothcertError, demo_file
from smoothcert.cli.options import path
from smoothcert.runs.folder import RunFolder

from .conftest import IMAGES, MODEL, Result

Cli = Callable[..., Result]
SMOOTH = ("--smooth", "noise=0.5", "--n", 100, "--limit", 2, "-q")


@pytest.mark.parametrize("name", ["digits.onnx", "digits.npz"])
def test_a_name_is_the_packages_file(name: str) -> None:
    assert demo_file(name) == path(f"demo:{name}") == MODEL.parent / name
    assert demo_file(name).is_file()


@pytest.mark.parametrize("name", ["digits", "", "README.md", "../data/digits.npz", "/etc/passwd", "demo:digits.npz"])
def test_no_other_name_is_taken(name: str) -> None:
    with pytest.raises(SmoothcertError, match=r"expected demo:digits\.onnx, .*, demo:spoken\.npz, the files"):
        demo_file(name)


@pytest.mark.parametrize("text", ["digits.npz", "./demo:digits.npz", "a/demo:digits.npz", "Demo:digits.npz"])
def test_other_paths_are_as_given(text: str) -> None:
    assert path(text) == Path(text)


def test_a_run_is_the_one_of_the_real_paths(cli: Cli) -> None:
    """The recipe names the files themselves, and the same run goes on under either name; verify takes both too."""
    first = cli("certify", "demo:digits.onnx", "demo:digits.npz", *SMOOTH)
    assert (first.code, first.err) == (0, "")
    (folder,) = Path("runs").iterdir()
    recipe = RunFolder(folder).recipe()
    assert Path(recipe["model"]["path"]) == MODEL
    assert Path(recipe["data"]["path"]) == IMAGES
    assert "2 of 2 inputs were there already" in cli("certify", MODEL, IMAGES, *SMOOTH).out
    verified = cli("verify", folder, "--model", "demo:digits.onnx", "--data", "demo:digits.npz")
    assert (verified.code, verified.err) == (0, "")


def test_every_command_that_reads_takes_them(cli: Cli) -> None:
    for words in (
        ("predict", "demo:digits.onnx", "demo:digits.npz", *SMOOTH),
        ("inspect", "demo:digits.onnx"),
        ("export", "onnx", "demo:digits.onnx", "a.onnx", "--examples", "demo:digits.npz"),
        ("calibrate", "measure", "demo:digits.npz", "a.cal", "--model", "demo:digits.onnx", "--smooth", "contrast=0.3",
         "--attack", "contrast=0.9:1.1", "--limit", 4, "-q"),
        ("calibrate", "table", "demo:digits.npz", "--limit", 2, "-q"),
    ):  # fmt: skip
        done = cli(*words)
        assert (done.code, done.err) == (0, ""), words


def test_a_wrong_name_is_one_line_that_says_how_to_mean_a_file(cli: Cli) -> None:
    done = cli("certify", "demo:digit.onnx", "demo:digits.npz", *SMOOTH)
    assert done.code == 2
    assert done.err == (
        "smoothcert: demo:digit.onnx: expected demo:digits.onnx, demo:digits.npz, "
        "demo:digits-clean.onnx, demo:digits-denoiser.onnx, demo:spoken.onnx, "
        "demo:spoken.npz, the files that come with "
        "smoothcert; a file of your own that is called so is given as ./demo:digit.onnx\n"
    )
    shutil.copy(MODEL, "demo:digit.onnx")
    assert cli("inspect", "./demo:digit.onnx").code == 0
