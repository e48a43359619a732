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

from smoothcert.errors import DataError, RunError
from smoothcert.files.documents import understood

from . import checkpoint
from .covariance import Covariance, fit
from .descent import Losses, descend, seeded
from .images import Images
from .plan import Plan, require_same
from .surrogate import Surrogate, bound, build, lipschitz

_TRAINING, _FITTING = 2, 3  # stages of the random numbers
_DIFFERENCES = 4096  # that the covariance is fitted to
_SCALED = 256  # images whose largest Delta sets the covariance's scale
_STEPS = 33  # values of a range without end that are tried for it


@dataclass(frozen=True, eq=False)
class Trained:
    """A surrogate, the covariance of its noise, mean losses by epoch, and the checkpoint's fingerprint."""

    plan: Plan
    surrogate: Surrogate
    covariance: Covariance
    history: list[dict[str, float]]
    sha256: str

    @property
    def lines(self) -> tuple[str, ...]:
        """For people."""
        first, last = self.history[0], self.history[-1]
        losses = ", ".join(f"{name} {first[name]:.3g} to {last[name]:.3g}" for name in last)
        known = lipschitz(self.surrogate)
        words = "not known, for the encoder is your own" if known is None else f"at most {known:.3g}"
        return (
            f"{self.plan.attacks.name} {self.plan.attacks.range}: {len(self.history)} epochs, {losses}",
            f"Lipschitz constant of the encoder {words}; noise of rank {self.covariance.factor.shape[1]} in "
            f"{self.covariance.factor.shape[0]} values",
        )


def train(
    plan: Plan, images: Images, folder: Path, progress: Callable[[int], None] = lambda done: None
) -> Trained:
    """Train a surrogate on these images, or go on from the checkpoint in `folder`, to the very same end.

    `progress` is called with the number of images seen. `RunError` for a checkpoint of something else.
    """
    file = folder / checkpoint.TRAINED
    there = checkpoint.load(file) if file.exists() else None
    if there is not None:
        require_same(there["plan"], plan.recipe, str(folder))
    surrogate, history = build(plan), list[dict[str, float]]()
    optimizer = torch.optim.Adam(surrogate.parameters(), lr=plan.descent.rate)
    if there is not None:
        with understood(str(file), "the state of this training", RunError, "train again, in another folder"):
            surrogate.load_state_dict(there["networks"])
            optimizer.load_state_dict(there["optimizer"])
            history += there["history"]

    def save(covariance: Covariance | None = None) -> None:
        fitted = covariance and {"factor": _tensor(covariance.factor), "deviations": _tensor(covariance.deviations)}
        checkpoint.save(
            file,
            {
                "plan": plan.recipe,
                "networks": surrogate.state_dict(),
                "optimizer": optimizer.state_dict(),
                "history": history,
                "covariance": fitted,
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
    if there is None or there["covariance"] is None:
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
        fitted = there["covariance"]
        covariance = fitted and Covariance(fitted["factor"].numpy(), fitted["deviations"].numpy())
        history = [dict(losses) for losses in there["history"]]
    if covariance is None:
        done = f"{len(history)} of {plan.descent.epochs} epochs"
        raise RunError(f"{folder}: expected a surrogate trained to its end, got {done}; go on with `surrogate train`")
    return Trained(plan, surrogate.eval(), covariance, history, checkpoint.sha256(file))


def require_images(plan: Plan, images: Images) -> None:
    """`DataError` for images of another size than the surrogate's."""
    if images.shape != plan.image:
        sizes = ["x".join(map(str, shape)) for shape in (plan.image, images.shape)]
        raise DataError(f"{images.name}: expected images of {sizes[0]}, as the surrogate has, got {sizes[1]}; see "
                        "`resize`, `crop`")  # fmt: skip


def _step(
    plan: Plan, surrogate: Surrogate, images: Images, rows: NDArray[Any], rng: np.random.Generator
) -> Losses:
    """The losses of a batch: of the imitation and of the image itself, under noise, and how far codes are from A1 xi."""
    x = torch.from_numpy(images.clean(rows))
    attacked, parameters = images.attacked(rows, plan.attacks, rng)
    y, shift = torch.from_numpy(attacked), surrogate.shift(torch.from_numpy(parameters))
    code, moved = surrogate.encoder(torch.cat([x, y])).chunk(2)
    codes = torch.cat([code + shift, code])
    made = surrogate.decoder(codes + surrogate.noise(codes, plan.sigma1, plan.sigma2))
    imitation, itself = ((a - b).abs().mean() for a, b in zip(made.chunk(2), (y, x), strict=True))
    squares = surrogate.squared(moved - code - shift, plan.sigma1, plan.sigma2)
    delta = (squares + 1e-12).sqrt().mean()
    loss = (imitation + itself) / 2 + plan.closeness * delta
    return {"loss": loss, "imitation": imitation, "itself": itself, "delta": delta}


def _fitted(plan: Plan, surrogate: Surrogate, images: Images) -> Covariance:
    """The covariance for differences of real transformations, scaled so that most images stay within the reach."""
    with seeded(plan.descent.seed, _FITTING) as rng:
        rows = rng.integers(len(images), size=_DIFFERENCES)
        attacked, _ = images.attacked(rows, plan.attacks, rng)
        differences = codes(surrogate, attacked) - codes(surrogate, images.clean(rows))
        shape = fit(differences, rank=plan.rank, floor=plan.floor)
        some = rng.permutation(len(images))[:_SCALED]
        return shape.times(float(np.quantile(_largest(plan, surrogate, images, shape, some, rng), 0.9)) / plan.reach)


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
    return np.max([covariance.deltas(differences) for differences in found], axis=0)


def codes(surrogate: Surrogate, batch: NDArray[np.float32]) -> NDArray[np.float64]:
    """F2 of images, in double precision."""
    with torch.inference_mode():
        parts = [surrogate.encoder(part).double().numpy() for part in torch.from_numpy(batch).split(256)]
    return np.concatenate(parts)


def _tensor(values: NDArray[np.float64]) -> Any:
    return torch.from_numpy(np.ascontiguousarray(values))
