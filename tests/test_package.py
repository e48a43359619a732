"""The shape of the package: who imports whom, and what it costs."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import smoothcert
from smoothcert.smoothing import PARTS

ROOT = Path(smoothcert.__file__).parent
CLONE = Path(__file__).parents[1]
FOREIGN = {"torch", "tensorflow", "keras", "jax", "sklearn", "xgboost", "lightgbm"}


def packages(tree: ast.AST) -> set[str]:
    """Top-level packages imported anywhere in a piece of code."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
    return names


def imported(path: Path) -> set[str]:
    """Top-level packages that a file imports, anywhere in it."""
    return packages(ast.parse(path.read_text()))


SISTERS = {"smoothcert_exporters", "smoothcert_calibration"}


def at_once(path: Path) -> set[str]:
    """Top-level packages that importing a file imports: those outside its functions, and not for types alone."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) and not for_types:
            names |= packages(node)
    return names


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_runtime_imports_no_framework_and_its_sisters_late(path: Path) -> None:
    """Which rooms may import the sisters at all is import-linter's to say: pyproject.toml."""
    assert not imported(path) & FOREIGN
    assert not at_once(path) & SISTERS


BELOW = [
    path
    for folder in (ROOT, *(CLONE / name for name in ("exporters", "calibration")))
    for path in sorted(folder.rglob("*.py"))
    if path.parent != ROOT / "cli" and path.name != "__main__.py"
]


@pytest.mark.parametrize("path", BELOW, ids=lambda p: "/".join(p.parts[-2:]))
def test_nothing_below_imports_the_command_line(path: Path) -> None:
    froms = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom))
    assert not any("cli" in (node.module or "").split(".") for node in froms)


DISTRIBUTIONS = {"cv2": "opencv-python", "tomli_w": "tomli-w"}  # where the package is called otherwise


def test_every_import_is_declared() -> None:
    """`pip install smoothcert[cpu]` brings all that the runtime imports, wherever it imports it."""
    foreign = set().union(*map(imported, ROOT.rglob("*.py"))) - sys.stdlib_module_names - {"smoothcert"}
    foreign = {name for name in foreign if not name.startswith("smoothcert_")}
    project = tomllib.loads((CLONE / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["cpu"]
    declared = {re.split(r"[^A-Za-z0-9_.-]", line)[0] for line in lines}
    assert {DISTRIBUTIONS.get(name, name) for name in foreign} <= declared


def test_the_lock_names_one_version_in_range_of_every_dependency_and_no_place_to_get_it() -> None:
    """For each Python that is supported; `make lock` makes it anew."""
    project = tomllib.loads((CLONE / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [line for line in (CLONE / "constraints" / "lock.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*( ; [^:/@]+)?", line) for line in lines)
    pinned = [Requirement(line) for line in lines]
    for wanted in map(Requirement, project["dependencies"] + extras["cpu"] + extras["dev"]):
        for python in ("3.11.7", "3.12.1", "3.13.0"):
            place = {"python_version": python[:4], "python_full_version": python, "sys_platform": "linux"}
            found = [
                pin for pin in pinned if pin.name == wanted.name and (not pin.marker or pin.marker.evaluate(place))
            ]
            (version,) = (spec.version for pin in found for spec in pin.specifier)
            assert wanted.specifier.contains(version), (wanted, version)


def test_every_dependency_declares_its_lowest_version() -> None:
    """Which `make test-lowest` installs."""
    project = tomllib.loads((CLONE / "pyproject.toml").read_text())["project"]
    for line in itertools.chain(project["dependencies"], *project["optional-dependencies"].values()):
        assert re.fullmatch(r"[a-z0-9-]+(\[[a-z,]+\])?>=[0-9.]+", line), line


def test_every_part_is_public() -> None:
    assert {part.__name__ for part in PARTS.values()} <= set(smoothcert.__all__)
    assert smoothcert.__all__ == sorted(smoothcert.__all__)


def test_every_public_name_is_there() -> None:
    for name in smoothcert.__all__:
        assert getattr(smoothcert, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = smoothcert.nothing


@pytest.mark.parametrize(
    "line",
    [
        "smoothcert.lower_confidence_bound(9, 10, 0.01)",
        "smoothcert.compose(smoothcert.Contrast(0.3), smoothcert.Brightness(0.3)).p_star({'contrast': 1.1})",
        "from smoothcert.algorithms import Enumerate; Enumerate(smoothcert.Attack.of({'rotation': 1.0})).members()",
    ],
    ids=["confidence", "composition", "enumeration"],
)
def test_bounds_need_no_slow_imports(line: str) -> None:
    code = (
        f"import smoothcert, sys\n{line}\nassert not {{'scipy.stats', 'onnxruntime', 'matplotlib'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
