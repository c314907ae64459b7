"""Train the pose follower of a model: what lets its people follow the faces of videos.

    python examples/train_follower.py --model default-128 --work runs/follower --out runs/followed

Frames of the model in many poses are drawn, and the face mesh says what the face does in each
(--parts files of 240 frames; an interrupted run goes on). From them learn

    surrogates  pose, another pose of the same person, what the face does there → what it does here
    follower    what it is to do, that other pose and what it does there → pose

The follower learns from pairs of frames, and beyond them from wishes put together of several
people's movements: the surrogates say what its poses would show. No picture of a person is used.
The result is the model with its follower, a folder. All of it takes about 12 minutes of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from stylefacev_cli.common.files import write_atomic
from stylefacev_cli.detection.face_mesh import FaceMesh
from stylefacev_cli.generation.face_following import points_of_generated
from stylefacev_cli.motion.face_measures import (
    EYES,
    LIP_POINTS,
    LIPS,
    NUM_MEASURES,
    PLACE,
    TURN,
    eye_openings,
    face_measures,
    usual_openings,
)
from stylefacev_cli.motion.head_frame import head_frames
from stylefacev_cli.networks.stylefacev.pose_follower import PoseFollower, PoseFollowerConfig
from stylefacev_cli.pipeline import Model, load_model
from stylefacev_cli.weights.bundle import save_bundle

PEOPLE, POSES = 24, 10  # of a part
STRENGTHS = (0.2, 1, 1.5, 2.0, 1, 1, 1.5, 2.0)  # of the pose factors of first frames
EXTRAPOLATED = 1.35  # poses, from their mean
MOTION_FRAMES, MOTION_EVERY = 60, 15
SURROGATES, SURROGATE_STEPS, FOLLOWER_STEPS = 2, 1600, 2600
BATCH = 192
POSE_NOISE = 0.05  # of their usual sizes
PAIRS_WEIGHT, UNUSUAL_WEIGHT, PRIOR_WEIGHT = 0.15, 0.3, 0.02
UNUSUAL = 0.9  # Mahalanobis distance squared of a pose, by their number of dimensions
# Points of the mesh, axis and sign: lips apart, width of the mouth, height of its corners.
LIP_SIGNALS = (
    ((14, 1, 1), (87, 1, 1), (317, 1, 1), (13, 1, -1), (82, 1, -1), (312, 1, -1)),
    ((291, 0, 1), (61, 0, -1)),
    ((61, 1, -1), (291, 1, -1), (0, 1, 1), (17, 1, 1)),
)
LIP_SIGNAL_WEIGHT = 30.0
WISHES = (slice(0, 6), slice(6, 8), slice(8, 10), slice(10, 14), slice(14, None))
RANGE = (0.002, 0.998)  # quantiles of what faces do


def main() -> None:
    """Draw, train, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="default-128")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", type=int, default=24)
    parser.add_argument("--steps", type=float, default=1.0, help="times the usual number of steps")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = load_model(options.model, "cpu")
    options.work.mkdir(parents=True, exist_ok=True)
    mesh = FaceMesh.load()
    for number in range(options.parts):
        path = options.work / f"c{number:03}.npz"
        if not path.exists():
            draw(path, model, mesh, np.random.default_rng(1000 + number))
            print(path, flush=True)
    paths = sorted(options.work.glob("c*.npz"))[: options.parts]
    files = [np.load(path) for path in paths]
    poses = np.concatenate([file["p"].reshape(PEOPLE, -1, 64) for file in files])
    points = np.concatenate([file["mesh"] for file in files])
    follower = train(poses, points, options.steps)
    networks = {**vars(model.networks), "follower": follower}
    manifest = model.manifest
    save_bundle(
        options.out,
        type(model.networks)(**networks),
        name=manifest.name,
        fps=manifest.fps,
        licence=manifest.licence,
        provenance=manifest.provenance,
        aliases=(*manifest.aliases, manifest.sha256),
    )


