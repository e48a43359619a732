"""`smoothcert surrogate`: train what imitates a transformation, and a classifier on its noisy codes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ModelError, first_line, require
from . import options as opt
from .calibrate import Limit, Source, to_measure
from .groups import grouped
from .preprocessing import Normalisation, Pixels

app = typer.Typer(
    help="Train a surrogate: networks that imitate a transformation, for smoothing in their code.", no_args_is_help=True
)

to_train = partial(typer.Option, rich_help_panel="What to train")
of_network = partial(typer.Option, rich_help_panel="Networks")
of_descent = partial(typer.Option, rich_help_panel="Training")
of_noise = partial(typer.Option, rich_help_panel="Noise on codes")

Data = Annotated[
    Path, to_train(parser=opt.path, metavar="DATA", help="Data set of 8-bit images: .npz, folder or .csv.")
]
Checkpoint = Annotated[Path, typer.Argument(help="Folder of smoothcert surrogate train.")]


@contextmanager
def pytorch() -> Iterator[None]:
    """Imports of what needs PyTorch; `ModelError`, which names the extra, where it is not installed."""
    try:
        yield
    except ImportError as error:
        raise ModelError(f"{first_line(error)}; pip install 'smoothcert[pytorch]'") from None


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Encoder and decoder."""

    width: Annotated[int, of_network(help="Channels of the decoder's first level; each deeper one has twice.")] = 8
    depth: Annotated[int, of_network(help="Levels of the decoder below its first, each of half the sides.")] = 2
    encoder_width: Annotated[int, of_network(help="Channels of the encoder's convolutions.")] = 8
    encoder_layers: Annotated[int, of_network(help="Convolutions of the encoder.")] = 1
    encoder_kernel: Annotated[int, of_network(help="Side of their kernels, odd.")] = 5
    encoder_hidden: Annotated[
        int, of_network(help="Values through which the encoder sees the whole image; 0: convolutions alone.")
    ] = 64
    lipschitz: Annotated[float, of_network(help="Largest Lipschitz constant of the encoder, in l2.")] = 100.0
    encoder: Annotated[
        str, of_network(metavar="MODULE:FACTORY", help="An encoder of your own: images to codes; not bounded.")
    ] = ""
    decoder: Annotated[
        str, of_network(metavar="MODULE:FACTORY", help="A decoder of your own: codes (batch, d) to images.")
    ] = ""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What the surrogate is trained under, and what is fitted."""

    sigma1: Annotated[float, of_noise(help="On the parameter, as a share of its largest value.")] = 0.5
    sigma2: Annotated[float, of_noise(help="On each value of a code.")] = 0.75
    closeness: Annotated[float, of_noise(help="Weight of the distance of attacked codes, beside the L1 loss.")] = 0.1
    classes: Annotated[
        float, of_noise(help="Weight of telling classes apart by noisy codes, where the data have labels.")
    ] = 0.5
    rank: Annotated[int, of_noise(help="Directions that the fitted covariance has beside its diagonal.")] = 64
    floor: Annotated[float, of_noise(help="Least noise of a direction, as a share of the mean one.")] = 3.0
    reach: Annotated[
        float, of_noise(help="Delta that nine of ten images stay below over the whole range, at sigma 1.")
    ] = 2.2


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How long, how fast, from which random numbers."""

    epochs: Annotated[int, of_descent(help="Passes through the images.")] = 25
    batch: Annotated[int, of_descent(help="Images in a step.")] = 64
    rate: Annotated[float, of_descent(help="Of Adam; it falls along a cosine.")] = 2e-3
    seed: Annotated[int, of_descent(help="Of all that is drawn; the same gives the same bytes.")] = 0


def taken(kind: type[Any], *groups: Any) -> dict[str, Any]:
    """Those options of the groups that a value of the trainer, of that kind, has fields for."""
    names = {field.name for field in fields(kind)}
    return {name: value for group in groups for name, value in vars(group).items() if name in names}


