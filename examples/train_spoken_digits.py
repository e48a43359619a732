"""Train the spoken-digit classifier that comes with the package, and write its 100 test clips.

    pip install -e '.[examples]' && python examples/speak_digits.py spoken.npz
    python examples/train_spoken_digits.py spoken.npz [--out FOLDER] [--epochs 30]

Writes spoken.onnx (`waveform` float32 [N,8000] in [-1,1] -> `logits` float32 [N,10]; log-mel spectrogram inside) and
spoken.npz (`x` int16 [100,8000], `y` int64 [100], `rate`), then prints what it measured on the written files. It trains
with the very perturbations that are certified: cyclic time shift, volume, frequency shift, noise on the waveform. One
thread, fixed seeds, fixed schedule; clips of voices that are held out choose nothing. Data of `--hums` train likewise.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smoothcert.model.card import ModelCard
from smoothcert.model.preprocess import Preprocess
from smoothcert_exporters.audio import FrontEnd, with_front_end
from smoothcert_exporters.metadata import describe, strip

DATA_FOLDER = Path(__file__).resolve().parents[1] / "runtime" / "smoothcert" / "data"
SEED = 7
SAMPLES, TEST_CLIPS = 8000, 100
BATCH = 64
FRONT_END = FrontEnd(rate=8000, n_fft=256, hop=128, mels=40, amin=1e-6)
LOUDER, HIGHER, NOISE = 1.4, 130.0, 0.03  # training: log factors, bins and sigmas go as far

Clips = npt.NDArray[np.int16]
Labels = npt.NDArray[np.int64]


def features(wave: Tensor) -> Tensor:
    """The front end in PyTorch: (N, 8000) to (N, 40, 63)."""
    cosines, sines = map(torch.from_numpy, FRONT_END.fourier)
    half = FRONT_END.n_fft // 2
    parts = (F.conv1d(wave[:, None], basis, stride=FRONT_END.hop, padding=half) for basis in (cosines, sines))
    power = sum(part.square() for part in parts)
    return 10 * torch.log10((torch.from_numpy(FRONT_END.bands) @ power).clamp(min=FRONT_END.amin))


class SpokenNet(nn.Module):
    """Three convolutions over time, the mean and the maximum over all of it, and a linear layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(FRONT_END.mels, 64, 5, padding=2),
            nn.ReLU(),
            nn.Conv1d(64, 80, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv1d(80, 96, 5, stride=2, padding=2),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(0.2)
        self.last = nn.Linear(192, classes)

    def forward(self, bands: Tensor) -> Tensor:
        found = self.layers((bands + 30) / 15)
        logits: Tensor = self.last(self.dropout(torch.cat([found.mean(2), found.amax(2)], 1)))
        return logits


def uniform(count: int, low: float, high: float) -> Tensor:
    """One number for each clip."""
    return torch.empty(count, 1).uniform_(low, high)


def augment(wave: Tensor) -> Tensor:
    """Shifted in time and in frequency, louder or softer, cut off at full scale, then noise."""
    count, samples = wave.shape
    bins = torch.fft.rfft(wave)
    turn = torch.arange(bins.shape[1]) * uniform(count, 0, 1) * (2 * torch.pi)  # a cyclic shift by a share of the clip
    bins = bins * torch.polar(torch.ones_like(turn), -turn) * 2
    by = uniform(count, -HIGHER, HIGHER) * (torch.rand(count, 1) < 0.7)
    at = torch.arange(bins.shape[1]) + by
    whole = F.pad(bins * ((at >= 0) & (at <= samples / 2)), (0, samples - bins.shape[1]))
    angle = by * (2 * torch.pi / samples) * torch.arange(samples)
    wave = (torch.fft.ifft(whole) * torch.polar(torch.ones_like(angle), angle)).real
    wave = (wave * uniform(count, -LOUDER, LOUDER).exp()).clamp(-1, 1)
    return wave + NOISE * uniform(count, 0, 1).square() * torch.randn_like(wave)


def train(x: Clips, y: Labels, epochs: int) -> SpokenNet:
    """AdamW with a one-cycle learning rate; the last weights."""
    torch.manual_seed(SEED)
    waves, labels = torch.from_numpy(x), torch.from_numpy(y)
    net = SpokenNet(int(y.max()) + 1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.02)
    batches = len(x) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=epochs * batches)
    for epoch in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(x))[: batches * BATCH].view(batches, BATCH):
            with torch.no_grad():
                bands = features(augment(waves[batch].float() / 32768))
            loss = F.cross_entropy(net(bands), labels[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item() / batches
        print(f"epoch {epoch + 1:3d}/{epochs}  loss {total:.4f}", flush=True)
    return net.eval()


def export(net: SpokenNet, path: Path, names: tuple[str, ...]) -> None:
    """The network as ONNX, opset 18, with the front end ahead of it."""
    example = torch.zeros(2, FRONT_END.features, FRONT_END.frames(SAMPLES))
    program = torch.onnx.export(
        net,
        (example,),
        input_names=["waveform"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("N")},),
        opset_version=18,
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # it is None only for the old exporter
    traced = strip(program.model_proto).graph
    del traced.value_info[:]
    traced.name = "spoken"
    opset = onnx.helper.make_opsetid("", 18)
    bare = onnx.helper.make_model(traced, producer_name="smoothcert", opset_imports=[opset], ir_version=8)
    model = with_front_end(bare, FRONT_END, SAMPLES)
    card = ModelCard(input_range=(-1.0, 1.0), class_names=names, training_noise=NOISE, sample_rate=FRONT_END.rate)
    describe(model, Preprocess(), card)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def chosen(y: Labels, held_out: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """The test clips: as many of each class, of voices that no training clip has, drawn from a fixed seed."""
    rng, classes = np.random.default_rng(SEED), int(y.max()) + 1
    each = TEST_CLIPS // classes
    found = [rng.permutation(np.flatnonzero(held_out & (y == c)))[:each] for c in range(classes)]
    return rng.permutation(np.concatenate(found))


def measure(model: Path, x: Clips, y: Labels, what: str) -> None:
    """Accuracy and speed, as ONNX Runtime sees them."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.read_bytes(), options, providers=["CPUExecutionProvider"])
    waves = x.astype(np.float32) / 32768
    start = time.perf_counter()
    found = np.concatenate([session.run(None, {"waveform": part})[0] for part in np.array_split(waves, len(x) // 20)])
    speed = len(x) / (time.perf_counter() - start)
    print(f"{what}: accuracy {(found.argmax(1) == y).mean():.4f} of {len(x)} clips, {speed:.0f} clips/s, one thread")


def main() -> None:
    """Parse the command line, train, write, measure."""
    parser = argparse.ArgumentParser(description="Train the spoken-digit classifier.")
    parser.add_argument("clips", type=Path, help="file of speak_digits.py")
    parser.add_argument("--out", type=Path, default=DATA_FOLDER, help="folder for the two files")
    parser.add_argument("--name", default="spoken", help="of the two files")
    parser.add_argument("--epochs", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    with np.load(arguments.clips) as file:
        x, y, held_out, rate = file["x"], file["y"], file["held_out"], file["rate"]
    arguments.out.mkdir(parents=True, exist_ok=True)
    model, data = arguments.out / f"{arguments.name}.onnx", arguments.out / f"{arguments.name}.npz"
    test = chosen(y, held_out)
    np.savez_compressed(data, x=x[test], y=y[test], rate=rate)
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"] if y.max() == 9 else ()
    export(train(x[~held_out], y[~held_out], arguments.epochs), model, tuple(words))
    measure(model, x[held_out], y[held_out], "held-out voices")
    measure(model, x[test], y[test], "the test clips")
    print(f"size {model.stat().st_size} + {data.stat().st_size} bytes")


if __name__ == "__main__":
    main()
