"""Frames ↔ files: a reader and writers as context managers, all around one ffmpeg binary.

    with replacing(Path("3.mp4")) as part, video_writer(part, "mp4", settings) as video:
        for frame in frames:                    # uint8 [H, W, 3]
            video.write(frame)

The binary is the one that `imageio-ffmpeg` brings (a GPL build), or the one that
IMAGEIO_FFMPEG_EXE names.
"""

from stylefacev_cli.common.files import replacing, write_json
from stylefacev_cli.media.formats import FORMATS, STREAM_FORMATS, VideoSettings
from stylefacev_cli.media.frames import Frame, FrameWriter
from stylefacev_cli.media.plain_writers import is_frame_folder
from stylefacev_cli.media.reader import frame_rate, read_frames
from stylefacev_cli.media.writer import stream_writer, video_writer

__all__ = [
    "FORMATS",
    "STREAM_FORMATS",
    "Frame",
    "FrameWriter",
    "VideoSettings",
    "frame_rate",
    "is_frame_folder",
    "read_frames",
    "replacing",
    "stream_writer",
    "video_writer",
    "write_json",
]
