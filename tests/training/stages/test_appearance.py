"""The appearance stage."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stage_runs import SWAPPED, assert_resumes, mean, run, without_gradient
from tiny import DISC_APPEARANCE

from stylefacev_cli.metrics.perceptual import PerceptualLoss
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.stages.appearance import (
    AppearanceStage,
    AppearanceStageConfig,
    embedding_loss,
    evenly,
)


@pytest.mark.parametrize("pair_share", [0.0, 0.5])
def test_appearance_learns(
    clips: Frames,
    generator: Generator,
    detector: LandmarkDetector,
    pose_extractor: PoseExtractor,
    perceptual: PerceptualLoss,
    pair_share: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = AppearanceStageConfig(
        DISC_APPEARANCE,
        batch_size=4,
        lr=2e-3,
        pair_share=pair_share,
        image_loss_share=0.5,
    )
    stage = AppearanceStage(config, clips, 1, generator, detector, pose_extractor, perceptual)
    batch = stage._next_batch(0)
    monkeypatch.setattr(stage, "_next_batch", lambda index: batch)  # one batch to fit
    found = run(stage, 10)
    assert set(found[0]) == {"l1", "perc", "embed"}
    assert mean(found[-2:], "embed") < 0.9 * mean(found[:2], "embed")
    assert without_gradient(stage.appearance_net) == []
    assert set(stage.validate()) == {"psnr", "embedding"}
    assert stage.sample_grid().shape == (5 * 96, 10 * 96, 3)
    assert torch.equal(generator.synthesis.input.transform, torch.eye(3))


def test_embedding_loss_leaves_the_first_w_out() -> None:
    wanted = torch.zeros(2, 5, 3)
    ws = wanted.clone()
    ws[:, 0] = 9
    assert embedding_loss(ws, wanted) == 0
    ws[:, 1:] = 2
    assert embedding_loss(ws, wanted) == 2


def test_a_share_of_a_batch_holds_some_of_every_kind() -> None:
    few, others = evenly(np.arange(32), 0.25)
    assert few.tolist() == [0, 4, 9, 13, 18, 22, 27, 31] and len(others) == 24
    assert evenly(np.arange(8), 1.0)[0].tolist() == list(range(8))
    assert evenly(np.arange(8), 0.01)[0].tolist() == [0]


def test_kept_examples_resume_exactly(
    clips: Frames,
    generator: Generator,
    detector: LandmarkDetector,
    pose_extractor: PoseExtractor,
) -> None:
    config = AppearanceStageConfig(
        DISC_APPEARANCE,
        batch_size=4,
        num_pool_images=40,
        pair_share=0.25,
        frame_share=0.25,
        swap_share=0.25,
        pose_factors=SWAPPED,
        image_loss_share=0.25,
    )

    def make() -> AppearanceStage:
        return AppearanceStage(config, clips, 1, generator, detector, pose_extractor, None)

    whole = make()
    run(whole, 6)
    assert_resumes(make, whole, 6)
    assert whole._pool.num_images == 64  # whole chunks
    assert int(whole._pose_table.state_dict()["known"].sum()) <= 6 * 3
