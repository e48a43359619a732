"""The measured networks: random weights from a fixed seed, PyTorch modules and their ONNX exports.

Measures nothing itself; `python -m benchmarks.models NAME` exports one and prints its path. CIFAR ResNet-20 and
ResNet-110 (He et al. 2016, section 4.2: 16/32/64 channels, 32x32) and the bottleneck ResNet-50 (224x224) stand for the
networks of the field; speed does not depend on what the weights know.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from .measure import ROOT

CACHE = ROOT / "build" / "benchmarks"
SEED = 20


def conv_norm(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, then BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(c_out),
    )


class Residual(nn.Module):
    """relu(branch(x) + shortcut(x))."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x: Tensor) -> Tensor:
        """One block."""
        return torch.relu(self.branch(x) + self.shortcut(x))


def basic(c_in: int, width: int, stride: int) -> Residual:
    """Two 3x3 convolutions."""
    branch = nn.Sequential(conv_norm(c_in, width, 3, stride), nn.ReLU(), conv_norm(width, width, 3))
    return Residual(branch, nn.Identity() if (c_in, stride) == (width, 1) else conv_norm(c_in, width, 1, stride))


def bottleneck(c_in: int, width: int, stride: int) -> Residual:
    """1x1, 3x3 (with the stride), 1x1 to four times the width."""
    branch = nn.Sequential(
        conv_norm(c_in, width, 1),
        nn.ReLU(),
        conv_norm(width, width, 3, stride),
        nn.ReLU(),
        conv_norm(width, 4 * width, 1),
    )
    return Residual(branch, nn.Identity() if c_in == 4 * width else conv_norm(c_in, 4 * width, 1, stride))


def cifar_resnet(depth: int) -> nn.Module:
    """ResNet of 6 k + 2 layers for 32x32 images."""
    blocks: list[nn.Module] = [conv_norm(3, 16, 3), nn.ReLU()]
    c_in = 16
    for width in (16, 32, 64):
        for i in range((depth - 2) // 6):
            blocks.append(basic(c_in, width, 2 if width > 16 and i == 0 else 1))
            c_in = width
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def resnet50() -> nn.Module:
    """The 50-layer bottleneck ResNet for 224x224 images."""
    blocks: list[nn.Module] = [conv_norm(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    c_in = 64
    for width, count in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for i in range(count):
            blocks.append(bottleneck(c_in, width, 2 if width > 64 and i == 0 else 1))
            c_in = 4 * width
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


@dataclass(frozen=True)
class Network:
    """A network by name: its input's side, the batch the field certifies it with, others to try."""

    name: str
    build: Callable[[], nn.Module]
    side: int
    usual_batch: int
    tried_batches: tuple[int, ...]

    @property
    def module(self) -> nn.Module:
        """The network in eval mode, BatchNorm statistics taken from one batch of noise."""
        torch.manual_seed(SEED)
        module = self.build()
        norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
        with torch.no_grad():
            module(torch.rand(8, 3, self.side, self.side))
        return module.eval()

    @property
    def onnx(self) -> Path:
        """Its ONNX file (dynamic batch), exported once into the cache folder."""
        path = CACHE / f"{self.name}.onnx"
        if not path.exists():
            CACHE.mkdir(parents=True, exist_ok=True)
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # a note on torchvision, which is not needed
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                program = torch.onnx.export(
                    self.module,
                    (torch.zeros(2, 3, self.side, self.side),),
                    input_names=["image"],
                    output_names=["logits"],
                    dynamic_shapes=({0: torch.export.Dim("N")},),
                    dynamo=True,
                    verbose=False,
                )
            assert program is not None
            program.save(path, external_data=False)
        return path


NETWORKS = {
    network.name: network
    for network in (
        Network("resnet20", lambda: cifar_resnet(20), 32, 400, (16, 32, 64, 128)),
        Network("resnet110", lambda: cifar_resnet(110), 32, 400, (16, 32, 64, 128)),
        Network("resnet50", resnet50, 224, 32, (1, 2, 4, 8, 16)),
    )
}


def main() -> None:
    """Export one network and print where it lies."""
    parser = argparse.ArgumentParser(description="Export a measured network to ONNX.")
    parser.add_argument("name", choices=list(NETWORKS))
    print(NETWORKS[parser.parse_args().name].onnx)


if __name__ == "__main__":
    main()
