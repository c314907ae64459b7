from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from discs import draw_frames, write_discs
from stage_runs import WINDOW, joint_stage
from tiny import DISC_APPEARANCE, DISC_GENERATOR, DISC_LANDMARKS, DISC_POSE

from stylefacev_cli.metrics.perceptual import PerceptualLoss
from stylefacev_cli.networks.features.efficientnet_lite import EfficientNetLite0
from stylefacev_cli.networks.stylefacev.appearance import AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.patch_discriminator import PatchDiscriminatorConfig
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.networks.stylegan3.generator import Generator, GeneratorConfig
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.batches.pose_cache import PoseTracks
from stylefacev_cli.training.batches.pose_features import heatmaps_of
from stylefacev_cli.training.batches.rendering import Renderer
from stylefacev_cli.training.stages.joint import JointStage
from stylefacev_cli.training.stages.joint_settings import JointStageConfig


@pytest.fixture(scope="session")
def stills() -> Frames:
    return draw_frames(40, 2)


@pytest.fixture(scope="session")
def clips() -> Frames:
    return draw_frames(5, 24)


@pytest.fixture(scope="session")
def tiny_generator() -> GeneratorConfig:
    return DISC_GENERATOR


@pytest.fixture(scope="session")
def clip_folder(clips: Frames, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_discs(clips, tmp_path_factory.mktemp("data") / "discs")


@pytest.fixture(scope="module")
def generator(tiny_generator: GeneratorConfig) -> Generator:
    torch.manual_seed(0)
    return Generator(tiny_generator).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def detector(clips: Frames) -> LandmarkDetector:
    """Untrained, but with running statistics as after training."""
    torch.manual_seed(0)
    network = LandmarkDetector(DISC_LANDMARKS)
    with torch.no_grad():
        for _ in range(20):
            heatmaps_of(network, clips.image_batch(np.arange(0, 96, 8)))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def pose_extractor(clips: Frames, detector: LandmarkDetector) -> PoseExtractor:
    torch.manual_seed(0)
    network = PoseExtractor(DISC_POSE)
    with torch.no_grad():
        heatmaps = heatmaps_of(detector, clips.image_batch(np.arange(0, 96, 8)))
        for _ in range(20):
            network.key_points(network(heatmaps))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def perceptual() -> PerceptualLoss:
    torch.manual_seed(0)
    return PerceptualLoss(EfficientNetLite0(1), "tiny", min_size_px=16)


@pytest.fixture
def joint(
    clips: Frames,
    generator: Generator,
    detector: LandmarkDetector,
    pose_extractor: PoseExtractor,
) -> Callable[..., JointStage]:
    """Makes joint stages of settings, on tiny networks."""

    def make(**settings: Any) -> JointStage:
        discriminator = PatchDiscriminatorConfig(base_channels=4, num_layers=1)
        config = JointStageConfig(discriminator, window=WINDOW, **settings)
        return joint_stage(config, clips, generator, detector, pose_extractor, None)

    return make


@pytest.fixture(scope="module")
def renderer(tiny_generator: GeneratorConfig) -> Renderer:
    torch.manual_seed(0)  # with some weights no gradient reaches the poses: all units are off
    generator = Generator(tiny_generator).eval()
    return Renderer(
        generator, AppearanceRecomposer(DISC_APPEARANCE).eval(), torch.zeros(1, 3, 16, 16)
    )


@pytest.fixture(scope="module")
def tracks() -> PoseTracks:
    """Slow random walks."""
    random = torch.Generator().manual_seed(0)
    steps = 0.05 * torch.randn(12, 20, 64, generator=random)
    poses = (steps.cumsum(dim=1) + 1).flatten(0, 1)
    return PoseTracks(poses, np.stack([np.arange(12) * 20, np.full(12, 20)], axis=1))
