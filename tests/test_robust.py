"""Hostile files and bad moments: pipes, bombs, planted links, interrupts, full disks. One line each, and no hang."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from smoothcert import Brightness, Noise, certify, certify_targets, compose, predict
from smoothcert.calibration_file import read
from smoothcert.errors import ArgumentError, CalibrationError, DataError, ProviderError, RunError, SmoothcertError
from smoothcert.evidence import Evidence, Look, Slice
from smoothcert.files.writing import write_atomically
from smoothcert.inputs.datasets import open_dataset
from smoothcert.runs.asked import Files, new_run
from smoothcert.runs.complete import complete
from smoothcert.runs.folder import LEDGER, RECIPE, RunFolder, merge
from smoothcert.runs.preflight import preflight
from smoothcert.runs.question import Question

from . import models
from .conftest import IMAGES, MODEL, Once, Result, write_six

Cli = Callable[..., Result]
RNG = np.random.default_rng(0)
FIXED = ("certify", MODEL, "six.npz", "--smooth", "noise=0.5", "--n", 300, "--n0", 20, "--nonce", "t", "--quiet")


@pytest.fixture
def run(cli: Cli, once: Once) -> Path:
    """A finished run of six inputs."""
    once(lambda: (write_six(Path()), cli(*FIXED, "--run", "whole")))
    return Path("whole").resolve()


def in_one_line(result: Result) -> str:
    assert result.code == 2, result
    assert result.err.count("\n") == 1
    assert result.err.startswith("smoothcert: ")
    return result.err


# Files that are none.


@pytest.fixture(params=["fifo", "zero", "folder", "missing", "NUL"])
def strange(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A path that is no regular file."""
    path = tmp_path / "strange"
    match request.param:
        case "fifo":
            os.mkfifo(path)
        case "zero":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "NUL":
            return tmp_path / "a\0b"
    return path


def test_data_that_is_no_file(strange: Path, tmp_path: Path) -> None:
    for suffix in (".npz", ".csv"):
        path = tmp_path / f"d{suffix}"
        if "\0" in str(strange):
            continue
        path.symlink_to(strange)
        with pytest.raises(DataError):
            open_dataset(path)


def test_calibrations_and_run_folders_that_are_no_files(strange: Path, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError):
        read(strange)
    if "\0" in str(strange):
        return
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / RECIPE).symlink_to(strange)
    with pytest.raises(RunError):
        RunFolder(folder).recipe()
    (folder / LEDGER).symlink_to(strange)
    if strange.exists():
        with pytest.raises(RunError):
            RunFolder(folder).entries()
    with pytest.raises(RunError), RunFolder(folder).locked({"nonce": ""}):
        pass


def test_a_row_that_is_no_image_is_that_inputs_failure(cli: Cli, tmp_path: Path) -> None:
    """A pipe, a device, a NUL, a name too long, a folder, no right to read, a text, a bomb: the run goes on."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "bomb.png").write_bytes(png_of(30_000, 30_000))
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "secret.png").chmod(0)
    with np.load(IMAGES) as archive:
        cv2.imwrite(str(tmp_path / "good.png"), archive["x"][0].reshape(archive["x"].shape[1:3]))
    bad = ["pipe.png", "/dev/zero", "a\0b.png", "x" * 300, ".", "secret.png", "text.png", "bomb.png", "", "none.png"]
    (tmp_path / "d.csv").write_text("path,label\n" + "".join(f"{name},1\n" for name in [*bad, "good.png"]))
    result = cli("certify", MODEL, "d.csv", "--smooth", "noise=0.5", "--n", 200, "--run", "r", "--quiet")
    assert f"{len(bad) - (1 if os.geteuid() else 0)} of" in result.err or "inputs failed" in result.err
    entries = RunFolder(tmp_path / "r").entries()
    assert len(entries) == len(bad) + 1
    assert all("error" in entry for entry in entries[:-1])
    assert "certificate" in entries[-1]
    assert cli("verify", "r").code == 0


class Failing:
    """A data set of a user's own that raises what it likes."""

    sha256 = "0" * 64

    def __init__(self, errors: list[BaseException | None]) -> None:
        self.errors = errors

    def __len__(self) -> int:
        return len(self.errors)

    def name(self, index: int) -> str:
        return f"input {index}"

    def label(self, index: int) -> int | None:
        return None

    def load(self, index: int) -> Any:
        from smoothcert.inputs.datasets import Example

        error = self.errors[index]
        if error is not None:
            raise error
        with np.load(IMAGES) as archive:
            return Example(index, self.name(index), None, archive["x"][index])


