"""The joint stage."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from every_stage import tensors_of
from stage_runs import (
    FURTHER,
    SWAPPED,
    WINDOW,
    assert_resumes,
    joint_stage,
    mean,
    run,
    without_gradient,
)

from stylefacev_cli.errors import UsageError
from stylefacev_cli.metrics.perceptual import PerceptualLoss
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.patch_discriminator import PatchDiscriminatorConfig
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.batches.pose_features import heatmaps_of
from stylefacev_cli.training.batches.recomposition_pairs import Recomposition
from stylefacev_cli.training.extensions.pose_anchor import pose_anchor_loss
from stylefacev_cli.training.stages.joint import JointStage, Recomposed
from stylefacev_cli.training.stages.joint_settings import JointStageConfig


def test_joint_gradient_reaches_every_optimised_parameter(
    clips: Frames,
    generator: Generator,
    detector: LandmarkDetector,
    pose_extractor: PoseExtractor,
    perceptual: PerceptualLoss,
) -> None:
    """The authors' code switched gradients off inside the landmark copy, which never learnt."""
    config = JointStageConfig(
        PatchDiscriminatorConfig(base_channels=4, num_layers=1),
        num_clips=2,
        num_generated=2,
        window=WINDOW,
        adversarial_from=0.8,
    )
    stage = joint_stage(config, clips, generator, detector, pose_extractor, perceptual)
    found = stage.step(0, 0.9)
    assert {"v_l1", "v_perc", "v_points", "i_embed", "adv", "d"} <= set(found)
    for network in (stage.detector, stage.pose_extractor, stage.appearance_net):
        assert without_gradient(network) == []
    assert without_gradient(stage.discriminator) == []
    optimised = {id(p) for p in stage._optimisers.parameters}
    assert {id(p) for p in stage.detector.parameters()} < optimised
    fixed = stage._before.detector
    assert fixed is detector and not any(p.requires_grad for p in fixed.parameters())


def test_joint_can_leave_the_poses_as_they_are(
    joint: Callable[..., JointStage], detector: LandmarkDetector, pose_extractor: PoseExtractor
) -> None:
    stage = joint(pose_lr_factor=0.0)
    appearance = [p.clone() for p in stage.appearance_net.parameters()]
    run(stage, 2)
    for trained, before in ((stage.detector, detector), (stage.pose_extractor, pose_extractor)):
        state = before.state_dict()
        assert all(torch.equal(x, state[key]) for key, x in trained.state_dict().items())
    after = stage.appearance_net.parameters()
    assert not all(torch.equal(x, y) for x, y in zip(appearance, after, strict=True))


def test_poses_that_stay_are_those_of_the_frames_and_are_extracted_once(
    joint: Callable[..., JointStage], monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> JointStage:
        sizes = {"num_clips": 2, "num_generated": 2, "num_swaps": 4, "image_loss_share": 0.4}
        return joint(pose_lr_factor=0.0, num_swap_poses=2, muon_lr=0.01, **sizes, **FURTHER)

    stage, seen = make(), []
    plain = stage._recompose

    def watched(examples: Recomposition, poses: torch.Tensor | None = None) -> Recomposed:
        seen.append((examples, poses))
        return plain(examples, poses)

    monkeypatch.setattr(stage, "_recompose", watched)
    run(stage, 3)
    for examples, poses in seen:
        torch.testing.assert_close(
            poses, stage.batches.pose_of(examples.frames), atol=1e-5, rtol=1e-5
        )
    extracted: list[int] = []
    pose_of = stage.batches.pose_of
    monkeypatch.setattr(
        stage.batches.pose_table, "_pose_of", lambda x: (extracted.append(len(x)), pose_of(x))[1]
    )
    run(stage, 60)
    assert 0 < sum(extracted) <= len(stage.frames.images)
    whole = make()
    run(whole, 8)
    assert_resumes(make, whole, 8)


def test_joint_learns_from_swaps_and_resumes(joint: Callable[..., JointStage]) -> None:
    def make() -> JointStage:
        settings = {"num_swaps": 3, "pose_factors": SWAPPED, "video_embedding_weight": 10.0}
        return joint(num_clips=1, num_generated=1, image_loss_share=0.3, muon_lr=0.01, **settings)

    found = run(make(), 40)
    assert {"s_l1", "s_points", "s_embed", "v_embed", "i_embed"} <= set(found[0])
    assert mean(found[-10:], "s_embed") < mean(found[:10], "s_embed")
    whole = make()
    run(whole, 8)
    assert_resumes(make, whole, 8)
    with pytest.raises(UsageError, match="needs pose_factors"):
        joint(num_swaps=1)


def test_poses_can_learn_without_the_detector_and_stay_where_they_were(
    joint: Callable[..., JointStage],
) -> None:
    def moved(weight: float) -> tuple[float, JointStage]:
        rates = {"detector_lr_factor": 0.0, "pose_muon_lr": 0.01, "pose_anchor_weight": weight}
        stage = joint(num_clips=1, num_generated=1, adversarial_from=1.0, **rates)
        run(stage, 25)
        stage._evaluating()
        frames = stage.frames.image_batch(np.arange(12))
        with torch.no_grad():
            heatmaps = heatmaps_of(stage.detector, frames)
            poses = stage.pose_extractor(heatmaps)
            return float(pose_anchor_loss(poses, stage._poses_before(frames, heatmaps))), stage

    free, stage = moved(1e-6)
    for mine, start in zip(
        stage.detector.parameters(), stage._before.detector.parameters(), strict=True
    ):
        assert torch.equal(mine, start)
    kept, _ = moved(100.0)
    assert 0 < kept < 0.5 * free
    with pytest.raises(UsageError, match="poses stay"):
        joint(pose_lr_factor=0.0, pose_muon_lr=0.01)


def test_joint_rebalances_and_the_discriminator_comes_last(
    joint: Callable[..., JointStage],
) -> None:
    def gradient(progress: float) -> torch.Tensor:
        # With all image-part terms off in the second phase, only the video's embedding is left.
        stage = joint(
            num_clips=1,
            num_generated=1,
            video_embedding_weight=1.0,
            key_point_weight=0.0,
            l1_weight=0.0,
            image_weight=0.0,
        )
        found = stage.step(0, progress)
        assert ("d" in found) == (progress >= 0.8)
        assert stage.appearance_net.fc_a.bias.grad is not None
        return stage.appearance_net.fc_a.bias.grad

    first, second = gradient(0.1), gradient(0.5)
    assert not torch.allclose(first, second)
    without_images = second.abs().sum()
    assert without_images < first.abs().sum()


def test_joint_learns_and_resumes_exactly(joint: Callable[..., JointStage]) -> None:
    def make() -> JointStage:
        return joint(
            num_clips=2,
            num_generated=1,
            lr=2e-3,
            video_embedding_weight=10.0,
            key_point_surrogate_weight=100.0,
            image_loss_share=0.5,
        )

    whole = make()
    found = run(whole, 8)
    assert mean(found[-2:], "v_points") < mean(found[:2], "v_points")
    assert_resumes(make, whole, 8)
    assert len(tensors_of(whole.state_dict())) > 100
    assert set(whole.validate()) == {
        "psnr",
        "face_psnr",
        "ssim",
        "points_percent",
        "openings",
    }
    assert whole.sample_grid().shape == (5 * 96, 10 * 96, 3)
