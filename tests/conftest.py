"""Fixtures shared by all tests: the embedded digits, and the command line run in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import smoothcert
from smoothcert.cli import main

DATA = Path(smoothcert.__file__).parent / "data"
MODEL, IMAGES = DATA / "digits.onnx", DATA / "digits.npz"


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


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


@pytest.fixture
def few_digits(tmp_path: Path) -> Path:
    """Six of the digits as an archive of their own."""
    with np.load(IMAGES) as archive:
        np.savez(tmp_path / "six.npz", x=archive["x"][:6], y=archive["y"][:6])
    return tmp_path / "six.npz"
