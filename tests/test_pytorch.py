"""PyTorch models, trained here, exported, certified by the runtime; oracle: the module itself."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from smoothcert import Noise, OrtClassifier, Preprocess, certify
from smoothcert.errors import ModelError
from smoothcert.model.classifier import CallableClassifier
from smoothcert_exporters import Options, export
from smoothcert_exporters.frameworks import pytorch
from smoothcert_exporters.frameworks.loading import load

from .conftest import IMAGES, Result

torch = pytest.importorskip("torch", reason="PyTorch is not installed: `pip install smoothcert[pytorch]`")
pytest.importorskip("onnxscript", reason="onnxscript is not installed: `pip install smoothcert[pytorch]`")
nn: Any = torch.nn

PAGE = (Path(__file__).parents[1] / "docs" / "export-pytorch.md").read_text()
MEAN, STD = (0.3,), (0.35,)
SIGMA = 0.25


def digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (n, 32, 32) and their labels."""
    with np.load(IMAGES) as archive:
        return archive["x"], archive["y"].astype(np.int64)


def small_network(inputs: int = 1, classes: int = 10) -> Any:
    """Convolution, batch normalisation, pooling, dropout, linear layer."""
    return nn.Sequential(
        nn.Conv2d(inputs, 8, 5, stride=2, padding=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(8 * 8 * 8, classes),
    )


@pytest.fixture(scope="module")
def trained() -> Any:
    """A digit classifier, trained for two seconds with noise, in evaluation mode; it wants standardised images."""
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    images, labels = digits()
    x = torch.from_numpy(images[:, None]) / 255
    y = torch.from_numpy(labels)
    module = small_network()
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    for _ in range(12):
        for rows in torch.randperm(len(x)).split(64):
            noisy = (x[rows] + SIGMA * torch.randn_like(x[rows]) - MEAN[0]) / STD[0]
            loss = nn.functional.cross_entropy(module(noisy), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    yield module.eval()
    torch.set_num_threads(threads)


def scores(module: Any, batch: NDArray[np.float32]) -> NDArray[Any]:
    with torch.inference_mode():
        return np.asarray(module(torch.from_numpy(batch)).numpy())


def test_a_trained_model_certifies_as_the_module_does(trained: Any, tmp_path: Path) -> None:
    """The same votes from ONNX Runtime as from PyTorch, and certificates that follow from them."""
    done = export(
        trained,
        tmp_path / "m.onnx",
        example=np.zeros((1, 32, 32), np.float32),
        options=Options(
            preprocess=Preprocess(mean=MEAN, std=STD),
            class_names=[str(i) for i in range(10)],
            training_noise=SIGMA,
            examples=digits()[0][:50, None],
        ),
    )
    assert (done.batch, done.precision, done.parity.inputs, done.parity.flips) == (None, "float32", 178, 0)
    assert done.parity.relative < 1e-5
    assert done.source == f"torch {torch.__version__}"
    ours = OrtClassifier(tmp_path / "m.onnx")
    assert (ours.card.class_names[3], ours.card.training_noise, ours.classes) == ("3", SIGMA, 10)
    theirs = CallableClassifier(lambda batch: scores(trained, ((batch[:, None] - MEAN[0]) / STD[0]).astype(np.float32)))
    images, labels = digits()
    right = 0
    for i in range(20):
        a = certify(ours, Noise(SIGMA), images[i], n0=100, n=1000, key=7, index=i)
        b = certify(theirs, Noise(SIGMA), images[i], n0=100, n=1000, key=7, index=i)
        differing = sum(abs(a.evidence.estimation.get(c, 0) - b.evidence.estimation.get(c, 0)) for c in range(10))
        assert differing <= 4, i
        assert a.prediction == b.prediction
        assert a.radius == pytest.approx(b.radius, abs=0.01)
        right += a.prediction == labels[i] and a.radius > 0
    assert right >= 14


def test_batch_norm_is_folded_and_the_batch_is_free(trained: Any, tmp_path: Path) -> None:
    export(trained, tmp_path / "m.onnx", example=np.zeros((1, 1, 32, 32), np.float32))
    model = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    for size in (1, 2, 33):
        classifier = OrtClassifier(tmp_path / "m.onnx", batch_size=size, threads=1)
        batch = np.random.default_rng(size).random((size, 1, 32, 32), np.float32)
        assert classifier.labels(batch, size, None).tolist() == scores(trained, batch).argmax(axis=1).tolist()


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    """Hash seeds, addresses and the folder they run in differ; no path of the exporting machine is in the file."""
    code = (
        "import sys, numpy as np, torch; from smoothcert_exporters import Options, export; torch.manual_seed(1); "
        "module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), "
        "torch.nn.Flatten(), torch.nn.Linear(144, 5)).eval(); "
        "export(module, sys.argv[1], example=np.zeros((3, 8, 8), np.float32), options=Options(training_noise=0.5))"
    )
    running = []
    for name, seed in (("a", "1"), ("b", "2")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "script.py").write_text(code)
        environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed, "HOME": str(folder)}
        command = [sys.executable, str(folder / "script.py"), str(folder / "m.onnx")]
        running.append(subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment, cwd=folder))
    assert [process.wait() for process in running] == [0, 0]
    contents = [(tmp_path / name / "m.onnx").read_bytes() for name in ("a", "b")]
    assert contents[0] == contents[1]
    assert str(tmp_path).encode() not in contents[0]
    assert b"script.py" not in contents[0]


