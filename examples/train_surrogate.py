"""Train a surrogate of one transformation of the digits, fine-tune a classifier on its codes, and export the bundle.

    python examples/train_surrogate.py zoom-blur [--out FOLDER] [--epochs N] [--seed N]

Writes into FOLDER (default: surrogates/NAME) `train.npz`, the 1437 digits that `demo:digits.npz` does not have, the
checkpoints, and `bundle`, with which the 360 test images are certified:

    smoothcert certify FOLDER/bundle/model.onnx demo:digits.npz --smooth surrogate=FOLDER/bundle --attack ...

Each step is a command of smoothcert, printed ahead of it: run again, it goes on where it was interrupted. A few minutes
on one core; the same bytes every time on one machine with the same package versions.
"""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
from torch import nn
from train_digits import load_images

RANGES = {  # of values on images of 32x32 pixels
    "zoom-blur": "1:1.5",
    "pixelate": "0.5:1",
    "defocus-blur": "0:5",
    "rotational-blur": "-10:10",
    "motion-blur": "1:7",
}


def classifier() -> nn.Module:
    """Two layers, for standardised images of 32x32 pixels."""
    return nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 128), nn.ReLU(), nn.Linear(128, 10))


def run(*words: str) -> None:
    """Print a command of smoothcert, and run it beside this file, where the classifier's module is found."""
    print(f"$ {shlex.join(['smoothcert', *words])}", flush=True)
    subprocess.run([sys.executable, "-m", "smoothcert", *words], check=True, cwd=Path(__file__).parent)


def main() -> None:
    """Parse the command line, write the images, train, fine-tune, export."""
    parser = argparse.ArgumentParser(description="Train, fine-tune and export a surrogate of the digits.")
    parser.add_argument("transform", help=f"NAME or NAME=LOW:HIGH; ranges of their own have {', '.join(RANGES)}")
    parser.add_argument("--out", type=Path, help="folder for the images, the checkpoints and the bundle")
    parser.add_argument("--epochs", type=int, default=25, help="of the training, and of the fine-tuning")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    name, equals, _ = asked.transform.partition("=")
    transform = asked.transform if equals or name not in RANGES else f"{name}={RANGES[name]}"
    out = Path(asked.out or Path("surrogates") / name).resolve()
    out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    images, labels, _, _ = load_images()
    data = out / "train.npz"
    np.savez_compressed(data, x=images, y=labels)
    mean, std = (f"{value / 255:.4f}" for value in (images.mean(), images.std()))
    steps = ["--epochs", str(asked.epochs), "--seed", str(asked.seed)]
    run("surrogate", "train", "--transform", transform, "--data", str(data), "--out", str(out), *steps)
    model = ["--model", "train_surrogate:classifier", "--mean", mean, "--std", std]
    run("surrogate", "finetune", str(out), "--data", str(data), *model, *steps)
    if not (out / "bundle").exists():
        run("export", "surrogate", str(out), str(out / "bundle"))


if __name__ == "__main__":
    main()
