"""What `stylefacev generate` does: check everything, then make one video after the other."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np

import stylefacev_cli
from stylefacev_cli.cli.outputs import (
    Target,
    check_writable,
    choose_format,
    grid_shape,
    plan_targets,
    without_existing,
)
from stylefacev_cli.cli.seeds import parse_seeds
from stylefacev_cli.cli.terminal import (
    ClosedPipe,
    Terminal,
    cannot_write_stdout,
    holding_signals,
    is_terminal,
)
from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.video import (
    STREAM_FORMATS,
    Frame,
    FrameWriter,
    VideoSettings,
    replacing,
    stream_writer,
    video_writer,
    write_json,
)
from stylefacev_cli.video.files import writing
from stylefacev_cli.video.formats import GIF_MAX_FPS
from stylefacev_cli.weights.manifest import Manifest, read_manifest

if TYPE_CHECKING:
    from stylefacev_cli.pipeline import Model


@dataclass(frozen=True)
class Wishes:
    """The options of the command, as given."""

    seeds: str
    num_frames: int
    fps: float | None  # None: the model's
    truncation: float
    motion_seed: int | None  # None: each video's own seed
    stabilise: bool
    grid: bool
    model: str
    batch: int | None  # None: by resolution
    device: str
    dtype: str
    num_threads: int | None  # None: all cores
    out: str
    format_name: str | None  # None: by the name of `out`
    force: bool
    skip_existing: bool
    as_json: bool


@dataclass
class Clock:
    """Where the time goes, in seconds."""

    started_s: float = field(default_factory=time.perf_counter)
    spent_s: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def counting(self, name: str) -> Iterator[None]:
        """Add the time of the block to a name."""
        begin_s = time.perf_counter()
        try:
            yield
        finally:
            self.spent_s[name] = self.spent_s.get(name, 0.0) + time.perf_counter() - begin_s

    def summary(self) -> dict[str, float]:
        """The total and its parts; warm_up_s is the compiling of kernels (and one frame)."""
        names = ("import_s", "load_s", "warm_up_s", "synthesis_s", "encode_wait_s")
        total_s = time.perf_counter() - self.started_s
        parts = {name: round(self.spent_s.get(name, 0.0), 4) for name in names}
        return {"total_s": round(total_s, 4), **parts}


def make_videos(wishes: Wishes, terminal: Terminal) -> None:
    """Make what is wished for; everything that can be known to fail is told before any work.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
        ClosedPipe: the reader of stdout has gone.
    """
    clock = Clock(terminal.started_s)
    terminal.way_on = "; --skip-existing goes on from here"
    to_stdout = wishes.out == "-"
    manifest, format_name, targets, skipped = _plan(wishes, terminal)
    fps = manifest.fps if wishes.fps is None else wishes.fps
    made: list[dict[str, Any]] = []
    results: dict[str, Any] = {"videos": made, "skipped": skipped}
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
            terminal.detail(
                f"model {manifest.name} ({manifest.sha256[:12]}) from {manifest.folder}, "
                f"{model.device.type}, {wishes.dtype}, {num_threads()} threads"
            )
            with terminal.progress(len(targets) * wishes.num_frames, "frames") as advance:
                for target in targets:
                    record = _describe(wishes, manifest, target, format_name, fps)
                    frames = _frames(model, wishes, target)
                    if to_stdout:
                        _stream(frames, target, record, clock, advance)
                    else:
                        made.append(_make(frames, target, record, clock, advance, model))
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
    terminal.note(_summary(len(targets), wishes.num_frames, timing))


def _plan(wishes: Wishes, terminal: Terminal) -> tuple[Manifest, str, list[Target], list[str]]:
    """Check all options against each other, the model's description and the disk.

    Returns:
        The model, the format, the videos to make, and the paths of those that are there already.
    """
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
    if wishes.num_frames > 1:
        manifest.check_complete()  # a single frame takes the generator alone
    if format_name == "gif" and (wishes.fps or manifest.fps) > GIF_MAX_FPS:
        raise UsageError(f"a gif has at most {GIF_MAX_FPS:g} frames per second; give a lower --fps")
    if wishes.grid:
        grid_shape(len(seeds), manifest.resolution)
    if wishes.out == "-":
        return manifest, format_name, targets, []
    missing = without_existing(
        targets, format_name, force=wishes.force, skip_existing=wishes.skip_existing
    )
    to_make = set(missing)
    skipped = [str(target.path) for target in targets if target not in to_make]
    if skipped:
        terminal.note(f"{len(skipped)} of {len(targets)} videos are there already: skipped")
    check_writable(missing)
    return manifest, format_name, missing, skipped


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


def _frames(model: Model, wishes: Wishes, target: Target) -> Iterator[Frame]:
    videos = [
        model.sample(
            seed,
            wishes.num_frames,
            motion_seed=wishes.motion_seed,
            truncation=wishes.truncation,
            stabilise=wishes.stabilise,
            batch=wishes.batch,
        )
        for seed in target.seeds
    ]
    return _tiled(videos, model.manifest.resolution) if wishes.grid else videos[0]


def _tiled(videos: list[Iterator[Frame]], tile_px: int) -> Iterator[Frame]:
    """Put videos side by side, row by row; the rest of the last row is black."""
    rows, columns = grid_shape(len(videos), tile_px)
    for tiles in zip(*videos, strict=True):
        sheet = np.zeros((rows, tile_px, columns, tile_px, 3), np.uint8)
        for index, tile in enumerate(tiles):
            sheet[index // columns, :, index % columns] = tile
        yield sheet.reshape(rows * tile_px, columns * tile_px, 3)


def _make(
    frames: Iterator[Frame],
    target: Target,
    record: dict[str, Any],
    clock: Clock,
    advance: Callable[[str], None],
    model: Model,
) -> dict[str, Any]:
    """Make a video and the JSON file beside it; neither bears its name before it is whole."""
    begin_s, before_s = time.perf_counter(), clock.spent_s.get("synthesis_s", 0.0)
    with writing(target.path):
        target.path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target.path) as part:
        with contextlib.ExitStack() as stack:
            video = stack.enter_context(video_writer(part, record["format"], _settings(record)))
            _feed(video, frames, _name(target), clock, advance)
            with clock.counting("encode_wait_s"):
                stack.close()
        record = {
            "file": target.path.name,
            **record,
            "device": model.device.type,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "seconds": {
                "synthesis": round(clock.spent_s["synthesis_s"] - before_s, 4),
                "total": round(time.perf_counter() - begin_s, 4),
            },
        }
        # Before the video: where a video is, its description is too.
        write_json(target.sidecar, record)
    return {"path": str(target.path), **record}


def _stream(
    frames: Iterator[Frame],
    target: Target,
    record: dict[str, Any],
    clock: Clock,
    advance: Callable[[str], None],
) -> None:
    """Send a video to stdout."""
    try:
        with stream_writer(sys.stdout.buffer, record["format"], _settings(record)) as video:
            _feed(video, frames, _name(target), clock, advance)
    except BrokenPipeError as error:
        raise ClosedPipe from error
    except OSError as error:
        raise cannot_write_stdout(error) from error


def _feed(
    video: FrameWriter,
    frames: Iterator[Frame],
    name: str,
    clock: Clock,
    advance: Callable[[str], None],
) -> None:
    while True:
        with clock.counting("synthesis_s"):
            frame = next(frames, None)
        if frame is None:
            return
        with clock.counting("encode_wait_s"):
            video.write(frame)
        advance(name)


def _name(target: Target) -> str:
    return f"seed {target.seeds[0]}" if len(target.seeds) == 1 else f"{len(target.seeds)} seeds"


def _describe(
    wishes: Wishes, manifest: Manifest, target: Target, format_name: str, fps: float
) -> dict[str, Any]:
    """The provenance that goes into the file: nothing that differs from run to run."""
    rows, columns = grid_shape(len(target.seeds), manifest.resolution) if wishes.grid else (1, 1)
    motion_seeds = [
        seed if wishes.motion_seed is None else wishes.motion_seed for seed in target.seeds
    ]
    who: dict[str, Any]
    if wishes.grid:
        who = {"seeds": list(target.seeds), "motion_seeds": motion_seeds}
    else:
        who = {"seed": target.seeds[0], "motion_seed": motion_seeds[0]}
    return {
        "ai_generated": True,
        "software": "stylefacev",
        "version": stylefacev_cli.__version__,
        "model": {
            "name": manifest.name,
            "sha256": manifest.sha256,
            "licence": manifest.licence,
        },
        **who,
        "frames": wishes.num_frames,
        "fps": fps,
        "width": columns * manifest.resolution,
        "height": rows * manifest.resolution,
        "truncation": wishes.truncation,
        "stabilise": wishes.stabilise,
        "dtype": wishes.dtype,
        "format": format_name,
    }


def _settings(record: dict[str, Any]) -> VideoSettings:
    provenance = json.dumps(record, separators=(",", ":"))
    return VideoSettings(record["width"], record["height"], record["fps"], provenance)


def _summary(num_videos: int, num_frames: int, timing: dict[str, float]) -> str:
    total_s, synthesis_s = timing["total_s"], timing["synthesis_s"]
    videos = f"{num_videos} video" + ("" if num_videos == 1 else "s")
    return (
        f"{videos}, {num_videos * num_frames} frames in {total_s:.1f} s: "
        f"synthesis {synthesis_s:.1f} s ({synthesis_s / total_s:.0%}), "
        f"imports {timing['import_s']:.1f} s, loading {timing['load_s']:.1f} s, "
        f"kernels {timing['warm_up_s']:.1f} s, encoder {timing['encode_wait_s']:.1f} s"
    )
