"""The files that a request will write: named and checked before any work is done."""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stylefacev_cli.common.files import name_max
from stylefacev_cli.common.paths import expand_home
from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.media.formats import FORMATS, GIF_MAX_FPS, LOSSY_ONLY, STREAM_FORMATS, SUFFIXES

_FIELD = re.compile(r"\{(?:(seed|motion_seed)(?::0?([0-9]{1,2})d?)?|(track|from))\}")
_FOREIGN_SUFFIXES = (
    *(".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".ts", ".apng"),
    *(".png", ".jpg", ".jpeg", ".webp"),
)
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,10}")  # a folder may end in .5 or in .d
_MAX_SIDE_PX = 8192
_MAX_PATH_BYTES = 4095
_PART_BYTES = 60  # by which the path of an unfinished file can be longer


@dataclass(frozen=True)
class Target:
    """One video to make.

    Attributes:
        seeds: of one face, of several in a grid, or of those that one face becomes; where people
            are given in another way, their places among them.
        path: of the file or folder.
        columns: places of its motions in `Columns.names`; more than one only in a grid.
    """

    seeds: tuple[int, ...]
    path: Path
    columns: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Columns:
    """The motions of a matrix, as file names have them.

    Attributes:
        field: `motion_seed` or `track`.
        names: of each; empty for a motion of each seed's own.
    """

    field: str = "motion_seed"
    names: tuple[str, ...] = ("",)


def video_format(out: str | None, asked: str | None, *, lossless: bool) -> str:
    """The format of videos that go to `out`: a name, - for a stream, or None for memory.

    Args:
        out: where they go.
        asked: the format that a request names; None: by the name, else mp4.
        lossless: keep every colour.

    Raises:
        UsageError: it is not one for there, or cannot be lossless.
    """
    if out == "-":
        format_name = asked or "mp4"
        if format_name not in STREAM_FORMATS:
            formats = ", ".join(STREAM_FORMATS)
            raise UsageError(f"-o - cannot carry {format_name}; give --format one of {formats}")
    else:
        format_name = choose_format(out or "", asked)
        if format_name == "raw":
            raise UsageError("--format raw goes down a pipe only: add -o - and one seed")
    if lossless and format_name in LOSSY_ONLY:
        raise UsageError(f"--lossless: a {format_name} cannot be; give an mp4, mkv, webm or png")
    return format_name


def choose_format(out: str, asked: str | None) -> str:
    """The format of a name: the one asked for, else that of the ending, else mp4.

    Raises:
        UsageError: the two disagree, or the name stands for a format that is not made.
    """
    suffix = Path(out).suffix.lower()
    if suffix in _FOREIGN_SUFFIXES:
        if (suffix, asked) == (".png", "sheet"):
            return "sheet"
        hint = "; png is a folder of pictures: leave .png out" if suffix == ".png" else ""
        hint += ", or add --format sheet" if hint and asked is None else ""
        raise UsageError(f"--out: cannot write {suffix} files, only {', '.join(FORMATS)}{hint}")
    by_name = suffix[1:] if suffix[1:] in FORMATS and suffix[1:] not in SUFFIXES else None
    if by_name is None and asked not in SUFFIXES:
        check_ending(out, [f".{one}" for one in FORMATS if one not in SUFFIXES], "--out")
    if asked and by_name and asked != by_name:
        raise UsageError(f"--out {out} is a name for {by_name}, but --format is {asked}")
    return asked or by_name or "mp4"


def check_ending(out: str, endings: Sequence[str], option: str) -> None:
    """Check that what is taken for a folder was not meant as a file of another kind.

    Args:
        out: a name or a pattern.
        endings: of the files that can be written.
        option: that gave `out`, for the message.

    Raises:
        UsageError: it ends as files do, and there is no such folder.
    """
    suffix = Path(out).suffix
    is_folder = out.endswith(("/", os.sep)) or os.path.isdir(out)
    if _ENDING.fullmatch(suffix) and suffix.lower() not in endings and not is_folder:
        known = ", ".join(endings)
        raise UsageError(
            f"{option} {out}: cannot write {suffix} files, only {known}; for a folder of that name "
            "put a / behind it"
        )


