"""Opening an https address: redirects checked one by one, error answers and web pages recognised.

Proxies, certificates and passwords are those of the environment, as `requests` reads them:
HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE, ~/.netrc.
"""

from __future__ import annotations

import contextlib
import email.utils
import fnmatch
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from stylefacev_cli.weights.downloads.drive_page import DownloadForm
from stylefacev_cli.weights.downloads.failures import SourceError, TryAgain
from stylefacev_cli.weights.downloads.registry import check_url

_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # worth another try
_MAX_REDIRECTS = 10
_MAX_PAGE_BYTES = 2**20

# Where hosts send those who ask them for a file.
_DELIVERING_HOSTS = {
    "huggingface.co": ("*.huggingface.co", "*.hf.co"),
    "drive.google.com": ("*.googleusercontent.com", "drive.usercontent.google.com"),
    "github.com": ("*.githubusercontent.com",),
    "api.ngc.nvidia.com": ("*.ngc.nvidia.com",),
}


@dataclass(frozen=True)
class Limits:
    """How patient a download is."""

    connect_timeout_s: float = 15.0
    stall_timeout_s: float = 60.0  # without a byte, or with next to none
    retries: int = 4  # in a row without getting further
    first_wait_s: float = 1.0  # doubled each time
    longest_wait_s: float = 120.0


@dataclass(frozen=True)
class Remote:
    """An address, and the hosts that it may lead to."""

    url: str
    hosts: tuple[str, ...]  # names, or *.name for all below it
    verify: str | None = None  # certificates to trust, if not those of the environment
    confirms: bool = False  # a page with a form may stand before the file, as on Google Drive
    login: tuple[str, str] | None = None  # name and password, sent to the address's own host only


@dataclass(frozen=True)
class Page:
    """An answer whose body is still to be read."""

    status: int  # 200, 206 or 416
    headers: Mapping[str, str]
    raw: urllib3.HTTPResponse
    is_chunked: bool


class Session(requests.Session):
    """A session that follows no redirects; requests would read their bodies, however long."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Leave redirects to `open_remote`, which checks where they lead."""


def remote(url: str, *more_hosts: str, verify: str | None = None, confirms: bool = False) -> Remote:
    """An address with its own host and those known to deliver for it.

    Raises:
        SourceError: it is no https address.
    """
    try:
        check_url(url)
    except ValueError as error:
        raise SourceError(str(error)) from error
    host = urlsplit(url).hostname or ""
    hosts = (host, *_DELIVERING_HOSTS.get(host, ()), *more_hosts)
    return Remote(url, hosts, verify, confirms)


@contextlib.contextmanager
def open_remote(
    session: requests.Session,
    remote: Remote,
    headers: Mapping[str, str],
    limits: Limits,
    *,
    page_wanted: bool = False,
) -> Iterator[Page]:
    """Ask for a file and look at the answer, not yet at its body.

    Args:
        session: for the cookies between two requests.
        remote: address and hosts.
        headers: of the request.
        limits: patience.
        page_wanted: a web page is what was asked for.

    Raises:
        SourceError: the file is not to be had there.
        TryAgain: it may be, later.
    """
    response = _follow(session, remote.url, remote, headers, limits)
    try:
        if _is_page(response) and remote.confirms:
            form = DownloadForm(response.url, _read_page(response))
            response.close()
            response = _follow(session, form.address(), remote, headers, limits)
        if response.status_code not in (200, 206, 416):
            raise SourceError(f"answers with status {response.status_code}")
        if _is_page(response) and not page_wanted:
            raise SourceError("answers with a web page, not with the file")
        packing = response.headers.get("Content-Encoding", "identity").lower()
        if packing != "identity" and not page_wanted:
            raise SourceError("sends the file packed in a way that was not asked for")
        is_chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        yield Page(response.status_code, response.headers, response.raw, is_chunked)
    finally:
        response.close()


def number_of(header: str | None) -> int | None:
    """A header that should be a number, or None."""
    text = (header or "").strip()
    return int(text) if text.isdecimal() and len(text) < 19 else None


def system_reason(error: BaseException) -> str:
    """The system's own words in an error of the network libraries, which wrap it many times."""
    cause: BaseException | None = error
    for _ in range(10):
        if cause is None:
            break
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def retry_after_s(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or as a date; None without one."""
    if header is None:
        return None
    seconds = number_of(header)
    if seconds is not None:
        return float(seconds)
    try:
        return max(email.utils.parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def _follow(
    session: requests.Session,
    url: str,
    remote: Remote,
    headers: Mapping[str, str],
    limits: Limits,
) -> requests.Response:
    for _ in range(_MAX_REDIRECTS):
        response = _ask(session, url, remote, headers, limits)
        if response.status_code not in _REDIRECTS:
            return _checked(response)
        response.close()
        try:
            url = urljoin(url, response.headers.get("Location", ""))
        except ValueError as error:
            raise SourceError("redirects to something that is no address") from error
    raise SourceError(f"redirects more than {_MAX_REDIRECTS} times")


def _ask(
    session: requests.Session,
    url: str,
    remote: Remote,
    headers: Mapping[str, str],
    limits: Limits,
) -> requests.Response:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError as error:
        raise SourceError("redirects to something that is no address") from error
    if parts.scheme != "https":
        raise SourceError(f"leads to {parts.scheme[:20]}://{host}: only https is followed")
    if not any(fnmatch.fnmatchcase(host, allowed) for allowed in remote.hosts):
        raise SourceError(f"leads to {host}, which is not among the hosts allowed for it")
    try:
        return session.get(
            url,
            headers={"Accept-Encoding": "identity", "User-Agent": "stylefacev", **headers},
            stream=True,
            allow_redirects=False,
            timeout=(limits.connect_timeout_s, limits.stall_timeout_s),
            verify=remote.verify,
            auth=remote.login if parts.netloc == urlsplit(remote.url).netloc else None,
        )
    except requests.exceptions.SSLError as error:
        raise SourceError(f"the certificate of {host} is not trusted") from error
    except requests.exceptions.ProxyError as error:
        raise TryAgain(f"cannot reach {host} through the proxy ({system_reason(error)})") from error
    except requests.exceptions.Timeout as error:
        raise TryAgain(f"{host} does not answer") from error
    except requests.exceptions.ConnectionError as error:
        raise TryAgain(f"cannot reach {host} ({system_reason(error)})") from error
    except (requests.exceptions.RequestException, ValueError, OSError) as error:
        raise SourceError(f"cannot ask {host} ({type(error).__name__})") from error


def _checked(response: requests.Response) -> requests.Response:
    status = response.status_code
    if status in _PASSING:
        response.close()
        wait_s = retry_after_s(response.headers.get("Retry-After"))
        raise TryAgain(f"answers with status {status}", wait_s)
    if status in (401, 403):
        response.close()
        raise SourceError(f"does not give it to us (status {status})")
    if status in (404, 410):
        response.close()
        raise SourceError(f"no longer has it (status {status})")
    return response


def _is_page(response: requests.Response) -> bool:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return response.status_code in (200, 206) and kind in ("text/html", "application/xhtml+xml")


def _read_page(response: requests.Response) -> str:
    try:
        body = response.raw.read(_MAX_PAGE_BYTES, decode_content=True)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise TryAgain(f"broke off ({system_reason(error)})") from error
    text: str = body.decode("utf-8", "replace")
    return text
