"""A video in memory: rendered when it is looked at, saved in any format, shown in a notebook."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.common.paths import expand_home
from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.outputs.grid import contact_sheet, plan_sheet, select
from stylefacev_cli.generation.outputs.output import Clock, Feed, write_video
from stylefacev_cli.generation.outputs.output_paths import (
    Target,
    check_rate,
    check_writable,
    video_format,
    without_existing,
)
from stylefacev_cli.media.formats import FORMATS, SUFFIXES

if TYPE_CHECKING:
    from stylefacev_cli.media.frames import Frame

_MAX_KEPT_BYTES = 2**28  # frames of shorter videos are kept when they have been rendered once
_SHOWN_PX = 256  # smaller videos are enlarged in a notebook


class Video:
    """A face video. Its frames are rendered when they are asked for, the same ones every time.

        for frame in video: ...           # uint8 [H, W, 3]
        video.numpy()                     # uint8 [T, H, W, 3]
        video.save("x.mp4")               # or .webm, .mkv, .gif, .npy; format="png", "sheet"

    In a notebook it shows itself.

    Attributes:
        name: of the person or the grid.
        fps: frames a second.
        about: the provenance: model, seeds, settings.
        path: of the file, if it was written; else None.
    """

    def __init__(
        self,
        render: Callable[[], Iterator[Frame]],
        *,
        num_frames: int,
        name: str,
        about: Mapping[str, Any],
        device: str,
        path: Path | None = None,
        sound_from: Path | None = None,
    ) -> None:
        self.name = name
        self.fps = float(about["fps"])
        self.about = dict(about)
        self.path = path
        self._render = render
        self._num_frames = num_frames
        self._device = device
        self._sound_from = sound_from
        self._frames: list[Frame] | None = None
        self._html: str | None = None

    def __len__(self) -> int:
        return self._num_frames

    def __iter__(self) -> Iterator[Frame]:
        """The frames, uint8 [H, W, 3] each."""
        if self._frames is not None:
            yield from self._frames
            return
        size = self._num_frames * self.about["height"] * self.about["width"] * 3
        kept: list[Frame] = []
        for frame in self._render():
            if size <= _MAX_KEPT_BYTES:
                kept.append(frame)
            yield frame
        self._frames = kept or None

    def __repr__(self) -> str:
        size = f"{self.about['width']}×{self.about['height']} px"
        where = f", {self.path}" if self.path else ""
        return f"<video of {self.name}: {len(self)} frames, {size}, {self.fps:g} fps{where}>"

    def numpy(self) -> NDArray[np.uint8]:
        """All frames: uint8 [T, H, W, 3]."""
        return np.stack(list(self))

    def save(
        self,
        path: str | Path,
        *,
        format: str | None = None,  # noqa: A002 - the name of the option
        lossless: bool = False,
        sheet_frames: int | None = None,
        sheet_columns: int | None = None,
    ) -> Path:
        """Write the video and a JSON file with its provenance; what is there is replaced.

        Args:
            path: of the file, or of the folder of a `png`.
            format: mp4, webm, mkv, gif, npy, png (a folder of pictures) or sheet (one picture);
                None: by the name.
            lossless: keep every colour (mp4, mkv, webm).
            sheet_frames: frames in a sheet.
            sheet_columns: frames in a row of a sheet.

        Returns:
            The path.

        Raises:
            UsageError: the name stands for no format, or something else has it.
            StyleFaceVError: it cannot be written.
        """
        target = expand_home(str(path), "save")
        if format is not None and format not in FORMATS:
            raise UsageError(f"format {format!r}: give one of {', '.join(FORMATS)}")
        if format is None and self.about["format"] == "sheet" and target.suffix.lower() == ".png":
            format = "sheet"  # noqa: A001
        format_name = video_format(str(target), format, lossless=lossless)
        suffix = SUFFIXES.get(format_name, f".{format_name}")
        if suffix and target.suffix.lower() != suffix:
            raise UsageError(f"save {path}: give a name that ends in {suffix}, or a format")
        check_rate(format_name, self.fps)
        targets = [Target((0,), target)]
        without_existing(targets, format_name, force=True, skip_existing=False)
        check_writable(targets)
        about = {**self.about, "format": format_name, "lossless": lossless}
        frames: Iterator[Frame] = iter(self)
        sheet = plan_sheet(format_name, sheet_frames, sheet_columns, len(self))
        if self.about["format"] == "sheet":
            about["frames"] = len(self)
        elif sheet is not None:
            rows, columns = -(-sheet.num_frames // sheet.num_columns), sheet.num_columns
            frames = contact_sheet(
                [select(frames, set(sheet.picks(len(self))))], sheet, rows, columns
            )
            about |= {"sheet": vars(sheet), "height": rows * about["height"]}
            about |= {"width": columns * about["width"]}
        write_video(
            Feed(frames, about, Clock(), lambda: None), target, self._device, self._add_sound(about)
        )
        return target

    def _add_sound(self, about: Mapping[str, Any]) -> Callable[[Path], None] | None:
        from stylefacev_cli.media.sound import SOUND_FORMATS, add_sound

        sound, format_name = self._sound_from, about["format"]
        if sound is None or format_name not in SOUND_FORMATS:
            return None
        return lambda part: add_sound(part, sound, format_name)

    def _repr_html_(self) -> str:
        """The video as a notebook plays it; a single frame as a picture."""
        if self._html is None:
            width = max(_SHOWN_PX, self.about["width"])
            if len(self) == 1:
                self._html = f'<img width="{width}" src="{_data_url(self._png(), "image/png")}">'
            else:
                url = _data_url(self._mp4(), "video/mp4")
                how = "controls loop autoplay playsinline" + (" muted" * (not self._sound_from))
                self._html = f'<video {how} width="{width}" src="{url}"></video>'
        return self._html

    def _png(self) -> bytes:
        from PIL import Image

        data = io.BytesIO()
        Image.fromarray(next(iter(self))).save(data, format="PNG")
        return data.getvalue()

    def _mp4(self) -> bytes:
        if self.path is not None and self.path.suffix.lower() == ".mp4" and self.path.is_file():
            return self.path.read_bytes()
        with tempfile.TemporaryDirectory() as folder:
            return self.save(Path(folder) / "video.mp4").read_bytes()


def _data_url(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
