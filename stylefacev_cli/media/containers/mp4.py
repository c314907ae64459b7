"""MP4, MOV, 3GP: boxes that announce their sizes."""

from __future__ import annotations

from stylefacev_cli.media.containers.file_bytes import FaultError, FileBytes

_NEEDED = (b"moov", b"moof", b"mdat", b"ftyp")  # what else goes beyond the end is no box


def check(data: FileBytes) -> None:
    """Check that the outer boxes are complete.

    Raises:
        FaultError: one of them is not.
    """
    at = 0
    while at + 8 <= data.size:
        head = data.take(at, 8)
        size, kind, head_size = int.from_bytes(head[:4], "big"), head[4:], 8
        if size == 1:
            size, head_size = data.number(at + 8, 8), 16
        elif size == 0:  # to the end
            return
        if size < head_size or at + size > data.size:
            if kind in _NEEDED:
                raise FaultError("it is cut off: its last box is not complete")
            return
        at += size
