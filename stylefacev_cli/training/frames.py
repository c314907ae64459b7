"""The frames that the stages train on: sets of clips read into memory, and the order of batches."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylefacev_cli.data.clips import ClipSet
from stylefacev_cli.errors import DataError


@dataclass(frozen=True)
class Frames:
    """Frames in memory, clip after clip, N in all.

    Attributes:
        images: uint8 [N, S, S, 3].
        factors: float32 [N, Z], the latent z of each frame; Z is 0 if the data has none.
        landmarks: float32 [N, 98, 2], fractions of the frame, x right and y down.
        visible: bool [N, 98].
        held_out: bool [N], whether the frame's person is kept for validation.
        starts: int64 [C + 1], where each clip begins; the last entry is N.
        fps: of the clips.
    """

    images: np.ndarray
    factors: np.ndarray
    landmarks: np.ndarray
    visible: np.ndarray
    held_out: np.ndarray
    starts: np.ndarray
    fps: float

    def rows(self, *, held_out: bool) -> np.ndarray:
        """Indices of the frames for training or for validation."""
        return np.flatnonzero(self.held_out == held_out)

    def clips(self, *, held_out: bool, min_frames: int) -> np.ndarray:
        """(first, number of frames) of every clip that is long enough: int64 [K, 2]."""
        lengths = np.diff(self.starts)
        chosen = (lengths >= min_frames) & (self.held_out[self.starts[:-1]] == held_out)
        spans: np.ndarray = np.stack([self.starts[:-1], lengths], axis=1)[chosen]
        return spans

    def image_batch(self, rows: np.ndarray) -> Tensor:
        """Images [len(rows), 3, S, S] float32 in [−1, 1]."""
        batch = torch.from_numpy(self.images[rows]).permute(0, 3, 1, 2)
        return batch.float().div_(127.5).sub_(1).contiguous()

    def factor_batch(self, rows: np.ndarray) -> Tensor:
        """Latents z [len(rows), Z]."""
        return torch.from_numpy(self.factors[rows])

    def landmark_batch(self, rows: np.ndarray) -> Tensor:
        """Landmarks [len(rows), 98, 2]."""
        return torch.from_numpy(self.landmarks[rows])


def load_frames(folders: list[Path], resolution: int, held_out_permille: int) -> Frames:
    """Read sets of clips and stills.

    Args:
        folders: sets as `stylefacev data render` makes them.
        resolution: the size that the frames must have, px.
        held_out_permille: how many in a thousand persons are kept for validation; who they are
            depends on their names alone, so it stays when sets are added.

    Raises:
        DataError: a set is missing, damaged, empty or of another size.
    """
    if not folders:
        raise DataError("no data: name folders with --data, made by `stylefacev data render`")
    parts: dict[str, list[np.ndarray]] = {key: [] for key in _LABELS}
    lengths, fps = [], 0.0
    for folder in folders:
        clip_set = ClipSet(folder)
        for index in range(len(clip_set)):
            clip = clip_set.clip(index)
            images, labels = clip.frames(), clip.labels()
            if images.shape[1:] != (resolution, resolution, 3):
                raise DataError(
                    f"{folder}: clip {clip.id} is {images.shape[1]} px, "
                    f"the config says {resolution}"
                )
            held_out = zlib.crc32(clip.identity.encode()) % 1000 < held_out_permille
            parts["images"].append(images)
            parts["factors"].append(_label(labels, "factors", (len(images), 0)))
            parts["landmarks"].append(labels["landmarks"].astype(np.float32))
            parts["visible"].append(labels["visible"].astype(bool))
            parts["held_out"].append(np.full(len(images), held_out))
            lengths.append(len(images))
            fps = max(fps, float(clip.fps))
    if not lengths:
        raise DataError(f"no clips in {', '.join(map(str, folders))}")
    try:
        joined = {key: np.concatenate(arrays) for key, arrays in parts.items()}
    except ValueError as error:
        raise DataError(f"the sets do not go together: {error}") from error
    return Frames(**joined, starts=np.cumsum([0, *lengths]), fps=fps)


_LABELS = ("images", "factors", "landmarks", "visible", "held_out")


def _label(labels: dict[str, np.ndarray], name: str, missing: tuple[int, int]) -> np.ndarray:
    return labels[name].astype(np.float32) if name in labels else np.zeros(missing, np.float32)


class Sampler:
    """Rows in random order, every row once before any comes again; its position can be saved."""

    def __init__(self, rows: np.ndarray, seed: int) -> None:
        assert len(rows)
        self._rows, self._seed = rows, seed
        self._epoch = self._position = 0
        self._order = self._shuffled()

    def next(self, count: int) -> np.ndarray:
        """The next `count` rows."""
        chosen: list[np.ndarray] = []
        while count > 0:
            if self._position == len(self._order):
                self._epoch, self._position = self._epoch + 1, 0
                self._order = self._shuffled()
            part = self._order[self._position : self._position + count]
            self._position += len(part)
            count -= len(part)
            chosen.append(part)
        return np.concatenate(chosen)

    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""
        return {"epoch": self._epoch, "position": self._position, "num_rows": len(self._rows)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there; if there is other data now, with a new round over all of it."""
        same = state["num_rows"] == len(self._rows)
        self._epoch = state["epoch"] if same else state["epoch"] + 1
        self._position = state["position"] if same else 0
        self._order = self._shuffled()

    def _shuffled(self) -> np.ndarray:
        return np.random.default_rng([self._seed, self._epoch]).permutation(self._rows)