@pytest.mark.parametrize("batch", [False, True], ids=["one input", "a batch"])
@pytest.mark.parametrize("tensor", [False, True], ids=["numpy", "tensor"])
def test_examples_of_every_kind(batch: bool, tensor: bool, tmp_path: Path) -> None:
    """Convolutions answer single images too, and linear layers anything: the network's own rank decides."""
    for module, shape in ((small_network(3), (3, 32, 32)), (nn.Linear(6, 4), (6,))):
        example: Any = np.zeros((4, *shape) if batch else shape, np.float32)
        done = export(module.eval(), tmp_path / "m.onnx", example=torch.from_numpy(example) if tensor else example)
        assert OrtClassifier(done.path).shape == shape
        assert done.batch is None


def test_exported_programs_and_double_precision(tmp_path: Path) -> None:
    torch.manual_seed(3)
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval()
    free = ({0: torch.export.Dim("n")},)
    program = torch.export.export(module, (torch.zeros(2, 3, 4),), dynamic_shapes=free)
    done = export(program, tmp_path / "p.onnx", example=np.zeros((2, 3, 4), np.float32))
    assert done.batch is None
    batch = np.random.default_rng(0).random((9, 3, 4), np.float32)
    expected = scores(module, batch).argmax(axis=1).tolist()
    assert OrtClassifier(done.path, batch_size=9).labels(batch, 9, None).tolist() == expected
    double = export(module.double(), tmp_path / "d.onnx", example=np.zeros((2, 3, 4)))
    assert (double.precision, double.batch) == ("double", None)


def test_a_program_of_one_batch_size(tmp_path: Path) -> None:
    """Its own answers are asked for four at a time. Oracle: the module."""
    torch.manual_seed(3)
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval()
    program = torch.export.export(module, (torch.zeros(4, 3, 4),))
    done = export(program, tmp_path / "p.onnx", example=np.zeros((4, 3, 4), np.float32))
    assert done.batch in (None, 4)
    batch = np.random.default_rng(0).random((4, 3, 4), np.float32)
    expected = scores(module, batch).argmax(axis=1).tolist()
    assert OrtClassifier(done.path, batch_size=4).labels(batch, 4, None).tolist() == expected


