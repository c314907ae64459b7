"""How a video leaves: to a file with a JSON file beside it, or down a pipe; and where time goes."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import stylefacev_cli
from stylefacev_cli.cli.terminal import ClosedPipe, cannot_write_stdout
from stylefacev_cli.common.files import writing
from stylefacev_cli.generation.output_paths import Target
from stylefacev_cli.media import (
    Frame,
    FrameWriter,
    VideoSettings,
    replacing,
    stream_writer,
    video_writer,
    write_json,
)

if TYPE_CHECKING:
    from stylefacev_cli.pipeline import Model
    from stylefacev_cli.weights.manifest import Manifest


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


def make_video(
    frames: Iterator[Frame],
    target: Target,
    record: dict[str, Any],
    clock: Clock,
    advance: Callable[[str], None],
    model: Model,
    finish: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Make a video and the JSON file beside it; neither bears its name before it is whole.

    Args:
        frames: of the video.
        target: where it goes.
        record: what is said of it, see `describe_software` and `generate`.
        clock: keeps the time.
        advance: is told of every frame.
        model: that makes it.
        finish: is given the temporary file when all frames are in it.

    Returns:
        The record as it stands in the JSON file, and the path.

    Raises:
        StyleFaceVError: it cannot be written.
    """
    begin_s, before_s = time.perf_counter(), clock.spent_s.get("synthesis_s", 0.0)
    with writing(target.path):
        target.path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target.path) as part:
        with contextlib.ExitStack() as stack:
            video = stack.enter_context(video_writer(part, record["format"], _settings(record)))
            _feed(video, frames, name_of(target), clock, advance)
            with clock.counting("encode_wait_s"):
                stack.close()
                if finish is not None:
                    finish(part)
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


def stream_video(
    frames: Iterator[Frame],
    target: Target,
    record: dict[str, Any],
    clock: Clock,
    advance: Callable[[str], None],
) -> None:
    """Send a video to stdout.

    Raises:
        ClosedPipe: nobody reads it any more.
        StyleFaceVError: it cannot be written.
    """
    try:
        with stream_writer(sys.stdout.buffer, record["format"], _settings(record)) as video:
            _feed(video, frames, name_of(target), clock, advance)
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


def _settings(record: dict[str, Any]) -> VideoSettings:
    provenance = json.dumps(record, separators=(",", ":"))
    num_frames = 1 if record["format"] == "sheet" else record["frames"]
    return VideoSettings(
        record["width"],
        record["height"],
        record["fps"],
        provenance,
        lossless=record.get("lossless", False),
        num_frames=num_frames,
    )


def name_of(target: Target) -> str:
    """What is said beside the bar."""
    return f"seed {target.seeds[0]}" if len(target.seeds) == 1 else f"{len(target.seeds)} seeds"


def describe_software(manifest: Manifest) -> dict[str, Any]:
    """The beginning of every record: what made it."""
    return {
        "ai_generated": True,
        "software": "stylefacev",
        "version": stylefacev_cli.__version__,
        "model": {
            "name": manifest.name,
            "sha256": manifest.sha256,
            "licence": manifest.licence,
        },
    }
