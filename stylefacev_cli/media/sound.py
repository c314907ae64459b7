"""The sound track of another file, added to a video."""

from __future__ import annotations

import subprocess
import tempfile
from fractions import Fraction
from pathlib import Path

from stylefacev_cli.common.files import final_name, replacing
from stylefacev_cli.errors import DataError, StyleFaceVError
from stylefacev_cli.media.facts import probe
from stylefacev_cli.media.ffmpeg import QUIET, as_file, cannot_start, find_ffmpeg, reason_of_failure
from stylefacev_cli.media.limited import limited_command
from stylefacev_cli.media.reader import INPUT_LIMITS, MAX_CPU_S, MEMORY_BYTES

_CODECS = {"mp4": ("aac", "mp4"), "mkv": ("aac", "matroska"), "webm": ("libopus", "webm")}
_MAX_MESSAGE_BYTES = 2**20
_MAX_SOUND_BYTES = 100_000  # a second
SOUND_FORMATS = tuple(_CODECS)
"""Formats of a video that can have sound."""


def has_sound(path: Path) -> bool:
    """Whether a file has a sound track.

    Raises:
        DataError: no such file, no video, or damaged.
    """
    return probe(path).num_audio > 0


def add_sound(video: Path, sound_from: Path, format_name: str) -> None:
    """Give a video the sound of another file, in step with the frames of `read_frames`.

    Sound before the first frame of the other file, and after the last of ours, is cut off; where
    the sound begins later, or has gaps, there is silence.

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
    # Time stamps as they are in the file: ffmpeg would shift them by that of its first packet.
    command = [executable, *QUIET, "-xerror", *INPUT_LIMITS, "-i", as_file(video), "-copyts"]
    command += [*INPUT_LIMITS, "-i", as_file(sound_from), "-filter_complex"]
    length_s = probe(video).timing.length_s
    command += [_in_step(probe(sound_from).timing.start_s, length_s)]
    command += ["-map", "0:v:0", "-map", "[sound]", "-c:v", "copy", "-c:a", codec]
    command += ["-map_metadata", "0", "-fflags", "+bitexact", "-flags:a", "+bitexact"]
    command += ["-threads", "1", "-filter_complex_threads", "1"]
    if muxer == "mp4":
        command += ["-movflags", "+faststart+use_metadata_tags"]
    try:
        with replacing(video) as mixed:
            command += ["-f", muxer, "-y", as_file(mixed)]
            with tempfile.TemporaryFile() as messages:
                done = subprocess.run(
                    limited_command(command, MEMORY_BYTES, MAX_CPU_S, _most_bytes(video, length_s)),
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=messages,
                    check=False, start_new_session=True,
                )  # fmt: skip
                messages.seek(0)
                text = messages.read(_MAX_MESSAGE_BYTES).decode("utf-8", "replace")
            if done.returncode != 0:
                reason = reason_of_failure(text, done.returncode)
                if "space" in reason or "stopped by" in reason:
                    raise StyleFaceVError(f"cannot write {target}: {reason}")
                raise DataError(f"cannot take the sound of {sound_from}: {reason}")
    except OSError as error:
        raise cannot_start(executable, error) from error


def _in_step(start_s: Fraction, length_s: Fraction) -> str:
    """Filters that put the sound at `start_s` of its file to the beginning of a video."""
    shift = f"asetpts=PTS-({start_s.numerator}/{start_s.denominator})/TB"
    fill = "aresample=async=1:first_pts=0"  # with silence
    return f"[1:a:0]{shift},atrim=start=0,{fill},atrim=end={float(length_s):.6f}[sound]"


def _most_bytes(video: Path, length_s: Fraction) -> int:
    """A size that no video with its sound comes near."""
    return 2 * video.stat().st_size + 2**26 + int(length_s * _MAX_SOUND_BYTES)
