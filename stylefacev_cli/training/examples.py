"""What recomposition learns from: drawn faces and their moved copies, frames of the data, swaps.

Making an example (drawing, finding landmarks, extracting the pose) costs several times as much as
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
import torch.nn.functional as F
from torch import Tensor, nn

from stylefacev_cli.networks.collective import num_processes, process_index, sum_in_place
from stylefacev_cli.networks.generator import Generator
from stylefacev_cli.networks.pose import POSE_SIZE
from stylefacev_cli.training.extraction import DTYPES, placed, random_transforms, shifted
from stylefacev_cli.training.frames import Frames

CHUNK = 32
VIEW_SIZE_PX = 16
VIEW_SAMPLES = 1536
GUESS_RIDGE = 0.03
GUESS_HIDDEN, GUESS_BATCH, GUESS_LR, GUESS_ROUNDS = 256, 512, 2e-3, 32
PLACES_SAMPLES = 65_536
PLACES_UNIT = 0.03  # of the frame: errors of this size are learnt as well as others
OPENINGS = ((2, 4), (5, 7), (9, 10))  # of the key points: lids of either eye, lips
OPENING_WEIGHT = 2.0  # they move less than the head, and are seen as much
PoseOf = Callable[[Tensor], Tensor]  # frames [N, 3, S, S] → poses [N, 1, 8, 8]


@dataclass(frozen=True)
class Recomposition:
    """What to look at for the appearance, and what to make in which pose."""

    appearance_from: Tensor  # frames [N, 3, S, S] in [−1, 1]
    frames: Tensor  # to take the pose from, and to be made again (but of swaps); the same shape
    ws: Tensor  # [N, num_ws, w_dim] of what is to be made

    def first(self, count: int) -> Recomposition:
        """The first examples."""
        return Recomposition(*(getattr(self, field.name)[:count] for field in fields(self)))


def joined(parts: list[Recomposition]) -> Recomposition:
    """All examples of the parts, in their order."""
    return Recomposition(
        *(torch.cat([getattr(p, field.name) for p in parts]) for field in fields(Recomposition))
    )


@dataclass(frozen=True)
class Drawing:
    """What faces are to be drawn, and how their copies are moved."""

    z: Tensor  # [N, z_dim]
    transforms: Tensor  # [N, 3, 3], inverse

    def of(self, samples: np.ndarray) -> Drawing:
        """Some of the samples."""
        chosen = torch.from_numpy(samples)
        return Drawing(self.z[chosen], self.transforms[chosen])


def random_drawing(
    z_dim: int,
    count: int,
    max_rotation_deg: float,
    max_translation: float,
    random: torch.Generator,
) -> Drawing:
    """Random faces; their copies are turned and moved at random, see `random_transforms`."""
    z = torch.randn(count, z_dim, generator=random)
    return Drawing(z, random_transforms(count, max_rotation_deg, max_translation, random))


@torch.no_grad()
def drawn_examples(generator: Generator, drawing: Drawing, dtype: str = "float32") -> Recomposition:
    """Faces x and their moved copies x' (the paper's self-augmentation)."""
    conv_dtype = DTYPES[dtype]
    ws = generator.mapping(drawing.z.to(generator.mapping.w_avg.device))
    with placed(generator, drawing.transforms):
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
    """What is to be made of a few examples [K, 3, S, S]: their frames, or what a swap's ws make.

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
    """Rows of those frames of windows [N, 1 + num_frames] that are to be made again."""
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
        windows: rows [N, 1 + num_frames]: the appearance frame, then those to be made.
        samples: which of the N · num_frames frames.
        has_ws: whether the ws are looked at: then the data must have factors.
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


