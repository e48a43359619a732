"""A classifier behind a denoiser opened in memory, to certify without a file of both."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from smoothcert.errors import ModelError
from smoothcert.model.classifier import open_model
from smoothcert.model.denoiser import Denoiser
from smoothcert.model.file import ModelFile
from smoothcert.model.preprocess import Preprocess
from smoothcert.model.scores import ADAPTED, difference, is_narrow
from smoothcert.model.sessions import Sessions
from smoothcert.model.source import Readable

from ..proof.parity import random_inputs
from .apart import Apart
from .pair import paired

_ROWS = 2  # noisy images on which the graph is held against the two files; an export tries more


def opened(
    model: Readable,
    denoiser: Readable,
    how: Denoiser,
    *,
    output: str | None = None,
    preprocess: Preprocess | None = None,
) -> ModelFile:
    """The classifier behind the denoiser, ready to certify. `ModelError` where the graph computes anything else."""
    pair = paired(model, denoiser, how, output=output, preprocess=preprocess)
    rows = random_inputs(pair.shape, 0.0, 1.0)[:_ROWS]
    theirs = Apart(pair).scores(rows)  # tries the denoiser alone first
    before, source = pair.classifier, pair.source
    file = open_model(source, before.output)
    ours = Sessions(file, pair.residual).by(rows, file.batch or _ROWS)
    gap = difference(ours, theirs)
    if not gap <= ADAPTED.of(is_narrow(source.proto)):
        raise ModelError(
            f"{pair.network.where}: joined with the classifier it scores otherwise than the two files one after the "
            f"other, by {gap:.1e} of the largest score; export one of them again"
        )
    given = file.given
    if before.given is not None:  # the run's samples are held against the classifier as it came, too
        given = given or source.proto
        with suppress(ModelError):
            given = pair.proto(as_it_came=True)
    return replace(
        file,
        adapted=(*before.adapted, *file.adapted),
        given=given,
        warning=before.warning or file.warning,
        denoiser=pair.recipe,
        outside=source.outside,
    )
