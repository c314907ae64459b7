"""Files of packages: found where pip's settings say, fetched as data, never run."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from faulty_server import FaultyServer, honest, in_turn

from stylefacev_cli.errors import IntegrityError, MissingWeightsError
from stylefacev_cli.weights.download import cache, package_index
from stylefacev_cli.weights.download.connection import Limits, Remote
from stylefacev_cli.weights.download.failures import SourceError
from stylefacev_cli.weights.download.fetch import fetch_entry
from stylefacev_cli.weights.download.fetch_options import Options
from stylefacev_cli.weights.download.package_index import find_package, link_to, pip_settings
from stylefacev_cli.weights.download.registry import Entry, Licence, PackageFile, Source, WeightFile

FILE = "some_thing-1.0.tar.gz"
BODY = b"numbers" * 1000
LIMITS = Limits(retries=0)
FREE = Licence("CC0-1.0", "any use", non_commercial=False)


def sdist() -> bytes:
    """An sdist whose set-up code would be noticed."""
    with io.BytesIO() as data:
        with tarfile.open(fileobj=data, mode="w:gz") as tar:
            setup = b"raise SystemExit('the set-up code was run')"
            for name, content in (("setup.py", setup), ("weights/a.ckpt", BODY)):
                info = tarfile.TarInfo(f"some_thing-1.0/{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return data.getvalue()


SDIST = sdist()
PACKAGE = PackageFile("Some_Thing", "1.0", FILE, len(SDIST), hashlib.sha256(SDIST).hexdigest())


def entry(package: PackageFile = PACKAGE) -> Entry:
    source = Source(package=package, member="some_thing-1.0/weights/a.ckpt")
    sha256 = hashlib.sha256(BODY).hexdigest()
    file = WeightFile("thing/a.ckpt", (source,), bytes=len(BODY), sha256=sha256)
    return Entry("thing", "a test", "", FREE, (file,))


@pytest.fixture(autouse=True)
def own_settings(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of pip that this test alone makes."""
    for name in ("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "CERT"):
        monkeypatch.delenv(f"PIP_{name}", raising=False)
    path = tmp_path / "pip.conf"
    path.write_text("")
    monkeypatch.setattr(package_index, "_pip_config_list", lambda: [])
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "simple").as_uri())
    return path


def make_index(folder: Path, href: str) -> None:
    page = folder / "simple" / "some-thing" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<a href="x.whl">x</a> <A HREF="{href}#sha256=0">s</A>')


def test_an_index_of_files(tmp_path: Path) -> None:
    make_index(tmp_path, f"../../files/{FILE}")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / FILE).write_bytes(SDIST)
    (path,) = fetch_entry(entry())
    assert path.read_bytes() == BODY
    parts = [p for p in (cache.assets_folder() / ".parts").rglob("*") if p.is_file()]
    assert {p.suffix or p.name for p in parts} == {".lock", "lock"}


def test_find_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / FILE).write_bytes(SDIST)
    for place in (str(tmp_path), tmp_path.as_uri()):
        monkeypatch.setenv("PIP_FIND_LINKS", f"/nowhere {place}")
        assert find_package(PACKAGE, LIMITS) == tmp_path / FILE


