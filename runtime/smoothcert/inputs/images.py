"""Image files, decoded once their headers say how large they are. One line for a bad one, from us alone."""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, first_line
from ..files.limits import IMAGE_BYTES, IMAGE_PIXELS, JPEG_SCANS
from ..files.reading import read_regular
from ..machine import shared

# (head, last data, end) of formats whose decoders return what is there of a truncated file
_FORMATS = ((b"\x89PNG", b"IDAT", b"IEND"), (b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"))
_TIFF = {b"II*\0": "<", b"MM\0*": ">"}


def read_image(path: Path, *, grey: bool) -> NDArray[np.uint8]:
    """The image, (H, W) where `grey`, else (H, W, 3) in RGB. `DataError` for whatever goes wrong, memory too."""
    content = read_regular(path, "an image", DataError, IMAGE_BYTES)
    try:
        size = _declared(content)
    except (struct.error, IndexError, ValueError):
        size = None
    if size is None:
        raise DataError(f"{path}: expected an image (PNG, JPEG, BMP, TIFF, WebP, PNM), got a corrupt or truncated file")
    if size[0] * size[1] > IMAGE_PIXELS:
        raise DataError(f"{path}: expected at most {IMAGE_PIXELS:,} pixels, got {size[0]:,} x {size[1]:,}; resize it")
    if content.startswith(b"\xff\xd8\xff") and (scans := content.count(b"\xff\xda")) > JPEG_SCANS:
        raise DataError(f"{path}: expected a JPEG of at most {JPEG_SCANS} scans, got {scans}; write it again")
    try:
        image = _decoded(content, grey)
    except Exception as error:
        raise DataError(f"{path}: expected an image that can be decoded, got: {first_line(error)}") from None
    if image is None:
        raise DataError(f"{path}: expected an image, got a corrupt or truncated file")
    return image


@shared
@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The process's stderr leads nowhere: decoders write there, past every log level."""
    kept = -1
    with contextlib.suppress(OSError):  # no stderr at all
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
    try:
        yield
    finally:
        if kept >= 0:
            os.dup2(kept, 2)
            os.close(kept)


def _decoded(content: bytes, grey: bool) -> NDArray[np.uint8] | None:
    if any(content.startswith(head) and content.rfind(end) <= content.rfind(data) for head, data, end in _FORMATS):
        return None
    with _silence():
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    if image is None:
        return None
    return np.asarray(image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _declared(content: bytes) -> tuple[int, int] | None:
    """Width and height that the header declares; None for other formats."""
    if content.startswith(b"\x89PNG") and content[12:16] == b"IHDR":
        return _two(">II", content, 16)
    if content.startswith(b"\xff\xd8\xff"):
        return _jpeg(content)
    if content.startswith(b"BM"):
        width, height = _two("<HH" if content[14:18] == b"\x0c\0\0\0" else "<ii", content, 18)
        return abs(width), abs(height)
    if content[:4] in _TIFF:
        return _tiff(content, _TIFF[content[:4]])
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return _webp(content)
    pnm = re.match(rb"P[1-6](?:\s|#[^\r\n]*[\r\n])+([0-9]{1,9})(?:\s|#[^\r\n]*[\r\n])+([0-9]{1,9})\s", content[:4096])
    return None if pnm is None else (int(pnm[1]), int(pnm[2]))


def _two(form: str, content: bytes, place: int) -> tuple[int, int]:
    first, second = struct.unpack_from(form, content, place)
    return first, second


def _jpeg(content: bytes) -> tuple[int, int]:
    """Of the frame header, the one segment from C0 to CF that is no table."""
    place = 2
    while True:
        while content[place] == 0xFF and content[place + 1] in (0xFF, 0x01):
            place += 1
        marker, length = struct.unpack_from(">xBH", content, place)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _two(">HH", content, place + 5)[::-1]
        if content[place] != 0xFF or marker == 0xDA:
            raise ValueError("no frame header")
        place += 2 + length


def _tiff(content: bytes, order: str) -> tuple[int, int]:
    """Of the first directory's tags 256 and 257."""
    (start,) = struct.unpack_from(order + "I", content, 4)
    (count,) = struct.unpack_from(order + "H", content, start)
    found: dict[int, int] = {}
    for place in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", content, place)
        if tag in (256, 257):
            (value,) = struct.unpack_from(order + {3: "H", 4: "I"}.get(kind, "B"), content, place + 8)
            found[tag] = max(value, found.get(tag, 0))
    if len(found) < 2:
        raise ValueError("no size")
    return found[256], found[257]


def _webp(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if kind == b"VP8 ":
        width, height = _two("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = (int.from_bytes(content[place : place + 3], "little") + 1 for place in (24, 27))
    return width, height