def check_rate(format_name: str, fps: float) -> None:
    """Check that a format can have a frame rate.

    Raises:
        UsageError: it cannot.
    """
    if format_name == "gif" and fps > GIF_MAX_FPS:
        raise UsageError(f"a gif has at most {GIF_MAX_FPS:g} frames per second, not {fps:g}")


def plan_targets(
    out: str, format_name: str, seeds: list[int], *, grid: bool, option: str = "--out",
    columns: Columns | None = None, chain: bool = False, people: Sequence[str] = (),
) -> list[Target]:  # fmt: skip
    """The path of each video.

    Args:
        out: a folder, a file name ending in the format, or a pattern with fields in it: `{seed}`
            or `{from}`, and `{motion_seed}` or `{track}`.
        format_name: one of `FORMATS`, or another suffix.
        seeds: of the videos.
        grid: all go to one video.
        option: that gave `out`, for messages.
        columns: the motions that each face has; each its own by default.
        chain: the seeds are those that one face becomes.
        people: names of those who are not of seeds; `seeds` are their places.

    Raises:
        UsageError: a pattern that makes no names, or one file for several videos.
    """
    if not out:
        raise UsageError(
            f"{option} is empty; give a folder, or a pattern such as out/{{seed}}.{format_name}"
        )
    columns = columns or Columns()
    rows = [tuple(seeds)] if chain or grid else [(seed,) for seed in seeds]
    every = tuple(range(len(columns.names)))
    groups = [(row, some) for row in rows for some in ([every] if grid else [(i,) for i in every])]
    known = ("from" if people else "seed", columns.field)
    out = _with_fields(out, format_name, known, grid, option, (len(rows), len(every)))

    def path(row: tuple[int, ...], column: int) -> Path:
        person = people[row[0]] if people else ""
        seeds = row if chain else row[:1]
        return expand_home(_fill(out, seeds, columns.names[column], person), option)

    targets = [Target(row, path(row, some[0]), some) for row, some in groups]
    if len({target.path for target in targets}) < len(targets):
        raise UsageError(f"{option} {out}: two videos would have one name; part the fields by a -")
    return targets


def _with_fields(
    out: str, format_name: str, known: tuple[str, str], grid: bool, option: str,
    size: tuple[int, int],
) -> str:  # fmt: skip
    """Check a pattern, and complete it with what is left out: fields, and the ending."""
    if format_name not in FORMATS:
        check_ending(out, [f".{format_name}"], option)
    fields = [match[1] or match[3] for match in _FIELD.finditer(out)]
    if re.search("[{}]", _FIELD.sub("", out)) or not set(fields) <= set(known):
        first = "{seed} or {seed:04} with zeros" if known[0] == "seed" else "{from}"
        raise UsageError(f"{option} {out}: the fields are {first}, and {{{known[1]}}}")
    if grid and fields:
        raise UsageError(
            f"{option} {out}: --grid makes one video of all; leave {{{fields[0]}}} out"
        )
    suffix = SUFFIXES.get(format_name, f".{format_name}")
    is_name = suffix != "" and out.lower().endswith(suffix)
    stem = out[: -len(suffix)] if is_name else out
    # Those that videos differ in, and that a pattern must have.
    needed = [] if grid else [name for name, num in zip(known, size, strict=True) if num > 1]
    missing = [f"{{{name}}}" for name in needed if name not in fields]
    if missing and (is_name or fields):
        num = size[0] * size[1]
        pattern = "-".join([stem, *missing]) + (suffix if is_name else "")
        other = ", or add --grid" if option == "--out" else ""
        raise UsageError(
            f"{option} {out}: one name cannot stand for {num} videos; write {pattern}{other}"
        )
    if is_name:
        return out
    if not fields:
        differing = dict.fromkeys([known[0], *needed])
        stem = os.path.join(out, "grid" if grid else "-".join(f"{{{name}}}" for name in differing))
    return stem + suffix


