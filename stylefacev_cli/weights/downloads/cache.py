"""The cache of downloaded files, and its index of hashes and accepted licences.

    ~/.cache/stylefacev/assets/
      index.json               hashes of what was fetched, licences that were accepted
      i3d-kinetics400/…        files, under the paths of the registry
      .parts/…                 unfinished downloads, and the locks of runs that are at it

A file without a published hash is trusted when it is first fetched; its hash stays in the
index, also after the file has gone, and whatever comes later under that path must have it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylefacev_cli.common.files import locked, write_atomic
from stylefacev_cli.common.hashing import sha256_of
from stylefacev_cli.common.paths import home_folder
from stylefacev_cli.common.settings import build
from stylefacev_cli.errors import (
    IntegrityError,
    MissingWeightsError,
    StyleFaceVError,
    UsageError,
)
from stylefacev_cli.weights.downloads.registry import Entry, WeightFile

INDEX_NAME = "index.json"
PARTS_NAME = ".parts"
_BY_HAND = "put there by hand"


@dataclass(frozen=True)
class Record:
    """The entry of a file in the index."""

    sha256: str
    source: str  # where it came from
    first_seen: str  # date of the first fetch
    size: int = 0  # size and time of change when the hash was last found right
    mtime_ns: int = 0


def assets_folder() -> Path:
    """The folder where fetched assets are kept.

    `$STYLEFACEV_HOME/assets`, else `$XDG_CACHE_HOME/stylefacev/assets`, else
    `~/.cache/stylefacev/assets`.
    """
    home = home_folder()
    if home is not None:
        return home / "assets"
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "stylefacev" / "assets"


def path_of(file: WeightFile) -> Path:
    """Where a file of the registry is kept."""
    return assets_folder() / file.path


def folder_of(entry: Entry) -> Path:
    """The folder that holds all files of an entry."""
    return Path(os.path.commonpath([path_of(file).parent for file in entry.files]))


def state_of(file: WeightFile, records: Mapping[str, Record] | None = None) -> str:
    """Say `present`, `missing` or `damaged`; a file that has not changed is not read again.

    Args:
        file: of the registry.
        records: the index; read where it is not given.
    """
    records = read_records() if records is None else records
    path = path_of(file)
    if not path.exists():
        return "missing"
    if file.path not in records and not (file.sha256 or file.sha256_begins or file.bytes):
        return "present"  # whether it is trusted is asked when it is used
    if is_unchanged(file, records):
        return "present"
    try:
        check(file, path)
    except IntegrityError:
        return "damaged"
    return "present"


def is_unchanged(file: WeightFile, records: Mapping[str, Record]) -> bool:
    """Whether a file has the size and time of change that it had when its hash was last checked.

    Args:
        file: of the registry.
        records: the index.
    """
    record = records.get(file.path)
    if record is None or file.sha256 not in (None, record.sha256):
        return False
    try:
        stat = path_of(file).stat()
    except OSError:
        return False
    return (record.size, record.mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def check_changed(files: Iterable[WeightFile]) -> None:
    """Compare files that are there and have published hashes, if they changed since the last time.

    Args:
        files: of the registry, each with its whole SHA-256.

    Raises:
        IntegrityError, MissingWeightsError: as `check`.
    """
    found: dict[str, Record] = {}
    try:
        records = read_records()
    except IntegrityError:  # of the index: everything is read again
        records = {}
    try:
        for file in files:
            if not is_unchanged(file, records):
                found[file.path], _ = _compared(file, path_of(file), None, records.get(file.path))
    finally:
        with contextlib.suppress(StyleFaceVError):  # as in `check`
            _note_records(found)


def check(file: WeightFile, path: Path, source: str | None = None) -> bool:
    """Compare a file with all that is known of it, and note that it was right.

    Args:
        file: of the registry.
        path: of what should be that file.
        source: where it was just fetched from; without it the file lies in its place already.

    Returns:
        Whether it is trusted on first use: no hash was known before.

    Raises:
        IntegrityError: it is another one.
        MissingWeightsError: it cannot be read, or the index cannot be written.
    """
    known = read_records().get(file.path) if file.sha256 is None else None
    record, is_first_use = _compared(file, path, source, known)
    if file.sha256 is None:
        _note_records({file.path: record})
        return is_first_use
    # Nothing is lost if the index cannot be kept, as in a cache that is shared read-only.
    with contextlib.suppress(StyleFaceVError):
        _note_records({file.path: _since_first(record, read_records().get(file.path))})
    return False


def _compared(
    file: WeightFile, path: Path, source: str | None, known: Record | None
) -> tuple[Record, bool]:
    """What the index is to know of a file that is right, and whether it is trusted on first use."""
    what = f"what came from {source}" if source else str(path)
    way_out = "" if source else ": delete it and fetch it again, or put the right one there"
    try:
        stat = path.stat()
        if file.bytes is not None and stat.st_size != file.bytes:
            raise IntegrityError(f"{what} has {stat.st_size} bytes, {file.bytes} expected{way_out}")
        found = sha256_of(path)
    except OSError as error:
        raise MissingWeightsError(f"cannot read {path}: {error.strerror}") from error
    published = file.sha256 or file.sha256_begins or ""
    if not found.startswith(published):
        raise IntegrityError(
            f"{what} has SHA-256 {found[:12]}…, expected {published[:12]}…{way_out}"
        )
    if file.sha256 is None and known is not None and known.sha256 != found:
        raise IntegrityError(
            f"{what} has SHA-256 {found[:12]}…, but had {known.sha256[:12]}… when it was first "
            f"seen on {known.first_seen}: if its publisher changed it, run `stylefacev weights "
            "remove --forget` and fetch it again"
        )
    today, origin = time.strftime("%Y-%m-%d"), source or _BY_HAND
    record = Record(found, origin, today, stat.st_size, stat.st_mtime_ns)
    return _since_first(record, known), file.sha256 is None and known is None


def read_records() -> dict[str, Record]:
    """What the index knows, by the paths of the registry.

    Raises:
        IntegrityError: the index is damaged.
    """
    try:
        found = _read_index().get("files", {})
        return {path: build(Record, values, path) for path, values in found.items()}
    except (AttributeError, UsageError) as error:
        raise _damaged_index() from error


def hash_of(entry: Entry) -> str:
    """The SHA-256 of the one file of an entry that is there, for reports.

    Raises:
        IntegrityError: the index is damaged.
        MissingWeightsError: the file is not there, or was never looked at.
    """
    (file,) = entry.files
    record = read_records().get(file.path)
    known = file.sha256 or (record.sha256 if record else None)
    if known is None:
        raise MissingWeightsError(
            f"{path_of(file)} has not been checked: `stylefacev weights verify`"
        )
    return known


def accepted_licences() -> list[str]:
    """The names of the entries whose licences were accepted here.

    Raises:
        IntegrityError: the index is damaged.
    """
    accepted = _read_index().get("accepted", {})
    if not isinstance(accepted, dict):
        raise _damaged_index()
    return list(accepted)


def accept_licence(entry_name: str) -> None:
    """Remember that the licence of an entry was accepted (errors as in `check`)."""
    today = time.strftime("%Y-%m-%d")
    _change_index(lambda index: index.setdefault("accepted", {}).update({entry_name: today}))


def remove(entry: Entry, *, forget: bool = False) -> list[Path]:
    """Delete the files of an entry, its unfinished downloads too.

    Args:
        entry: of the registry.
        forget: also forget the hashes that were trusted on first use.

    Returns:
        The files that were there.

    Raises:
        MissingWeightsError: a file cannot be deleted.
    """

    def refuse() -> None:
        raise StyleFaceVError(f"another run is fetching {entry.name}: nothing was removed")

    removed = []
    for file in entry.files:
        path = path_of(file)
        with locked(lock_of(file), refuse):
            try:
                for part in part_folder(file).glob("*.part*"):
                    part.unlink(missing_ok=True)
                if path.exists():
                    path.unlink()
                    removed.append(path)
            except OSError as error:
                raise MissingWeightsError(f"cannot delete {path}: {error.strerror}") from error
        with contextlib.suppress(OSError):  # it holds other things
            for folder in path.parents[: len(Path(file.path).parents) - 1]:
                folder.rmdir()
    if forget:
        paths = [file.path for file in entry.files]
        _change_index(lambda index: [index.get("files", {}).pop(path, None) for path in paths])
    return removed


def lock_of(file: WeightFile) -> Path:
    """The lock that a run holds while it fetches a file."""
    return part_folder(file) / "lock"


def part_folder(file: WeightFile) -> Path:
    """Where the unfinished downloads of a file are kept."""
    return assets_folder() / PARTS_NAME / file.path.replace("/", "--")


def _since_first(record: Record, known: Record | None) -> Record:
    """A record with the date and source of the first time that the same file was seen."""
    if known is None or known.sha256 != record.sha256:
        return record
    source = known.source if record.source == _BY_HAND else record.source
    return dataclasses.replace(record, first_seen=known.first_seen, source=source)


def _note_records(records: Mapping[str, Record]) -> None:
    known = read_records()
    fresh = {
        path: dataclasses.asdict(record)
        for path, record in records.items()
        if known.get(path) != record
    }
    if fresh:
        _change_index(lambda index: index.setdefault("files", {}).update(fresh))


def _read_index() -> dict[str, Any]:
    try:
        content = json.loads((assets_folder() / INDEX_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged_index() from error
    if not isinstance(content, dict):
        raise _damaged_index()
    return content


def _change_index(change: Callable[[dict[str, Any]], object]) -> None:
    folder = assets_folder()
    with locked(folder / PARTS_NAME / "index.lock"):
        index = _read_index()
        change(index)
        text = json.dumps(index, indent=1, sort_keys=True)
        try:
            write_atomic(folder / INDEX_NAME, text.encode(), synced=True)
        except OSError as error:
            raise MissingWeightsError(f"cannot write to {folder}: {error.strerror}") from error


def _damaged_index() -> IntegrityError:
    path = assets_folder() / INDEX_NAME
    return IntegrityError(f"{path} is damaged: delete it; hashes are then trusted on first use")
