"""Fixtures shared by all tests: the embedded digits, and the command line run in this process."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import smoothcert
from smoothcert import Noise, OrtClassifier, compose
from smoothcert.algorithms import Fixed
from smoothcert.cli.app import main
from smoothcert.inputs.datasets import open_dataset
from smoothcert.runs import preflight
from smoothcert.runs.asked import Files, new_run
from smoothcert.runs.complete import complete
from smoothcert.runs.folder import RECIPE, RunFolder

DATA = Path(smoothcert.__file__).parent / "data"
MODEL, IMAGES = DATA / "digits.onnx", DATA / "digits.npz"


Once = Callable[[Callable[[], object]], None]


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


def write_six(folder: Path) -> Path:
    """Six of the digits as an archive of their own."""
    with np.load(IMAGES) as archive:
        np.savez(folder / "six.npz", x=archive["x"][:6], y=archive["y"][:6])
    return folder / "six.npz"


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Result]:
    """`cli("certify", ...)` in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["smoothcert", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        return Result(int(exit_.value.code or 0), captured.out, captured.err)

    return call


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In a module with `QUICK`, names of tests, all others are slow ones."""
    for item in items:
        quick = getattr(getattr(item, "module", None), "QUICK", None)
        if quick is not None and not {item.name, getattr(item, "originalname", "")} & set(quick):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def _hasty() -> None:
    """A first look times samples as long as it takes to have some: the speed that it prints is no test's business."""
    preflight._SECONDS = 0.01


@pytest.fixture(scope="module")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "folder"


@pytest.fixture
def once(_kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Once:
    """`once(make)`: in the test's own empty folder, what `make` leaves behind in one; made once for a module."""

    def copied(make: Callable[[], object]) -> None:
        if not _kept.exists():
            _kept.mkdir()
            monkeypatch.chdir(_kept)
            make()
        shutil.copytree(_kept, tmp_path, dirs_exist_ok=True)
        for recipe in tmp_path.rglob(RECIPE):  # which names the data where they were
            recipe.write_text(recipe.read_text().replace(str(_kept), str(tmp_path)))
        monkeypatch.chdir(tmp_path)

    return copied


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    data = write_six(folder)
    files, algorithm = Files(MODEL, data), Fixed(n=500)
    run = new_run(files, OrtClassifier(MODEL), open_dataset(data), compose(Noise(0.5)), algorithm, nonce="n")
    assert len(list(complete(RunFolder(folder / "r"), run))) == 6
    return folder


@pytest.fixture
def finished_run(_finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In an empty folder: six.npz, six of the digits, and r, their run by noise=0.5, n = 500, nonce n."""
    shutil.copytree(_finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Path("r")


@pytest.fixture
def few_digits(tmp_path: Path) -> Path:
    """Six of the digits as an archive of their own."""
    return write_six(tmp_path)
