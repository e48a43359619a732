"""What others wrote, damaged in every way: valid files, mutated. One line comes out, soon, in little memory.

2,900 cases, the same in every run: 700 run folders, 800 calibrations, 700 archives, 400 images, 300 models' metadata.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import signal
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smoothcert.calibration_file import read, read_calibration
from smoothcert.cli.app import main
from smoothcert.errors import ArgumentError, SmoothcertError
from smoothcert.inputs.datasets import open_dataset
from smoothcert.model.file import read_model
from smoothcert.runs.folder import LEDGER, RECIPE
from smoothcert_calibration.show import lines, tables

from .conftest import IMAGES, MODEL

QUICK = ("test_metadata",)

SLOW, LARGE = 10, 1_500_000  # seconds; kilobytes
RANDOM = st.integers(0, 2**48).map(Random)


def cases(count: int) -> Callable[[Any], Any]:
    """So many, always the same."""
    checks = list(HealthCheck)
    return settings(max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=checks)


@contextmanager
def unharmed() -> Iterator[None]:
    """Only errors for users come out, each one line, within seconds."""

    def late(*_: object) -> None:
        raise AssertionError(f"still busy after {SLOW} s")

    said, before = "", signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SLOW)
    try:
        yield
    except (SmoothcertError, ArgumentError) as error:
        said = str(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert "\n" not in said
    assert len(said) < 5000


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    """The test's peak stays below the limit."""
    status = Path("/proc/self/status")

    def kilobytes(name: str) -> int:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(name))

    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = kilobytes("VmRSS")
    except (OSError, StopIteration):
        yield
        return
    yield
    assert kilobytes("VmHWM") - before < LARGE


# Mutations.

JUNK: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 7, 2**31, 2**53, 2**63, 2**64, -(2**70), 10**400, 0.0, -0.5, 0.1, 1e-320, 1e300, 1e308,
    float("nan"), float("inf"), "", "x", "0", "1/1", "0/0", "\0", "\ud800", "é" * 3000, "noise", "nan", "-1", [], {},
    [[]], [1], [0.5, 0.1], ["x"], {"a": 1}, {"low": 0, "high": 1}, {"low": 1, "high": 1e308, "points": 10**9}, "f" * 64,
)  # fmt: skip


def nested(depth: int, inner: Any) -> Any:
    for _ in range(depth):
        inner = [inner] if depth % 2 else {"a": inner}
    return inner


def mutated(value: Any, random: Random) -> Any:
    """The plain value with a few of its places changed, removed, doubled or of another type."""
    value = copy.deepcopy(value)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        places = list(walk(value))
        if not places:
            return value
        holder, key = random.choice(places)
        there = holder[key]
        if isinstance(there, int | float) and abs(there) < 2**70 and random.random() < 0.6:  # near enough to be read
            change = random.choice((-1, 1, there, -2 * there, 10**9, 0.5, 1e-9, 0.001 * there))
            holder[key] = type(there)(there + change)
            continue
        match random.randrange(8):
            case 0:
                del holder[key]
            case 1:
                holder[key] = [there]
            case 2:
                holder[key] = str(there)
            case 3 if isinstance(there, int | float) and abs(there) < 2**70:
                holder[key] = there * random.choice((-1, 0, 2, 0.5, 1000, 10**9))
            case 4 if isinstance(there, list):
                holder[key] = there * random.choice((0, 2, 50))
            case 5 if isinstance(there, dict):
                there[random.choice(("x", "limit", "attack", "errors", "slices", "radii", *there))] = random.choice(
                    JUNK
                )
            case 6:
                holder[key] = nested(random.choice((3, 40, 300)), there)
            case _:
                holder[key] = junk(random)
    return value


def junk(random: Random) -> Any:
    return copy.deepcopy(random.choice(JUNK))


def walk(value: Any) -> Iterator[tuple[Any, Any]]:
    """(holder, key) of everything inside."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list) and value[key]:
            yield from walk(value[key])


def scrambled(content: bytes, random: Random) -> bytes:
    """Bytes flipped, cut off, cut out, doubled, overwritten."""
    for _ in range(random.choice((1, 1, 2, 8))):
        place, length = random.randrange(len(content) + 1), random.choice((1, 1, 4, 50))
        match random.randrange(6):
            case 0:
                content = content[:place]
            case 1:
                content = content[:place] + content[place + length :]
            case 2:
                content = content[:place] + content[place : place + length] * 2 + content[place + length :]
            case 3:
                noise = random.choice((b"\0", b"\xff", b"[", b"9", b'"', b"\n", random.randbytes(1))) * length
                content = content[:place] + noise + content[place + length :]
            case _:
                place = min(place, max(0, len(content) - 1))
                flipped = bytes(b ^ 1 << random.randrange(8) for b in content[place : place + 1])
                content = content[:place] + flipped + content[place + 1 :]
    return content


# Run folders, through the command line.


def called(*arguments: object) -> int:
    """The command's exit code; whatever but an exit passes through."""
    sys.argv = ["smoothcert", *map(str, arguments)]
    try:
        main()
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0


