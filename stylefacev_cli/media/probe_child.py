"""Describes an untrusted video as JSON on stdout: a script for a process with limits.

Called by `facts.probe` with one argument, a JSON object: `sys_path`, `path`, `options` of the
container, `max_packets`. After the line of JSON come the time stamps, as 64-bit integers of this
machine. Nothing is decided here, and no text of the file is told, names of formats aside.
"""

from __future__ import annotations

import contextlib
import json
import sys
from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fractions import Fraction

    import av
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_LOOKED_AT = 5  # frames that are decoded
_ALPHA_AT = {"bgra": 3, "rgba": 3, "argb": 0, "abgr": 0}
_GIF_EXTENSION, _GIF_PICTURE = 0x21, 0x2C
_VP8_IS_SHOWN = 16  # a bit of the first byte


def main() -> None:
    """Describe the file that the first argument names."""
    asked = json.loads(sys.argv[1])
    sys.path[:] = asked["sys_path"]
    import av

    av.logging.set_level(None)
    stamps = array("q")
    try:
        with av.open(asked["path"], options=asked["options"], metadata_errors="replace") as opened:
            told = _describe(opened, stamps, asked["max_packets"])
    except av.error.FFmpegError as error:
        told = {"error": str(error.strerror)}
    except MemoryError:
        told = {"error": "it takes too much memory"}
    sys.stdout.buffer.write(json.dumps(told).encode() + b"\n" + stamps.tobytes())


def _describe(opened: InputContainer, stamps: array[int], max_packets: int) -> dict[str, Any]:
    from av.stream import Disposition

    told: dict[str, Any] = {
        "container": opened.format.name,
        "duration_us": opened.duration,
        "num_audio": len(opened.streams.audio),
    }
    pictures = [s for s in opened.streams.video if not s.disposition & Disposition.attached_pic]
    if pictures:
        told |= _describe_stream(pictures[0])
        told |= _read_packets(opened, pictures[0], stamps, max_packets)
    return told


def _describe_stream(stream: VideoStream) -> dict[str, Any]:
    codec = stream.codec_context
    rates = [stream.average_rate, stream.guessed_rate, stream.base_rate]
    return {
        "stream": stream.index,
        "codec": codec.name,
        "tag": codec.codec_tag,
        "time_base": _pair(stream.time_base),
        "rates": [_pair(rate) for rate in rates if rate],
        "sample_aspect": _pair(stream.sample_aspect_ratio),
        "alpha_mode": stream.metadata.get("alpha_mode") == "1",
    }


def _read_packets(
    opened: InputContainer, stream: VideoStream, stamps: array[int], max_packets: int
) -> dict[str, Any]:
    """Time stamps of all packets, and what the first frames show."""
    last, last_duration, end_us = -(2**63), 0, 0
    num_packets, num_read, looks = 0, 0, _Looks(stream)
    codec_name = stream.codec_context.codec.canonical_name
    is_vp8, is_gif = codec_name == "vp8", codec_name == "gif"
    # An edit list leaves out samples of an MP4; the demuxer's index has those that are left.
    entries = len(getattr(stream, "index_entries", ())) if "mp4" in opened.format.name else 0
    num_claimed = entries or stream.frames
    for packet in opened.demux():
        stamp = packet.dts if packet.pts is None else packet.pts
        if not packet.size:  # an end, or a frame of AVI that repeats the one before
            num_read += packet.stream_index == stream.index and stamp is not None
            continue
        if stamp is not None and packet.time_base:
            end = (stamp + (packet.duration or 0)) * packet.time_base
            end_us = max(end_us, int(end * 1_000_000))
        if packet.stream_index != stream.index or (is_gif and not _has_picture(bytes(packet))):
            continue
        looks.take(packet)
        num_read += 1
        if packet.is_discard or (is_vp8 and not bytes(packet)[0] & _VP8_IS_SHOWN):
            continue
        num_packets += 1
        if stamp is None:
            continue
        stamps.append(stamp)
        if stamp >= last:
            last, last_duration = stamp, packet.duration or 0
        if len(stamps) >= max_packets:
            break
    looks.finish()
    return {
        "num_packets": num_packets,
        "num_read": num_read,
        "num_claimed": num_claimed,
        "last_duration": last_duration,
        "end_us": end_us,
        **looks.told(),
    }


