"""A folder of raw footage → a set of clips; killed at any time, the next run goes on.

What is done stands in `sources.jsonl`, a line for each file of the footage, written when the
strips and labels of that file are whole. The index appears last, so that an unfinished set never
looks whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from stylefacev_cli.common.files import final_name, holds_nothing, only_run, write_atomic
from stylefacev_cli.datasets.clip_maker import PrepareSettings, start_worker
from stylefacev_cli.datasets.clips import (
    INDEX_NAME,
    MANIFEST_NAME,
    SOURCES_NAME,
    content_hash,
    read_manifest,
)
from stylefacev_cli.datasets.footage_sources import Source
from stylefacev_cli.datasets.source_report import (
    Prepared,
    is_current,
    noted_by_text,
    parse_prepared,
    skipped_by_reason,
    to_line,
)
from stylefacev_cli.datasets.workers import map_in_processes
from stylefacev_cli.detection.crop_window import RESIZE_RULE
from stylefacev_cli.errors import DataError, UsageError

RECIPE = 2  # counts up when the same footage and settings give another set
_WHOLE_FRAMES = "none: frames as they came, whole"
_WINDOW_RULES = {
    True: "one fixed square for a clip: the union of FFHQ's squares (unrotated) of all its frames",
    False: "as FFHQ-U: FFHQ's square, unrotated, shifted at random, not padded",
}


@dataclass(frozen=True)
class Origin:
    """Where a set comes from, for its manifest.

    Attributes:
        made_by: program and version.
        command: the command line.
        source: the folder of the footage.
        licence: of the footage, which that of the set follows.
        detector: what found the faces.
    """

    made_by: str
    command: str
    source: str
    licence: str
    detector: dict[str, Any]


class Progress(NamedTuple):
    """How far a set is."""

    num_done: int  # files dealt with, also by earlier runs
    num_files: int
    name: str = ""  # of the file just done


@dataclass(frozen=True)
class Report:
    """What a set holds and lacks."""

    index: Path
    num_clips: int
    num_frames: int
    num_sources: int
    skipped: dict[str, int]  # by reason; of videos, stretches of frames count
    noted: dict[str, int]  # by what is worth knowing of files


def prepare_set(
    sources: list[Source],
    settings: PrepareSettings,
    origin: Origin,
    folder: Path,
    *,
    num_workers: int = 1,
    device: str = "cpu",
    report: Callable[[Progress], None] = lambda progress: None,
) -> Report:
    """Prepare footage; the same footage and settings give the same bytes.

    Args:
        sources: the files, see `find_sources`.
        settings: how.
        origin: for the manifest.
        folder: of the set; new, or of an earlier run with the same settings.
        num_workers: processes at work; each has one thread.
        device: of the face finder.
        report: called after each file.

    Raises:
        UsageError: the folder holds something else.
        DataError: nothing could be made of any file, or the folder cannot be written.
        MissingWeightsError: the face finder has no weights.
        StyleFaceVError: a worker died, or another run prepares this set.
    """
    try:
        _check_folder(folder, settings, origin)
        with only_run(folder, "preparing"):
            _claim(folder, settings, origin)
            done = _resume(folder, sources)
            waiting = [source for source in sources if source.name not in done]
            num_done = len(sources) - len(waiting)
            report(Progress(num_done, len(sources)))
            with (folder / SOURCES_NAME).open("a", encoding="utf-8") as lines:
                for prepared in _prepare_all(waiting, settings, folder, num_workers, device):
                    lines.write(to_line(prepared))
                    lines.flush()
                    done[prepared.source] = prepared
                    num_done += 1
                    report(Progress(num_done, len(sources), prepared.source))
            return _finish(folder, [done[name] for name in sorted(done)], settings)
    except OSError as error:
        where = final_name(Path(error.filename)) if error.filename else folder
        raise DataError(
            f"cannot write {where}: {error.strerror or error}; free some space or mend it, and run "
            "the same command again: it goes on where it stopped"
        ) from error


# --- the folder ------------------------------------------------------------------------------


def _check_folder(folder: Path, settings: PrepareSettings, origin: Origin) -> bool:
    """Whether the folder holds a set, of these settings; else it is empty or not there.

    Raises:
        UsageError: it holds something else.
    """
    path = folder / MANIFEST_NAME
    expected = {"recipe": RECIPE, "settings": _plain(settings), "detector": origin.detector}
    if path.exists():
        found = read_manifest(path)
        if {name: found.get(name) for name in expected} != expected:
            raise UsageError(f"{folder} holds a set with other settings; choose another DST")
        return True
    if folder.exists() and not holds_nothing(folder):
        raise UsageError(f"{folder} is not empty and holds no set; choose another DST")
    return False


def _claim(folder: Path, settings: PrepareSettings, origin: Origin) -> None:
    """Write the manifest, or check that the folder's is of the same set."""
    if _check_folder(folder, settings, origin):
        return
    manifest = {
        "made_by": f"{origin.made_by}, data prepare {settings.kind}",
        "command": origin.command,
        "source": origin.source,
        "licence": origin.licence,
        "detector": origin.detector,
        "window": _WHOLE_FRAMES if settings.keep_frames else _WINDOW_RULES[settings.is_video],
        "resize": RESIZE_RULE,
        "recipe": RECIPE,
        "settings": _plain(settings),
    }
    _write_manifest(folder, manifest)


