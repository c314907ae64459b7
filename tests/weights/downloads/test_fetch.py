"""Downloads against a server that does everything wrong."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from faulty_server import Answer, FaultyServer, Handler, honest, in_turn, send
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stylefacev_cli.errors import IntegrityError, MissingWeightsError, StyleFaceVError, UsageError
from stylefacev_cli.weights.downloads import cache, transfer
from stylefacev_cli.weights.downloads.connection import Limits, remote
from stylefacev_cli.weights.downloads.failures import SourceError
from stylefacev_cli.weights.downloads.fetch import fetch_entry
from stylefacev_cli.weights.downloads.fetch_options import Options
from stylefacev_cli.weights.downloads.registry import Entry, Licence, Source, WeightFile
from stylefacev_cli.weights.downloads.transfer import Expected, fetch_to

BODY = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
FREE = Licence("CC0-1.0", "any use", non_commercial=False)
FAST: dict[str, Any] = {"retries": 2, "first_wait_s": 0.01, "stall_timeout_s": 0.3}


class Notes:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.progress: list[tuple[int, int | None]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def bytes(self, what: str, done: int, total: int | None) -> None:
        self.progress.append((done, total))


def entry(*urls: str, sha256: str | None = SHA256, num_bytes: int | None = None) -> Entry:
    sources = tuple(Source(url=url) for url in urls)
    file = WeightFile("thing/thing.bin", sources, bytes=num_bytes, sha256=sha256)
    return Entry("thing", "a test", "", FREE, (file,))


def fetch(server: FaultyServer, *handlers: Handler, **facts: Any) -> bytes:
    server.handlers["a"] = in_turn(*handlers)
    (path,) = fetch_entry(entry(f"{server.url}/a", **facts), Options(**FAST), Notes())
    return path.read_bytes()


def breaking_at(stop: int, body: bytes = BODY, **headers: Any) -> Handler:
    return lambda request: send(request, body, stop, **headers)


def leftovers() -> list[str]:
    """Files of the cache that are neither finished ones nor locks."""
    paths = [path for path in cache.assets_folder().rglob("*") if path.is_file()]
    known = ("thing.bin", "index.json", "lock", "index.lock")
    return [path.name for path in paths if path.name not in known]


def test_fetches_once(server: FaultyServer) -> None:
    notes = Notes()
    server.handlers["a"] = honest(BODY)
    expected = entry(f"{server.url}/a")
    (path,) = fetch_entry(expected, Options(**FAST), notes)
    assert path == cache.assets_folder() / "thing" / "thing.bin" and path.read_bytes() == BODY
    assert notes.progress[-1] == (len(BODY), len(BODY)) and leftovers() == []
    assert fetch_entry(expected) == [path] and len(server.requests) == 1


def test_a_dropped_connection_is_resumed(server: FaultyServer) -> None:
    handlers = breaking_at(100_000), breaking_at(200_000), honest(BODY)
    assert fetch(server, *handlers) == BODY
    assert server.ranges == [None, "bytes=100000-", "bytes=200000-"]
    assert [headers.get("If-Range") for _, headers in server.requests] == [None, '"1"', '"1"']


def test_resuming_needs_no_hash_where_the_server_names_its_version(server: FaultyServer) -> None:
    assert fetch(server, breaking_at(100_000), honest(BODY), sha256=None) == BODY
    assert server.ranges == [None, "bytes=100000-"]


def test_without_version_and_hash_nothing_is_pieced_together(server: FaultyServer) -> None:
    handlers = breaking_at(100_000, etag=None), honest(OTHER, etag=None)
    assert fetch(server, *handlers, sha256=None) == OTHER
    assert server.ranges == [None, None]


def test_stalls_time_out(server: FaultyServer) -> None:
    def stall(request: Answer) -> None:
        send(request, BODY, 50_000)
        server.open_end.wait(20)

    assert fetch(server, stall, honest(BODY)) == BODY
    assert server.ranges == [None, "bytes=50000-"]
    assert server.overlaps == [0, 1]  # it did not wait for the end of the stall


def test_trickles_time_out(server: FaultyServer) -> None:
    def trickle(request: Answer) -> None:
        send(request, BODY, 0)
        for byte in BODY[:100]:
            request.write(bytes([byte]))
            if server.open_end.wait(0.05):
                return

    assert fetch(server, trickle, honest(BODY)) == BODY
    assert server.overlaps == [0, 1]  # it did not wait for the end of the trickle


def test_a_length_that_is_too_long(server: FaultyServer) -> None:
    def lie(request: Answer) -> None:
        request.head(200, Content_Length=len(BODY) + 1000, ETag='"1"')
        request.write(BODY)

    with pytest.raises(MissingWeightsError, match="thing.bin at .* by hand"):
        fetch(server, lie, sha256=None)
    assert not cache.path_of(entry().files[0]).exists()
    assert fetch(server, lie, honest(BODY), sha256=None) == BODY


@pytest.mark.parametrize("length", [1000, len(BODY) + 1])
def test_a_length_that_is_not_the_registrys(server: FaultyServer, length: int) -> None:
    def lie(request: Answer) -> None:
        request.head(200, Content_Length=length)
        request.write(BODY[:length])

    with pytest.raises(MissingWeightsError, match=f"a file of {length} bytes, {len(BODY)} exp"):
        fetch(server, lie, num_bytes=len(BODY))


def test_more_bytes_than_expected(server: FaultyServer) -> None:
    def endless(request: Answer) -> None:
        request.head(200)
        for _ in range(1000):
            request.write(bytes(100_000))

    with pytest.raises(MissingWeightsError, match="sends more than 300000 bytes"):
        fetch(server, endless, num_bytes=len(BODY))
    with pytest.raises(MissingWeightsError, match="not say how long"):
        fetch(server, endless, sha256=None)


def test_the_file_changes_and_the_server_says_so(server: FaultyServer) -> None:
    sha256 = hashlib.sha256(OTHER).hexdigest()
    handlers = breaking_at(100_000), honest(OTHER, etag='"2"')
    assert fetch(server, *handlers, sha256=sha256) == OTHER
    assert server.ranges == [None, "bytes=100000-"]


def test_the_file_changes_and_the_server_ignores_if_range(server: FaultyServer) -> None:
    def careless(request: Answer) -> None:
        length, start = len(OTHER), request.start
        range_ = {"Content_Range": f"bytes {start}-{length - 1}/{length}"} if start else {}
        request.head(206 if start else 200, Content_Length=length - start, ETag='"2"', **range_)
        request.write(OTHER[start:])

    assert fetch(server, breaking_at(100_000), careless, sha256=None) == OTHER
    assert server.ranges == [None, "bytes=100000-", None]


def test_the_file_changes_and_nothing_tells(server: FaultyServer) -> None:
    sha256 = hashlib.sha256(OTHER).hexdigest()
    handlers = breaking_at(100_000, etag=None), honest(OTHER, etag=None)
    assert fetch(server, *handlers, sha256=sha256) == OTHER
    assert server.ranges == [None, "bytes=100000-", None]


def test_a_server_without_ranges_starts_again(server: FaultyServer) -> None:
    def whole(request: Answer) -> None:
        request.head(200, Content_Length=len(BODY), ETag='"1"')
        request.write(BODY)

    assert fetch(server, breaking_at(100_000), whole) == BODY


@pytest.mark.parametrize("said", ["bytes 99-299999/300000", "bytes 100000-200000/300000", "x", ""])
def test_a_wrong_content_range_is_not_used(server: FaultyServer, said: str) -> None:
    def wrong(request: Answer) -> None:
        request.head(206, Content_Range=said, Content_Length=200_000, ETag='"1"')
        request.write(BODY[100_000:])

    assert fetch(server, breaking_at(100_000), wrong, honest(BODY)) == BODY
    assert server.ranges == [None, "bytes=100000-", None]


def test_busy_servers_are_asked_again_when_they_wish(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits_s: list[float] = []
    monkeypatch.setattr(transfer.time, "sleep", waits_s.append)

    def busy(request: Answer) -> None:
        request.head(503, Retry_After=1, Content_Length=0)

    assert fetch(server, busy, honest(BODY)) == BODY
    assert waits_s == [1]
    server.requests.clear()
    cache.remove(entry())

    def very_busy(request: Answer) -> None:
        request.head(429, Retry_After=86400, Content_Length=0)

    with pytest.raises(MissingWeightsError, match="status 429; it asks to wait 86400 s"):
        fetch(server, very_busy)
    assert len(server.requests) == 1


def test_retries_end(server: FaultyServer) -> None:
    with pytest.raises(MissingWeightsError, match="status 500"):
        fetch(server, lambda request: request.head(500, Content_Length=0))
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("http://localhost/b", "only https is followed"),
        ("https://127.0.0.1/b", "not among the hosts"),
        ("ftp://localhost/b", "only https"),
        ("file:///etc/passwd", "only https"),
        ("//evil.example/b", "not among the hosts"),
        ("https://[", "no address"),
        ("/a", "redirects more than"),
    ],
)
def test_redirects_are_checked(server: FaultyServer, location: str, message: str) -> None:
    with pytest.raises(MissingWeightsError, match=message):
        fetch(server, lambda request: request.head(302, Location=location, Content_Length=0))


def test_redirects_on_the_same_host_are_followed(server: FaultyServer) -> None:
    server.handlers["b"] = honest(BODY)
    assert fetch(server, lambda r: r.head(307, Location="b", Content_Length=0)) == BODY


def test_the_body_of_a_redirect_is_not_read(server: FaultyServer) -> None:
    def endless(request: Answer) -> None:
        request.head(302, Location="/b")
        while not server.open_end.wait(0.01):
            request.write(bytes(1000))

    server.handlers["b"] = honest(BODY)
    assert fetch(server, endless) == BODY


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_web_pages_are_refused(server: FaultyServer, kind: str) -> None:
    page = b"\n<!DOCTYPE html><title>Log in to the network</title>"
    with pytest.raises(MissingWeightsError, match="web page"):
        fetch(server, honest(page, Content_Type=kind), sha256=None)
    assert not cache.path_of(entry().files[0]).exists()


@pytest.mark.parametrize("status", [401, 403, 404, 410, 418])
def test_refusals_are_final(server: FaultyServer, status: int) -> None:
    with pytest.raises(MissingWeightsError, match=str(status)):
        fetch(server, lambda request: request.head(status, Content_Length=0))
    assert len(server.requests) == 1


def test_packed_bodies_are_refused(server: FaultyServer) -> None:
    with pytest.raises(MissingWeightsError, match="packed"):
        fetch(server, honest(BODY, Content_Encoding="gzip"))


def test_sources_go_in_order_and_each_failure_is_told(server: FaultyServer) -> None:
    server.handlers |= {"bad": honest(OTHER), "good": honest(BODY)}
    urls = [f"{server.url}/{name}" for name in ("gone", "bad", "good")]
    notes = Notes()
    (path,) = fetch_entry(entry(*urls), Options(**FAST), notes)
    assert path.read_bytes() == BODY and leftovers() == []
    told = "\n".join(notes.notes)
    assert "/gone: no longer has it (status 404)" in told and "/bad: what came from" in told
    cache.remove(entry())
    with pytest.raises(IntegrityError, match="404.*SHA-256.*by hand") as caught:
        fetch_entry(entry(*urls[:2]), Options(**FAST), notes)
    assert "\n" not in str(caught.value) and leftovers() == []


def test_trust_on_first_use(server: FaultyServer) -> None:
    server.handlers["a"] = honest(BODY)
    expected, notes = entry(f"{server.url}/a", sha256=None), Notes()
    (path,) = fetch_entry(expected, Options(**FAST), notes)
    assert SHA256 in notes.notes[-1] and "trusted" in notes.notes[-1]
    fetch_entry(expected, Options(**FAST), notes)
    assert len(notes.notes) == 2

    assert cache.state_of(expected.files[0]) == "present"
    path.write_bytes(OTHER)
    assert cache.state_of(expected.files[0]) == "damaged"
    with pytest.raises(IntegrityError, match="first seen"):
        fetch_entry(expected, Options(**FAST))
    cache.remove(expected)
    server.handlers["a"] = honest(OTHER)
    with pytest.raises(IntegrityError, match="first seen"):
        fetch_entry(expected, Options(**FAST))
    assert not path.exists()
    cache.remove(expected, forget=True)
    fetch_entry(expected, Options(**FAST))
    assert path.read_bytes() == OTHER


def test_known_first_digits_are_compared(server: FaultyServer) -> None:
    server.handlers["a"] = honest(OTHER)
    source = Source(url=f"{server.url}/a")
    file = WeightFile("thing/thing.bin", (source,), sha256_begins=SHA256[:8])
    with pytest.raises(IntegrityError, match="SHA-256"):
        fetch_entry(Entry("thing", "", "", FREE, (file,)), Options(**FAST))


def test_the_mirror_goes_first_and_is_checked(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLEFACEV_MIRROR", f"{server.url}/mirror/")
    server.handlers |= {"mirror/thing/thing.bin": honest(OTHER), "a": honest(BODY)}
    expected = entry(f"{server.url}/a")
    fetch_entry(expected, Options(**FAST))
    assert [path for path, _ in server.requests] == ["/mirror/thing/thing.bin", "/a"]
    server.handlers["mirror/thing/thing.bin"] = honest(BODY)
    cache.remove(expected)
    fetch_entry(expected, Options(**FAST))
    assert len(server.requests) == 3
    with pytest.raises(UsageError, match="mirror"):
        Options(mirror="http://localhost/")


def test_offline_opens_no_socket(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(MissingWeightsError, match="downloads are off: put thing.bin at .* by hand"):
        fetch_entry(entry("https://localhost/a"), Options(offline=True))
    monkeypatch.setenv("STYLEFACEV_OFFLINE", "1")
    with pytest.raises(MissingWeightsError, match="downloads are off"):
        fetch_entry(entry("https://localhost/a"))
    path = cache.path_of(entry().files[0])
    path.parent.mkdir(parents=True)
    path.write_bytes(BODY)  # by hand
    assert fetch_entry(entry("https://localhost/a")) == [path]


def test_an_untrusted_certificate(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with pytest.raises(MissingWeightsError, match="certificate of localhost is not trusted"):
        fetch(server, honest(BODY))


def test_proxies_are_used(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def refuse() -> None:
            connection, _ = proxy.accept()
            with connection:
                asked.append(connection.recv(1000).split(b"\r\n")[0])
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("NO_PROXY", "")
        expected = entry("https://weights.invalid/a")
        with pytest.raises(MissingWeightsError, match="through the proxy"):
            fetch_entry(expected, Options(retries=0))
        thread.join()
    assert [line.split()[:2] for line in asked] == [[b"CONNECT", b"weights.invalid:443"]]


def test_an_unfinished_download_of_another_version_is_thrown_away(server: FaultyServer) -> None:
    with pytest.raises(MissingWeightsError):
        fetch(server, breaking_at(100_000), lambda r: r.head(404, Content_Length=0))
    assert any(name.endswith(".part") for name in leftovers())
    sha256 = hashlib.sha256(OTHER).hexdigest()
    assert fetch(server, honest(OTHER, etag='"2"'), sha256=sha256) == OTHER
    assert server.ranges[-1] == "bytes=100000-" and leftovers() == []


def test_a_finished_part_is_taken_as_it_is(server: FaultyServer) -> None:
    def slow_end(request: Answer) -> None:
        send(request, BODY, len(BODY))

    part = cache.part_folder(entry().files[0])
    server.handlers["a"] = slow_end
    expected = entry(f"{server.url}/a")
    (path,) = fetch_entry(expected, Options(**FAST))
    part_name = hashlib.sha256(f"{server.url}/a".encode()).hexdigest()[:16]
    os.replace(path, part / f"{part_name}.part")  # as if killed before the renaming
    claims = f'{{"etag": "x", "last_modified": null, "total": {len(BODY)}}}'
    (part / f"{part_name}.part.json").write_text(claims)
    fetch_entry(expected, Options(**FAST))
    assert path.read_bytes() == BODY and len(server.requests) == 1


def test_an_unwritable_cache(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path(os.environ["STYLEFACEV_HOME"])
    home.write_text("not a folder")
    with pytest.raises(StyleFaceVError, match="cannot write"):
        fetch(server, honest(BODY))


def test_licences_are_accepted_first(home: Path) -> None:
    bound = Licence("NC", "no commerce", non_commercial=True)
    expected = Entry("bound", "", "", bound, entry("https://localhost/a").files)
    with pytest.raises(UsageError, match="licence to accept first .*weights download bound"):
        fetch_entry(expected)
    assert cache.accepted_licences() == []
    cache.accept_licence("bound")
    assert cache.accepted_licences() == ["bound"]


def test_a_damaged_index_is_told(home: Path) -> None:
    folder = cache.assets_folder()
    folder.mkdir(parents=True)
    path = cache.path_of(entry().files[0])
    path.parent.mkdir()
    path.write_bytes(BODY)
    for text in ("{", "[]", '{"files": 3}', '{"files": {"a": {"sha256": 3}}}', "[" * 100_000):
        (folder / "index.json").write_text(text)
        with pytest.raises(IntegrityError, match="index.json is damaged"):
            fetch_entry(entry(sha256=None))
        assert fetch_entry(entry()) == [path]  # where the hash is published it does not matter


def confirm_page(action: str) -> bytes:
    """What Google Drive shows before large files, in its essentials."""
    hidden = {"id": "FILE-ID", "export": "download", "confirm": "t", "uuid": "1-2"}
    fields = "".join(f'<input type="hidden" name="{k}" value="{v}">' for k, v in hidden.items())
    search = '<form id="search" action="/wrong"><input name="q" value="x"></form>'
    form = f'<form id="download-form" action="{action}" method="get">{fields}</form>'
    return f"<!DOCTYPE html><html><body>{search}{form}</body></html>".encode()


@pytest.mark.parametrize("action", ["{url}/download", "/download", "{url}/download?a=b"])
def test_the_confirm_page_is_answered(server: FaultyServer, tmp_path: Path, action: str) -> None:
    page = confirm_page(action.format(url=server.url))
    server.handlers |= {"uc": honest(page, Content_Type="text/html"), "download": honest(BODY)}
    place = remote(f"{server.url}/uc?id=FILE-ID", confirms=True)
    expected = Expected(None, 10**6, is_hashed=False)
    limits = Limits(retries=0)
    assert not fetch_to(tmp_path / "x", place, expected, limits, lambda *_: None, print)
    assert (tmp_path / "x").read_bytes() == BODY
    assert server.requests[-1][0].endswith("id=FILE-ID&export=download&confirm=t&uuid=1-2")


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (confirm_page("http://localhost/x"), "only https"),
        (confirm_page("https://evil.example/x"), "not among the hosts"),
        (b"<html>Quota exceeded", "too many people"),
        (b"<html>Sign in", "file is gone"),
        (confirm_page("/uc"), "web page"),
    ],
)
def test_other_pages_of_drive(
    server: FaultyServer, tmp_path: Path, page: bytes, message: str
) -> None:
    server.handlers["uc"] = honest(page, Content_Type="text/html; charset=utf-8")
    place = remote(f"{server.url}/uc", confirms=True)
    expected = Expected(None, 10**6, is_hashed=False)
    with pytest.raises(SourceError, match=message):
        fetch_to(tmp_path / "x", place, expected, Limits(retries=0), lambda *_: None, print)


FAULTS = st.one_of(
    st.tuples(st.just("drop"), st.integers(0, len(BODY))),
    st.tuples(st.just("ignore range"), st.integers(0, len(BODY))),
    st.tuples(st.just("wrong range"), st.integers(0, len(BODY))),
    st.tuples(st.just("other file"), st.integers(0, len(BODY))),
    st.tuples(st.just("status"), st.sampled_from([408, 429, 500, 502, 503, 504])),
    st.tuples(st.just("no range"), st.just(0)),
)


def faulty(kind: str, number: int) -> Handler:
    def answer(request: Answer) -> None:
        if kind == "drop":
            send(request, BODY, number)
        elif kind == "ignore range":
            request.head(200, Content_Length=len(BODY), ETag='"1"')
            request.write(BODY[:number])
        elif kind == "wrong range":
            said = f"bytes {number}-{len(BODY) - 1}/{len(BODY)}"
            request.head(206, Content_Range=said, ETag='"1"')
            request.write(BODY[number:])
        elif kind == "other file":
            send(request, OTHER, number, etag='"2"')
        else:
            request.head(number or 416, Content_Length=0)

    return answer


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(faults=st.lists(FAULTS, max_size=6), etag=st.sampled_from(['"1"', None]))
def test_any_row_of_faults_ends_with_the_right_bytes(
    server: FaultyServer, faults: list[tuple[str, int]], etag: str | None
) -> None:
    cache.remove(entry())
    handlers = [faulty(kind, number) for kind, number in faults]
    server.handlers["a"] = in_turn(*handlers, honest(BODY, etag=etag))
    options = Options(retries=20, first_wait_s=0.0)
    try:
        (path,) = fetch_entry(entry(f"{server.url}/a"), options)
    except IntegrityError:  # another file came whole
        assert ("other file", len(BODY)) in faults
        return
    assert path.read_bytes() == BODY and leftovers() == []
