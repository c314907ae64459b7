from __future__ import annotations

import copy
from dataclasses import replace

import conformance_vectors as vectors
import pytest
import torch
import torch.nn.functional as F
from tiny import DISC_APPEARANCE

from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.resize import resize_square
from stylefacev_cli.networks.stylefacev.appearance import AppearanceConfig, AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.batch_norm import (
    BatchNorm2d,
    PerImageNorm2d,
    batch_statistics,
)
from stylefacev_cli.networks.stylefacev.landmark_branch import LandmarkBranch
from stylefacev_cli.networks.stylefacev.landmarks import (
    LandmarkDetector,
    LandmarkDetectorConfig,
    heatmap_targets,
)

SMALL = replace(DISC_APPEARANCE, encoder_blocks=(1, 1, 2, 1), num_ws=5)
PER_IMAGE = AppearanceConfig(normalisation="per_image")


@pytest.mark.conformance
@pytest.mark.parametrize("name", vectors.names("stylefacev-appearance-recomposition"))
@torch.no_grad()
def test_network_gives_the_numbers_of_the_original(name):
    v = vectors.load(name)
    per_image = v.manifest.get("statistics", "").startswith("per image")
    network = v.fill(AppearanceRecomposer(PER_IMAGE if per_image else None))
    poses = v.value("recompose/pose", (2, 1, 8, 8)).abs()
    appearance = network.encode(vectors.test_image())
    ws = network.recompose(appearance, poses)
    # Each layer of random weights makes rounding a fifth larger where statistics are an image's
    # own: in float64 the same network is 1.4e-4 and 1.3e-3 off, in float32 with one thread 8.5e-5
    # and 7.7e-4, with two threads 5e-7 and 8e-6.
    exact = 1e-3 if per_image else 1e-4
    assert vectors.relative_error(appearance, v["appearance"]) < exact
    assert vectors.relative_error(ws, v["ws"]) < (1e-2 if per_image else 1e-4)
    recomposed = network.recompose(v.tensor("appearance"), poses)
    assert vectors.relative_error(recomposed, v["ws"]) < 1e-4


@pytest.mark.parametrize("stem_stride", [1, 2, 4])
def test_any_stem_and_any_frame_size_give_8_by_8(stem_stride):
    config = replace(SMALL, stem_stride=stem_stride, input_size=64 * stem_stride)
    network = AppearanceRecomposer(config).eval()
    for size in (40, 64 * stem_stride, 300):
        assert network.encode(torch.zeros(1, 3, size, size)).shape == (1, 8, 8, 8)


def test_one_appearance_serves_many_poses():
    torch.manual_seed(0)
    network = AppearanceRecomposer(SMALL).eval()
    appearance = network.encode(torch.rand(1, 3, 64, 64))
    poses = torch.rand(3, 1, 8, 8)
    ws = network.recompose(appearance, poses)
    assert ws.shape == (3, 5, 16)
    repeated = network.recompose(appearance.expand(3, -1, -1, -1), poses)
    assert torch.allclose(ws, repeated, rtol=1e-5, atol=1e-7)


def per_image(seed=0):
    """A network whose statistics have nothing to do with its inputs, and the same one per image."""
    torch.manual_seed(seed)
    network = AppearanceRecomposer(SMALL).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
        elif isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    other = AppearanceRecomposer(replace(SMALL, normalisation="per_image")).eval()
    other.load_state_dict(network.state_dict(), strict=True)
    return network, other


@torch.no_grad()
def test_per_image_is_training_mode_with_one_image_at_a_time():
    network, own = per_image()
    frames, poses = torch.rand(8, 3, 64, 64) * 2 - 1, torch.rand(8, 1, 8, 8)
    before = {name: value.clone() for name, value in own.state_dict().items()}
    appearance = own.encode(frames)
    ws, of_one = own.recompose(appearance, poses), own.recompose(appearance[:1], poses)
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())
    assert vectors.relative_error(ws, network(frames, poses)) > 0.3

    network.train()
    plain = torch.cat([network.encode(frame[None]) for frame in frames])
    plain_ws, plain_of_one = (
        torch.cat([network.recompose(a[None], p[None]) for a, p in zip(who, poses, strict=True)])
        for who in (plain, plain[:1].expand_as(plain))
    )
    assert vectors.relative_error(appearance, plain) < 1e-5
    assert vectors.relative_error(ws, plain_ws) < 1e-5
    assert vectors.relative_error(of_one, plain_of_one) < 1e-5
    assert vectors.relative_error(own(frames[:1], poses[:1]), ws[:1]) < 1e-5


def as_torch(network):
    """The same network in training mode with torch's own batch normalisation."""
    plain = copy.deepcopy(network).train()
    for parent in list(plain.modules()):
        for name, module in list(parent.named_children()):
            if isinstance(module, BatchNorm2d):
                own = torch.nn.BatchNorm2d(module.num_features)
                own.load_state_dict(module.state_dict())
                setattr(parent, name, own)
    return plain


