"""Motion of parts of the face, scaled in pose space, with the default model's key-point head."""

from __future__ import annotations

import pytest
import torch

from stylefacev_cli.motion.pose_parts import (
    GROUPS,
    amplitudes,
    pose_covariance,
    scale_motion,
    scale_parts,
    scaled_key_points,
)
from stylefacev_cli.pipeline import Model, load_model

Case = tuple[Model, torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def case() -> Case:
    """The model, a track [64, 1, 8, 8] of its own, in which all parts move, how poses vary."""
    model = load_model(device="cpu")
    first_pose = model.extract_pose(model.first_frame(42))
    poses = torch.cat(list(model.motion(first_pose, 42, 64))).clone()
    return model, poses, pose_covariance(model.usual_poses.clone())


def read(case: Case, poses: torch.Tensor) -> torch.Tensor:
    head = case[0].networks.pose
    assert head is not None
    with torch.no_grad():
        return head.key_points(poses)


def ratios(case: Case, scales: dict[str, float]) -> dict[str, float]:
    model, poses, variation = case
    assert model.networks.pose is not None
    edited = scale_parts(model.networks.pose, poses, scales, variation)
    assert edited.shape == poses.shape and (edited >= poses.clamp(max=0) - 1e-6).all()
    before, after = amplitudes(read(case, poses)), amplitudes(read(case, edited))
    return {name: after[name] / before[name] for name in GROUPS}


def test_ones_change_nothing(case: Case) -> None:
    points = read(case, case[1])
    torch.testing.assert_close(scaled_key_points(points, {}), points, atol=1e-5, rtol=0)
    found = ratios(case, dict.fromkeys(GROUPS, 1.0))
    assert found == pytest.approx(dict.fromkeys(GROUPS, 1.0), abs=1e-2)


@pytest.mark.parametrize("part", list(GROUPS))
@pytest.mark.parametrize("factor", [0.0, 2.0])
def test_wanted_amplitudes(case: Case, part: str, factor: float) -> None:
    points = read(case, case[1])
    before, after = amplitudes(points), amplitudes(scaled_key_points(points, {part: factor}))
    for name in GROUPS:
        ratio = after[name] / before[name]
        # The eyes are among the points that the head is measured by: they get less.
        near = 0.6 if part == name == "eyes" else 0.3
        assert ratio == pytest.approx(factor if name == part else 1.0, abs=near)


@pytest.mark.parametrize("factor", [0.3, 1.4])
def test_the_head_moves_by_the_factor(case: Case, factor: float) -> None:
    found = ratios(case, {"head": factor})
    assert found["head"] == pytest.approx(factor, abs=0.05)
    assert all(abs(found[name] - 1) < 0.25 for name in GROUPS if name != "head"), found


@pytest.mark.parametrize(
    ("part", "factor", "reached"), [("mouth", 0.3, 0.75), ("mouth", 1.5, 1.2), ("eyes", 0.0, 0.75)]
)
def test_parts_follow_as_far_as_poses_can(
    case: Case, part: str, factor: float, reached: float
) -> None:
    found = ratios(case, {part: factor})
    assert min(factor, reached) <= found[part] <= max(factor, reached)
    assert found["head"] == pytest.approx(1, abs=0.03)
    assert all(abs(found[name] - 1) < 0.2 for name in GROUPS if name != part), found


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0])
def test_less_motion_around_the_mean(case: Case, factor: float) -> None:
    model, poses, variation = case
    assert model.networks.pose is not None
    scaled = scale_motion(model.networks.pose, poses, factor, variation)
    torch.testing.assert_close(scaled.mean(0), poses.mean(0))
    torch.testing.assert_close(scaled.std(0), factor * poses.std(0))


@pytest.mark.parametrize("factor", [1.01, 1.5, 2.0])
def test_more_motion_is_seen_in_key_points(case: Case, factor: float) -> None:
    """Poses alone that are moved 1.5 times as far show 1.4 times the head's movement."""
    model, poses, variation = case
    assert model.networks.pose is not None
    scaled = scale_motion(model.networks.pose, poses, factor, variation)
    before, after = amplitudes(read(case, poses)), amplitudes(read(case, scaled))
    assert after["head"] / before["head"] == pytest.approx(factor, abs=0.05)
    assert (scaled >= poses.min().clamp(max=0) - 1e-6).all()
    far = (scaled - poses.mean(0)).norm() / (poses - poses.mean(0)).norm()
    assert float(far) == pytest.approx(factor, abs=0.3)


@pytest.mark.parametrize("scales", [{"head": 0.0}, {"mouth": 2.0}, {"eyes": 0.0}])
def test_pictures_do_not_flicker(case: Case, scales: dict[str, float]) -> None:
    """Solved frame by frame alone, the steps between pictures were 1.7 to 4 times as large.

    What is to move further does take larger steps; but changes of direction, which flickering is
    made of, grow no faster than the steps.
    """
    model, poses, variation = case
    assert model.networks.pose is not None
    edited = scale_parts(model.networks.pose, poses, scales, variation)
    appearance = model.encode(model.first_frame(42))

    def step_and_roughness(track: torch.Tensor) -> tuple[float, float]:
        steps = model.render(model.recompose(appearance, track)).diff(dim=0)
        step = float(steps.abs().mean())
        return step, float(steps.diff(dim=0).abs().mean()) / step

    step, roughness = step_and_roughness(poses)
    edited_step, edited_roughness = step_and_roughness(edited)
    assert edited_step < (1.5 if max(scales.values()) > 1 else 1.25) * step
    assert edited_roughness < 1.15 * roughness
    noise = torch.randn(edited.shape, generator=torch.Generator().manual_seed(0))
    flickering = edited + 0.1 * poses.std() * noise
    assert step_and_roughness(flickering)[1] > 1.15 * roughness
