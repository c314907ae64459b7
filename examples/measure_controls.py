"""Measure what the options of `generate` do to a model's videos, and how long ones end.

    python examples/measure_controls.py [--model default-128] [--only zoom …]

Prints a line for each number that `docs/` and the model card give:

    rotate      how far the line between the eyes turns, median of the first people (degrees)
    zoom        how much larger faces are, median of the first people
    amplitude   the head's movement under `--motion-scale`, times the plain one's: mean (range)
    parts       what is left of a part's movement that `--scale` takes away, by seed
    loops       the step from the last to the first frame, by the median and the largest step
    motions     key points of several motion seeds from one start, in poses: how far they are
                apart after so many frames (% of the frame, mean over people and pairs)
    identity    cosine to the first frame, every 20th of a long video: mean over people, the least
    long        the last tenth of a very long video of seed 3 against its first tenth: key points
                away (% of the frame), spread, cosines; with and without the stabiliser

All of the default model takes about 10 minutes on two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from stylefacev_cli.cli.app import run
from stylefacev_cli.metrics.face_networks import face_network
from stylefacev_cli.metrics.key_point_tracks import key_point_track
from stylefacev_cli.metrics.motion import measure_motion
from stylefacev_cli.motion.pose_parts import amplitudes, read_key_points
from stylefacev_cli.pipeline import load_model
from stylefacev_cli.weights.bundle import needed

Frames = np.ndarray  # uint8 [T, S, S, 3]
LEFT_EYE, RIGHT_EYE, MOUTH = (5, 6, 7), (2, 3, 4), slice(9, 14)  # of the 14 key points
MOTION_SEEDS = 8
PART_SEEDS = (3, 4, 6)
LOOP_SEEDS = (2, 3, 4, 5)
IDENTITY_EVERY = 20


class Bench:
    """A model, and what looks at its videos."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self.options, self._work = options, work
        self.model = load_model(options.model)
        self._detector = needed(self.model.networks.landmark_detector, "landmarks")
        self._embed = None if options.identity == "none" else face_network(options.identity).embed
        self.people = range(options.people)

    def film(self, *arguments: object) -> Frames:
        """The frames that `generate` makes."""
        path = self._work / "film.npy"
        command = ["generate", "-q", "-m", self.options.model, *map(str, arguments)]
        with contextlib.redirect_stdout(None):
            code = run([*command, "-o", str(path)])
        if code != 0:
            sys.exit(f"failed: stylefacev {' '.join(command)}")
        frames: Frames = np.load(path)
        path.unlink()
        return frames

    def points(self, frames: Frames) -> np.ndarray:
        """Key points [T, 14, 2] in pictures."""
        found: np.ndarray = key_point_track(self._detector, frames)
        return found

    def firsts(self, *arguments: object) -> np.ndarray:
        """Key points [N, 14, 2] of the people's first frames."""
        films = (self.film("--seeds", seed, "--frames", 1, *arguments) for seed in self.people)
        return self.points(np.concatenate(list(films)))

    def cosines(self, frames: Frames, to: Frames) -> np.ndarray:
        """Of frames to one frame [1, S, S, 3]; NaN where nobody looks at identity."""
        if self._embed is None:
            return np.full(len(frames), np.nan)
        looks, first = (self._embed(some) for some in (frames, to))
        lengths = np.linalg.norm(looks, axis=1) * np.linalg.norm(first)
        cosines: np.ndarray = looks @ first[0] / lengths
        return cosines


def rotate(bench: Bench) -> Iterator[str]:
    def level(points: np.ndarray) -> np.ndarray:
        line = points[:, LEFT_EYE].mean(axis=1) - points[:, RIGHT_EYE].mean(axis=1)
        return np.asarray(-np.degrees(np.arctan2(line[:, 1], line[:, 0])))

    plain = level(bench.firsts())
    for degrees in (10, 20):
        turned = np.median(level(bench.firsts("--rotate", degrees)) - plain)
        yield f"--rotate {degrees}: eyes turn by {turned:.1f} degrees"


def zoom(bench: Bench) -> Iterator[str]:
    def size(points: np.ndarray) -> np.ndarray:
        eyes = points[:, [*LEFT_EYE, *RIGHT_EYE]].mean(axis=1)
        return np.asarray(np.linalg.norm(points[:, MOUTH].mean(axis=1) - eyes, axis=1))

    plain = size(bench.firsts())
    for factor in (0.85, 0.9, 1.25):
        larger = np.median(size(bench.firsts("--zoom", factor)) / plain)
        yield f"--zoom {factor}: faces are {larger:.3f} times as large"