RUNS: dict[str, tuple[object, ...]] = {
    "fixed": ("certify", "--smooth", "noise=0.5", "--n", 300),
    "target": ("certify", "--smooth", "noise=0.5", "--n", 500, "--mode", "target", "--radii", "0.25,0.5"),
    "radius": ("certify", "--smooth", "contrast=0.2", "--n", 300, "--mode", "radius"),
    "attack": (
        *("certify", "--smooth", "contrast=0.3", "--smooth", "brightness=0.3", "--n", 300),
        *("--attack", "contrast=0.9:1.1", "--attack", "brightness=-0.05:0.05"),
    ),
    "predict": ("predict", "--smooth", "gamma=0.2,law=rayleigh", "--n", 300),
    "enumerate": ("certify", "--mode", "enumerate", "--attack", "rotation=-4:4:5"),
    "slices": ("certify", "--smooth", "noise=0.5", "--mode", "slices", "--attack", "rotation=-1:1", "--n", 300),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of two inputs for each mode."""
    folder = tmp_path_factory.mktemp("runs")
    with np.load(IMAGES) as archive:
        np.savez(folder / "two.npz", x=archive["x"][:2], y=archive["y"][:2])
    for name, (command, *options) in RUNS.items():
        assert called(command, MODEL, folder / "two.npz", *options, "--run", folder / name, "--quiet") == 0
    return {name: folder / name for name in RUNS}


COMMANDS: tuple[tuple[str, ...], ...] = (
    ("verify",), ("verify",), ("verify",), ("report",), ("report",), ("report", "--tsv"), ("report", "--evaluation"),
    ("report", "--radii", "0.5"), ("merge", "out"),
)  # fmt: skip


@given(random=RANDOM)
@cases(700)
def test_run_folders(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, random: Random) -> None:
    name = random.choice(list(runs))
    folder = tmp_path_factory.mktemp("run", numbered=True)
    recipe, ledger = (runs[name] / RECIPE).read_bytes(), (runs[name] / LEDGER).read_bytes()
    match random.randrange(4):
        case 0:
            recipe = scrambled(recipe, random)
        case 1:
            changed = mutated(tomllib.loads(recipe.decode()), random)
            with suppress(TypeError, ValueError, RecursionError):  # what TOML cannot say
                recipe = tomli_w.dumps(changed).encode("utf-8", "surrogatepass")
        case 2:
            ledger = scrambled(ledger, random)
        case _:
            entries = [json.loads(line) for line in ledger.splitlines()]
            ledger = "".join(json.dumps(entry) + "\n" for entry in mutated(entries, random)).encode()
    (folder / RECIPE).write_bytes(recipe)
    (folder / LEDGER).write_bytes(ledger)
    command = random.choice(COMMANDS)
    out = [folder / "out"] if command == ("merge", "out") else []
    with unharmed():
        assert called(command[0], *out, *([] if out else command[1:]), folder) in (0, 1, 2, 3)


# Calibrations, signed again.


@pytest.fixture(scope="module")
def calibrations(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[dict[str, Any], bytes]]:
    """Head and body of one for each strategy."""
    from smoothcert_calibration.measure import measure
    from smoothcert_calibration.plan import plan_of

    from .test_calibrate import ROTATION, STRATEGIES, Attack

    folder, found = tmp_path_factory.mktemp("calibration"), []
    np.savez(folder / "d.npz", x=np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3), np.uint8))
    data = open_dataset(folder / "d.npz")
    for strategy, (attack, options) in STRATEGIES.items():
        out = folder / f"{strategy}.cal"
        measure(plan_of(data, "d", ROTATION, Attack.of(attack), strategy=strategy, **options), data, out)
        line, _, body = out.read_bytes().partition(b"\n")
        found.append((json.loads(line), body))
    return found


@given(random=RANDOM)
@cases(800)
def test_calibrations(
    calibrations: list[tuple[dict[str, Any], bytes]], tmp_path_factory: pytest.TempPathFactory, random: Random
) -> None:
    head, body = random.choice(calibrations)
    if random.random() < 0.7:
        head = mutated(head, random)
    else:
        body = scrambled(body, random)
    line = json.dumps({**head, "sha256": "0" * 64} if random.random() < 0.9 else head).encode() + b"\n"
    content = line.replace(b"0" * 64, hashlib.sha256(line + body).hexdigest().encode(), 1) + body
    path = tmp_path_factory.getbasetemp() / "c.cal"
    path.write_bytes(content if random.random() < 0.9 else scrambled(content, random))
    with unharmed():
        found = read_calibration(path)
        assert found.claim
        file = read(path)
        assert lines(file)
        assert tables(file)


# Archives and images.


@given(random=RANDOM)
@cases(700)
def test_archives(tmp_path_factory: pytest.TempPathFactory, random: Random) -> None:
    path = tmp_path_factory.getbasetemp() / "d.npz"
    x = np.arange(2 * 5 * 5, dtype=random.choice(["u1", "f4", ">f8", "i2"])).reshape(2, 5, 5)
    arrays = {"x": x, "y": np.arange(2)} if random.random() < 0.8 else {"x": x.T, "z": np.array(["text"])}
    random.choice((np.savez, np.savez_compressed))(path, **arrays)
    content = path.read_bytes()
    if random.random() < 0.3:  # headers: shapes, types and orders of the same length
        swaps = ((b"(2, 5, 5)", b"(9**9, 5)"), (b"(2, 5, 5)", b"(-2, 5, 5"), (b"(2, 5, 5)", b"(10**99,)"))
        swaps += ((b"'|u1'", b"'|O8'"), (b"False", b"True "), (b"descr", b"descx"), (b"|u1", b"|V0"), (b"|u1", b"<U9"))
        content = content.replace(*random.choice(swaps))
    path.write_bytes(scrambled(content, random) if random.random() < 0.9 else content)
    with unharmed():
        data = open_dataset(path)
        assert data.sha256
        for index in range(min(3, len(data))):
            assert data.load(index).sha256


IMAGE = cv2.cvtColor(np.random.default_rng(0).integers(0, 256, (9, 7), np.uint8), cv2.COLOR_GRAY2BGR)


@given(random=RANDOM)
@cases(400)
def test_images(tmp_path_factory: pytest.TempPathFactory, random: Random) -> None:
    suffix = random.choice(("png", "jpg", "bmp", "tiff", "webp", "ppm", "pgm"))
    folder = tmp_path_factory.mktemp("images", numbered=True)
    content = cv2.imencode(f".{suffix}", IMAGE[..., 0] if suffix == "pgm" else IMAGE)[1].tobytes()
    (folder / f"a.{suffix}").write_bytes(scrambled(content, random))
    with unharmed():
        assert open_dataset(folder, random.choice((1, 3, None))).load(0).x.dtype == np.uint8


# Metadata.

VALUES: dict[str, Any] = {
    "smoothcert.preprocess": {
        "scale": 0.5, "mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 1.0], "layout": "nchw",
        "spatial": {"resize": 20, "interpolation": "bilinear", "crop": 16, "mask": "circle", "share": 0.9},
    },
    "smoothcert.input_range": [0, 1],
    "smoothcert.class_names": ["a", "b"],
    "smoothcert.training_noise": 0.25,
    "smoothcert.source": "framework 1.0",
    "smoothcert.weights_sha256": "0" * 64,
    "smoothcert.parity": {"framework": {"inputs": 8, "absolute": 1e-5, "flips": 0}, "tolerance": 1e-3},
}  # fmt: skip


@given(random=RANDOM)
@cases(300)
def test_metadata(tmp_path_factory: pytest.TempPathFactory, random: Random) -> None:
    proto = onnx.load(MODEL)
    for key, value in VALUES.items():
        text = json.dumps(mutated({"it": value}, random).get("it"))
        deep = "[" * 100_000 if random.random() < 0.05 else text
        proto.metadata_props.add(key=key, value=deep if random.random() < 0.3 else json.dumps(value))
    with unharmed():
        file = read_model(proto.SerializeToString())
        with suppress(SmoothcertError):
            assert file.card
        assert file.preprocess


# The command itself, in a process of its own.


@pytest.mark.parametrize("case", ["recipe", "ledger", "calibration", "npz", "pipe", "image"])
def test_the_command_prints_one_line(runs: dict[str, Path], tmp_path: Path, case: str) -> None:
    import shutil
    import subprocess

    shutil.copytree(runs["fixed"], tmp_path / "run")
    command: tuple[object, ...] = ("verify", "run")
    match case:
        case "recipe":
            (tmp_path / "run" / RECIPE).write_text("a = " + "[" * 100_000)
        case "ledger":
            (tmp_path / "run" / LEDGER).write_text('{"index": ' * 100_000 + "\n")
        case "calibration":
            (tmp_path / "c.cal").write_text("[" * 100_000 + "\n")
            command = ("calibrate", "show", "c.cal")
        case "npz":
            (tmp_path / "d.npz").write_bytes(b"PK\x05\x06" + bytes(18))
            command = ("certify", MODEL, "d.npz", "--smooth", "noise=0.5")
        case "pipe":
            os.mkfifo(tmp_path / "d.csv")
            command = ("certify", MODEL, "d.csv", "--smooth", "noise=0.5")
        case "image":
            (tmp_path / "d").mkdir()
            (tmp_path / "d" / "a.png").write_bytes(cv2.imencode(".png", IMAGE)[1].tobytes()[:-30])
            command = ("certify", MODEL, "d", "--smooth", "noise=0.5")
    arguments = [sys.executable, "-m", "smoothcert", *map(str, command)]
    result = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result
