"""Training pairs of recomposition: generated faces with moved copies, frames of the data, swaps.

Making an example (latents, finding landmarks, extracting the pose) costs several times as much as
learning from it, and with fixed networks its result never changes: so examples can be kept. Poses
are part of the state that is saved; drawn pictures are made again, in chunks of a fixed size and
seed, so that a resumed run meets the same ones to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylefacev_cli.common.distributed import num_processes, process_index, sum_in_place
from stylefacev_cli.common.seeding import latents_of_seeds
from stylefacev_cli.networks.stylefacev.pose import POSE_SIZE
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.batches.pose_features import DTYPES, placed, random_transforms, shifted

CHUNK = 32
PoseOf = Callable[[Tensor], Tensor]  # frames [N, 3, S, S] → poses [N, 1, 8, 8]


@dataclass(frozen=True)
class Recomposition:
    """Examples: where the appearance is from, the targets and their ws."""

    appearance_from: Tensor  # frames [N, 3, S, S] in [−1, 1]
    frames: Tensor  # where the pose is from, and the targets (but of swaps); the same shape
    ws: Tensor  # [N, num_ws, w_dim] of the targets

    def first(self, count: int) -> Recomposition:
        """The first examples."""
        return Recomposition(*(getattr(self, field.name)[:count] for field in fields(self)))


def joined(parts: list[Recomposition]) -> Recomposition:
    """All examples of the parts, in their order."""
    return Recomposition(
        *(torch.cat([getattr(p, field.name) for p in parts]) for field in fields(Recomposition))
    )


@dataclass(frozen=True)
class LatentBatch:
    """Latents of faces to generate, and the transforms of their moved copies."""

    z: Tensor  # [N, z_dim]
    transforms: Tensor  # [N, 3, 3], inverse

    def of(self, samples: np.ndarray) -> LatentBatch:
        """Some of the samples."""
        chosen = torch.from_numpy(samples)
        return LatentBatch(self.z[chosen], self.transforms[chosen])


def random_latents(
    z_dim: int,
    count: int,
    max_rotation_deg: float,
    max_translation: float,
    random: torch.Generator,
    seeds: np.ndarray | None = None,
) -> LatentBatch:
    """Random faces; their copies are turned and moved at random, see `random_transforms`.

    With seeds [count] the faces are those that `generate` makes of them.
    """
    if seeds is None:
        z = torch.randn(count, z_dim, generator=random)
    else:
        z = latents_of_seeds(seeds.tolist(), z_dim)
    return LatentBatch(z, random_transforms(count, max_rotation_deg, max_translation, random))


@torch.no_grad()
def generated_examples(
    generator: Generator, latents: LatentBatch, dtype: str = "float32"
) -> Recomposition:
    """Faces x and their moved copies x' (the paper's self-augmentation)."""
    conv_dtype = DTYPES[dtype]
    ws = generator.mapping(latents.z.to(generator.mapping.w_avg.device))
    with placed(generator, latents.transforms):
        moved = generator.synthesis(ws, conv_dtype=conv_dtype).clamp(-1, 1)
    return Recomposition(moved, generator.synthesis(ws, conv_dtype=conv_dtype).clamp(-1, 1), ws)


@torch.no_grad()
def paired_examples(generator: Generator, frames: Frames, pairs: np.ndarray) -> Recomposition:
    """Frames of clips, the appearance from another frame of the clip; w from their factors.

    Args:
        generator: gives the ws of the factors.
        frames: the data; it has factors.
        pairs: rows [N, 2]: appearance, target.
    """
    ws = generator.mapping(frames.factor_batch(pairs[:, 1]))
    return Recomposition(frames.image_batch(pairs[:, 0]), frames.image_batch(pairs[:, 1]), ws)


@torch.no_grad()
def moved_frames(
    generator: Generator, frames: Frames, rows: np.ndarray, shifts: Tensor
) -> Recomposition:
    """Single frames of the data, the appearance from the frame itself, shifted; w from factors.

    Args:
        generator: gives the ws of the factors.
        frames: the data; it has factors.
        rows: [N] of the frames.
        shifts: [N, 2] in image widths.
    """
    targets = frames.image_batch(rows)
    moved, _ = shifted(targets, frames.landmark_batch(rows), shifts)
    return Recomposition(moved, targets, generator.mapping(frames.factor_batch(rows)))


@dataclass(frozen=True)
class PoseFactors:
    """Which numbers of a rendered face's z are its pose; those after it are filler."""

    first: int
    stop: int

    def swapped(self, z: Tensor, pose_from: Tensor) -> Tensor:
        """Z [N, Z] in the poses of others; the filler takes the norm that z had.

        The mapping normalises z: with another norm, all factors would change a little.
        """
        made = torch.cat([z[:, : self.first], pose_from[:, self.first : self.stop]], dim=1)
        filler = z[:, self.stop :]
        left = z.square().sum(dim=1, keepdim=True) - made.square().sum(dim=1, keepdim=True)
        norm = filler.norm(dim=1, keepdim=True).clamp_min(1e-8)
        return torch.cat([made, filler * (left.clamp_min(0).sqrt() / norm)], dim=1)


@torch.no_grad()
def swapped_examples(
    generator: Generator, frames: Frames, pairs: np.ndarray, pose_factors: PoseFactors
) -> Recomposition:
    """Somebody in the pose of somebody else, which only factors can tell: w of both's factors.

    Without them, networks see poses of the person alone whose face they make, and what a pose
    tells of its own person (the size and form of the face) goes into the other's.

    Args:
        generator: gives the ws of the factors.
        frames: the data; it has factors.
        pairs: rows [N, 2]: appearance, pose.
        pose_factors: where in the factors the pose is.
    """
    factors = [frames.factor_batch(rows) for rows in pairs.T]
    ws = generator.mapping(pose_factors.swapped(*factors))
    return Recomposition(frames.image_batch(pairs[:, 0]), frames.image_batch(pairs[:, 1]), ws)


