"""JPEG quality: every quality of a range, by enumeration alone. Oracle: OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from smoothcert import certify_enumerated, compose
from smoothcert.errors import DataError
from smoothcert.smoothing import PARTS, TRANSFORMS, Attack, Range
from smoothcert.smoothing.jpeg import CompressJpeg

IMAGE = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (24, 40, 3), dtype=np.uint8), (3, 3), 1)


@pytest.mark.parametrize("quality", [1, 50, 95, 100])
def test_it_is_opencv_s(quality: int) -> None:
    """Red comes first here, blue there."""
    _, content = cv2.imencode(".jpg", cv2.cvtColor(IMAGE, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    theirs = cv2.cvtColor(cv2.imdecode(content, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(CompressJpeg().apply(IMAGE, quality), theirs)
    grey = IMAGE[..., :1]
    assert CompressJpeg().apply(grey, quality).shape == grey.shape


def test_every_quality_is_asked() -> None:
    """A classifier that counts what it is shown, and one that a quality of 40 deceives."""
    images = {quality: CompressJpeg().apply(IMAGE, quality) for quality in range(30, 61)}
    shown: set[bytes] = set()

    def watching(batch: NDArray[np.float32]) -> NDArray[np.int64]:
        shown.update(np.rint(255 * row).astype(np.uint8).tobytes() for row in batch)
        return np.zeros(len(batch), np.int64)

    found = certify_enumerated(watching, IMAGE, {"jpeg": (30, 60)})
    assert found.prediction == 0
    assert {IMAGE.tobytes(), *(image.tobytes() for image in images.values())} <= shown

    def deceived(batch: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.array([np.array_equal(np.rint(255 * row), images[40]) for row in batch], np.int64)

    found = certify_enumerated(deceived, IMAGE, {"jpeg": (30, 60)})
    assert found.prediction == -1
    assert found.reason == "attack found: 1 of 32 members are not class 0"


def test_with_other_attacks() -> None:
    """In the attack's order: turned, then compressed."""
    found = certify_enumerated(
        lambda batch: np.zeros(len(batch), int), IMAGE, {"rotation": (-5, 5, 3), "jpeg": (90, 95)}
    )
    assert sum(found.evidence.estimation.values()) == 1 + 3 * 6


def test_what_is_refused() -> None:
    for low, high, points in ((50.5, 60, None), (0, 50, None), (50, 101, None), (50, 60, 3)):
        with pytest.raises(ValueError, match="whole qualities from 1 to 100"):
            CompressJpeg().members(Range(low, high, points))
    with pytest.raises(DataError, match="1 or 3 colours"):
        CompressJpeg().apply(np.zeros((8, 8, 4), np.uint8), 50)
    assert "jpeg" in TRANSFORMS
    assert "jpeg" not in PARTS  # nothing is smoothed against it
    with pytest.raises(ValueError, match="expected parameters that are smoothed"):
        compose(PARTS["noise"](0.5)).p_star(Attack.of({"jpeg": (50, 60)}))
