"""Zips of strangers: names, links and sizes are looked at before anything is unpacked."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylefacev_cli.common.untrusted.archives import check_name, member_bytes, open_archive, unpack
from stylefacev_cli.errors import IntegrityError


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_members_are_read_and_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zip_of({"folder/": b"", "folder/a.pth": b"x" * 5000}, zipfile.ZIP_DEFLATED))
    with open_archive(path) as archive:
        assert member_bytes(archive, "folder/a.pth", 5000) == b"x" * 5000
        with pytest.raises(IntegrityError, match="has 5000 bytes, at most 4999"):
            member_bytes(archive, "folder/a.pth", 4999)
        unpack(archive, "folder/a.pth", tmp_path / "mine")
    assert (tmp_path / "mine").read_bytes() == b"x" * 5000


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("/etc/passwd", "it is absolute"),
        ("../a", "it leads out of the archive"),
        ("a/../../b", "it leads out of the archive"),
        ("a\\..\\b", "a backslash or a colon"),
        ("C:a", "a backslash or a colon"),
        ("a//b", "not in its plain form"),
        ("./a", "not in its plain form"),
        ("a\nb", "control characters"),
        ("a" * 600, "empty or too long"),
    ],
)
def test_names_that_lead_elsewhere(tmp_path: Path, name: str, told: str) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zip_of({"good": b"1", name: b"2"}))
    with pytest.raises(IntegrityError, match=told) as caught, open_archive(path):
        pass
    assert "\n" not in str(caught.value)


@settings(max_examples=400, deadline=None)
@given(st.text(min_size=1, max_size=40) | st.from_regex(r"[./\\a:~ ]{1,12}", fullmatch=True))
def test_an_accepted_name_stays_within(name: str) -> None:
    if check_name(name) is not None:
        return
    place = PurePosixPath("/models/here")
    joined = place / name
    assert joined.is_relative_to(place) and ".." not in joined.parts and joined != place
    assert not {"\\", ":", "\0", "\n"} & set(name)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.from_regex(r"(\.\.?|[ab]|/|\\|C:){1,6}", fullmatch=True), max_size=4))
def test_any_names_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    path.write_bytes(zip_of({name: b"x" for name in names}))
    try:
        with open_archive(path) as archive:
            found = archive.namelist()
    except IntegrityError as error:
        assert "\n" not in str(error)
    else:
        assert sorted(found) == sorted(set(names))
        assert all(check_name(name) is None for name in names)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_archives_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("zip")
    content = bytearray(zip_of({"a.pth": b"abc" * 20, "b": b"x"}, zipfile.ZIP_DEFLATED))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "a.zip").write_bytes(content)
    try:
        with open_archive(folder / "a.zip") as archive:
            for name in archive.namelist():
                member_bytes(archive, name, 1000)
    except IntegrityError as error:
        assert "\n" not in str(error)


def test_links_and_devices(tmp_path: Path) -> None:
    for kind, told in ((stat.S_IFLNK, "a link"), (stat.S_IFCHR, "no plain file")):
        info = zipfile.ZipInfo("a")
        info.external_attr = (kind | 0o777) << 16
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr(info, "/etc/passwd")
        with pytest.raises(IntegrityError, match=told), open_archive(tmp_path / "a.zip"):
            pass


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a.pth", "a.pth"), ("a.pth", "A.PTH"), ("é", "e\u0301")])
def test_names_that_are_there_twice(tmp_path: Path, names: tuple[str, str]) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    with pytest.raises(IntegrityError, match="is in it twice"), open_archive(tmp_path / "a.zip"):
        pass


def test_bombs(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zip_of({"a": bytes(20_000_000)}, zipfile.ZIP_DEFLATED))
    with pytest.raises(IntegrityError, match="would grow from"), open_archive(path):
        pass
    path.write_bytes(zip_of({str(i): b"" for i in range(5000)}))
    with pytest.raises(IntegrityError, match="5000 members"), open_archive(path):
        pass
    path.write_bytes(zip_of({"a": bytes(3000), "b": bytes(3000)}))
    with pytest.raises(IntegrityError, match="unpack to 6000"), open_archive(path, max_bytes=5999):
        pass
    twice = zip_of({"a": b"x" * 100, "b": b"x" * 100})
    second = twice.index(b"PK\x01\x02", twice.index(b"PK\x01\x02") + 1)
    overlapping = bytearray(twice)
    overlapping[second + 42 : second + 46] = bytes(4)  # the offset of b: that of a
    path.write_bytes(overlapping)
    with pytest.raises(IntegrityError, match="overlap"), open_archive(path):
        pass


def test_a_directory_that_announces_millions_of_members(tmp_path: Path) -> None:
    content = zip_of({f"{number:05}{'x' * 400}": b"" for number in range(10_000)})
    (tmp_path / "a.zip").write_bytes(content)
    with (
        pytest.raises(IntegrityError, match="its directory has 45"),
        open_archive(tmp_path / "a.zip"),
    ):
        pass


def test_encrypted_and_unusual_members(tmp_path: Path) -> None:
    content = bytearray(zip_of({"a": b"x"}))
    directory = content.index(b"PK\x01\x02")
    content[directory + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(IntegrityError, match="encrypted"), open_archive(tmp_path / "a.zip"):
        pass
    (tmp_path / "a.zip").write_bytes(zip_of({"a": b"x" * 99}, zipfile.ZIP_BZIP2))
    with pytest.raises(IntegrityError, match="unusual"), open_archive(tmp_path / "a.zip"):
        pass
