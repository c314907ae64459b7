"""Small videos of every container that is read, with moving pictures; seeds of fuzz tests."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from stylefacev_cli.media.ffmpeg import QUIET, find_ffmpeg

NUM_FRAMES, FPS, SIZE = 24, 12, "64x64"
_420 = ("-pix_fmt", "yuv420p")

SEEDS: dict[str, tuple[str, Sequence[str]]] = {
    "H.264 in MP4": ("mp4", ("-c:v", "libx264", *_420)),
    "HEVC in MP4": ("mp4", ("-c:v", "libx265", "-x265-params", "log-level=error", *_420)),
    "AV1 in MP4": ("mp4", ("-c:v", "libaom-av1", "-cpu-used", "8", *_420)),
    "H.264 in MKV": ("mkv", ("-c:v", "libx264", *_420)),
    "FFV1 in MKV": ("mkv", ("-c:v", "ffv1", "-level", "3", "-slicecrc", "1", "-g", "1")),
    "VP8 in WebM": ("webm", ("-c:v", "libvpx", "-b:v", "300k", *_420)),
    "VP9 in WebM": ("webm", ("-c:v", "libvpx-vp9", "-cpu-used", "4", *_420)),
    "MJPEG in AVI": ("avi", ("-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p")),
    "MPEG-4 in AVI": ("avi", ("-c:v", "mpeg4", "-q:v", "3", *_420)),
    "GIF": ("gif", ()),
    "H.264 in MPEG-TS": ("ts", ("-c:v", "libx264", *_420)),
    "MPEG-2 in MPEG-PS": ("mpg", ("-c:v", "mpeg2video", "-r", "24", "-q:v", "3", *_420)),
    "WMV": ("wmv", ("-c:v", "wmv2", "-q:v", "3", *_420)),
    "Theora in Ogg": ("ogv", ("-c:v", "libtheora", "-q:v", "7", *_420)),
    "H.264 in FLV": ("flv", ("-c:v", "libx264", *_420)),
    "H.263 in 3GP": ("3gp", ("-s", "352x288", "-c:v", "h263", "-q:v", "3", *_420)),
    "APNG": ("png", ("-c:v", "apng", "-f", "apng", "-plays", "0")),
}
"""Names of formats → suffix, and how ffmpeg writes them."""


def make_seeds(
    folder: Path, names: Iterable[str] = SEEDS, size: str = SIZE, num_frames: int = NUM_FRAMES
) -> dict[str, Path]:
    """A video of each format, uint8 [T, H, W, 3], by the names of the formats."""
    made = {}
    for number, name in enumerate(names):
        suffix, how = SEEDS[name]
        made[name] = folder / f"{number}.{suffix}"
        source = f"testsrc2=s={size}:r={FPS}:d={num_frames / FPS}"
        command = [find_ffmpeg(), *QUIET, "-y", "-f", "lavfi", "-i", source, *how, "-threads", "1"]
        subprocess.run([*command, str(made[name])], check=True)
    return made
