"""The detector stage."""

from __future__ import annotations

import pytest
import torch
from stage_runs import mean, run, without_gradient
from tiny import DISC_LANDMARKS

from stylefacev_cli.networks.stylefacev.landmarks import heatmap_targets
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.stages.detector import (
    DetectorStage,
    DetectorStageConfig,
    openings_distance,
)


def test_detector_learns_on_renders_and_generated_faces(
    stills: Frames, generator: Generator
) -> None:
    config = DetectorStageConfig(DISC_LANDMARKS, batch_size=2, lr=3e-3, generated_share=0.5)
    stage = DetectorStage(config, stills, 1, generator)
    found = run(stage, 10)
    assert mean(found[-3:], "points") < 0.9 * mean(found[:2], "points")
    assert without_gradient(stage.detector) == []
    numbers = stage.validate()
    assert set(numbers) == {"nme", "nme_generated", "openings", "openings_generated"}
    assert stage.sample_grid().ndim == 3


def test_openings_are_measured_where_heatmaps_peak() -> None:
    random = torch.Generator().manual_seed(0)
    landmarks = 0.3 + 0.4 * torch.rand(4, 98, 2, generator=random)
    visible = torch.ones(4, 98, dtype=torch.bool)
    lower_lid = [65, 66, 67]
    wrong = landmarks.clone()
    wrong[:, lower_lid, 1] += 2 / 64  # two heatmap pixels too low

    def distance(points: torch.Tensor, flags: torch.Tensor = visible) -> float:
        return float(openings_distance(heatmap_targets(points, 64, 1.5), landmarks, flags))

    right = distance(landmarks)
    assert right < 0.25  # what the grid leaves
    assert distance(wrong) == pytest.approx(right + 2 / 3, abs=0.25)  # one of three openings
    hidden = visible.clone()
    hidden[:, lower_lid] = False
    assert distance(wrong, hidden) == pytest.approx(right, abs=0.1)
    far = heatmap_targets(landmarks, 64, 1.5)
    far[:, :, 60:, 60:] = 5  # a peak far off is the other losses' affair
    assert float(openings_distance(far, landmarks, visible)) == pytest.approx(right, abs=1e-3)
