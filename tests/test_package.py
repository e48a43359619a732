"""The shape of the package: who imports whom, and what it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import smoothcert

ROOT = Path(smoothcert.__file__).parent
FOREIGN = {"torch", "tensorflow", "keras", "jax", "sklearn", "xgboost", "lightgbm"}


def imported(path: Path) -> set[str]:
    """Top-level packages that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_runtime_imports_neither_frameworks_nor_its_sisters(path: Path) -> None:
    sisters = set() if path.name in ("cli.py", "launch.py") else {"smoothcert_exporters", "smoothcert_calibration"}
    assert not imported(path) & (FOREIGN | sisters)


def test_every_public_name_is_there() -> None:
    for name in smoothcert.__all__:
        assert getattr(smoothcert, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = smoothcert.nothing


def test_bounds_need_no_slow_imports() -> None:
    code = (
        "import smoothcert, sys\n"
        "smoothcert.lower_confidence_bound(9, 10, 0.01)\n"
        "assert 'scipy.stats' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
