"""Fréchet video distance, and the kernel distance on the same features.

Source: Unterthiner et al. 2018; the clip rules are those of StyleGAN-V's `fvd2048_…` protocols.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.metrics.feature_distances import (
    Estimate,
    Features,
    frechet_distance,
    frechet_floor,
    kernel_distance,
    kernel_subset,
)
from stylefacev_cli.networks.features.i3d import MIN_FRAMES, NUM_LOGITS, preprocess

Clip = NDArray[np.uint8]  # [T, H, W, 3]
RELIABLE_CLIPS = 2048  # below, the number says more of the sample's size than of the videos
MIN_CLIPS = 16
NUM_RESAMPLES = 10


@dataclass(frozen=True)
class FvdProtocol:
    """How clips are taken; numbers of different protocols are not comparable."""

    num_clips: int
    num_frames: int
    stride: int = 1

    def __post_init__(self) -> None:
        """Check the values once."""
        if self.num_frames < MIN_FRAMES:
            raise UsageError(f"a clip has at least {MIN_FRAMES} frames: {self.num_frames} given")
        if self.num_clips < MIN_CLIPS:
            raise UsageError(f"FVD needs at least {MIN_CLIPS} clips: {self.num_clips} given")
        if self.stride < 1:
            raise UsageError("the stride is at least 1")

    @property
    def id(self) -> str:
        """Its name, as in StyleGAN-V."""
        every = f"_subsample{self.stride}f" if self.stride > 1 else ""
        return f"fvd{self.num_clips}_{self.num_frames * self.stride}f{every}"


PROTOCOLS = {
    "fvd2048_16f": FvdProtocol(2048, 16),
    "fvd2048_128f": FvdProtocol(2048, 128),
    "fvd2048_128f_subsample8f": FvdProtocol(2048, 16, 8),
}


@dataclass(frozen=True)
class FvdResult:
    """What was found, and how far it can be trusted."""

    num_fake: int
    num_real: int
    fvd: float
    fvd_resampled: Estimate  # over halves of both sets, drawn anew each time
    kvd: Estimate
    floor: float  # FVD of two halves of the real clips
    floor_clips: int  # in each of the halves
    warnings: tuple[str, ...]


def clip_features(
    network: Callable[[torch.Tensor], torch.Tensor], clips: Iterable[Clip]
) -> Features:
    """The network's logits of clips: float32 [N, 400]; arguments as for `feature_rows`."""
    return np.concatenate(
        [np.zeros((0, NUM_LOGITS), np.float32)]
        + [row[None] for row in feature_rows(network, clips)]
    )


def feature_rows(
    network: Callable[[torch.Tensor], torch.Tensor], clips: Iterable[Clip]
) -> Iterator[Features]:
    """The network's logits of one clip after another: float32 [400]; memory holds one clip.

    Args:
        network: clips [1, 3, T, 224, 224] → [1, 400].
        clips: uint8 [T, H, W, 3].
    """
    for clip in clips:
        frames = torch.tensor(clip).permute(0, 3, 1, 2)
        with torch.inference_mode():
            row: Features = network(preprocess(frames)[None])[0].numpy()
        yield row


def compare(fake: Features, real: Features, num_clips: int, seed: int = 0) -> FvdResult:
    """FVD and KVD of two sets of features, with the floor that sets of this size have.

    Args:
        fake: [N, 400].
        real: [N, 400], in random order. The first `num_clips` are compared; with as many more,
            the floor has the same number of clips; else it is that of two halves, and higher.
        num_clips: of each side, at most.
        seed: of the resampling.

    Raises:
        DataError: there are too few clips, or features that are not finite.
    """
    every, fake, real = real, fake[:num_clips], real[:num_clips]
    fewest = min(len(fake), len(real))
    if fewest < MIN_CLIPS:
        raise DataError(f"FVD needs at least {MIN_CLIPS} clips of each side; there are {fewest}")
    floor = frechet_floor(every, len(real))
    warnings = []
    if fewest < RELIABLE_CLIPS:
        warnings.append(
            f"{fewest} clips are few (papers take {RELIABLE_CLIPS}): read the number beside its "
            "floor, and compare it with none of another size"
        )
    if len(fake) != len(real):
        warnings.append(f"{len(fake)} made and {len(real)} real clips: the sides are not equal")
    warnings += floor.warning(fewest, "clips")
    random = np.random.default_rng(seed)
    resampled = [
        frechet_distance(_some(fake, fewest // 2, random), _some(real, fewest // 2, random))
        for _ in range(NUM_RESAMPLES)
    ]
    return FvdResult(
        num_fake=len(fake),
        num_real=len(real),
        fvd=frechet_distance(fake, real),
        fvd_resampled=Estimate(float(np.mean(resampled)), float(np.std(resampled, ddof=1))),
        kvd=kernel_distance(fake, real, subset_size=kernel_subset(fewest), seed=seed),
        floor=floor.distance,
        floor_clips=floor.count,
        warnings=tuple(warnings),
    )


def _some(features: Features, count: int, random: np.random.Generator) -> Features:
    chosen: Features = features[random.choice(len(features), count, replace=False)]
    return chosen


def frozen(clip: Clip) -> Clip:
    """The control without motion: the first frame, again and again."""
    return np.broadcast_to(clip[:1], clip.shape)


def shuffled(clip: Clip) -> Clip:
    """The control without order: the frames, mixed, each clip in an order of its own."""
    seed = zlib.crc32(clip.tobytes())
    mixed: Clip = clip[np.random.default_rng(seed).permutation(len(clip))]
    return mixed


CONTROLS: dict[str, Callable[[Clip], Clip]] = {"frozen": frozen, "shuffled": shuffled}
