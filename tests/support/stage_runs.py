"""Short runs of stages, and what their tests compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from every_stage import tensors_of
from tiny import DISC_APPEARANCE
from torch import nn

from stylefacev_cli.metrics.perceptual import PerceptualLoss
from stylefacev_cli.networks.stylefacev.appearance import AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.clip_frames import ClipWindow, Frames
from stylefacev_cli.training.batches.recomposition_pairs import PoseFactors
from stylefacev_cli.training.stages.joint import JointStage
from stylefacev_cli.training.stages.joint_batches import JointNetworks
from stylefacev_cli.training.stages.joint_settings import JointStageConfig

WINDOW = ClipWindow(num_frames=2, frame_step=3, min_gap=4, max_gap=8)
SWAPPED = PoseFactors(1, 3)
FURTHER: dict[str, Any] = {"pose_factors": SWAPPED, "video_embedding_weight": 10.0}


def joint_stage(
    config: JointStageConfig,
    clips: Frames,
    generator: Generator,
    detector: LandmarkDetector,
    pose_extractor: PoseExtractor,
    perceptual: PerceptualLoss | None,
) -> JointStage:
    torch.manual_seed(3)
    appearance_net = AppearanceRecomposer(DISC_APPEARANCE).eval()
    before = JointNetworks(generator, detector, pose_extractor, appearance_net, detector)
    return JointStage(config, clips, 1, before, perceptual)


def run(stage: Any, num_steps: int, progress: float = 0.1) -> list[dict[str, float]]:
    return [stage.step(index, progress) for index in range(num_steps)]


def assert_resumes(make: Callable[[], Any], whole: Any, num_steps: int) -> None:
    """A run that is resumed half-way ends as the `whole` one, to the bit."""
    half = num_steps // 2
    first, second = make(), make()
    run(first, half)
    second.load_state_dict(first.state_dict())
    for index in range(half, num_steps):
        second.step(index, 0.1)
    a, b = tensors_of(whole.state_dict()), tensors_of(second.state_dict())
    assert len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def mean(found: list[dict[str, float]], key: str) -> float:
    return float(np.mean([step[key] for step in found]))


def without_gradient(network: nn.Module) -> list[str]:
    return [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]


class LinearKeyPoints(PoseExtractor):
    """Key points that are linear in the pose."""

    def key_points(self, pose: torch.Tensor) -> torch.Tensor:
        random = torch.Generator().manual_seed(5)
        return (pose.flatten(1) @ torch.randn(64, 28, generator=random)).view(-1, 14, 2)
