"""The one small interface of a video generator, for the models of Table 1 and for plug-ins.

A package of yours brings a further kind by an entry point, whose name is the kind:

    [project.entry-points."stylefacev.generators"]
    my-kind = "my_package:load"

`load(manifest, device)` gets what `bundle.yaml` says (its folder, the settings of its networks) and
a torch device, and gives a `VideoGenerator`. See `examples/toy_generator`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from stylefacev_cli.common.seed_ranges import MAX_SEED as MAX_SEED
from stylefacev_cli.errors import UsageError
from stylefacev_cli.media.frames import Frame

_PIXELS_PER_BATCH = 2**15  # so many are rendered at once: what a processor's cache holds
_MAX_BATCH = 16


class VideoGenerator(Protocol):
    """What every kind of model can do."""

    @property
    def fps(self) -> float:
        """Frames a second of its videos."""

    @property
    def resolution(self) -> int:
        """Height and width of its frames, px."""

    def sample(
        self, seed: int, num_frames: int, motion_seed: int, truncation: float
    ) -> Iterator[Frame]:
        """The frames of a video, uint8 [H, W, 3].

        A shorter video is the beginning of a longer one, and the same numbers give the same frames.

        Args:
            seed: 0 to 2^32 − 1; who it is.
            num_frames: how many.
            motion_seed: 0 to 2^32 − 1; how the face moves.
            truncation: 1 samples as trained, 0 gives the mean face.

        Raises:
            UsageError: it has no truncation, and one was asked for.
        """


def as_pictures(frames: torch.Tensor) -> npt.NDArray[np.uint8]:
    """Frames [N, 3, R, R] in [−1, 1] → uint8 [N, R, R, 3]."""
    levels = ((frames + 1) * 127.5).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def batch_size(resolution: int) -> int:
    """Frames that are rendered at once."""
    return max(1, min(_MAX_BATCH, _PIXELS_PER_BATCH // resolution**2))


def check_numbers(seed: int, num_frames: int, motion_seed: int, batch: int = 1) -> None:
    """Check what a video is sampled with.

    Raises:
        UsageError: a number out of range.
    """
    for what, number in (("seed", seed), ("motion seed", motion_seed)):
        if not 0 <= number <= MAX_SEED:
            raise UsageError(f"{what} {number} is not from 0 to {MAX_SEED}")
    if num_frames < 1:
        raise UsageError(f"{num_frames} frames make no video; give 1 or more")
    if batch < 1:
        raise UsageError(f"a batch of {batch} frames cannot be; give 1 or more")
