"""ONNX files that exist already, exported again: ready to certify, and proved to compute the same."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from smoothcert.errors import require
from smoothcert.model.arrangement import show
from smoothcert.model.file import ModelFile
from smoothcert.model.source import read_source

from .adapt.ready import adapted_source
from .audio import FrontEnd, with_front_end
from .finish import Export, finish
from .graph import element_type, fixed_batch
from .options import DEFAULTS, Options
from .proof.trial import input_shape, random_rows, runner


def export_file(
    model: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    output: str | None = None,
    shape: tuple[int, ...] | None = None,
    options: Options = DEFAULTS,
    front_end: FrontEnd | None = None,
    samples: int = 0,
) -> Export:
    """Write the classifier of an ONNX file to `path`, ready to certify, and prove that it computes the same.

    `output` names the scores where there are several outputs and a trial cannot tell; `shape` is that of one input
    where the file leaves axes free. `front_end` is put ahead of a classifier of its features, which then takes
    waveforms of so many `samples`. What the file's own metadata say of preprocessing, class names and training noise
    holds unless `options` say otherwise. Raises `ModelError` for what is no classifier, and leaves no file then.
    """
    source = read_source(model)
    if front_end is not None:
        source = replace(source, proto=with_front_end(source.proto, front_end, samples))
        options = replace(options, sample_rate=front_end.rate, input_range=options.input_range or (-1.0, 1.0))
    ready = adapted_source(source, output)
    known, kind = input_shape(ready.proto), element_type(ready.proto.graph)
    one = known or shape
    require(shape in (None, one), f"shape: {model} says {show(known or ())} itself; leave it out")
    require(one is not None, f"shape: expected the axes of one input, which {model} leaves free, got none")
    own = ModelFile(ready.proto, source.folder, "", None, (), kind, "")
    producer = " ".join(filter(None, (source.proto.producer_name, source.proto.producer_version)))
    given = runner(ready.given, source.folder, ready.proto.graph.output[0].name)
    size = fixed_batch(ready.given.graph) or 1  # its own
    done = finish(
        ready.proto,
        path,
        reference=lambda batch: given.by(np.asarray(batch, np.float32), size),
        example=random_rows(kind, one or ()),
        source=own.card.source or producer or "the file",
        options=_with_own(options, own),
        folder=source.folder,
    )
    return replace(done, changes=(*ready.changes, *done.changes))


def _with_own(options: Options, file: ModelFile) -> Options:
    """The options, and where they say nothing, what the file does; `ModelError` where its preprocessing is another."""
    card, asked = file.card, options.preprocess
    return replace(
        options,
        preprocess=(file.preprocess and file.agreed(asked)) or asked,
        input_range=options.input_range or card.input_range,
        class_names=options.class_names or card.class_names,
        training_noise=card.training_noise if options.training_noise is None else options.training_noise,
        sample_rate=options.sample_rate or card.sample_rate,
    )


def known_shape(model: str | os.PathLike[str]) -> tuple[int, ...] | None:
    """The shape of one input of an ONNX file's network; None where the file leaves axes free."""
    return input_shape(read_source(model).proto)
