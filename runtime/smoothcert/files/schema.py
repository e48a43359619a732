"""What stands in recipes, ledgers and heads of calibrations: types that a reader may rely on. Format: docs/runs.md.

Keys that are not named here are kept and mean nothing to this version. Numbers are finite; whole ones fit 64 bits.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

Whole = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Positive = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Number = Annotated[float, Meta(ge=-1e300, le=1e300)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Key = Annotated[str, Meta(pattern="^[0-9a-f]{1,16}$")]
AttackModel = Literal["integer", "float-unclipped", "enumerated"]
Option = str | bool | int | float
Offset = Annotated[int, Meta(ge=-255, le=255)]  # levels
Look = tuple[Whole, Annotated[int, Meta(ge=-1, le=2**63 - 1)], Whole]


class Range(TypedDict):
    low: Number
    high: Number
    points: NotRequired[Whole]


class Certificate(TypedDict):
    """What `Certificate.to_json` writes."""

    prediction: Annotated[int, Meta(ge=-1, le=2**63 - 1)]
    radius: Number
    interval: NotRequired[tuple[Number, Number]]
    unit: NotRequired[str]
    p_lower: Number
    p_upper: Number
    reason: str


class Evidence(TypedDict):
    """What `Evidence.to_json` writes."""

    mode: str
    selection: dict[Whole, Whole]
    estimation: dict[Whole, Whole]
    looks: list[Look]
    key: Key
    index: Whole
    slack: Annotated[float, Meta(ge=0, le=1e-3)]  # 1e-14 for each value of the input, and less
    attack_model: AttackModel
    errors: NotRequired[list[tuple[Number, Number]]]
    slices: NotRequired[list[tuple[Number, Number, list[Look]]]]
    brightness: NotRequired[list[tuple[Offset, Offset]]]
    pilot: NotRequired[list[Look]]
    reach: NotRequired[Annotated[float, Meta(ge=0, le=10)]]
    distances: NotRequired[list[tuple[Number, Number, Number]]]


class EntryLine(TypedDict):
    """One line of a ledger: `error`, or both `certificate` and `evidence`."""

    index: Whole
    name: NotRequired[str]
    label: Whole | None
    input: NotRequired[Sha256]
    read: NotRequired[str]
    base: NotRequired[Whole]
    seconds: Annotated[float, Meta(ge=0, le=1e12)]
    certificate: NotRequired[Certificate]
    evidence: NotRequired[Evidence]
    error: NotRequired[str]


# What a recipe holds. Calibrations have `Range`, `Part` and `Selection` too.


class Denoiser(TypedDict):
    """Of a model: what stands ahead of it, and the preprocessing between the two."""

    sha256: Sha256
    preprocess: dict[str, Any]
    sigma: NotRequired[Number]
    range: tuple[Number, Number]
    output: str
    channels: str
    clip: bool
    diffusion: NotRequired[str | Number]
    steps: NotRequired[Positive]
    variance: NotRequired[str]
    inputs: NotRequired[dict[str, str | Number]]


class Model(TypedDict):
    path: str
    sha256: Sha256
    output: str
    precision: str
    runtime: str
    provider: str
    tf32: bool
    preprocess: dict[str, Any]
    batch_size: NotRequired[Positive | str]
    adapted: NotRequired[list[str]]
    denoiser: NotRequired[Denoiser]
    opencv: NotRequired[str]


class Data(TypedDict):
    path: str
    sha256: Sha256
    inputs: Positive
    channels: NotRequired[Positive]
    rate: NotRequired[Positive]
    samples: NotRequired[Positive]


class Calibrated(TypedDict):
    sha256: Sha256
    strategy: str
    claim: str
    confidence: Number
    error_rule: str
    attack: dict[str, Range]
    spatial: dict[str, Option]
    colours: Positive
    opencv: str
    rate: NotRequired[Positive]
    libraries: NotRequired[dict[str, str]]
    sizes: list[tuple[Whole, Whole]]
    bounds: NotRequired[list[tuple[Number, Number]]]


class Part(TypedDict):
    """Of a smoothing, in recipes and calibrations."""

    part: str
    scale: Number
    unit: str
    law: NotRequired[str]
    about: NotRequired[str]
    border: NotRequired[str]
    edge: NotRequired[str]
    interpolation: NotRequired[str]
    plugin: NotRequired[Sha256]


class Published(TypedDict):
    """Of a surrogate: what was measured of it for the paper's bound."""

    sha256: Sha256
    claim: str
    range: Range
    lipschitz: Number
    error: Number


