"""Data sets: index -> raw input and label. NumPy archives, image folders, CSV manifests; nothing is ever unpickled."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, require

_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
# (head, last data, end) of formats whose decoders return what is there of a truncated file
_FORMATS = ((b"\x89PNG", b"IDAT", b"IEND"), (b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"))


@dataclass(frozen=True, eq=False)
class Example:
    """One input as it came: `x` uint8 or float, no batch axis; `label` None where unknown."""

    index: int
    name: str
    label: int | None
    x: NDArray[Any]

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

    def __len__(self) -> int: ...

    @property
    def sha256(self) -> str:
        """Fingerprint of the data set: the archive's bytes, or the list of names, labels and file sizes."""
        ...

    def name(self, index: int) -> str:
        """Where the input stands: a path, or an index."""
        ...

    def label(self, index: int) -> int | None:
        """Its label, None where unknown."""
        ...

    def load(self, index: int) -> Example:
        """The input; `DataError` where it cannot be read."""
        ...


@dataclass(frozen=True, eq=False)
class Archive:
    """A NumPy .npz with `x` (inputs, ...) and optional `y` (inputs,)."""

    path: Path
    x: NDArray[Any]
    y: NDArray[Any] | None

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def name(self, index: int) -> str:
        """`archive.npz[index]`."""
        return f"{self.path.name}[{index}]"

    def label(self, index: int) -> int | None:
        """y[index]."""
        return None if self.y is None else int(self.y[index])

    def load(self, index: int) -> Example:
        """x[index]."""
        return Example(index, self.name(index), self.label(index), self.x[index])


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files with labels, read as RGB, or as grey where the model has one channel."""

    root: Path
    files: tuple[tuple[str, int | None], ...]
    channels: int | None = None

    def __len__(self) -> int:
        return len(self.files)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the names, labels and sizes."""
        sizes = ((self.root / name).stat().st_size if (self.root / name).exists() else -1 for name, _ in self.files)
        listing = "".join(f"{name}\0{label}\0{size}\n" for (name, label), size in zip(self.files, sizes, strict=True))
        return hashlib.sha256(os.fsencode(listing)).hexdigest()

    def name(self, index: int) -> str:
        """Path below the data set's folder."""
        return self.files[index][0]

    def label(self, index: int) -> int | None:
        """The class of its folder, or its manifest entry."""
        return self.files[index][1]

    def load(self, index: int) -> Example:
        """The decoded image, H W (grey) or H W 3 (RGB), uint8."""
        return Example(index, self.name(index), self.label(index), self._decode(self.root / self.name(index)))

    def _decode(self, path: Path) -> NDArray[np.uint8]:
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # a corrupt file is reported once, by us
        import cv2

        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}") from None
        whole = all(
            not content.startswith(head) or content.rfind(end) > content.rfind(data) for head, data, end in _FORMATS
        )
        flag = cv2.IMREAD_GRAYSCALE if self.channels == 1 else cv2.IMREAD_COLOR
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), flag) if content and whole else None
        except cv2.error:
            image = None
        if image is None:
            raise DataError(f"{path}: expected an image, got a corrupt or truncated file")
        return np.asarray(image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def open_dataset(path: Path, channels: int | None = None) -> Dataset:
    """The data set at `path`: .npz archive, image folder (class subfolders, or flat and unlabelled), or .csv manifest.

    `channels`: of the model, 1 reads images as grey. Raises `DataError` for what cannot be read, is empty or
    mislabelled.
    """
    kinds = "an .npz archive, a folder of images or a .csv manifest"
    if not path.exists():
        raise DataError(f"{path}: expected {kinds}, got nothing there; check the path")
    if path.is_dir():
        data: Dataset = _folder(path, channels)
    elif path.suffix.lower() == ".npz":
        data = _archive(path)
    elif path.suffix.lower() == ".csv":
        data = _manifest(path, channels)
    else:
        raise DataError(f"{path}: expected {kinds}, got another kind of file; convert it")
    if not len(data):
        raise DataError(f"{path}: expected at least one input, got an empty data set")
    for index in range(len(data)):
        label = data.label(index)
        if label is not None and label < 0:
            raise DataError(f"{data.name(index)}: expected a label >= 0, got {label}")
    return data


def selection(size: int, *, skip: int = 0, limit: int | None = None, shard: str = "1/1") -> range:
    """Indices of `limit` inputs after the first `skip`, every k-th of them from the i-th on for shard `i/k`."""
    require(skip >= 0, f"skip: expected at least 0, got {skip}")
    require(limit is None or limit > 0, f"limit: expected at least 1, got {limit}")
    i, _, k = shard.partition("/")
    numbers = shard.isascii() and i.isdigit() and k.isdigit()
    require(numbers and 1 <= int(i) <= int(k), f"shard: expected i/k with 1 <= i <= k, got {shard!r}")
    return range(size)[skip:][:limit][int(i) - 1 :: int(k)]


def _archive(path: Path) -> Archive:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("x", "y") if name in archive.files}
            names = ", ".join(archive.files)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or 'cannot be read'}") from None
    except Exception as error:  # zip, zlib and header errors of many kinds
        why = "pickled objects, which are never unpickled" if "pickle" in str(error) else "a corrupt or truncated file"
        raise DataError(f"{path}: expected an .npz of plain arrays, got {why}") from None
    if "x" not in arrays:
        raise DataError(f"{path}: expected an array x (inputs, ...) and optionally y, got: {names or 'no arrays'}")
    x, y = arrays["x"], arrays.get("y")
    if x.ndim < 2:
        raise DataError(f"{path}: expected x of shape (inputs, ...), got {x.shape}")
    if y is not None and (y.shape != x.shape[:1] or not np.issubdtype(y.dtype, np.integer)):
        raise DataError(f"{path}: expected integer labels y of shape ({len(x)},), got {y.dtype} {y.shape}")
    return Archive(path, x, y)


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _IMAGES and path.is_file())


