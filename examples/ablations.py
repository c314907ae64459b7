"""The paper's two ablations, trained and measured: without embedding loss, without re-balance.

python examples/ablations.py --out runs/ablations --data runs/data/stills-a \\
    --data runs/data/pairs-a --data runs/data/clips-a [--config examples/ablations-64.yaml]

Three decompositions are trained from config alone, with the same seed, data, generator, detector
and pose extractor; what two of them have in common is trained once. Then a table in Markdown: how
alike people and their reconstructions are (frames of held-out people through encoder, pose and
recomposition; cosines of identity features, beside those of different people), and FVD of sampled
videos against the clips of the data. Run again after an interruption: what is done stays done.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stylefacev_cli import load_model
from stylefacev_cli.common.listener import LogListener
from stylefacev_cli.common.memory import keep_freed_memory
from stylefacev_cli.common.threads import set_num_threads
from stylefacev_cli.datasets.clips import ClipSet
from stylefacev_cli.pipeline import Model, as_pictures
from stylefacev_cli.training.artifacts import Checkpoints, checkpoint_of
from stylefacev_cli.training.batches.clip_frames import Frames, spread
from stylefacev_cli.training.batches.reading import load_frames
from stylefacev_cli.training.run import train
from stylefacev_cli.training.settings import STAGES, TrainingConfig, load_settings

NO_EMBEDDING = [f"{key}=0" for key in (
    "appearance.embedding_weight", "joint.embedding_weight", "joint.video_embedding_weight",
)]  # fmt: skip
VARIANTS = {  # settings, and the stages that are the same as those of the first
    "full": ([], ()),
    "without embedding loss": (NO_EMBEDDING, ("generator", "finish", "detector", "pose")),
    "without re-balance": (
        ["joint.rebalance=false"], ("generator", "finish", "detector", "pose", "appearance"),
    ),
}  # fmt: skip


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Told(LogListener):
    """Tells notes on stderr."""

    def note(self, text: str) -> None:
        tell(text)


def trained(options: argparse.Namespace, variant: str) -> tuple[Path, TrainingConfig, float]:
    """The folder of a variant's run, its settings, and the minutes that its own stages took."""
    overrides, shared = VARIANTS[variant]
    run, first = (options.out / name.replace(" ", "-") for name in (variant, next(iter(VARIANTS))))
    run.mkdir(parents=True, exist_ok=True)
    for stage in shared:
        if (first / stage).is_dir() and not (run / stage).exists():
            (run / stage).symlink_to((first / stage).resolve())
    config = load_settings(options.config, [*options.set, *overrides])
    tell(f"== {variant}")
    outcome = train(config, options.data, run, listener=Told())
    if outcome.reason != "done":
        raise SystemExit(128 + (outcome.signal_number or 0))
    newest = [checkpoint_of(Checkpoints(run), stage) for stage in STAGES if stage not in shared]
    return run, config, sum(state["used_s"] for state in newest if state is not None) / 60