def _fill(pattern: str, seeds: tuple[int, ...], motion: str, person: str) -> str:
    def value(match: re.Match[str]) -> str:
        if match[3]:
            return motion if match[3] == "track" else person
        numbers = seeds if match[1] == "seed" else (int(motion or seeds[0]),)
        return "-".join(f"{number:0{int(match[2] or 1)}d}" for number in numbers)

    return _FIELD.sub(value, pattern)


def without_existing(
    targets: list[Target], format_name: str, *, force: bool, skip_existing: bool | None
) -> list[Target]:
    """The targets without the videos that are there already; without `force` none is overwritten.

    `skip_existing` is None where a command has no such option.

    Raises:
        UsageError: a file would be overwritten, or something stands there that is no such video.
    """
    missing = [target for target in targets if not os.path.lexists(target.path)]
    if skip_existing:
        return missing
    existing = [target.path for target in targets if os.path.lexists(target.path)]
    if existing and not force:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        way = (
            " or choose another --out" if skip_existing is None else ", or --skip-existing to go on"
        )
        raise UsageError(f"{existing[0]}{more} would be overwritten; add --force{way}")
    from stylefacev_cli.media import is_frame_folder

    for path in existing:
        if path.is_dir() != (format_name == "png"):
            kind = "folder" if path.is_dir() else "file"
            raise UsageError(f"{path} is a {kind}: not overwritten; choose another --out")
        if path.is_dir() and not is_frame_folder(path):
            raise UsageError(
                f"{path} holds other things than frames: not overwritten; choose another --out"
            )
    return targets


def check_new_files(paths: Sequence[Path], force: bool) -> None:
    """Check the single files that a command will write.

    Raises:
        UsageError: one is there already, or a folder has its name.
        StyleFaceVError: a folder cannot be written.
    """
    for path in paths:
        if os.path.lexists(path) and not force:
            raise UsageError(f"{path} would be overwritten; add --force or choose another --out")
        if path.is_dir():
            raise UsageError(f"{path} is a folder: not overwritten; choose another --out")
    check_writable([Target((0,), path) for path in paths], beside="")


def check_writable(targets: list[Target], beside: str = ".json") -> None:
    """Try to write beside each target, without leaving anything; folders are made only later.

    Args:
        targets: that are to be written.
        beside: the further ending of a file that will stand beside each.

    Raises:
        UsageError: a name is longer than names can be.
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
        most = name_max(folder)
        for target in targets:
            if target.path.parent == parent:
                _check_lengths(target.path, beside, most)


def _check_lengths(path: Path, beside: str, most: int) -> None:
    for name in (*path.parent.parts, path.name + beside):
        if "\0" in name:
            raise UsageError(f"--out: {name[:40]!r} cannot be a name; choose another")
        if (size := len(os.fsencode(name))) > most:
            raise UsageError(
                f"--out: the name {name[:24]}…{name[-16:]} has {size} bytes, {most} are the most; "
                "choose a shorter one"
            )
    size = len(os.fsencode(path.absolute())) + _PART_BYTES
    if size > _MAX_PATH_BYTES:
        raise UsageError(f"--out: the path {str(path)[:24]}…{path.name[-16:]} is too long")


def grid_shape(num_tiles: int, tile_px: int) -> tuple[int, int]:
    """Rows and columns of a grid that is as square as can be.

    Raises:
        UsageError: it would be larger than players show.
    """
    columns = math.ceil(math.sqrt(num_tiles))
    shape = math.ceil(num_tiles / columns), columns
    check_sides(*shape, tile_px)
    return shape


def check_sides(rows: int, columns: int, tile_px: int) -> None:
    """Check the size of a picture of tiles.

    Raises:
        UsageError: it would be larger than players show.
    """
    if max(rows, columns) * tile_px > _MAX_SIDE_PX:
        most = _MAX_SIDE_PX // tile_px
        raise UsageError(
            f"{rows} rows and {columns} columns are too many for one picture; {most} by {most} fit"
        )
