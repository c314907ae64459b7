"""Untrusted video files → frames, decoded within limits."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from stylefacev_cli.errors import DataError
from stylefacev_cli.media.ffmpeg import as_file, cannot_start, find_ffmpeg, reason_of_failure
from stylefacev_cli.media.frames import Frame

# Playlists and concat scripts are formats too, and would open other files: only these are read.
_CONTAINERS = "mov,mp4,matroska,webm,avi,gif,mpegts,mpeg,ogg,flv,image2,png_pipe"
_MAX_PIXELS = 4096 * 4096
_MAX_CPU_S = 3600
INPUT_LIMITS = (
    *("-protocol_whitelist", "file,pipe"),
    *("-format_whitelist", _CONTAINERS),
    *("-max_pixels", str(_MAX_PIXELS)),
)
"""Arguments of ffmpeg before an untrusted input."""
_MISSING_TOLERANCE = 0.02  # containers round their duration; a truncated file loses more


def read_frames(path: Path, *, max_frames: int = 1_000_000) -> Iterator[Frame]:
    """Decode a video.

    Args:
        path: a regular file; never an address or a playlist.
        max_frames: stop after this many.

    Yields:
        The frames in order, uint8 [H, W, 3].

    Raises:
        DataError: no such file, not a video, damaged, or shorter than it claims to be.
    """
    if not path.is_file():
        raise DataError(f"no such video file: {path}")
    executable = find_ffmpeg()
    command = _opening(executable, path)
    command += ["-map", "0:v:0", "-frames:v", str(max_frames), "-fps_mode", "passthrough"]
    command += ["-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "pipe:1"]
    with tempfile.TemporaryFile() as messages:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=messages,
                start_new_session=True,
            )
        except OSError as error:
            raise cannot_start(executable, error) from error
        num_frames = 0
        try:
            assert process.stdout is not None
            while (frame := _read_ppm(process.stdout)) is not None:
                num_frames += 1
                yield frame
            return_code = process.wait()
        finally:
            process.kill()
            process.communicate()
        messages.seek(0)
        text = messages.read(2**20).decode("utf-8", "replace")
    if return_code != 0:
        errors = "\n".join(line for line in text.splitlines() if re.search("rror|nvalid", line))
        raise DataError(f"cannot read {path}: {reason_of_failure(errors, return_code)}")
    _check_count(path, text, num_frames, max_frames)


def frame_rate(path: Path) -> float | None:
    """Frames a second as the file's header says, or None if it does not say.

    Raises:
        DataError: no such file.
        StyleFaceVError: ffmpeg does not start.
    """
    rate = re.search(r"Video: .*?([\d.]+) fps", input_facts(path))
    return float(rate.group(1)) if rate and float(rate.group(1)) > 0 else None


def claimed_frames(path: Path) -> int:
    """How many frames a file has as its header says: for progress only (errors as `frame_rate`)."""
    facts = input_facts(path)
    length = re.search(r"Duration: (\d+):(\d+):(\d+\.\d+)", facts)
    rate = re.search(r"Video: .*?([\d.]+) fps", facts)
    if length is None or rate is None:
        return 0
    hours, minutes, seconds = (float(part) for part in length.groups())
    return round((hours * 3600 + minutes * 60 + seconds) * float(rate.group(1)))


def input_facts(path: Path) -> str:
    """The description of a file by ffmpeg: its streams, rates and lengths.

    Raises:
        DataError: no such file.
        StyleFaceVError: ffmpeg does not start.
    """
    if not path.is_file():
        raise DataError(f"no such video file: {path}")
    executable = find_ffmpeg()
    try:
        # Without an output ffmpeg tells what the input is and ends with an error.
        messages = subprocess.run(
            _opening(executable, path), stdin=subprocess.DEVNULL, capture_output=True, check=False
        ).stderr
    except OSError as error:
        raise cannot_start(executable, error) from error
    return messages[: 2**20].decode("utf-8", "replace")


def _opening(executable: str, path: Path) -> list[str]:
    """The command line up to the input, with every limit."""
    command = [executable, "-hide_banner", "-nostdin", "-loglevel", "info", "-nostats", "-xerror"]
    return [*command, *INPUT_LIMITS, "-timelimit", str(_MAX_CPU_S), "-i", as_file(path)]


def _read_ppm(stream: IO[bytes]) -> Frame | None:
    """Read one binary PPM picture; None at the end or when the stream stops within a picture."""
    if stream.readline() != b"P6\n":
        return None
    sides = stream.readline().split()
    if len(sides) != 2 or stream.readline() != b"255\n":
        return None
    width_px, height_px = int(sides[0]), int(sides[1])
    data = stream.read(width_px * height_px * 3)
    if len(data) != width_px * height_px * 3:
        return None
    return np.frombuffer(data, np.uint8).reshape(height_px, width_px, 3)


def _check_count(path: Path, messages: str, num_frames: int, max_frames: int) -> None:
    """Compare the frames with duration × rate: ffmpeg ends well on a file that was cut off."""
    duration = re.search(r"Duration: (\d+):(\d+):(\d+\.\d+)", messages)
    rate = re.search(r"Video: .*?([\d.]+) fps", messages)
    if num_frames == 0:
        raise DataError(f"cannot read {path}: it holds no frames")
    if duration is None or rate is None:
        return
    hours, minutes, seconds = (float(part) for part in duration.groups())
    expected = min((hours * 3600 + minutes * 60 + seconds) * float(rate.group(1)), max_frames)
    if num_frames < expected * (1 - _MISSING_TOLERANCE) - 1:
        raise DataError(
            f"{path} is cut off: {num_frames} frames where it claims {expected:.0f}; fetch it again"
        )
