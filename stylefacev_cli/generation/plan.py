"""What `stylefacev generate` is asked for, and what it will make: checked before any work."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from stylefacev_cli.cli.terminal import Terminal, is_terminal
from stylefacev_cli.common.seed_ranges import MAX_NUM_SEEDS, parse_seeds
from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.camera import Direction, check_closed, check_mixes
from stylefacev_cli.generation.grid import Sheet, layout, plan_sheet
from stylefacev_cli.generation.identities import Who, open_who_of_file
from stylefacev_cli.generation.motion_edits import Edits
from stylefacev_cli.generation.motion_plan import Pace, Playing, plan_playing
from stylefacev_cli.generation.output_paths import (
    Target,
    check_writable,
    choose_format,
    plan_targets,
    without_existing,
)
from stylefacev_cli.media import STREAM_FORMATS
from stylefacev_cli.media.formats import GIF_MAX_FPS, LOSSY_ONLY
from stylefacev_cli.weights.manifest import Manifest, read_manifest

Cell = tuple[tuple[int, ...], int]
"""One face in one motion: its seed (or place), or those it becomes, and the motion's column."""


@dataclass(frozen=True)
class Wishes:
    """The options of the command, as given."""

    seeds: str
    people: tuple[str, ...]  # latent files and photos, in place of seeds
    motion_seeds: str | None  # None: each video's own seed; of people who have none, 0
    tracks: tuple[str, ...]
    pace: Pace
    direction: Direction
    edits: Edits
    truncation: float
    stabilise: bool
    grid: bool
    model: str
    batch: int | None  # None: by resolution
    device: str
    dtype: str
    num_threads: int | None  # None: all cores
    out: str
    save_track: str | None
    format_name: str | None  # None: by the name of `out`
    lossless: bool
    sheet_frames: int | None
    sheet_columns: int | None
    force: bool
    skip_existing: bool
    as_json: bool


@dataclass(frozen=True)
class Plan:
    """What will be made."""

    manifest: Manifest
    people: tuple[Who, ...]  # whom `seeds` of targets then count; empty: they are seeds
    playing: Playing
    format_name: str
    sheet: Sheet | None
    targets: list[Target]
    skipped: list[str]  # paths of videos that are there already
    tracks: dict[Cell, Path]  # where poses are saved


