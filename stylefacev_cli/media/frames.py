"""Frames, and the thread that writes them while the next are computed."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import IO

import numpy as np
import numpy.typing as npt

from stylefacev_cli.errors import StyleFaceVError
from stylefacev_cli.media.formats import VideoSettings

Frame = npt.NDArray[np.uint8]
"""A picture: uint8 [H, W, 3], sRGB."""
GROUND = 128
"""What transparent parts of what is read show: a neutral grey."""

_MAX_QUEUED_FRAMES = 32
_MAX_QUEUED_BYTES = 64 * 2**20


class FrameWriter:
    """Takes the frames of one video. Made by `video_writer` and `stream_writer`."""

    def __init__(self, settings: VideoSettings, consume: Callable[[Frame], None]) -> None:
        self.settings = settings
        self.num_frames = 0
        self._shape = (settings.height_px, settings.width_px, 3)
        frame_bytes = settings.height_px * settings.width_px * 3
        # Two simple queues, not one bounded `Queue`: a signal that raises in the middle of a put
        # can leave the lock of a `Queue` taken, or its reader asleep; these are single steps.
        self._frames: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._free_places: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(max(2, min(_MAX_QUEUED_FRAMES, _MAX_QUEUED_BYTES // frame_bytes))):
            self._free_places.put(None)
        self._consume = consume
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._feed, name="frames", daemon=True)
        self._thread.start()

    def write(self, frame: Frame) -> None:
        """Hand over the next frame; it must not be changed afterwards.

        Args:
            frame: uint8 [H, W, 3] of the size in the settings.

        Raises:
            Exception: what the encoder raised on an earlier frame.
        """
        assert frame.shape == self._shape and frame.dtype == np.uint8, (frame.shape, frame.dtype)
        if self._failure is not None:
            raise self._failure
        self._free_places.get()
        self._frames.put(np.ascontiguousarray(frame))
        self.num_frames += 1

    def finish(self) -> None:
        """Wait until every frame is consumed; raise what went wrong on the way."""
        self._frames.put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def abandon(self) -> None:
        """End the thread; its consumer must already fail or return at once."""
        self._failure = self._failure or StyleFaceVError("the video was abandoned")
        self._frames.put(None)
        self._thread.join()

    def _feed(self) -> None:
        # After a failure the queue is still emptied, so that `write` never waits for nobody.
        while (frame := self._frames.get()) is not None:
            if self._failure is None:
                try:
                    self._consume(frame)
                except Exception as error:  # raised again by `write` or `finish`
                    self._failure = error
            self._free_places.put(None)


@contextlib.contextmanager
def finishing(writer: FrameWriter) -> Iterator[FrameWriter]:
    """Wait for the last frame when the block ends well; end the thread in any case."""
    try:
        yield writer
        writer.finish()
    finally:
        writer.abandon()
    expected = writer.settings.num_frames
    assert expected in (None, writer.num_frames), f"{writer.num_frames} frames of {expected}"


def write_all(sink: IO[bytes], frame: Frame) -> None:
    """Write the bytes of a frame, as often as the file takes less than all."""
    view = frame.data.cast("B")
    while view:
        view = view[sink.write(view) :]
