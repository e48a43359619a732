"""The two models run apart, numpy in between: what the one graph of both is held against."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import ModelError, ProviderError
from smoothcert.model import providers
from smoothcert.model.arrangement import show
from smoothcert.model.sessions import Sessions

from ..graph import fixed_batch
from .ahead import axes
from .pair import Pair

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Apart:
    """A classifier and a denoiser, each in a session of its own, from its own file."""

    pair: Pair

    def scores(self, images: Array) -> NDArray[Any]:
        """The classifier's scores of noisy images (n, colours, height, width) in [0,1], denoised."""
        view, rows = self.pair.view, self.arranged(self.clean(images))
        levels = view.levels
        values = rows * np.float32(levels.unit) if levels else rows
        file = self.pair.classifier
        size = file.batch if file.given is None else fixed_batch(file.given.graph)
        return self._classifier.by(values, size or len(values), levels)

    def clean(self, images: Array) -> Array:
        """Clean images for noisy ones, both (n, colours, height, width) in [0,1], by the denoiser's conventions."""
        how = self.pair.network.how
        low, high = how.ends
        signal, noise = np.sqrt(how.abar or 1.0), np.sqrt(1 - (how.abar or 0.0))
        given = (signal * (images.astype(np.float64) * (high - low) + low)).astype(np.float32)
        found = np.asarray(self._denoised(given), np.float64)
        image = (given - noise * found) / signal if how.output == "noise" else found
        image = (image - low) / (high - low)
        return np.asarray(image.clip(0, 1) if how.clip else image, np.float32)

    def arranged(self, images: Array) -> Array:
        """Clean images as the classifier takes them, resized and with their axes in its order."""
        view, sized = self.pair.view, np.asarray(images, np.float32)
        if view.weights is not None:
            rows, columns = view.weights
            sized = np.asarray(rows @ sized @ columns.T, np.float32)
        turned = np.moveaxis(sized, 1, -1) if view.turned else sized
        return np.ascontiguousarray(turned).reshape(len(images), *view.shape)

    def _denoised(self, given: Array) -> NDArray[Any]:
        """The denoiser's own output, colours first and in our order; `ModelError` for one of another shape."""
        network = self.pair.network
        flipped = network.how.channels == "bgr" and given.shape[1] == 3
        images = given[:, ::-1] if flipped else given
        images = images if network.planar else np.moveaxis(images, 1, -1)
        size = network.batch or len(images)
        parts = [self._run(images[at : at + size], size) for at in range(0, len(images), size)]
        found = np.concatenate(parts)
        found = found if network.planar else np.moveaxis(found, -1, 1)
        learned = network.how.variance == "learned"
        shape = (given.shape[1] * (2 if learned else 1), *given.shape[2:])
        if found.shape[1:] != shape:
            double = found.shape[1:] == (2 * given.shape[1], *given.shape[2:])
            hint = "variance=learned takes the first half" if double else "take one that keeps the image's size"
            raise ModelError(f"{network.where}: expected an output {show(shape)}, got {show(found.shape[1:])}; {hint}")
        found = found[:, : given.shape[1]]
        return found[:, ::-1] if flipped else found

    def _run(self, images: NDArray[Any], size: int) -> NDArray[Any]:
        """The output for a batch of at most that size, filled up to it."""
        network = self.pair.network
        batch = np.ascontiguousarray(np.resize(images, (size, *images.shape[1:])), network.dtype)
        feed = {network.image.name: batch}
        for value in network.others():
            number, sizes = network.constants[value.name], axes(network, self.pair.view, value)
            feed[value.name] = np.full([size if n is None else n for n in sizes], number)
        try:
            (found,) = providers.first_run(self._denoiser, [network.output], feed)
        except ProviderError:
            raise
        except Exception as error:
            why = providers.reason(error)
            raise ModelError(f"{network.where}: ONNX Runtime failed on images {show(batch.shape)}: {why}") from None
        if not isinstance(found, np.ndarray) or found.ndim != 4 or len(found) != size:
            got = show(found.shape) if isinstance(found, np.ndarray) else type(found).__name__
            raise ModelError(f"{network.where}: expected an image for each of {size}, got {got}; take another output")
        return found[: len(images)]

    @cached_property
    def _denoiser(self) -> Any:
        """The denoiser's session, of its file as it came."""
        source = self.pair.network.source
        try:
            return providers.start(source.proto.SerializeToString(), source.folder, "cpu", False)
        except ProviderError:
            raise
        except Exception as error:
            why = providers.reason(error)
            raise ModelError(f"{self.pair.network.where}: ONNX Runtime cannot load it: {why}") from None

    @cached_property
    def _classifier(self) -> Sessions:
        """The classifier's, of its file as it came, with its own preprocessing."""
        file = self.pair.classifier
        return Sessions(replace(file, proto=file.given or file.proto), self.pair.preprocess)
