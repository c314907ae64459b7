from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.networks.stylefacev.appearance import AppearanceConfig, AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector, LandmarkDetectorConfig
from stylefacev_cli.networks.stylefacev.motion import MotionSamplerConfig
from stylefacev_cli.networks.stylefacev.motion_discriminator import MotionDiscriminatorConfig
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor, PoseExtractorConfig
from stylefacev_cli.networks.stylegan3.generator import Generator, GeneratorConfig
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.batches.pose_cache import PoseTracks, cached_poses
from stylefacev_cli.training.batches.rendering import Renderer
from stylefacev_cli.training.engine.batch_split import Share
from stylefacev_cli.training.extensions import pose_prior
from stylefacev_cli.training.extensions.motion_statistics import MotionValues
from stylefacev_cli.training.extensions.opening_maps import heights_by, opening_planes
from stylefacev_cli.training.losses.motion_losses import (
    gradient_penalty,
    marginal_loss,
    marginal_step_loss,
    relativistic,
    structure,
    structure_loss,
)
from stylefacev_cli.training.stages.motion import (
    MotionStage,
    MotionStageConfig,
)

CONFIG = MotionStageConfig(
    MotionSamplerConfig(hidden_dim=16),
    MotionDiscriminatorConfig(base_channels=4, max_channels=8, num_layers=2),
    num_clips=4,
    num_frames=8,
    lr=2e-3,
)


@pytest.fixture(scope="module")
def renderer(tiny_generator: GeneratorConfig) -> Renderer:
    torch.manual_seed(0)  # with some weights no gradient reaches the poses: all units are off
    generator = Generator(tiny_generator).eval()
    config = AppearanceConfig(
        64, 1, 4, 2, 1, (1, 1, 1, 1), (1, 1, 1, 1), 1, 8, generator.num_ws, tiny_generator.w_dim
    )
    return Renderer(generator, AppearanceRecomposer(config).eval(), torch.zeros(1, 3, 16, 16))


@pytest.fixture(scope="module")
def tracks() -> PoseTracks:
    """Slow random walks."""
    random = torch.Generator().manual_seed(0)
    steps = 0.05 * torch.randn(12, 20, 64, generator=random)
    poses = (steps.cumsum(dim=1) + 1).flatten(0, 1)
    return PoseTracks(poses, np.stack([np.arange(12) * 20, np.full(12, 20)], axis=1))


def test_all_three_learn_and_resume_exactly(
    tracks: PoseTracks, renderer: Renderer, clips: Frames
) -> None:
    whole = MotionStage(CONFIG, tracks, 1, renderer, clips)
    found = [whole.step(index, 0.1) for index in range(24)]
    # Two players: the penalty and the diversity fall for sure, the critics' balance may sway.
    for key in ("penalty", "diversity"):
        assert np.mean([s[key] for s in found[-4:]]) < np.mean([s[key] for s in found[:4]])
    for network in (whole.sampler, whole.pair_critic, whole.clip_critic):
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
    assert stage.sheet().shape == (3 * 16, 12 * 16, 3)


def test_critics_see_how_far_eyes_and_mouth_are_open(
    tracks: PoseTracks, renderer: Renderer, clips: Frames
) -> None:
    pose_extractor = (
        PoseExtractor(PoseExtractorConfig((8, 8, 1), (8, 8, 4), 8, 8, 1))
        .eval()
        .requires_grad_(False)
    )
    # Of these random weights the numbers hardly depend on the pose: the scale makes up for it.
    planes = opening_planes(heights_by(pose_extractor), tracks.poses, scale=0.5)
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


def test_relativistic_loss_is_what_its_formula_says() -> None:
    better, worse = torch.tensor([3.0, 1.0]), torch.tensor([0.0, 2.0])
    wanted = 0.5 * ((better - 1 - 1) ** 2).mean() + 0.5 * ((worse - 2) ** 2).mean()
    assert relativistic([better], [worse]) == wanted
    assert relativistic([better] * 2, [worse] * 2) == 2 * wanted