def _folder(path: Path, channels: int | None) -> ImageFiles:
    folders = sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    images = {folder.name: found for folder in folders if (found := _images(folder))}  # a class has images
    loose = sorted(f for f in path.iterdir() if f.suffix.lower() in _IMAGES and f.is_file())
    if not images:
        return ImageFiles(path, tuple((f.name, None) for f in loose), channels)
    if loose:
        raise DataError(f"{path}: expected images in class folders or side by side, got both, such as {loose[0].name}")
    numbers = [name for name in images if name.isascii() and name.isdigit()]
    if numbers and len(numbers) < len(images):
        other = next(name for name in images if name not in numbers)
        raise DataError(f"{path}: expected class folders all numbered or all named, got {numbers[0]!r} and {other!r}")
    labels = {name: int(name) if numbers else i for i, name in enumerate(images)}
    if len(set(labels.values())) < len(labels):
        raise DataError(f"{path}: expected one folder a class, got two of the same number, such as 1 and 01")
    files = ((str(f.relative_to(path)), labels[name]) for name, found in images.items() for f in found)
    return ImageFiles(path, tuple(files), channels)


def _manifest(path: Path, channels: int | None) -> ImageFiles:
    files: list[tuple[str, int | None]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(csv.reader(file), start=1):
                if not any(cell.strip() for cell in row) or (number == 1 and row[0].strip() == "path"):
                    continue
                label = row[1].strip() if len(row) > 1 else ""
                if label and not re.fullmatch(r"-?[0-9]+", label):
                    raise DataError(f"{path}, line {number}: expected path,label with an integer label, got {label!r}")
                files.append((row[0].strip(), int(label) if label else None))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: expected a CSV manifest with lines path,label, got: {error}") from None
    return ImageFiles(path.parent, tuple(files), channels)