def test_every_failure_of_an_input_is_its_own(tmp_path: Path) -> None:
    from smoothcert import OrtClassifier
    from smoothcert.algorithms import Fixed

    raised = [MemoryError(), cv2.error("broken"), PermissionError(13, "no"), UnicodeDecodeError("utf-8", b"", 0, 1, "")]
    raised += [ValueError("embedded null byte"), KeyError("x"), RecursionError("deep"), OSError(36, "too long")]
    data = Failing([*raised, None])
    run = new_run(Files(MODEL, tmp_path / "d"), OrtClassifier(MODEL), data, compose(Noise(0.5)), Fixed(10, 100))
    preflight(run)
    entries = list(complete(RunFolder(tmp_path / "r"), run))
    assert [("error" in entry) for entry in entries] == [True] * len(raised) + [False]
    assert all("\n" not in entry["error"] for entry in entries[:-1])


def test_a_bug_is_no_inputs_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from smoothcert import OrtClassifier
    from smoothcert.algorithms import Fixed

    files, data = Files(MODEL, tmp_path / "d"), Failing([None, None])
    run = new_run(files, OrtClassifier(MODEL), data, compose(Noise(0.5)), Fixed(10, 100))
    monkeypatch.setattr("smoothcert.runs.opening.certify_input", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(complete(RunFolder(tmp_path / "r"), run))
    monkeypatch.setattr(
        "smoothcert.runs.opening.certify_input", lambda *_, **__: np.empty(2**50)
    )  # memory that there is not
    entries = list(complete(RunFolder(tmp_path / "r"), run))
    assert all("not enough memory" in entry["error"] for entry in entries)


# Bombs.


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width: int, height: int) -> bytes:
    """A valid grey PNG of zeros, a thousandth of its size."""
    pixels = zlib.compressobj(9)
    body = b"".join(pixels.compress(bytes(2**20)) for _ in range(-(-(width + 1) * height // 2**20))) + pixels.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tiff", "webp", "ppm", "pgm"])
def test_the_size_is_read_ahead_of_the_pixels(tmp_path: Path, suffix: str) -> None:
    """OpenCV's own files pass as they are; with a declared size of 30,000 x 30,000 no memory is taken."""
    from smoothcert.inputs.images import _declared

    image = RNG.integers(0, 256, (37, 53) if suffix == "pgm" else (37, 53, 3), np.uint8)
    ok, encoded = cv2.imencode(f".{suffix}", image)
    content = encoded.tobytes()
    assert ok
    assert _declared(content) == (53, 37)
    if suffix == "webp":
        return
    small, large = {
        "png": (struct.pack(">II", 53, 37), struct.pack(">II", 30_000, 30_000)),
        "jpg": (struct.pack(">HH", 37, 53), struct.pack(">HH", 30_000, 30_000)),
        "bmp": (struct.pack("<ii", 53, 37), struct.pack("<ii", 30_000, -30_000)),
        "ppm": (b"53 37", b"30000 30000"),
        "pgm": (b"53 37", b"30000 30000"),
    }.get(suffix, (b"", b""))
    if suffix == "tiff":
        content = content.replace(struct.pack("<HHII", 256, 3, 1, 53), struct.pack("<HHII", 256, 4, 1, 30_000))
        content = content.replace(struct.pack("<HHII", 257, 3, 1, 37), struct.pack("<HHII", 257, 4, 1, 30_000))
    (tmp_path / f"a.{suffix}").write_bytes(content.replace(small, large, 1))
    with pytest.raises(DataError, match="at most 67,108,864 pixels, got 30,000 x 30,000"):
        open_dataset(tmp_path).load(0)


def test_bad_images_leave_stderr_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of OpenCV, libpng and libjpeg; what others write before and after arrives."""
    refused = 0
    for suffix in ("png", "jpg", "bmp", "tif", "webp", "ppm"):
        content = cv2.imencode(f".{suffix}", RNG.integers(0, 256, (40, 40, 3), np.uint8))[1].tobytes()
        for place in range(0, len(content), max(1, len(content) // 40)):
            for damaged in (content[:place], content[:place] + bytes(9) + content[place + 9 :]):
                (tmp_path / f"a.{suffix}").write_bytes(damaged)
                try:
                    assert open_dataset(tmp_path).load(0).x.ndim == 3
                except DataError as error:
                    refused += "\n" not in str(error)
        (tmp_path / f"a.{suffix}").unlink()
    os.write(2, b"after\n")
    assert refused > 200
    assert capfd.readouterr().err == "after\n"


def npz(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def npy(array: Any = None, *, shape: tuple[int, ...] = (2, 3), kind: str = "|u1", body: bytes = b"abcdef") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue() + body


ARCHIVES: dict[str, dict[str, bytes]] = {
    "no array": {"x.npy": b"text"},
    "no array without suffix": {"x": b"text"},
    "empty member": {"x.npy": b""},
    "enormous shape": {"x.npy": npy(shape=(2**60, 4))},
    "overflowing shape": {"x.npy": npy(shape=(2**62, 2**62))},
    "negative shape": {"x.npy": npy(shape=(-2, -3))},
    "many empty inputs": {"x.npy": npy(shape=(2**60, 0), body=b"")},
    "no dimension": {"x.npy": npy(shape=(), body=b"a")},
    "short": {"x.npy": npy(body=b"abc")},
    "long": {"x.npy": npy(body=b"abcdefg")},
    "texts": {"x.npy": npy(kind="<U1", body=b"a\0\0\0" * 6)},
    "no bytes": {"x.npy": npy(kind="|V0", body=b"")},
    "structures": {"x.npy": npy(kind=[("a", "|u1")], body=b"abcdef")},  # type: ignore[arg-type]
    "dates": {"x.npy": npy(kind="<M8[s]", body=b"12345678" * 6)},
    "objects": {"x.npy": npy(kind="|O", body=b"abcdef")},
    "endless header": {"x.npy": b"\x93NUMPY\x02\0\xff\xff\xff\xff" + b" " * 2**20},
    "labels beyond 64 bits": {"x.npy": npy(), "y.npy": npy(shape=(2,), kind="<u8", body=b"\xff" * 16)},
    "bomb": {"x.npy": npy(shape=(3, 2**28), body=bytes(3 * 2**28))},
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives_are_refused_before_memory_is_taken(tmp_path: Path, case: str) -> None:
    path = npz(tmp_path / "d.npz", ARCHIVES[case])
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as error:
            open_dataset(path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["bzip2", "lzma"])
def test_other_compressions_are_refused(tmp_path: Path, method: int) -> None:
    with pytest.raises(DataError, match="another compression"):
        open_dataset(npz(tmp_path / "d.npz", {"x.npy": npy()}, method))


def test_sizes_that_lie(tmp_path: Path) -> None:
    """An archive's table says 6 GB, the array's header too; the bytes are not there."""
    header = npy(shape=(6, 2**30), body=b"")
    path = npz(tmp_path / "d.npz", {"x.npy": header + b"abc"}, zipfile.ZIP_STORED)
    true = struct.pack("<II", len(header) + 3, len(header) + 3)
    lie = struct.pack("<II", 2**32 - 2, 2**32 - 2)
    path.write_bytes(path.read_bytes().replace(true, lie))
    with pytest.raises(DataError):
        open_dataset(path)
    many = zipfile.ZipFile(tmp_path / "many.npz", "w")
    with many:
        for i in range(15_000):
            many.writestr(f"{i:040}.npy", b"")
    with pytest.raises(DataError, match="thousands of arrays"):
        open_dataset(tmp_path / "many.npz")


def test_honest_arrays_pass(tmp_path: Path) -> None:
    """In Fortran's order, of other byte orders, compressed well, and larger than is free of questions."""
    x = RNG.integers(0, 256, (5, 4, 3, 3), np.uint8)
    for save in (np.savez, np.savez_compressed):
        for array in (x, np.asfortranarray(x), x.astype(">f4"), x.astype(np.float16), x[:, ::2]):
            save(tmp_path / "d.npz", x=array, y=np.arange(5), other=np.array(["text"]))
            data = open_dataset(tmp_path / "d.npz")
            np.testing.assert_array_equal(data.load(3).x, array[3])
    large = np.zeros((300, 2**20), np.uint8)
    np.savez(tmp_path / "large.npz", x=large)
    assert len(open_dataset(tmp_path / "large.npz")) == 300


def test_more_than_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "d.npz", x=np.ones((300, 2**20), np.uint8))
    monkeypatch.setattr("smoothcert.files.reading._room", lambda: 2**28)
    with pytest.raises(DataError, match="needs 314,572,800 bytes of memory, this machine has 268,435,456 left"):
        open_dataset(tmp_path / "d.npz")


# Calibrations: see also test_fuzz.


def signed(head: dict[str, Any], body: bytes) -> bytes:
    """A calibration with a fitting checksum, whatever it says."""
    import hashlib

    line = json.dumps({**head, "sha256": "0" * 64}).encode() + b"\n"
    return line.replace(b"0" * 64, hashlib.sha256(line + body).hexdigest().encode(), 1) + body


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], bytes]:
    """Head and body of a valid calibration."""
    from smoothcert.smoothing import Attack, Rotation
    from smoothcert_calibration.measure import measure
    from smoothcert_calibration.plan import plan_of

    folder = tmp_path_factory.mktemp("calibration")
    np.savez(folder / "d.npz", x=RNG.integers(0, 256, (4, 12, 12, 3), np.uint8))
    data = open_dataset(folder / "d.npz")
    plan = plan_of(data, "d.npz", (Rotation(5.0),), Attack.of({"rotation": (-10, 10)}))
    measure(plan, data, folder / "c.cal")
    line, _, body = (folder / "c.cal").read_bytes().partition(b"\n")
    return json.loads(line), body


