"""One file out of an archive, whatever else the archive holds or claims."""

from __future__ import annotations

import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylefacev_cli.errors import IntegrityError, StyleFaceVError
from stylefacev_cli.weights.download.members import choose_member, copy_member

BODY = b"weights" * 100


def make_tar(path: Path, names: list[str], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            info.size = len(BODY) if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(BODY))
    return path


def make_zip(path: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(zipfile.ZipInfo(name), BODY)
    return path


@pytest.mark.parametrize("make", [make_tar, make_zip])
@pytest.mark.parametrize("member", ["top/models/a.pth", "models/a.pth", "a.pth"])
def test_by_its_path_or_the_end_of_it(tmp_path: Path, make: object, member: str) -> None:
    assert callable(make)
    archive = make(tmp_path / "x", ["top/models/a.pth", "top/xa.pth", "../../evil", "/etc/evil"])
    copy_member(archive, member, tmp_path / "out", len(BODY))
    assert (tmp_path / "out").read_bytes() == BODY
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "x"]


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_none_more_than_one_and_too_large(tmp_path: Path, make: object) -> None:
    assert callable(make)
    archive, out = make(tmp_path / "x", ["a/w.pth", "b/w.pth", "c.pth"]), tmp_path / "out"
    with pytest.raises(IntegrityError, match="x holds more than one file w.pth"):
        copy_member(archive, "w.pth", out, 10**6)
    with pytest.raises(IntegrityError, match="x holds no file d.pth"):
        copy_member(archive, "d.pth", out, 10**6)
    with pytest.raises(IntegrityError, match="700 bytes; 699 are the most"):
        copy_member(archive, "c.pth", out, 699)
    assert not out.exists()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(IntegrityError, match="no plain file"):
        copy_member(make_tar(tmp_path / "x", ["a.pth"], kind), "a.pth", tmp_path / "out", 10**6)


def test_links_in_zips_are_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("a.pth")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x", "w") as file:
        file.writestr(info, "/etc/passwd")
    with pytest.raises(IntegrityError, match="no plain file"):
        copy_member(tmp_path / "x", "a.pth", tmp_path / "out", 10**6)


def test_a_bomb_is_refused_by_what_it_claims_or_what_it_holds(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.pth", bytes(5_000_000))
    with pytest.raises(IntegrityError, match="are the most"):
        copy_member(bomb, "a.pth", tmp_path / "out", 10_000)
    # Let it claim a hundred bytes, in the list at the end and in front of the file.
    data = bytearray(bomb.read_bytes())
    size = (5_000_000).to_bytes(4, "little")
    while (at := data.find(size)) >= 0:
        data[at : at + 4] = (100).to_bytes(4, "little")
    bomb.write_bytes(data)
    with pytest.raises(IntegrityError):
        copy_member(bomb, "a.pth", tmp_path / "out", 10_000)
    assert not (tmp_path / "out").exists() or (tmp_path / "out").stat().st_size <= 100


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_damaged_archives(tmp_path: Path, make: object) -> None:
    assert callable(make)
    whole = make(tmp_path / "x", ["a.pth", "b.pth"]).read_bytes()
    for number, data in enumerate([b"", b"PK\x03\x04", whole[:40], whole[: len(whole) // 2]]):
        path = tmp_path / f"x{number}"
        path.write_bytes(data)
        with pytest.raises(IntegrityError) as caught:
            copy_member(path, "b.pth", tmp_path / "out", 10**6)
        assert f"x{number}" in str(caught.value)
    with pytest.raises(StyleFaceVError):
        copy_member(tmp_path / "none", "b.pth", tmp_path / "out", 10**6)


names = st.lists(st.from_regex(r"(/|\.\./|[a-c]/|\./){0,3}[a-c.]{1,3}", fullmatch=True), max_size=6)


@given(names, st.sampled_from(["a", "b/a", "a/b/c", "..", "a."]))
def test_any_names(found: list[str], member: str) -> None:
    try:
        name = choose_member(found, member, "x")
    except IntegrityError:
        exact = found.count(member)
        assert exact > 1 or (exact == 0 and sum(n.endswith(f"/{member}") for n in found) != 1)
        return
    assert name in found and (name == member or name.endswith(f"/{member}"))


@given(st.binary(max_size=200), st.integers(0, 400), st.booleans())
def test_any_bytes(noise: bytes, at: int, is_tar: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        data = (make_tar if is_tar else make_zip)(path, ["a.pth", "b.pth"]).read_bytes()
        path.write_bytes(data[:at] + noise + data[at + len(noise) :])
        try:
            copy_member(path, "a.pth", Path(folder) / "out", 10_000)
        except IntegrityError:
            return
        assert (Path(folder) / "out").stat().st_size <= 10_000
