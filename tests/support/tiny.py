"""Tiny networks with random weights, at sizes that take milliseconds: the one source of them.

`tiny_networks` make a whole model; `DISC_…` are of the training tests, whose data are discs (see
`discs`); `TINY_T` and `TINY_R` are generators of both configurations; `RELEASED_GENERATOR` stands
for the authors' one in files of their formats (see `released_files`).
"""

from __future__ import annotations

from dataclasses import replace

import torch

from stylefacev_cli.networks.stylefacev.appearance import AppearanceConfig, AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector, LandmarkDetectorConfig
from stylefacev_cli.networks.stylefacev.motion import MotionSampler, MotionSamplerConfig
from stylefacev_cli.networks.stylefacev.motion_discriminator import MotionDiscriminatorConfig
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor, PoseExtractorConfig
from stylefacev_cli.networks.stylegan3.generator import Generator, GeneratorConfig
from stylefacev_cli.weights.bundle import Networks

TINY_RESOLUTION_PX = 16
TINY_FPS = 12.0
TINY_GENERATOR = GeneratorConfig(
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
TINY_LANDMARKS = LandmarkDetectorConfig(input_size=64, stem_stride=1, width=8, depth=2)
TINY_POSE = PoseExtractorConfig(
    channels=(8, 4, 1), inner_channels=(8, 4, 2), head_channels=4, blocks_per_stage=1
)
TINY_APPEARANCE = AppearanceConfig(
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
TINY_MOTION = MotionSamplerConfig(hidden_dim=8, step_size=0.5)

DISC_GENERATOR = GeneratorConfig(
    z_dim=12,
    w_dim=16,
    img_resolution=16,
    channel_base=256,
    channel_max=16,
    num_layers=4,
    margin_size=2,
    filter_size=4,
)
DISC_LANDMARKS = replace(TINY_LANDMARKS, depth=1)
DISC_POSE = PoseExtractorConfig((8, 8, 1), (8, 8, 4), 8, 8, 1)
DISC_APPEARANCE = replace(TINY_APPEARANCE, expansion=2, inner_ratio=1, w_dim=DISC_GENERATOR.w_dim)
DISC_MOTION = MotionSamplerConfig(hidden_dim=16)
DISC_MOTION_DISCRIMINATOR = MotionDiscriminatorConfig(base_channels=4, max_channels=8, num_layers=2)

TINY_T = GeneratorConfig(
    z_dim=8,
    w_dim=12,
    img_resolution=32,
    channel_base=256,
    channel_max=8,
    num_layers=6,
    margin_size=4,
    filter_size=4,
)
TINY_R = replace(TINY_T, conv_kernel=1, use_radial_filters=True, filter_size=6)

RELEASED_GENERATOR = GeneratorConfig(
    z_dim=16, w_dim=8, img_resolution=32, channel_base=512, channel_max=16, num_layers=6
)


def make_generator(config: GeneratorConfig, seed: int = 0) -> Generator:
    """An untrained generator, ready to draw."""
    torch.manual_seed(seed)
    return Generator(config).eval()


def tiny_networks(seed: int = 0) -> Networks:
    """The five networks of a model."""
    torch.manual_seed(seed)
    networks = Networks(
        generator=Generator(TINY_GENERATOR),
        landmarks=LandmarkDetector(TINY_LANDMARKS),
        pose=PoseExtractor(TINY_POSE),
        appearance=AppearanceRecomposer(TINY_APPEARANCE),
        motion=MotionSampler(TINY_MOTION),
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
