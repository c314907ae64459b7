"""The sound track of another file, added to a video."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from stylefacev_cli.common.files import final_name, replacing
from stylefacev_cli.errors import DataError, StyleFaceVError
from stylefacev_cli.media.ffmpeg import QUIET, as_file, cannot_start, find_ffmpeg, reason_of_failure
from stylefacev_cli.media.reader import INPUT_LIMITS, input_facts

_CODECS = {"mp4": ("aac", "mp4"), "mkv": ("aac", "matroska"), "webm": ("libopus", "webm")}
SOUND_FORMATS = tuple(_CODECS)
"""Formats of a video that can have sound."""


def has_sound(path: Path) -> bool:
    """Whether a file has a sound track, as its header says.

    Raises:
        DataError: no such file.
        StyleFaceVError: ffmpeg does not start.
    """
    return re.search(r"Stream #\d+:\d+.*: Audio:", input_facts(path)) is not None


def add_sound(video: Path, sound_from: Path, format_name: str) -> None:
    """Give a video the sound of another file; what is longer than the frames is cut off.

    Args:
        video: of ours, in one of `SOUND_FORMATS`, without sound; its frames are not encoded again.
        sound_from: any file that `read_frames` reads and that has sound.
        format_name: of `video`.

    Raises:
        DataError: the sound cannot be read.
        StyleFaceVError: the video cannot be written.
    """
    codec, muxer = _CODECS[format_name]
    executable = find_ffmpeg()
    target = final_name(video)
    command = [executable, *QUIET, "-xerror", *INPUT_LIMITS, "-i", as_file(video)]
    command += [*INPUT_LIMITS, "-i", as_file(sound_from)]
    command += ["-map", "0:v:0", "-map", "1:a:0", "-c:v", "copy", "-c:a", codec, "-shortest"]
    command += ["-map_metadata", "0", "-fflags", "+bitexact", "-flags:a", "+bitexact"]
    command += ["-threads", "1"]
    if muxer == "mp4":
        command += ["-movflags", "+faststart+use_metadata_tags"]
    try:
        with replacing(video) as mixed:
            command += ["-f", muxer, "-y", as_file(mixed)]
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, check=False,
                start_new_session=True,
            )  # fmt: skip
            if done.returncode != 0:
                reason = reason_of_failure(done.stderr.decode("utf-8", "replace"), done.returncode)
                if "space" in reason or "stopped by" in reason:
                    raise StyleFaceVError(f"cannot write {target}: {reason}")
                raise DataError(f"cannot take the sound of {sound_from}: {reason}")
    except OSError as error:
        raise cannot_start(executable, error) from error
