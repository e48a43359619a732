"""Models by name: MODULE:FACTORY, code of the user's own in the current folder."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

from smoothcert.errors import ModelError, first_line, require


def load(framework: str, name: str, weights: Path | None = None) -> Any:
    """What FACTORY of MODULE makes, with its weights where the framework keeps them in files that are no code.

    `framework`: pytorch, keras, jax, sklearn or boosting. `ModelError` where it is not installed; see `from_module`.
    """
    module = importlib.import_module(f".{framework}", __package__)
    if hasattr(module, "load"):
        try:
            return module.load(name, weights)
        except ImportError as error:
            raise ModelError(f"{first_line(error)}; pip install 'smoothcert[{framework}]'") from None
    require(weights is None, f"weights: expected with pytorch alone; load them in {name}")
    return from_module(name)


def from_module(name: str) -> Any:
    """What FACTORY of MODULE returns, or the model itself that has that name; modules of the current folder first.

    Raises `ModelError` where there is no such module or name, or where its code fails.
    """
    module_name, colon, factory = name.partition(":")
    if not colon or not all(word.isidentifier() for word in [*module_name.split("."), factory]):
        raise ModelError(
            f"{name}: expected MODULE:FACTORY, such as mymodel:make for make() in mymodel.py; "
            "files of whole models run code that they carry: load such a one there, if you trust it"
        )
    sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module_name), factory)
        return found() if isinstance(found, type) or hasattr(found, "__code__") else found
    except (Exception, SystemExit) as error:  # a script that parses its own arguments exits
        raise ModelError(f"{name}: {type(error).__name__}: {first_line(error)}") from None
    finally:
        sys.path.remove(os.getcwd())
