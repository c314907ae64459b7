"""Videos written to files, each with a JSON file beside it, or to a stream; and a clock."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from stylefacev_cli.common.files import replacing, write_json, writing
from stylefacev_cli.media.formats import VideoSettings
from stylefacev_cli.media.frames import Frame, FrameWriter
from stylefacev_cli.media.writer import stream_writer, video_writer
from stylefacev_cli.version import __version__

if TYPE_CHECKING:
    from stylefacev_cli.weights.manifest import Manifest

PARTS = {
    "synthesis_s": "synthesis",
    "fit_s": "fitting",
    "search_s": "reading the motion",
    "import_s": "imports",
    "load_s": "loading",
    "warm_up_s": "kernels",
    "encode_wait_s": "encoder",
    "other_s": "other",
}
"""Keys of a summary of `Clock`, and what they are called in words."""


@dataclass
class Clock:
    """Where the time of a job goes, in seconds."""

    started_s: float = field(default_factory=time.perf_counter)
    spent_s: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def counting(self, part: str) -> Iterator[None]:
        """Add the time of the block to one of `PARTS`."""
        begin_s = time.perf_counter()
        try:
            yield
        finally:
            self.spent_s[part] = self.spent_s.get(part, 0.0) + time.perf_counter() - begin_s

    def summary(self) -> dict[str, float]:
        """The total and its parts; warm_up_s is the compiling of kernels (and one frame)."""
        total_s = time.perf_counter() - self.started_s
        other_s = max(0.0, total_s - sum(self.spent_s.values()))
        spent_s = {**self.spent_s, "other_s": other_s}
        parts = {part: round(spent_s.get(part, 0.0), 4) for part in PARTS}
        return {"total_s": round(total_s, 4), **parts}


def describe(timing: Mapping[str, float]) -> str:
    """A summary of `Clock` in words: `5.2 s: synthesis 1.0 s, imports 2.1 s …`."""
    total_s = timing["total_s"]
    parts = [f"{words} {timing[key]:.1f} s" for key, words in PARTS.items() if timing[key] >= 0.05]
    return f"{total_s:.1f} s: {', '.join(parts)}"


@dataclass(frozen=True)
class Feed:
    """Frames on their way into a file or a stream.

    Attributes:
        frames: uint8 [H, W, 3] each.
        about: the provenance that goes into the file; says size, rate, length and format.
        clock: counts rendering and encoding.
        advance: is called after every frame.
    """

    frames: Iterable[Frame]
    about: Mapping[str, Any]
    clock: Clock
    advance: Callable[[], None]

    def write_to(self, video: FrameWriter) -> None:
        """Write all of them."""
        frames = iter(self.frames)
        while True:
            with self.clock.counting("synthesis_s"):
                frame = next(frames, None)
            if frame is None:
                return
            with self.clock.counting("encode_wait_s"):
                video.write(frame)
            self.advance()

    @property
    def settings(self) -> VideoSettings:
        """Size, rate and provenance, as writers take them."""
        about = self.about
        return VideoSettings(
            about["width"],
            about["height"],
            about["fps"],
            json.dumps(about, separators=(",", ":")),
            lossless=about.get("lossless", False),
            num_frames=1 if about["format"] == "sheet" else about["frames"],
        )


def sidecar_of(path: Path) -> Path:
    """The JSON file beside a video."""
    return path.with_name(path.name + ".json")


def write_video(
    feed: Feed, path: Path, device: str, finish: Callable[[Path], None] | None = None
) -> dict[str, Any]:
    """Write a video and the JSON file beside it; neither bears its name before it is whole.

    Args:
        feed: the frames.
        path: of the video.
        device: that rendered it.
        finish: is given the temporary file when all frames are in it.

    Returns:
        What the JSON file says.

    Raises:
        StyleFaceVError: it cannot be written.
    """
    clock, about = feed.clock, feed.about
    begin_s, before_s = time.perf_counter(), clock.spent_s.get("synthesis_s", 0.0)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        with contextlib.ExitStack() as stack:
            video = stack.enter_context(video_writer(part, about["format"], feed.settings))
            feed.write_to(video)
            with clock.counting("encode_wait_s"):
                stack.close()
                if finish is not None:
                    finish(part)
        record = {
            "file": path.name,
            **about,
            "device": device,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "seconds": {
                "synthesis": round(clock.spent_s["synthesis_s"] - before_s, 4),
                "total": round(time.perf_counter() - begin_s, 4),
            },
        }
        # Before the video: where a video is, its description is too.
        write_json(sidecar_of(path), record)
    return record


def stream_video(feed: Feed, stream: BinaryIO) -> None:
    """Write a video to an open pipe or file.

    Raises:
        BrokenPipeError: nobody reads it any more.
        OSError: it cannot be written for another reason.
    """
    with stream_writer(stream, feed.about["format"], feed.settings) as video:
        feed.write_to(video)


def describe_software(manifest: Manifest) -> dict[str, Any]:
    """The beginning of every record: what generated it."""
    return {
        "ai_generated": True,
        "software": "stylefacev",
        "version": __version__,
        "model": {
            "name": manifest.name,
            "sha256": manifest.sha256,
            "licence": manifest.licence,
        },
    }
