"""Batches of which a fixed share are frames of videos, the others images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stylefacev_cli.errors import DataError
from stylefacev_cli.training.batches.clip_frames import Frames, Sampler


class MixedSampler:
    """Rows of stills and of clips; over many batches their numbers have the ratio exactly."""

    def __init__(self, frames: Frames, seed: int, video_share: float) -> None:
        """Look for both kinds among the people that are trained on.

        Args:
            frames: the data.
            seed: of the order.
            video_share: share of the rows that are frames of clips, in [0, 1].

        Raises:
            DataError: one of the kinds is wanted, but not there.
        """
        self._share, self._drawn = video_share, 0
        from_clip = np.repeat(frames.moving, np.diff(frames.starts))
        rows = frames.rows(held_out=False)
        self._kinds: dict[str, Sampler] = {}
        for kind, share, chosen in (
            ("images", 1 - video_share, rows[~from_clip[rows]]),
            ("videos", video_share, rows[from_clip[rows]]),
        ):
            if share and not len(chosen):
                raise DataError(f"video_share is {video_share:g}, but the data has no {kind}")
            if share:
                self._kinds[kind] = Sampler(chosen, seed, frames.digest)

    def next(self, count: int) -> np.ndarray:
        """The next `count` rows, those of clips first."""
        before = self._num_videos
        self._drawn += count
        num_videos = self._num_videos - before
        wanted = {"videos": num_videos, "images": count - num_videos}
        return np.concatenate(
            [self._kinds[kind].next(number) for kind, number in wanted.items() if number]
        )

    @property
    def _num_videos(self) -> int:
        """Of all drawn so far; halves count, so that an even mix begins with a frame of a clip."""
        return math.floor(self._drawn * self._share + 0.5)

    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""
        kinds = {kind: sampler.state_dict() for kind, sampler in self._kinds.items()}
        return {"drawn": self._drawn, "kinds": kinds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there; what a run with another share did not draw begins anew."""
        self._drawn, kinds = state.get("drawn", 0), state.get("kinds", {})
        for kind, sampler in self._kinds.items():
            if kind in kinds:
                sampler.load_state_dict(kinds[kind])
