"""Fréchet and kernel distances of images, with precision and recall.

Source: Heusel et al. 2017 (FID), Bińkowski et al. 2018 (KID). Images are resized by the rules of
Parmar et al. 2022, "On aliased resizing": bicubic with antialiasing, channel by channel in float,
never rounded in between; or as TensorFlow 1 did, for numbers of that kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from stylefacev_cli.errors import UsageError
from stylefacev_cli.metrics.feature_distances import (
    Coverage,
    Estimate,
    Features,
    frechet_distance,
    frechet_floor,
    kernel_distance,
    kernel_subset,
    precision_recall,
)
from stylefacev_cli.networks.features.i3d import legacy_bilinear

Picture = NDArray[np.uint8]  # [H, W, 3]
RESIZES = {
    "clean": "bicubic with antialiasing, in float (clean-fid)",
    "tensorflow1": "bilinear, TensorFlow 1 (no half pixel, no antialias)",
}
RELIABLE_IMAGES = 10_000
BATCH = 16


@dataclass(frozen=True)
class FeatureNetwork:
    """A network of images, and what it wants to see.

    Attributes:
        name: goes into the metric's name.
        sha256: of the file of its weights.
        size_px: side of its input.
        features: [N, 3, S, S] with values from 0 to 255 → [N, D].
    """

    name: str
    sha256: str
    size_px: int
    features: Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class FidResult:
    """What was found, and how far it can be trusted."""

    num_fake: int
    num_real: int
    fid: float
    kid: Estimate
    kid_floor: Estimate  # KID of two halves of the real images: about 0, and how far it scatters
    coverage: Coverage
    floor: float  # FID of two halves of the real images
    floor_images: int  # in each of the halves
    warnings: tuple[str, ...]


def resized(image: Picture, size_px: int, resize: str) -> torch.Tensor:
    """An image at a network's size: float32 [3, S, S], 0 to 255.

    Raises:
        UsageError: no such rule.
    """
    if resize not in RESIZES:
        raise UsageError(f"no resize rule {resize!r}; there are {', '.join(RESIZES)}")
    if resize == "tensorflow1":
        planes = torch.tensor(image).permute(2, 0, 1)[None].float()
        return legacy_bilinear(planes, size_px)[0]
    size = (size_px, size_px)
    channels = [
        np.asarray(
            Image.fromarray(image[:, :, c].astype(np.float32)).resize(
                size, Image.Resampling.BICUBIC
            )
        )
        for c in range(3)
    ]
    return torch.from_numpy(np.stack(channels).clip(0, 255))


def image_features(
    network: FeatureNetwork, images: Iterable[Picture], resize: str = "clean"
) -> Features:
    """Features of images: float32 [N, D]; arguments as for `feature_rows`."""
    rows = list(feature_rows(network, images, resize))
    return np.stack(rows) if rows else np.zeros((0, 1), np.float32)


def feature_rows(
    network: FeatureNetwork, images: Iterable[Picture], resize: str = "clean"
) -> Iterator[Features]:
    """Features of one image after the other, `BATCH` at a time: float32 [D].

    Args:
        network: gives the features.
        images: uint8 [H, W, 3], of any sizes.
        resize: one of `RESIZES`.
    """
    for some in _batches(images):
        inputs = torch.stack([resized(image, network.size_px, resize) for image in some])
        with torch.inference_mode():
            rows = network.features(inputs).float().numpy()
        yield from rows


def even_mix(parts: list[Features]) -> Features:
    """Features of several sets in turn, one of each, until the first set ends: an even mix."""
    shortest = min(len(part) for part in parts)
    mixed: Features = np.stack([part[:shortest] for part in parts], axis=1)
    return mixed.reshape(-1, *parts[0].shape[1:])


def compare_images(fake: Features, real: Features, num_images: int, seed: int = 0) -> FidResult:
    """FID, KID, precision and recall of two sets of features, with the floor of the real ones.

    Args:
        fake: [N, D].
        real: [N, D], in random order: the first `num_images` are compared, the floor is that of
            two halves of all.
        num_images: of each side, at most.
        seed: of the subsets of KID.

    Raises:
        DataError: there are too few images, or features that are not finite.
    """
    every, fake, real = real, fake[:num_images], real[:num_images]
    fewest = min(len(fake), len(real))
    floor = frechet_floor(every, len(real))
    halves = every[: floor.count], every[floor.count : 2 * floor.count]
    warnings = []
    if fewest < RELIABLE_IMAGES:
        warnings.append(
            f"{fewest} images are few (papers take 50,000): read the number beside its floor, and "
            "compare it with none of another size"
        )
    warnings += floor.warning(fewest, "images")
    return FidResult(
        num_fake=len(fake),
        num_real=len(real),
        fid=frechet_distance(fake, real),
        kid=kernel_distance(fake, real, subset_size=kernel_subset(fewest), seed=seed),
        kid_floor=kernel_distance(
            *halves, subset_size=kernel_subset(min(fewest, floor.count)), seed=seed
        ),
        coverage=precision_recall(fake, real),
        floor=floor.distance,
        floor_images=floor.count,
        warnings=tuple(warnings),
    )


def _batches(images: Iterable[Picture]) -> Iterator[list[Picture]]:
    iterator = iter(images)
    while some := list(islice(iterator, BATCH)):
        yield some
