"""The README's own words, run: every Python block, every `smoothcert` command."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import IMAGES, MODEL, Result

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = [line[2:] for line in README.splitlines() if line.startswith(("$ smoothcert ", "$ python examples/"))]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def near(row: str, out: str) -> bool:
    """Whether out has a row of the same cells, percentages within two points: votes may differ on other machines."""
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    for line in out.splitlines():
        others = [cell.strip() for cell in line.strip("│").split("│")]
        if others[0] == cells[0] and len(others) == len(cells):
            pairs = zip(cells[1:], others[1:], strict=True)
            if all(a == b or abs(float(a.rstrip("%")) - float(b.rstrip("%"))) <= 2 for a, b in pairs):
                return True
    return False


def test_commands_run(cli: Callable[..., Result]) -> None:
    assert len(COMMANDS) >= 4
    shutil.copy(MODEL, "digits.onnx")
    shutil.copy(IMAGES, "digits.npz")
    for command in COMMANDS:
        if command.startswith("python "):
            _, script, *words = shlex.split(command)
            subprocess.run([sys.executable, str(ROOT / script), *words], check=True)
            continue
        result = cli(*shlex.split(command.split(" > ")[0])[1:])
        errors = [line for line in result.err.splitlines() if "inputs, about" not in line]  # a slow machine says so
        assert (result.code, errors) == (0, []), command
        expected = "\n{}".format(README.split(f"$ {command}\n")[1]).split("```")[0].split("\n$ ")[0].splitlines()
        for line in expected:
            if line.startswith("runs/") or "┃ radius" in line:
                assert line in result.out, command
            if "--nonce" in command and line.startswith("│"):
                assert near(line, result.out), (command, line)


@pytest.mark.parametrize("code", blocks("python"))
def test_python_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(MODEL, "digits.onnx")
    shutil.copy(IMAGES, "digits.npz")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    certificate = names["certificate"]
    assert getattr(certificate, "prediction", -1) >= 0
