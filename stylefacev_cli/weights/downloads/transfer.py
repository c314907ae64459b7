"""One https address → one file on disk, whatever the network does on the way.

    part ──Range, If-Range──▶ 206 (checked): goes on    200: from the start    5xx, breaks: again

The bytes go to a `.part` file, with what the server said of the file beside it, so that a run that
was killed goes on where it was. Whether the bytes are the right ones is the caller's question.

Source of the rules: RFC 9110, sections 13.1.5 (If-Range), 14 (ranges) and 10.2.3 (Retry-After).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import requests
import urllib3

from stylefacev_cli.common.files import write_atomic
from stylefacev_cli.common.settings import build
from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.weights.downloads.connection import (
    Limits,
    Page,
    Remote,
    Session,
    number_of,
    open_remote,
    system_reason,
)
from stylefacev_cli.weights.downloads.failures import SourceError, TryAgain

_BLOCK_BYTES = 2**18
_PROGRESS_BYTES = 2**20  # so much further than ever before is worth another round of tries
_MIN_BYTES_PER_S = 100


@dataclass(frozen=True)
class Expected:
    """Size and bounds of a file, as known before the download."""

    bytes: int | None
    max_bytes: int
    is_hashed: bool  # the caller will compare it with a published hash


@dataclass(frozen=True)
class Claims:
    """What a server said of a file; a resumed one must be the same."""

    etag: str | None = None
    last_modified: str | None = None
    total: int | None = None

    def agree_with(self, other: Claims) -> bool:
        """Whether all that both state is equal."""
        pairs = zip(asdict(self).values(), asdict(other).values(), strict=True)
        return all(a == b for a, b in pairs if a is not None and b is not None)

    @property
    def validator(self) -> str | None:
        """What If-Range may hold: a strong ETag, or a date."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified


def fetch_to(
    part: Path,
    remote: Remote,
    wanted: Expected,
    limits: Limits,
    on_bytes: Callable[[int, int | None], None],
    note: Callable[[str], None],
    session: requests.Session | None = None,
) -> bool:
    """Bring a file to `part`, going on from what is there.

    Args:
        part: the file; complete when this returns.
        remote: address and hosts that may be redirected to.
        wanted: what is known of the file.
        limits: patience.
        on_bytes: called with the bytes that are there, and the total.
        note: called when something went wrong and is tried again.
        session: whose open connections are used; by default one of its own.

    Returns:
        Whether it was pieced together from several answers.

    Raises:
        SourceError: this source does not give the file.
        StyleFaceVError: the file cannot be written.
    """
    failures, furthest = 0, _size_of(part)
    with contextlib.nullcontext(session) if session else Session() as asking:
        while True:
            try:
                return _try_once(asking, part, remote, wanted, limits, on_bytes)
            except TryAgain as again:
                if again.restart:
                    discard(part)
                size = _size_of(part)
                failures = 0 if size >= furthest + _PROGRESS_BYTES else failures + 1
                furthest = max(furthest, size)
                if failures > limits.retries:
                    raise SourceError(str(again)) from again
                wait_s = again.wait_s
                if wait_s is None:
                    doublings = min(max(failures - 1, 0), 16)
                    wait_s = min(limits.first_wait_s * 2**doublings, limits.longest_wait_s)
                if wait_s > limits.longest_wait_s:
                    raise SourceError(f"{again}; it asks to wait {wait_s:.0f} s") from again
                note(f"{again}; trying again in {wait_s:.0f} s")
                time.sleep(wait_s)


def _try_once(
    session: requests.Session,
    part: Path,
    remote: Remote,
    wanted: Expected,
    limits: Limits,
    on_bytes: Callable[[int, int | None], None],
) -> bool:
    before = _read_claims(part)
    have = _size_of(part)
    if before is None or (before.validator is None and not wanted.is_hashed):
        have = 0  # whether the rest belongs to it is unknown
    elif have and have == before.total:
        return True
    headers = {}
    if have and before is not None:
        headers["Range"] = f"bytes={have}-"
        if before.validator:
            headers["If-Range"] = before.validator

    with open_remote(session, remote, headers, limits) as page:
        if page.status == 416:
            raise TryAgain("has no such range of the file", 0.0, restart=True)
        start, claims = _start_of(page, have)
        if start and before is not None and not claims.agree_with(before):
            raise TryAgain("has changed the file meanwhile", 0.0, restart=True)
        _check_total(claims.total, wanted)
        if claims.total is None and not page.is_chunked and not wanted.is_hashed:
            raise SourceError("does not say how long the file is")
        _receive(page, part, start, claims, wanted, limits, on_bytes)
        return start > 0