def pictures(frames: Frames, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of held-out people, evenly spread, and the clip that each is from."""
    rows = frames.rows(held_out=True)
    rows = spread(rows if len(rows) else frames.rows(held_out=False), count)
    return rows, np.searchsorted(frames.starts, rows, side="right") - 1


@torch.inference_mode()
def remade(model: Model, images: torch.Tensor) -> np.ndarray:
    """Images [N, 3, S, S] taken apart and put together again: uint8 [N, S, S, 3]."""
    parts = []
    for some in images.split(16):
        poses, appearance = model.extract_pose(some), model.encode(some)
        parts.append(as_pictures(model.render(model.recompose(appearance, poses))))
    return np.concatenate(parts)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return np.asarray(a @ b.T)


def identity_of(
    network: Any, originals: np.ndarray, made: np.ndarray, clip_of: np.ndarray
) -> tuple[float, float]:
    """Mean cosine of pictures to their own reconstructions, and to those of other clips."""
    found = cosines(network.embed(originals), network.embed(made))
    other = clip_of[:, None] != clip_of[None]
    return float(found.diagonal().mean()), float(found[other].mean()) if other.any() else np.nan


def real_clips(data: list[Path], num_frames: int, count: int) -> Iterator[np.ndarray]:
    """A run of frames anywhere in each clip that is long enough, the clips in random order."""
    random = np.random.default_rng(0)
    clips = [clip for folder in data for clip in ClipSet(folder)
             if clip.entry.kind == "clip" and clip.entry.num_frames >= num_frames]  # fmt: skip
    for index in random.permutation(len(clips))[:count]:
        frames = clips[index].frames()
        first = int(random.integers(0, len(frames) - num_frames + 1))
        yield frames[first : first + num_frames]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("examples/ablations-64.yaml"))
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start-from", help="model whose generator and detector are taken")
    parser.add_argument("--identity", default="auto", help="face network, or none")
    parser.add_argument("--images", type=int, default=256, help="pictures for the identity")
    parser.add_argument("--clips", type=int, default=256, help="clips for FVD; 0: no FVD")
    parser.add_argument("--frames", type=int, default=16, help="frames of a clip")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], help="section.key=value, for all")
    options = parser.parse_args()
    if options.start_from:
        options.set.append(f"start_from={options.start_from}")
    keep_freed_memory()
    set_num_threads(options.threads)

    face = i3d = real = None
    if options.identity != "none":
        from stylefacev_cli.metrics.face_networks import face_network

        face = face_network(options.identity)
    if options.clips:
        from stylefacev_cli.metrics.fvd import clip_features, compare
        from stylefacev_cli.weights.convert.i3d_weights import load_i3d

        i3d = load_i3d()

    rows = []
    for variant in VARIANTS:
        run, config, minutes = trained(options, variant)
        model = load_model(run / "bundle", device="cpu")
        folders = [*options.data, *map(Path, config.data)]
        frames = load_frames(folders, config.resolution, config.held_out_permille)
        chosen, clip_of = pictures(frames, options.images)
        started, made = time.process_time(), remade(model, frames.image_batch(chosen))
        error = (made.astype(float) - frames.images[chosen]) ** 2
        psnr = float(np.mean(10 * np.log10(255**2 / error.mean(axis=(1, 2, 3)).clip(1e-6))))
        own = other = fvd = floor = float("nan")
        if face is not None:
            own, other = identity_of(face, frames.images[chosen], made, clip_of)
        if i3d is not None:
            if real is None:
                real = clip_features(i3d, real_clips(folders, options.frames, 2 * options.clips))
            videos = (np.stack(list(model.sample(seed, options.frames)))
                      for seed in range(options.clips))  # fmt: skip
            result = compare(clip_features(i3d, videos), real, options.clips)
            fvd, floor = result.fvd, result.floor
        rows.append((variant, own, other, psnr, fvd, floor, minutes))
        tell(f"measured in {(time.process_time() - started) / 60:.1f} processor minutes")

    print("| variant | identity | other people | PSNR, dB | FVD | floor | training, min |")
    print("|---|---|---|---|---|---|---|")
    for variant, own, other, psnr, fvd, floor, minutes in rows:
        print(f"| {variant} | {own:.4f} | {other:.4f} | {psnr:.2f} | {fvd:.1f} | {floor:.1f} "
              f"| {minutes:.1f} |")  # fmt: skip
    print(f"\nIdentity: {face.name if face else 'not measured'}, {len(chosen)} pictures of "
          f"{len(set(clip_of.tolist()))} clips, held-out people where there are any. "
          f"FVD: {f'{options.clips} clips' if options.clips else 'not measured'} of "
          f"{options.frames} frames, {0 if real is None else len(real)} real ones. "
          "Training: of the stages that are the variant's own.")  # fmt: skip


if __name__ == "__main__":
    main()
