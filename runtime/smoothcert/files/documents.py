"""JSON and TOML that others wrote, checked against a type. Whatever a parser raises becomes one line here."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, TypeVar

import msgspec

from ..errors import ArgumentError, SmoothcertError, first_line, require
from .limits import NESTING, RECIPE_WALK

T = TypeVar("T")
_SHOWN = 200  # characters of a parser's message, which may quote the file
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # one half of a character, which cannot be printed


@contextmanager
def understood(where: str, expected: str, error: type[SmoothcertError], advice: str = "") -> Iterator[None]:
    """Turn whatever parsing raises into `error`, one line: `where: expected ..., got: ...; advice`.

    Wrap parsers and conversions of what others wrote, and nothing else: a bug of ours would be taken for a bad file.
    """
    try:
        yield
    except SmoothcertError:
        raise
    except Exception as problem:
        got = first_line(problem)[:_SHOWN]
        if isinstance(problem, RecursionError):
            got = f"lists or tables more than {NESTING} deep"
        if isinstance(problem, KeyError):
            got = f"nothing called {got}"
        raise error(f"{where}: expected {expected}, got: {got}" + (advice and f"; {advice}")) from None


def json_value(text: bytes) -> Any:
    """The value of a JSON text in UTF-8. Raises, for `understood`, what a strict reader refuses.

    That is: duplicate keys, NaN and infinities, and what is nested too deeply. Halves of characters become `?`.
    """
    value = _STRICT.decode(text.decode("utf-8"))
    if text.count(b"[") + text.count(b"{") > NESTING:
        _require_plain(value)
    if _SURROGATE.search(text):
        value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    return value


def toml_value(text: bytes) -> dict[str, Any]:
    """The table of a TOML text in UTF-8. Raises what `json_value` does, and refuses dates too."""
    lines = text.decode("utf-8").splitlines()
    deepest = max((line.count(".") for line in lines), default=0)
    require(deepest * (deepest + len(lines)) <= RECIPE_WALK, "keys nested too deeply")  # the parser's time
    table = tomllib.loads(text.decode("utf-8"))
    _require_plain(table)
    return table


def typed(value: Any, kind: type[T]) -> T:
    """The plain value as that type: a TypedDict, a NamedTuple, a dataclass, a container of these.

    Numbers are not texts, nor the reverse; keys that a type does not name are passed over. Raises, for `understood`,
    msgspec's errors, or the type's own for values that it refuses.
    """
    return msgspec.convert(value, kind, str_keys=True)


def built(table: Mapping[str, Any], kind: type[T], what: str) -> T:
    """The frozen dataclass of a plain table; `ArgumentError` for other keys, types or values than it takes."""
    known = sorted(field.name for field in fields(kind))  # type: ignore[arg-type]
    strange = [str(name) for name in table if name not in known]
    require(not strange, f"{what}: expected {', '.join(known)}, got {', '.join(strange)[:_SHOWN]}")
    try:
        return typed(table, kind)
    except (ValueError, RecursionError) as error:
        message = first_line(error)[:_SHOWN]
        raise ArgumentError(message if ": expected" in message else f"{what}: {message}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {name!r} twice")
    return table


def _no_constant(name: str) -> None:
    raise ValueError(f"{name}, which is no number")


_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _require_plain(value: Any, depth: int = 0) -> None:
    if depth > NESTING:
        raise RecursionError
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _require_plain(inner, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value}, which is no number")
    elif not isinstance(value, str | int | float | None):
        raise ValueError(f"a {type(value).__name__}, where text or numbers belong")
