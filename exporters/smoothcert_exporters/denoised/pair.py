"""A classifier and a denoiser that fit each other, and the two as one classifier of noisy images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from onnx.external_data_helper import load_external_data_for_model

from smoothcert.errors import ModelError
from smoothcert.inputs.spatial import PLAIN
from smoothcert.model.card import ModelCard
from smoothcert.model.classifier import open_model
from smoothcert.model.denoiser import Denoiser
from smoothcert.model.file import ModelFile
from smoothcert.model.graph.names import INPUT
from smoothcert.model.preprocess import Preprocess
from smoothcert.model.source import Readable, Source, read_source

from ..graph import fixed_batch, refill
from ..joining import joined
from ..metadata import describe
from .ahead import IMAGE, TAKEN, ahead
from .network import Network, read_network
from .view import View


@dataclass(frozen=True, eq=False)
class Pair:
    """A classifier's file behind a denoiser's. `preprocess`: the classifier's, as asked for or as its metadata say."""

    classifier: ModelFile
    network: Network
    preprocess: Preprocess

    @cached_property
    def view(self) -> View:
        """How the classifier sees clean images."""
        return View.of(self.classifier, self.preprocess, self.network)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one noisy image: colours, height, width."""
        return self.view.colours, *self.view.noisy

    @property
    def residual(self) -> Preprocess:
        """What is left to do ahead of the denoiser: from a user's images to its pixels."""
        return Preprocess(spatial=self.preprocess.spatial)

    @property
    def recipe(self) -> dict[str, Any]:
        """What determines the function beside the classifier's file, as plain values."""
        behind = replace(self.preprocess, spatial=PLAIN)
        return {"sha256": self.network.source.sha256, "preprocess": behind.recipe, **self.network.how.recipe}

    @property
    def card(self) -> ModelCard:
        """The classifier's, with the denoiser in it."""
        record = {"model": self.classifier.sha256, **self.recipe}
        return replace(self.classifier.card, input_range=(0.0, 1.0), denoiser=record)

    def proto(self, *, as_it_came: bool = False) -> onnx.ModelProto:
        """Both as one graph, from `image` to the classifier's output; its batch axis is fixed where one of theirs is.

        `as_it_came`: with the classifier as it was before it was adapted. `ModelError` for two fixed batch sizes.
        """
        file = self.classifier
        if as_it_came and file.given is not None:
            file = replace(file, proto=file.given, batch=fixed_batch(file.given.graph))
        if file.batch is not None and self.network.batch not in (None, file.batch):
            raise ModelError(
                f"{self.network.where}: expected a batch axis that is free, or fixed to the classifier's {file.batch}, "
                f"got one fixed to {self.network.batch}; export it again with a free one"
            )
        content = file.with_input(np.dtype(np.float32), self.view.levels, self._behind)
        behind = onnx.ModelProto.FromString(content)
        load_external_data_for_model(behind, file.folder)
        refill(behind.graph.output, [value for value in behind.graph.output if value.name == file.output])
        front = ahead(self.network, self.view, self.network.batch or file.batch)
        both = joined(front, behind, between=(TAKEN, INPUT), ends=(IMAGE, file.output))
        both.metadata_props.extend(self.classifier.proto.metadata_props)
        describe(both, self.residual, self.card)
        return both

    @property
    def _behind(self) -> Preprocess:
        """The arithmetic between clean image and classifier, whose layout the view has settled."""
        if len(self.view.shape) != 3:
            return self.preprocess
        return replace(self.preprocess, layout="nhwc" if self.view.turned else "nchw")

    @cached_property
    def source(self) -> Source:
        """Both as a file that was read, weights in memory, under the classifier's name and SHA-256."""
        source = self.network.source
        where = f"the classifier behind {source.where}"
        return Source(self.proto(), where, "", self.classifier.sha256, (*self.classifier.outside, *source.outside))


def paired(
    model: Readable,
    denoiser: Readable,
    how: Denoiser,
    *,
    output: str | None = None,
    preprocess: Preprocess | None = None,
) -> Pair:
    """A classifier and a denoiser, read and held against each other; `ModelError` where one of them is none.

    `preprocess`: the classifier's; of it, `spatial` acts ahead of the denoiser, in whose pixels the noise is.
    """
    classifier = open_model(model, output)
    if classifier.card.denoiser:
        raise ModelError(
            "denoiser: the model's file has one ahead already; leave this one out, or take the model alone"
        )
    network = read_network(read_source(denoiser), how)
    return Pair(classifier, network, _agreed(classifier, preprocess or Preprocess()))


def _agreed(classifier: ModelFile, asked: Preprocess) -> Preprocess:
    """The classifier's preprocessing: its own arithmetic, where it has one, and the way to the pixels asked for."""
    own, bare = classifier.preprocess or asked, replace(asked, spatial=PLAIN)
    if bare != Preprocess():
        classifier.agreed(replace(asked, spatial=own.spatial))
    return own if asked.spatial == PLAIN else replace(own, spatial=asked.spatial)
