"""The authors' eight files, under their names and in their formats, with tiny networks."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from persistence_pickles import snapshot_of

from stylefacev_cli.networks.stylefacev.appearance import AppearanceConfig, AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector, LandmarkDetectorConfig
from stylefacev_cli.networks.stylefacev.motion import MotionSampler
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor, PoseExtractorConfig
from stylefacev_cli.networks.stylegan3.generator import Generator, GeneratorConfig
from stylefacev_cli.weights.convert.file_names import EXPORT_NAMES, PRETRAINED_NAMES

SMALL = GeneratorConfig(
    z_dim=16, w_dim=8, img_resolution=32, channel_base=512, channel_max=16, num_layers=6
)


def fill(module: torch.nn.Module, seed: int = 0) -> None:
    """Random weights and statistics, as after training."""
    random = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not name.endswith("_filter"):
            tensor.copy_(torch.rand(tensor.shape, generator=random) * 0.2 + 0.01)


def released_networks(generator: GeneratorConfig = SMALL) -> dict[str, torch.nn.Module]:
    """All but the generator: published strides, small widths."""
    sizes = {"num_ws": generator.num_layers + 2, "w_dim": generator.w_dim}
    return {
        "appearance": AppearanceRecomposer(
            AppearanceConfig(base_channels=4, appearance_channels=8, **sizes)
        ),
        "landmarks": LandmarkDetector(LandmarkDetectorConfig(width=8)),
        "pose": PoseExtractor(
            PoseExtractorConfig((8, 4, 1), (8, 4, 2), head_channels=4, head_inner_channels=8)
        ),
        "motion": MotionSampler(),
        "detector": LandmarkDetector(LandmarkDetectorConfig(width=8)),
    }


def write_released(folder: Path, config: GeneratorConfig = SMALL, *, filled: bool = True) -> Path:
    """Write the files.

    Args:
        folder: where to.
        config: of the generator.
        filled: with weights as `fill` makes them; else as networks begin, which can be trained.
    """
    for seed, (name, module) in enumerate(released_networks(config).items()):
        if filled:
            fill(module, seed)
        state: Any = module.state_dict()
        if name in PRETRAINED_NAMES:
            torch.save(state, folder / PRETRAINED_NAMES[name])
            state = {
                key: tensor + 1 if tensor.is_floating_point() else tensor
                for key, tensor in state.items()
            }
        if name == "landmarks":  # as DataParallel saves it
            state = OrderedDict((f"module.{key}", tensor) for key, tensor in state.items())
        elif name == "detector":  # as it is published: with further hourglasses, in the old format
            state |= {"m1.coordconv.conv.weight": torch.zeros(3), "bl0.bias": torch.zeros(3)}
            state = {"state_dict": state, "epoch": 3}
        legacy = name == "detector"
        torch.save(state, folder / EXPORT_NAMES[name], _use_new_zipfile_serialization=not legacy)
    generator = Generator(config)
    if filled:
        fill(generator)
    (folder / "network-snapshot-005000.pkl").write_bytes(snapshot_of(generator))
    return folder
