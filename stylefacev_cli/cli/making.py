"""What `stylefacev generate` does: check everything, then make one video after the other."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stylefacev_cli.cli.delivery import (
    Clock,
    describe_software,
    make_video,
    stream_video,
)
from stylefacev_cli.cli.outputs import (
    Target,
    check_writable,
    choose_format,
    grid_shape,
    plan_targets,
    without_existing,
)
from stylefacev_cli.cli.people import Who, load_person, open_who_of_file
from stylefacev_cli.cli.playing import Playing, kept, moving, plan_playing, save_poses
from stylefacev_cli.cli.seeds import parse_seeds
from stylefacev_cli.cli.terminal import Terminal, holding_signals, is_terminal
from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.video import STREAM_FORMATS, Frame
from stylefacev_cli.video.formats import GIF_MAX_FPS
from stylefacev_cli.weights.manifest import Manifest, read_manifest

if TYPE_CHECKING:
    import torch

    from stylefacev_cli.pipeline import Model, Person

    Poses = dict[int, list[torch.Tensor]]  # by seed, each [1, 1, 8, 8]


@dataclass(frozen=True)
class Wishes:
    """The options of the command, as given."""

    seeds: str
    num_frames: int | None  # None: the track's, else 64
    fps: float | None  # None: the track's, else the model's
    resample: bool
    truncation: float
    motion_seed: int | None  # None: each video's own seed
    stabilise: bool
    track: str | None
    person: str | None  # a latent file or a photo; None: that of each seed
    grid: bool
    model: str
    batch: int | None  # None: by resolution
    device: str
    dtype: str
    num_threads: int | None  # None: all cores
    out: str
    save_track: str | None
    format_name: str | None  # None: by the name of `out`
    force: bool
    skip_existing: bool
    as_json: bool


@dataclass(frozen=True)
class _Plan:
    """What will be made."""

    manifest: Manifest
    playing: Playing
    who: Who | None  # of all videos; None: each seed is somebody
    format_name: str
    targets: list[Target]
    skipped: list[str]  # paths of videos that are there already
    tracks: dict[int, Path]  # by seed: where its poses are saved


def make_videos(wishes: Wishes, terminal: Terminal) -> None:
    """Make what is wished for; everything that can be known to fail is told before any work.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
        ClosedPipe: the reader of stdout has gone.
    """
    clock = Clock(terminal.started_s)
    terminal.way_on = "; --skip-existing goes on from here"
    to_stdout = wishes.out == "-"
    plan = _plan(wishes, terminal)
    manifest, targets, num_frames = plan.manifest, plan.targets, plan.playing.num_frames
    made: list[dict[str, Any]] = []
    results: dict[str, Any] = {"videos": made, "skipped": plan.skipped}
    try:
        if targets:
            with clock.counting("import_s"), holding_signals():
                from stylefacev_cli.networks.memory import keep_freed_memory
                from stylefacev_cli.networks.threads import num_threads, set_num_threads
                from stylefacev_cli.pipeline import load_model
            with clock.counting("load_s"):
                keep_freed_memory()
                if wishes.num_threads is not None:
                    set_num_threads(wishes.num_threads)
                model = load_model(manifest.folder, wishes.device, wishes.dtype)
            with clock.counting("warm_up_s"):
                model.warm_up()
            with clock.counting("load_s"):
                person = load_person(plan.who, model, 1.0, terminal) if plan.who else None
            terminal.detail(
                f"model {manifest.name} ({manifest.sha256[:12]}) from {manifest.folder}, "
                f"{model.device.type}, {wishes.dtype}, {num_threads()} threads"
            )
            with terminal.progress(len(targets) * num_frames, "frames") as advance:
                for target in targets:
                    record = _describe(wishes, plan, target)
                    poses: Poses = {}
                    frames = _frames(model, wishes, plan, target, poses, person)
                    if to_stdout:
                        stream_video(frames, target, record, clock, advance)
                        _save_tracks(plan, model, poses, record)
                        continue

                    def finish(
                        part: Path, poses: Poses = poses, record: dict[str, Any] = record
                    ) -> None:
                        _save_tracks(plan, model, poses, record)

                    made.append(make_video(frames, target, record, clock, advance, model, finish))
                    if not wishes.as_json:
                        terminal.result(str(target.path))
    except StyleFaceVError as error:
        if wishes.as_json:  # what was made before stays, and is told
            results.update(error=str(error), exit_code=error.exit_code, timing=clock.summary())
            terminal.result(json.dumps(results, indent=2))
        raise
    timing = clock.summary()
    if wishes.as_json:
        terminal.result(json.dumps({**results, "timing": timing}, indent=2))
    terminal.note(_summary(len(targets), num_frames, timing))


def _plan(wishes: Wishes, terminal: Terminal) -> _Plan:
    """Check all options against each other, the model's description and the disk."""
    seeds = parse_seeds(wishes.seeds)
    if wishes.force and wishes.skip_existing:
        raise UsageError("--force and --skip-existing contradict each other; give one of them")
    if wishes.out == "-":
        format_name = wishes.format_name or "mp4"
        _check_stream(wishes, format_name, len(seeds))
        targets = plan_targets("stdout", format_name, seeds, grid=wishes.grid)
    else:
        format_name = choose_format(wishes.out, wishes.format_name)
        if format_name == "raw":
            raise UsageError("--format raw goes down a pipe only: add -o - and one seed")
        targets = plan_targets(wishes.out, format_name, seeds, grid=wishes.grid)
    manifest = read_manifest(wishes.model)
    playing = plan_playing(
        manifest, wishes.track, wishes.num_frames, wishes.fps, wishes.resample, wishes.motion_seed
    )
    who = open_who_of_file(wishes.person, manifest, "--from") if wishes.person else None
    if who is not None and wishes.truncation != 1:
        raise UsageError("--truncation is of seeds: leave it out with --from")
    if playing.num_frames > 1 or wishes.track or wishes.save_track or who:
        manifest.check_complete()  # a single frame takes the generator alone
    if format_name == "gif" and playing.fps > GIF_MAX_FPS:
        raise UsageError(f"a gif has at most {GIF_MAX_FPS:g} frames per second; give a lower --fps")
    if wishes.grid:
        grid_shape(len(seeds), manifest.resolution)
    skipped: list[str] = []
    if wishes.out != "-":
        missing = without_existing(
            targets, format_name, force=wishes.force, skip_existing=wishes.skip_existing
        )
        to_make = set(missing)
        skipped = [str(target.path) for target in targets if target not in to_make]
        if skipped:
            terminal.note(f"{len(skipped)} of {len(targets)} videos are there already: skipped")
        check_writable(missing)
        targets = missing
    seeds = [seed for target in targets for seed in target.seeds]
    tracks = _plan_tracks(wishes, seeds, playing.num_frames)
    return _Plan(manifest, playing, who, format_name, targets, skipped, tracks)


