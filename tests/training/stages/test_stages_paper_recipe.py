"""The authors' ways of training that our own configs do without."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from every_stage import STAGES, clips, frozen_networks

from stylefacev_cli.common.seeding import latent_of_seed
from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.training.batches.pose_features import heatmaps_of
from stylefacev_cli.training.batches.recomposition_pairs import LatentBatch, Recomposition
from stylefacev_cli.training.engine.stage import NetworkStage, step_generator
from stylefacev_cli.training.losses.motion_losses import in_reverse
from stylefacev_cli.training.stages.appearance import AppearanceStage, AppearanceStageConfig
from stylefacev_cli.training.stages.joint import JointStage, Recomposed
from stylefacev_cli.training.stages.joint_settings import JointStageConfig
from stylefacev_cli.training.stages.motion import MotionStage, RollOut
from stylefacev_cli.training.stages.motion_batches import MotionBatch
from stylefacev_cli.training.stages.motion_settings import MotionStageConfig
from stylefacev_cli.training.stages.pose import PoseStage, PoseStageConfig

Kind = TypeVar("Kind", bound=NetworkStage)


def made(name: str, kind: type[Kind], **settings: Any) -> Kind:
    stage = STAGES[name](**settings)
    assert isinstance(stage, kind)
    return stage


def test_frames_of_videos_and_stills_take_turns() -> None:
    stage = made("pose-flips", PoseStage, batch_size=1)
    from_clip = np.repeat(stage.frames.moving, np.diff(stage.frames.starts))
    rows = np.concatenate([stage._sampler.next(1) for _ in range(6)])
    assert from_clip[rows].tolist() == [True, False] * 3
    generator, detector, *_ = frozen_networks()
    with pytest.raises(DataError, match="the data has no images"):
        PoseStage(stage.config, clips(), 1, detector, generator)


def test_mirrored_frames_are_what_the_detector_sees() -> None:
    stage = made("pose-flips", PoseStage)
    rows, none = np.arange(4), torch.zeros(0, 12)
    mirrored = torch.tensor([True, False, True, False])
    found = stage._detected_heatmaps(rows, none, mirrored, rows)
    frames = stage.frames.image_batch(rows)
    frames[mirrored] = frames[mirrored].flip(-1)
    torch.testing.assert_close(found, heatmaps_of(stage._detector, frames))
    with pytest.raises(UsageError, match="labels are not mirrored"):
        PoseStageConfig(flips=True, targets="labels", generated_share=0)


def test_faces_of_seeds_are_those_that_generate_makes() -> None:
    stage = made("appearance-seeds", AppearanceStage)
    seeds = np.array([3, 0])
    random = torch.Generator().manual_seed(0)
    drawing: LatentBatch = stage._latents(2, random, seeds)
    assert torch.equal(drawing.z, torch.cat([latent_of_seed(seed, 12) for seed in (3, 0)]))
    epoch = np.concatenate([stage._seeds.next(4) for _ in range(4)])
    assert sorted(epoch.tolist()) == list(range(16))  # each once, before any comes again
    with pytest.raises(UsageError, match="num_latents 0"):
        AppearanceStageConfig(num_latents=3, num_pool_images=32)


def test_the_joint_stage_draws_from_its_seeds() -> None:
    stage = made("joint-separate", JointStage)
    z = torch.cat([stage.batches.latents(step_generator(1, index)).z for index in range(30)])
    every = {tuple(latent_of_seed(seed, 12)[0].tolist()) for seed in range(16)}
    found = {tuple(row.tolist()) for row in z}
    assert found <= every and len(found) > 12


def test_separate_updates_have_statistics_of_their_own() -> None:
    """The video part does not know of the image part, which sees networks that have moved."""
    steps = {
        (name, drawn): STAGES[name](num_generated=drawn, adversarial_from=1.0).step(0, 0.1)
        for name in ("joint", "joint-separate")
        for drawn in (2, 4)
    }
    alone = [steps["joint-separate", drawn]["v_l1"] for drawn in (2, 4)]
    together = [steps["joint", drawn]["v_l1"] for drawn in (2, 4)]
    assert alone[0] == alone[1] and together[0] != together[1]
    assert set(steps["joint", 2]) == set(steps["joint-separate", 2])


@pytest.mark.parametrize("stays", [False, True])
def test_statistics_of_a_joint_step_are_of_its_two_updates(stays: bool) -> None:
    """E_app sees a clip's first frame, R and what is before it its two frames; then one image."""
    stage = made(
        "joint-separate", JointStage, num_clips=1, num_generated=1, adversarial_from=1.0,
        freeze_detector_batch_norm=stays, lr=0.0,
    )  # fmt: skip
    networks = stage.detector, stage.pose_extractor, stage.appearance_net
    plain = [copy.deepcopy(network).train() for network in networks]
    if stays:
        plain[0].eval()
    seen: list[Recomposition] = []
    recompose = stage._recompose

    def note(examples: Recomposition, poses: torch.Tensor | None = None) -> Recomposed:
        seen.append(examples)
        return recompose(examples, poses)

    stage._recompose = note  # type: ignore[method-assign]
    stage.step(0, 0.1)
    assert [len(examples.frames) for examples in seen] == [2, 1]
    assert torch.equal(*seen[0].appearance_from)
    for examples in seen:
        poses = plain[1](heatmaps_of(plain[0], examples.frames))
        plain[1].key_points(poses)
        appearance = plain[2].encode(examples.appearance_from[:1])
        plain[2].recompose(appearance, poses)
    for network, wanted in zip(networks, plain, strict=True):
        for key, value in wanted.state_dict().items():
            unbiased = 0.02 if key.endswith("running_var") else 1e-5  # one frame, seen twice here
            torch.testing.assert_close(network.state_dict()[key], value, rtol=unbiased, atol=1e-6)


