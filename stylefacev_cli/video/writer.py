"""Writers: frames go in one by one, a thread hands them to the encoder while the next are made."""

from __future__ import annotations

import contextlib
import queue
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
import numpy.typing as npt

from stylefacev_cli.errors import StyleFaceVError
from stylefacev_cli.video.ffmpeg import QUIET, as_file, cannot_start, find_ffmpeg, reason_of_failure
from stylefacev_cli.video.files import final_name, remove, writing
from stylefacev_cli.video.formats import VideoSettings, encoder_arguments

Frame = npt.NDArray[np.uint8]
"""A picture: uint8 [H, W, 3], sRGB."""

_MAX_QUEUED_FRAMES = 32
_MAX_QUEUED_BYTES = 64 * 2**20
_PNG_LEVEL = 4  # half the time of the usual 6 for 2 % more bytes


class _EncoderGoneError(Exception):
    """The encoder no longer reads; its exit code and messages say why."""


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
def video_writer(path: Path, format_name: str, settings: VideoSettings) -> Iterator[FrameWriter]:
    """Write a video file, or for `png` a folder of numbered pictures.

    On any exception the encoder is stopped; the unfinished file stays for the caller to remove (see
    `replacing`, which also keeps it from bearing its final name).

    Args:
        path: the file or folder to write; a folder must not exist yet.
        format_name: one of `FORMATS`.
        settings: size, rate and metadata.

    Yields:
        The writer.

    Raises:
        StyleFaceVError: the encoder does not start, fails, or wrote another number of frames.
    """
    if format_name == "png":
        with _png_folder(path, settings) as writer:
            yield writer
        return
    arguments = encoder_arguments(format_name, settings, to_pipe=False)
    with tempfile.TemporaryFile() as report:
        count = ["-progress", "pipe:1", "-stats_period", "3600"]
        output = [*count, *arguments, "-y", as_file(path)]
        with _ffmpeg(output, settings, report, path) as writer:
            yield writer
        _check_count(report, writer.num_frames, path)
    if format_name == "gif" and settings.provenance:
        with writing(path):
            _add_gif_comment(path, settings.provenance)


@contextlib.contextmanager
def stream_writer(
    stream: BinaryIO, format_name: str, settings: VideoSettings
) -> Iterator[FrameWriter]:
    """Write a video to an open pipe or file, such as `sys.stdout.buffer`.

    Args:
        stream: the open file; for encoded formats its descriptor is given to ffmpeg.
        format_name: one of `STREAM_FORMATS`.
        settings: size, rate and metadata.

    Yields:
        The writer.

    Raises:
        BrokenPipeError: the reader of the pipe has gone.
        StyleFaceVError: the encoder does not start or fails.
    """
    stream.flush()
    if format_name == "raw":
        writer = FrameWriter(settings, lambda frame: _write_all(stream, frame))
        with _finishing(writer):
            yield writer
        stream.flush()
        return
    arguments = encoder_arguments(format_name, settings, to_pipe=True)
    with _ffmpeg([*arguments, "pipe:1"], settings, stream, Path("-")) as writer:
        yield writer


@contextlib.contextmanager
def _ffmpeg(
    output: list[str], settings: VideoSettings, stdout: IO[bytes], target: Path
) -> Iterator[FrameWriter]:
    """Run ffmpeg on the frames written; end it in any case."""
    size = f"{settings.width_px}x{settings.height_px}"
    source = ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", size]
    # A declared range and matrix of the input: without them the converter guesses, and warns.
    source += ["-color_range", "pc", "-framerate", f"{settings.fps:.6g}", "-i", "pipe:0"]
    executable = find_ffmpeg()
    with tempfile.TemporaryFile() as messages:
        try:
            process = subprocess.Popen(
                [executable, *QUIET, *source, *output],
                stdin=subprocess.PIPE,
                stdout=stdout,
                stderr=messages,
                # Ctrl-C reaches a terminal's whole group; this process alone decides what follows.
                start_new_session=True,
            )
        except OSError as error:
            raise cannot_start(executable, error) from error
        assert process.stdin is not None
        sink = process.stdin
        writer = FrameWriter(settings, lambda frame: _write_to_encoder(sink, frame))
        try:
            with contextlib.suppress(_EncoderGoneError):  # its messages tell more, below
                yield writer
                writer.finish()
            with contextlib.suppress(BrokenPipeError):
                sink.close()
            return_code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
            writer.abandon()
            with contextlib.suppress(OSError):
                sink.close()
            process.wait()
        messages.seek(0)
        text = messages.read(2**16).decode("utf-8", "replace")
    if return_code != 0 and target == Path("-") and "Broken pipe" in text:
        raise BrokenPipeError
    if return_code != 0:
        reason = reason_of_failure(text, return_code)
        raise StyleFaceVError(f"cannot write {final_name(target)}: {reason}")


@contextlib.contextmanager
def _finishing(writer: FrameWriter) -> Iterator[None]:
    try:
        yield
        writer.finish()
    finally:
        writer.abandon()


@contextlib.contextmanager
def _png_folder(folder: Path, settings: VideoSettings) -> Iterator[FrameWriter]:
    """Write 000000.png, 000001.png … with the provenance as a text chunk of each."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    if settings.provenance:
        info.add_itxt("Comment", settings.provenance)
    paths = (folder / f"{index:06d}.png" for index in range(10**9))

    def save(frame: Frame) -> None:
        Image.fromarray(frame).save(next(paths), pnginfo=info, compress_level=_PNG_LEVEL)

    with writing(folder):
        remove(folder)
        folder.mkdir()
        writer = FrameWriter(settings, save)
        with _finishing(writer):
            yield writer


def is_frame_folder(folder: Path) -> bool:
    """Tell whether a folder holds numbered PNG frames only: replacing it loses nothing else."""
    return all(re.fullmatch(r"[0-9]{6,9}\.png", path.name) for path in folder.iterdir())


def _write_to_encoder(sink: IO[bytes], frame: Frame) -> None:
    try:
        _write_all(sink, frame)
    except BrokenPipeError as error:
        raise _EncoderGoneError from error


def _write_all(sink: IO[bytes], frame: Frame) -> None:
    view = frame.data.cast("B")
    while view:
        view = view[sink.write(view) :]


def _check_count(report: IO[bytes], num_frames: int, path: Path) -> None:
    """Compare ffmpeg's own last count with the frames handed over."""
    report.seek(0)
    counts = re.findall(rb"^frame= *(\d+)", report.read(), re.MULTILINE)
    written = int(counts[-1]) if counts else 0
    if written != num_frames:
        raise StyleFaceVError(
            f"cannot write {final_name(path)}: ffmpeg wrote {written} of {num_frames} frames"
        )


def _add_gif_comment(path: Path, text: str) -> None:
    """Put a comment extension before the trailer; ffmpeg's own muxer writes none."""
    data = text.encode()
    chunks = (data[start : start + 255] for start in range(0, len(data), 255))
    blocks = b"".join(bytes([len(chunk)]) + chunk for chunk in chunks)
    with path.open("r+b") as file:
        file.seek(-1, 2)
        assert file.read(1) == b"\x3b", "a GIF ends with its trailer"
        file.seek(-1, 2)
        file.write(b"\x21\xfe" + blocks + b"\x00\x3b")
