"""The constants of the paper's bound: slopes against an explicit Jacobian, errors by hand, the file they stand in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from smoothcert import SmoothcertError, open_surrogate, read_published
from smoothcert.model.preprocess import prepared
from smoothcert.smoothing.transform import attacked
from smoothcert.surrogate_file import OpenBundle
from smoothcert_calibration.surrogates import errors, measure, slopes

from .surrogates import affine, halfspace, write_bundle

IMAGE, SIZE, CODE = (1, 5, 5), 25, 6
VALUES = np.linspace(-0.2, 0.2, 5)


def picture(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(50, 200, (5, 5)).astype(np.uint8)


def linear_bundle(folder: Path, seed: int = 0) -> tuple[OpenBundle, NDArray[np.float64], NDArray[np.float64]]:
    """An encoder W and a decoder V, each a random matrix, so that y = V (W x + A1 xi + b1)."""
    rng = np.random.default_rng(seed)
    w, v = rng.normal(size=(CODE, SIZE)) / 5, rng.normal(size=(SIZE, CODE)) / 5
    graphs = {
        "encoder.onnx": affine("image", "code", IMAGE, w, (CODE,)),
        "decoder.onnx": affine("code", "image", (CODE,), v, IMAGE),
        "classifier.onnx": halfspace((CODE,), np.ones(CODE), 0.0),
        "model.onnx": halfspace(IMAGE, np.ones(SIZE), 0.0),
    }
    write_bundle(
        folder, name="brightness", trained=(-0.2, 0.2), matrix=w, normal=np.ones(CODE), image=IMAGE,
        a1=rng.normal(size=(CODE, 1)), b1=rng.normal(size=CODE), graphs=graphs,
    )  # fmt: skip
    return open_surrogate(folder), w, v


@pytest.mark.parametrize("seed", range(5))
def test_slopes_are_those_of_the_explicit_jacobian(tmp_path: Path, seed: int) -> None:
    """d F2(y) / d xi = W V A1, whatever xi and x."""
    opened, w, v = linear_bundle(tmp_path, seed)
    a1 = opened.arrays["A1"]
    exact = np.linalg.norm(w @ v @ a1 - a1)
    assert slopes(opened, prepared(picture(seed)), VALUES) == pytest.approx(exact, rel=2e-3)


def test_errors_are_the_distance_to_the_real_image(tmp_path: Path) -> None:
    opened, w, v = linear_bundle(tmp_path)
    x = picture(1)
    a1, b1 = opened.arrays["A1"][:, 0], opened.arrays["b1"]
    expected = [
        np.linalg.norm(
            v @ (w @ (x.ravel() / 255) + a1 * value + b1)
            - attacked(x[..., None], [(opened.bundle.transform, value)]).ravel() / 255
        )
        for value in VALUES.tolist()
    ]
    assert errors(opened, prepared(x), VALUES) == pytest.approx(expected, rel=1e-4)


def test_the_file_holds_what_was_measured(tmp_path: Path) -> None:
    opened, w, _ = linear_bundle(tmp_path / "S")
    xs = [prepared(picture(seed)) for seed in range(3)]
    rows = measure(opened, xs, tmp_path / "S.cal", points=9)
    found = read_published(tmp_path / "S.cal")
    assert found.surrogate == opened.bundle.sha256
    assert found.lipschitz == pytest.approx(np.linalg.norm(w, 2), rel=1e-4)
    assert found.lipschitz >= np.linalg.norm(w.astype(np.float32), 2)
    assert found.error == max(error for _, error in rows.values())
    assert found.slopes == {x.sha256: rows[x.sha256][0] for x in xs}
    measure(opened, xs, tmp_path / "again.cal", points=9)
    assert (tmp_path / "S.cal").read_bytes() == (tmp_path / "again.cal").read_bytes()


def edited(path: Path) -> None:
    table = json.loads(path.read_text())
    table["lipschitz"] /= 2
    path.write_text(json.dumps(table, indent=1) + "\n")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def of_another_version(path: Path) -> None:
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))


def another_kind(path: Path) -> None:
    path.write_text('{"format": "x"}')


@pytest.mark.parametrize("damage", [edited, truncated, of_another_version, another_kind, Path.unlink])
def test_a_damaged_file_is_refused_in_a_line(tmp_path: Path, damage: object) -> None:
    opened, *_ = linear_bundle(tmp_path / "S")
    path = tmp_path / "S.cal"
    measure(opened, [prepared(picture(1))], path, points=3)
    assert callable(damage)
    damage(path)
    with pytest.raises(SmoothcertError, match=r"S\.cal: expected a surrogate's calibration") as told:
        read_published(path)
    assert "\n" not in str(told.value)


def test_too_few_points_or_inputs_are_refused(tmp_path: Path) -> None:
    opened, *_ = linear_bundle(tmp_path / "S")
    with pytest.raises(ValueError, match="points: expected at least 2, got 1"):
        measure(opened, [prepared(picture(1))], tmp_path / "S.cal", points=1)
    with pytest.raises(ValueError, match="expected at least one input to measure"):
        measure(opened, [], tmp_path / "S.cal")
    assert not (tmp_path / "S.cal").exists()
