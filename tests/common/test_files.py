"""Atomic writes: a file is there as a whole or as it was, whatever happens."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from leftovers import gone_process, left_by

from stylefacev_cli.common import files
from stylefacev_cli.common.files import (
    atomic_path,
    final_name,
    move_synced,
    replacing,
    write_atomic,
    write_file,
    write_json,
)
from stylefacev_cli.errors import StyleFaceVError


@pytest.mark.parametrize("synced", [False, True])
def test_a_file_appears_when_it_is_whole(tmp_path: Path, synced: bool) -> None:
    target = tmp_path / "a.txt"
    write_atomic(target, b"old", synced=synced)
    with atomic_path(target, synced=synced) as part:
        part.write_bytes(b"new")
        assert target.read_bytes() == b"old" and final_name(part) == target
    assert target.read_bytes() == b"new" and list(tmp_path.iterdir()) == [target]
    with pytest.raises(KeyboardInterrupt), atomic_path(target, synced=synced) as part:
        part.write_bytes(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"new" and list(tmp_path.iterdir()) == [target]


def test_a_temporary_file_can_be_replaced_itself(tmp_path: Path) -> None:
    """As a video is when it gets its sound."""
    target = tmp_path / "a.mp4"
    with replacing(target) as part:
        part.write_bytes(b"silent")
        with replacing(part) as again:
            assert again != part and final_name(again) == target
            again.write_bytes(part.read_bytes() + b" and loud")
    assert target.read_bytes() == b"silent and loud" and list(tmp_path.iterdir()) == [target]


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    me, target = os.getpid(), tmp_path / "b.mp4"
    own_start = files._start_of(me)
    assert own_start is not None
    gone = left_by(target, gone_process())
    number_reused = left_by(target, me, start=own_start + 1)
    old_elsewhere = left_by(target, me, machine="ffffff")
    kept = [
        left_by(target, os.getppid()),
        left_by(target, me, start=own_start),
        left_by(tmp_path / "c.mp4", me, machine="ffffff"),
        tmp_path / f".b.mp4.{gone_process()}.part",  # of somebody else
        tmp_path / "b.part",
    ]
    for path in (gone, old_elsewhere, *kept):
        path.touch()
    number_reused.mkdir()
    (number_reused / "000000.png").touch()
    os.utime(old_elsewhere, (0, 0))
    write_file(tmp_path / "a.txt", b"")  # another name: the folder is looked through once
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a.txt", *kept])


def test_a_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[Path] = []
    real = os.scandir

    def scandir(folder: Path) -> object:
        listed.append(folder)
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    for number in range(3):
        write_file(tmp_path / f"{number}.txt", b"")
    assert listed == [tmp_path]


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127 + "a"])
def test_a_name_may_have_all_bytes_that_a_name_can(tmp_path: Path, name: str) -> None:
    with replacing(tmp_path / name) as part:
        assert len(os.fsencode(part.name)) <= 255
        part.write_bytes(b"x")
    assert os.listdir(tmp_path) == [name]


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    for content in (b"old", b"new"):
        with replacing(tmp_path / "frames", is_folder=True) as part:
            (part / "0.png").write_bytes(content)
    assert (tmp_path / "frames" / "0.png").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["frames"]


def test_a_name_that_is_no_utf_8_stands_in_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.mp4")
    write_json(tmp_path / "a.json", {"file": name, "é": 1})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"file": name, "é": 1}


def test_whose_error_it_is(tmp_path: Path) -> None:
    nowhere = tmp_path / "missing" / "a.txt"
    with pytest.raises(StyleFaceVError, match=r"cannot write .*choose another --out"):
        write_file(nowhere, b"")
    with pytest.raises(FileNotFoundError):
        write_atomic(nowhere, b"")


def test_a_download_is_moved_into_a_folder_that_is_made(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"x")
    move_synced(tmp_path / "part", tmp_path / "deep" / "a")
    assert (tmp_path / "deep" / "a").read_bytes() == b"x"


def test_a_planted_link_is_not_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even by somebody who guesses the name."""
    victim, guessed = tmp_path / "victim", tmp_path / "guessed.part"
    victim.write_text("mine")
    guessed.symlink_to(victim)
    monkeypatch.setattr(files, "part_beside", lambda target: guessed)
    with pytest.raises(StyleFaceVError, match=r"cannot write .*a\.txt: File exists"):
        write_file(tmp_path / "a.txt", b"new")
    assert victim.read_text() == "mine" and guessed.is_symlink()
    assert not (tmp_path / "a.txt").exists()
