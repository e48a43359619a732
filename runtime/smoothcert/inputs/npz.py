"""NumPy archives, read array by array once the header of each says that it is one, and how large. Never unpickled."""

from __future__ import annotations

import io
import math
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..errors import DataError, require
from ..files.documents import understood
from ..files.limits import DIRECTORY_BYTES, NPY_HEADER_BYTES
from ..files.reading import open_regular, require_decodable

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # NumPy's; others decode to any size in one step


class _Steps(io.BufferedReader):
    """A file read in steps of a megabyte at most: the archive's table of contents is read in one."""

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(DIRECTORY_BYTES + 1 if size is None or size < 0 else min(size, DIRECTORY_BYTES + 1))
        require(len(content) <= DIRECTORY_BYTES, "a table of contents of thousands of arrays")
        return content


def read_archive(path: Path, wanted: tuple[str, ...]) -> tuple[dict[str, NDArray[Any]], str]:
    """Those of the wanted arrays that the .npz archive holds, and the names of all; `DataError` for anything else."""
    expected = "an .npz of plain arrays"
    with _Steps(open_regular(path, expected, DataError, sys.maxsize).detach()) as file:
        with understood(str(path), expected, DataError, "a corrupt or truncated file"):
            archive = zipfile.ZipFile(file)
        held = os.fstat(file.fileno()).st_size
        with archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            arrays = {
                name: _array(archive, members[name], held, f"{path}: {name}") for name in wanted if name in members
            }
    names = list(members)
    return arrays, ", ".join(names[:9]) + (", ..." if len(names) > 9 else "")


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, held: int, where: str) -> NDArray[Any]:
    expected, advice = "a plain array of numbers", "a corrupt or truncated file"
    with understood(where, expected, DataError, advice):
        require(member.compress_type in _METHODS, "another compression than NumPy's")
        with archive.open(member) as content:
            shape, dtype, begins = _header(content.read(NPY_HEADER_BYTES))
        require(not dtype.hasobject, "pickled objects, which are never unpickled")
        require(dtype.kind in "biuf", f"values of type {dtype}")
        size = math.prod(shape) * dtype.itemsize
        require(member.compress_size <= held, "more bytes than the archive has")
        require(size + begins == member.file_size, f"{dtype} {shape} in {member.file_size:,} bytes")
    require_decodable(where, member.compress_size, size, DataError)
    with understood(where, expected, DataError, advice), archive.open(member) as content:
        return np.asarray(npy.read_array(content, allow_pickle=False))


def _header(begin: bytes) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, type, and where the values begin; `ValueError` for what is no array's header."""
    file = io.BytesIO(begin)
    version = npy.read_magic(file)
    require(version in ((1, 0), (2, 0)), f"an array's format {version}")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype, file.tell()
