"""The models and test sets that come with the package, by name."""

from __future__ import annotations

from pathlib import Path

from ..errors import SmoothcertError

PREFIX = "demo:"
_FOLDER = Path(__file__).parents[1] / "data"
_NAMES = ("digits.onnx", "digits.npz", "digits-clean.onnx", "digits-denoiser.onnx", "spoken.onnx", "spoken.npz")


def demo_file(name: str) -> Path:
    """Where a file that comes with the package lies: "digits.onnx", a classifier, or "digits.npz", its test images.

    "digits-clean.onnx" was trained without noise, "digits-denoiser.onnx" goes ahead of it. Or "spoken.onnx" and
    "spoken.npz": spoken digits. `SmoothcertError` for any other name. On the command line they are
    `demo:digits.onnx`, and so on.
    """
    if name not in _NAMES:
        names = ", ".join(PREFIX + each for each in _NAMES)
        raise SmoothcertError(
            f"{PREFIX}{name}: expected {names}, the files that come with smoothcert; "
            f"a file of your own that is called so is given as ./{PREFIX}{name}"
        )
    return _FOLDER / name


def shown(path: Path) -> str:
    """The path as a command line may have it: `demo:digits.onnx` for a file that comes with the package."""
    return PREFIX + path.name if path.parent == _FOLDER and path.name in _NAMES else str(path)
