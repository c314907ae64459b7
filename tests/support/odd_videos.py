"""Small videos as phones, browsers, editors and cameras leave them, made with the bundled ffmpeg.

Frame n of all of them is a flat grey of `level(n)`, so that a reader's frames can be told apart.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stylefacev_cli.media import VideoSettings, video_writer
from stylefacev_cli.media.ffmpeg import find_ffmpeg

STEP = 8
NUM_FRAMES = 24


def level(number: int) -> int:
    return 20 + STEP * number


def numbers(frames: Sequence[npt.NDArray[np.uint8]]) -> list[int]:
    """Which frames of the source these are."""
    return [round((float(np.median(frame)) - 20) / STEP) for frame in frames]


def ffmpeg(*arguments: str | Path) -> None:
    command = [find_ffmpeg(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y"]
    subprocess.run([*command, *map(str, arguments)], check=True, stdin=subprocess.DEVNULL)


def grey_source(path: Path, num_frames: int = NUM_FRAMES, size: tuple[int, int] = (64, 48)) -> Path:
    """A lossless mkv at 25 frames a second, [T, H, W, 3] of flat greys."""
    with video_writer(path, "mkv", VideoSettings(*size, 25, lossless=True)) as writer:
        for number in range(num_frames):
            writer.write(np.full((size[1], size[0], 3), level(number), np.uint8))
    return path


H264 = ("-vf", "format=yuv420p", "-c:v", "libx264", "-crf", "5")
CODECS: dict[str, Sequence[str]] = {
    "mp4": H264,
    "mov": H264,
    "m4v": H264,
    "mkv": H264,
    "ts": H264,
    "flv": H264,
    "webm": ("-vf", "format=yuv420p", "-c:v", "libvpx", "-crf", "4", "-b:v", "2M"),
    "avi": ("-vf", "format=yuvj420p", "-c:v", "mjpeg", "-q:v", "2"),
    "mpg": ("-vf", "format=yuv420p", "-c:v", "mpeg2video", "-q:v", "2"),
    "wmv": ("-vf", "format=yuv420p", "-c:v", "wmv2", "-q:v", "2"),
    "3gp": ("-vf", "scale=128:96,format=yuv420p", "-c:v", "h263", "-q:v", "2"),
    "ogv": ("-vf", "format=yuv420p", "-c:v", "libtheora", "-q:v", "9"),
}
"""Suffixes of usual containers, with a codec that is usual in each."""


def at_rate(source: Path, path: Path, rate: Fraction, *more: str) -> Path:
    """The same frames at a constant rate, in the container of a suffix."""
    codec = CODECS[path.suffix[1:]]
    ffmpeg("-r", str(rate), "-i", source, *more, *codec, path)
    return path


def of_unlike_frames(source: Path, path: Path, *more: str) -> Path:
    """12 frames at 50 a second, then 12 at 12.5: 1.2 s, 20 a second on average."""
    codec = list(CODECS[path.suffix[1:]])
    codec[1] = f"settb=1/1000,setpts='if(lt(N,12),N*20,240+(N-12)*80)',{codec[1]}"
    timed = ("-fps_mode", "vfr", "-enc_time_base", "1/1000")
    ffmpeg("-i", source, *codec, *timed, *more, path)
    return path


def with_beep(video: Path, path: Path, beep_s: float, picture_later_s: float = 0.0) -> Path:
    """The video with a sound that begins at `beep_s` of the file's clock."""
    length_s = beep_s + 1.0
    sound = f"aevalsrc='if(gte(t,{beep_s}),0.5*sin(2*PI*1000*t),0)':d={length_s}:s=48000"
    codec = {"webm": "libopus", "avi": "mp2", "mpg": "mp2", "wmv": "wmav2", "ogv": "libvorbis"}
    name = codec.get(path.suffix[1:], "aac")
    delay = ("-itsoffset", str(picture_later_s))
    streams = ("-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", name)
    ffmpeg(*delay, "-i", video, "-f", "lavfi", "-i", sound, *streams, path)
    return path


def beep_begins_s(path: Path) -> float:
    """When the sound of a file becomes loud, on the clock of its first frame (by PyAV)."""
    import av

    with av.open(str(path)) as opened:
        video = opened.streams.video[0]
        start_s = min(float(frame.pts * video.time_base) for frame in opened.decode(video))
    with av.open(str(path)) as opened:
        for frame in opened.decode(opened.streams.audio[0]):
            samples = np.abs(np.atleast_2d(frame.to_ndarray())[0].astype(float))
            samples /= 32768 if frame.format.name.startswith("s16") else 1
            loud = np.flatnonzero(samples > 0.2)
            if len(loud):
                step = 1 if frame.format.is_planar else frame.layout.nb_channels
                return float(frame.pts * frame.time_base) + loud[0] / step / frame.rate - start_s
    raise AssertionError(f"{path} has no beep")
