"""Which files a command will write: planned and checked before any work is done."""

from __future__ import annotations

import math
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.video import FORMATS, is_frame_folder

_SEED_FIELD = re.compile(r"\{seed(?::0?([0-9]{1,2})d?)?\}")
_FOREIGN_SUFFIXES = (
    *(".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".ts", ".apng"),
    *(".png", ".jpg", ".jpeg", ".webp"),
)
_MAX_GRID_SIDE_PX = 8192


@dataclass(frozen=True)
class Target:
    """One video to make: of one seed, or of several in a grid."""

    seeds: tuple[int, ...]
    path: Path

    @property
    def sidecar(self) -> Path:
        """The JSON file beside the video."""
        return self.path.with_name(self.path.name + ".json")


def choose_format(out: str, wanted: str | None) -> str:
    """Find the format: the one asked for, else that of the name, else mp4.

    Raises:
        UsageError: the two disagree, or the name stands for a format that is not made.
    """
    suffix = Path(out).suffix.lower()
    if suffix in _FOREIGN_SUFFIXES:
        hint = "; png is a folder of pictures: leave .png out" if suffix == ".png" else ""
        raise UsageError(f"--out: cannot write {suffix} files, only {', '.join(FORMATS)}{hint}")
    by_name = suffix[1:] if suffix[1:] in FORMATS else None
    if wanted and by_name and wanted != by_name:
        raise UsageError(f"--out {out} is a name for {by_name}, but --format is {wanted}")
    return wanted or by_name or "mp4"


def plan_targets(
    out: str, format_name: str, seeds: list[int], *, grid: bool, option: str = "--out"
) -> list[Target]:
    """Give each video its path.

    Args:
        out: a folder, a file name ending in the format, or a pattern with `{seed}` in it.
        format_name: one of `FORMATS`, or another suffix.
        seeds: of the videos.
        grid: all seeds go to one video.
        option: that gave `out`, for messages.

    Raises:
        UsageError: a pattern that makes no names, or one file for several videos.
    """
    if not out:
        raise UsageError(
            f"{option} is empty; give a folder, or a pattern such as out/{{seed}}.{format_name}"
        )
    groups = [tuple(seeds)] if grid else [(seed,) for seed in seeds]
    suffix = "" if format_name == "png" else f".{format_name}"
    has_field = _SEED_FIELD.search(out) is not None
    if re.search("[{}]", _SEED_FIELD.sub("", out)):
        raise UsageError(f"{option} {out}: the only field is {{seed}}, or {{seed:04}} with zeros")
    if grid and has_field:
        raise UsageError(f"{option} {out}: --grid makes one video of all seeds; leave {{seed}} out")

    is_name = suffix != "" and out.lower().endswith(suffix)
    if is_name and not has_field and len(groups) > 1:
        pattern = f"{out[: -len(suffix)]}-{{seed}}{suffix}"
        other = ", or add --grid" if option == "--out" else ""
        raise UsageError(
            f"{option} {out}: one file cannot hold {len(groups)} videos; write {pattern}{other}"
        )
    if not is_name and not has_field:
        out = os.path.join(out, "grid" if grid else "{seed}")
    if not is_name:
        out += suffix
    return [Target(group, Path(_fill(out, group[0])).expanduser()) for group in groups]


def _fill(pattern: str, seed: int) -> str:
    return _SEED_FIELD.sub(lambda match: f"{seed:0{int(match[1] or 1)}d}", pattern)


def without_existing(
    targets: list[Target], format_name: str, *, force: bool, skip_existing: bool
) -> list[Target]:
    """Leave out the videos that are there already; refuse to overwrite without `force`.

    Raises:
        UsageError: a file would be overwritten, or something stands there that is no such video.
    """
    missing = [target for target in targets if not os.path.lexists(target.path)]
    if skip_existing:
        return missing
    existing = [target.path for target in targets if os.path.lexists(target.path)]
    if existing and not force:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise UsageError(
            f"{existing[0]}{more} would be overwritten; add --force, or --skip-existing to go on"
        )
    for path in existing:
        if path.is_dir() != (format_name == "png"):
            kind = "folder" if path.is_dir() else "file"
            raise UsageError(f"{path} is a {kind}: not overwritten; choose another --out")
        if path.is_dir() and not is_frame_folder(path):
            raise UsageError(
                f"{path} holds other things than frames: not overwritten; choose another --out"
            )
    return targets


def check_writable(targets: list[Target]) -> None:
    """Try to write beside each target, without leaving anything; folders are made only later.

    Raises:
        StyleFaceVError: it cannot be done.
    """
    for parent in {target.path.parent for target in targets}:
        folder = parent
        while not os.path.lexists(folder) and folder != folder.parent:
            folder = folder.parent
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            reason = error.strerror or error
            raise StyleFaceVError(
                f"cannot write to {parent}: {reason}; choose another --out"
            ) from error


def grid_shape(num_tiles: int, tile_px: int) -> tuple[int, int]:
    """Rows and columns of a grid that is as square as can be.

    Raises:
        UsageError: it would be larger than players show.
    """
    columns = math.ceil(math.sqrt(num_tiles))
    if columns * tile_px > _MAX_GRID_SIDE_PX:
        most = (_MAX_GRID_SIDE_PX // tile_px) ** 2
        raise UsageError(f"--grid: {num_tiles} seeds are too many; {most} tiles fit")
    return math.ceil(num_tiles / columns), columns