def without(head: dict[str, Any], name: str) -> dict[str, Any]:
    return {k: v for k, v in head.items() if k != name}


def test_resigned_calibrations(calibration: tuple[dict[str, Any], bytes], tmp_path: Path) -> None:
    head, body = calibration
    path = tmp_path / "c.cal"
    path.write_bytes(signed(head, body))
    assert read(path).errors.shape == (4, 1, 1)
    needed = ("shape", "pipeline", "attack", "strategy", "confidence", "sizes", "data", "selection")
    cases = [(without(head, name), body) for name in needed]
    cases += [
        ({**head, "shape": shape}, body) for shape in ([], [4], [2, 2, 1], [4, 1, 2], [2**60, 1, 1], [-4, -1, 1], "x")
    ]
    cases += [(head, body[:20]), (head, body[:-1]), (head, body + body), (head, b""), (head, gzip.compress(bytes(12)))]
    cases += [({**head, "shape": [4, 2**14, 2**14]}, gzip.compress(bytes(2**22)))]
    for changed, content in cases:
        path.write_bytes(signed(changed, content))
        with pytest.raises(CalibrationError) as error:
            read(path)
        assert "\n" not in str(error.value)
        assert str(path) in str(error.value)


@pytest.mark.parametrize("strategy", ["dataset-sampling", "dataset-worst", "input-sampling", "input-global"])
def test_resigned_calibrations_that_contradict_themselves(strategy: str, tmp_path: Path) -> None:
    """An interval of attacks is not certified from errors at points, nor a grid from others than its points."""
    from smoothcert.calibration_file import read_calibration
    from smoothcert.smoothing import Attack, Calibration, Rotation, Translation
    from smoothcert_calibration.measure import measure
    from smoothcert_calibration.plan import plan_of

    np.savez(tmp_path / "d.npz", x=RNG.integers(0, 256, (3, 12, 12, 1), np.uint8))
    data, on_grid = open_dataset(tmp_path / "d.npz"), strategy in ("dataset-worst", "input-sampling")
    points = (3,) if on_grid else ()
    limits = {"rotation": (-10, 10, *points), "translation": (0, 2, *points)}
    options = {"evaluations": 100} if strategy == "input-global" else {"draws": 2}
    parts = Rotation(5.0), Translation(1.0, interpolation="bilinear")
    plan = plan_of(data, "d.npz", parts, Attack.of(limits), strategy=strategy, **options)  # type: ignore[arg-type]
    measure(plan, data, tmp_path / "c.cal")
    line, _, body = (tmp_path / "c.cal").read_bytes().partition(b"\n")
    head = json.loads(line)
    honest = read_calibration(tmp_path / "c.cal")
    assert Calibration.of(honest.recipe).recipe == honest.recipe
    turn, shift = head["attack"]["rotation"], head["attack"]["translation"]
    others = [
        {"rotation": {"low": -180.0, "high": 180.0}, "translation": shift},
        {"rotation": {"low": -10.0, "high": 10.0, "points": 5}, "translation": shift},
        {"rotation": {"low": -11.0, "high": 11.0, "points": 3}, "translation": shift},
        {"rotation": turn, "translation": {"low": 0.0, "high": 3.0, "points": 3}},
        {"rotation": {"low": -10.0, "high": 10.0}, "translation": {"low": 0.0, "high": 2.0}},
        {"translation": shift, "rotation": turn},
    ]
    cases = [{**head, "attack": attack} for attack in (others if on_grid else others[1:4])]
    swapped = {"dataset-worst": "dataset-sampling", "input-sampling": "input-global"}
    swapped |= {there: here for here, there in swapped.items()}
    cases += [{**head, "strategy": swapped[strategy]}, {**head, "draws": 7}]
    listed = head.get("attacks", [])
    cases += [{**head, "attacks": attacks} for attacks in ([*listed, *listed[:1]], [[0.0, [0.0, 0.0]]], listed[::-1])]
    cases += [without(head, "attacks")] if on_grid else []
    for changed in cases:
        if not on_grid and changed.get("attacks") == []:
            continue
        (tmp_path / "c.cal").write_bytes(signed(changed, body))
        with pytest.raises(CalibrationError) as error:
            read_calibration(tmp_path / "c.cal")
        assert "\n" not in str(error.value)
    with pytest.raises(ArgumentError, match="calibration: expected an attack with"):
        Calibration.of({**honest.recipe, "strategy": swapped[strategy]})