@pytest.mark.parametrize("count", [1, 2, 5])
def test_per_image_trains_by_the_statistics_of_the_batch(count):
    """One appearance in several poses: R's are of all of them, as in the authors' steps."""
    _, own = per_image()
    plain = as_torch(own)
    frame, poses = torch.rand(1, 3, 64, 64) * 2 - 1, torch.rand(count, 1, 8, 8)
    sampled = own(frame.expand(count, -1, -1, -1), poses)
    made = own.train().recompose(own.encode(frame), poses)
    theirs = plain.recompose(plain.encode(frame), poses)
    torch.testing.assert_close(made, theirs)
    if count > 1:
        assert vectors.relative_error(made.detach(), sampled.detach()) > 0.05
    made.square().sum().backward()
    theirs.square().sum().backward()
    gradients = {name: p.grad for name, p in plain.named_parameters()}
    for name, parameter in own.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-3, atol=1e-5)
    for name, value in plain.state_dict().items():  # running statistics, too, and how many steps
        torch.testing.assert_close(own.state_dict()[name], value)
    assert own.bn1.num_batches_tracked == 1
    # They are not read: with those of before, the network samples what it did.
    torch.testing.assert_close(own.eval()(frame.expand(count, -1, -1, -1), poses), sampled)


@torch.no_grad()
@pytest.mark.parametrize("which", [0, 1])
def test_batch_statistics_leave_no_trace(which):
    network = per_image()[which]
    frames, poses = torch.rand(3, 3, 64, 64), torch.rand(3, 1, 8, 8)
    before = copy.deepcopy(network.state_dict())
    sampled = network(frames, poses)
    with batch_statistics(network):
        found = network(frames, poses)
    torch.testing.assert_close(found, as_torch(network)(frames, poses))
    assert torch.equal(network(frames, poses), sampled)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("training", [False, True])
def test_one_place_has_no_statistics(training):
    for one_place in (PerImageNorm2d(3).train(training), torch.nn.BatchNorm2d(3)):
        with pytest.raises(ValueError, match="Expected more than 1"):
            one_place(torch.ones(1, 3, 1, 1))


