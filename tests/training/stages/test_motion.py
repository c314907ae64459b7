"""The motion stage."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from stage_runs import LinearKeyPoints
from tiny import DISC_MOTION, DISC_MOTION_DISCRIMINATOR, DISC_POSE

from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.stylefacev.appearance import AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.batches.pose_cache import PoseTracks
from stylefacev_cli.training.batches.rendering import Renderer
from stylefacev_cli.training.engine.batch_split import BatchSplit
from stylefacev_cli.training.extensions import pose_prior
from stylefacev_cli.training.extensions.opening_maps import heights_by, opening_maps
from stylefacev_cli.training.stages.motion import MotionStage
from stylefacev_cli.training.stages.motion_settings import MotionStageConfig

CONFIG = MotionStageConfig(
    DISC_MOTION,
    DISC_MOTION_DISCRIMINATOR,
    num_clips=4,
    num_frames=8,
    lr=2e-3,
)


def test_all_three_learn_and_resume_exactly(
    tracks: PoseTracks, renderer: Renderer, clips: Frames
) -> None:
    whole = MotionStage(CONFIG, tracks, 1, renderer, clips)
    found = [whole.step(index, 0.1) for index in range(24)]
    # Two players: the penalty and the diversity fall for sure, the critics' balance may sway.
    for key in ("penalty", "diversity"):
        assert np.mean([s[key] for s in found[-4:]]) < np.mean([s[key] for s in found[:4]])
    for network in (whole.sampler, whole.pair_discriminator, whole.clip_discriminator):
        assert all(p.grad is not None for p in network.parameters())

    first, second = (MotionStage(CONFIG, tracks, 1, renderer, clips) for _ in range(2))
    for index in range(12):
        first.step(index, 0.1)
    second.load_state_dict(first.state_dict())
    for index in range(12, 24):
        second.step(index, 0.1)
    for key, network in whole.networks.items():
        for a, b in zip(
            network.state_dict().values(),
            second.networks[key].state_dict().values(),
            strict=True,
        ):
            assert torch.equal(a, b)


def test_numbers_and_sheet(tracks: PoseTracks, renderer: Renderer, clips: Frames) -> None:
    stage = MotionStage(CONFIG, tracks, 1, renderer, clips)
    numbers = stage.validate()
    assert set(numbers) == {"speed", "spread", "late_spread", "mismatch"}
    assert all(np.isfinite(value) for value in numbers.values())
    assert stage.sample_grid().shape == (3 * 16, 12 * 16, 3)


def test_critics_see_how_far_eyes_and_mouth_are_open(
    tracks: PoseTracks, renderer: Renderer, clips: Frames
) -> None:
    pose_extractor = PoseExtractor(DISC_POSE).eval().requires_grad_(False)
    # Of these random weights the numbers hardly depend on the pose: the scale makes up for it.
    planes = opening_maps(heights_by(pose_extractor), tracks.poses, scale=0.5)
    shown = planes.of(tracks.poses.view(12, 20, 64))
    assert shown.shape == (12, 20, 3, 8, 8)
    points = pose_extractor.key_points(tracks.poses.view(-1, 1, 8, 8)).view(12, 20, 14, 2)
    for plane, (upper, lower) in enumerate(((2, 4), (5, 7), (9, 10))):  # lids, lids, lips
        height = points[:, :, lower, 1] - points[:, :, upper, 1]
        wanted = 0.5 * (height - height.mean()) / height.std()
        assert torch.allclose(shown[:, :, plane, 3, 4], wanted, atol=1e-3)

    config = replace(CONFIG, openings_scale=0.5)
    stage = MotionStage(config, tracks, 1, renderer, clips, pose_extractor)
    assert "openings" in stage.validate()
    found = [stage.step(index, 0.1) for index in range(8)]
    assert all(np.isfinite(list(losses.values())).all() for losses in found)
    assert (
        stage.state_dict()["networks"]["pair_critic"]["netD.scale0_layer0.0.weight"].shape[1] == 8
    )
    with pytest.raises(UsageError, match="discriminators of poses"):
        replace(config, supervise="images")


def test_poses_rendered_together_are_normalised_each_alone(
    renderer: Renderer, clips: Frames
) -> None:
    """With the authors' statistics; and motion supervised on images trains with them."""
    network = renderer.appearance_net
    own = AppearanceRecomposer(replace(network.config, normalisation="per_image")).eval()
    own.load_state_dict(network.state_dict())
    per_image = replace(renderer, appearance_net=own)
    poses = torch.rand(2, 6, 64, generator=torch.Generator().manual_seed(0))
    made = {}
    for name, one in (("per_image", per_image), ("running", renderer)):
        appearance = one.appearance_of(clips.image_batch(np.arange(2)))
        with torch.no_grad():
            single, whole = (one.clips_of(appearance, poses, count) for count in (1, 12))
        torch.testing.assert_close(single, whole, atol=1e-5, rtol=1e-4)
        made[name] = whole
    assert (made["per_image"] - made["running"]).abs().mean() > 1e-3
    config = replace(CONFIG, supervise="images")
    stage = MotionStage(config, whole_tracks(clips), 1, per_image, clips)
    losses = stage.step(0, 0.9)
    assert all(np.isfinite(value) for value in losses.values())
    for key, value in network.state_dict().items():
        assert torch.equal(own.state_dict()[key], value), key