def amplitude(bench: Bench) -> Iterator[str]:
    def of_heads(*arguments: object) -> np.ndarray:
        films = (bench.film("--seeds", seed, "--frames", 48, *arguments) for seed in bench.people)
        points = (torch.tensor(bench.points(frames)) for frames in films)
        return np.array([amplitudes(some)["head"] for some in points])

    plain = of_heads()
    for factor in (0.5, 1.5, 2):
        ratios = of_heads("--motion-scale", factor) / plain
        many = f"{ratios.mean():.2f} times the movement ({ratios.min():.2f} to {ratios.max():.2f})"
        yield f"--motion-scale {factor}: {many}"


def parts(bench: Bench) -> Iterator[str]:
    def moves(seed: int, *arguments: object) -> dict[str, float]:
        points = bench.points(bench.film("--seeds", seed, "--frames", 48, *arguments))
        mouth = measure_motion(points, bench.model.manifest.fps).mouth
        return {"head": amplitudes(torch.tensor(points))["head"], "mouth": mouth}

    plain = {seed: moves(seed) for seed in PART_SEEDS}
    for part in ("head", "mouth"):
        left = {seed: moves(seed, "--scale", f"{part}=0")[part] for seed in PART_SEEDS}
        told = ", ".join(f"{left[seed] / plain[seed][part]:.2f} ({seed})" for seed in PART_SEEDS)
        yield f"--scale {part}=0 leaves {told}"


def loops(bench: Bench) -> Iterator[str]:
    for seed in LOOP_SEEDS:
        whole = bench.film("--seeds", seed, "--motion-seeds", 10, "--frames", 64, "--loop")
        frames = whole.astype(float)
        steps = np.sqrt(np.square(frames - np.roll(frames, 1, axis=0)).mean(axis=(1, 2, 3)))
        usual, largest = steps[0] / np.median(steps[1:]), steps[0] / steps[1:].max()
        yield f"--loop, seed {seed}: {usual:.2f} of the median step, {largest:.2f} of the largest"


def motions(bench: Bench) -> Iterator[str]:
    """See the module; few people are enough, since each has many pairs."""
    model, after = bench.model, [16, 32, 128]
    extractor = needed(model.networks.pose, "pose")
    apart = []
    for seed in list(bench.people)[:6]:
        first_pose = model.take_apart(model.first_frame(seed))[1]
        tracks = []
        for motion_seed in range(MOTION_SEEDS):
            poses = torch.cat(list(model.motion(first_pose, motion_seed, max(after) + 1)))
            tracks.append(read_key_points(extractor, poses[after]))
        pairs = itertools.combinations(tracks, 2)
        apart.append(torch.stack([(a - b).norm(dim=2).mean(dim=1) for a, b in pairs]).mean(dim=0))
    found = 100 * torch.stack(apart).mean(dim=0)
    told = ", ".join(f"{far:.1f} ({count})" for far, count in zip(found, after, strict=True))
    yield f"motions are apart by {told} % of the frame (after frames)"


def identity(bench: Bench) -> Iterator[str]:
    means = []
    for seed in bench.people:
        frames = bench.film("--seeds", seed, "--frames", bench.options.long)
        some = frames[IDENTITY_EVERY::IDENTITY_EVERY]
        means.append(float(bench.cosines(some, frames[:1]).mean()))
    told = f"{np.mean(means):.3f} on average, {min(means):.3f} the least"
    yield f"cosine to the first frame over {bench.options.long} frames: {told}"


def long(bench: Bench) -> Iterator[str]:
    count = 5 * bench.options.long
    for option in ((), ("--no-stabilise",)):
        frames = bench.film("--seeds", 3, "--frames", count, *option)
        ends = frames[: count // 10], frames[-count // 10 :]
        points = [bench.points(some) for some in ends]
        away = 100 * float(np.abs(points[1].mean(axis=0) - points[0].mean(axis=0)).mean())
        spreads = [float(some.std(axis=0).mean()) for some in points]
        close = [float(bench.cosines(some[::10], frames[:1]).mean()) for some in ends]
        name = " ".join(("seed 3", *option))
        yield (
            f"{name}, {count} frames: {away:.1f} % away, spread {spreads[1] / spreads[0]:.2f}, "
            f"cosine {close[1]:.3f} after {close[0]:.3f}"
        )


MEASURES: Sequence[Callable[[Bench], Iterator[str]]] = (
    rotate, zoom, amplitude, parts, loops, motions, identity, long,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="What options do, measured on pictures.")
    names = [measure.__name__ for measure in MEASURES]
    parser.add_argument("--model", default="default-128", help="name or folder")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--people", type=int, default=8, help="seeds from 0 on")
    parser.add_argument("--long", type=int, default=600, help="frames of a long video")
    parser.add_argument("--identity", default="auto", help="network of identity features, or none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder))
        for measure in MEASURES:
            if measure.__name__ in options.only:
                for line in measure(bench):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
