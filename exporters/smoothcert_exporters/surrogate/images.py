"""The images that a surrogate is trained on: a data set's own 8-bit ones, behind the classifier's spatial pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import DataError
from smoothcert.inputs.datasets import Dataset
from smoothcert.inputs.spatial import PLAIN, Raw, Spatial
from smoothcert.model.preprocess import raw_image

from .attacks import Attacks

Pixels = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Images:
    """A data set in memory. `raw`: as attackers find them; `labels` (n,), None where one is unknown."""

    name: str
    sha256: str
    raw: tuple[Raw, ...]
    labels: NDArray[np.int64] | None
    shape: tuple[int, int, int]  # (colours, height, width) behind the pipeline

    @staticmethod
    def of(data: Dataset, name: str, spatial: Spatial = PLAIN) -> Images:
        """The images of a data set; `DataError` for what is no 8-bit image, or of another size than the first."""
        raw, labels = [], []
        shape: tuple[int, ...] = ()
        for i in range(len(data)):
            example = data.load(i)
            found = raw_image(example.x, spatial)
            if found is None:
                raise DataError(
                    f"{example.name}: expected an 8-bit image, got {example.x.dtype} of shape {example.x.shape}; "
                    "surrogates imitate what attackers do to 8-bit images"
                )
            size = pixels(found, found.image).shape
            shape = shape or size
            if size != shape:
                raise DataError(f"{example.name}: expected {_shown(shape)}, as of the first image, got {_shown(size)}; "
                                "see `resize`, `crop`")  # fmt: skip
            raw.append(found)
            labels.append(-1 if example.label is None else example.label)
        known = None if -1 in labels else np.array(labels, np.int64)
        return Images(name, data.sha256, tuple(raw), known, (shape[0], shape[1], shape[2]))

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def known(self) -> NDArray[np.int64]:
        """The labels; `DataError` where one is missing."""
        if self.labels is None:
            raise DataError(f"{self.name}: expected a label for every image, got some without; add y, or class folders")
        return self.labels

    @property
    def classes(self) -> int:
        """One more than the largest label; `DataError` where one is missing."""
        return int(self.known.max()) + 1

    def clean(self, rows: NDArray[Any]) -> Pixels:
        """The images of those numbers as the classifier takes them, (rows, colours, height, width) in [0,1]."""
        return np.stack([pixels(self.raw[i], self.raw[i].image) for i in rows])

    def attacked(self, rows: NDArray[Any], attacks: Attacks, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
        """The same images under random attacks, each by its own real one; and the attacks' parameters (rows, m)."""
        sides = self.raw[int(rows[0])].image.shape[:2]
        values = attacks.values(rng, len(rows), (sides[0], sides[1]))
        return self.under(rows, attacks, values), np.stack([attacks.xi(v) for v in values]).astype(np.float32)

    def under(self, rows: NDArray[Any], attacks: Attacks, values: list[Any]) -> Pixels:
        """The images of those numbers, each under the attack of its value."""
        pairs = [(self.raw[i], value) for i, value in zip(rows, values, strict=True)]
        return np.stack([pixels(raw, attacks.apply(raw.image, value)) for raw, value in pairs])


def pixels(raw: Raw, image: NDArray[np.uint8]) -> Pixels:
    """An image of the raw one's size behind its pipeline, (colours, height, width) in [0,1]."""
    found = raw.processed(image)
    planar = np.moveaxis(found.reshape(*found.shape[:2], -1), 2, 0)
    return np.ascontiguousarray(planar, np.float32) / np.float32(255)


def _shown(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} colours of {shape[1]}x{shape[2]} pixels" if shape[0] > 1 else f"{shape[1]}x{shape[2]} pixels"