def test_separate_updates_are_two_of_the_same_optimisers() -> None:
    stage = made("joint-separate", JointStage)
    for index in range(3):
        stage.step(index, 0.1)
    (adam, *_) = stage._optimisers.state_dict()["states"]
    assert {int(state["step"]) for state in adam.values()} == {6}
    for settings in ({"num_swaps": 2}, {"num_generated": 0}):
        with pytest.raises(UsageError, match=r"separate_updates|pose_factors"):
            JointStageConfig(separate_updates=True, **settings)


def test_clips_are_reversed_in_time_alone() -> None:
    sequences = torch.arange(24.0).view(2, 2, 3, 1, 2)
    found = in_reverse(sequences, torch.tensor([True, False]))
    assert torch.equal(found[0], sequences[0].flip(1)) and torch.equal(found[1], sequences[1])


def test_real_and_made_clips_are_reversed_independently_in_half_of_the_steps() -> None:
    stage = made("motion-fresh", MotionStage)
    found = torch.stack([stage.batches.backwards(step_generator(1, index)) for index in range(500)])
    assert found.float().mean(dim=(0, 2)) == pytest.approx([0.5, 0.5], abs=0.04)
    assert (found[:, 0] & found[:, 1]).float().mean() == pytest.approx(0.25, abs=0.04)
    never = made("motion-images", MotionStage)
    assert not never.batches.backwards(step_generator(1, 0)).any()
    with pytest.raises(UsageError, match="from 0 to 1"):
        MotionStageConfig(time_reversal=2)


def test_the_sampler_learns_from_roll_outs_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = made("motion-fresh", MotionStage)
    roll_outs: list[RollOut] = []
    roll_out = stage._roll_out

    def note(batch: MotionBatch) -> RollOut:
        roll_outs.append(roll_out(batch))
        return roll_outs[-1]

    monkeypatch.setattr(stage, "_roll_out", note)
    stage.step(0, 0.1)
    first, second = roll_outs  # of the discriminators, of the sampler
    assert torch.equal(first.real, second.real)
    assert torch.equal(first.generated[:, 0], second.generated[:, 0])
    assert not torch.equal(first.batch.noise, second.batch.noise)
    assert not torch.equal(first.generated[:, -1], second.generated[:, -1])
    assert not first.generated.requires_grad and second.generated.requires_grad
