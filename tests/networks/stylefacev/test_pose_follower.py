"""The pose follower: its equation, its ranges, what it refuses."""

import pytest
import torch

from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.stylefacev.pose_follower import PoseFollower, PoseFollowerConfig
from stylefacev_cli.weights.manifest import NETWORK_NAMES


def follower() -> PoseFollower:
    torch.manual_seed(0)
    made = PoseFollower(PoseFollowerConfig(num_lip_components=3, hidden=16)).eval()
    torch.nn.init.normal_(made.lip_basis)
    made.lowest.fill_(-2)
    made.highest.fill_(2)
    return made


def test_the_equation() -> None:
    made = follower()
    made.pose_mean.fill_(0.5)
    made.pose_scale.fill_(0.25)
    rest, targets = torch.randn(1, 17), torch.randn(5, 17).clamp(-2, 2)
    pose = torch.rand(1, 1, 8, 8)
    start = (pose.flatten(1) - 0.5) / 0.25
    with torch.no_grad():
        poses = made(targets, rest, pose)
        for target, result in zip(targets, poses, strict=True):
            x = torch.cat([target - rest[0], rest[0], start[0]])
            expected = 0.25 * (start[0] + made.linear(x) + made.hidden(x)) + 0.5
            assert torch.allclose(result.flatten(), expected.clamp(min=0), atol=1e-5)
    assert poses.shape == (5, 1, 8, 8) and float(poses.min()) >= 0


def test_what_no_face_does_is_cut_off() -> None:
    made = follower()
    rest, pose = torch.zeros(1, 17), torch.rand(1, 1, 8, 8)
    with torch.no_grad():
        at_the_edge, beyond = (made(torch.full((1, 17), far), rest, pose) for far in (2.0, 9.0))
    assert torch.equal(at_the_edge, beyond)


def test_features_are_measures_and_lip_components() -> None:
    made = follower()
    made.scale.copy_(torch.arange(1.0, 18))
    measures = torch.randn(4, 94)
    features = made.features(measures)
    assert torch.allclose(features[:, :14], measures[:, :14] / torch.arange(1.0, 15))
    assert torch.allclose(features[:, 16], measures[:, 14:] @ made.lip_basis[2] / 17, atol=1e-5)
    with pytest.raises(AssertionError, match="94"):
        made.features(measures[:, 1:])


@pytest.mark.parametrize("wrong", [{"num_plain": 94}, {"num_plain": 2}, {"hidden": 0}])
def test_settings_that_cannot_be(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="follower"):
        PoseFollowerConfig(**wrong)


def test_it_is_a_network_of_models() -> None:
    assert "follower" in NETWORK_NAMES
