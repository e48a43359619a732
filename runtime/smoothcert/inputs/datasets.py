"""Data sets: index -> raw input and label. NumPy archives, folders of images or recordings, CSV manifests.

Nothing is ever unpickled.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, SmoothcertError, first_line, require
from ..files.limits import FILES, INPUTS, MANIFEST_BYTES
from ..files.reading import open_regular
from .images import read_image
from .npz import read_archive
from .recordings import ANY, SUFFIXES, Sound, read_recording

_LARGEST = np.iinfo(np.int64).max  # label
_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}


@dataclass(frozen=True, eq=False)
class Example:
    """One input as it came: `x` uint8, int16 or float, no batch axis; `label` None where unknown.

    `made`: what was done to the file's own values, in words.
    """

    index: int
    name: str
    label: int | None
    x: NDArray[Any]
    made: str = ""

    @property
    def sha256(self) -> str:
        """Fingerprint of type, shape and values."""
        return fingerprint(self.x)


def fingerprint(x: NDArray[Any]) -> str:
    """SHA-256 of an input's type, shape and values."""
    head = f"{x.dtype.str} {x.shape} ".encode()
    return hashlib.sha256(head + np.ascontiguousarray(x).tobytes()).hexdigest()


class Dataset(Protocol):
    """Inputs by index, 0 to len - 1."""

    @property
    def rate(self) -> int | None:
        """Hz of its recordings; None where nothing says it, and for images."""

    def __len__(self) -> int: ...

    @property
    def sha256(self) -> str:
        """Fingerprint of the data set: the archive's bytes, or the list of names, labels and file sizes."""

    def name(self, index: int) -> str:
        """Where the input stands: a path, or an index."""

    def label(self, index: int) -> int | None:
        """Its label, None where unknown."""

    def load(self, index: int) -> Example:
        """The input; `DataError` where it cannot be read."""


@dataclass(frozen=True, eq=False)
class Archive:
    """A NumPy .npz with `x` (inputs, ...) and optional `y` (inputs,), fingerprinted by the bytes of the file.

    `rate` in Hz, where the file says it.
    """

    path: Path
    x: NDArray[Any]
    y: NDArray[Any] | None
    rate: int | None = None

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def sha256(self) -> str:
        with open_regular(self.path, "an .npz archive", DataError, sys.maxsize) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def name(self, index: int) -> str:
        return f"{self.path.name}[{index}]"

    def label(self, index: int) -> int | None:
        return None if self.y is None else int(self.y[index])

    def load(self, index: int) -> Example:
        return Example(index, self.name(index), self.label(index), self.x[index])


@dataclass(frozen=True, eq=False)
class MediaFiles:
    """Image and sound files below a folder, each with its label; recordings as `sound` says.

    Images are read as RGB, or as grey where the model has one channel.
    """

    root: Path
    files: tuple[tuple[str, int | None], ...]
    channels: int | None = None
    sound: Sound = ANY

    def __len__(self) -> int:
        return len(self.files)

    @property
    def rate(self) -> int | None:
        return self.sound.rate

    @cached_property
    def sha256(self) -> str:
        sizes = (_size(self.root / name) for name, _ in self.files)
        listing = "".join(f"{name}\0{label}\0{size}\n" for (name, label), size in zip(self.files, sizes, strict=True))
        return hashlib.sha256(os.fsencode(listing)).hexdigest()

    def name(self, index: int) -> str:
        """Path below the data set's folder; what is no UTF-8 in it becomes `?`."""
        return self.files[index][0].encode("utf-8", "replace").decode()

    def label(self, index: int) -> int | None:
        return self.files[index][1]

    def load(self, index: int) -> Example:
        path = self.root / self.files[index][0]
        if path.suffix.lower() in SUFFIXES:
            wave, made = read_recording(path, self.sound)
            return Example(index, self.name(index), self.label(index), wave, made)
        image = read_image(path, grey=self.channels == 1)
        return Example(index, self.name(index), self.label(index), image)


def _size(path: Path) -> int:
    """Bytes of the file; -1 where there is none, or its name is none that a file can have."""
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return -1


def loaded(data: Dataset, index: int) -> Example:
    """The input, whatever the data set; `DataError` for whatever goes wrong, memory too: it is that input's failure."""
    try:
        return data.load(index)
    except SmoothcertError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {first_line(error)}"
        raise DataError(f"{data.name(index)}: expected an input that can be loaded, got {what}") from None


def open_dataset(path: Path, channels: int | None = None, sound: Sound = ANY) -> Dataset:
    """The data set at `path`: .npz archive, folder (class subfolders, or flat and unlabelled), or .csv manifest.

    Of images or recordings. `channels`: of the model, 1 reads images as grey; `sound`: what recordings it takes. Raises
    `DataError` for what cannot be read, is empty or mislabelled.
    """
    kinds = "an .npz archive, a folder of images or recordings, or a .csv manifest"
    if not path.exists():
        raise DataError(f"{path}: expected {kinds}, got nothing there; check the path")
    if path.is_dir():
        data: Dataset = _folder(path, channels, sound)
    elif path.suffix.lower() == ".npz":
        data = _archive(path, sound)
    elif path.suffix.lower() == ".csv":
        data = _manifest(path, channels, sound)
    else:
        raise DataError(f"{path}: expected {kinds}, got another kind of file; convert it")
    if not len(data):
        raise DataError(f"{path}: expected at least one input, got an empty data set")
    if len(data) > INPUTS:
        raise DataError(f"{path}: expected at most {INPUTS:,} inputs, got {len(data):,}; cut the data in parts")
    return data


