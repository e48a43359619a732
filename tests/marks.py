"""Which cases of a long table `make test-quick` runs too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow_but(names: Iterable[str], *quick: str) -> list[Any]:
    """Parameters by name, all marked slow but the quick ones, each of which has to be among them."""
    names = list(names)
    assert set(quick) <= set(names)
    return [pytest.param(name, marks=[] if name in quick else pytest.mark.slow) for name in names]
