"""The ffmpeg binary: its path, and errors from its messages."""

from __future__ import annotations

import errno
import os
import re
import signal
from pathlib import Path

from stylefacev_cli.errors import StyleFaceVError

_ORIGIN = re.compile(r"\[([^\]@]{1,80}) @ (?:0x)?[0-9a-fA-F]+\] *")
_OF_DECODING = ("vist#", "dec:")
_OF_DAMAGE = re.compile("crc|prematur|truncat|corrupt", re.IGNORECASE)  # not of titles
_MAX_TOLD = 120  # letters of a message

QUIET = ("-hide_banner", "-nostdin", "-loglevel", "error")


def find_ffmpeg() -> str:
    """Give the path of the binary: IMAGEIO_FFMPEG_EXE if set, else the one imageio-ffmpeg brings.

    Raises:
        StyleFaceVError: there is none.
    """
    named = os.environ.get("IMAGEIO_FFMPEG_EXE")
    if named:
        return named
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise StyleFaceVError(
            "no ffmpeg found: pip install --force-reinstall imageio-ffmpeg,"
            " or set IMAGEIO_FFMPEG_EXE to a binary"
        ) from error


def cannot_start(executable: str, error: OSError) -> StyleFaceVError:
    """Make the error for a binary that does not start."""
    reason = error.strerror or str(error)
    return StyleFaceVError(
        f"cannot start ffmpeg ({executable}): {reason}; "
        "set IMAGEIO_FFMPEG_EXE to a working ffmpeg or unset it"
    )


def as_file(path: Path) -> str:
    """Name a file so that ffmpeg takes it neither for an option nor for an address."""
    return f"file:{path}"


def reason_of_failure(messages: str, return_code: int) -> str:
    """The most informative line of ffmpeg's messages.

    Args:
        messages: what ffmpeg wrote to its stderr.
        return_code: its exit code; negative for a signal.

    Returns:
        A phrase for an error message, such as `No space left on device`.
    """
    full_disk = os.strerror(errno.ENOSPC)
    if full_disk in messages:
        return f"{full_disk}; free some space or choose another --out"
    if return_code < 0:
        try:
            name = signal.Signals(-return_code).name
        except ValueError:
            name = f"signal {-return_code}"
        return f"ffmpeg was stopped by {name}"
    lines = [text for line in messages.splitlines() if (text := _ORIGIN.sub("", line).strip())]
    return f"ffmpeg failed with code {return_code}" + (
        f" ({lines[0][:_MAX_TOLD]})" if lines else ""
    )


def faults_told(messages: str, decoder: str) -> list[str]:
    """What demuxer and decoder report as errors, though ffmpeg went on and ended well.

    Args:
        messages: that ffmpeg wrote at `-loglevel error`, such as `[mjpeg @ 0x5581] bad vlc: 0`;
            those of filters, encoders and muxers are left out.
        decoder: name of the decoder.
    """
    faults = []
    for line in messages.splitlines():
        origin = _ORIGIN.match(line)
        if origin is None:
            continue
        text = " ".join(_ORIGIN.sub("", line).split())[:_MAX_TOLD]
        of_decoder = origin[1] == decoder or origin[1].startswith(_OF_DECODING)
        if of_decoder or _OF_DAMAGE.search(text):
            faults.append(f"{decoder}: {text}")
    return faults