def test_with_batch_statistics_all_poses_of_a_step_are_one_batch(
    renderer: Renderer, clips: Frames
) -> None:
    """As the authors' step: E_app and R in training mode, R on all poses in one call."""
    network = copy.deepcopy(renderer.appearance_net)
    own = replace(renderer, appearance_net=network)
    frames = clips.image_batch(np.arange(1))
    poses = torch.rand(1, 6, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    appearance = own.appearance_of(frames, as_batch=True)
    gradients = []
    for count in (2, 6):  # pictures that are made at once do not matter
        made = own.clips_of(appearance, poses, count, as_batch=True)
        gradients.extend(torch.autograd.grad(made.square().mean(), poses))
    assert all(
        torch.equal(value, network.state_dict()[key])
        for key, value in renderer.appearance_net.state_dict().items()
    )
    network.train()
    ws = network.recompose(network.encode(frames), poses.view(6, 1, 8, 8))
    plain = own.generator.synthesis(ws)
    torch.testing.assert_close(made[0], plain, atol=1e-5, rtol=1e-4)
    wanted = torch.autograd.grad(plain.square().mean(), poses)[0]
    for gradient in gradients:
        torch.testing.assert_close(gradient, wanted, atol=1e-7, rtol=1e-3)
    with pytest.raises(UsageError, match="batch_statistics is for supervise: images"):
        replace(CONFIG, batch_statistics=True)


def test_other_supervision_is_refused(
    tracks: PoseTracks, renderer: Renderer, clips: Frames
) -> None:
    stage = MotionStage(CONFIG, tracks, 1, renderer, clips)
    state = stage.state_dict()
    del state["supervise"]  # a save of before there was a choice
    stage.load_state_dict(state)
    with pytest.raises(UsageError, match="supervised on poses, not images: train into another"):
        MotionStage(
            replace(CONFIG, supervise="images"), whole_tracks(clips), 1, renderer, clips
        ).load_state_dict(state)
    with pytest.raises(UsageError, match="supervise 'both'"):
        replace(CONFIG, supervise="both")


def whole_tracks(clips: Frames) -> PoseTracks:
    spans = clips.clips(held_out=False, min_frames=CONFIG.num_frames)
    random = torch.Generator().manual_seed(1)
    return PoseTracks(torch.rand(int(spans[:, 1].sum()), 64, generator=random), spans)


def test_made_sequences_come_to_move_as_far_as_real_ones(
    tracks: PoseTracks, renderer: Renderer, clips: Frames
) -> None:
    config = replace(
        CONFIG, lr=1e-3, structure_function_weight=30.0, marginals_weight=0.5, increments_weight=0.5
    )
    stage = MotionStage(config, tracks, 1, renderer, clips, LinearKeyPoints())
    found = [stage.step(index, 0.1) for index in range(80)]
    moved = [losses["structure"] for losses in found]
    assert np.mean(moved[-20:]) < 0.7 * np.mean(moved[:5])
    assert all(np.isfinite(losses["marginals"] + losses["increments"]) for losses in found)
    with pytest.raises(UsageError, match="sequences of poses"):
        replace(config, supervise="images")


def test_more_sequences_for_statistics_than_for_discriminators(
    tracks: PoseTracks, renderer: Renderer, clips: Frames
) -> None:
    config = replace(
        CONFIG, num_clips=2, num_statistics_clips=6, discriminators_every=3, marginals_weight=1.0
    )
    assert config.batch_size == 6 * 8
    stage = MotionStage(config, tracks, 1, renderer, clips, LinearKeyPoints())
    judged: list[int] = []
    for network in (stage.pair_discriminator, stage.clip_discriminator):
        network.register_forward_pre_hook(lambda _, inputs: judged.append(len(inputs[0])))

    def weights(network: torch.nn.Module) -> torch.Tensor:
        return torch.cat([p.detach().flatten() for p in network.parameters()])

    for index in range(4):
        before = [weights(network) for network in stage.networks.values()]
        judged.clear()
        losses = stage.step(index, 0.1)
        changed = [
            not torch.equal(weights(network), old)
            for network, old in zip(stage.networks.values(), before, strict=True)
        ]
        seen = index % 3 == 0
        assert changed == [True, seen, seen]
        assert set(judged) == ({2} if seen else set())
        assert set(losses) >= ({"marginals", "g_clip", "d_clip"} if seen else {"marginals"})
        assert seen or set(losses) == {"marginals"}


def test_parts_of_a_batch_have_the_same_of_both_kinds(
    tracks: PoseTracks, renderer: Renderer, clips: Frames
) -> None:
    """Each of two parts has half of what the critics see, and half of the rest."""
    config = replace(CONFIG, num_clips=4, num_statistics_clips=10, marginals_weight=1.0)
    stage = MotionStage(config, tracks, 1, renderer, clips, LinearKeyPoints())
    batch = stage.batches.next(0)
    parts = [batch.of(BatchSplit(index, 2)) for index in range(2)]
    assert [(part.num_judged, len(part.clips), len(part.mix)) for part in parts] == [(2, 5, 2)] * 2
    for of_all, of_parts in (
        (batch.clips[:4], [part.clips[:2] for part in parts]),
        (batch.clips[4:], [part.clips[2:] for part in parts]),
    ):
        assert sorted(np.concatenate(of_parts).tolist()) == sorted(of_all.tolist())


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_statistics_clips": 8},  # without a loss on values
        {"discriminators_every": 2},
        {"num_statistics_clips": 3, "marginals_weight": 1.0},  # fewer than num_clips
        {"discriminators_every": 0, "marginals_weight": 1.0},
    ],
)
def test_settings_of_values_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="num_statistics_clips|discriminators_every"):
        replace(CONFIG, **wrong)  # type: ignore[arg-type]


def test_made_poses_come_nearer_to_those_of_the_data(
    tracks: PoseTracks, renderer: Renderer, clips: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pose_prior, "_STEPS", 200)
    config = replace(
        CONFIG, num_clips=4, num_statistics_clips=12, discriminators_every=99, pose_prior_weight=1.0
    )
    stage = MotionStage(config, tracks, 1, renderer, clips, LinearKeyPoints())
    with torch.no_grad():
        stage.sampler.w.mul_(20)  # it rushes off
    found = [stage.step(index, 0.1)["pose_prior"] for index in range(1, 60)]
    assert 0 <= np.mean(found[-5:]) < 0.7 * np.mean(found[:5])