class LinearGuess:
    """What a change of w does, to first order: a cheap stand-in for making the image.

    A ridge regression from w, made once from samples, when it is first asked for.
    """

    def __init__(self, samples: Callable[[], tuple[Tensor, Tensor]]) -> None:
        """Start unknown.

        Args:
            samples: gives w [N, w_dim] and what it does [N, D].
        """
        self._samples = samples
        self._matrix: Tensor | None = None  # [w_dim, D]

    def distance(self, ws: Tensor, wanted: Tensor) -> Tensor:
        """Mean absolute difference of what two ws [N, num_ws, w_dim] do, about."""
        if self._matrix is None:
            self._matrix = self._fit()
        self._matrix = self._matrix.to(ws.device)
        return ((ws - wanted)[:, 1:].mean(dim=1) @ self._matrix).abs().mean()

    @torch.no_grad()
    def _fit(self) -> Tensor:
        w, effects = (values - values.mean(dim=0) for values in self._samples())
        identity = torch.eye(w.shape[1], device=w.device)
        ridge = GUESS_RIDGE * len(w) * w.square().mean() * identity
        matrix: Tensor = torch.linalg.solve(w.T @ w + ridge, w.T @ effects)
        return matrix

    def state_dict(self) -> dict[str, Any]:
        """The matrix, once there."""
        return {"matrix": self._matrix}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the matrix over."""
        self._matrix = state["matrix"]


class LearnedGuess:
    """What a w does, guessed by a small network, where that is far from linear.

    It is fitted once to samples, when it is first asked for.
    """

    def __init__(
        self, samples: Callable[[], tuple[Tensor, list[Tensor]]], unit: float, seed: int
    ) -> None:
        """Start unknown.

        Args:
            samples: gives w [N, w_dim] and what it does, in groups that count alike [N, D].
            unit: size of a typical difference in what it does.
            seed: of the first weights and the batches.
        """
        self._samples, self._unit, self._seed = samples, unit, seed
        self._network: nn.Sequential | None = None
        self._scale = torch.ones(1)  # [w_dim], of w
        self._groups: list[int] = []

    def distance(self, ws: Tensor, wanted: Tensor) -> Tensor:
        """Mean absolute difference of what two ws [N, num_ws, w_dim] do, about."""
        found, goal = (torch.cat(self.effects(some), dim=1) for some in (ws, wanted))
        return self._unit * mean_off(found, goal, self._groups)

    def effects(self, ws: Tensor) -> tuple[Tensor, ...]:
        """What ws [N, num_ws, w_dim] do, about: by groups [N, D], from the mean, in units."""
        if self._network is None:
            self._fit()
        return torch.split(self._guess(ws[:, 1:].mean(dim=1)), self._groups, dim=1)

    def _guess(self, w: Tensor) -> Tensor:
        assert self._network is not None
        self._network.to(w.device)
        found: Tensor = self._network(w / self._scale.to(w.device))
        return found

    @torch.enable_grad()
    def _fit(self) -> None:
        w, groups = self._samples()
        self._groups = [group.shape[1] for group in groups]
        self._scale = w.std(dim=0).clamp(min=1e-6)
        effects = torch.cat(groups, dim=1)
        effects = (effects - effects.mean(dim=0)) / self._unit
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            network = perceptron(w.shape[1], GUESS_HIDDEN, effects.shape[1])
        self._network = network.to(w.device)
        steps = min(max(GUESS_ROUNDS * len(w) // GUESS_BATCH, 200), 4000)
        optimiser = torch.optim.Adam(self._network.parameters(), GUESS_LR)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        random = torch.Generator().manual_seed(self._seed)
        for _ in range(steps):
            chosen = torch.randint(len(w), (GUESS_BATCH,), generator=random).to(w.device)
            loss = mean_off(self._guess(w[chosen]), effects[chosen], self._groups)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            decay.step()
        self._network.requires_grad_(False)

    def state_dict(self) -> dict[str, Any]:
        """The network, once there."""
        network = self._network
        weights = None if network is None else network.state_dict()
        return {"network": weights, "scale": self._scale, "groups": self._groups}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the network over; saves of before it was one have none, and it is fitted anew."""
        self._network, weights = None, state.get("network")
        if weights:
            self._scale, self._groups = state["scale"], state["groups"]
            first, last = weights["0.weight"], weights["4.weight"]
            self._network = perceptron(first.shape[1], len(first), len(last))
            self._network.requires_grad_(False).load_state_dict(weights)


def mean_off(found: Tensor, wanted: Tensor, groups: list[int]) -> Tensor:
    """Mean absolute difference of values [N, D], of which groups of so many count alike."""
    off = torch.split((found - wanted).abs(), groups, dim=1)
    return torch.stack([group.mean() for group in off]).mean()


def perceptron(num_inputs: int, num_hidden: int, num_outputs: int) -> nn.Sequential:
    """A network of two hidden layers: [N, num_inputs] → [N, num_outputs]."""
    return nn.Sequential(
        nn.Linear(num_inputs, num_hidden),
        nn.SiLU(),
        nn.Linear(num_hidden, num_hidden),
        nn.SiLU(),
        nn.Linear(num_hidden, num_outputs),
    )


def linear_view(generator: Generator, seed: int) -> LinearGuess:
    """How the generator's picture looks at `VIEW_SIZE_PX`, colours and light above all.

    For the 64 px model it explains 71 % of the variance of unseen pictures.
    """

    @torch.no_grad()
    def samples() -> tuple[Tensor, Tensor]:
        random = torch.Generator().manual_seed(seed)
        all_w, all_pictures = [], []
        for _ in range(VIEW_SAMPLES // CHUNK):
            z = torch.randn(CHUNK, generator.config.z_dim, generator=random)
            ws = generator.mapping(z.to(generator.mapping.w_avg.device))
            pictures = generator.synthesis(ws).clamp(-1, 1)
            all_w.append(ws[:, 0])
            all_pictures.append(F.adaptive_avg_pool2d(pictures, VIEW_SIZE_PX).flatten(1))
        return torch.cat(all_w), torch.cat(all_pictures)

    return LinearGuess(samples)


def places_guess(generator: Generator, frames: Frames, seed: int) -> LearnedGuess:
    """Where landmarks and key points are, and how far eyes and mouth are open; by the labels.

    The landmarks, which show the outline of the face, are left out where the data has key points
    alone. On people it has not seen (unaligned, 128 px) a network for the key points was 1.7 % of
    the eyes' distance off, where linear regression is 4.2; of the mouth's opening it explained 96 %
    (79), of the eyes' 71 % (55).
    """
    frames.need_key_points("places_weight")

    @torch.no_grad()
    def samples() -> tuple[Tensor, list[Tensor]]:
        rows = frames.rows(held_out=False)
        rows = np.random.default_rng(seed).permutation(rows)[:PLACES_SAMPLES]
        w = [generator.mapping(frames.factor_batch(some))[:, 0] for some in chunks(rows)]
        landmarks, points = frames.landmark_batch(rows), frames.key_point_batch(rows)
        openings = [points[:, low, 1:] - points[:, high, 1:] for high, low in OPENINGS]
        groups = [points.flatten(1), OPENING_WEIGHT * torch.cat(openings, dim=1)]
        if not landmarks.isnan().any():
            groups.append(landmarks.flatten(1))
        return torch.cat(w), groups

    def chunks(rows: np.ndarray) -> list[np.ndarray]:
        return np.array_split(rows, -(-len(rows) // 4096))

    return LearnedGuess(samples, PLACES_UNIT, seed)


def _as_bytes(images: Tensor) -> Tensor:
    return ((images + 1) * 127.5).round().to(torch.uint8)


def _as_float(images: Tensor) -> Tensor:
    return images.float().div_(127.5).sub_(1)
