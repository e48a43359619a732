"""Training a surrogate on pairs of images and what the real transformation makes of them, and fitting its noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from smoothcert.errors import DataError, RunError
from smoothcert.files.documents import understood

from . import checkpoint
from .covariance import Covariance, fit
from .descent import Losses, descend, seeded
from .images import Images
from .plan import Plan, require_same
from .surrogate import Surrogate, bound, build, lipschitz

_TRAINING, _FITTING = 2, 3  # stages of the random numbers
_STILL = 0.3  # share of images that are reconstructed, at xi = 0
_DIFFERENCES = 4096  # that the covariance is fitted to
_SCALED = 256  # images whose largest Delta sets the covariance's scale
_SAMPLES, _VALUES = 64, 5_000_000  # images that exports are tried on, and values in all of them
_STEPS = 33  # values of a range without end that are tried for it


@dataclass(frozen=True, eq=False)
class Trained:
    """A surrogate, the covariance of its noise, mean losses by epoch, and the checkpoint's fingerprint.

    `samples`: some images of the training, plain and attacked, on which exports are tried.
    """

    plan: Plan
    surrogate: Surrogate
    covariance: Covariance
    samples: NDArray[np.float32]
    history: list[dict[str, float]]
    sha256: str

    @property
    def lines(self) -> tuple[str, ...]:
        """For people."""
        first, last, factor = self.history[0], self.history[-1], self.covariance.factor
        losses = ", ".join(f"{name} {first[name]:.3g} to {last[name]:.3g}" for name in last)
        known = lipschitz(self.surrogate)
        words = "not known, for the encoder is your own" if known is None else f"at most {known:.3g}"
        return (
            f"{self.plan.attacks.name} {self.plan.attacks.range}: {len(self.history)} epochs, {losses}",
            f"Lipschitz constant of the encoder {words}; noise of rank {factor.shape[1]} in {factor.shape[0]} values",
        )


def train(plan: Plan, images: Images, folder: Path, progress: Callable[[int], None] = lambda done: None) -> Trained:
    """Train a surrogate on these images, or go on from the checkpoint in `folder`, to the very same end.

    `progress` is called with the number of images seen. `RunError` for a checkpoint of something else.
    """
    file = folder / checkpoint.TRAINED
    there = checkpoint.load(file) if file.exists() else None
    if there is not None:
        require_same(there.get("plan", {}), plan.recipe, str(folder))
    surrogate, history = build(plan), list[dict[str, float]]()
    optimizer = torch.optim.Adam(surrogate.parameters(), lr=plan.descent.rate)
    if there is not None:
        with understood(str(file), "the state of this training", RunError, "train again, in another folder"):
            surrogate.load_state_dict(there["networks"])
            optimizer.load_state_dict(there["optimizer"])
            history += there["history"]

    def save(fitted: dict[str, Any] | None = None) -> None:
        checkpoint.save(
            file,
            {
                "plan": plan.recipe,
                "networks": surrogate.state_dict(),
                "optimizer": optimizer.state_dict(),
                "history": history,
                "fitted": fitted,
            },
        )

    def after_epoch() -> None:
        bound(surrogate, plan)
        save()

    if len(history) < plan.descent.epochs:
        surrogate.train()
        step = partial(_step, plan, surrogate, images)
        descend(plan.descent, _TRAINING, len(images), optimizer, step, history, after_epoch, progress)
    surrogate.eval()
    if there is None or there["fitted"] is None:
        save(_fitted(plan, surrogate, images))
    return opened(folder)


def opened(folder: Path) -> Trained:
    """The surrogate of a finished training; `RunError` where there is none, or it has not come to its end."""
    file = folder / checkpoint.TRAINED
    there = checkpoint.load(file)
    with understood(str(file), "a surrogate", RunError, "train again, in another folder"):
        plan = Plan.of(there["plan"])
        surrogate = build(plan)
        surrogate.load_state_dict(there["networks"])
        fitted, history = there["fitted"], [dict(losses) for losses in there["history"]]
        arrays = {name: values.numpy() for name, values in (fitted or {}).items()}
    if not arrays:
        done = f"{len(history)} of {plan.descent.epochs} epochs"
        raise RunError(f"{folder}: expected a surrogate trained to its end, got {done}; go on with `surrogate train`")
    covariance = Covariance(arrays["factor"], arrays["deviations"])
    return Trained(plan, surrogate.eval(), covariance, arrays["samples"], history, checkpoint.sha256(file))


def require_images(plan: Plan, images: Images) -> None:
    """`DataError` for images of another size than the surrogate's."""
    if images.shape != plan.image:
        sizes = ["x".join(map(str, shape)) for shape in (plan.image, images.shape)]
        raise DataError(f"{images.name}: expected images of {sizes[0]}, as the surrogate has, got {sizes[1]}; see "
                        "`resize`, `crop`")  # fmt: skip