def _has_picture(block: bytes) -> bool:
    """Whether a part of a GIF is more than comments, such as ours behind the last picture."""
    at = 13 + (3 * 2 ** ((block[10] & 7) + 1) if block[10] & 0x80 else 0) if _is_head(block) else 0
    while at + 2 < len(block) and block[at] == _GIF_EXTENSION:
        at += 2
        while at < len(block) and block[at]:
            at += 1 + block[at]
        at += 1
    return at < len(block) and block[at] == _GIF_PICTURE


def _is_head(block: bytes) -> bool:
    return block[:4] == b"GIF8" and len(block) > 13


class _Looks:
    """What the first frames show that the header does not say."""

    def __init__(self, stream: VideoStream) -> None:
        codec = stream.codec_context
        self._codec = codec
        codec.thread_count = 1
        self._frames = 0
        self._is_interlaced = False
        self._is_transparent = False
        self._has_dolby_vision = False

    def take(self, packet: Packet[Any]) -> None:
        """Decode a packet, until some frames were seen."""
        import av

        if self._frames < _LOOKED_AT:
            try:
                self._see(self._codec.decode(packet))
            except av.error.FFmpegError:  # the reader of frames will say so
                self._frames = _LOOKED_AT

    def finish(self) -> None:
        """See the frames that the decoder still holds."""
        import av

        if self._frames < _LOOKED_AT:
            try:
                self._see(self._codec.decode(None))
            except av.error.FFmpegError:
                return

    def _see(self, frames: list[av.VideoFrame]) -> None:
        for frame in frames:
            self._frames += 1
            self._is_interlaced |= bool(frame.interlaced_frame)
            self._is_transparent |= _is_transparent(frame)
            self._has_dolby_vision |= _has_dolby_vision(frame)

    def told(self) -> dict[str, Any]:
        """The findings; colours are known for sure once a frame was decoded."""
        codec = self._codec
        return {
            "pixel_format": codec.pix_fmt,
            "is_interlaced": self._is_interlaced,
            "is_transparent": self._is_transparent,
            "has_dolby_vision": self._has_dolby_vision,
            "has_alpha": codec.format is not None and _has_alpha(codec.format),
            "matrix": int(codec.colorspace or 0),
            "primaries": int(codec.color_primaries or 0),
            "transfer": int(codec.color_trc or 0),
            "range": int(codec.color_range or 0),
            "coded_size": [codec.width, codec.height],
        }


def _has_alpha(pixels: av.VideoFormat) -> bool:
    return pixels.has_palette or any(part.is_alpha for part in pixels.components)


def _has_dolby_vision(frame: av.VideoFrame) -> bool:
    with contextlib.suppress(ValueError):  # a kind that this PyAV does not know
        return any("DOVI" in str(part) for part in frame.side_data)
    return False


def _is_transparent(frame: av.VideoFrame) -> bool:
    """Whether anything shows through; of layouts that are not known here: no."""
    name = frame.format.name
    if name in _ALPHA_AT:
        plane, first, step = frame.planes[0], _ALPHA_AT[name], 4
    elif name.startswith("yuva") and name.endswith("p"):
        plane, first, step = frame.planes[3], 0, 1
    else:
        return False
    data, line = bytes(plane), plane.line_size
    rows = range(0, frame.height * line, line)
    return any(min(data[row + first : row + frame.width * step : step]) < 255 for row in rows)


def _pair(value: Fraction | None) -> list[int] | None:
    return [value.numerator, value.denominator] if value else None


if __name__ == "__main__":
    main()
