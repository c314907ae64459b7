"""Facts of an untrusted video as its container and codec state them, never from text.

PyAV reads them in a process of its own with limits of memory and time: every packet is looked at,
the first few frames are decoded.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from stylefacev_cli.errors import DataError
from stylefacev_cli.media import probe_child
from stylefacev_cli.media.containers import container_fault
from stylefacev_cli.media.ffmpeg import as_file
from stylefacev_cli.media.limited import limited_command
from stylefacev_cli.media.timing import Timing, measure_timing

# Playlists and concat scripts are formats too, and would open other files: only these are read.
CONTAINERS = (
    "mov,mp4,matroska,webm,avi,gif,mpegts,mpeg,ogg,flv,asf,png_pipe,jpeg_pipe,apng"  # 3GP, M4V: mov
)
MAX_PIXELS = 4096 * 4096
MISSING_TOLERANCE = 0.02  # containers round their duration; a truncated file loses more

_MAX_PACKETS = 4_000_000
_MEMORY_BYTES = 2**30
_CPU_S = 120
_WALL_S = 600
# MPEG program streams stamp a packet of several small frames once; their rate is constant.
_STAMP_TOLERANCE = {"mpeg": 1.5}
_DOLBY_VISION = ("dvh1", "dvhe", "dav1")  # tags of files that need it
_TRUE_LENGTH = ("matroska", "flv")  # containers whose header states a length, not a guess

PQ, HLG = 16, 18
"""Transfer characteristics of HDR (ITU-T H.273)."""
BT2020 = 9
"""Colour primaries of wide gamut (ITU-T H.273)."""
UNSPECIFIED = 2
"""A colour description that says nothing (ITU-T H.273)."""


@dataclass(frozen=True)
class VideoFacts:
    """What a file says of its first video stream that is no cover picture.

    Attributes:
        codec: name of the decoder.
        stream: number of the stream.
        width_px: of the stored frames.
        height_px: of the stored frames.
        timing: rate, start and length.
        num_read: packets, those that are not shown or empty as well.
        num_claimed: packets that the header announces; 0: it does not say.
        missing_s: seconds between the length in the header and the last packet of any stream.
        fault: what the container says is wrong with itself, a phrase; empty: nothing.
        sample_aspect: width of a pixel by its height.
        is_interlaced: whether one of the first frames is.
        has_alpha: whether pixels can be transparent.
        is_transparent: whether one of the first frames shows through.
        decodes_alpha: by another decoder than usual: libvpx.
        has_dolby_vision: whether one of the first frames has metadata of it.
        transfer: number of the transfer characteristics (ITU-T H.273).
        primaries: number of the colour primaries (ITU-T H.273).
        matrix: number of the matrix coefficients (ITU-T H.273).
        is_full_range: whether black is 0.
        is_yuv: whether colours are coded as brightness and colour differences.
        num_audio: sound tracks.
    """

    codec: str
    stream: int
    width_px: int
    height_px: int
    timing: Timing
    num_read: int
    num_claimed: int
    missing_s: float
    fault: str
    sample_aspect: Fraction
    is_interlaced: bool
    has_alpha: bool
    is_transparent: bool
    decodes_alpha: bool
    has_dolby_vision: bool
    transfer: int
    primaries: int
    matrix: int
    is_full_range: bool
    is_yuv: bool
    num_audio: int


def probe(path: Path) -> VideoFacts:
    """The facts of a video file.

    Args:
        path: a regular file; never an address or a playlist.

    Raises:
        DataError: no such file, no video, damaged, or beyond the limits.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder: give a video file")
    if not path.is_file():
        raise DataError(f"no such video file: {path}")
    state = path.stat()
    return _probe(path, (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns))


def check_whole(path: Path, facts: VideoFacts) -> None:
    """Refuse a file that its container reports as damaged or cut off.

    Raises:
        DataError: it is, or has fewer packets of video than its header announces.
    """
    timing = facts.timing
    if facts.fault:
        raise DataError(f"{path} is damaged: {facts.fault}; fetch it again")
    if not timing.num_frames:
        raise DataError(f"cannot read {path}: it holds no frames")
    claimed = facts.num_claimed
    if facts.num_read < claimed * (1 - MISSING_TOLERANCE) - 1:
        raise DataError(
            f"{path} is cut off: {facts.num_read} frames where it claims {claimed}; fetch it again"
        )
    frame_s = 1 / float(timing.rate) if timing.rate else 0.0
    whole_s = float(timing.length_s) + facts.missing_s
    if facts.missing_s > MISSING_TOLERANCE * whole_s + frame_s:
        raise DataError(
            f"{path} is cut off: it ends {facts.missing_s:.2f} s before the length that it claims;"
            " fetch it again"
        )