def test_a_batch_size_in_the_code_is_adapted_or_named(tmp_path: Path) -> None:
    class Fixed(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(12, 3)

        def forward(self, x: Any) -> Any:
            return self.linear(x.reshape(1, 12))

    module = Fixed().eval()
    done = export(module, tmp_path / "m.onnx", example=np.zeros((3, 4), np.float32))
    assert done.batch is None or done.warning
    batch = np.random.default_rng(0).random((1, 3, 4), np.float32)
    label = OrtClassifier(done.path, batch_size=1).labels(batch, 1, None).tolist()
    assert label == scores(module, batch).argmax(axis=1).tolist()


def test_float16_of_a_trained_model(trained: Any, tmp_path: Path) -> None:
    done = export(
        trained, tmp_path / "m.onnx", example=np.zeros((1, 32, 32), np.float32), options=Options(precision="float16")
    )
    assert done.agreement is not None
    assert 1e-6 < done.agreement.relative < 5e-3
    assert OrtClassifier(done.path).precision == "float16+float32"


# --- Refusals ---------------------------------------------------------------------------------------------------------


class Noisy(nn.Module):  # type: ignore[misc,name-defined]
    def forward(self, x: Any) -> Any:
        return x + torch.randn_like(x)


class AlwaysDropout(nn.Module):  # type: ignore[misc,name-defined]
    def forward(self, x: Any) -> Any:
        return nn.functional.dropout(x, 0.5, training=True)


class TwoInputs(nn.Module):  # type: ignore[misc,name-defined]
    def forward(self, image: Any, mask: Any) -> Any:
        return image + mask


class Pair(nn.Module):  # type: ignore[misc,name-defined]
    def forward(self, x: Any) -> Any:
        return x, x


class BatchMean(nn.Module):  # type: ignore[misc,name-defined]
    def forward(self, x: Any) -> Any:
        return x - x.mean(0, keepdim=True)


class Unsupported(nn.Module):  # type: ignore[misc,name-defined]
    def forward(self, x: Any) -> Any:
        return x + torch.special.bessel_j0(x)


class ByValue(nn.Module):  # type: ignore[misc,name-defined]
    def forward(self, x: Any) -> Any:
        return x if x.sum() > 0 else -x


def partly_training() -> Any:
    module = small_network().eval()
    module[1].train()
    return module


REFUSED: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "training mode": (small_network, ("evaluation mode", "the module itself", "call model.eval()")),
    "one layer in training mode": (partly_training, ("evaluation mode", "(1)")),
    "noise": (lambda: Noisy().eval(), ("draws random numbers", "aten.randn_like", "one function")),
    "dropout that stays on": (lambda: AlwaysDropout().eval(), ("draws random numbers", "aten.dropout")),
    "two inputs": (lambda: TwoInputs().eval(), ("one input, got 2 (image, mask)",)),
    "two outputs": (lambda: Pair().eval(), ("one tensor of scores, got a tuple",)),
    "batch statistics": (lambda: BatchMean().eval(), ("batches of 2 against single inputs",)),
    "an operator that ONNX lacks": (lambda: Unsupported().eval(), ("bessel_j0", "no equivalent")),
    "control flow by values": (lambda: ByValue().eval(), ("PyTorch cannot export the module",)),
    "one score": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(1024, 1)).eval(), ("classifier",)),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_certified_is_refused(make: Callable[[], Any], words: tuple[str, ...], tmp_path: Path) -> None:
    example = np.zeros((2, 1, 32, 32) if "Sequential" in type(make()).__name__ else (2, 5), np.float32)
    with pytest.raises(ModelError) as error:
        export(make(), tmp_path / "m.onnx", example=example)
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 400, text
    for word in words:
        assert word in text
    assert not any(tmp_path.iterdir())


