"""A model of a few thousand random weights, at sizes that take milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stylefacev_cli.weights.bundle import Networks

TINY_RESOLUTION_PX = 16
TINY_FPS = 12.0


def tiny_networks(seed: int = 0) -> Networks:
    """The five networks at sizes that take milliseconds."""
    import torch

    from stylefacev_cli.networks.stylefacev.appearance import AppearanceConfig, AppearanceRecomposer
    from stylefacev_cli.networks.stylefacev.landmarks import (
        LandmarkDetector,
        LandmarkDetectorConfig,
    )
    from stylefacev_cli.networks.stylefacev.motion import MotionSampler, MotionSamplerConfig
    from stylefacev_cli.networks.stylefacev.pose import PoseExtractor, PoseExtractorConfig
    from stylefacev_cli.networks.stylegan3.generator import Generator, GeneratorConfig
    from stylefacev_cli.weights.bundle import Networks

    torch.manual_seed(seed)
    generator = GeneratorConfig(
        z_dim=24,
        w_dim=32,
        img_resolution=TINY_RESOLUTION_PX,
        channel_base=128,
        channel_max=8,
        num_layers=4,
        first_cutoff=1.0,
        first_stopband=2.0,
        margin_size=2,
        filter_size=2,
        conv_kernel=1,
    )
    appearance = AppearanceConfig(
        input_size=64,
        stem_stride=1,
        base_channels=4,
        encoder_blocks=(1, 1, 1, 1),
        recomposer_blocks=(1, 1, 1, 1),
        lift_blocks=1,
        appearance_channels=8,
        num_ws=6,
        w_dim=32,
    )
    pose = PoseExtractorConfig(
        channels=(8, 4, 1), inner_channels=(8, 4, 2), head_channels=4, blocks_per_stage=1
    )
    networks = Networks(
        generator=Generator(generator),
        landmarks=LandmarkDetector(LandmarkDetectorConfig(64, stem_stride=1, width=8, depth=2)),
        pose=PoseExtractor(pose),
        appearance=AppearanceRecomposer(appearance),
        motion=MotionSampler(MotionSamplerConfig(hidden_dim=8, step_size=0.5)),
    )
    # Untrained networks hardly answer to their inputs; these do.
    synthesis = networks.generator.synthesis
    with torch.no_grad():
        for module in [*networks.appearance.modules(), *networks.pose.modules()]:
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.ones_(module.weight)
        torch.nn.init.normal_(networks.appearance.fc_a.weight, std=0.1)
        torch.nn.init.normal_(networks.motion.w)
        synthesis.get_submodule(synthesis.layer_names[-1]).weight.mul_(10)
    return networks
