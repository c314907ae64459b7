"""Statistics of pose sequences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stage_runs import LinearKeyPoints

from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.training.batches.pose_cache import PoseTracks
from stylefacev_cli.training.extensions.motion_statistics import MotionStatistics


def test_values_of_poses(tracks: PoseTracks) -> None:
    values = MotionStatistics.of_data(LinearKeyPoints(), tracks.poses, tracks.spans)
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
    other = MotionStatistics.of_data(LinearKeyPoints(), moved.flatten(0, 1), tracks.spans)
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
    values = MotionStatistics.of_data(Nearing(), torch.cat([distances] * 2)[:, None].expand(-1, 64),
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
    values = MotionStatistics.of_data(Lids(), poses.flatten(0, 1), spans)
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
