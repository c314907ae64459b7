"""What containers say of their own completeness: sizes, counts, checksums, ends.

Demuxers of ffmpeg pass over most of it in silence. A file for each family of containers; all only
read, in plain Python, and trust no size before the file bears it out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stylefacev_cli.errors import DataError
from stylefacev_cli.media.containers import (
    asf,
    flv,
    gif,
    matroska,
    mp4,
    mpeg_ps,
    mpeg_ts,
    ogg,
    png,
    riff,
)
from stylefacev_cli.media.containers.file_bytes import FaultError, FileBytes

_CHECKS: dict[str, Callable[[FileBytes], None]] = {
    "mov": mp4.check,
    "matroska": matroska.check,
    "avi": riff.check,
    "gif": gif.check,
    "mpegts": mpeg_ts.check,
    "mpeg": mpeg_ps.check,
    "ogg": ogg.check,
    "flv": flv.check,
    "asf": asf.check,
    "apng": png.check,
    "png_pipe": png.check,
}


def container_fault(path: Path, container: str) -> str:
    """What a container says is wrong with itself: a phrase; empty if it says nothing.

    Args:
        path: of the file.
        container: its name in libavformat, such as `mov,mp4,m4a,3gp,3g2,mj2`.

    Raises:
        DataError: the file cannot be read.
    """
    check = _CHECKS.get(container.split(",")[0])
    if check is None:
        return ""
    try:
        with path.open("rb") as file:
            check(FileBytes(file))
    except FaultError as fault:
        return str(fault)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return ""
