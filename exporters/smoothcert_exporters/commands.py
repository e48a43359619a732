"""What `smoothcert export FRAMEWORK` does behind its options: the same for every framework."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.cli.launch import numbers
from smoothcert.cli.launch import preprocess as parse_preprocess
from smoothcert.errors import DataError, ModelError, first_line, require
from smoothcert.inputs.datasets import open_dataset
from smoothcert.model.preprocess import Preprocess, prepared

from .adapt.pipeline import Pipeline
from .export import export
from .finish import Export
from .frameworks.loading import from_module
from .options import Options
from .proof.parity import TOLERANCE

DEFAULTS: dict[str, Any] = {
    "weights": None, "mean": "", "std": "", "scale": None, "layout": "auto", "input_layout": "", "input_range": "",
    "resize": None, "interpolation": None, "antialias": False, "crop": None, "mask": "",
    "class_names": None, "training_noise": None, "examples": None, "precision": "float32", "tolerance": TOLERANCE,
    "provider": "cpu",
}  # fmt: skip
_MOST = 256  # real inputs that parity is measured on


def export_named(framework: str, model: str, out: Path, options: Mapping[str, Any]) -> Export:
    """Load MODEL, MODULE:FACTORY, export it to `out`, and return the report.

    `framework`: a module of `frameworks`. `options`: `example_shape` (`3,32,32`: one input, as the model takes it) and
    any of DEFAULTS, as the command line has them; `class_names` is a file of one name a line, `examples` a data set as
    `certify` reads it.
    """
    o = DEFAULTS | dict(options)
    shape = whole_numbers("--example-shape", o["example_shape"])
    require(bool(shape), "--example-shape: expected the axes of one input, such as 3,32,32, got ''")
    arguments = shared(o, shape)
    example = np.zeros((1, *shape), np.float32)
    loaded = _loaded(framework, model, o["weights"])
    return export(loaded, out, example=example, framework=framework, options=Options(**arguments))


def shared(o: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """The arguments that every export takes, from the command line's options; `shape` of one input of the network."""
    preprocess = parse_preprocess(o)
    span = numbers("--input-range", o["input_range"])
    require(len(span) in (0, 2), f"--input-range: expected LOW,HIGH, got {o['input_range']!r}")
    plain = ("input_layout", "training_noise", "precision", "tolerance", "provider")
    return {name: o[name] for name in plain} | {
        "preprocess": preprocess,
        "input_range": (span[0], span[1]) if span else None,
        "class_names": lines(o["class_names"]) if o["class_names"] else (),
        "examples": real_examples(o["examples"], Pipeline(preprocess or Preprocess(), shape, o["input_layout"])),
    }


def print_export(framework: str, model: str, out: Path, options: Mapping[str, Any]) -> None:
    """Export, and print the report."""
    print("\n".join(export_named(framework, model, out, options).lines))


def _loaded(framework: str, name: str, weights: Path | None) -> Any:
    """What FACTORY makes, with its weights where the framework keeps them in files that are no code."""
    module = importlib.import_module(f".frameworks.{framework}", __package__)
    if hasattr(module, "load"):
        try:
            return module.load(name, weights)
        except ImportError as error:
            raise ModelError(f"{first_line(error)}; pip install 'smoothcert[{framework}]'") from None
    require(weights is None, f"--weights: expected with pytorch alone; load them in {name}")
    return from_module(name)


def whole_numbers(option: str, text: str) -> tuple[int, ...]:
    """`3,32,32` as axes; empty where nothing is said."""
    values = numbers(option, text)
    whole = all(value == int(value) > 0 for value in values)
    require(whole, f"{option}: expected the axes of one input, such as 3,32,32, got {text!r}")
    return tuple(int(value) for value in values)


def lines(path: Path) -> tuple[str, ...]:
    """The lines of a text file, none empty; `DataError` where it cannot be read."""
    try:
        names = tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected a text file of class names, one a line, got: {error}") from None
    require(all(name.strip() for name in names), f"{path}: expected a class name in every line, got an empty one")
    return names


def real_examples(path: Path | None, pipeline: Pipeline) -> NDArray[Any] | None:
    """The first inputs of a data set, as the file will take them: resized, arranged."""
    if path is None:
        return None
    after = pipeline.residual
    outer = pipeline.outer
    channels = next((n for n in (outer[:1] + outer[-1:]) if n in (1, 3)), None) if len(outer) == 3 else None
    data = open_dataset(path, channels)
    found = islice((data.load(i).x for i in range(len(data))), _MOST)
    return np.stack([prepared(x, outer, after).values for x in found])