def test_torchscript_is_refused(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        script = torch.jit.trace(nn.Linear(4, 3).eval(), torch.zeros(1, 4))
    with pytest.raises(ModelError, match=r"expected a torch\.nn\.Module, got TorchScript"):
        export(script, tmp_path / "m.onnx", example=np.zeros(4))


def test_an_example_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected an example that the module answers .* got \(3, 9\)") as error:
        export(nn.Linear(6, 4).eval(), tmp_path / "m.onnx", example=np.zeros((3, 9), np.float32))
    assert "\n" not in str(error.value)


def test_attention_without_dropout_is_no_chance(tmp_path: Path) -> None:
    """Its operator can draw, and does not: dropout_p is 0."""

    class Attention(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 3)

        def forward(self, x: Any) -> Any:
            tokens = x.reshape(-1, 1, 4, 8)
            return self.linear(nn.functional.scaled_dot_product_attention(tokens, tokens, tokens).mean((1, 2)))

    assert export(Attention().eval(), tmp_path / "m.onnx", example=np.zeros((2, 32), np.float32)).parity.flips == 0


def test_a_faulty_exporter_leaves_no_file(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One weight in a thousand is written wrong."""
    to_onnx = pytorch.to_onnx

    def faulty(model: Any, example: Any) -> Any:
        proto, function = to_onnx(model, example)
        tensor = max(proto.graph.initializer, key=lambda t: len(t.raw_data))
        values = onnx.numpy_helper.to_array(tensor).copy()
        values.reshape(-1)[::1000] *= -3
        tensor.raw_data = values.tobytes()
        return proto, function

    monkeypatch.setattr(pytorch, "to_onnx", faulty)
    with pytest.raises(ModelError, match="parity: expected differences"):
        export(trained, tmp_path / "m.onnx", example=np.zeros((1, 32, 32), np.float32))
    assert not any(tmp_path.iterdir())


# --- From the command line --------------------------------------------------------------------------------------------

FACTORY = """
import torch
def make():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear({size}, 10))
def wrong():
    return 3
"""


def test_a_factory_with_weights(cli: Callable[..., Result]) -> None:
    """Oracle: the module that the weights came from. Names, noise, real inputs and preprocessing as options."""
    torch.manual_seed(5)
    module = nn.Sequential(nn.Flatten(), nn.Linear(1024, 10)).eval()
    Path("digit_factory.py").write_text(FACTORY.format(size=1024))
    torch.save({"state_dict": {f"module.{k}": v for k, v in module.state_dict().items()}}, "weights.pt")
    Path("names.txt").write_text("\n".join("abcdefghij"))
    line = (
        "export",
        "pytorch",
        "digit_factory:make",
        "m.onnx",
        "--example-shape",
        "1,32,32",
        "--weights",
        "weights.pt",
    )
    more = (
        "--mean",
        "0.5",
        "--std",
        "0.25",
        "--class-names",
        "names.txt",
        "--training-noise",
        0.5,
        "--input-range",
        "0,1",
    )
    done = cli(*line, *more, "--examples", IMAGES)
    assert (done.code, done.err) == (0, "")
    assert int(re.search(r"0 of (\d+) classes flipped", done.out)[1]) > 128  # type: ignore[index]
    classifier = OrtClassifier("m.onnx", batch_size=50)
    assert classifier.card.class_names == tuple("abcdefghij")
    batch = np.random.default_rng(0).random((50, 1, 32, 32), np.float32)
    expected = scores(module, (batch - 0.5) / 0.25).argmax(axis=1)
    assert classifier.labels(batch, 50, None).tolist() == expected.tolist()


def test_the_command(cli: Callable[..., Result]) -> None:
    """One line each of what it did, or of what is wrong, and then no file."""
    Path("command_factory.py").write_text(FACTORY.format(size=1024))
    line = ("export", "pytorch", "command_factory:make", "m.onnx", "--example-shape", "1,32,32")
    result = cli(*line, "--mean", "0.5", "--std", "0.25", "--training-noise", "0.5")
    assert (result.code, result.err) == (0, "")
    assert re.search(
        r"^torch \S+ against ONNX Runtime: largest difference .*, 0 of \d+ classes flipped", result.out, re.M
    )
    assert OrtClassifier("m.onnx").card.training_noise == 0.5
    result = cli("export", "pytorch", "command_factory:make", "n.onnx", "--example-shape", "1,9,9")
    assert result.code == 2
    assert re.fullmatch(r"smoothcert: expected an example .*\n", result.err)
    assert not Path("n.onnx").exists()


BAD_NAMES: dict[str, tuple[str, Path | None, str]] = {
    "a file": ("model.pt", None, "expected MODULE:FACTORY"),
    "no module": ("no_such_module:make", None, "no_such_module"),
    "no factory": ("other_factory:build", None, "AttributeError"),
    "no module made": ("other_factory:wrong", None, "expected a torch.nn.Module, got int"),
    "weights of another": ("other_factory:make", Path("weights.pt"), "expected weights that fit"),
    "weights that are code": ("other_factory:make", Path("code.pt"), "expected weights that fit"),
    "no weights": ("other_factory:make", Path("none.pt"), "none.pt"),
}


@pytest.mark.parametrize(("name", "weights", "words"), BAD_NAMES.values(), ids=BAD_NAMES)
def test_what_cannot_be_loaded(
    name: str, weights: Path | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other_factory.py").write_text(FACTORY.format(size=16))
    torch.save(nn.Linear(3, 4).state_dict(), "weights.pt")
    torch.save(nn.Linear(3, 4), "code.pt")
    with pytest.raises(ModelError) as error:
        load("pytorch", name, weights)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


# --- The page ---------------------------------------------------------------------------------------------------------


def test_the_page_runs(cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python block of the page, in order, in one folder."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 2
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "export-pytorch.md", "exec"), names)
    assert names["done"].parity.flips == 0
    assert names["certificate"].prediction >= -1
