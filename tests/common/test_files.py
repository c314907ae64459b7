"""Atomic writes: a file is there as a whole or as it was, whatever happens."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from stylefacev_cli.common.files import (
    atomic_path,
    final_name,
    move_synced,
    replacing,
    write_atomic,
    write_file,
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
    """As a video is when it gets its sound; what a killed process leaves of either goes."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    for orphan in (f".a.mp4.{gone.pid}.part", f".a.mp4.{gone.pid}.again.part"):
        (tmp_path / orphan).write_bytes(b"")
    target = tmp_path / "a.mp4"
    with replacing(target) as part:
        part.write_bytes(b"silent")
        with replacing(part) as again:
            assert again != part and final_name(again) != again
            again.write_bytes(part.read_bytes() + b" and loud")
    assert target.read_bytes() == b"silent and loud" and list(tmp_path.iterdir()) == [target]


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


def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / f".a.txt.{os.getpid()}.part").symlink_to(victim)
    write_atomic(tmp_path / "a.txt", b"new")
    assert victim.read_text() == "mine"
    assert (tmp_path / "a.txt").read_text() == "new" and not (tmp_path / "a.txt").is_symlink()
