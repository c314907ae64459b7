"""Pictures that open eyes and mouth otherwise than the pose's key points tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from stylefacev_cli.networks.stylefacev.motion import MotionSampler, MotionSamplerConfig
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.training.extensions import eye_mouth_opening
from stylefacev_cli.training.extensions.eye_mouth_opening import ShownOpenings
from stylefacev_cli.training.extensions.opening_maps import heights

PEOPLE = 60
UNIT = 0.01  # of the frame: so far are eyes and mouth opened


class LinearKeyPoints(PoseExtractor):
    """Key points that are linear in the pose."""

    def key_points(self, pose: torch.Tensor) -> torch.Tensor:
        random = torch.Generator().manual_seed(5)
        return UNIT * (pose.flatten(1) @ torch.randn(64, 28, generator=random)).view(-1, 14, 2) / 8


def shown(poses: torch.Tensor) -> torch.Tensor:
    """What pictures show: half of what the key points tell, and another direction of the pose."""
    more = UNIT * poses[..., :1].expand(*poses.shape[:-1], 3)
    return 0.02 + 0.5 * heights(LinearKeyPoints(), poses.flatten(0, -2)).view_as(more) + more


def explained(found: torch.Tensor, wanted: torch.Tensor) -> float:
    off = (found - found.mean(dim=0)) - (wanted - wanted.mean(dim=0))
    return 1 - float(off.square().mean() / wanted.var(dim=0).mean())


@pytest.fixture
def clips() -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return list(torch.randn(PEOPLE, 30, 64, generator=random))


@pytest.fixture
def fitted(clips: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> ShownOpenings:
    """Fitted to people whose eyes and mouths are of different sizes."""
    people = iter(range(PEOPLE))

    def seen(renderer: Any, detector: Any, frame: Any, poses: torch.Tensor) -> torch.Tensor:
        return shown(poses) + UNIT * (next(people) % 5)

    monkeypatch.setattr(eye_mouth_opening, "_seen", seen)
    monkeypatch.setattr(eye_mouth_opening, "_STEPS", 1000)  # every_stage.py has fewer
    torch.manual_seed(2)
    found = new(clips)
    assert not found.is_fitted
    sampler = MotionSampler(MotionSamplerConfig(hidden_dim=16)).eval()
    nothing: Any = None
    found.fit(clips, torch.zeros(PEOPLE, 3, 8, 8), sampler, nothing, nothing)
    return found


def new(clips: list[torch.Tensor]) -> ShownOpenings:
    return ShownOpenings(LinearKeyPoints(), torch.cat(clips), seed=1)


def test_it_reads_what_pictures_show(fitted: ShownOpenings) -> None:
    poses = torch.randn(500, 64, generator=torch.Generator().manual_seed(3))
    by_key_points = explained(heights(LinearKeyPoints(), poses), shown(poses))
    assert by_key_points < 0.5
    assert explained(fitted.of(poses), shown(poses)) > 0.5 + by_key_points / 2
    assert fitted.explained is not None and fitted.explained_by_points is not None
    assert fitted.explained > 0.5 > fitted.explained_by_points
    # The level is the mean over people.
    off = fitted.of(poses).mean(dim=0) - shown(poses).mean(dim=0) - 2 * UNIT
    assert off.abs().max() < 0.3 * UNIT
    poses.requires_grad_(True)
    fitted.of(poses).sum().backward()
    assert poses.grad is not None and bool((poses.grad != 0).any())


def test_its_state_is_all_of_it(fitted: ShownOpenings, clips: list[torch.Tensor]) -> None:
    other = new(clips)
    other.load_state_dict(fitted.state_dict())
    assert other.is_fitted and other.explained == fitted.explained
    poses = torch.randn(20, 64)
    assert torch.equal(other.of(poses), fitted.of(poses))
    unknown = new(clips)
    unknown.load_state_dict(new(clips).state_dict())
    assert not unknown.is_fitted
    assert np.isfinite(float(unknown.of(poses).sum()))
