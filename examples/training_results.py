"""What training does for certificates: the table of docs/training.md, on the digits.

    python examples/training_results.py OUT [--epochs N] [--limit N] [--n N]

Trains the network of examples/train_digits.py by the page's losses, from the same seed and on one thread, writes the
models to OUT with the scale of their training in their metadata, certifies the test digits by `smoothcert certify`, and
prints Markdown. A model or run that is there already is kept.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from train_digits import BATCH, SEED, DigitNet, export, load_images

from smoothcert.report.summary import summarise
from smoothcert.runs.folder import RunFolder

Loss = Callable[[DigitNet, Tensor, Tensor], Tensor]
RADII = {0.25: (0.25, 0.5), 0.5: (0.25, 0.5, 0.75, 1.0)}
SHIFT = "translation=4", "translation=3"  # what is smoothed, and certified


def clean(net: DigitNet, x: Tensor, y: Tensor) -> Tensor:
    """No augmentation at all."""
    return F.cross_entropy(net(x), y)


def noise(sigma: float) -> Loss:
    """Noise augmentation: each image with fresh noise, as the smoothing draws it, not clipped."""
    return lambda net, x, y: F.cross_entropy(net(x + sigma * torch.randn_like(x)), y)


def translation(scale: float) -> Loss:
    """Transformation augmentation: cyclic shifts by whole pixels, each way round(N(0, scale^2)), as the smoothing's."""

    def loss(net: DigitNet, x: Tensor, y: Tensor) -> Tensor:
        down, right = (scale * torch.randn(2, len(x), 1)).round().long()
        row = (torch.arange(x.shape[2]) - down) % x.shape[2]
        column = (torch.arange(x.shape[3]) - right) % x.shape[3]
        each = torch.arange(len(x)).view(-1, 1, 1)
        return F.cross_entropy(net(x[each, :, row[:, :, None], column[:, None, :]].movedim(3, 1)), y)

    return loss


def consistency(sigma: float, weight: float = 10.0, entropy: float = 0.5, copies: int = 2) -> Loss:
    """Cross-entropy, the copies' divergence from their mean, and the mean's entropy (Jeong and Shin 2020)."""

    def loss(net: DigitNet, x: Tensor, y: Tensor) -> Tensor:
        many = x.repeat(copies, 1, 1, 1)
        logits = net(many + sigma * torch.randn_like(many))
        each = logits.log_softmax(dim=1).view(copies, len(x), -1)
        mean = each.logsumexp(dim=0) - math.log(copies)
        apart = (mean.exp() * (mean - each)).sum(dim=2).mean()
        spread = -(mean.exp() * mean).sum(dim=1).mean()
        return F.cross_entropy(logits, y.repeat(copies)) + weight * apart + entropy * spread

    return loss


LOSSES: dict[str, tuple[Loss, float]] = {
    "clean": (clean, 0.0),
    **{f"noise-{sigma}": (noise(sigma), sigma) for sigma in RADII},
    **{f"consistency-{sigma}": (consistency(sigma), sigma) for sigma in RADII},
    "translation": (translation(4.0), 0.0),
}


def train(loss: Loss, epochs: int) -> DigitNet:
    """AdamW with a one-cycle learning rate, as in examples/train_digits.py; the last weights."""
    torch.manual_seed(SEED)
    images, labels, _, _ = load_images()
    x, y = torch.from_numpy(images).unsqueeze(1).float() / 255, torch.from_numpy(labels)
    net = DigitNet(mean=round(x.mean().item(), 4), std=round(x.std().item(), 4))
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.02)
    batches = len(x) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=epochs * batches)
    for _ in range(epochs):
        for batch in torch.randperm(len(x))[: batches * BATCH].view(batches, BATCH):
            optimizer.zero_grad()
            loss(net, x[batch], y[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return net.eval()


def model(name: str, out: Path, epochs: int) -> Path:
    """The model of that name: trained, and told what noise it was trained with."""
    path, bare = out / f"{name}.onnx", out / f"{name}.bare.onnx"
    if not path.exists():
        loss, sigma = LOSSES[name]
        export(train(loss, epochs), bare)
        told = ["--training-noise", f"{sigma}"] if sigma else []
        smoothcert("export", "onnx", bare, path, *told)
        bare.unlink()
    return path


def smoothcert(*words: object) -> None:
    """A command, as a user types it."""
    subprocess.run([sys.executable, "-m", "smoothcert", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def row(run: Path, radii: tuple[float, ...], *words: object) -> list[str]:
    """Clean accuracy of the model, of the smoothed one, certified accuracy at each radius, and ACR."""
    smoothcert("certify", *words, "--run", run, "-q", "--nonce", "table")
    folder = RunFolder(run)
    found = summarise(folder.recipe(), folder.entries(), radii)
    shares = [found.answers.accuracy(found.answers.base), *found.accuracy.values()]
    return [*(f"{100 * share:.1f} %" for share in shares), f"{found.mean_radius:.3f}"]


def main() -> None:
    """Parse the command line, train, certify, print."""
    parser = argparse.ArgumentParser(description="Certified accuracy of the digits by way of training, as Markdown.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--limit", type=int, default=180)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--train-only", nargs="*", choices=LOSSES, help="train these and stop")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.train_only:
        for name in asked.train_only:
            model(name, asked.out, asked.epochs)
        return
    few = "--limit", asked.limit, "--n", asked.n
    for sigma, radii in RADII.items():
        heads = ["trained by", "the model itself", *(f"radius {radius:g}" for radius in (0.0, *radii)), "ACR"]
        print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
        for way, name in {w: w if w == "clean" else f"{w}-{sigma}" for w in ("clean", "noise", "consistency")}.items():
            path = model(name, asked.out, asked.epochs)
            words = path, "demo:digits.npz", "--smooth", f"noise={sigma}", *few
            print(f"| {' | '.join([way, *row(asked.out / f'run-{name}-{sigma}', radii, *words)])} |", flush=True)
    smooth, attack = SHIFT
    print(f"\n| trained by | the model itself | certified against `{attack}` |\n|---|---|---|")
    for name in ("clean", "translation"):
        words = model(name, asked.out, asked.epochs), "demo:digits.npz", "--smooth", smooth, "--attack", attack, *few
        base, held, _ = row(asked.out / f"run-{name}-{attack}", (), *words)
        print(f"| {name} | {base} | {held} |", flush=True)


if __name__ == "__main__":
    main()
