"""Train the digit classifier without noise and the denoiser that smoothcert carries with it.

    python examples/train_denoiser.py [--out FOLDER] [--epochs N]

Writes `digits-clean.onnx`, the network of `train_digits.py` trained in the same way but for the noise, of which it sees
none, and `digits-denoiser.onnx` (image float32 [N,1,32,32] in [0,1] with noise on it -> the clean image). Then prints
what ONNX Runtime makes of the files. Everything runs on one thread from fixed seeds, so on one machine with the same
package versions the files are the same bytes every time. The schedule is fixed and the last weights are kept: the test
images play no part in training and choose nothing.

The denoiser's loss is that of Salman et al. 2020 with both of its terms: the mean square error, and the cross entropy
of the frozen classifier behind the denoiser ("stability").
"""

import argparse
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from train_digits import (
    BATCH,
    DATA_FOLDER,
    MAX_SIGMA,
    SEED,
    SIDE,
    DigitNet,
    Images,
    Labels,
    blur,
    export,
    load_images,
    print_certified,
    train,
    uniform,
    warp,
)

STABILITY = 0.02  # weight of the classifier's cross entropy beside the mean square error


class DigitDenoiser(nn.Module):
    """A small U-Net, three times halved and doubled again: 5 million multiply-adds an image."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
        )
        self.middle = nn.Sequential(
            nn.Conv2d(32, 40, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(40, 40, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(40, 40, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(40, 32, 2, stride=2),
        )
        self.up = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        small = self.down(image)
        clean: Tensor = self.up(small + self.middle(small))
        return clean


def varied(x: Tensor) -> Tensor:
    """Geometry, blur, gamma and contrast; clean images, in [0,1]."""
    x = blur(warp(x))
    x = x.clamp(1e-4, 1) ** torch.exp(uniform(len(x), -0.3, 0.3))
    return (x * uniform(len(x), 0.8, 1.2)).clamp(0, 1)


def train_denoiser(x_train: Images, y_train: Labels, classifier: DigitNet, epochs: int) -> DigitDenoiser:
    """Adam with a one-cycle learning rate; returns the last weights."""
    torch.manual_seed(SEED)
    for weights in classifier.parameters():
        weights.requires_grad_(False)
    x = torch.from_numpy(x_train).unsqueeze(1).float() / 255
    y = torch.from_numpy(y_train)
    net = DigitDenoiser()
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=0.01)
    batches = len(x) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=epochs * batches)
    for epoch in range(epochs):
        totals = np.zeros(2)
        for batch in torch.randperm(len(x))[: batches * BATCH].view(batches, BATCH):
            clean = varied(x[batch])
            sigma = MAX_SIGMA * uniform(len(clean), 0, 1).sqrt()
            found = net(clean + sigma * torch.randn_like(clean))
            error = F.mse_loss(found, clean)
            unstable = F.cross_entropy(classifier(found.clamp(0, 1)), y[batch])
            loss = error + STABILITY * unstable
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            totals += np.array([error.item(), unstable.item()]) / batches
        if (epoch + 1) % 50 == 0:
            print(f"epoch {epoch + 1:4d}/{epochs}  error {totals[0]:.4f}  cross entropy {totals[1]:.4f}", flush=True)
    return net.eval()


def measure(folder: Path, x: Images, y: Labels) -> None:
    """Print accuracy, certified accuracy and speed of the written files, as ONNX Runtime sees them."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    classifier, denoiser = (
        ort.InferenceSession((folder / name).read_bytes(), options, providers=["CPUExecutionProvider"])
        for name in ("digits-clean.onnx", "digits-denoiser.onnx")
    )

    def clean(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.asarray(denoiser.run(None, {"image": image})[0], np.float32).clip(0, 1)

    def answers(levels: npt.NDArray[np.integer], *, behind: bool) -> Labels:
        image = levels[:, None].astype(np.float32) / 255
        parts = (clean(part) if behind else part for part in np.split(image, range(64, len(image), 64)))
        return np.concatenate([classifier.run(None, {"image": part})[0].argmax(axis=1) for part in parts])

    rng = np.random.default_rng(SEED)
    for behind in (False, True):
        print("behind the denoiser" if behind else "the classifier alone")
        print(f"clean accuracy        {(answers(x, behind=behind) == y).mean():.4f}  ({len(x)} images)")
        print_certified(partial(answers, behind=behind), x, y, (0.0, 0.25, 0.5, 0.75, 1.0), rng)

    feed = rng.standard_normal((64, 1, SIDE, SIDE), dtype=np.float32)
    start = time.perf_counter()
    for _ in range(100):
        denoiser.run(None, {"image": feed})
    print(f"speed                 {6400 / (time.perf_counter() - start):.0f} images/s, batch 64, one thread")
    sizes = [(folder / name).stat().st_size for name in ("digits-clean.onnx", "digits-denoiser.onnx")]
    print(f"size                  {sizes[0]} + {sizes[1]} bytes")


def main() -> None:
    """Parse the command line, train, write, measure."""
    parser = argparse.ArgumentParser(description="Train a digit classifier without noise, and a denoiser for it.")
    parser.add_argument("--out", type=Path, default=DATA_FOLDER, help="folder for the two files")
    parser.add_argument("--epochs", type=int, default=400)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    cv2.setNumThreads(1)

    x_train, y_train, x_test, y_test = load_images()
    arguments.out.mkdir(parents=True, exist_ok=True)
    classifier = train(x_train, y_train, arguments.epochs, most=0.0)
    export(classifier, arguments.out / "digits-clean.onnx")
    denoiser = train_denoiser(x_train, y_train, classifier, arguments.epochs)
    export(denoiser, arguments.out / "digits-denoiser.onnx", output="clean")
    measure(arguments.out, x_test, y_test)


if __name__ == "__main__":
    main()
