"""Writers of every format: frames go in one by one, to an encoder or straight to a file."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from stylefacev_cli.common.files import final_name, writing
from stylefacev_cli.errors import StyleFaceVError
from stylefacev_cli.media.ffmpeg import QUIET, as_file, cannot_start, find_ffmpeg, reason_of_failure
from stylefacev_cli.media.formats import VideoSettings, encoder_arguments, metadata_file
from stylefacev_cli.media.frames import Frame, FrameWriter, finishing, write_all
from stylefacev_cli.media.limited import limited_command
from stylefacev_cli.media.plain_writers import OWN_WRITERS, png_folder
from stylefacev_cli.media.timing import as_rate

_MEMORY_BYTES = 2**30
"""Address space of an encoder, what it keeps of frames aside."""
_BYTES_A_PIXEL = (
    1024  # it takes some 400: frames that it looks ahead to, or that wait for a palette
)
_MAX_CPU_S = 7 * 24 * 3600


class _EncoderGoneError(Exception):
    """The encoder no longer reads; its exit code and messages say why."""


@contextlib.contextmanager
def video_writer(path: Path, format_name: str, settings: VideoSettings) -> Iterator[FrameWriter]:
    """Write a video file, for `png` a folder of numbered pictures, for `sheet` a single one.

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
        with png_folder(path, settings) as writer:
            yield writer
        return
    if format_name in OWN_WRITERS:
        with writing(path), path.open("wb") as file:
            with stream_writer(file, format_name, settings) as writer:
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
    if format_name in OWN_WRITERS:
        with finishing(OWN_WRITERS[format_name](stream, settings)) as writer:
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
    source += ["-color_range", "pc", "-framerate", str(as_rate(settings.fps)), "-i", "pipe:0"]
    executable = find_ffmpeg()
    memory_bytes = _MEMORY_BYTES + _BYTES_A_PIXEL * settings.width_px * settings.height_px
    with tempfile.TemporaryFile() as messages, _metadata(settings) as described:
        command = [executable, *QUIET, *source, *described, *output]
        try:
            process = subprocess.Popen(
                limited_command(command, memory_bytes, _MAX_CPU_S),
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
            with contextlib.suppress(_EncoderGoneError):  # its messages are read below
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
def _metadata(settings: VideoSettings) -> Iterator[list[str]]:
    """Arguments for a second input that holds the provenance, where it is a long one."""
    if not settings.has_long_provenance:
        yield []
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "metadata")
        path.write_bytes(metadata_file(settings))
        yield ["-f", "ffmetadata", "-i", as_file(path)]


def _write_to_encoder(sink: IO[bytes], frame: Frame) -> None:
    try:
        write_all(sink, frame)
    except BrokenPipeError as error:
        raise _EncoderGoneError from error


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