def _plan_tracks(wishes: Wishes, seeds: list[int], num_frames: int) -> dict[int, Path]:
    if wishes.save_track is None or not seeds:
        return {}
    from stylefacev_cli.data.pose_tracks import MAX_TRACK_FRAMES

    if num_frames > MAX_TRACK_FRAMES:
        raise UsageError(f"--save-track: a track has at most {MAX_TRACK_FRAMES} frames")
    targets = plan_targets(
        wishes.save_track, "safetensors", seeds, grid=False, option="--save-track"
    )
    targets = without_existing(
        targets, "safetensors", force=wishes.force, skip_existing=wishes.skip_existing
    )
    check_writable(targets)
    return {target.seeds[0]: target.path for target in targets}


def _save_tracks(plan: _Plan, model: Model, poses: Poses, record: dict[str, Any]) -> None:
    """Before a video bears its name: where it is, its poses are too."""
    for seed, of_seed in poses.items():
        origin = {**record, "seed": seed}
        save_poses(plan.tracks[seed], of_seed, model, plan.playing.fps, origin)


def _check_stream(wishes: Wishes, format_name: str, num_seeds: int) -> None:
    if format_name not in STREAM_FORMATS:
        formats = ", ".join(STREAM_FORMATS)
        raise UsageError(f"-o - cannot carry {format_name}; give --format one of {formats}")
    if num_seeds > 1 and not wishes.grid:
        raise UsageError(f"-o - carries one video, not {num_seeds}: give one seed, or --grid")
    if wishes.as_json:
        raise UsageError("--json and -o - both write to the standard output; leave one out")
    if sys.stdout is None:
        raise UsageError("-o - has nowhere to go: the standard output is closed")
    if is_terminal(sys.stdout):
        raise UsageError("-o - would write a video to the terminal; send it to a pipe or a file")