def test_a_truncated_calibration_is_no_interrupt(
    cli: Cli, few_digits: Path, calibration: tuple[dict[str, Any], bytes]
) -> None:
    head, body = calibration
    Path("c.cal").write_bytes(signed(head, body[:-9]))
    for command in (("calibrate", "show", "c.cal"), (*FIXED, "--calibration", "c.cal")):
        said = in_one_line(cli(*command))
        assert "c.cal" in said
        assert "interrupted" not in said


# Run folders.


def test_evidence_comes_back() -> None:
    looks = (Look(64, 3, 60), Look(128, 3, 121))
    written = Evidence(
        "slices",
        {3: 5, 10: 2},
        {1: 2},
        looks,
        2**63 + 5,
        7,
        1e-9,
        "integer",
        ((0.5, 0.01),),
        (Slice(-1.0, 2.0, looks),),
    )
    assert Evidence.from_json(json.loads(json.dumps(written.to_json()))) == written


@pytest.mark.parametrize(
    "line",
    [
        b'{"index": 0}', b"[]", b"null", b"5", b'"x"', b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b'{"index": 1e999}',
        b'{"index": NaN}', b"1" * 10_000, b'{"index": 0, "index": 1}', b'{"index": "0"}', b'{"index": -1}', b"\x00",
        b"",
        b'{"index": 0, "label": null, "seconds": 1}', b'{"index": 0, "label": null, "seconds": 1, "error": 5}',
        b'{"index": 0, "label": null, "seconds": 1, "error": "x", "certificate": {}}',
    ],
)  # fmt: skip
def test_lines_that_are_no_entries(run: Path, cli: Cli, line: bytes) -> None:
    ledger = run / LEDGER
    ledger.write_bytes(ledger.read_bytes() + line + b"\n")
    for command in (("verify",), ("report",), ("report", "--tsv"), ("audit",), ("merge", "out")):
        assert "ledger.jsonl, line 7: expected a ledger entry" in in_one_line(cli(*command, run))