def _plain(settings: PrepareSettings) -> dict[str, Any]:
    values = asdict(settings) | {"val_people": list(settings.val_people)}
    if not settings.keep_frames:  # sets that were begun before there was such a setting go on
        del values["keep_frames"]
    return values


def _write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    text = yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True)
    write_atomic(folder / MANIFEST_NAME, text.encode())


def _resume(folder: Path, sources: list[Source]) -> dict[str, Prepared]:
    """What is done already.

    A torn last line is cut off. Made again is what was lost, what was damaged, and what was made of
    a file that is another one now.
    """
    path = folder / SOURCES_NAME
    for part in folder.glob("clips/*/*.part"):  # of a run that was killed
        part.unlink()
    if not path.exists():
        return {}
    text = path.read_text(encoding="utf-8", errors="replace")
    whole, _, _ = text.rpartition("\n")
    found = [
        parse_prepared(line, f"{path}:{i}") for i, line in enumerate(whole.split("\n"), 1) if line
    ]
    by_name = {source.name: source for source in sources}
    kept = [
        prepared
        for prepared in found
        if all((folder / name).is_file() for name in prepared.files)
        and is_current(prepared, by_name.get(prepared.source))
    ]
    lines = "".join(map(to_line, kept))
    if lines != text:
        (folder / INDEX_NAME).unlink(missing_ok=True)  # of clips that are made again
        write_atomic(path, lines.encode())
        still = {name for prepared in kept for name in prepared.files}
        for name in {name for prepared in found for name in prepared.files} - still:
            (folder / name).unlink(missing_ok=True)
    return {prepared.source: prepared for prepared in kept}


def _finish(folder: Path, done: list[Prepared], settings: PrepareSettings) -> Report:
    """Put the report in order, then the manifest, and at last the index."""
    skipped = skipped_by_reason(done)
    entries = [entry for prepared in done for entry in prepared.clips]
    hashes = [pair for prepared in done for pair in prepared.hashes]
    write_atomic(folder / SOURCES_NAME, "".join(map(to_line, done)).encode())
    if not entries:
        why = ", ".join(f"{number} {reason}" for reason, number in skipped.items())
        raise DataError(
            f"no {'clip' if settings.is_video else 'image'} could be made of {len(done)} files "
            f"({why}); {folder / SOURCES_NAME} tells more"
        )
    num_frames = sum(entry.num_frames for entry in entries)
    totals = {
        "clips": len(entries),
        "frames": num_frames,
        "people": len({entry.identity for entry in entries}),
        "sources": len(done),
        "skipped": skipped,
    }
    manifest = read_manifest(folder / MANIFEST_NAME)
    manifest |= {"totals": totals, "content_sha256": content_hash(entries, hashes)}
    _write_manifest(folder, manifest)
    index = folder / INDEX_NAME
    write_atomic(index, "".join(entry.to_line() for entry in entries).encode())
    return Report(index, len(entries), num_frames, len(done), skipped, noted_by_text(done))


# --- the work --------------------------------------------------------------------------------


def _prepare_all(
    waiting: list[Source],
    settings: PrepareSettings,
    folder: Path,
    num_workers: int,
    device: str,
) -> Iterator[Prepared]:
    for source in waiting:
        if source.skip is not None:
            left_aside = Prepared(source.name)
            left_aside.skip(source.skip)
            yield left_aside
    tasks = [source for source in waiting if source.skip is None]
    arguments = (settings, folder, folder.resolve().name, device)
    for _, prepared in map_in_processes(start_worker, arguments, tasks, num_workers):
        yield prepared