def discard(part: Path) -> None:
    """Throw an unfinished download away."""
    part.unlink(missing_ok=True)
    _claims_path(part).unlink(missing_ok=True)


def _start_of(page: Page, have: int) -> tuple[int, Claims]:
    """Where the body begins in the file, and what is said of the whole."""
    etag, last_modified = page.headers.get("ETag"), page.headers.get("Last-Modified")
    length = number_of(page.headers.get("Content-Length"))
    if page.status == 200:
        return 0, Claims(etag, last_modified, length)
    said = page.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", said.strip())
    if match is None:
        raise TryAgain(f"answers with the range {said[:60]!r}", restart=True)
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    fits = first == have and last >= first and total in (None, last + 1)
    if not fits or length not in (None, last - first + 1):
        raise TryAgain(f"answers with the range {said[:60]!r}, asked for {have}-", restart=True)
    return first, Claims(etag, last_modified, total or last + 1)


def _check_total(total: int | None, wanted: Expected) -> None:
    if total is None:
        return
    if wanted.bytes is not None and total != wanted.bytes:
        raise SourceError(f"has a file of {total} bytes, {wanted.bytes} expected")
    if total > wanted.max_bytes:
        raise SourceError(f"has a file of {total} bytes; {wanted.max_bytes} are the most")


def _receive(
    page: Page,
    part: Path,
    start: int,
    claims: Claims,
    wanted: Expected,
    limits: Limits,
    on_bytes: Callable[[int, int | None], None],
) -> None:
    size = start
    most = wanted.bytes or wanted.max_bytes
    window_began_s, window_bytes = time.monotonic(), 0
    try:
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            if not start:
                _write_claims(part, claims)
            while block := _read_block(page, limits):
                if size == 0 and looks_like_html(block):
                    raise SourceError("answers with a web page, not with the file")
                if size + len(block) > most:
                    raise SourceError(f"sends more than {most} bytes")
                file.write(block)
                size += len(block)
                on_bytes(size, claims.total)
                window_bytes += len(block)
                window_s = time.monotonic() - window_began_s
                if window_s > limits.stall_timeout_s:
                    if window_bytes < _MIN_BYTES_PER_S * window_s:
                        raise TryAgain(f"sent {window_bytes} bytes in {window_s:.0f} s")
                    window_began_s, window_bytes = time.monotonic(), 0
    except OSError as error:
        raise StyleFaceVError(f"cannot write {part}: {error.strerror}") from error
    expected = claims.total if claims.total is not None else wanted.bytes
    if expected is not None and size != expected:
        raise TryAgain(f"broke off after {size} of {expected} bytes")


def _read_block(page: Page, limits: Limits) -> bytes:
    try:
        # Of `read`, `iter_content` and `read1` only the last gives what has come without waiting
        # for more, so that bytes that trickle in are seen to do so.
        return page.raw.read1(_BLOCK_BYTES, decode_content=False)
    except urllib3.exceptions.ReadTimeoutError as error:
        raise TryAgain(f"sent nothing for {limits.stall_timeout_s:.0f} s") from error
    except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
        raise TryAgain(f"broke off ({system_reason(error)})") from error


def looks_like_html(block: bytes) -> bool:
    """Whether a web page begins so: an error page, or a login for the network."""
    begin = block[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return begin.startswith((b"<!doctype html", b"<html", b"<head", b"<!--", b"<?xml"))


def _size_of(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _claims_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_claims(part: Path) -> Claims | None:
    try:
        return build(Claims, json.loads(_claims_path(part).read_text(encoding="utf-8")), "claims")
    except (OSError, ValueError, RecursionError, UsageError):
        return None


def _write_claims(part: Path, claims: Claims) -> None:
    write_atomic(_claims_path(part), json.dumps(asdict(claims)).encode())
