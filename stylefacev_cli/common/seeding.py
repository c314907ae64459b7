"""The random numbers of a seed, the same on every machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch

_MOTION_STREAM = 1  # keeps the noise of a motion apart from the z of the same seed
_MAP_STREAM = 2  # and that of noise maps from both


def latent_of_seed(seed: int, z_dim: int) -> torch.Tensor:
    """The z [1, z_dim] of a seed, drawn as in NVIDIA's scripts (numpy's `RandomState`)."""
    z = np.random.RandomState(seed).randn(1, z_dim)
    return torch.from_numpy(z.astype(np.float32))


def latents_of_seeds(seeds: Iterable[int], z_dim: int) -> torch.Tensor:
    """The z [N, z_dim] of seeds."""
    return torch.cat([latent_of_seed(seed, z_dim) for seed in seeds])


def noise_of_seed(motion_seed: int, pose_dim: int) -> Iterator[torch.Tensor]:
    """Standard normal noise [1, pose_dim] of one step after another, without end."""
    sequence = np.random.SeedSequence((motion_seed, _MOTION_STREAM))
    random = np.random.RandomState(np.random.MT19937(sequence))
    while True:
        yield torch.from_numpy(random.randn(1, pose_dim).astype(np.float32))


def noise_maps_of_seed(seed: int, sizes: Sequence[int]) -> list[torch.Tensor]:
    """Standard normal maps [1, 1, size, size] of a seed, one of each size."""
    sequence = np.random.SeedSequence((seed, _MAP_STREAM))
    random = np.random.RandomState(np.random.MT19937(sequence))
    maps = [random.randn(1, 1, size, size).astype(np.float32) for size in sizes]
    return [torch.from_numpy(one) for one in maps]
