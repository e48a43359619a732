r"""Train a small network on crops of photographs, 224x224x3, for smoothing with noise and with rotation.

    pip install -e '.[examples]' scikit-image
    python examples/train_photographs.py [OUT] [--input PIXELS] [--minutes M]

Writes OUT (default `photographs.onnx`): float32 [N,3,224,224] in [0,1] -> logits [N,9], one for each photograph of
`examples/photographs.py`, whose left parts alone it sees. Raw images of any size are resized, and masked to a disc. It
trains with what it will be smoothed with: noise up to a deviation of 1.1, rotations, scalings and shears with their
black corners, with the mask and without. One thread; it stops after so many minutes, so that two runs differ.

`--input 112` puts an enlargement ahead of the same network, so that noise acts on images of 112x112. The weights are
written beside OUT, to be exported with other preprocessing, from the folder `examples`:

    smoothcert export pytorch train_photographs:network plain.onnx --weights photographs.pt \
        --example-shape 3,224,224 --mean 0.5,0.5,0.5 --std 0.25,0.25,0.25
"""

import argparse
import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from photographs import PHOTOGRAPHS, Image, left, opened
from torch import nn

from smoothcert import Preprocess, Spatial
from smoothcert_exporters import Options, export

SIDE, BATCH, SEED = 224, 32, 5
MAX_SIGMA, DEGREES, LOG_FACTOR, SHEAR = 1.1, 15.0, 0.1, 0.1


def network(side: int = SIDE) -> nn.Module:
    """Four convolutions, the first with a stride of 4, and the mean over places: 17 million multiply-adds.

    Images of another side than SIDE are enlarged ahead of them: noise acts on the smaller ones.
    """

    def layer(before: int, after: int, side: int, stride: int) -> list[nn.Module]:
        convolution = nn.Conv2d(before, after, side, stride, (side - 1) // 2, bias=False)
        return [convolution, nn.BatchNorm2d(after), nn.ReLU()]

    layers = [*layer(3, 16, 7, 4), *layer(16, 32, 3, 2), *layer(32, 64, 3, 2), *layer(64, 128, 3, 2)]
    enlarged = [] if side == SIDE else [nn.Upsample(SIDE, mode="bilinear")]
    last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, len(PHOTOGRAPHS))]
    return nn.Sequential(*enlarged, *layers, *last)


def network112() -> nn.Module:
    """The factory for `--input 112`."""
    return network(112)


def circle(side: int) -> Image:
    """1 inside the disc that `--mask circle` keeps, else 0: (side, side, 1)."""
    from_middle = np.arange(side) - (side - 1) / 2
    inside: Image = (np.hypot(from_middle[:, None], from_middle) <= side / 2)[..., None].astype(np.uint8)
    return inside


def crop(image: Image, rng: np.random.Generator, disc: Image) -> Image:
    """A square of 140 to 330 pixels, moved as attackers do, at the disc's size; every other one through the mask."""
    size = len(disc)
    height, width = image.shape[:2]
    side = int(rng.integers(min(140, width), min(330, height, width) + 1))
    top, start = rng.integers(height - side + 1), rng.integers(width - side + 1)
    square = image[top : top + side, start : start + side]
    if rng.random() < 0.5:
        square = square[:, ::-1]
    angle, shear = math.radians(rng.uniform(-DEGREES, DEGREES)), rng.uniform(-SHEAR, SHEAR)
    factor = math.exp(rng.uniform(-LOG_FACTOR, LOG_FACTOR)) * size / side
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    matrix = factor * turn @ np.array([[1, shear], [0, 1]])
    offset = (size - 1) / 2 - matrix @ np.full(2, (side - 1) / 2)
    moved = cv2.warpAffine(np.ascontiguousarray(square), np.c_[matrix, offset], (size, size))
    return np.asarray(moved * disc if rng.random() < 0.5 else moved, np.uint8)


def train(images: list[Image], side: int, minutes: float) -> nn.Module:
    """Adam, its rate falling with the time that is left."""
    torch.manual_seed(SEED)
    rng, disc = np.random.default_rng(SEED), circle(side)
    net = network(side).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.02)
    start, step, total = time.monotonic(), 0, 0.0
    while (done := (time.monotonic() - start) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1, step / 50) * (1 - done)
        y = rng.integers(len(images), size=BATCH)
        crops = np.stack([crop(images[label], rng, disc) for label in y])
        x = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
        colour = torch.empty(2, BATCH, 1, 1, 1).uniform_(-1, 1)  # contrast and brightness
        x = x * torch.exp(0.2 * colour[0]) + 0.1 * colour[1]
        x = x + MAX_SIGMA * torch.rand(BATCH, 1, 1, 1) * torch.randn_like(x)
        loss = F.cross_entropy(net((x - 0.5) / 0.25), torch.from_numpy(y))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        step, total = step + 1, total + loss.item()
        if step % 200 == 0:
            print(f"{100 * done:3.0f} %  {step * BATCH} crops  loss {total / 200:.4f}", flush=True)
            total = 0.0
    return net.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path("photographs.onnx"))
    parser.add_argument("--input", type=int, default=SIDE, help="side of images as the model takes them")
    parser.add_argument("--minutes", type=float, default=15)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    net = train([left(opened(photograph)) for photograph in PHOTOGRAPHS], asked.input, asked.minutes)
    torch.save(net.state_dict(), asked.out.with_suffix(".pt"))
    spatial = Spatial(asked.input, antialias=True, mask="circle")
    options = Options(
        preprocess=Preprocess(mean=(0.5,) * 3, std=(0.25,) * 3, spatial=spatial),
        class_names=[photograph.name for photograph in PHOTOGRAPHS],
        training_noise=MAX_SIGMA,
    )
    done = export(net, asked.out, example=np.zeros((3, asked.input, asked.input), np.float32), options=options)
    print("\n".join(done.lines))


if __name__ == "__main__":
    main()
