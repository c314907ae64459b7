"""Another reader than the product's: what PyAV reports while it decodes a video, as JSON.

A script for a process with limits; its one argument is the file.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Tell packets and frames that are marked as damaged, and errors."""
    import av

    av.logging.set_level(None)
    reports = []
    try:
        with av.open(sys.argv[1], metadata_errors="replace") as opened:
            stream = opened.streams.video[0]
            stream.codec_context.thread_count = 1
            for packet in opened.demux(stream):
                if packet.is_corrupt:
                    reports.append("a packet is marked as damaged")
                reports += [
                    "a frame is marked as damaged" for frame in packet.decode() if frame.is_corrupt
                ]
    except (av.error.FFmpegError, MemoryError, ValueError) as error:
        reports.append(str(error))
    print(json.dumps(reports))


if __name__ == "__main__":
    main()
