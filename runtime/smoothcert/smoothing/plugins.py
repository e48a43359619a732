"""Users' own transformations: their files, and what these add to the table of parts. Docs: docs/plugins.md.

Code runs where a person names it, never because a run folder or a calibration file does: those ask for its SHA-256.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import math
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from ..errors import ArgumentError, PluginError, SmoothcertError, first_line, require
from ..files.limits import PLUGIN_BYTES
from ..files.reading import read_regular
from .part import Part
from .table import kind_of, register
from .transform import Kind, Transform

GROUP = "smoothcert.plugins"  # of entry points of installed packages
_OWN = ("part", "scale", "law", "unit", "plugin")  # keys of a part in a recipe that no option may have
_SAID = ("name", "unit", "kind", "identity", "help")
_IDENTITIES = {"additive": 0.0, "factor": 1.0, "variance": 0.0}


@dataclass(frozen=True)
class Plugin:
    """A user's file that was run: its place, the SHA-256 of its bytes, the names of the transformations it added."""

    path: str
    sha256: str
    names: tuple[str, ...]


LOADED: dict[str, Plugin] = {}  # by SHA-256


def load_plugin(source: str | os.PathLike[str]) -> Plugin:
    """Run a user's file, and add its transformations and parts to those that there are.

    `source`: a file that ends in .py, or the name of an installed package's entry point of the group
    `smoothcert.plugins`. All named `Part`s and `Transform`s that the module itself defines are added. `PluginError`,
    and nothing is added, for a file that cannot be read or run, adds nothing, or adds what cannot be used.
    """
    text = os.fspath(source)
    path, module = (text, None) if text.endswith(".py") else _installed(text)
    content = read_regular(path, "a Python file", PluginError, PLUGIN_BYTES)
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 in LOADED:
        return LOADED[sha256]
    module = module or _run(path, content)
    try:
        rows = list(_rows(module))
        require(bool(rows), "expected a Transform or a Part that it defines itself, each with a name, got none")
        for row in rows:
            _require_usable(row, module)
        register(*rows)
    except ArgumentError as error:
        raise PluginError(f"plugin {path}: {error}") from None
    kinds = [kind_of(row) for row in rows]
    for kind in kinds:
        kind.plugin = sha256
    LOADED[sha256] = Plugin(str(Path(path).resolve()), sha256, tuple(kind.name for kind in kinds))
    return LOADED[sha256]


def _installed(name: str) -> tuple[str, ModuleType]:
    known = {point.name: point.module for point in entry_points(group=GROUP)}
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise PluginError(f"plugin: expected a file that ends in .py, or an installed one ({there}), got {name!r}")
    try:
        module = importlib.import_module(known[name])
    except (Exception, SystemExit) as error:
        raise PluginError(f"plugin {name}: {known[name]} failed: {_words(error)}") from error
    return str(module.__file__), module


def _run(path: str, content: bytes) -> ModuleType:
    module = ModuleType(f"_smoothcert_plugin_{hashlib.sha256(content).hexdigest()[:16]}")
    module.__file__ = path
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(content, path, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise PluginError(f"plugin {path}: it failed: {_words(error)}") from error
    return module


def _words(error: BaseException) -> str:
    return str(error) if isinstance(error, SmoothcertError) else f"{type(error).__name__}: {first_line(error)}"


def _rows(module: ModuleType) -> Iterator[type[Part] | type[Transform]]:
    """What a module defines itself: parts, and transformations that no part of it names."""
    own = [c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__]
    own = [c for c in dict.fromkeys(own) if not inspect.isabstract(c)]
    parts = [c for c in own if issubclass(c, Part) and hasattr(c, "transforms")]
    named = {part.transforms for part in parts}
    yield from parts
    yield from (c for c in own if issubclass(c, Transform) and hasattr(c, "name") and c not in named)


def _require_usable(row: Any, module: ModuleType) -> None:
    """`ArgumentError` for a row that the table, recipes or the command line have no place for."""
    kind: Any = kind_of(row)
    title = f"class {row.__name__}"
    require(kind.__module__ == module.__name__, f"{title}: expected a transformation of the same file, got {kind}")
    lacks = ", ".join(name for name in _SAID if not hasattr(kind, name))
    require(not lacks, f"class {kind.__name__}: expected {', '.join(_SAID)}, got no {lacks}")
    require(
        isinstance(kind.name, str) and bool(re.fullmatch(r"[a-z][a-z0-9_]*", kind.name)),
        f"{title}: expected a name of small letters, digits and _, got {kind.name!r}",
    )
    kinds = [name for name in get_args(Kind) if name != "norm"]
    require(kind.kind in kinds, f"{title}: expected a kind of {', '.join(kinds)}, got {kind.kind!r}")
    identity = _IDENTITIES.get(kind.kind, kind.identity)
    require(kind.identity == identity, f"{title}: expected the identity {identity} of {kind.kind}, got {kind.identity}")
    number = kind.identity is None or (isinstance(kind.identity, int | float) and math.isfinite(kind.identity))
    require(number, f"{title}: expected a number, or None, as identity, got {kind.identity!r}")
    for one in {row, kind}:
        frozen = "__dataclass_params__" in vars(one) and one.__dataclass_params__.frozen
        require(frozen, f"class {one.__name__}: expected @dataclass(frozen=True) above it, got none")
    own = [field.name for field in fields(row)]
    if issubclass(row, Part):
        require(own[:2] == ["scale", "law"], f"{title}: expected the fields scale and law first, got {', '.join(own)}")
    for option in fields(row)[2:] if issubclass(row, Part) else fields(row):
        require(option.name not in _OWN, f"{title}: expected another name than {option.name} for an option")
        given = option.default is not MISSING and type(option.default) in (str, int, float)
        require(given, f"{title}: expected a default, text or a number, for the option {option.name}, got none")