def _step(plan: Plan, surrogate: Surrogate, images: Images, rows: NDArray[Any], rng: np.random.Generator) -> Losses:
    """The losses of a batch: of the imitation under noise, xi = 0 for some, and how far codes are from A1 xi."""
    x = torch.from_numpy(images.clean(rows))
    attacked, parameters = images.attacked(rows, plan.attacks, rng)
    y, shift = torch.from_numpy(attacked), surrogate.shift(torch.from_numpy(parameters))
    code, moved = surrogate.encoder(torch.cat([x, y])).chunk(2)
    still = torch.from_numpy(rng.random((len(rows), 1)) < _STILL)
    start = torch.where(still, code, code + shift)
    made = surrogate.decoder(start + surrogate.noise(start, plan.sigma1, plan.sigma2))
    imitation = (made - torch.where(still[..., None, None], x, y)).abs().mean()
    squares = surrogate.squared(moved - code - shift, plan.sigma1, plan.sigma2)
    delta = (squares + 1e-12).sqrt().mean()
    losses = {"loss": imitation + plan.closeness * delta, "imitation": imitation, "delta": delta}
    if surrogate.probe is not None and images.labels is not None:
        both = torch.cat([code, moved])
        scores = surrogate.probe(both + surrogate.noise(both, plan.sigma1, plan.sigma2, least=1.0))
        losses["class"] = nn.functional.cross_entropy(scores, torch.from_numpy(images.labels[rows]).repeat(2))
        losses["loss"] = losses["loss"] + plan.classes * losses["class"]
    return losses


def _fitted(plan: Plan, surrogate: Surrogate, images: Images) -> dict[str, Any]:
    """The covariance for differences of real transformations, scaled so that most images stay within the reach.

    And the samples.
    """
    with seeded(plan.descent.seed, _FITTING) as rng:
        rows = rng.integers(len(images), size=_DIFFERENCES)
        attacked, _ = images.attacked(rows, plan.attacks, rng)
        differences = codes(surrogate, attacked) - codes(surrogate, images.clean(rows))
        shape = fit(differences, rank=plan.rank, floor=plan.floor)
        some = rng.permutation(len(images))[:_SCALED]
        largest = _largest(plan, surrogate, images, shape, some, rng)
        found = shape.times(float(np.quantile(largest, 0.9)) / plan.reach)
        few = some[: max(1, min(_SAMPLES, _VALUES // images.clean(some[:1]).size))]
        samples = np.concatenate([images.clean(few), images.attacked(few, plan.attacks, rng)[0]])
    arrays = {"factor": found.factor, "deviations": found.deviations, "samples": samples}
    return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in arrays.items()}


def _largest(
    plan: Plan,
    surrogate: Surrogate,
    images: Images,
    covariance: Covariance,
    rows: NDArray[Any],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """The largest Delta of each image over values of the whole range."""
    sides = images.raw[0].image.shape[:2]
    values = plan.attacks.ends + tuple(plan.attacks.values(rng, _STEPS, (sides[0], sides[1])))
    clean = codes(surrogate, images.clean(rows))
    found = [codes(surrogate, images.under(rows, plan.attacks, [value] * len(rows))) - clean for value in values]
    return np.asarray(np.max([covariance.deltas(differences) for differences in found], axis=0))


def codes(surrogate: Surrogate, batch: NDArray[np.float32]) -> NDArray[np.float64]:
    """F2 of images, in double precision."""
    with torch.inference_mode():
        parts = [surrogate.encoder(part).double().numpy() for part in torch.from_numpy(batch).split(256)]
    return np.concatenate(parts)
