"""What can go wrong, in words: every message says what was expected, what came, and what to do."""

from __future__ import annotations

from numbers import Integral, Real


class SmoothcertError(Exception):
    """A file, model, run folder or machine that cannot do what was asked. Wrong arguments are `ArgumentError`."""


class ArgumentError(ValueError):
    """An argument that cannot be used; the message begins with its name: `n0: expected ..., got ...`.

    The command line shows it as one line. Any other `ValueError` is a bug, and keeps its traceback.
    """


class ModelError(SmoothcertError):
    """The model file cannot be read, loaded, adapted or run as a classifier."""


class DataError(SmoothcertError):
    """The data set, or one input of it, cannot be read or does not fit the model."""


class ProviderError(SmoothcertError):
    """The execution provider asked for did not start on this machine, or gave no answer in time."""


class CalibrationError(SmoothcertError):
    """The calibration file is damaged, or was made for something else."""


class PluginError(SmoothcertError):
    """A plugin cannot be loaded, or a run or calibration needs one that is not loaded, or another."""


class RunError(SmoothcertError):
    """The run folder was made by something else, is in use, or is damaged."""


def first_line(error: BaseException) -> str:
    """The first line of another library's message, or the error's type where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def require_number(name: str, *values: object, whole: bool = False) -> None:
    """Raise `ArgumentError` unless all values are numbers, or `whole` ones: those of numpy too, but no truth values."""
    kind, words = (Integral, "whole number") if whole else (Real, "number")
    for value in values:
        fine = isinstance(value, kind) and not isinstance(value, bool)
        require(fine, f"{name}: expected a {words}, got {value!r:.99}")


def require(condition: bool, message: str) -> None:
    """Raise `ArgumentError(message)` unless the condition holds."""
    if not condition:
        raise ArgumentError(message)
