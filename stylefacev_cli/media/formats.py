"""Video formats and the arguments of ffmpeg for each."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stylefacev_cli.errors import UsageError

FORMATS = ("mp4", "webm", "mkv", "gif", "png", "npy", "sheet")
"""Formats of a file; `png` is a folder of numbered pictures, `npy` a numpy array [T, H, W, 3],
`sheet` one PNG picture."""

STREAM_FORMATS = ("mp4", "webm", "mkv", "gif", "npy", "sheet", "raw")
"""Formats that can go down a pipe; `raw` is rgb24, frame after frame, without any header."""

LOSSY_ONLY = ("gif",)
"""Formats that cannot keep every colour."""

SUFFIXES = {"png": "", "sheet": ".png"}
"""How names of a format end, where that is not a dot and its own name."""

GIF_MAX_FPS = 50.0  # delays are hundredths of a second; viewers slow down anything under 2

# Identical bytes need an equal number of threads. With four, x264 once gave other bytes in one of
# some seventy runs; one is fast enough beside the synthesis.
_NUM_THREADS = 1

_NUM_PALETTE_FRAMES = 32
_MAX_ARGUMENT_BYTES = 30_000  # Windows: 32 KiB for all of a command line


@dataclass(frozen=True)
class VideoSettings:
    """What a video file is made of.

    Attributes:
        width_px: width of a frame.
        height_px: height of a frame.
        fps: frames per second.
        provenance: text (JSON) that goes into the file's metadata as `comment`; empty for none.
        lossless: keep every number of every frame.
        num_frames: how many there will be; `npy`, whose header says so, must know.
    """

    width_px: int
    height_px: int
    fps: float
    provenance: str = ""
    lossless: bool = False
    num_frames: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers once.

        Raises:
            UsageError: a size or a rate that no video can have.
        """
        if min(self.width_px, self.height_px) < 1:
            raise UsageError(f"a frame of {self.width_px}×{self.height_px} px is not a picture")
        if not 0 < self.fps <= 1000:
            raise UsageError(f"{self.fps:g} frames per second: give a number from 0.1 to 240")

    @property
    def has_long_provenance(self) -> bool:
        """Whether the provenance is longer than an argument of a program may be (128 KiB, Linux).

        It is then the second input of ffmpeg, see `metadata_file`.
        """
        return len(self.provenance.encode()) > _MAX_ARGUMENT_BYTES


def metadata_file(settings: VideoSettings) -> bytes:
    """The provenance in ffmpeg's format of files of metadata; for what no argument can hold."""
    escaped = re.sub(r"([=;#\\\n])", r"\\\1", settings.provenance)
    return f";FFMETADATA1\ncomment={escaped}\n".encode()


def encoder_arguments(format_name: str, settings: VideoSettings, *, to_pipe: bool) -> list[str]:
    """Give ffmpeg's output arguments, without the output itself.

    Colours: sRGB frames are converted with the bt709 matrix and tagged so; an untagged file would
    be shown with the bt601 matrix by some players and with bt709 by others.
    Odd sizes: 4:2:0 needs an even width and height in H.264; odd videos keep their exact size and
    go to 4:4:4 instead, because scaling or padding would change the picture.
    Lossless: RGB stays RGB, in H.264 (mp4), VP9 (webm) or FFV1 (mkv).

    Args:
        format_name: a format that ffmpeg encodes: mp4, webm, mkv or gif.
        settings: size, rate and metadata.
        to_pipe: the output cannot seek.

    Returns:
        The arguments between ffmpeg's input and its output.
    """
    in_file = settings.has_long_provenance
    common = ["-map_metadata", "1" if in_file else "-1"]
    if in_file and format_name != "gif":  # whose frames come out of a graph
        common += ["-map", "0:v"]
    common += ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-threads", str(_NUM_THREADS)]
    if settings.provenance and not in_file:
        common += ["-metadata", f"comment={settings.provenance}"]
    if format_name == "gif":
        return [*_gif(), *common, "-f", "gif"]
    if format_name == "webm":
        return [*_vp9(settings), *common, "-f", "webm"]
    if format_name == "mkv":
        codec = _ffv1() if settings.lossless else _h264(settings)
        return [*codec, *common, "-f", "matroska"]
    flags = "+frag_keyframe+empty_moov+default_base_moof" if to_pipe else "+faststart"
    return [*_h264(settings), *common, "-movflags", flags + "+use_metadata_tags", "-f", "mp4"]


def _colours(pixel_format: str) -> list[str]:
    scale = (
        "scale=in_range=pc:out_range=tv:out_color_matrix=bt709:flags=accurate_rnd+full_chroma_int"
    )
    tags = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
    # The same tags on the frames: newer versions of ffmpeg let these overrule the options.
    on_frames = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    filters = f"{scale},format={pixel_format},{on_frames}"
    return ["-vf", filters, *tags, "-color_range", "tv"]


def _h264(settings: VideoSettings) -> list[str]:
    if settings.lossless:
        rgb = ["-c:v", "libx264rgb", "-pix_fmt", "rgb24", "-preset", "medium", "-qp", "0"]
        return [*rgb, "-g", str(_group(settings))]
    even = settings.width_px % 2 == 0 and settings.height_px % 2 == 0
    colours = _colours("yuv420p" if even else "yuv444p")
    rate = ["-preset", "medium", "-crf", "16", "-g", str(_group(settings))]
    return [*colours, "-c:v", "libx264", *rate]


def _group(settings: VideoSettings) -> int:
    """A key frame every two seconds: a reader of a pipe can begin there, and players seek well."""
    return max(1, round(2 * settings.fps))


def _ffv1() -> list[str]:
    # Every frame stands on its own and carries checksums.
    return ["-c:v", "ffv1", "-level", "3", "-slicecrc", "1", "-g", "1", "-pix_fmt", "gbrp"]


def _vp9(settings: VideoSettings) -> list[str]:
    effort = ["-deadline", "good", "-cpu-used", "4", "-row-mt", "0"]
    if settings.lossless:
        return ["-c:v", "libvpx-vp9", "-pix_fmt", "gbrp", "-lossless", "1", *effort]
    return [*_colours("yuv420p"), "-c:v", "libvpx-vp9", "-crf", "20", "-b:v", "0", *effort]


def _gif() -> list[str]:
    # The palette comes from the first frames: one from the whole clip would need every frame in
    # memory, and one for each frame takes ten times as long and flickers.
    graph = (
        f"split[frames][copy];[copy]trim=end_frame={_NUM_PALETTE_FRAMES},palettegen[palette];"
        "[frames][palette]paletteuse=dither=sierra2_4a"
    )
    return ["-filter_complex", graph, "-loop", "0"]
