"""Fine-tuning a classifier, and the decoder ahead of it if asked, on the codes of real attacks under noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from smoothcert.errors import ModelError, RunError, first_line, require, require_number
from smoothcert.files.documents import understood
from smoothcert.model.preprocess import Preprocess

from ..frameworks.pytorch import load as load_module
from . import checkpoint
from .descent import Losses, descend, seeded
from .images import Images
from .plan import Descent, require_same
from .training import Trained, codes, require_images

_MADE, _TUNING = 4, 5  # stages of the random numbers
_CLEAN = 0.5  # share of images that no attack has touched: votes are counted on codes of such


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """One fine-tuning. `model`: MODULE:FACTORY; `preprocess`: what it takes, beside the surrogate's own pipeline.

    `joint`: the decoder is trained with the classifier, no longer to imitate. `sigma`: noise, as a multiple of the
    fitted one.
    """

    model: str
    preprocess: Mapping[str, Any]
    data: str
    descent: Descent
    joint: bool = True
    sigma: float = 1.0

    def __post_init__(self) -> None:
        require_number("sigma", self.sigma)
        require(0 < self.sigma < 1e6, f"sigma: expected a number above 0, got {self.sigma:g}")

    @property
    def recipe(self) -> dict[str, Any]:
        """Plain values."""
        own = {name: getattr(self, name) for name in ("model", "data", "joint", "sigma")}
        return {**own, "preprocess": dict(self.preprocess), **asdict(self.descent)}


@dataclass(frozen=True, eq=False)
class Tuned:
    """A classifier of images, the decoder ahead of it, and mean losses by epoch."""

    model: str
    preprocess: Preprocess
    classifier: Any
    decoder: Any
    history: list[dict[str, float]]
    recipe: Mapping[str, Any]

    @property
    def lines(self) -> tuple[str, ...]:
        """For people."""
        first, last = self.history[0], self.history[-1]
        found = ", ".join(f"{name} {first[name]:.3g} to {last[name]:.3g}" for name in last)
        return (f"{self.model}: {len(self.history)} epochs on noisy codes, {found}",)


class Normalised(nn.Module):  # type: ignore[misc]
    """A classifier behind (value * scale - mean) / std, for images in [0,1]."""

    def __init__(self, module: Any, preprocess: Preprocess) -> None:
        nn.Module.__init__(self)
        self.module, self.scale = module, 1.0 if preprocess.scale is None else 255 * preprocess.scale
        for name, values in (("mean", preprocess.mean or (0.0,)), ("std", preprocess.std or (1.0,))):
            self.register_buffer(name, torch.tensor(values).reshape(-1, 1, 1), persistent=False)

    def forward(self, image: Any) -> Any:
        """Scores of images (batch, colours, height, width)."""
        return self.module((image * self.scale - self.mean) / self.std)


def finetune(
    trained: Trained,
    tuning: Tuning,
    images: Images,
    folder: Path,
    weights: Path | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Tuned:
    """Train the classifier on noisy codes, or go on from the checkpoint in `folder`, to the very same end.

    `weights` are those that it starts from. `DataError` where labels are missing or images are of another size,
    `ModelError` for a module that is no classifier of them, `RunError` for a checkpoint of something else.
    """
    require_images(trained.plan, images)
    classes, file = images.classes, folder / checkpoint.FINETUNED
    asked = {**tuning.recipe, "surrogate": trained.sha256, "weights": weights and checkpoint.sha256(weights)}
    there = checkpoint.load(file) if file.exists() else None
    if there is not None:
        require_same(there.get("plan", {}), asked, str(file))
    model, decoder = _classifier(tuning, trained, weights, classes), deepcopy(trained.surrogate.decoder)
    parameters = [*model.parameters(), *(decoder.parameters() if tuning.joint else ())]
    optimizer, history = torch.optim.Adam(parameters, lr=tuning.descent.rate), list[dict[str, float]]()
    if there is not None:
        with understood(str(file), "the state of this fine-tuning", RunError, "remove it"):
            model.load_state_dict(there["classifier"])
            decoder.load_state_dict(there["decoder"])
            optimizer.load_state_dict(there["optimizer"])
            history += there["history"]

    def save() -> None:
        states = {"classifier": model.state_dict(), "decoder": decoder.state_dict()}
        rest = {"plan": asked, "optimizer": optimizer.state_dict(), "history": history}
        checkpoint.save(file, {**states, **rest})

    if len(history) < tuning.descent.epochs:
        model.train()
        decoder.train(tuning.joint)
        clean = torch.from_numpy(codes(trained.surrogate, images.clean(np.arange(len(images))))).float()
        step = partial(_step, trained, images, clean, decoder, model, _Noise.of(trained, tuning.sigma))
        descend(tuning.descent, _TUNING, len(images), optimizer, step, history, save, progress)
    return Tuned(tuning.model, _preprocess(tuning), model.module.eval(), decoder.eval(), history, asked)


def opened(folder: Path, trained: Trained) -> Tuned:
    """What a finished fine-tuning left in the folder; `RunError` where there is none of this surrogate."""
    file = folder / checkpoint.FINETUNED
    if not file.exists():
        raise RunError(
            f"{folder}: expected a fine-tuned classifier, got none; run `surrogate finetune`, or pass `model`"
        )
    there = checkpoint.load(file)
    with understood(str(file), "a fine-tuned classifier", RunError, "fine-tune again"):
        recipe = dict(there["plan"])
        names = ("model", "preprocess", "data", "joint", "sigma")
        tuning = Tuning(**{name: recipe[name] for name in names}, descent=_descent(recipe))
        history = [dict(losses) for losses in there["history"]]
    if recipe["surrogate"] != trained.sha256:
        raise RunError(
            f"{file}: expected a classifier fine-tuned for this surrogate, got one for another; fine-tune again"
        )
    if len(history) < tuning.descent.epochs:
        raise RunError(
            f"{file}: expected {tuning.descent.epochs} epochs, got {len(history)}; go on with `surrogate finetune`"
        )
    with understood(str(file), "a fine-tuned classifier", RunError, "fine-tune again"):
        model = Normalised(load_module(tuning.model, None), _preprocess(tuning))
        decoder = deepcopy(trained.surrogate.decoder)
        model.load_state_dict(there["classifier"])
        decoder.load_state_dict(there["decoder"])
    return Tuned(tuning.model, _preprocess(tuning), model.module.eval(), decoder.eval(), history, recipe)


@dataclass(frozen=True, eq=False)
class _Noise:
    """N(0, S) in single precision."""

    factor: Any
    deviations: Any

    @staticmethod
    def of(trained: Trained, sigma: float) -> _Noise:
        fitted = trained.covariance.times(sigma)
        return _Noise(torch.from_numpy(fitted.factor).float(), torch.from_numpy(fitted.deviations).float())

    def draw(self, count: int) -> Any:
        across = torch.randn(count, self.factor.shape[1]) @ self.factor.T
        return across + torch.randn(count, len(self.deviations)) * self.deviations


def _step(
    trained: Trained,
    images: Images,
    clean: Any,
    decoder: Any,
    model: Any,
    noise: _Noise,
    rows: NDArray[Any],
    rng: np.random.Generator,
) -> Losses:
    """Cross entropy of a batch of noisy codes, some of attacked images; `clean` has the codes of all others."""
    batch, moved = clean[rows], np.flatnonzero(rng.random(len(rows)) >= _CLEAN)
    if len(moved):
        attacked, _ = images.attacked(rows[moved], trained.plan.attacks, rng)
        with torch.no_grad():
            batch[moved] = trained.surrogate.encoder(torch.from_numpy(attacked))
    scores = model(decoder(batch + noise.draw(len(rows))))
    truth = torch.from_numpy(images.known[rows])
    loss = nn.functional.cross_entropy(scores, truth)
    return {"loss": loss, "error": (scores.argmax(1) != truth).float().mean()}


def _classifier(tuning: Tuning, trained: Trained, weights: Path | None, classes: int) -> Normalised:
    """The classifier ahead of training; `ModelError` where it does not score the surrogate's images."""
    shape = trained.plan.image
    with seeded(tuning.descent.seed, _MADE):
        module = load_module(tuning.model, weights)
    if not isinstance(module, nn.Module):
        raise ModelError(f"{tuning.model}: expected a torch.nn.Module to train, got an exported program")
    model = Normalised(module, _preprocess(tuning))
    expected = f"{tuning.model}: expected scores of {classes} classes or more for images {(2, *shape)}"
    try:
        with torch.inference_mode():
            got = tuple(model.eval()(torch.zeros(2, *shape)).shape)
    except Exception as error:
        raise ModelError(f"{expected}, got {type(error).__name__}: {first_line(error)}") from None
    if len(got) != 2 or got[0] != 2 or got[1] < classes:
        raise ModelError(f"{expected}, got values of shape {got}")
    return model


def _preprocess(tuning: Tuning) -> Preprocess:
    return Preprocess.of(tuning.preprocess)


def _descent(recipe: Mapping[str, Any]) -> Descent:
    return Descent(**{name: recipe[name] for name in ("epochs", "batch", "rate", "seed")})
