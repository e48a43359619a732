"""A classifier behind a denoiser: conventions, sizes, layouts, and what is refused.

Oracles: the two models written out in numpy, a diffusion by its textbook loop, OpenCV's resizing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from smoothcert import Denoiser, OrtClassifier, Preprocess, Spatial, open_denoised
from smoothcert.errors import ModelError
from smoothcert.inputs.levels import EIGHT_BIT
from smoothcert.model.file import ModelFile
from smoothcert.model.sessions import Sessions
from smoothcert_exporters.adapt.precision import convert
from smoothcert_exporters.denoised.file import export_denoised
from smoothcert_exporters.denoised.pair import paired

from .conftest import Result
from .denoisers import doubled, echo, grown, mixed, noisy, scaled, told
from .models import convnet, half_space, two_inputs

Cli = Callable[..., Result]
COLOUR, GREY = (3, 4, 5), (1, 6, 6)
Array = NDArray[Any]


def images(shape: tuple[int, ...], count: int = 17) -> NDArray[np.float32]:
    """Noisy images around [0,1], the same every time."""
    return np.random.default_rng(3).normal(0.5, 0.6, (count, *shape)).astype(np.float32)


def scores(file: ModelFile, rows: Array, size: int | None = None, levels: Any = None) -> Array:
    return Sessions(file, file.preprocess or Preprocess()).by(rows, size or file.batch or len(rows), levels)


def echoed(denoiser: bytes, words: str = "", shape: tuple[int, ...] = COLOUR, sigma: float | None = None) -> ModelFile:
    """A denoiser with a classifier behind it whose scores are the clean image."""
    return open_denoised(echo(shape), denoiser, Denoiser.of(words, sigma))


# --- Conventions ------------------------------------------------------------------------------------------------------

# The denoisers compute y = x / 2 (or say so): what becomes of z, by hand.
CONVENTIONS: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "as usual": ("", lambda z: (z / 2).clip(0, 1)),
    "unclipped": ("clip=no", lambda z: z / 2),
    "-1 to 1": ("range=-1:1", lambda z: (((2 * z - 1) / 2 + 1) / 2).clip(0, 1)),
    "levels": ("range=0:255", lambda z: (255 * z / 2 / 255).clip(0, 1)),
    "gives noise": ("output=noise,clip=no", lambda z: z - z / 2),
    "noise from -1 to 1": (
        "range=-1:1,output=noise,clip=no",
        lambda z: ((2 * z - 1) - (2 * z - 1) / 2 + 1) / 2,
    ),
    "abar": (
        "diffusion=0.36,clip=no",
        lambda z: ((0.6 * (2 * z - 1) - 0.8 * (0.6 * (2 * z - 1) / 2)) / 0.6 + 1) / 2,
    ),
    "abar, gives the image": (
        "diffusion=0.36,output=image,clip=no",
        lambda z: (0.6 * (2 * z - 1) / 2 + 1) / 2,
    ),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conventions_are_those_of_plain_numpy(name: str) -> None:
    words, oracle = CONVENTIONS[name]
    file, z = echoed(scaled(COLOUR), words), images(COLOUR)
    expected = oracle(z.astype(float)).reshape(len(z), -1)
    for size in (1, 2, 17):
        assert np.abs(scores(file, z, size) - expected).max() < 2e-6
    levels = np.rint(255 * z).astype(np.int16)
    expected = oracle(levels / 255).reshape(len(z), -1)
    assert np.abs(scores(file, levels, levels=EIGHT_BIT) - expected).max() < 2e-6


def textbook(schedule: str, steps: int, sigma: float) -> tuple[int, float]:
    """The step whose noise is that of sigma in [0,1], and abar there, by a loop over the betas."""
    abar, best = 1.0, (np.inf, 0, 0.0)
    for t in range(steps):
        if schedule == "linear":
            beta = (1e-4 + (0.02 - 1e-4) * t / (steps - 1)) * 1000 / steps
        else:
            ends = [np.cos(((t + k) / steps + 0.008) / 1.008 * np.pi / 2) ** 2 for k in (0, 1)]
            beta = min(1 - ends[1] / ends[0], 0.999)
        abar *= 1 - beta
        gap = abs(np.log(np.sqrt((1 - abar) / abar) / (2 * sigma)))
        best = min(best, (gap, t, abar))
    return best[1], best[2]


@pytest.mark.parametrize("sigma", [0.02, 0.25, 0.5, 1.0])
@pytest.mark.parametrize(("schedule", "steps"), [("linear", 1000), ("cosine", 4000), ("linear", 100)])
def test_a_diffusion_is_told_the_step_of_the_noise(schedule: str, steps: int, sigma: float) -> None:
    t, abar = textbook(schedule, steps, sigma)
    how = Denoiser.of(f"diffusion={schedule},steps={steps},input.t=step", sigma)
    assert how.abar is not None
    assert (how.step, how.abar) == (t, pytest.approx(abar, rel=1e-9))


def diffused(z: Array, sigma: float, abar: float, t: float) -> Array:
    """x0 behind `told`, whose predicted noise is x (1 - t / 10), in plain numpy."""
    given = np.sqrt(abar) * (2 * z - 1)
    noise = given * (1 - t / 10)
    return (((given - np.sqrt(1 - abar) * noise) / np.sqrt(abar) + 1) / 2).reshape(len(z), -1)


def test_the_diffusion_form_is_that_of_plain_numpy() -> None:
    sigma, z = 0.05, images(COLOUR)
    t, abar = textbook("linear", 100, sigma)
    file = echoed(told(COLOUR, TensorProto.INT64), "diffusion=linear,steps=100,input.t=step,clip=no", sigma=sigma)
    expected = diffused(z.astype(float), sigma, abar, t)
    assert t > 1
    assert np.abs(scores(file, z) - expected).max() < 2e-5 * np.abs(expected).max()
    for wrong in (diffused(z, sigma, 0.98 * abar, t), diffused(z, sigma, abar, t + 1)):  # the check can fail
        assert np.abs(scores(file, z) - wrong).max() > 1e-3


def test_a_schedule_does_not_reach_every_noise() -> None:
    with pytest.raises(ValueError, match=r"denoiser_sigma: expected 0.005 to 78.7 for this schedule, got 0.001"):
        _ = Denoiser.of("diffusion=linear", 0.001).step
    with pytest.raises(ValueError, match="denoiser_sigma: expected the standard deviation of the noise"):
        _ = Denoiser.of("diffusion=linear").step


@pytest.mark.parametrize(
    ("kind", "axes"),
    [
        (TensorProto.FLOAT, ("N",)),
        (TensorProto.INT64, ("N",)),
        (TensorProto.FLOAT16, (1,)),
        (TensorProto.INT32, ()),
        (TensorProto.FLOAT, ("N", 1, 4, 5)),
        (TensorProto.FLOAT, ("N", 1, "H", "W")),
        (TensorProto.FLOAT, (1, 1, 1, 1)),
    ],
)
def test_a_number_fills_the_shape_of_an_input(kind: int, axes: tuple[int | str, ...]) -> None:
    shape = (3, "H", "W") if "H" in axes else COLOUR
    file, z = echoed(told(shape, kind, axes), "input.t=3,clip=no"), images(COLOUR)
    for size in (1, 2, 17):
        assert np.abs(scores(file, z, size) - 0.7 * z.reshape(len(z), -1)).max() < 1e-2 * (kind == 10) + 1e-5


def test_sigma_is_told_in_the_range_of_the_file() -> None:
    z = images(COLOUR)
    for words, number in (("", 0.5), ("range=-1:1,", 1.0), ("range=0:255,", 127.5)):
        how = Denoiser.of(f"{words}input.t=sigma", 0.5)
        assert how.value("t") == number
    file = echoed(told(COLOUR), "range=-1:1,input.t=sigma,clip=no", sigma=0.5)
    expected = (0.9 * (2 * z - 1) + 1) / 2
    assert np.abs(scores(file, z) - expected.reshape(len(z), -1)).max() < 1e-5


def test_learned_variances_are_left_out() -> None:
    file, z = echoed(doubled(COLOUR), "variance=learned,clip=no"), images(COLOUR)
    assert np.abs(scores(file, z) - z.reshape(len(z), -1) / 2).max() < 1e-6


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_colours_and_axes(channels: str, interleaved: bool) -> None:
    shape = (4, 5, 3) if interleaved else COLOUR
    file, z = echoed(mixed(shape), f"channels={channels},clip=no"), images(COLOUR)
    factors = np.array([1, 0.5, 0.25])[:: -1 if channels == "bgr" else 1, None, None]
    assert file.shape == COLOUR
    assert np.abs(scores(file, z) - (factors * z).reshape(len(z), -1)).max() < 1e-6


def test_words_are_the_recipe() -> None:
    for words in ("", "range=-1:1,output=noise,input.t=3", "diffusion=cosine,steps=4000,variance=learned,input.t=step",
                  "diffusion=0.4,clip=no,channels=bgr,input.a.b=sigma"):  # fmt: skip
        how = Denoiser.of(words, 0.5)
        assert Denoiser.of_recipe(how.recipe) == how
        assert Denoiser.of_recipe({"sha256": "0", "preprocess": {}, **how.recipe}) == how


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("range=1", "expected range=LOW:HIGH, such as -1:1, got 'range=1'"),
        ("range=1:-1", "expected range=LOW:HIGH, such as -1:1, got 1.0:-1.0"),
        ("range=0:x", "expected a number in 'range=0:x', got 'x'"),
        ("output=x0", "expected output=image or noise, got 'x0'"),
        ("channels=brg", "expected channels=rgb or bgr, got 'brg'"),
        ("diffusion=sqrt", "expected a number in 'diffusion=sqrt', got 'sqrt'"),
        ("diffusion=1.5", "a product of alphas between 0 and 1, got 1.5"),
        ("steps=1", "expected steps of 2 to 100000, got 1"),
        ("clip=maybe", "expected clip=yes or clip=no"),
        ("noise", "expected range=LOW:HIGH, output="),
        ("clip=no,clip=no", "each once"),
        ("input.t=step", "input.t=step needs diffusion=linear or cosine"),
        ("input.t=1,input.t=2", "expected input.t once, got 'input.t=2' as well"),
        ("input.t=1e300", "input.t=VALUE, a number, sigma or step, got 1e+300"),
        ("range=0:1e300", "expected range=LOW:HIGH, such as -1:1, got 0.0:1e+300"),
        ("diffusion=1e-300", "a product of alphas between 0 and 1, got 1e-300"),
        ("steps=\u00b9", "expected a whole number of steps"),
        ("steps=50", "steps needs diffusion=linear or cosine"),
        ("input.t=often", "expected a number in 'input.t=often', got 'often'"),
    ],
)
def test_words_that_mean_nothing(words: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"^denoiser: ") as raised:
        Denoiser.of(words, 0.5)
    assert says in str(raised.value)


# --- Two files that fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new"), [(6, 15), (6, 9), (12, 5)])
def test_sizes_may_differ(old: int, new: int) -> None:
    file, z = echoed(scaled((1, old, old), 1.0), "clip=no", (1, new, new)), images((1, old, old))
    assert file.shape == (1, old, old)
    found = scores(file, z).reshape(-1, new, new)
    if new > old:
        expected = np.stack([cv2.resize(image[0], (new, new), interpolation=cv2.INTER_LINEAR) for image in z])
    else:  # every weight by hand
        weights = np.zeros((new, old))
        for i in range(new):
            for j in range(old):
                weights[i, j] = max(0.0, 1 - abs((j + 0.5) * new / old - (i + 0.5)))
        weights /= weights.sum(axis=1, keepdims=True)
        expected = np.stack([weights @ image[0] @ weights.T for image in z])
    assert np.abs(found - expected).max() < 3e-5


CLASSIFIERS: dict[str, tuple[bytes, Preprocess | None, Callable[[Array], Array]]] = {
    "mean and std": (
        echo(COLOUR),
        Preprocess(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7)),
        lambda x: (x - np.array([0.1, 0.2, 0.3])[:, None, None]) / np.array([0.5, 0.6, 0.7])[:, None, None],
    ),
    "levels": (echo(COLOUR), Preprocess(scale=1.0), lambda x: 255 * x),
    "levels with a mean": (echo(COLOUR), Preprocess(scale=1.0, mean=(127.5,)), lambda x: 255 * x - 127.5),
    "colours last": (echo((4, 5, 3)), None, lambda x: np.moveaxis(x, 1, -1)),
    "colours last, mean": (
        echo((4, 5, 3)),
        Preprocess(mean=(0.1, 0.2, 0.3)),
        lambda x: np.moveaxis(x, 1, -1) - np.array([0.1, 0.2, 0.3]),
    ),
    "grey, copied": (echo((3, 4, 5)), Preprocess(spatial=Spatial(grey="bt601")), lambda x: np.repeat(x, 3, axis=1)),
    "an old opset": (echo(COLOUR, opset=9), None, lambda x: x),
    "a fixed batch": (echo(COLOUR, batch=1), None, lambda x: x),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_classifiers_own_preprocessing_is_behind(name: str) -> None:
    content, preprocess, oracle = CLASSIFIERS[name]
    shape = (1, 4, 5) if preprocess and preprocess.spatial.grey else COLOUR  # of what the denoiser gets
    file, z = open_denoised(content, scaled(shape), preprocess=preprocess), images(shape)
    expected = oracle((z.astype(float) / 2).clip(0, 1)).reshape(len(z), -1)
    for size in (1, 2, 17):
        assert np.abs(scores(file, z, size) - expected).max() < 1e-5 * max(1, np.abs(expected).max())


@pytest.mark.parametrize(("shape", "of"), [((36,), GREY), ((6, 6), GREY)])
def test_classifiers_of_grey_images_in_a_row(shape: tuple[int, ...], of: tuple[int, ...]) -> None:
    file, z = open_denoised(echo(shape), scaled(of)), images(of)
    assert np.abs(scores(file, z) - (z / 2).clip(0, 1).reshape(len(z), -1)).max() < 1e-6


@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_batch_of_the_denoiser_is_made_free(batch: int) -> None:
    shape = (3, 12, 12)
    file = open_denoised(convnet(), scaled(shape, batch=batch))
    assert (file.batch, bool(file.adapted)) == (None, True)
    z = images(shape)
    expected = scores(open_denoised(convnet(), scaled(shape)), z)
    assert np.abs(scores(file, z) - expected).max() < 1e-4
    OrtClassifier(file).require_one_function(np.concatenate([z, z])[:16], None)


def test_a_map_is_as_long_as_the_batch_made_free() -> None:
    file, z = echoed(told(COLOUR, axes=(1, 1, 4, 5), batch=1), "input.t=3,clip=no"), images(COLOUR)
    assert file.batch is None
    assert np.abs(scores(file, z) - 0.7 * z.reshape(len(z), -1)).max() < 1e-5


def test_a_denoiser_of_half_precision() -> None:
    half = convert(onnx.ModelProto.FromString(scaled(COLOUR)), "float16").SerializeToString()
    z = images(COLOUR)
    assert np.abs(scores(echoed(half), z) - (z / 2).clip(0, 1).reshape(len(z), -1)).max() < 2e-3


# --- What is refused --------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[bytes, bytes, str, str]] = {
    "other colours": (echo(COLOUR), scaled((1, 4, 5)), "", "expected a denoiser of images with 3 colours"),
    "grey, and colours": (echo(GREY), scaled((3, 6, 6)), "", "expected a denoiser of images with 1 colour,"),
    "channels of no image": (echo(COLOUR), scaled((7, 4, 5)), "", "expected images of 1 or 3 colours"),
    "two inputs": (echo(COLOUR), told(COLOUR), "", "give input.t=VALUE, a number, sigma or step"),
    "two images": (echo((4,)), two_inputs(), "", "expected one input without a value, the image, got 2: image, mask"),
    "a value for no input": (echo(COLOUR), scaled(COLOUR), "input.s=1", "of one of its inputs, x, got 's'"),
    "half a step": (echo(COLOUR), told(COLOUR, TensorProto.INT64), "input.t=0.5", "expected a whole number for 't'"),
    "a value for the image": (echo(COLOUR), scaled(COLOUR), "input.x=1", "expected an input of images"),
    "another output": (echo(COLOUR), grown(COLOUR), "", "expected an output (3, 4, 5), got (3, 4, 10)"),
    "twice the channels": (echo(COLOUR), doubled(COLOUR), "", "variance=learned takes the first half"),
    "no variance": (echo(COLOUR), scaled(COLOUR), "variance=learned", "expected an output (6, 4, 5), got (3, 4, 5)"),
    "noise of its own": (echo(COLOUR), noisy(COLOUR), "", "draws random numbers (RandomNormalLike)"),
    "a classifier": (echo(COLOUR), half_space(COLOUR, np.ones(60), 0.0), "", "expected an image for each"),
    "vectors": (echo((7,)), scaled((1, 4, 4)), "", "expected a classifier of images, got one of inputs (7)"),
    "no image": (echo(COLOUR), echo((9,)), "", "expected an input of images, (batch, colours, height, width), got x"),
    "no ONNX": (echo(COLOUR), b"nothing", "", "expected an ONNX file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_one_line(name: str, cli: Cli, tmp_path: Path) -> None:
    model, denoiser, words, says = REFUSED[name]
    Path("m.onnx").write_bytes(model)
    Path("d.onnx").write_bytes(denoiser)
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 4, 5, 3), np.uint8))
    given = ",".join(["d.onnx", *filter(None, [words])])
    for line in (("certify", "m.onnx", "x.npz", "--smooth", "noise=0.5", "--denoiser", given),
                 ("export", "denoised", "m.onnx", given, "both.onnx")):  # fmt: skip
        result = cli(*line)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1), result
        assert says in result.err
        assert "Traceback" not in result.err
    assert not Path("both.onnx").exists()
    assert not Path("runs").exists()


def test_data_of_another_size_than_the_denoisers(cli: Cli, tmp_path: Path) -> None:
    Path("d.onnx").write_bytes(scaled((1, 16, 16)))
    result = cli("certify", "demo:digits.onnx", "demo:digits.npz", "--smooth", "noise=0.5", "--denoiser", "d.onnx")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert "expected an input that fits the model's (1, 16, 16)" in result.err
    assert cli("certify", "demo:digits.onnx", "demo:digits.npz", "--smooth", "noise=0.5", "--denoiser", "d.onnx",
               "--resize", "16", "--limit", 2, "--n", 1000, "-q").code == 0  # fmt: skip


def test_options_for_a_denoiser_need_one(cli: Cli) -> None:
    line = ("certify", "demo:digits.onnx", "demo:digits.npz", "--smooth")
    result = cli(*line, "noise=0.5", "--denoiser-sigma", 0.5)
    assert (result.code, result.err) == (2, "smoothcert: --denoiser-sigma: expected with --denoiser alone\n")
    Path("d.onnx").write_bytes(told((1, 32, 32)))
    result = cli(*line, "brightness=0.2", "--denoiser", "d.onnx,input.t=sigma")
    assert result.code == 2
    assert "--denoiser-sigma: expected the standard deviation of the noise" in result.err


# --- One file of both -------------------------------------------------------------------------------------------------


def test_one_file_of_both(tmp_path: Path) -> None:
    how, z = Denoiser.of("range=-1:1,output=noise", 0.5), images((3, 12, 12))
    pair = paired(convnet(), scaled((3, 12, 12)), how, preprocess=Preprocess(mean=(0.5,), std=(0.2,)))
    done = export_denoised(pair, tmp_path / "both.onnx")
    assert done.parity.flips == 0
    assert done.parity.relative < 1e-5
    assert done.batch is None
    again = export_denoised(pair, tmp_path / "again.onnx")
    assert again.sha256 == done.sha256
    with pytest.raises(ModelError, match="has one ahead already"):
        open_denoised(tmp_path / "again.onnx", scaled(COLOUR))
    classifier = OrtClassifier(tmp_path / "both.onnx")
    assert classifier.preprocess == Preprocess(layout="nchw")
    assert classifier.card.input_range == (0.0, 1.0)
    record = dict(classifier.card.denoiser or {})
    assert record["model"] == pair.classifier.sha256
    assert record["sha256"] == pair.network.source.sha256
    assert Denoiser.of_recipe(record) == how
    assert record["preprocess"]["mean"] == [0.5]
    in_memory = open_denoised(convnet(), scaled((3, 12, 12)), how, preprocess=Preprocess(mean=(0.5,), std=(0.2,)))
    file = classifier._file
    assert np.abs(scores(file, z) - scores(in_memory, z)).max() < 1e-5


def test_a_wrong_graph_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything but the two one after the other fails, in memory and as a file."""
    monkeypatch.setattr(Denoiser, "back", property(lambda _: (0.0, 1.01, 0.0)))
    with pytest.raises(ModelError, match="scores otherwise than the two files one after the other"):
        open_denoised(echo(COLOUR), scaled(COLOUR))
    with pytest.raises(ModelError, match="parity: expected differences up to"):
        export_denoised(paired(echo(COLOUR), scaled(COLOUR), Denoiser()), tmp_path / "both.onnx")
    assert not (tmp_path / "both.onnx").exists()