def test_every_parameter_learns_at_batch_1():
    torch.manual_seed(0)
    network = AppearanceRecomposer(SMALL)
    network(torch.randn(1, 3, 64, 64), torch.rand(1, 1, 8, 8)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_starts_from_normal_weights():
    torch.manual_seed(0)
    network = AppearanceRecomposer(SMALL)
    assert network.fc_a.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert network.fc_a.bias.abs().max() == 0


def test_centre_on_starts_at_the_mean_w():
    network = AppearanceRecomposer(SMALL)
    torch.nn.init.zeros_(network.fc_a.weight)
    mean_w = torch.randn(16)
    network.centre_on(mean_w)
    ws = network(torch.rand(2, 3, 64, 64), torch.rand(2, 1, 8, 8))
    assert torch.equal(ws, mean_w.expand(2, 5, 16))


def test_other_shapes_are_refused():
    network = AppearanceRecomposer(SMALL)
    with pytest.raises(AssertionError, match="frames"):
        network.encode(torch.zeros(1, 1, 64, 64))
    with pytest.raises(AssertionError, match="square"):
        network.encode(torch.zeros(1, 3, 64, 60))
    with pytest.raises(AssertionError, match="appearance"):
        network.recompose(torch.zeros(1, 7, 8, 8), torch.zeros(1, 1, 8, 8))
    with pytest.raises(AssertionError, match="poses"):
        network.recompose(torch.zeros(1, 8, 8, 8), torch.zeros(1, 64))
    with pytest.raises(AssertionError, match="do not fit"):
        network.recompose(torch.zeros(2, 8, 8, 8), torch.zeros(3, 1, 8, 8))


DETECTOR = LandmarkDetectorConfig(input_size=64, stem_stride=1, width=8, depth=1)


def with_branch() -> tuple[AppearanceRecomposer, AppearanceRecomposer]:
    """A network, and the same one with a branch."""
    torch.manual_seed(0)
    network = AppearanceRecomposer(SMALL).eval()
    detector = LandmarkDetector(DETECTOR).eval()
    grown = network.with_landmarks(detector)
    assert grown.branch is not None and grown.config.landmarks == DETECTOR
    for name, value in detector.state_dict().items():
        assert torch.equal(grown.branch.finder.state_dict()[name], value)
    return network, grown


def test_a_new_branch_adds_nothing_and_then_learns_without_its_detector():
    frames, poses = torch.rand(6, 3, 64, 64) * 2 - 1, torch.rand(6, 1, 8, 8)
    network, grown = with_branch()
    with torch.no_grad():
        assert torch.equal(grown(frames, poses), network(frames, poses))
    before = {name: value.clone() for name, value in grown.branch.state_dict().items()}
    grown.train()
    optimiser = torch.optim.SGD(grown.parameters(), 0.1)
    for _ in range(2):  # in the first step there is no way through the last layer, which is 0
        optimiser.zero_grad()
        grown(frames, poses).square().sum().backward()
        optimiser.step()
    for name, value in grown.branch.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("finder."), name


def test_form_is_part_of_the_appearance_and_the_same_in_every_pose_and_w():
    frames = torch.rand(2, 3, 64, 64) * 2 - 1
    network, grown = with_branch()
    torch.nn.init.normal_(grown.branch.added.weight)
    poses = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        appearance = grown.encode(frames)
        assert appearance.shape == (2, grown.config.num_channels, 8, 8) == (2, 9, 8, 8)
        assert torch.equal(appearance[:, :8], network.encode(frames))
        added = grown.recompose(appearance[:1], poses) - network.recompose(
            appearance[:1, :8], poses
        )
        landmarks, features, _ = grown.landmark_inputs(frames)
        form = grown.branch.shape_offsets(landmarks, features)
    assert form.abs().max() > 0.01
    torch.testing.assert_close(added, form[:1, None].expand(3, SMALL.num_ws, -1))
    with pytest.raises(AssertionError, match="appearance"):
        grown.recompose(appearance[:, :8], poses[:2])


def test_a_branch_starts_from_principal_components_and_scaled_features():
    branch = LandmarkBranch(DETECTOR, num_features=5, w_dim=16)
    directions = torch.randn(3, 196, dtype=torch.float64)
    faces = (0.5 + 0.05 * torch.randn(200, 3, dtype=torch.float64) @ directions).float()
    features = torch.tensor([1e-2, 1.0, 30.0, 2.0, 5.0]) * torch.randn(200, 5) + 7
    branch.init_from(faces.view(-1, 98, 2), features)
    with torch.no_grad():
        seen = branch.directions(faces)
    torch.testing.assert_close(seen.mean(dim=0), torch.zeros(96), atol=1e-3, rtol=0)
    torch.testing.assert_close(seen.std(dim=0)[:3], torch.ones(3), atol=2e-3, rtol=0)
    assert seen.std(dim=0)[3:].max() < 0.01
    with torch.no_grad():
        branch.hidden1.weight[:, 96:].mul_(features.std(dim=0))
    torch.testing.assert_close(
        branch.hidden1.weight.std(dim=0)[-4:],
        branch.hidden1.weight.std(dim=0)[3:4].expand(4),
        rtol=0.3,
        atol=0,
    )


def test_landmarks_are_where_the_heatmaps_mass_is(monkeypatch):
    branch = LandmarkBranch(DETECTOR, num_features=5, w_dim=16)
    points = 0.2 + 0.6 * torch.rand(2, 98, 2)
    haze = 0.05 * torch.rand(2, 98, 64, 64)
    heatmaps = heatmap_targets(points, 64, sigma_px=1.2) + haze
    monkeypatch.setattr(branch.finder, "forward", lambda images: heatmaps)
    frames, features = torch.zeros(2, 3, 64, 64), torch.randn(2, 5)
    found = branch.landmarks(frames)
    torch.testing.assert_close(found, points, atol=1.5e-3, rtol=0)  # a tenth of a pixel
    with torch.autocast("cpu", torch.bfloat16):  # its numbers are 0.002 of the frame apart
        assert torch.equal(branch.landmarks(frames), found)
        assert branch.shape_offsets(found, features).dtype == torch.float32


@pytest.mark.parametrize(
    "settings",
    [
        {"stem_stride": 3},
        {"input_size": 128},
        {"encoder_blocks": (1, 1)},
        {"appearance_channels": 63},
        {"normalisation": "batch"},
    ],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError, match=next(iter(settings))):
        AppearanceConfig(**settings)


def test_resize_is_the_mean_of_areas_when_shrinking_and_bilinear_when_enlarging():
    images = torch.rand(1, 3, 64, 64)
    assert resize_square(images, 64) is images
    assert torch.allclose(resize_square(images, 16), F.avg_pool2d(images, 4))
    enlarged = resize_square(images[..., :2, :2], 4)
    ramp = torch.tensor([0.0, 0.25, 0.75, 1.0])
    top, bottom = images[0, 0, 0, :2], images[0, 0, 1, :2]
    wanted = torch.outer(1 - ramp, torch.lerp(top[0], top[1], ramp)) + torch.outer(
        ramp, torch.lerp(bottom[0], bottom[1], ramp)
    )
    assert torch.allclose(enlarged[0, 0], wanted, atol=1e-6)