def _frames(
    model: Model, wishes: Wishes, plan: _Plan, target: Target, poses: Poses, person: Person | None
) -> Iterator[Frame]:
    """The frames of a video; the poses of those that are to be saved go into `poses`."""
    playing = plan.playing

    def frames_of(seed: int) -> Iterator[Frame]:
        is_plain = playing.track is None and playing.step == 1 and person is None
        if is_plain and seed not in plan.tracks:
            return model.sample(
                seed,
                playing.num_frames,
                motion_seed=wishes.motion_seed,
                truncation=wishes.truncation,
                stabilise=wishes.stabilise,
                batch=wishes.batch,
            )
        who = person or model.person(seed, wishes.truncation)
        moves = moving(model, playing, who, seed, wishes.motion_seed, wishes.stabilise)
        if seed in plan.tracks:
            moves = kept(moves, poses.setdefault(seed, []))
        return who.play(moves, wishes.batch)

    videos = [frames_of(seed) for seed in target.seeds]
    return _tiled(videos, model.manifest.resolution) if wishes.grid else videos[0]


def _tiled(videos: list[Iterator[Frame]], tile_px: int) -> Iterator[Frame]:
    """Put videos side by side, row by row; the rest of the last row is black."""
    rows, columns = grid_shape(len(videos), tile_px)
    for tiles in zip(*videos, strict=True):
        sheet = np.zeros((rows, tile_px, columns, tile_px, 3), np.uint8)
        for index, tile in enumerate(tiles):
            sheet[index // columns, :, index % columns] = tile
        yield sheet.reshape(rows * tile_px, columns * tile_px, 3)


def _describe(wishes: Wishes, plan: _Plan, target: Target) -> dict[str, Any]:
    """The provenance that goes into the file: nothing that differs from run to run."""
    manifest, playing, seeds = plan.manifest, plan.playing, target.seeds
    rows, columns = grid_shape(len(seeds), manifest.resolution) if wishes.grid else (1, 1)
    motion_seeds = [seed if wishes.motion_seed is None else wishes.motion_seed for seed in seeds]
    who: dict[str, Any] = {"seeds": list(seeds)} if wishes.grid else {"seed": seeds[0]}
    if playing.source is not None:
        who["track"] = playing.source
    elif wishes.grid:
        who["motion_seeds"] = motion_seeds
    else:
        who["motion_seed"] = motion_seeds[0]
    if plan.who is not None:
        who = {name: value for name, value in who.items() if name not in ("seed", "seeds")}
        who |= plan.who.about
    if playing.step != 1:
        who["resampled_from_fps"] = playing.fps * playing.step
    return {
        **describe_software(manifest),
        **who,
        "frames": playing.num_frames,
        "fps": playing.fps,
        "width": columns * manifest.resolution,
        "height": rows * manifest.resolution,
        "truncation": wishes.truncation,
        "stabilise": wishes.stabilise,
        "dtype": wishes.dtype,
        "format": plan.format_name,
    }


def _summary(num_videos: int, num_frames: int, timing: dict[str, float]) -> str:
    total_s, synthesis_s = timing["total_s"], timing["synthesis_s"]
    videos = f"{num_videos} video" + ("" if num_videos == 1 else "s")
    return (
        f"{videos}, {num_videos * num_frames} frames in {total_s:.1f} s: "
        f"synthesis {synthesis_s:.1f} s ({synthesis_s / total_s:.0%}), "
        f"imports {timing['import_s']:.1f} s, loading {timing['load_s']:.1f} s, "
        f"kernels {timing['warm_up_s']:.1f} s, encoder {timing['encode_wait_s']:.1f} s"
    )
