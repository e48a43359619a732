"""The same loop on CUDA. Skipped, visibly, where no CUDA session starts. Oracle: the CPU's votes."""

from __future__ import annotations

import numpy as np
import pytest

from smoothcert import Noise, OrtClassifier, certify, compose
from smoothcert.errors import ProviderError
from smoothcert.sampling import ESTIMATION, Sampler

from .conftest import IMAGES, MODEL

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def cuda() -> OrtClassifier:
    try:
        return OrtClassifier(MODEL, providers="cuda")
    except ProviderError as error:
        pytest.skip(f"needs a CUDA GPU and onnxruntime-gpu: {error}")


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    with np.load(IMAGES) as archive:
        return np.asarray(archive["x"][0])


def votes(classifier: OrtClassifier, image: np.ndarray) -> dict[int, int]:
    sampler = Sampler(classifier, compose(Noise(0.5)).perturbation, classifier.prepare(image), key=5, index=0)
    return dict(sampler.counts(ESTIMATION, 0, 5000))


def test_votes_repeat_and_do_not_depend_on_threads(cuda: OrtClassifier, image: np.ndarray) -> None:
    size = cuda.batch_size(image.size)
    one = OrtClassifier(MODEL, providers="cuda", threads=1, batch_size=size)
    assert votes(cuda, image) == votes(cuda, image) == votes(one, image)


def test_votes_agree_with_the_cpu_but_for_rounding(cuda: OrtClassifier, image: np.ndarray) -> None:
    on_gpu, on_cpu = votes(cuda, image), votes(OrtClassifier(MODEL), image)
    moved = sum(abs(on_gpu.get(label, 0) - on_cpu.get(label, 0)) for label in on_gpu.keys() | on_cpu.keys())
    assert moved <= 10


def test_the_recipe_names_provider_and_tf32(cuda: OrtClassifier, image: np.ndarray) -> None:
    assert (cuda.recipe["provider"], cuda.recipe["tf32"]) == ("cuda", False)
    assert certify(cuda, Noise(0.5), image, n=2000, key=1).prediction >= 0
