"""A classifier as it is opened: adapted in memory where its file is not ready to certify."""

from __future__ import annotations

from .file import ModelFile, read_model
from .source import Readable, read_source


def open_model(source: Readable, output: str | None = None) -> ModelFile:
    """A classifier ready to certify, the one way in from the command line and from Python.

    A file that is not ready is adapted in memory: `adapted` says how, `warning` what could not be changed. Raises
    `ModelError` as `read_model` does.
    """
    from smoothcert_exporters.adapt.ready import made_ready

    read = read_source(source)
    ready = made_ready(read, output)
    return read_model(read, output) if ready is None else ready
