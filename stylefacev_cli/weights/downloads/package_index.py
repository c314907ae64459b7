"""Files on the package index, found as pip finds them and fetched as data: nothing is installed.

pip itself would run the set-up code of an sdist before it hands the file over. So pip is asked only
where its index is (its settings, else its own default); the page of a package there says where the
file is, and the file is fetched like any other.

Source of the formats: the simple repository API, PEP 503 (HTML) and PEP 691 (JSON).
"""

from __future__ import annotations

import contextlib
import html.parser
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit
from urllib.request import url2pathname

import urllib3

from stylefacev_cli.weights.downloads.connection import (
    Limits,
    Remote,
    Session,
    open_remote,
    remote,
    system_reason,
)
from stylefacev_cli.weights.downloads.failures import SourceError, TryAgain
from stylefacev_cli.weights.downloads.registry import PackageFile

_PIP_TIMEOUT_S = 60
_PIP_INTERNALS = "pip._internal.models.index"  # the only place that names its default index
_MAX_PAGE_BYTES = 2**26
_SETTINGS = ("index-url", "extra-index-url", "find-links", "no-index", "cert")
_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"


def find_package(package: PackageFile, limits: Limits) -> Path | Remote:
    """Find the file of a package: on this machine, or at an address.

    Raises:
        SourceError: no index that pip is set up with has it, or pip is not there to be asked.
    """
    settings = pip_settings()
    failures = []
    for place in _places(settings, package.name):
        try:
            found = _look_in(place, package.file, limits, settings.get("cert"))
        except (SourceError, TryAgain) as error:
            failures.append(f"{_shown(place)}: {error}")
            continue
        if found is not None:
            return found
    reason = f" ({'; '.join(failures)})" if failures else ""
    raise SourceError(f"no package index of pip has {package.file}{reason}")


def pip_settings() -> dict[str, str]:
    """What pip's environment variables and files set, of what says where packages are."""
    found: dict[str, str] = {}
    sections = {"global": 0, "download": 1, ":env:": 2}  # the later goes first
    ranks: dict[str, int] = {}
    for line in _pip_config_list():
        match = re.fullmatch(r"(global|download|:env:)\.([a-z-]+)=(.*)", line)
        if match is None or match[2].replace("_", "-") not in _SETTINGS:
            continue
        rank, key = sections[match[1]], match[2]
        if rank >= ranks.get(key, -1):
            with contextlib.suppress(ValueError):
                # pip prints values as Python texts do: quoted, a line break as \n
                found[key] = " ".join(shlex.split(match[3].replace("\\n", " ")))
                ranks[key] = rank
    for key in _SETTINGS:  # also where there is no pip
        value = os.environ.get(f"PIP_{key.upper().replace('-', '_')}")
        if value:
            found[key] = value
    return found


def _pip_config_list() -> list[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []


def _places(settings: dict[str, str], name: str) -> list[str]:
    """Pages and folders that may link to the files of a package."""
    places = settings.get("find-links", "").split()
    if settings.get("no-index", "").lower() not in ("", "0", "false", "no", "off"):
        return places
    indexes = [settings.get("index-url") or _default_index()]
    indexes += settings.get("extra-index-url", "").split()
    project = re.sub(r"[-_.]+", "-", name).lower()
    return places + [f"{index.rstrip('/')}/{project}/" for index in indexes]


def _default_index() -> str:
    """The index that pip uses when none is set; only pip knows."""
    try:
        address: str = importlib.import_module(_PIP_INTERNALS).PyPI.simple_url
    except (ImportError, AttributeError) as error:
        raise SourceError(
            "this Python has no pip to ask for the package index; set PIP_INDEX_URL to one"
        ) from error
    return address


def _look_in(place: str, file: str, limits: Limits, cert: str | None) -> Path | Remote | None:
    scheme = urlsplit(place).scheme.lower()
    if scheme in ("http", "https"):
        index = _remote_index(place, cert)
        link = link_to(file, index.url, _fetch_page(index, limits))
        if link is None:
            return None
        if urlsplit(link).scheme != "https":
            raise SourceError(f"links to {_shown(link)}: only https is followed")
        found = remote(link, index.hosts[0], verify=cert)
        is_own = urlsplit(link).netloc == urlsplit(index.url).netloc
        return replace(found, login=index.login) if is_own else found
    path = Path(url2pathname(urlsplit(place).path)) if scheme == "file" else Path(place)
    page = path / "index.html" if path.is_dir() else path
    if (path / file).is_file():
        return path / file
    if not page.is_file():
        return None
    link = link_to(file, page.absolute().as_uri(), page.read_text("utf-8", "replace"))
    if link is None or urlsplit(link).scheme == "https":
        return None if link is None else remote(link, verify=cert)
    local = Path(url2pathname(urlsplit(link).path))
    return local if urlsplit(link).scheme == "file" and local.is_file() else None


def link_to(file: str, address: str, text: str) -> str | None:
    """The address of a file that a page of the index links to, in HTML or JSON.

    Raises:
        SourceError: the page is neither.
    """
    if text.lstrip().startswith("{"):
        try:
            links = [str(entry["url"]) for entry in json.loads(text)["files"]]
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise SourceError("its page is damaged") from error
    else:
        reader = _Links()
        reader.feed(text)
        links = reader.links
    for link in links:
        try:
            found = urldefrag(urljoin(address, link)).url
            if unquote(urlsplit(found).path.rpartition("/")[2]) == file:
                return found
        except ValueError:
            continue  # no address at all
    return None


def _fetch_page(index: Remote, limits: Limits) -> str:
    """The page of an index; a failure that may pass is given a few short chances."""
    headers = {"Accept": _ACCEPT, "Cache-Control": "max-age=0"}
    for tries_left in reversed(range(limits.retries + 1)):
        try:
            with (
                Session() as session,
                open_remote(session, index, headers, limits, page_wanted=True) as page,
            ):
                body: bytes = page.raw.read(_MAX_PAGE_BYTES, decode_content=True)
                return body.decode("utf-8", "replace")
        except (TryAgain, urllib3.exceptions.HTTPError, OSError) as error:
            if not tries_left:
                why = (
                    str(error)
                    if isinstance(error, TryAgain)
                    else f"broke off ({system_reason(error)})"
                )
                raise SourceError(why) from error
            time.sleep(limits.first_wait_s)
    raise AssertionError("there is at least one try")


def _remote_index(address: str, cert: str | None) -> Remote:
    """The page of an index as an address to ask, its password beside it."""
    parts = urlsplit(address)
    if parts.scheme != "https":
        raise SourceError("only indexes at https and file addresses are used")
    host = parts.netloc.rpartition("@")[2]
    found = remote(parts._replace(netloc=host).geturl(), verify=cert)
    if parts.username is None:
        return found
    return replace(found, login=(unquote(parts.username), unquote(parts.password or "")))


def _shown(address: str) -> str:
    """An address for messages, without a password."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for key, value in attrs if tag == "a" and key == "href" and value]