@torch.no_grad()
def draw(path: Path, model: Model, mesh: FaceMesh, rng: np.random.Generator) -> None:
    """One part: people in poses of their own, of others, between them and beyond them."""
    factors = model.manifest.provenance["config"]["joint"]["pose_factors"]
    pose_factors = slice(factors["first"], factors["stop"])
    z = rng.standard_normal((PEOPLE, model.networks.generator.config.z_dim)).astype(np.float32)
    z /= np.sqrt(np.square(z).mean(1, keepdims=True))
    for row, strength in zip(z, np.resize(STRENGTHS, PEOPLE), strict=True):
        row[pose_factors] *= strength
    frames = torch.cat(
        [model.render(model.map(torch.tensor(some), 1.0)) for some in np.split(z, 3)]
    )
    appearances, own = model.encode(frames), model.extract_pose(frames)
    moved, seed = [own], int(rng.integers(2**31))
    for number, pose in enumerate(own):
        track = islice(model.move(pose[None], seed + number), MOTION_FRAMES)
        moved.append(torch.cat(list(track)[MOTION_EVERY::MOTION_EVERY]))
    pool = torch.cat(moved)
    other = pool[torch.from_numpy(rng.permutation(len(pool)))]
    share = torch.from_numpy(rng.uniform(size=(len(pool), 1, 1, 1)).astype(np.float32))
    beyond = own.mean(0) + EXTRAPOLATED * (pool - own.mean(0))
    pool = torch.cat([own, own, own, pool, torch.lerp(pool, other, share), beyond.clamp(min=0)])
    poses, points = [], []
    for number, appearance in enumerate(appearances):
        chosen = torch.from_numpy(rng.choice(len(pool), POSES - 1, replace=False))
        some = torch.cat([own[number : number + 1], pool[chosen]])
        pictures = model.play(appearance[None], torch.split(some, 1), POSES)
        points.append(np.stack([points_of_generated(mesh, picture) for picture in pictures]))
        poses.append(some.numpy())
    part = path.with_suffix(".part.npz")
    np.savez(part, p=np.stack(poses), mesh=np.stack(points))
    write_atomic(path, part.read_bytes())
    part.unlink()


def train(poses: np.ndarray, points: np.ndarray, steps: float) -> PoseFollower:
    """The follower of poses [P, K, 64] and the meshes [P, K, 478, 3] that they show."""
    measures = np.stack([measured(some) for some in points])
    lips = measures[..., LIPS] - measures[..., LIPS].mean(1, keepdims=True)
    config = PoseFollowerConfig(num_lip_components=4)
    follower = PoseFollower(config)
    basis = np.linalg.svd(lips.reshape(-1, lips.shape[-1]), full_matrices=False)[2]
    follower.lip_basis.copy_(torch.tensor(lip_map(basis[: config.num_lip_components])))
    flat = torch.tensor(measures.reshape(-1, NUM_MEASURES), dtype=torch.float32)
    faces = follower.features(flat).view(*poses.shape[:2], -1)
    scale = (faces - faces.mean(1, keepdim=True)).square().mean((0, 1)).sqrt()
    follower.scale.copy_(scale)
    faces = faces / scale
    own = torch.tensor(poses)
    follower.pose_mean.copy_(own.mean((0, 1)))
    follower.pose_scale.copy_(own.flatten(0, 1).std(0).clamp(min=0.02))
    own = (own - follower.pose_mean) / follower.pose_scale
    lowest, highest = torch.quantile(faces.flatten(0, 1), torch.tensor(RANGE), dim=0)
    follower.lowest.copy_(lowest)
    follower.highest.copy_(highest)
    turn, place = ((measures - measures[:, :1])[..., part].reshape(-1, 3) for part in (TURN, PLACE))
    follower.place_of_turn.copy_(torch.tensor(np.linalg.lstsq(turn, place, rcond=None)[0]))
    set_mean_person(follower, flat, faces.flatten(0, 1), torch.tensor(poses).flatten(0, 1))
    surrogates = [
        fit_surrogate(own, faces, round(steps * SURROGATE_STEPS)) for _ in range(SURROGATES)
    ]
    fit_follower(follower, own, faces, surrogates, round(steps * FOLLOWER_STEPS))
    return follower.eval().requires_grad_(False)


def lip_map(basis: np.ndarray) -> np.ndarray:
    """Weighted least squares [C, 80] of lips on components [C, 80].

    Lips of other faces move in other ways, too; what counts of them is how far they are apart, how
    wide the mouth is and how high its corners are.
    """
    counts = np.zeros((len(LIP_SIGNALS), basis.shape[1]))
    for row, terms in zip(counts, LIP_SIGNALS, strict=True):
        for point, axis, sign in terms:
            row[2 * LIP_POINTS.index(point) + axis] = sign
        row /= np.linalg.norm(row)
    weights = np.eye(basis.shape[1]) + LIP_SIGNAL_WEIGHT * counts.T @ counts
    return np.linalg.solve(basis @ weights @ basis.T, basis @ weights)


def measured(points: np.ndarray) -> np.ndarray:
    """Measures [K, 94] of one person's meshes."""
    heads = head_frames(points)
    return face_measures(heads, usual_openings(eye_openings(heads.local)))


