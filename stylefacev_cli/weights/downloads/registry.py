"""`registry.yaml`: released weights, their sources, hashes and licences.

It ships with the package. Everything in it is checked when it is read: a registry is a text that
names paths and addresses, and a mistake in it must not write outside the cache.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from stylefacev_cli.common.paths import shipped_folder
from stylefacev_cli.common.settings import build, read_yaml
from stylefacev_cli.errors import IntegrityError, MissingWeightsError, UsageError

REGISTRY_NAME = "registry.yaml"
FORMAT = 1
MAX_FILE_BYTES = 2**33

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Licence:
    """What may be done with weights."""

    name: str
    allows: str  # in a few words
    non_commercial: bool  # asked about before a download
    url: str | None = None  # of its text


@dataclass(frozen=True)
class HubFile:
    """A file on the Hugging Face hub."""

    repo: str  # owner/name, of a space: spaces/owner/name
    path: str
    revision: str  # a commit, or a branch where the file's own hash is pinned

    def __post_init__(self) -> None:
        for text in (self.repo, self.path, self.revision):
            check_path(text)


@dataclass(frozen=True)
class PackageFile:
    """A file on the package index, pinned by version and hash; used as data, never installed."""

    name: str
    version: str
    file: str
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        for text in (self.name, self.version, self.file):
            if not _NAME.fullmatch(text):
                raise ValueError(f"{text!r} cannot be part of a package")
        _check_sha256(self.sha256, 64)
        _check_bytes(self.bytes)


@dataclass(frozen=True)
class Source:
    """One place to fetch a file from: exactly one of the first four."""

    url: str | None = None
    hub: HubFile | None = None
    drive: str | None = None  # id of a file on Google Drive
    package: PackageFile | None = None
    member: str | None = None  # of the archive that is there; the end of its path will do

    def __post_init__(self) -> None:
        given = [self.url, self.hub, self.drive, self.package]
        if sum(place is not None for place in given) != 1:
            raise ValueError("a source is one of url, hub, drive and package")
        if self.url is not None:
            check_url(self.url)
        if self.drive is not None and not re.fullmatch(r"[A-Za-z0-9_-]{8,128}", self.drive):
            raise ValueError(f"{self.drive!r} is no id of Google Drive")
        if self.member is not None:
            check_path(self.member)

    @property
    def address(self) -> str:
        """Where that is: an https address, or `package NAME==VERSION`."""
        if self.url is not None:
            return self.url
        if self.hub is not None:
            file = self.hub
            return f"https://huggingface.co/{file.repo}/resolve/{file.revision}/{quote(file.path)}"
        if self.drive is not None:
            return f"https://drive.google.com/uc?export=download&id={self.drive}"
        assert self.package is not None
        return f"package {self.package.name}=={self.package.version}"


@dataclass(frozen=True)
class WeightFile:
    """One file of an entry."""

    path: str  # below the folder of fetched assets
    sources: tuple[Source, ...]  # in order; none: it is fetched by hand
    bytes: int | None = None
    about_mb: float | None = None
    sha256: str | None = None
    sha256_begins: str | None = None

    def __post_init__(self) -> None:
        check_path(self.path)
        if self.sha256 is not None:
            _check_sha256(self.sha256, 64)
        if self.sha256_begins is not None:
            _check_sha256(self.sha256_begins, 8)
        if self.bytes is not None:
            _check_bytes(self.bytes)

    @property
    def name(self) -> str:
        """Its name without folders."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Entry:
    """Weights that are fetched and used together."""

    name: str
    role: str
    use: str  # what to do with them once they are here
    licence: Licence
    files: tuple[WeightFile, ...]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError("the name must be letters, digits, dots and dashes")
        if not self.files:
            raise ValueError("there are no files")


def read_registry(path: Path | None = None) -> dict[str, Entry]:
    """Read the entries, by name, in the order of the file.

    Args:
        path: of the registry; by default the one that comes with the package.

    Raises:
        IntegrityError: it is not there, or not what a registry must be.
    """
    path = path or shipped_folder() / REGISTRY_NAME
    try:
        return _parse(read_yaml(path), str(path))
    except UsageError as error:
        raise IntegrityError(f"{error}; install stylefacev again") from error


def find_entry(name: str) -> Entry:
    """One entry of the shipped registry.

    Raises:
        MissingWeightsError: there is none of that name.
        IntegrityError: as `read_registry`.
    """
    entries = read_registry()
    if name not in entries:
        raise MissingWeightsError(f"no weights are called {name!r}; names are {', '.join(entries)}")
    return entries[name]


def check_path(text: str) -> None:
    """Make sure that a path stays below the folder that it is joined to, on every system.

    Raises:
        ValueError: it may not.
    """
    if len(text) > 512 or not all(_NAME.fullmatch(part) for part in text.split("/")):
        raise ValueError(f"{text[:60]!r} is no plain relative path")


def check_url(text: str) -> None:
    """Make sure that an address is one of https, without a password.

    Raises:
        ValueError: it is not.
    """
    parts = urlsplit(text)
    if not text.isprintable() or " " in text or parts.scheme != "https" or not parts.hostname:
        raise ValueError(f"{text[:80]!r} is no https address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address must hold no password")


def _parse(content: dict[str, object], where: str) -> dict[str, Entry]:
    if content.get("format") != FORMAT:
        raise UsageError(f"{where}: format {content.get('format')!r} is not {FORMAT}")
    sections = content.get("entries")
    if set(content) != {"format", "entries"} or not isinstance(sections, dict):
        raise UsageError(f"{where} must hold format and entries, and nothing else")
    entries: dict[str, Entry] = {}
    paths: set[str] = set()
    for name, section in sections.items():
        if not isinstance(name, str) or not isinstance(section, dict) or "name" in section:
            raise UsageError(f"{where}: {str(name)[:60]!r} must be a name, and a section below it")
        spread = _spread(section, f"{where}: {name}")
        entry = build(Entry, {"name": name, **spread}, f"{where}: {name}")
        for file in entry.files:
            if file.path.lower() in paths:
                raise UsageError(f"{where}: {name}: the path {file.path} is there twice")
            paths.add(file.path.lower())
        entries[name] = entry
    return entries


def _spread(section: dict[str, object], where: str) -> dict[str, object]:
    """A section whose files are a text, one a line, as a section with a list of them."""
    files, addresses = section.get("files"), section.get("addresses", {})
    if not isinstance(files, str):
        return section
    if not isinstance(addresses, dict):
        raise UsageError(f"{where}.addresses must be a section")
    spread: list[dict[str, object]] = []
    for number, line in enumerate(files.splitlines(), 1):
        fields = line.split(" ")
        if len(fields) != 5 or not fields[1].isdecimal() or fields[3] not in addresses:
            raise UsageError(
                f"{where}.files: line {number} is not PATH BYTES SHA256 ADDRESS PATH-BELOW-IT"
            )
        path, num_bytes, sha256, address, below = fields
        source = {"url": f"{addresses[address]}/{below}"}
        file = {"path": path, "bytes": int(num_bytes[:19]), "sha256": sha256, "sources": [source]}
        spread.append(file)
    others = {key: value for key, value in section.items() if key not in ("files", "addresses")}
    return {**others, "files": spread}


def _check_sha256(text: str, num_digits: int) -> None:
    if not re.fullmatch(f"[0-9a-f]{{{num_digits}}}", text):
        raise ValueError(f"a SHA-256 must be {num_digits} hexadecimal digits")


def _check_bytes(number: int) -> None:
    if not 0 < number <= MAX_FILE_BYTES:
        raise ValueError(f"{number} bytes cannot be")
