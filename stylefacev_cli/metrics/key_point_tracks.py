"""From frames to landmarks and key points over time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from stylefacev_cli.errors import DataError
from stylefacev_cli.metrics.motion import Track
from stylefacev_cli.networks.stylefacev.landmarks import (
    LandmarkDetector,
    key_points_from_landmarks,
    landmarks_from_heatmaps,
)

BATCH = 16


def detect_landmarks(detector: LandmarkDetector, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The 98 WFLW points of each frame.

    Args:
        detector: gives them as heatmaps; on any device.
        frames: uint8 [T, S, S, 3].

    Returns:
        [T, 98, 2], fractions of the frame.

    Raises:
        DataError: the frames are not square.
    """
    height, width = frames.shape[1:3]
    if height != width:
        raise DataError(f"frames of {width}×{height} pixels: landmarks need square ones; crop them")
    device = next(detector.parameters()).device
    found = []
    with torch.inference_mode():
        for some in torch.split(torch.tensor(frames).permute(0, 3, 1, 2), BATCH):
            heatmaps = detector(some.to(device).float() / 255)
            found.append(landmarks_from_heatmaps(heatmaps).cpu())
    return torch.cat(found).numpy()


def key_point_track(detector: LandmarkDetector, clip: NDArray[np.uint8]) -> Track:
    """The 14 key points of each frame of a clip: [T, 14, 2]; arguments as `detect_landmarks`."""
    return key_points_from_landmarks(torch.from_numpy(detect_landmarks(detector, clip))).numpy()
