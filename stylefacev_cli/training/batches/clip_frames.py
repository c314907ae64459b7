"""The frames that the stages train on, and the order of batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylefacev_cli.datasets.clips import need_one_rate, unlike_rates
from stylefacev_cli.errors import DataError
from stylefacev_cli.networks.stylefacev.landmarks import key_points_from_landmarks

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Frames:
    """Frames, clip after clip, N in all; the arrays are in memory or mapped from files.

    Attributes:
        images: uint8 [N, S, S, 3].
        factors: float32 [N, Z], the latent z of each frame; Z is 0 if the data has none.
        landmarks: float32 [N, 98, 2], fractions of the frame, x right and y down; NaN for frames
            without these labels.
        visible: bool [N, 98].
        held_out: bool [N], whether the frame's person is kept for validation.
        starts: int64 [C + 1], where each clip begins; the last entry is N.
        moving: bool [C], whether frames follow each other; not so in stills of one person, each
            of which has its own scene.
        fps: of the longest clip, since motion is learnt from long ones; 0 if there are only stills.
        key_points: float32 [N, 14, 2] or NaN as landmarks; None: they follow from the landmarks.
        device: where batches are put.
        hair: uint8 [N, S/4, S/4], the share of each 4×4 pixels that shows hair, of 255; 0 where a
            set does not say. None: no set does.
        digest: names what the sets hold; other data has another one.
        rates: float [C], frames a second of each clip; None: all have `fps`.
    """

    images: np.ndarray
    factors: np.ndarray
    landmarks: np.ndarray
    visible: np.ndarray
    held_out: np.ndarray
    starts: np.ndarray
    moving: np.ndarray
    fps: float
    device: torch.device = CPU
    key_points: np.ndarray | None = None
    hair: np.ndarray | None = None
    digest: str = ""
    rates: np.ndarray | None = None

    def rows(self, *, held_out: bool) -> np.ndarray:
        """Indices of the frames for training or for validation."""
        return np.flatnonzero(self.held_out == held_out)

    def for_grid(self, count: int) -> np.ndarray:
        """Rows for a sample grid: evenly spread over held-out people, or over all if none are."""
        held_out = self.rows(held_out=True)
        return spread(held_out if len(held_out) else self.rows(held_out=False), count)

    def clips(self, *, held_out: bool, min_frames: int) -> np.ndarray:
        """(first, number of frames) of every moving clip that is long enough: int64 [K, 2]."""
        lengths = np.diff(self.starts)
        chosen = self.moving & (lengths >= min_frames)
        chosen &= self.held_out[self.starts[:-1]] == held_out
        spans: np.ndarray = np.stack([self.starts[:-1], lengths], axis=1)[chosen]
        return spans

    def need_one_rate(self, min_frames: int, what: str) -> None:
        """Make sure that moving clips which are long enough have one number of frames a second.

        Raises:
            DataError: they have several; `what` needs one.
        """
        if self.rates is not None:
            chosen = self.moving & (np.diff(self.starts) >= min_frames)
            need_one_rate(unlike_rates(self.rates[chosen].tolist()), what)

    def image_batch(self, rows: np.ndarray) -> Tensor:
        """Images [len(rows), 3, S, S] float32 in [−1, 1]."""
        batch = torch.from_numpy(self.images[rows]).to(self.device).permute(0, 3, 1, 2)
        return batch.float().div_(127.5).sub_(1).contiguous()

    def factor_batch(self, rows: np.ndarray) -> Tensor:
        """Latents z [len(rows), Z].

        Raises:
            DataError: the data has none.
        """
        if not self.factors.shape[1]:
            raise DataError(
                "these settings need the latents of rendered faces, which the data lacks: train "
                "on a set of `stylefacev data render`, or give objective: adversarial, and 0 for "
                "paired_weight, pair_share, frame_share, swap_share, key_point_surrogate_weight, "
                "video_embedding_weight, joint.num_swaps, joint.num_swap_poses"
            )
        return torch.from_numpy(self.factors[rows]).to(self.device)

    def landmark_batch(self, rows: np.ndarray) -> Tensor:
        """Landmarks [len(rows), 98, 2]."""
        return torch.from_numpy(self.landmarks[rows]).to(self.device)

    def visible_batch(self, rows: np.ndarray) -> Tensor:
        """Which landmarks can be seen, bool [len(rows), 98]."""
        return torch.from_numpy(self.visible[rows]).to(self.device)

    def key_point_batch(self, rows: np.ndarray) -> Tensor:
        """Key points [len(rows), 14, 2]."""
        if self.key_points is None:
            return key_points_from_landmarks(self.landmark_batch(rows))
        return torch.from_numpy(self.key_points[rows]).to(self.device)

    def hair_batch(self, rows: np.ndarray) -> Tensor | None:
        """Shares of hair [len(rows), 1, S/4, S/4] in [0, 1]; None if no set says where hair is."""
        if self.hair is None:
            return None
        return torch.from_numpy(self.hair[rows]).to(self.device).float().div_(255)[:, None]

    def need_landmarks(self, what: str) -> None:
        """Make sure that every frame has the 98 landmarks.

        Raises:
            DataError: some have not; `what` needs them.
        """
        if np.isnan(self.landmarks).any():
            raise DataError(
                f"{what} needs 98 landmarks for every frame, and some of the data has none (sets "
                "prepared with face-alignment have 68): prepare with --detector face-mesh, or "
                "leave those sets out here; the stages finish, pose, appearance and motion need no "
                "labels"
            )

    def need_key_points(self, what: str) -> None:
        """Make sure that every frame has the 14 key points (errors as `need_landmarks`)."""
        points = self.landmarks if self.key_points is None else self.key_points
        if np.isnan(points).any():
            raise DataError(
                f"{what} needs key points for every frame, and some of the data has none: make the "
                "set with `stylefacev data render` or `data prepare`"
            )


def spread(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the rows, evenly spread."""
    chosen = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    few: np.ndarray = rows[chosen]
    return few