def test_an_oversized_line(run: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smoothcert.runs.folder.LINE_BYTES", 1000)
    with (run / LEDGER).open("ab") as file:
        file.write(b'{"index": "' + b"x" * 2000 + b'"}\n')
    assert "line 7: expected at most 1,000 bytes" in in_one_line(cli("verify", run))


def test_texts_that_cannot_be_printed_are_replaced(run: Path, cli: Cli) -> None:
    lines = (run / LEDGER).read_text().splitlines()
    entry = json.loads(lines[0])
    entry["name"] = "\ud800 half"
    (run / LEDGER).write_text("\n".join([json.dumps(entry), *lines[1:]]) + "\n")
    assert RunFolder(run).entries()[0]["name"] == "? half"
    assert cli("verify", run).code == 0


RECIPES: dict[str, Callable[[str], str]] = {
    "deep arrays": lambda text: "a = " + "[" * 10_000 + "]" * 10_000 + "\n" + text,
    "deep keys": lambda text: "a" + ".a" * 20_000 + " = 1\n" + text,
    "many deep keys": lambda text: text + "[" + "a." * 20_000 + "a]\n" + "".join(f"b{i} = 1\n" for i in range(20_000)),
    "huge number": lambda text: text.replace("inputs = 6", "inputs = " + "9" * 5000),
    "large number": lambda text: text.replace("inputs = 6", "inputs = 1" + "0" * 30),
    "no inputs": lambda text: text.replace("inputs = 6", "inputs = 0"),
    "text for a number": lambda text: text.replace("n = 300", 'n = "300"'),
    "date": lambda text: text.replace("alpha = 0.001", "alpha = 1979-05-27"),
    "nan": lambda text: text.replace("alpha = 0.001", "alpha = nan"),
    "infinity": lambda text: text.replace("alpha = 0.001", "alpha = inf"),
    "true for a number": lambda text: text.replace("n0 = 20", "n0 = true"),
    "another mode": lambda text: text.replace('mode = "fixed"', 'mode = "magic"'),
    "another key": lambda text: text.replace('mode = "fixed"', 'mode = "fixed"\nmagic = 1'),
    "another selection": lambda text: text.replace("skip = 0", "skip = 0\nmagic = 1"),
    "another shard": lambda text: text.replace('"1/1"', '"1/x"'),
    "a key twice": lambda text: text.replace("skip = 0", "skip = 0\nskip = 0"),
    "another guarantee": lambda text: text.replace('"exact"', '"certain"'),
    "no part": lambda text: text.replace('part = "noise"', 'part = "magic"'),
    "no scale": lambda text: text.replace("scale = 0.5", 'scale = "0.5"'),
    "negative scale": lambda text: text.replace("scale = 0.5", "scale = -0.5"),
    "no table": lambda text: text.replace("[data]", "[[data]]"),
    "no text": lambda text: text + "\xff",
    "preprocessing": lambda text: text.replace("[model.preprocess]", "[model.preprocess]\nmagic = 1"),
    "empty": lambda text: "",
}


@pytest.mark.parametrize("case", RECIPES)
def test_recipes_that_are_none(run: Path, cli: Cli, case: str) -> None:
    recipe = run / RECIPE
    changed = RECIPES[case](recipe.read_text())
    assert changed != recipe.read_text()
    recipe.write_bytes(changed.encode("latin-1"))
    start = time.monotonic()
    said = in_one_line(cli("verify", run))
    assert time.monotonic() - start < 5
    assert "recipe" in said
    assert len(said) < 1500


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("inputs = 6", "inputs = 7", "expected 6 inputs"),
        ('precision = "float32"', 'precision = "float16"', "expected precision float32"),
        ('provider = "cpu"', 'provider = "cuda"', "expected onnxruntime-gpu"),
        ('provider = "cpu"', 'provider = "abacus"', "expected a provider of cpu"),
        ('runtime = "onnx', 'runtime = "other', "expected a runtime"),
        ("tf32 = false", "tf32 = true", "expected tf32 = false"),
        ("tf32 = false", "tf32 = false\nbatch_size = 8", "expected a batch_size"),
        ("tf32 = false", 'tf32 = false\nadapted = ["by hand"]', "expected adapted []"),
        ('output = "logits"', 'output = "nothing"', "no output 'nothing'"),
    ],
    ids=lambda v: v.split(" = ")[0] if " = " in v else "",
)
def test_verify_finds_an_edited_recipe(run: Path, cli: Cli, old: str, new: str, words: str) -> None:
    recipe = run / RECIPE
    assert old in recipe.read_text()
    recipe.write_text(recipe.read_text().replace(old, new))
    result = cli("verify", run)
    assert (result.code, words in result.out) == (1, True), result


