"""Perceptual distances of image pairs, by name of their network.

LPIPS (Zhang et al. 2018) where the weights of its backbone are in torch hub's cache (lpips ships
only the linear layers), else the distance of `perceptual`, whose network comes from the package
index. They are not comparable, so the metric carries the network's name. LPIPS is not tested with
the released weights.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from stylefacev_cli.common.hashing import sha256_of
from stylefacev_cli.errors import MissingWeightsError, UsageError
from stylefacev_cli.metrics.perceptual import (
    EFFICIENTNET_GROUPS,
    MIN_SIZE_PX,
    PerceptualLoss,
)
from stylefacev_cli.weights.convert.efficientnet_weights import ENTRY as EFFICIENTNET_ENTRY
from stylefacev_cli.weights.convert.efficientnet_weights import load_efficientnet
from stylefacev_cli.weights.convert.vgg16_weights import FILE_NAME as VGG16_NAME
from stylefacev_cli.weights.downloads.cache import path_of
from stylefacev_cli.weights.downloads.registry import find_entry

BACKBONES = {"lpips-alex": "alexnet-owt-7be5be79.pth", "lpips-vgg": VGG16_NAME}
NAMES = ("auto", *BACKBONES, EFFICIENTNET_ENTRY)
BATCH = 16


@dataclass(frozen=True)
class ImageDistance:
    """A perceptual distance of images.

    Attributes:
        name: goes into the metric's name.
        sha256: of the file with the weights of its network.
        measure: images [N, 3, S, S] in [−1, 1] and as many others → [N].
    """

    name: str
    sha256: str
    measure: Callable[[Tensor, Tensor], Tensor]

    def between(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Distances [N] of images uint8 [N, S, S, 3] to as many others."""
        assert first.shape == second.shape, f"{list(first.shape)} and {list(second.shape)}"
        distances = []
        with torch.inference_mode():
            for some in range(0, len(first), BATCH):
                sides = (side[some : some + BATCH] for side in (first, second))
                distances.append(self.measure(*map(_as_tensor, sides)))
        return torch.cat(distances).double().numpy()


def image_distance(name: str = "auto") -> ImageDistance:
    """A perceptual distance by its name.

    Args:
        name: one of `NAMES`; `auto` is LPIPS (AlexNet, else VGG16) if its weights are present, else
            efficientnet-lite0.

    Raises:
        UsageError: no such distance.
        MissingWeightsError: its weights are not there and cannot be fetched.
    """
    if name not in NAMES:
        raise UsageError(f"no image distance {name!r}; there are {', '.join(NAMES)}")
    if name == "auto":
        present = [known for known in BACKBONES if _has_lpips() and _backbone_file(known).is_file()]
        name = present[0] if present else EFFICIENTNET_ENTRY
    if name == EFFICIENTNET_ENTRY:
        loss = PerceptualLoss(load_efficientnet(EFFICIENTNET_GROUPS), name)
        (file,) = find_entry(EFFICIENTNET_ENTRY).files
        return ImageDistance(f"perceptual-{name}", sha256_of(path_of(file)), loss.distances)
    path = _backbone_file(name)
    if not path.is_file():
        raise MissingWeightsError(
            f"{path} is not there: put torchvision's file there, or use {EFFICIENTNET_ENTRY}"
        )
    return ImageDistance(name, sha256_of(path), lpips_measure(_load_lpips(name)))


def lpips_measure(network: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """LPIPS as a function of images [N, 3, S, S] and others → [N]; small ones are enlarged."""

    def measure(images: Tensor, others: Tensor) -> Tensor:
        if images.shape[-1] < MIN_SIZE_PX:
            images, others = (
                F.interpolate(side, size=MIN_SIZE_PX, mode="bilinear", align_corners=False)
                for side in (images, others)
            )
        distances: Tensor = network(images, others)
        return distances.flatten()

    return measure


def _has_lpips() -> bool:
    """Whether the optional package is installed."""
    return importlib.util.find_spec("lpips") is not None


def _load_lpips(name: str) -> nn.Module:
    if not _has_lpips():
        raise MissingWeightsError(
            f"{name} needs the package lpips: pip install 'stylefacev[lpips]', or take "
            f"{EFFICIENTNET_ENTRY}"
        )
    import lpips  # slow to import, and seldom needed

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks torchvision for weights in an older way
        network: nn.Module = lpips.LPIPS(net=name.removeprefix("lpips-"), verbose=False)
    return network.eval().requires_grad_(False)


def _backbone_file(name: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / BACKBONES[name]


def _as_tensor(images: NDArray[np.uint8]) -> Tensor:
    return torch.tensor(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
