"""From frames to poses and key points, as all stages after the detector need it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylefacev_cli.common.autocast import HAS_BFLOAT16_PRODUCTS, multiplies
from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.stylefacev.landmarks import (
    LandmarkDetector,
    key_points_from_landmarks,
    landmarks_from_heatmaps,
)
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.networks.stylegan3.generator import Generator

DTYPES = {"float32": None, "bfloat16": torch.bfloat16}
"""Precision of products, by its name in a config; None is that of the numbers themselves."""

TARGETS = ("detected", "labels")
"""Where the key points that poses must tell come from: the detector, or the data."""


def check_dtype(name: str) -> None:
    """Refuse a precision that is not in `DTYPES`."""
    if name not in DTYPES:
        raise UsageError(f"dtype {name!r} is not one of {', '.join(DTYPES)}")


def check_targets(name: str) -> None:
    """Refuse a source of key points that is not in `TARGETS`."""
    if name not in TARGETS:
        raise UsageError(f"targets {name!r} is not {' or '.join(TARGETS)}")


def check_swaps(number: float, pose_factors: object, setting: str) -> None:
    """Refuse swaps without knowing what of the factors to swap."""
    if number and pose_factors is None:
        raise UsageError(f"{setting} needs pose_factors: which factors {{first, stop}} are a pose")


@contextmanager
def products_in(name: str) -> Iterator[None]:
    """Inside, convolutions and linear layers multiply in a precision of `DTYPES`.

    Where the CPU does not multiply bfloat16 well, in float32.
    """
    if name == "float32":
        yield
        return
    on_cpu, on_cuda = HAS_BFLOAT16_PRODUCTS, torch.cuda.is_available()
    with (
        torch.autocast("cpu", DTYPES[name], on_cpu),
        torch.autocast("cuda", DTYPES[name], on_cuda),
    ):
        yield


def arrange_for(name: str, *networks: nn.Module) -> None:
    """Put weights in the order that is fastest for a precision of `DTYPES`.

    Channels last, with bfloat16 only: in float32 PyTorch 2.14 crashed on the CPU in the backward
    pass of very small networks in that order.
    """
    if name == "bfloat16":
        for network in networks:
            if multiplies(torch.bfloat16, next(network.parameters()).device):
                network.to(memory_format=torch.channels_last)


def heatmaps_of(detector: LandmarkDetector, frames: Tensor) -> Tensor:
    """Heatmaps [N, 98, 64, 64] of frames [N, 3, S, S] in [−1, 1]."""
    heatmaps: Tensor = detector((frames + 1) / 2)
    return heatmaps


def pose_of(detector: LandmarkDetector, pose_extractor: PoseExtractor, frames: Tensor) -> Tensor:
    """Poses [N, 1, 8, 8] of frames [N, 3, S, S] in [−1, 1], with gradients into both networks."""
    poses: Tensor = pose_extractor(heatmaps_of(detector, frames))
    return poses


@torch.no_grad()
def detected_key_points(detector: LandmarkDetector, frames: Tensor) -> Tensor:
    """The 14 key points [N, 14, 2] that the detector finds, the targets of the pose."""
    return key_points_from_landmarks(landmarks_from_heatmaps(heatmaps_of(detector, frames)))


def random_transforms(
    count: int, max_rotation_deg: float, max_translation: float, generator: torch.Generator
) -> Tensor:
    """Inverse transforms that turn and shift an image, for the generator's input layer.

    Args:
        count: how many.
        max_rotation_deg: angles are uniform in ± this.
        max_translation: shifts on each axis are uniform in ± this, in image widths.
        generator: source of randomness.

    Returns:
        [count, 3, 3].
    """
    angle, x, y = (torch.rand(3, count, generator=generator) * 2 - 1).unbind()
    angle = angle * math.radians(max_rotation_deg)
    cos, sin = angle.cos(), angle.sin()
    rows = [cos, sin, x * max_translation, -sin, cos, y * max_translation]
    transforms = torch.eye(3).repeat(count, 1, 1)
    transforms[:, :2] = torch.stack(rows, dim=1).view(count, 2, 3)
    inverse: Tensor = torch.linalg.inv(transforms)
    return inverse


@contextmanager
def placed(generator: Generator, transforms: Tensor) -> Iterator[None]:
    """Inside, the generator draws image i under transforms[i] ([N, 3, 3], one for each image)."""
    layer = generator.synthesis.input
    before = layer.transform
    layer.transform = transforms.to(before)
    try:
        yield
    finally:
        layer.transform = before


def random_shifts(count: int, max_shift: float, random: torch.Generator) -> Tensor:
    """Shifts [count, 2] in x and y, uniform in ± `max_shift` image widths."""
    return (torch.rand(count, 2, generator=random) * 2 - 1) * max_shift


def shifted(frames: Tensor, landmarks: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Frames moved, the border repeated, and landmarks with them.

    Args:
        frames: [N, 3, S, S].
        landmarks: [N, 98, 2] fractions of the frame.
        shift: [N, 2] in image widths.
    """
    shift = shift.to(frames)
    transform = torch.eye(2, 3, device=frames.device).repeat(len(frames), 1, 1)
    transform[:, :, 2] = -2 * shift  # where to read, on a scale of 2 a frame
    grid = F.affine_grid(transform, list(frames.shape), align_corners=False)
    moved = F.grid_sample(frames, grid, padding_mode="border", align_corners=False)
    return moved, landmarks + shift[:, None]


def set_norms_training(network: nn.Module, is_training: bool) -> None:
    """Let batch normalisations use and move batch statistics, or the running ones as they are."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train(is_training)