class Sampler:
    """Rows in random order, every row once before any comes again; its position can be saved."""

    def __init__(self, rows: np.ndarray, seed: int, data: str = "") -> None:
        """Begin the first round.

        Args:
            rows: what is drawn from.
            seed: of the order.
            data: the digest of the frames that the rows are of.
        """
        assert len(rows)
        self._rows, self._seed, self._data = rows, seed, data
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
        about = {"num_rows": len(self._rows), "data": self._data}
        return {"epoch": self._epoch, "position": self._position, **about}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there; if there is other data now, with a new round over all of it."""
        same = state.get("num_rows") == len(self._rows)
        same = same and state.get("data", self._data) == self._data  # older saves do not tell
        self._epoch = state["epoch"] if same else state.get("epoch", 0) + 1
        self._position = state["position"] if same else 0
        self._order = self._shuffled()

    def _shuffled(self) -> np.ndarray:
        return np.random.default_rng([self._seed, self._epoch]).permutation(self._rows)


class PairSampler:
    """Two different frames of the same clip: appearance and target."""

    def __init__(self, frames: Frames, seed: int, *, held_out: bool) -> None:
        self._spans = frames.clips(held_out=held_out, min_frames=2)
        if not len(self._spans):
            raise DataError("there are no clips of two frames: render clips beside the stills")
        # Each frame is a target once a round; its partner is drawn from the same clip.
        rows = np.concatenate([np.arange(first, first + n) for first, n in self._spans])
        self._targets = Sampler(rows, seed, frames.digest)
        self._seed, self._drawn = seed, 0

    def next(self, count: int) -> np.ndarray:
        """Rows [count, 2]: appearance, target."""
        targets = self._targets.next(count)
        random = np.random.default_rng([self._seed, self._drawn])
        self._drawn += 1
        spans = self._spans[np.searchsorted(self._spans[:, 0], targets, side="right") - 1]
        first, length = spans.T
        offset = random.integers(1, length)
        partners = first + (targets - first + offset) % length
        return np.stack([partners, targets], axis=1)

    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""
        return {"targets": self._targets.state_dict(), "drawn": self._drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._targets.load_state_dict(state["targets"])
        self._drawn = state["drawn"]


class SwapSampler:
    """Two frames of any people: appearance and pose."""

    def __init__(self, frames: Frames, seed: int) -> None:
        rows = frames.rows(held_out=False)
        digest = frames.digest
        self._samplers = Sampler(rows, seed, digest), Sampler(rows, seed + 1, digest)

    def next(self, count: int) -> np.ndarray:
        """Rows [count, 2]: appearance, pose."""
        return np.stack([sampler.next(count) for sampler in self._samplers], axis=1)

    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""
        return {"samplers": [sampler.state_dict() for sampler in self._samplers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        for sampler, saved in zip(self._samplers, state["samplers"], strict=True):
            sampler.load_state_dict(saved)


@dataclass(frozen=True)
class ClipWindow:
    """Which frames of a clip are an example of the joint stage."""

    num_frames: int = 2  # targets
    frame_step: int = 3  # between them
    min_gap: int = 5  # from them to the frame that shows the appearance …
    max_gap: int = 15  # … before or after

    @property
    def span(self) -> int:
        """Frames that a clip must have at least."""
        return (self.num_frames - 1) * self.frame_step + self.min_gap + 1


class WindowSampler:
    """Windows of clips: the row of the appearance frame, then those of the targets."""

    def __init__(self, frames: Frames, window: ClipWindow, seed: int, *, held_out: bool) -> None:
        spans = frames.clips(held_out=held_out, min_frames=window.span)
        if not len(spans):
            raise DataError(
                f"no clip has the {window.span} frames that the joint stage needs: render clips"
            )
        self._spans, self._window = spans, window
        self._clips = Sampler(np.arange(len(spans)), seed, frames.digest)
        self._seed, self._drawn = seed, 0

    def next(self, count: int) -> np.ndarray:
        """Rows [count, 1 + num_frames]."""
        random = np.random.default_rng([self._seed, self._drawn])
        self._drawn += 1
        return np.stack([self._draw(self._spans[i], random) for i in self._clips.next(count)])

    def _draw(self, span: np.ndarray, random: np.random.Generator) -> np.ndarray:
        window, (start, length) = self._window, (int(value) for value in span)
        reach = (window.num_frames - 1) * window.frame_step
        gap = int(random.integers(window.min_gap, min(window.max_gap, length - 1 - reach) + 1))
        first = int(random.integers(0, length - reach - gap))  # of the window with its gap
        if random.random() < 0.5:
            appearance, frames = first, first + gap
        else:
            appearance, frames = first + reach + gap, first
        rows: np.ndarray = start + frames + window.frame_step * np.arange(window.num_frames)
        return np.concatenate([[start + appearance], rows])

    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""
        return {"clips": self._clips.state_dict(), "drawn": self._drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._clips.load_state_dict(state["clips"])
        self._drawn = state["drawn"]
