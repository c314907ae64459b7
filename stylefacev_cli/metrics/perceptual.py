"""Perceptual distance: the L1 distance of two images in the features of a trained image network.

Training takes it as a loss, `eval diversity` as a measure.

The paper uses VGG16. Where its weights are at hand (the entry `vgg16`, or torch hub's cache) it is
taken, as lpips cuts it; else EfficientNet-Lite0 from the package index, a named offline network.
Both are compared with channels brought to unit length at each place, as LPIPS does, averaged over
the layers and scaled so that two unrelated faces are about 0.02 apart: the paper's weight of 100
makes it a few times L1.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylefacev_cli.errors import IntegrityError, UsageError
from stylefacev_cli.weights.convert.efficientnet_weights import load_efficientnet
from stylefacev_cli.weights.convert.vgg16_weights import read_vgg16_features, vgg16_file

EFFICIENTNET_GROUPS = 4  # the deepest of them sees 16 px cells; the later ones hardly see a face
MIN_SIZE_PX = 64  # smaller images are enlarged first, or the deep layers have nothing to look at
SCALE = 0.02
NAMES = ("auto", "vgg16", "efficientnet-lite0", "none")
VGG_MEAN = (0.485, 0.456, 0.406)
VGG_STD = (0.229, 0.224, 0.225)


class PerceptualLoss(nn.Module):
    """Mean distance of images in the features of a frozen network.

    Attributes:
        name: of the network, for the log and the record of a run.
    """

    def __init__(self, network: nn.Module, name: str, min_size_px: int = MIN_SIZE_PX) -> None:
        super().__init__()
        self.name = name
        self._network = network.eval().requires_grad_(False)
        self._min_size_px = min_size_px

    def train(self, mode: bool = True) -> PerceptualLoss:
        """Stay in evaluation mode: running statistics must not move."""
        return super().train(False)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Distance of images [N, 3, S, S] in [−1, 1] to targets of the same shape: a scalar."""
        return self.distances(images, targets).mean()

    def distances(self, images: Tensor, targets: Tensor) -> Tensor:
        """Distance of each image [N, 3, S, S] in [−1, 1] to its target: [N]."""
        with torch.no_grad():
            wanted = self._features(targets)
        distances = [
            (a - b).abs().sum(dim=1).mean(dim=(1, 2))
            for a, b in zip(self._features(images), wanted, strict=True)
        ]  # of each layer, [N]
        return SCALE * torch.stack(distances).mean(dim=0)

    def _features(self, images: Tensor) -> list[Tensor]:
        size = images.shape[-1]
        if size < self._min_size_px:
            images = F.interpolate(
                images, size=self._min_size_px, mode="bilinear", align_corners=False
            )
        return [F.normalize(feature, dim=1, eps=1e-6) for feature in self._network(images)]


def load_perceptual(name: str) -> PerceptualLoss | None:
    """Get a perceptual loss by name.

    Args:
        name: `vgg16`, `efficientnet-lite0`, `none`, or `auto`: vgg16 if its weights are there.

    Raises:
        UsageError: another name.
        MissingWeightsError: the weights are not there and cannot be fetched.
    """
    name = resolve_perceptual(name)
    if name == "none":
        return None
    if name == "vgg16":
        return PerceptualLoss(_Vgg16(read_vgg16_features()), name)
    return PerceptualLoss(load_efficientnet(EFFICIENTNET_GROUPS), name)


def resolve_perceptual(name: str) -> str:
    """The network that a name stands for; nothing is loaded.

    Raises:
        UsageError: no such name.
    """
    if name not in NAMES:
        raise UsageError(f"perceptual: {name!r} is not one of {', '.join(NAMES)}")
    if name == "auto":
        return "vgg16" if vgg16_file().exists() else "efficientnet-lite0"
    return name


class _Vgg16(nn.Module):
    """VGG16's features after the five blocks, as lpips cuts it."""

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Mapping[str, Tensor] | None = None) -> None:
        """Build it; without weights of torchvision's `features` they are random."""
        super().__init__()
        from lpips.pretrained_networks import vgg16  # slow to import, and seldom needed

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it asks torchvision in an older way
            self.slices = vgg16(requires_grad=False, pretrained=False)
        if weights is not None:
            names = {name: name.partition(".")[2] for name in self.slices.state_dict()}
            lacking = set(names.values()) - weights.keys()
            if lacking:
                raise IntegrityError(f"{vgg16_file()} lacks features.{min(lacking)}")
            self.slices.load_state_dict({name: weights[there] for name, there in names.items()})
        self.register_buffer("mean", torch.tensor(VGG_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(VGG_STD)[:, None, None])

    def forward(self, images: Tensor) -> list[Tensor]:
        images = ((images + 1) / 2 - self.mean) / self.std
        return list(self.slices(images))
