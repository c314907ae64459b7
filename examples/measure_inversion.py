"""Measure inversion on people whom no training has seen: the frames of clips of a rendered set.

    python examples/measure_inversion.py --data runs/data/clips-held --people 24 --tune

Frame 0 of each clip is the photo; its later frames give poses, and are what reenactment should
make (own clip), or give the movement that another person should follow (next clip). Prints a table:

    photo     PSNR (dB) and cosine of identity features, of the photo and what is drawn of it
    own       the same and the error of key points (px), later frames; absolute poses. On the own
              clip relative ones are the same: the driver begins in the source's own pose
    cross     the next person's movement from its first frame on: error of the key points' movement
              (px), and cosine to the photo, with relative and with absolute poses. There is no
              truth for these frames in a set of clips: `stylefacev eval recomposition` renders it
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import numpy as np
import torch

from stylefacev_cli.common.threads import set_num_threads
from stylefacev_cli.datasets.clips import ClipSet
from stylefacev_cli.inversion import InversionSettings, invert, person_of
from stylefacev_cli.metrics.face_networks import face_network
from stylefacev_cli.metrics.key_point_tracks import key_point_track
from stylefacev_cli.metrics.perceptual import load_perceptual
from stylefacev_cli.motion.pose_edits import transfer_motion
from stylefacev_cli.networks.resize import resize_square
from stylefacev_cli.pipeline import Model, Person, as_pictures, load_model
from stylefacev_cli.weights.bundle import needed

Frames = np.ndarray  # uint8 [T, S, S, 3]


def as_tensor(frames: Frames, size_px: int) -> torch.Tensor:
    pixels = torch.tensor(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    return resize_square(pixels, size_px)


def psnr(a: Frames, b: Frames) -> float:
    error = np.square(a.astype(float) - b).mean(axis=(1, 2, 3))
    return float(np.mean(10 * np.log10(255**2 / np.maximum(error, 1e-6))))


def cosine(embed: Callable[[Frames], np.ndarray] | None, a: Frames, b: Frames) -> float:
    if embed is None:
        return float("nan")
    one, other = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (embed(a), embed(b)))
    return float((one * other).sum(axis=1).mean())


class Bench:
    """What all people are measured with."""

    def __init__(self, model: Model, identity: str) -> None:
        self.model = model
        self.detector = needed(model.networks.landmark_detector, "landmarks")
        self.embed = None if identity == "none" else face_network(identity).embed

    def points(self, frames: Frames) -> np.ndarray:
        return key_point_track(self.detector, frames) * frames.shape[1]

    def scores(self, person: Person | None, own: Frames, other: Frames) -> list[float]:
        """The numbers of a row for one photo, own[0]; None: the photo is copied."""
        model, photo = self.model, own[:1]

        def play(poses: torch.Tensor) -> Frames:
            if person is None:
                return np.repeat(photo, len(poses), axis=0)
            return np.stack(list(person.play(torch.split(poses, 1))))

        size = model.manifest.resolution
        own_poses, other_poses = (model.extract_pose(as_tensor(f, size)) for f in (own, other))
        again = play(own_poses)
        first, later, truth = again[:1], again[1:], own[1:]
        found = [psnr(first, photo), cosine(self.embed, first, photo)]
        apart = np.linalg.norm(self.points(later) - self.points(truth), axis=-1)
        found += [psnr(later, truth), cosine(self.embed, later, truth), float(apart.mean())]
        wanted = self.points(other)
        wanted = wanted[1:] - wanted[:1]
        for poses in (transfer_motion(own_poses[:1], other_poses, other_poses[:1]), other_poses):
            frames = play(poses)
            points = self.points(frames)
            error = np.linalg.norm(points[1:] - points[:1] - wanted, axis=-1).mean()
            kept = cosine(self.embed, frames[1:], np.repeat(photo, len(frames) - 1, axis=0))
            found += [float(error), kept]
        return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True, help="a set of clips, held out of training")
    parser.add_argument("--model", default="default-128")
    parser.add_argument("--people", type=int, default=24)
    parser.add_argument("--steps", type=int, default=InversionSettings.steps)
    parser.add_argument("--every", type=int, default=8, help="frames between those that are used")
    parser.add_argument("--tune", action="store_true", help="measure tuned generators, too")
    parser.add_argument("--identity", default="auto", help="face network, or none")
    parser.add_argument("--perceptual", default="auto", help="network of the loss, or none")
    parser.add_argument("--sheet", help="a picture of photo, encoder, found and driven frames")
    options = parser.parse_args()
    set_num_threads(1)
    model = load_model(options.model, device="cpu")
    bench, clips = Bench(model, options.identity), ClipSet(options.data)
    perceptual = load_perceptual(options.perceptual)
    step = max(1, len(clips) // options.people)
    chosen = [clips.clip(i).frames()[:: options.every] for i in range(0, len(clips), step)]
    size = model.manifest.resolution
    chosen = [as_pictures(as_tensor(frames, size)) for frames in chosen[: options.people]]
    kinds = {"encoder": InversionSettings(steps=0), "inverted": InversionSettings(options.steps)}
    if options.tune:
        kinds["tuned"] = InversionSettings(options.steps, tune_steps=60)
    rows: dict[str, list[list[float]]] = {name: [] for name in ("copy", *kinds)}
    seconds: dict[str, list[float]] = {name: [0.0] for name in rows}
    sheet = []
    for number, own in enumerate(chosen):
        print(f"person {number + 1} of {len(chosen)}", file=sys.stderr)
        other = chosen[(number + 1) % len(chosen)]
        rows["copy"].append(bench.scores(None, own, other))
        for name, settings in kinds.items():
            found = invert(model, as_tensor(own[:1], size), settings, perceptual)
            person = person_of(model, found.latent)
            rows[name].append(bench.scores(person, own, other))
            seconds[name].append(found.seconds)
            if options.sheet and name != "encoder":
                poses = model.extract_pose(as_tensor(own, size))[:8]
                driven = list(person.play(torch.split(poses, 1)))
                sheet.append(np.concatenate([own[0], found.encoded, found.refined, *driven], 1))
    names = ["photo dB", "cos", "own dB", "cos", "px", "rel. px", "cos", "abs. px", "cos", "s"]
    print(f"{len(chosen)} people, {options.data}, {options.model}, {options.steps} steps")
    print("| " + " | ".join(["", *names]) + " |")
    for name, scores in rows.items():
        cells = [f"{value:.3f}" for value in np.mean(scores, axis=0)]
        print(
            "| "
            + " | ".join([name, *cells, f"{np.median(seconds[name][-len(chosen) :]):.1f}"])
            + " |"
        )
    if options.sheet:
        from PIL import Image

        Image.fromarray(np.concatenate(sheet)).save(options.sheet)


if __name__ == "__main__":
    main()