class Surrogate(TypedDict):
    """Of a smoothing: the bundle, the noise on its codes, the attacks covered."""

    sha256: Sha256
    model: Sha256
    options: dict[str, Option]
    trained: dict[str, Range]
    image: tuple[Positive, Positive, Positive]
    code: Positive
    noise: dict[str, Number]
    attack: dict[str, Range]
    published: NotRequired[Published]


class Smoothing(TypedDict):
    """Of a recipe; empty where the base classifier is enumerated."""

    guarantee: NotRequired[Literal["exact", "path", "paper", "calibrated"]]
    parts: NotRequired[list[Part]]
    calibration: NotRequired[Calibrated]
    surrogate: NotRequired[Surrogate]


class Algorithm(TypedDict):
    """Of a recipe; its numbers are checked by the algorithm that the mode names."""

    mode: str
    alpha: Number
    attack: NotRequired[dict[str, Range]]
    order: NotRequired[list[str]]
    radii: NotRequired[list[Number]]
    options: NotRequired[dict[str, dict[str, Option]]]  # by parameter
    plugins: NotRequired[dict[str, Sha256]]


class Selection(TypedDict):
    skip: Whole
    shard: str
    limit: NotRequired[Positive | None]


class Path(TypedDict):  # of a calibration file, a surrogate's bundle or a denoiser
    path: str


class Plugins(TypedDict):
    """The users' files that a run's transformations come from, in a recipe."""

    path: list[str]


class RecipeTable(TypedDict):
    """`recipe.toml`."""

    smoothcert: str
    nonce: str
    model: Model
    data: Data
    smoothing: Smoothing
    algorithm: Algorithm
    selection: Selection
    attack_model: NotRequired[AttackModel]
    calibration: NotRequired[Path]
    surrogate: NotRequired[Path]
    denoiser: NotRequired[Path]
    plugins: NotRequired[Plugins]
    host: NotRequired[dict[str, Any]]


# What the head of a calibration holds.


class Measured(TypedDict):
    name: str
    sha256: Sha256
    inputs: Positive


class Pipeline(TypedDict):
    parts: list[Part]
    spatial: dict[str, Option]
    colours: Positive
    opencv: str
    rate: NotRequired[Positive]
    libraries: NotRequired[dict[str, str]]


class Head(TypedDict):
    """The first line of a calibration file."""

    format: str
    version: int
    sha256: Sha256
    strategy: str
    claim: str
    confidence: Annotated[float, Meta(gt=0.5, lt=1)]
    attack: dict[str, Range]
    attacks: NotRequired[list[Any]]
    pipeline: Pipeline
    data: Measured
    selection: Selection
    seed: Whole
    draws: Positive
    evaluations: NotRequired[Positive]
    shape: tuple[Positive, Positive, Positive]
    sizes: list[tuple[Whole, Whole]]
    inputs: NotRequired[list[Sha256]]
    found: NotRequired[list[list[Number]]]
    read: NotRequired[dict[str, Positive]]


class Named(TypedDict):
    """A transformation: its name and all its options."""

    name: str
    options: dict[str, Option]


class Manifest(TypedDict):
    """`surrogate.json` of a surrogate's bundle."""

    format: str
    version: int
    transform: Named
    trained: Range
    image: tuple[Positive, Positive, Positive]
    code: Positive
    step: Annotated[float, Meta(gt=0, lt=1)]
    noise: dict[Literal["sigma", "sigma1", "sigma2"], Annotated[float, Meta(gt=0, le=1e12)]]
    files: dict[str, Sha256]
    training: NotRequired[dict[str, Any]]


class Measurement(TypedDict):
    """A file of `smoothcert calibrate surrogate`."""

    format: str
    version: int
    sha256: Sha256
    surrogate: Sha256
    range: Range
    lipschitz: Number
    inputs: dict[Sha256, tuple[Number, Number]]