def test_gradient_penalty_is_zero_for_unit_slope() -> None:
    class Slope(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            return [x[:, :1] * 0.6 + x[:, 1:] * 0.8]

    x = torch.randn(2, 2, 3, 4, 4)
    penalty = gradient_penalty(Slope(), x, x + 1, torch.tensor([0.2, 0.7]))
    assert penalty < 1e-10


def test_poses_are_extracted_once(clips: Frames, tmp_path: Path) -> None:
    detector = LandmarkDetector(LandmarkDetectorConfig(64, 1, 8, 1)).eval()
    pose_extractor = PoseExtractor(PoseExtractorConfig((8, 8, 1), (8, 8, 4), 8, 8, 1)).eval()
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


def test_rendering_a_few_frames_at_a_time_remembers_less_and_gives_the_same(
    renderer: Renderer, clips: Frames
) -> None:
    appearance = renderer.appearance_of(clips.image_batch(np.arange(2)))
    found = []
    for num_at_once in (1, 12):
        poses = torch.ones(2, 6, 64).requires_grad_(True)
        remembered = 0

        def count(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal remembered
            remembered += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            made = renderer.clips_of(appearance, poses, num_at_once)
        assert made.shape == (2, 6, 3, 16, 16)
        made.square().mean().backward()
        assert poses.grad is not None and poses.grad.abs().sum() > 0
        assert remembered < 20 * poses.numel()  # what one frame's layers hold is a hundred times it
        found.append((made.detach(), poses.grad))
    direct = renderer.frames_of(appearance.repeat_interleave(6, 0), torch.ones(12, 64))
    for made, gradient in found:
        torch.testing.assert_close(made.flatten(0, 1), direct, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(gradient, found[0][1], atol=1e-7, rtol=1e-3)


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
    return PoseTracks(torch.zeros(int(spans[:, 1].sum()), 64), spans)


def test_structure_of_walks_and_of_jitter() -> None:
    random = torch.Generator().manual_seed(2)
    jitter = torch.randn(2000, 64, 2, generator=random)
    found = structure(torch.cat([jitter.cumsum(dim=1), jitter], dim=2))
    lags = torch.tensor([1.0, 2, 4, 8, 16, 32, 48])[:, None]
    torch.testing.assert_close(found[:, :2], lags.sqrt().expand(-1, 2), rtol=0.05, atol=0)
    torch.testing.assert_close(found[:, 2:], torch.full((7, 2), 2**0.5), rtol=0.05, atol=0)
    assert structure(jitter[:, :5]).shape == (3, 2)  # lags 1, 2 and 4
    loss = structure_loss(jitter * torch.tensor([2.0, 1.0]), structure(jitter))
    torch.testing.assert_close(loss, torch.tensor([np.log(2) ** 2, 0]).float())


def test_marginals_are_compared_by_rank() -> None:
    random = torch.Generator().manual_seed(3)
    real = torch.randn(1000, 2, generator=random)
    made = real[torch.randperm(1000, generator=random)] + torch.tensor([0.0, 0.3])
    torch.testing.assert_close(marginal_loss(made, real), torch.tensor([0.0, 0.3]))


def test_steps_tell_blinks_from_trembling() -> None:
    random = torch.Generator().manual_seed(4)
    blinks = (torch.rand(200, 60, 1, generator=random) < 0.1).float()
    trembling = blinks.std() * torch.randn(200, 60, 1, generator=random)
    wanted = structure(blinks)
    assert structure_loss(trembling, wanted).max() < 1e-3  # it cannot tell
    again = blinks[torch.randperm(200, generator=random)]
    assert marginal_step_loss(again, blinks) == 0
    assert marginal_step_loss(trembling, blinks) > 0.3
    assert marginal_step_loss(3 * trembling[:, :3], 3 * blinks[:, :3]) > 0.3  # one lag alone


def test_values_of_poses(tracks: PoseTracks) -> None:
    values = MotionValues.of_data(LinearKeyPoints(), tracks.poses, tracks.spans)
    assert values.groups == (64, 28, 3, 2, 1, 5)
    found = values.of(tracks.poses.view(12, 20, 64), np.arange(12))
    # From what is usual in each clip, in units of the deviation from it.
    assert found[..., :98].median(dim=1).values.abs().max() < 1e-4
    torch.testing.assert_close(found.square().mean(dim=(0, 1))[:98], torch.ones(98))
    components = tracks.poses @ values.components
    components = (components - components.mean(dim=0)) / components.std(dim=0)
    together = components.T @ components / (len(components) - 1)
    torch.testing.assert_close(together, torch.eye(64), atol=1e-3, rtol=0)  # uncorrelated
    moved = tracks.poses.view(12, 20, 64) + 5 * torch.arange(12)[:, None, None]
    other = MotionValues.of_data(LinearKeyPoints(), moved.flatten(0, 1), tracks.spans)
    linear = [*range(64, 94), *range(95, 98)]  # larger eyes are not opened further
    usual = other.of(moved, np.arange(12))[..., linear]
    torch.testing.assert_close(usual, found[..., linear], atol=2e-3, rtol=1e-3)
    # The size, of place and size; an eye's opening, of two; the mouth's; a level of five.
    for index, of in ((94, 3), (95, 2), (97, 1), (98, 5)):
        one = torch.zeros(103)
        one[index] = of
        assert float(values.mean_of(one)) == pytest.approx(1 / 6)


def test_the_size_of_faces_that_come_nearer() -> None:
    """The size is that of all key points together, in units of the data's."""
    distances = torch.linspace(1, 1.5, 20)
    values = MotionValues.of_data(Nearing(), torch.cat([distances] * 2)[:, None].expand(-1, 64),
                                  np.array([(0, 20), (20, 20)]))  # fmt: skip
    found = values.of(distances.view(1, -1, 1).expand(1, -1, 64), np.arange(1))
    size = found[0, :, 94] * values.scale[94]
    wanted = distances - distances.median()
    torch.testing.assert_close(size / size[-1], wanted / wanted[-1], atol=1e-4, rtol=0)


def test_values_tell_closed_eyes_from_drooping_ones() -> None:
    poses = torch.ones(2, 20, 64)
    poses[1] *= 3  # larger eyes
    poses[:, 4:7, 0] *= 0.1
    poses[:, 12:14, 0] *= 0.75
    spans = np.array([(0, 20), (20, 20)])
    values = MotionValues.of_data(Lids(), poses.flatten(0, 1), spans)
    levels = (values.of(poses, np.arange(2)) * values.scale)[..., 98:].unbind(dim=2)
    expected = torch.zeros(20)
    expected[4:7] = 1
    for level in levels[:2]:  # 0.4 and 0.6 of the usual opening
        torch.testing.assert_close(level, expected.expand(2, -1), atol=0.06, rtol=0)
    expected[12:14] = 1
    torch.testing.assert_close(levels[3], expected.expand(2, -1), atol=0.15, rtol=0)  # 0.9
    assert (levels[4][:, :4] > 0.85).all()  # 1.1: eyes at rest fall short of being wide open
    wide = poses.clone()
    wide[:, 15:17] *= 1.3
    found = (values.of(wide, np.arange(2)) * values.scale)[..., 102]
    assert (found[:, 15:17] < 0.05).all()


class Nearing(PoseExtractor):
    """Key points of a face whose distance is the first number of the pose."""

    def key_points(self, poses: torch.Tensor) -> torch.Tensor:
        face = torch.randn(14, 2, generator=torch.Generator().manual_seed(3))
        found: torch.Tensor = 0.5 + 0.1 * poses.flatten(1)[:, 0].view(-1, 1, 1) * face
        return found


class Lids(PoseExtractor):
    """Key points of which the first number of the pose opens the eyes."""

    def key_points(self, pose: torch.Tensor) -> torch.Tensor:
        points = torch.zeros(len(pose), 14, 2)
        points[:, [4, 7], 1] = pose.flatten(1)[:, :1]
        return points


class LinearKeyPoints(PoseExtractor):
    """Key points that are linear in the pose."""

    def key_points(self, pose: torch.Tensor) -> torch.Tensor:
        random = torch.Generator().manual_seed(5)
        return (pose.flatten(1) @ torch.randn(64, 28, generator=random)).view(-1, 14, 2)


def test_made_sequences_come_to_move_as_far_as_real_ones(
    tracks: PoseTracks, renderer: Renderer, clips: Frames
) -> None:
    config = replace(CONFIG, lr=1e-3, structure_weight=30.0, marginals_weight=0.5, steps_weight=0.5)
    stage = MotionStage(config, tracks, 1, renderer, clips, LinearKeyPoints())
    found = [stage.step(index, 0.1) for index in range(80)]
    moved = [losses["structure"] for losses in found]
    assert np.mean(moved[-20:]) < 0.7 * np.mean(moved[:5])
    assert all(np.isfinite(losses["marginals"] + losses["steps"]) for losses in found)
    with pytest.raises(UsageError, match="sequences of poses"):
        replace(config, supervise="images")


def test_more_sequences_for_values_than_for_critics(
    tracks: PoseTracks, renderer: Renderer, clips: Frames
) -> None:
    config = replace(CONFIG, num_clips=2, values_clips=6, critics_every=3, marginals_weight=1.0)
    assert config.batch_size == 6 * 8
    stage = MotionStage(config, tracks, 1, renderer, clips, LinearKeyPoints())
    judged: list[int] = []
    for critic in (stage.pair_critic, stage.clip_critic):
        critic.register_forward_pre_hook(lambda _, inputs: judged.append(len(inputs[0])))

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
    config = replace(CONFIG, num_clips=4, values_clips=10, marginals_weight=1.0)
    stage = MotionStage(config, tracks, 1, renderer, clips, LinearKeyPoints())
    batch = stage._next_batch(0)
    parts = [batch.of(Share(index, 2)) for index in range(2)]
    assert [(part.num_seen, len(part.clips), len(part.mix)) for part in parts] == [(2, 5, 2)] * 2
    for of_all, of_parts in (
        (batch.clips[:4], [part.clips[:2] for part in parts]),
        (batch.clips[4:], [part.clips[2:] for part in parts]),
    ):
        assert sorted(np.concatenate(of_parts).tolist()) == sorted(of_all.tolist())


@pytest.mark.parametrize(
    "wrong",
    [
        {"values_clips": 8},  # without a loss on values
        {"critics_every": 2},
        {"values_clips": 3, "marginals_weight": 1.0},  # fewer than num_clips
        {"critics_every": 0, "marginals_weight": 1.0},
    ],
)
def test_settings_of_values_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="values_clips|critics_every"):
        replace(CONFIG, **wrong)  # type: ignore[arg-type]


def test_made_poses_come_nearer_to_those_of_the_data(
    tracks: PoseTracks, renderer: Renderer, clips: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pose_prior, "_STEPS", 200)
    config = replace(CONFIG, num_clips=4, values_clips=12, critics_every=99, manifold_weight=1.0)
    stage = MotionStage(config, tracks, 1, renderer, clips, LinearKeyPoints())
    with torch.no_grad():
        stage.sampler.w.mul_(20)  # it rushes off
    found = [stage.step(index, 0.1)["manifold"] for index in range(1, 60)]
    assert 0 <= np.mean(found[-5:]) < 0.7 * np.mean(found[:5])
