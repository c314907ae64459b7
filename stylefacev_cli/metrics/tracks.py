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
        frames = torch.tensor(clip).permute(0, 3, 1, 2)
        found = []
        with torch.inference_mode():
            for some in torch.split(frames, BATCH):
                landmarks = landmarks_from_heatmaps(detector(some.float() / 255))
                found.append(key_points_from_landmarks(landmarks).numpy())
        yield np.concatenate(found)
