"""Groups of options: a command takes a dataclass, and the command line shows each of its fields as an option."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command with each parameter whose type is a dataclass replaced by the dataclass's fields.

    Fields are annotated as Typer's parameters are, and may be dataclasses in turn; the command gets the dataclasses.
    """
    hints = get_type_hints(command, include_extras=True)
    given = inspect.signature(command).parameters
    flat = [one for name, p in given.items() for one in _parameters(name, hints[name], p.default)]

    def call(**values: Any) -> None:  # Typer reads the signature below, and calls by name
        command(**{name: _built(name, hints[name], values) for name in given})

    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__annotations__ = {one.name: one.annotation for one in flat}
    call.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    return call


def changed(*groups: Any) -> dict[str, Any]:
    """The fields of these dataclasses that are not their default, by name; not those that are dataclasses in turn."""
    values = ((field, getattr(group, field.name)) for group in groups for field in fields(group))
    return {f.name: value for f, value in values if not is_dataclass(value) and value != _default(f)}


def _parameters(name: str, kind: Any, default: Any) -> Iterator[inspect.Parameter]:
    if not is_dataclass(kind):
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        return
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        yield from _parameters(field.name, hints[field.name], _default(field))


def _built(name: str, kind: Any, values: Mapping[str, Any]) -> Any:
    if not is_dataclass(kind):
        return values[name]
    hints = get_type_hints(kind, include_extras=True)
    return kind(**{field.name: _built(field.name, hints[field.name], values) for field in fields(kind)})  # type: ignore[operator]


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return inspect.Parameter.empty if field.default is MISSING else field.default