def plan_videos(wishes: Wishes, terminal: Terminal) -> Plan:
    """Check all options against each other, the model's description and the disk.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    chain = wishes.direction.chain
    if wishes.force and wishes.skip_existing:
        raise UsageError("--force and --skip-existing contradict each other; give one of them")
    format_name = planned_format(
        wishes.out, wishes.format_name, lossless=wishes.lossless, as_json=wishes.as_json
    )
    manifest = read_manifest(wishes.model, for_videos=wishes.pace.is_of_videos)
    people = _people(wishes, manifest)
    seeds = list(chain) or list(range(len(people))) or parse_seeds(wishes.seeds)
    motion_seeds = [0] if people and not wishes.tracks else []
    if wishes.motion_seeds:
        motion_seeds = parse_seeds(wishes.motion_seeds, "--motion-seeds")
    playing = plan_playing(manifest, wishes.tracks, motion_seeds, wishes.pace, wishes.edits)
    if len(seeds) * len(playing.motions) > MAX_NUM_SEEDS:
        raise UsageError(f"more than {MAX_NUM_SEEDS} videos at once; give fewer seeds")
    targets = plan_targets(
        "stdout" if wishes.out == "-" else wishes.out,
        format_name,
        seeds,
        grid=wishes.grid,
        columns=playing.columns,
        chain=bool(chain),
        people=[who.stem for who in people],
    )
    if wishes.out == "-" and len(targets) > 1:
        raise UsageError(
            f"-o - carries one video, not {len(targets)}: give one seed and motion, or --grid"
        )
    sheet = plan_sheet(format_name, wishes.sheet_frames, wishes.sheet_columns, playing.num_frames)
    _check_settings(wishes, manifest, playing, format_name)
    plan = Plan(manifest, people, playing, format_name, sheet, targets, [], {})
    layout_of(wishes, plan, targets[0])
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
    tracks = _plan_tracks(wishes, targets, playing, people)
    return replace(plan, targets=targets, skipped=skipped, tracks=tracks)


def _people(wishes: Wishes, manifest: Manifest) -> tuple[Who, ...]:
    """Those who are not of seeds, read and checked."""
    people = tuple(open_who_of_file(text, manifest, "--from") for text in wishes.people)
    if people and wishes.truncation != 1:
        raise UsageError("--truncation is of seeds: leave it out with --from")
    if len({who.stem for who in people}) < len(people):
        raise UsageError("--from: two files have one name, and so would their videos; rename one")
    return people


def planned_format(out: str, wanted: str | None, *, lossless: bool, as_json: bool) -> str:
    """The format of videos that go to `out`, a name or - for a pipe.

    Raises:
        UsageError: it is not one for there, or cannot be lossless.
    """
    if out == "-":
        format_name = wanted or "mp4"
        _check_stream(format_name, as_json)
    else:
        format_name = choose_format(out, wanted)
        if format_name == "raw":
            raise UsageError("--format raw goes down a pipe only: add -o - and one seed")
    if lossless and format_name in LOSSY_ONLY:
        raise UsageError(f"--lossless: a {format_name} cannot be; give an mp4, mkv, webm or png")
    return format_name


def _check_settings(wishes: Wishes, manifest: Manifest, playing: Playing, format_name: str) -> None:
    # A single frame as it is takes the generator alone.
    apart = wishes.tracks or wishes.save_track or wishes.edits.changes or wishes.people
    if playing.num_frames > 1 or apart or not wishes.direction.is_plain:
        manifest.check_complete()
    check_mixes(wishes.direction.mixes, manifest)
    if wishes.edits.loop:
        check_closed(wishes.direction)
    check_rate(format_name, playing.fps)


def check_rate(format_name: str, fps: float) -> None:
    """Check that a format can be so fast.

    Raises:
        UsageError: it cannot.
    """
    if format_name == "gif" and fps > GIF_MAX_FPS:
        raise UsageError(f"a gif has at most {GIF_MAX_FPS:g} frames per second, not {fps:g}")


def cells_of(wishes: Wishes, target: Target) -> list[Cell]:
    """The faces and motions of a video, row by row."""
    rows = [target.seeds] if wishes.direction.chain else [(seed,) for seed in target.seeds]
    return list(product(rows, target.columns))


def _plan_tracks(
    wishes: Wishes, targets: list[Target], playing: Playing, people: tuple[Who, ...]
) -> dict[Cell, Path]:
    if wishes.save_track is None or not targets:
        return {}
    from stylefacev_cli.motion.pose_tracks import MAX_TRACK_FRAMES

    if playing.num_frames > MAX_TRACK_FRAMES:
        raise UsageError(f"--save-track: a track has at most {MAX_TRACK_FRAMES} frames")
    chain = wishes.direction.chain
    seeds = dict.fromkeys(seed for target in targets for seed in target.seeds)
    planned = plan_targets(
        wishes.save_track,
        "safetensors",
        list(chain or seeds),
        grid=False,
        option="--save-track",
        columns=playing.columns,
        chain=bool(chain),
        people=[who.stem for who in people],
    )
    wanted = {cell for target in targets for cell in cells_of(wishes, target)}
    planned = [one for one in planned if (one.seeds, one.columns[0]) in wanted]
    planned = without_existing(
        planned, "safetensors", force=wishes.force, skip_existing=wishes.skip_existing
    )
    check_writable(planned)
    return {(one.seeds, one.columns[0]): one.path for one in planned}


def _check_stream(format_name: str, as_json: bool) -> None:
    if format_name not in STREAM_FORMATS:
        formats = ", ".join(STREAM_FORMATS)
        raise UsageError(f"-o - cannot carry {format_name}; give --format one of {formats}")
    if as_json:
        raise UsageError("--json and -o - both write to the standard output; leave one out")
    if sys.stdout is None:
        raise UsageError("-o - has nowhere to go: the standard output is closed")
    if is_terminal(sys.stdout):
        raise UsageError("-o - would write a video to the terminal; send it to a pipe or a file")


def layout_of(wishes: Wishes, plan: Plan, target: Target) -> tuple[int, int]:
    """Rows and columns of tiles in the pictures of a video."""
    return layout(
        target,
        grid=wishes.grid,
        chain=bool(wishes.direction.chain),
        tile_px=plan.manifest.resolution,
        sheet=plan.sheet,
    )