def test_verify_opens_the_model_as_certify_does(run: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that no run can have had, or one with other preprocessing than its own, under its own SHA-256."""
    import tomli_w

    recipe, model = RunFolder(run).recipe(), onnx.load(MODEL)
    (entry,) = model.graph.input
    drawn = onnx.helper.make_node("RandomNormalLike", [entry.name], ["drawn"])
    added = onnx.helper.make_node("Add", [entry.name, "drawn"], ["noisy"])
    random = onnx.ModelProto()
    random.CopyFrom(model)
    for node in random.graph.node:
        node.input[:] = ["noisy" if name == entry.name else name for name in node.input]
    nodes = [drawn, added, *random.graph.node]
    del random.graph.node[:]
    random.graph.node.extend(nodes)
    own = onnx.ModelProto()
    own.CopyFrom(model)
    del own.metadata_props[:]
    own.metadata_props.add(key="smoothcert.preprocess", value=json.dumps({"mean": [0.5]}))
    for changed, words in ((random, "draws random numbers"), (own, "expected preprocess {'mean': [0.5]")):
        Path("m.onnx").write_bytes(changed.SerializeToString())
        recipe["model"] |= {"path": "m.onnx", "sha256": hashlib.sha256(Path("m.onnx").read_bytes()).hexdigest()}
        (run / RECIPE).write_text(tomli_w.dumps(recipe))
        result = cli("verify", run)
        assert (result.code, words in result.out) == (1, True), result.out

    def late(*_: object) -> None:
        raise ProviderError("no answer")

    monkeypatch.setattr("smoothcert.runs.opening.open_model", late)
    assert "not checked: model: no answer" in cli("verify", run).out


@pytest.mark.parametrize("named", [(), ("--output", "scores")], ids=["found", "named"])
def test_an_adapted_model_is_the_runs_however_its_output_was_chosen(
    cli: Cli, few_digits: Path, named: tuple[str, ...]
) -> None:
    model = onnx.load_from_string(models.linear((1, 32, 32), np.ones((1024, 10)), np.zeros(10)))
    scores = model.graph.output[0].name
    model.graph.node.add(op_type="Identity", input=[scores], output=["scores"])
    model.graph.node.add(op_type="ArgMax", input=[scores], output=["label"]).attribute.add(name="axis", i=1, type=2)
    del model.graph.output[:]
    model.graph.output.extend([models.value("scores", 1, ("N", 10)), models.value("label", 7, ("N", 1))])
    Path("two.onnx").write_bytes(model.SerializeToString())
    options = ("--smooth", "noise=0.5", "--n", 100, "--limit", 1, "-q", "--run", "two", *named)
    done = cli("certify", "two.onnx", "six.npz", *options)
    assert done.code == 0, done.err
    assert ("adapted" in RunFolder(Path("two")).recipe()["model"]) == (not named)
    done = cli("verify", "two")
    assert done.code == 0, done.out


def test_a_recipe_says_nothing_beyond(run: Path, cli: Cli) -> None:
    recipe = run / RECIPE
    recipe.write_text(recipe.read_text().replace('guarantee = "exact"', 'guarantee = "exact"\nmagic = 1'))
    result = cli("verify", run)
    assert (result.code, "[smoothing] to say" in result.out) == (1, True)


def test_a_planted_link_is_not_followed(run: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "fresh"
    folder.mkdir()
    for name in (f"{RECIPE}.partial", RECIPE):
        (folder / name).symlink_to(victim)
    write_atomically(folder / RECIPE, b"new")
    assert (victim.read_text(), (folder / RECIPE).read_text()) == ("precious", "new")
    assert not (folder / RECIPE).is_symlink()
    (run / LEDGER).unlink()
    (run / LEDGER).symlink_to(victim)
    with pytest.raises(RunError), RunFolder(run).locked(RunFolder(run).recipe()):
        pass
    assert victim.read_text() == "precious"


def test_a_merge_that_was_killed_is_repeated(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, writes = tmp_path / "out", []

    def dying(path: Path, content: bytes) -> None:
        if writes:
            raise KeyboardInterrupt
        writes.append(path.name)
        write_atomically(path, content)

    monkeypatch.setattr("smoothcert.runs.folder.write_atomically", dying)
    with pytest.raises(KeyboardInterrupt):
        merge(RunFolder(out), [RunFolder(run)])
    assert writes == [LEDGER]
    monkeypatch.undo()
    assert merge(RunFolder(out), [RunFolder(run)]) == 6
    with pytest.raises(RunError, match="already holds a run"):
        merge(RunFolder(out), [RunFolder(run)])
    (out / RECIPE).unlink()
    (out / LEDGER).write_bytes((out / LEDGER).read_bytes()[:-50])
    with pytest.raises(RunError, match="already holds another ledger"):
        merge(RunFolder(out), [RunFolder(run)])


@pytest.mark.parametrize("where", [LEDGER, RECIPE])
def test_a_full_disk_names_the_file(cli: Cli, few_digits: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    real = os.write

    def full(descriptor: int, content: Any) -> int:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if where in path:
            raise OSError(28, "No space left on device")
        return real(descriptor, content)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        said = in_one_line(cli(*FIXED, "--run", "r"))
    assert f"r/{where}: No space left on device" in said
    assert not [name for name in os.listdir("r") if name.endswith(".partial")]
    assert cli(*FIXED, "--run", "r").code == 0


# Interrupts.

# Says that it listens once it does: a busy machine may take its time until then.
STARTED = """
import os, signal, smoothcert.__main__
listen = signal.signal
signal.signal = lambda *given: (listen(*given), os.write(1, b"!"))[0]
smoothcert.__main__.main()
"""


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_at_any_time_ends_in_one_line(tmp_path: Path, times: int) -> None:
    """From the first import on."""
    run = ("certify", MODEL, IMAGES, "--smooth", "noise=0.5", "--n", 100_000, "--quiet", "--run", "r")
    for delay in (0.0, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.4, 0.8):
        process = subprocess.Popen(
            [sys.executable, "-c", STARTED, *map(str, run)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.read(1) == b"!"
        time.sleep(0.01 + delay)
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.01)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 2, err
        assert err.count(b"\n") == 1, err
        assert b"the same command continues" in err


# Arguments from Python.


def total(batch: Any) -> Any:
    """Class 1 where the sum is above 1."""
    return (batch.reshape(len(batch), -1).sum(axis=1) > 1).astype(int)


X = np.zeros(4, np.float32)
WRONG: dict[str, Callable[[], Any]] = {
    "x text": lambda: certify(total, Noise(0.5), "abc"),  # type: ignore[arg-type]
    "x nothing": lambda: certify(total, Noise(0.5), None),  # type: ignore[arg-type]
    "x ragged": lambda: certify(total, Noise(0.5), [[1.0], [2.0, 3.0]]),  # type: ignore[arg-type]
    "n text": lambda: certify(total, Noise(0.5), X, n="5"),  # type: ignore[arg-type]
    "n float": lambda: certify(total, Noise(0.5), X, n=1000.5),  # type: ignore[arg-type]
    "n nothing": lambda: certify(total, Noise(0.5), X, n=None),  # type: ignore[arg-type]
    "n0 list": lambda: certify(total, Noise(0.5), X, n0=[5]),  # type: ignore[arg-type]
    "alpha nothing": lambda: certify(total, Noise(0.5), X, alpha=None),  # type: ignore[arg-type]
    "alpha text": lambda: predict(total, Noise(0.5), X, alpha="0.1"),  # type: ignore[arg-type]
    "alpha nan": lambda: predict(total, Noise(0.5), X, alpha=float("nan")),
    "bound": lambda: certify(total, Noise(0.5), X, bound=5),  # type: ignore[arg-type]
    "bound list": lambda: certify(total, Noise(0.5), X, bound=["one-sided"]),  # type: ignore[arg-type]
    "radii text": lambda: certify_targets(total, Noise(0.5), X, "abc"),
    "radii of texts": lambda: certify_targets(total, Noise(0.5), X, ["1"]),  # type: ignore[list-item]
    "radii number": lambda: certify_targets(total, Noise(0.5), X, 0.5),  # type: ignore[arg-type]
    "attack text": lambda: certify(total, Noise(0.5), X, attack="noise"),  # type: ignore[arg-type]
    "attack number": lambda: certify(total, Noise(0.5), X, attack=5),  # type: ignore[arg-type]
    "key text": lambda: certify(total, Noise(0.5), X, key="a"),  # type: ignore[arg-type]
    "key negative": lambda: certify(total, Noise(0.5), X, key=-1),
    "key large": lambda: certify(total, Noise(0.5), X, key=2**64),
    "index text": lambda: certify(total, Noise(0.5), X, index="a"),  # type: ignore[arg-type]
    "sigma text": lambda: Noise("0.5"),  # type: ignore[arg-type]
    "sigma nothing": lambda: Noise(None),  # type: ignore[arg-type]
    "sigma list": lambda: Brightness([0.5]),  # type: ignore[arg-type]
    "classifier": lambda: certify(object(), Noise(0.5), X),  # type: ignore[arg-type]
    "smoothing": lambda: certify(total, "noise", X),  # type: ignore[arg-type]
    "smoothing nothing": lambda: predict(total, None, X),  # type: ignore[arg-type]
    "algorithm": lambda: Question.of({"algorithm": {"mode": "fixed", "n": "5"}, "smoothing": {}}),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_types_from_python(case: str) -> None:
    with pytest.raises((ArgumentError, SmoothcertError)) as error:
        WRONG[case]()
    assert "\n" not in str(error.value)
