"""From the options of a run to a run that is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..algorithms import Algorithm
from ..errors import SmoothcertError, require
from ..inputs.datasets import open_dataset
from ..model.classifier import OrtClassifier
from ..model.denoised import open_denoised
from ..model.denoiser import Denoiser
from ..model.preprocess import Preprocess
from ..runs.asked import Files, new_run
from ..runs.folder import RunFolder
from ..runs.folder_name import folder_name
from ..smoothing import Noise
from . import options as opt
from .groups import changed
from .parse import denoiser, preprocess, smoothing, surrogate_path
from .show import print_notes, show_run


def launch(model: Path, data: Path, asked: opt.ToCertify, algorithm: Algorithm, setting: opt.Setting) -> None:
    """Open model and data, run, print. `SmoothcertError` where an input failed."""
    run, how = setting.run, smoothing(asked, algorithm)
    own = next((part.scale for part in how.parts if isinstance(part, Noise)), None)
    ahead = denoiser_of(asked.denoiser, asked.denoiser_sigma, own)
    said = preprocess(setting.normalisation, setting.spatial)
    classifier = classifier_of(model, asked.output, setting.machine, said, ahead)
    print_notes(classifier)
    files, opened = (
        Files(model, data, asked.calibration, surrogate_path(asked), ahead and ahead[0]),
        open_dataset(data, classifier.channels, classifier.sound),
    )
    new = new_run(
        files,
        classifier,
        opened,
        how,
        algorithm,
        skip=run.skip,
        limit=run.limit,
        shard=run.shard,
        nonce=run.nonce,
    )
    folder = RunFolder(run.folder or folder_name(new.question, files, _unnamed(asked, setting)))
    failed = show_run(new, folder, quiet=run.quiet)
    if failed:
        raise SmoothcertError(failed)


def classifier_of(
    model: Path,
    output: str | None,
    machine: opt.Machine,
    said: Preprocess | None,
    ahead: tuple[Path, Denoiser] | None = None,
) -> OrtClassifier:
    """The classifier on the machine that the options name, behind the denoiser `ahead` where there is one."""
    require(not machine.tf32 or machine.provider != "cpu", "--tf32: expected with --provider cuda or tensorrt, got cpu")
    return OrtClassifier(
        open_denoised(model, *ahead, output=output, preprocess=said) if ahead else model,
        providers=machine.provider,
        threads=machine.threads,
        batch_size=machine.batch_size,
        output=output,
        preprocess=None if ahead else said,
        tf32=machine.tf32,
    )


def denoiser_of(text: str, sigma: float | None, own: float | None = None) -> tuple[Path, Denoiser] | None:
    """What --denoiser names; told of `sigma`, or else of the smoothing's own noise."""
    require(bool(text) or sigma is None, "--denoiser-sigma: expected with --denoiser alone")
    return denoiser(text, own if sigma is None else sigma) if text else None


def _unnamed(asked: opt.ToCertify, setting: opt.Setting) -> dict[str, Any]:
    """The settings that are not the default's and that the default folder's name has no words for."""
    others = {"output", "error_rule", "tf32", "denoiser", "denoiser_sigma"}
    others |= set() if setting.machine.provider == "cpu" else {"batch_size"}  # which changes scores on a GPU
    some = {name: value for name, value in changed(asked, setting.machine).items() if name in others}
    return changed(setting.normalisation, setting.spatial) | some