@pytest.mark.parametrize("is_json", [False, True])
def test_an_index_at_https(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch, is_json: bool
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", server.url.replace("//", "//me:secret@") + "/simple")
    file = f"../../files/{FILE}"
    page = f'<a href="{file}">{FILE}</a>'
    kind = "text/html"
    if is_json:
        page = json.dumps({"files": [{"filename": FILE, "url": file}]})
        kind = "application/vnd.pypi.simple.v1+json"
    server.handlers["simple/some-thing/"] = honest(page.encode(), Content_Type=kind)
    server.handlers[f"files/{FILE}"] = honest(SDIST)
    (path,) = fetch_entry(entry(), Options(retries=0))
    assert path.read_bytes() == BODY
    asked = [address for address, _ in server.requests]
    assert asked == ["/simple/some-thing/", f"/files/{FILE}"]
    assert all(headers["Authorization"] == "Basic bWU6c2VjcmV0" for _, headers in server.requests)


def test_a_busy_index_is_asked_again(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    page = honest(f'<a href="/{FILE}">'.encode(), Content_Type="text/html")
    server.handlers["simple/some-thing/"] = in_turn(lambda r: r.head(503, Content_Length=0), page)
    server.handlers[FILE] = honest(SDIST)
    fetch_entry(entry(), Options(retries=1, first_wait_s=0.01))
    assert len(server.requests) == 3
    assert not any("Authorization" in headers for _, headers in server.requests)


def test_passwords_go_to_no_other_host(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is linked to on the same machine, but under another name."""
    monkeypatch.setenv("PIP_INDEX_URL", server.url.replace("//", "//me:secret@") + "/simple")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "localhost,127.0.0.1")
    other = server.url.replace("localhost", "127.0.0.1")
    page = honest(f'<a href="{other}/{FILE}">'.encode(), Content_Type="text/html")
    server.handlers |= {"simple/some-thing/": page, FILE: honest(SDIST)}
    fetch_entry(entry(), Options(retries=0))
    assert ["Authorization" in headers for _, headers in server.requests] == [True, False]


def test_passwords_stay_out_of_messages(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", server.url.replace("//", "//me:secret@") + "/simple")
    with pytest.raises(MissingWeightsError, match="no package index of pip has some_thing") as got:
        fetch_entry(entry(), Options(retries=0))
    assert "secret" not in str(got.value) and "404" in str(got.value)


@pytest.mark.parametrize(
    "address", ["http://localhost/simple", "ftp://localhost/simple", "https://localhost:1/simple"]
)
def test_indexes_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", address)
    with pytest.raises(SourceError, match="no package index of pip has"):
        find_package(PACKAGE, LIMITS)


def test_another_file_of_that_name_is_refused(tmp_path: Path) -> None:
    make_index(tmp_path, FILE)
    (tmp_path / "simple" / "some-thing" / FILE).write_bytes(SDIST + b"x")
    with pytest.raises(IntegrityError, match=r"some_thing-1.0.tar.gz has SHA-256 .*by hand"):
        fetch_entry(entry())
    assert not cache.path_of(entry().files[0]).exists()


def test_without_pip_the_variables_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setattr(package_index, "_PIP_INTERNALS", "no.such.module")
    with pytest.raises(SourceError, match="PIP_INDEX_URL"):
        find_package(PACKAGE, LIMITS)


def test_pips_own_settings_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_INDEX_URL")
    lines = [
        "global.index-url='https://a.example/simple'",
        "download.index-url='https://b.example/simple'",
        "install.index-url='https://c.example/simple'",
        "global.extra-index-url='file:///x\\nfile:///y'",
        ":env:.cert='/some/ca.pem'",
        "global.cert='/other/ca.pem'",
        "global.timeout='60'",
        "nonsense",
    ]
    monkeypatch.setattr(package_index, "_pip_config_list", lambda: lines)
    assert pip_settings() == {
        "index-url": "https://b.example/simple",
        "extra-index-url": "file:///x file:///y",
        "cert": "/some/ca.pem",
    }


def test_real_pip_is_asked(
    own_settings: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    own_settings.write_text("[global]\nindex-url = file:///from/pip/conf\n")
    module = "stylefacev_cli.weights.download.package_index"
    script = f"from {module} import pip_settings; print(pip_settings())"
    environment = {"PIP_CONFIG_FILE": str(own_settings), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert "'index-url': 'file:///from/pip/conf'" in done.stdout


def test_links() -> None:
    page = f'<a href="/files/{FILE.replace("_", "%5F")}?x=1">'
    assert link_to(FILE, "https://h/simple/", page) == (
        f"https://h/files/{FILE.replace('_', '%5F')}?x=1"
    )
    assert link_to(FILE, "https://h/", f'<a href="https://[">a</a><b href="{FILE}">') is None
    for damaged in ("{", '{"files": 3}', '{"files": [3]}'):
        with pytest.raises(SourceError, match="damaged"):
            link_to(FILE, "https://h/", damaged)


def test_a_link_elsewhere_allows_only_that_host(tmp_path: Path) -> None:
    make_index(tmp_path, f"https://files.example/{FILE}")
    found = find_package(PACKAGE, LIMITS)
    assert isinstance(found, Remote)
    assert (found.url, found.hosts) == (f"https://files.example/{FILE}", ("files.example",))
