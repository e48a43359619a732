"""A classifier behind a denoiser, written as one checked file."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from ..finish import Export, finish
from ..options import DEFAULTS, Options
from .apart import Apart
from .pair import Pair


def export_denoised(pair: Pair, path: str | os.PathLike[str], options: Options = DEFAULTS) -> Export:
    """Write the classifier behind the denoiser to `path`, and prove that it scores as the two run apart.

    The file takes noisy images in [0,1] in the denoiser's size, and leaves to its user what brings images to those
    pixels; the classifier's preprocessing is the pair's. Both files' hashes and the conventions go into the metadata.
    Raises `ModelError` where the two do not fit, or the file computes something else, and leaves no file then.
    """
    apart, example = Apart(pair), np.full((2, *pair.shape), 0.5, np.float32)
    apart.scores(example)  # what does not fit is told of the two, not of the graph
    card = pair.card
    told = replace(
        options,
        preprocess=pair.residual,
        input_range=(0.0, 1.0),
        class_names=options.class_names or card.class_names,
        training_noise=card.training_noise if options.training_noise is None else options.training_noise,
        denoiser=card.denoiser,
    )
    source = card.source or "the classifier"
    done = finish(
        pair.proto(), path, reference=apart.scores, example=example, source=f"{source} behind a denoiser", options=told
    )
    return replace(done, changes=(f"denoiser: {pair.network.how}", *pair.classifier.adapted, *done.changes))
