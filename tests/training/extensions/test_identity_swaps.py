"""Identity swaps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from stage_runs import FURTHER, SWAPPED, assert_resumes, mean, run

from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.stages.appearance import embedding_loss
from stylefacev_cli.training.stages.joint import JointStage, Recomposed


def test_every_appearance_is_given_further_poses_of_the_batch(
    joint: Callable[..., JointStage],
) -> None:
    def make() -> JointStage:
        sizes = {"num_clips": 1, "num_generated": 4, "num_swaps": 4, "image_loss_share": 0.2}
        return joint(**sizes, num_swap_poses=6, muon_lr=0.01, **FURTHER)

    found = run(make(), 60)
    assert mean(found[-20:], "x_embed") < mean(found[:20], "x_embed")
    whole = make()
    run(whole, 8)
    assert_resumes(make, whole, 8)
    with pytest.raises(UsageError, match="needs pose_factors"):
        joint(num_swap_poses=1)
    with pytest.raises(UsageError, match="landmark_branch needs key_point_surrogate_weight"):
        joint(landmark_branch=True, **FURTHER)
    with pytest.raises(UsageError, match="have no loss"):
        joint(num_swap_poses=1, pose_factors=SWAPPED)


def test_identity_swaps_aim_at_the_w_of_both_peoples_factors(
    joint: Callable[..., JointStage], generator: Generator
) -> None:
    stage = joint(num_clips=1, num_generated=1, num_swaps=2, num_swap_poses=3, **FURTHER)
    who, how = torch.randn(2, 3, generator.config.z_dim, generator=torch.Generator().manual_seed(2))
    appearance = torch.rand(3, stage.appearance_net.config.appearance_channels, 8, 8)
    poses = torch.randn(3, 1, 8, 8)
    stage.appearance_net.eval()
    with torch.no_grad():
        made = stage.appearance_net.recompose(appearance, poses)
        recomposed = Recomposed(appearance, poses, made, *torch.zeros(2, 1))
        found = stage._swap_losses(recomposed, (who, how))
        each = [
            embedding_loss(
                stage.appearance_net.recompose(appearance[i : i + 1], poses[j : j + 1]),
                generator.mapping(SWAPPED.swapped(who[i : i + 1], how[j : j + 1])),
            )
            for i in range(3)
            for j in range(3)
            if i != j
        ]
    assert float(found["x_embed"]) == pytest.approx(10 * float(torch.stack(each).mean()), rel=1e-5)
