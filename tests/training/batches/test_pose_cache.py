"""Poses of the data, extracted once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import DISC_LANDMARKS, DISC_POSE

from stylefacev_cli.errors import DataError
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.batches.pose_cache import cached_poses


def test_poses_are_extracted_once(clips: Frames, tmp_path: Path) -> None:
    detector = LandmarkDetector(DISC_LANDMARKS).eval()
    pose_extractor = PoseExtractor(DISC_POSE).eval()
    path = tmp_path / "poses.ckpt"
    first = cached_poses(path, clips, detector, pose_extractor, 8)
    assert first.poses.shape == (4 * 24, 64) and first.spans.tolist()[1] == [24, 24]
    written = path.stat().st_mtime_ns
    again = cached_poses(path, clips, detector, pose_extractor, 8)
    assert torch.equal(first.poses, again.poses) and path.stat().st_mtime_ns == written
    with torch.no_grad():
        pose_extractor.fc.bias.add_(1)
    cached_poses(path, clips, detector, pose_extractor, 8)
    assert path.stat().st_mtime_ns != written
    with pytest.raises(DataError, match="99 frames"):
        cached_poses(path, clips, detector, pose_extractor, 99)