@lru_cache(maxsize=4096)  # evaluation goes over a set several times
def _probe(path: Path, state: tuple[int, ...]) -> VideoFacts:
    """`state` tells one content of the file from another."""
    asked = {
        "sys_path": sys.path,
        "path": as_file(path),
        "options": {
            "protocol_whitelist": "file",
            "format_whitelist": CONTAINERS,
            "max_pixels": str(MAX_PIXELS),
        },
        "max_packets": _MAX_PACKETS,
    }
    script = [sys.executable, "-I", str(Path(probe_child.__file__).absolute()), json.dumps(asked)]
    try:
        done = subprocess.run(
            limited_command(script, _MEMORY_BYTES, _CPU_S, 0),
            stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_WALL_S,
            start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise DataError(f"cannot read {path}: looking at it takes over {_WALL_S} s") from error
    if done.returncode != 0:
        memory = f"more than {_MEMORY_BYTES // 2**20} MiB of memory or {_CPU_S} s"
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = lines[-1] if lines and "MemoryError" not in lines[-1] else f"it takes {memory}"
        raise DataError(f"cannot read {path}: {reason}")
    head, _, stamps = done.stdout.partition(b"\n")
    told = json.loads(head)
    if told.get("error") == os.strerror(errno.EINVAL):  # the format is not on the list
        raise DataError(
            f"cannot read {path}: no video, or of a format that is not read; convert it to mp4"
        )
    if "error" in told:
        raise DataError(f"cannot read {path}: {told['error']}")
    if "stream" not in told:
        raise DataError(f"cannot read {path}: it holds no frames")
    return _facts(path, state[2], told, np.frombuffer(stamps, np.int64))


def _facts(
    path: Path, num_bytes: int, told: dict[str, Any], stamps: np.ndarray[Any, Any]
) -> VideoFacts:
    if len(stamps) >= _MAX_PACKETS:
        raise DataError(f"cannot read {path}: more than {_MAX_PACKETS} frames")
    width, height = told["coded_size"]
    if width * height > MAX_PIXELS:
        raise DataError(
            f"cannot read {path}: {width}×{height} px; at most {MAX_PIXELS} pixels a frame are read"
        )
    base = Fraction(*told["time_base"]) if told["time_base"] else Fraction(1, 1000)
    rates = [Fraction(*pair) for pair in told["rates"]]
    tolerance = _STAMP_TOLERANCE.get(told["container"], 0.5)
    timing = measure_timing(stamps, told["last_duration"], base, rates, tolerance)
    if not len(stamps):
        timing = Timing(timing.rate, True, Fraction(0), Fraction(0), told["num_packets"])
    states_length = any(name in told["container"] for name in _TRUE_LENGTH)
    missing = (told["duration_us"] or 0) - told["end_us"] if states_length and len(stamps) else 0
    num_read = told["num_read"]
    if told["container"] == "avi" and len(stamps):  # whose clock counts empty frames, too
        num_read = max(num_read, int(stamps.max()) + 1)
    pixels = told["pixel_format"] or ""
    decodes_alpha = told["alpha_mode"] and told["codec"] in ("vp8", "vp9", "libvpx-vp9")
    aspect = Fraction(*told["sample_aspect"]) if told["sample_aspect"] else Fraction(1)
    return VideoFacts(
        codec=told["codec"],
        stream=told["stream"],
        width_px=width,
        height_px=height,
        timing=timing,
        num_read=num_read,
        num_claimed=_credible(told["num_claimed"], num_bytes),
        missing_s=max(0.0, missing / 1e6),
        fault=container_fault(path, told["container"]),
        sample_aspect=aspect,
        is_interlaced=told["is_interlaced"],
        has_alpha=told["has_alpha"] or decodes_alpha,
        is_transparent=told["is_transparent"] or decodes_alpha,
        decodes_alpha=decodes_alpha,
        has_dolby_vision=told["has_dolby_vision"] or told["tag"] in _DOLBY_VISION,
        transfer=told["transfer"],
        primaries=told["primaries"],
        matrix=told["matrix"],
        is_full_range=told["range"] == 2,
        is_yuv=pixels.startswith(("yuv", "nv", "p0")),
        num_audio=told["num_audio"],
    )


def _credible(num_claimed: int, num_bytes: int) -> int:
    """A claim of packets; 0 if the file has no room for them: its writer could not go back."""
    return num_claimed if num_claimed <= num_bytes else 0
