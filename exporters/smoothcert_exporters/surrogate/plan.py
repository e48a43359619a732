"""What is trained, of which size, and how: plain values, so that a checkpoint can say of which training it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from smoothcert.errors import RunError, require, require_number

from .attacks import Attacks


def _require_whole(values: Any, *names: str) -> None:
    for name in names:
        value = getattr(values, name)
        require_number(name, value, whole=True)
        require(0 < value < 2**31, f"{name}: expected at least 1, got {value}")


def _require_positive(values: Any, *names: str) -> None:
    for name in names:
        value = getattr(values, name)
        require_number(name, value)
        require(0 < value < 1e6, f"{name}: expected a number above 0, got {value:g}")


@dataclass(frozen=True, kw_only=True)
class Descent:
    """Adam over that many passes through the images, its rate falling to nothing along a cosine."""

    epochs: int = 25
    batch: int = 64
    rate: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        _require_whole(self, "epochs", "batch")
        require_number("seed", self.seed, whole=True)
        require(self.seed >= 0, f"seed: expected at least 0, got {self.seed}")
        _require_positive(self, "rate")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Of the networks.

    `encoder_hidden`: values through which the encoder sees the whole image, 0 for convolutions alone. `lipschitz`: of
    the encoder, at most; above 1, which is that of the image it starts from.
    """

    width: int = 8
    depth: int = 2
    encoder_width: int = 8
    encoder_layers: int = 1
    encoder_kernel: int = 5
    encoder_hidden: int = 64
    lipschitz: float = 100.0

    def __post_init__(self) -> None:
        _require_whole(self, "width", "depth", "encoder_width", "encoder_layers", "encoder_kernel")
        require_number("encoder_hidden", self.encoder_hidden, whole=True)
        require(self.encoder_hidden >= 0, f"encoder_hidden: expected at least 0, got {self.encoder_hidden}")
        require(self.encoder_kernel % 2 == 1, f"encoder_kernel: expected an odd number, got {self.encoder_kernel}")
        require_number("lipschitz", self.lipschitz)
        require(1 < self.lipschitz < 1e6, f"lipschitz: expected a number above 1, got {self.lipschitz:g}")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One training of a surrogate. `ArgumentError` for values that cannot be.

    `sigma1`: noise on xi, as a share of its largest length; `sigma2`: noise on every value of a code. The decoder is
    trained under both, and differences of codes are measured by them. `closeness`: weight of those differences beside
    the images' L1 loss. `rank`, `floor`: of the covariance, see `covariance.fit`; `reach`: Delta that nine of ten
    images stay below over the whole range, under that covariance. `encoder`, `decoder`: MODULE:FACTORY of one's own.
    """

    attacks: Attacks
    image: tuple[int, int, int]
    data: str
    spatial: Mapping[str, Any]
    descent: Descent = field(default_factory=Descent)
    sizes: Sizes = field(default_factory=Sizes)
    sigma1: float = 0.5
    sigma2: float = 0.75
    closeness: float = 0.1
    classes: float = 0.5
    labels: int = 0
    rank: int = 64
    floor: float = 3.0
    reach: float = 2.2
    encoder: str = ""
    decoder: str = ""

    def __post_init__(self) -> None:
        _require_positive(self, "sigma1", "sigma2", "floor", "reach")
        require_number("closeness", self.closeness)
        require(self.closeness >= 0, f"closeness: expected at least 0, got {self.closeness:g}")
        _require_whole(self, "rank")

    @property
    def recipe(self) -> dict[str, Any]:
        """Plain values, nothing nested but the transformation's options and the preprocessing."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        nested = {**asdict(own.pop("descent")), **asdict(own.pop("sizes")), **own.pop("attacks").recipe}
        return {**own, "image": list(self.image), "spatial": dict(self.spatial), **nested}

    @staticmethod
    def of(recipe: Mapping[str, Any]) -> Plan:
        """The plan that `recipe` wrote."""
        rest = dict(recipe)
        descent, sizes = ({f.name: rest.pop(f.name) for f in fields(kind)} for kind in (Descent, Sizes))
        attacks = Attacks.of(rest.pop("name"), rest.pop("options"), rest.pop("low"), rest.pop("high"))
        colours, height, width = rest.pop("image")
        image = colours, height, width
        return Plan(attacks=attacks, image=image, descent=Descent(**descent), sizes=Sizes(**sizes), **rest)


def require_same(there: Mapping[str, Any], asked: Mapping[str, Any], where: str) -> None:
    """`RunError` that names the first value in which a checkpoint's recipe is not the one asked for."""
    for name in asked:
        if there.get(name) != asked[name]:
            word = "transform" if name == "name" else name
            raise RunError(
                f"{where}: expected a checkpoint of this training, got one of another: {word} is "
                f"{there.get(name)!r:.99} there, {asked[name]!r:.99} here; choose another folder, or the same options"
            )
