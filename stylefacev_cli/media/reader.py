"""Untrusted video files → frames, decoded within limits."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from stylefacev_cli.errors import DataError
from stylefacev_cli.media.facts import (
    CONTAINERS,
    MAX_PIXELS,
    MISSING_TOLERANCE,
    VideoFacts,
    check_whole,
    probe,
)
from stylefacev_cli.media.ffmpeg import (
    as_file,
    cannot_start,
    faults_told,
    find_ffmpeg,
    reason_of_failure,
)
from stylefacev_cli.media.frames import GROUND, Frame
from stylefacev_cli.media.limited import limited_command
from stylefacev_cli.media.reading_filters import reading_filters, reading_notes
from stylefacev_cli.media.timing import as_rate

MAX_CPU_S = 3600
INPUT_LIMITS = (
    *("-protocol_whitelist", "file,pipe"),
    *("-format_whitelist", CONTAINERS),
    *("-max_pixels", str(MAX_PIXELS)),
)
"""Arguments of ffmpeg before an untrusted input."""
MEMORY_BYTES = 768 * 2**20
"""Address space of an ffmpeg that reads an untrusted input, the pixels of its frames aside."""
_BYTES_A_PIXEL = 112  # 16 frames that others refer to, those of each thread, and filters
_MAX_MESSAGE_BYTES = 2**20
_NUM_THREADS = min(4, os.cpu_count() or 1)
# With several threads ffmpeg 9 decodes one file of Theora in some 20 to other pictures, without a
# word, and does not tell of MPEG pictures parts of which it made up.
_ONE_THREAD = ("theora", "vp3", "vp4", "mpeg1video", "mpeg2video")
_A_FRAME_A_PACKET = ("mjpeg", "gif", "apng", "png", "vp8", "ffv1")


def read_frames(
    path: Path, *, max_frames: int = 1_000_000, fps: float | Fraction | None = None
) -> Iterator[Frame]:
    """Decode a video: frame n is what is shown n / rate seconds after its first frame.

    Frames of a constant rate come as they are stored; those of a varying rate are resampled by
    their time stamps to `frame_rate`. Pixels are square, upright, progressive and BT.709.

    Args:
        path: a regular file; never an address or a playlist.
        max_frames: stop after this many.
        fps: resample to this rate; None: to `frame_rate`.

    Yields:
        The frames in order, uint8 [H, W, 3].

    Raises:
        DataError: no such file, not a video, damaged, or shorter than it claims to be.
    """
    facts = probe(path)
    check_whole(path, facts)
    target = _resampled_to(facts, fps)
    executable = find_ffmpeg()
    command = _command(executable, path, facts, target, max_frames)
    memory_bytes = MEMORY_BYTES + _BYTES_A_PIXEL * facts.width_px * facts.height_px
    num_frames = 0
    with tempfile.TemporaryFile() as messages:
        try:
            process = subprocess.Popen(
                limited_command(command, memory_bytes, MAX_CPU_S, _MAX_MESSAGE_BYTES),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=messages,
                start_new_session=True,
            )
        except OSError as error:
            raise cannot_start(executable, error) from error
        try:
            assert process.stdout is not None
            while (frame := _read_picture(process.stdout)) is not None:
                num_frames += 1
                yield frame
            return_code = process.wait()
        finally:
            process.kill()
            process.communicate()
        messages.seek(0)
        text = messages.read(_MAX_MESSAGE_BYTES).decode("utf-8", "replace")
    if return_code != 0:
        errors = "\n".join(line for line in text.splitlines() if re.search("rror|nvalid", line))
        raise DataError(f"cannot read {path}: {reason_of_failure(errors, return_code)}")
    if faults := faults_told(text, facts.codec):
        raise DataError(f"{path} is damaged ({faults[0]}); fetch it again")
    is_exact = target is None and facts.codec in _A_FRAME_A_PACKET
    _check_count(path, num_frames, min(facts.timing.num_frames_at(target), max_frames), is_exact)


def frame_rate(path: Path) -> float | None:
    """Frames a second of `read_frames`, or None if the file does not tell.

    Raises:
        DataError: no such file, no video, or damaged.
    """
    rate = probe(path).timing.rate
    return None if rate is None else float(rate)


def claimed_frames(path: Path) -> int:
    """How many frames `read_frames` will give, as the packets say (errors as `frame_rate`)."""
    facts = probe(path)
    return facts.timing.num_frames_at(_resampled_to(facts, None))


def notes_on(path: Path) -> list[str]:
    """What a user should know about how a file is read (errors as `frame_rate`)."""
    return reading_notes(probe(path))


def _resampled_to(facts: VideoFacts, fps: float | Fraction | None) -> Fraction | None:
    """The rate to which frames have to be resampled; None: they come at theirs."""
    timing = facts.timing
    if timing.rate is None or fps is None:
        return None if timing.is_constant else timing.rate
    rate = as_rate(fps)
    return None if timing.is_constant and rate == timing.rate else rate


def _command(
    executable: str, path: Path, facts: VideoFacts, target: Fraction | None, max_frames: int
) -> list[str]:
    command = [executable, "-hide_banner", "-nostdin", "-loglevel", "error", "-xerror"]
    num_threads = 1 if facts.codec in _ONE_THREAD else _NUM_THREADS
    command += ["-threads", str(num_threads), "-filter_threads", "1", *INPUT_LIMITS]
    command += ["-err_detect", "crccheck+bitstream+buffer+careful"]
    if facts.decodes_alpha:
        command += ["-c:v", "libvpx" if facts.codec == "vp8" else "libvpx-vp9"]
    command += ["-timelimit", str(MAX_CPU_S), "-i", as_file(path)]
    command += ["-map", f"0:{facts.stream}", "-frames:v", str(max_frames)]
    if filters := reading_filters(path, facts, target):
        command += ["-vf", ",".join(filters)]
    coding = ["pam", "-pix_fmt", "rgba"] if facts.has_alpha else ["ppm", "-pix_fmt", "rgb24"]
    return [*command, "-fps_mode", "passthrough", "-f", "image2pipe", "-c:v", *coding, "pipe:1"]


def _read_picture(stream: IO[bytes]) -> Frame | None:
    """Read one PPM or PAM picture; None at the end or when the stream stops within a picture."""
    kind = stream.readline(16)
    if kind == b"P6\n":
        sides = stream.readline(32).split()
        if len(sides) != 2 or stream.readline(16) != b"255\n":
            return None
        return _read_pixels(stream, int(sides[0]), int(sides[1]), 3)
    if kind != b"P7\n":
        return None
    fields: dict[bytes, bytes] = {}
    while (line := stream.readline(64)) not in (b"ENDHDR\n", b""):
        name, _, value = line.strip().partition(b" ")
        fields[name] = value
    if fields.get(b"DEPTH") != b"4" or fields.get(b"MAXVAL") != b"255":
        return None
    pixels = _read_pixels(stream, int(fields[b"WIDTH"]), int(fields[b"HEIGHT"]), 4)
    return None if pixels is None else on_ground(pixels)


def _read_pixels(stream: IO[bytes], width_px: int, height_px: int, depth: int) -> Frame | None:
    data = stream.read(width_px * height_px * depth)
    if len(data) != width_px * height_px * depth:
        return None
    return np.frombuffer(data, np.uint8).reshape(height_px, width_px, depth)


def on_ground(pixels: Frame) -> Frame:
    """RGBA [H, W, 4] → RGB on neutral grey; opaque pixels keep their numbers."""
    alpha = pixels[..., 3:]
    colours = np.ascontiguousarray(pixels[..., :3])
    if alpha.min() == 255:
        return colours
    weight = alpha.astype(np.uint16)
    mixed: npt.NDArray[np.uint16] = colours * weight + np.uint16(GROUND) * (255 - weight)
    return ((mixed + 127) // 255).astype(np.uint8)


def _check_count(path: Path, num_frames: int, expected: int, is_exact: bool) -> None:
    """Compare the frames with the packets: ffmpeg ends well where some cannot be decoded."""
    if num_frames == 0:
        raise DataError(f"cannot read {path}: it holds no frames")
    fewest = expected if is_exact else expected * (1 - MISSING_TOLERANCE) - 1
    if num_frames < fewest:
        raise DataError(
            f"{path} is damaged: {num_frames} frames where it claims {expected}; fetch it again"
        )
