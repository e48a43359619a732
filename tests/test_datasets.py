"""Data sets. Oracles: the arrays that were written, torchvision's ImageFolder order (sorted class names)."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from smoothcert.errors import DataError
from smoothcert.inputs.datasets import open_dataset, selection

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (3, 5, 6, 3), dtype=np.uint8)


def write(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image)
    return path


def test_archive_gives_what_was_saved(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=COLOUR, y=np.array([2, 0, 1]))
    data = open_dataset(tmp_path / "d.npz")
    example = data.load(2)
    assert (len(data), example.index, example.label, example.name) == (3, 2, 1, "d.npz[2]")
    np.testing.assert_array_equal(example.x, COLOUR[2])


def test_archive_without_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=COLOUR)
    assert open_dataset(tmp_path / "d.npz").load(0).label is None


@pytest.mark.parametrize(
    ("classes", "labels"),
    [(["cat", "ant", "bee"], [0, 1, 2]), (["10", "2", "1"], [1, 10, 2])],
    ids=["names in sorted order", "numbers as they are"],
)
def test_folder_labels(tmp_path: Path, classes: list[str], labels: list[int]) -> None:
    for name in classes:
        write(tmp_path / name / "i.png", COLOUR[0])
    data = open_dataset(tmp_path)
    assert [data.label(i) for i in range(3)] == labels
    assert [Path(data.name(i)).parent.name for i in range(3)] == sorted(classes)


def test_folders_without_images_are_no_classes(tmp_path: Path) -> None:
    for name in ("1", "2"):
        write(tmp_path / name / "i.png", COLOUR[0])
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "recipe.toml").write_text("")
    data = open_dataset(tmp_path)
    assert [data.label(i) for i in range(len(data))] == [1, 2]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["1/a.png", "b.png"], "got both, such as b.png"),
        (["1/a.png", "cat/a.png"], "all numbered or all named, got '1' and 'cat'"),
        (["1/a.png", "01/a.png"], "two of the same number"),
    ],
)
def test_folders_that_could_be_misread(tmp_path: Path, files: list[str], message: str) -> None:
    for name in files:
        write(tmp_path / name, COLOUR[0])
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_bytes_behind_an_image_do_no_harm(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}", COLOUR[0])
    path.write_bytes(path.read_bytes() + b"maker's note" * 40)
    assert open_dataset(tmp_path).load(0).x.shape == (5, 6, 3)


def test_flat_folder_is_unlabelled_and_rgb(tmp_path: Path) -> None:
    write(tmp_path / "b.png", COLOUR[1])
    write(tmp_path / "a.png", COLOUR[0])
    (tmp_path / "notes.txt").write_text("no image")
    data = open_dataset(tmp_path)
    assert [data.name(i) for i in range(len(data))] == ["a.png", "b.png"]
    np.testing.assert_array_equal(data.load(1).x, COLOUR[1])
    assert data.load(1).label is None


def test_one_channel_models_get_grey(tmp_path: Path) -> None:
    grey = COLOUR[0, ..., 0]
    write(tmp_path / "a.png", grey)
    np.testing.assert_array_equal(open_dataset(tmp_path, channels=1).load(0).x, grey)
    np.testing.assert_array_equal(open_dataset(tmp_path, channels=3).load(0).x, np.dstack([grey] * 3))


@pytest.mark.parametrize("header", [True, False], ids=["header", "no header"])
def test_manifest(tmp_path: Path, header: bool) -> None:
    write(tmp_path / "images" / "a,b.png", COLOUR[0])
    with (tmp_path / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label"]] * header + [["images/a,b.png", 7], ["images/none.png", ""]])
    data = open_dataset(tmp_path / "list.csv")
    assert [data.label(0), data.label(1)] == [7, None]
    np.testing.assert_array_equal(data.load(0).x, COLOUR[0])
    with pytest.raises(DataError, match=r"none\.png"):
        data.load(1)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_truncated_images_are_refused(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}", RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    assert open_dataset(tmp_path).load(0).x.shape == (64, 64, 3)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="corrupt or truncated"):
        open_dataset(tmp_path).load(0)


class Evil:
    """Unpickling it would say so."""

    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("unpickled!",))


def bad(tmp_path: Path, case: str) -> Path:
    path = tmp_path / "d.npz"
    match case:
        case "pickled":
            np.savez(path, x=np.array([Evil()], object))
        case "truncated":
            np.savez(path, x=COLOUR)
            path.write_bytes(path.read_bytes()[:-40])
        case "no x":
            np.savez(path, images=COLOUR)
        case "empty archive":
            np.savez(path, x=COLOUR[:0])
        case "short y":
            np.savez(path, x=COLOUR, y=np.arange(2))
        case "float y":
            np.savez(path, x=COLOUR, y=np.ones(3))
        case "negative y":
            np.savez(path, x=COLOUR, y=np.array([0, -1, 2]))
        case "flat x":
            np.savez(path, x=np.arange(3))
        case "empty folder":
            path = tmp_path / "folder"
            path.mkdir()
        case "manifest label":
            path = tmp_path / "list.csv"
            path.write_text("path,label\na.png,cat\n")
        case "other":
            path = tmp_path / "model.onnx"
            path.write_bytes(b"")
        case "missing":
            path = tmp_path / "nothing.npz"
    return path


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("pickled", "never unpickled"),
        ("truncated", "corrupt or truncated"),
        ("no x", "expected an array x .* got: images"),
        ("empty archive", "empty data set"),
        ("short y", r"labels y of shape \(3,\), got int64 \(2,\)"),
        ("float y", "expected integer labels"),
        ("negative y", r"d.npz\[1\]: expected a label >= 0, got -1"),
        ("flat x", r"expected x of shape \(inputs, ...\), got \(3,\)"),
        ("empty folder", "empty data set"),
        ("manifest label", "line 2: expected path,label with an integer label >= 0, got 'cat'"),
        ("other", "another kind of file"),
        ("missing", "got nothing there; check the path"),
    ],
)
def test_bad_data_is_refused_in_a_line(tmp_path: Path, case: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        open_dataset(bad(tmp_path, case))
    assert "\n" not in str(error.value)


def test_fingerprints_follow_the_contents(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=COLOUR)
    np.savez(tmp_path / "b.npz", x=COLOUR[::-1])
    a, b = open_dataset(tmp_path / "a.npz"), open_dataset(tmp_path / "b.npz")
    assert a.sha256 != b.sha256
    assert a.load(0).sha256 == b.load(2).sha256 != a.load(1).sha256


@pytest.mark.parametrize(
    ("skip", "limit", "shard", "expected"),
    [
        (0, None, "1/1", range(10)),
        (3, 4, "1/1", range(3, 7)),
        (0, 99, "1/1", range(10)),
        (2, None, "2/3", [3, 6, 9]),
        (20, None, "1/1", []),
    ],
)
def test_selection(skip: int, limit: int | None, shard: str, expected: list[int]) -> None:
    assert list(selection(10, skip=skip, limit=limit, shard=shard)) == list(expected)


def test_shards_part_the_selection() -> None:
    shards = [set(selection(17, skip=1, limit=15, shard=f"{i}/4")) for i in (1, 2, 3, 4)]
    assert sum(map(len, shards)) == 15
    assert set().union(*shards) == set(range(1, 16))


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", "-1/3"])
def test_bad_shards(shard: str) -> None:
    with pytest.raises(ValueError, match="expected i/k"):
        selection(10, shard=shard)
