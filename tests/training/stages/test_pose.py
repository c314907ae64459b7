"""The pose stage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from stage_runs import mean, run, without_gradient
from tiny import DISC_POSE

from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.stages.pose import PoseStage, PoseStageConfig


def test_pose_learns_and_leaves_the_detector_alone(
    clips: Frames, generator: Generator, detector: LandmarkDetector
) -> None:
    before = [value.clone() for value in detector.state_dict().values()]
    config = PoseStageConfig(DISC_POSE, batch_size=8, lr=3e-3)
    stage = PoseStage(config, clips, 1, detector, generator)
    found = run(stage, 20)
    assert mean(found[-4:], "key_points") < 0.8 * mean(found[:3], "key_points")
    assert without_gradient(stage.pose_extractor) == []
    after = detector.state_dict().values()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert stage.validate()["error_percent"] > 0


def test_pose_learns_labels_through_exact_heatmaps(
    clips: Frames, generator: Generator, detector: LandmarkDetector
) -> None:
    """Whatever the detector says: with heatmaps of the labels the way to the labels is open."""
    config = PoseStageConfig(
        DISC_POSE,
        batch_size=8,
        lr=4e-3,
        muon_lr=0.02,
        betas=(0.9, 0.99),
        freeze_batch_norm_from=1.0,
        targets="labels",
        exact_heatmaps_until=0.9,
    )
    stage = PoseStage(config, clips, 1, detector, generator)
    found = run(stage, 60)
    assert mean(found[-5:], "key_points") < 0.3 * mean(found[:3], "key_points")

    def next_loss(until: float) -> float:
        other = PoseStage(
            replace(config, exact_heatmaps_until=until), clips, 1, detector, generator
        )
        other.load_state_dict(stage.state_dict())
        return run(other, 1, progress=0.95)[0]["key_points"]

    assert next_loss(0.9) == next_loss(0.0) != next_loss(1.0)  # then the detector's own count
    footage = replace(clips, factors=np.zeros((len(clips.images), 0), np.float32))
    with pytest.raises(DataError, match="give 0 for pose.generated_share"):
        PoseStage(config, footage, 1, detector, generator)
    real_only = replace(config, generated_share=0.0, exact_heatmaps_until=0.0)
    assert run(PoseStage(real_only, footage, 1, detector, generator), 1)[0]["key_points"] > 0
    with pytest.raises(UsageError, match="exact_heatmaps_until needs"):
        PoseStageConfig(DISC_POSE, exact_heatmaps_until=0.5)