def selection(size: int, *, skip: int = 0, limit: int | None = None, shard: str = "1/1") -> range:
    """Indices of `limit` inputs after the first `skip`, every k-th of them from the i-th on for shard `i/k`."""
    require(skip >= 0, f"skip: expected at least 0, got {skip}")
    require(limit is None or limit > 0, f"limit: expected at least 1, got {limit}")
    i, _, k = shard.partition("/")
    numbers = shard.isascii() and i.isdigit() and k.isdigit()
    require(numbers and 1 <= int(i) <= int(k), f"shard: expected i/k with 1 <= i <= k, got {shard!r}")
    return range(size)[skip:][:limit][int(i) - 1 :: int(k)]


def _archive(path: Path, sound: Sound) -> Archive:
    arrays, names = read_archive(path, ("x", "y", "rate"))
    if "x" not in arrays:
        raise DataError(f"{path}: expected an array x (inputs, ...) and optionally y, got: {names or 'no arrays'}")
    x, y = arrays["x"], arrays.get("y")
    if x.ndim < 2 or (not x[:1].size and len(x)):
        raise DataError(f"{path}: expected x of shape (inputs, ...), got {x.shape}")
    if y is not None and (y.shape != x.shape[:1] or not np.issubdtype(y.dtype, np.integer)):
        raise DataError(f"{path}: expected integer labels y of shape ({len(x)},), got {y.dtype} {y.shape}")
    if y is not None and len(y) and (wrong := np.flatnonzero((y < 0) | (y > _LARGEST))).size:
        raise DataError(f"{path.name}[{wrong[0]}]: expected a label >= 0, got {y[wrong[0]]}")
    rate = arrays.get("rate")
    if rate is not None and sound.rate is not None and (rate.size != 1 or rate.item() != sound.rate):
        raise DataError(f"{path}: expected recordings at the model's {sound.rate} Hz, got {rate} Hz; resample them")
    said = rate is not None and rate.size == 1 and rate.dtype.kind in "iu" and rate.item() > 0
    return Archive(path, x, y, rate.item() if rate is not None and said else None)


def _images(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix.lower() in _IMAGES | SUFFIXES and path.is_file())


def _folder(path: Path, channels: int | None, sound: Sound) -> MediaFiles:
    folders = sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    images = {folder.name: found for folder in folders if (found := _images(folder.rglob("*")))}  # a class has images
    loose = _images(path.iterdir())
    if not images:
        return MediaFiles(path, tuple((f.name, None) for f in loose), channels, sound)
    if loose:
        raise DataError(f"{path}: expected images in class folders or side by side, got both, such as {loose[0].name}")
    numbers = [name for name in images if name.isascii() and name.isdigit()]
    if numbers and len(numbers) < len(images):
        other = next(name for name in images if name not in numbers)
        raise DataError(f"{path}: expected class folders all numbered or all named, got {numbers[0]!r} and {other!r}")
    if too_long := [name for name in numbers if len(name) > 15]:
        raise DataError(f"{path}: expected class folders of at most 15 digits, got {too_long[0]}")
    labels = {name: int(name) if numbers else i for i, name in enumerate(images)}
    if len(set(labels.values())) < len(labels):
        raise DataError(f"{path}: expected one folder a class, got two of the same number, such as 1 and 01")
    files = ((str(f.relative_to(path)), labels[name]) for name, found in images.items() for f in found)
    return MediaFiles(path, tuple(files), channels, sound)


def _manifest(path: Path, channels: int | None, sound: Sound) -> MediaFiles:
    files: list[tuple[str, int | None]] = []
    try:
        with open_regular(path, "a CSV manifest", DataError, MANIFEST_BYTES) as content:
            lines = io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
            for number, row in enumerate(csv.reader(lines), start=1):
                if not any(cell.strip() for cell in row) or (number == 1 and row[0].strip() == "path"):
                    continue
                label = row[1].strip() if len(row) > 1 else ""
                if label and not re.fullmatch(r"[0-9]{1,15}", label):
                    raise DataError(
                        f"{path}, line {number}: expected path,label with an integer label >= 0, got {label[:99]!r}"
                    )
                files.append((row[0].strip(), int(label) if label else None))
                if len(files) > FILES:
                    raise DataError(f"{path}: expected at most {FILES:,} images, got more; cut the list in parts")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: expected a CSV manifest with lines path,label, got: {error}") from None
    return MediaFiles(path.parent, tuple(files), channels, sound)
