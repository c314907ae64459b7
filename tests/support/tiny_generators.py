"""Generators of both configurations, T and R, at sizes that take milliseconds."""

from __future__ import annotations

import dataclasses

import torch

from stylefacev_cli.networks.stylegan3.generator import Generator, GeneratorConfig

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
TINY_R = dataclasses.replace(TINY_T, conv_kernel=1, use_radial_filters=True, filter_size=6)


def make(config: GeneratorConfig, seed: int = 0) -> Generator:
    torch.manual_seed(seed)
    return Generator(config).eval()