def set_mean_person(follower: PoseFollower, measures: Tensor, faces: Tensor, poses: Tensor) -> None:
    """Take the frame whose face is nearest to the middle of all, with its eyes open."""
    away = (faces - faces.median(0).values) / faces.std(0)
    away[:, EYES] = 10 * (measures[:, EYES] - 1)
    nearest = int(away.square().sum(1).argmin())
    follower.mean_rest.copy_(measures[nearest])
    follower.mean_pose.copy_(poses[nearest])


class Surrogate(nn.Module):
    """What a face does in a pose, told by what it does in another one."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(128 + num_features, num_features)
        layers = (nn.Linear(128 + num_features, 256), nn.SiLU(), nn.Linear(256, 256), nn.SiLU())
        self.hidden = nn.Sequential(*layers, nn.Linear(256, num_features))

    def forward(self, pose: Tensor, other: Tensor, face: Tensor) -> Tensor:
        x = torch.cat([pose - other, other, face], 1)
        shown: Tensor = face + self.linear(x) + self.hidden(x)
        return shown


def fit_surrogate(poses: Tensor, faces: Tensor, steps: int) -> Surrogate:
    surrogate = Surrogate(faces.shape[2])

    def loss() -> Tensor:
        who, here, there = pairs(poses)
        pose = poses[who, here] + POSE_NOISE * torch.randn(BATCH, 64)
        shown = surrogate(pose, poses[who, there], faces[who, there])
        return nn.functional.smooth_l1_loss(shown, faces[who, here])

    optimise(surrogate, loss, steps, 2e-3)
    return surrogate.requires_grad_(False)


def fit_follower(
    follower: PoseFollower, poses: Tensor, faces: Tensor, surrogates: list[Surrogate], steps: int
) -> None:
    flat = poses.flatten(0, 1)
    inverse = torch.linalg.inv(torch.cov(flat.T) + 0.02 * torch.eye(64))

    def posed(targets: Tensor, rest: Tensor, start: Tensor) -> Tensor:
        x = torch.cat([targets - rest, rest, start], 1)
        moved = start + follower.linear(x) + follower.hidden(x)
        return torch.maximum(moved, -follower.pose_mean / follower.pose_scale)

    def shows(pose: Tensor, other: Tensor, face: Tensor, targets: Tensor) -> Tensor:
        losses = [
            nn.functional.smooth_l1_loss(surrogate(pose, other, face), targets)
            for surrogate in surrogates
        ]
        return torch.stack(losses).mean()

    def loss() -> Tensor:
        who, here, there = pairs(poses)
        start, rest, targets = poses[who, there], faces[who, there], faces[who, here]
        pose = posed(targets, rest, start)
        total = PAIRS_WEIGHT * (pose - poses[who, here]).square().mean()
        total = total + shows(pose, start, rest, targets)
        who, _, there = pairs(poses)
        there = torch.where(torch.rand(BATCH) < 0.5, 0, there)  # as often from the own first pose
        start, rest = poses[who, there], faces[who, there]
        wish = wished(rest, faces).clamp(follower.lowest, follower.highest)
        pose = posed(wish, rest, start)
        distance = ((pose @ inverse) * pose).sum(1) / 64
        unusual = (distance - UNUSUAL).clamp(min=0).mean()
        return (
            total
            + shows(pose, start, rest, wish)
            + UNUSUAL_WEIGHT * unusual
            + PRIOR_WEIGHT * distance.mean()
        )

    optimise(follower, loss, steps, 1.5e-3)


def wished(rest: Tensor, faces: Tensor) -> Tensor:
    """Faces at rest [N, F] with movements of other people, each part of somebody else."""
    wish = rest.clone()
    for part in WISHES:
        who, here, there = pairs(faces)
        moved = (faces[who, here] - faces[who, there])[:, part]
        wish[:, part] += (torch.rand(BATCH, 1) < 0.7) * (0.3 + 1.2 * torch.rand(BATCH, 1)) * moved
    return wish


def pairs(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """People, and two of their frames each."""
    people, frames = values.shape[:2]
    who = torch.randint(people, (BATCH,))
    return who, torch.randint(frames, (BATCH,)), torch.randint(frames, (BATCH,))


def optimise(network: nn.Module, loss: Callable[[], Tensor], steps: int, rate: float) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.05)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, step / 50) * (1 - step / steps) + 1e-5
        value = loss()
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % 500 == 0:
            print(f"{type(network).__name__} {step}: {value.item():.3f}", flush=True)


if __name__ == "__main__":
    main()
