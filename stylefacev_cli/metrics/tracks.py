"""From frames to key points over time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from stylefacev_cli.metrics.motion import Track
from stylefacev_cli.networks.landmarks import (
    LandmarkDetector,
    key_points_from_landmarks,
    landmarks_from_heatmaps,
)

BATCH = 16


def key_point_tracks(
    detector: LandmarkDetector, clips: Iterable[NDArray[np.uint8]]
) -> Iterator[Track]:
    """The 14 key points of each frame of each clip.

    Args:
        detector: of the 98 WFLW landmarks.
        clips: uint8 [T, S, S, 3].

    Yields:
        [T, 14, 2], fractions of the frame.
    """
    for clip in clips:
        yield key_points_from_landmarks(torch.from_numpy(find_landmarks(detector, clip))).numpy()


def find_landmarks(detector: LandmarkDetector, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The 98 WFLW landmarks of each image.

    Args:
        detector: on any device.
        images: uint8 [N, S, S, 3].

    Returns:
        [N, 98, 2], fractions of the frame.
    """
    device = next(detector.parameters()).device
    frames = torch.tensor(images).permute(0, 3, 1, 2)
    with torch.inference_mode():
        found = [
            landmarks_from_heatmaps(detector(some.to(device).float() / 255)).cpu()
            for some in torch.split(frames, BATCH)
        ]
    return torch.cat(found).numpy()