@torch.no_grad()
def targets_of(
    generator: Generator, examples: Recomposition, few: Tensor, is_swap: Tensor, dtype: str
) -> Tensor:
    """Target images of a few examples [K, 3, S, S]: their frames, or the images of a swap's ws.

    Args:
        generator: makes the swaps.
        examples: N of them.
        few: places [K] in them.
        is_swap: bool [N].
        dtype: of the products.
    """
    targets = examples.frames[few]
    swaps = is_swap[few]
    if swaps.any():
        ws = examples.ws[few[swaps]]
        made = generator.synthesis(ws, conv_dtype=DTYPES[dtype])
        targets[swaps.to(targets.device)] = made.clamp(-1, 1)
    return targets


@torch.no_grad()
def target_rows(windows: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Rows of the target frames of windows [N, 1 + num_frames]."""
    rows: np.ndarray = windows[:, 1:].reshape(-1)[samples]
    return rows


def appearance_rows(windows: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Rows of the frames that show the appearance of those of `target_rows`."""
    rows: np.ndarray = np.repeat(windows[:, 0], windows.shape[1] - 1)[samples]
    return rows


def window_examples(
    generator: Generator,
    frames: Frames,
    windows: np.ndarray,
    samples: np.ndarray,
    *,
    has_ws: bool,
) -> Recomposition:
    """Some of the frames of windows, the appearance from each window's first row.

    Args:
        generator: gives the ws of the factors.
        frames: the data.
        windows: rows [N, 1 + num_frames]: the appearance frame, then the targets.
        samples: which of the N · num_frames frames.
        has_ws: whether losses compare ws: then the data must have factors.
    """
    targets = target_rows(windows, samples)
    appearance = appearance_rows(windows, samples)
    shape = len(targets), generator.num_ws, generator.config.w_dim
    ws = torch.full(shape, torch.nan, device=frames.device)
    if has_ws:
        ws = generator.mapping(frames.factor_batch(targets))
    return Recomposition(frames.image_batch(appearance), frames.image_batch(targets), ws)


class PoseTable:
    """Poses of the data's frames behind fixed networks, each extracted once, and saved.

    Several processes share the work, and all know all poses: they must ask for the same rows.
    """

    def __init__(self, frames: Frames, pose_of: PoseOf) -> None:
        self._frames, self._pose_of = frames, pose_of
        count = len(frames.images)
        self._poses = torch.zeros(count, 1, POSE_SIZE, POSE_SIZE, device=frames.device)
        self._known = torch.zeros(count, dtype=torch.bool)

    def of(self, rows: np.ndarray) -> Tensor:
        """Poses [len(rows), 1, 8, 8]."""
        index = torch.from_numpy(rows)
        missing = torch.unique(index[~self._known[index]])
        if len(missing):
            found = self._poses.new_zeros(len(missing), 1, POSE_SIZE, POSE_SIZE)
            own = np.arange(process_index(), len(missing), num_processes())
            if len(own):
                found[own] = self._pose_of(self._frames.image_batch(missing.numpy()[own]))
            self._poses[missing] = sum_in_place(found)  # each was extracted by one process
            self._known[missing] = True
        return self._poses[index]

    def state_dict(self) -> dict[str, Any]:
        """All poses that are known: extracted in other batches, they might differ in a digit."""
        return {"poses": self._poses[self._known], "known": self._known.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the known poses over, unless there is other data now."""
        if len(state["known"]) == len(self._known):
            self._known = state["known"].clone()
            self._poses[self._known] = state["poses"].to(self._poses.device)


class ExamplePool:
    """Drawn examples that are made once, on first use, and then used again and again."""

    def __init__(
        self, num_images: int, make: Callable[[int, int], Recomposition], pose_of: PoseOf
    ) -> None:
        """Start empty.

        Args:
            num_images: how many different ones; rounded up to whole chunks.
            make: (count, number of the chunk) → examples, the same for the same arguments.
            pose_of: frames → poses.
        """
        self.num_images = -(-num_images // CHUNK) * CHUNK
        self._make, self._pose_of = make, pose_of
        self._chunks: dict[int, tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    def take(self, indices: np.ndarray) -> tuple[Recomposition, Tensor]:
        """Examples and the poses of their frames."""
        moved, frames, ws, poses = zip(*(self._example(i) for i in indices.tolist()), strict=True)
        examples = Recomposition(
            _as_float(torch.stack(moved)), _as_float(torch.stack(frames)), torch.stack(ws)
        )
        return examples, torch.stack(poses)

    def _example(self, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        chunk, place = divmod(index, CHUNK)
        if chunk not in self._chunks:
            made = self._make(CHUNK, chunk)
            poses = self._pose_of(made.frames)
            images = _as_bytes(made.appearance_from), _as_bytes(made.frames)
            self._chunks[chunk] = (*images, made.ws, poses)
        moved, frames, ws, poses = self._chunks[chunk]
        return moved[place], frames[place], ws[place], poses[place]


def _as_bytes(images: Tensor) -> Tensor:
    return ((images + 1) * 127.5).round().to(torch.uint8)


def _as_float(images: Tensor) -> Tensor:
    return images.float().div_(127.5).sub_(1)