@app.command(
    epilog="Example:\n  smoothcert surrogate train --transform zoom-blur=1:1.5 \\\n      --data train.npz --out zoom"
)
@grouped
def train(
    *,
    transform: Annotated[
        str,
        to_train(
            metavar="NAME[=LOW:HIGH]",
            autocompletion=opt.part_names,
            help="The transformation, and the range of its values (default: that of its example in smoothcert parts); "
            "its own options follow: zoom-blur=1:1.5,step=0.05.",
        ),
    ],
    data: Data,
    out: Annotated[Path, to_train(metavar="FOLDER", help="Where checkpoints go; the same command goes on from them.")],
    networks: Networks,
    noise: Noise,
    steps: Steps,
    source: Source,
    plugin: opt.Plugin = [],  # noqa: B006 - Typer's own lists
    quiet: opt.Quiet = False,
) -> None:
    """Train networks that imitate a transformation, on pairs of images of DATA and what it really makes of them."""
    from ..report.terminal import watched

    with pytorch():
        from smoothcert_exporters.surrogate.training import train as trained
    from smoothcert_exporters.surrogate.attacks import Attacks
    from smoothcert_exporters.surrogate.images import Images
    from smoothcert_exporters.surrogate.plan import Descent, Plan, Sizes

    attacks, (opened, spatial) = Attacks.parse(transform), source.opened(data, None)
    images = Images.of(opened, data.name, spatial)
    plan = Plan(
        attacks=attacks,
        image=images.shape,
        data=images.sha256,
        spatial=spatial.recipe,
        descent=Descent(**taken(Descent, steps)),
        sizes=Sizes(**taken(Sizes, networks)),
        labels=0 if images.labels is None else images.classes,
        **taken(Plan, networks, noise),
    )
    with watched("training", len(images) * steps.epochs, quiet=quiet) as progress:
        found = trained(plan, images, out, progress)
    print("\n".join((f"{out}: SHA-256 {found.sha256}", *found.lines)))


@app.command(epilog="Example:\n  smoothcert surrogate finetune zoom --model mymodel:make \\\n      --data train.npz")
@grouped
def finetune(
    folder: Checkpoint,
    *,
    model: Annotated[
        str, to_train(metavar="MODULE:FACTORY", help="Function of a module in this folder that makes the classifier.")
    ],
    data: Data,
    weights: Annotated[
        Path | None, to_train(parser=opt.path, metavar="FILE", help="State dictionary that it starts from.")
    ] = None,
    joint: Annotated[
        bool, to_train("--joint/--frozen", help="Train the decoder with it, or leave the decoder as it is.")
    ] = True,
    sigma: Annotated[float, of_noise(help="Noise in training, as a multiple of the fitted one.")] = 1.0,
    steps: Steps,
    normalisation: Normalisation,
    plugin: opt.Plugin = [],  # noqa: B006
    quiet: opt.Quiet = False,
) -> None:
    """Train a classifier on noisy codes of DATA under real attacks, behind the surrogate's decoder."""
    from ..inputs.datasets import open_dataset
    from ..report.terminal import watched

    with pytorch():
        from smoothcert_exporters.surrogate.finetune import Tuning
        from smoothcert_exporters.surrogate.finetune import finetune as tuned
        from smoothcert_exporters.surrogate.training import opened
    from smoothcert_exporters.surrogate.images import Images
    from smoothcert_exporters.surrogate.plan import Descent

    from ..inputs.spatial import Spatial
    from .parse import preprocess

    require(normalisation.layout in ("auto", "nchw"), f"--layout: expected nchw, got {normalisation.layout}")
    trained = opened(folder)
    spatial, colours = Spatial.of(trained.plan.spatial), trained.plan.image[0]
    channels = 3 if spatial.grey else colours if colours in (1, 3) else None
    images = Images.of(open_dataset(data, channels), data.name, spatial)
    said = preprocess(normalisation, Pixels())
    tuning = Tuning(
        model=model,
        preprocess=said.recipe if said else {},
        data=images.sha256,
        descent=Descent(**taken(Descent, steps)),
        joint=joint,
        sigma=sigma,
    )
    with watched("fine-tuning", len(images) * steps.epochs, quiet=quiet) as progress:
        found = tuned(trained, tuning, images, folder, weights, progress)
    print("\n".join(found.lines))


def constants(
    bundle: Annotated[Path, typer.Argument(help="Folder of smoothcert export surrogate.")],
    data: opt.Data,
    out: Annotated[Path, typer.Argument(help="Calibration file to write.")],
    points: Annotated[int, to_measure(help="Values of the trained range that are looked at.")] = 41,
    limit: Limit = None,
    skip: opt.Skip = 0,
    quiet: opt.Quiet = False,
) -> None:
    """Measure the slope and error of a surrogate over DATA: what certify --guarantee paper takes as known of it."""
    from smoothcert_calibration.surrogates import measure

    from ..inputs.datasets import loaded, open_dataset, selection
    from ..model.classifier import OrtClassifier
    from ..report.terminal import watched
    from ..surrogate_file import open_surrogate

    opened = open_surrogate(bundle)
    classifier = OrtClassifier(bundle / "model.onnx", threads=1)
    images = open_dataset(data, classifier.channels)
    indices = selection(len(images), skip=skip, limit=limit, shard="1/1")
    inputs = (classifier.prepare(loaded(images, index).x) for index in indices)
    with watched("calibrating", len(indices), quiet=quiet) as progress:
        rows = measure(opened, inputs, out, points=points, progress=progress)
    slope, error = (max(column) for column in zip(*rows.values(), strict=True))
    print(f"{out}: {len(rows)} inputs, largest slope {slope:.4g}, largest error {error:.4g}")
