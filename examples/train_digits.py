"""Train the small digit classifier that smoothcert carries with it, and write its test set.

    python examples/train_digits.py [--out FOLDER] [--epochs N]

Writes `digits.onnx` (image float32 [N,1,32,32] in [0,1] -> logits [N,10], normalisation inside) and
`digits.npz` (x uint8 [360,32,32], y int64 [360]), then prints what it measured on the written files.
Everything runs on one thread from fixed seeds, so on one machine with the same package versions the
files are the same bytes every time. The schedule is fixed and the last weights are kept: the test
images play no part in training and choose nothing.

Data: scikit-learn's `load_digits`, the test part of the UCI "Optical Recognition of Handwritten
Digits" data set (E. Alpaydin, C. Kaynak, 1998).
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
import torch.nn.functional as F
from scipy.special import betaincinv, ndtr
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

DATA_FOLDER = Path(__file__).resolve().parents[1] / "runtime" / "smoothcert" / "data"
SEED = 20
TEST_IMAGES = 360
SIDE = 32
BATCH = 128
MAX_SIGMA = 0.7  # training noise, on the [0,1] scale
SIGMA, ALPHA, SAMPLES = 0.5, 0.001, 2000  # the smoothing that is measured at the end

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def load_images() -> tuple[Images, Labels, Images, Labels]:
    """The 1797 digits at 32x32 and 8 bits, split by class: x_train, y_train, x_test, y_test."""
    digits = load_digits()
    small = digits.images.astype(np.float32) * (255 / 16)
    large = np.stack([cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for image in small])
    x = np.rint(large.clip(0, 255)).astype(np.uint8)
    y = digits.target.astype(np.int64)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=TEST_IMAGES, stratify=y, random_state=SEED)
    return x_train, y_train, x_test, y_test


class DigitNet(nn.Module):
    """Three strided convolutions and two linear layers: 0.7 million multiply-adds an image."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 48, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.2),  # while training only: the exported graph has none
            nn.Linear(48 * 4 * 4, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.layers((image - self.mean) / self.std)
        return logits


def uniform(count: int, low: float, high: float) -> Tensor:
    """One number per image, shaped to broadcast over [N,1,32,32]."""
    return torch.empty(count, 1, 1, 1).uniform_(low, high)


def warp(x: Tensor) -> Tensor:
    """Rotation within 15 degrees, translation within 3 pixels, a little stretch and shear; black outside."""
    count = len(x)
    angle = uniform(count, -15, 15).flatten() * (math.pi / 180)
    shift = torch.empty(count, 2).uniform_(-3, 3) * (2 / SIDE)
    stretch_x, stretch_y, shear = uniform(3 * count, -0.15, 0.15).view(3, count)
    cos, sin = angle.cos(), angle.sin()
    row_x = [cos * stretch_x.exp(), (shear - sin) * stretch_y.exp(), shift[:, 0]]
    row_y = [sin * stretch_x.exp(), cos * stretch_y.exp(), shift[:, 1]]
    matrix = torch.stack(row_x + row_y, dim=1).view(count, 2, 3)
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def blur(x: Tensor) -> Tensor:
    """Gaussian blur, half of the images by up to 1.5 pixels: one 32x32 matrix from each side."""
    width = uniform(len(x), -1.5, 1.5).clamp(min=0.05)
    index = torch.arange(SIDE, dtype=torch.float32)
    kernel = torch.exp(-0.5 * ((index[:, None] - index) / width).square())
    kernel = kernel / kernel.sum(dim=3, keepdim=True)
    return kernel @ x @ kernel.transpose(2, 3)


def augment(x: Tensor, most: float = MAX_SIGMA) -> Tensor:
    """Geometry, blur, gamma, contrast and brightness, then Gaussian noise of sigma up to `most`, not clipped."""
    count = len(x)
    x = blur(warp(x))
    x = x.clamp(1e-4, 1) ** torch.exp(uniform(count, -0.5, 0.5))
    x = x * uniform(count, 0.7, 1.4) + uniform(count, -0.25, 0.25)
    sigma = most * uniform(count, 0, 1).sqrt()  # more large noise than small: it is harder to learn
    return x + sigma * torch.randn_like(x)


def train(x_train: Images, y_train: Labels, epochs: int, most: float = MAX_SIGMA) -> DigitNet:
    """Adam with a one-cycle learning rate, noise of sigma up to `most`; returns the last weights."""
    torch.manual_seed(SEED)
    x = torch.from_numpy(x_train).unsqueeze(1).float() / 255
    y = torch.from_numpy(y_train)
    net = DigitNet(mean=round(x.mean().item(), 4), std=round(x.std().item(), 4))
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.02)
    batches = len(x) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=epochs * batches)
    for epoch in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(x))[: batches * BATCH].view(batches, BATCH):
            loss = F.cross_entropy(net(augment(x[batch], most)), y[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item() / batches
        if (epoch + 1) % 50 == 0:
            print(f"epoch {epoch + 1:4d}/{epochs}  loss {total:.4f}", flush=True)
    return net.eval()


def export(net: nn.Module, path: Path, output: str = "logits") -> None:
    """Write the network as ONNX (opset 18), without the exporter's notes on where it ran."""
    program = torch.onnx.export(
        net,
        (torch.zeros(2, 1, SIDE, SIDE),),
        input_names=["image"],
        output_names=[output],
        dynamic_shapes=({0: torch.export.Dim("N")},),
        opset_version=18,
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # it is None only for the old exporter
    traced = program.model_proto
    traced.graph.name = path.stem
    del traced.graph.value_info[:]
    tensors = [*traced.graph.input, *traced.graph.output, *traced.graph.initializer]
    for item in [traced.graph, *traced.graph.node, *tensors]:
        item.ClearField("doc_string")
        item.ClearField("metadata_props")
    opset = onnx.helper.make_opsetid("", 18)
    model = onnx.helper.make_model(traced.graph, producer_name="smoothcert", opset_imports=[opset], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def measure(model: Path, data: Path) -> None:
    """Print accuracy, certified accuracy and speed of the written files, as ONNX Runtime sees them."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.read_bytes(), options, providers=["CPUExecutionProvider"])
    with np.load(data) as file:
        x, y = file["x"], file["y"]

    def predict(levels: npt.NDArray[np.integer]) -> Labels:
        image = levels[:, None].astype(np.float32) / 255
        parts = np.split(image, range(64, len(image), 64))
        return np.concatenate([session.run(None, {"image": part})[0].argmax(axis=1) for part in parts])

    def rotated(degrees: float) -> Images:
        matrix = cv2.getRotationMatrix2D(((SIDE - 1) / 2, (SIDE - 1) / 2), degrees, 1)
        return np.stack([cv2.warpAffine(image, matrix, (SIDE, SIDE)) for image in x])

    print(f"clean accuracy        {(predict(x) == y).mean():.4f}  ({len(x)} images)")
    for degrees in (-10, 10):
        print(f"rotation {degrees:+d} degrees  {(predict(rotated(degrees)) == y).mean():.4f}")
    for shift in (-0.2, 0.2):
        levels = (x.astype(np.int16) + round(255 * shift)).clip(0, 255)
        print(f"brightness {shift:+.1f}       {(predict(levels) == y).mean():.4f}")

    rng = np.random.default_rng(SEED)
    print_certified(predict, x, y, (0.5, 0.75, 1.0, 1.25, 1.5), rng)

    feed = {"image": rng.standard_normal((64, 1, SIDE, SIDE), dtype=np.float32)}
    start = time.perf_counter()
    for _ in range(200):
        session.run(None, feed)
    speed = 200 * 64 / (time.perf_counter() - start)
    print(f"speed                 {speed:.0f} images/s, batch 64, one thread")
    print(f"size                  {model.stat().st_size} + {data.stat().st_size} bytes")


def print_certified(
    predict: Callable[[npt.NDArray[np.integer]], Labels],
    x: Images,
    y: Labels,
    radii: Sequence[float],
    rng: np.random.Generator,
) -> None:
    """Print the share of images that fixed numbers of noisy copies certify at each radius."""
    counts = np.zeros(len(x), dtype=np.int64)
    for index, (image, label) in enumerate(zip(x, y, strict=True)):
        noise = np.rint(255 * SIGMA * rng.standard_normal((SAMPLES, SIDE, SIDE), dtype=np.float32))
        counts[index] = (predict(image + noise.astype(np.int16)) == label).sum()
    p_lower = np.where(counts > 0, betaincinv(np.maximum(counts, 1), SAMPLES - counts + 1, ALPHA), 0)
    for radius in radii:
        certified = (p_lower > ndtr(radius / SIGMA)).mean()
        print(f"certified at l2 {radius:<4}  {certified:.4f}  (sigma {SIGMA}, n {SAMPLES}, alpha {ALPHA})")


def main() -> None:
    """Parse the command line, train, write, measure."""
    parser = argparse.ArgumentParser(description="Train the digit classifier, write its test set.")
    parser.add_argument("--out", type=Path, default=DATA_FOLDER, help="folder for the two files")
    parser.add_argument("--epochs", type=int, default=400)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    cv2.setNumThreads(1)

    x_train, y_train, x_test, y_test = load_images()
    arguments.out.mkdir(parents=True, exist_ok=True)
    model, data = arguments.out / "digits.onnx", arguments.out / "digits.npz"
    np.savez_compressed(data, x=x_test, y=y_test)
    export(train(x_train, y_train, arguments.epochs), model)
    measure(model, data)


if __name__ == "__main__":
    main()
