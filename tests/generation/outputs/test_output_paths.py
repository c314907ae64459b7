"""Which files are written: names, formats, and what is never overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.generation.outputs.output import sidecar_of
from stylefacev_cli.generation.outputs.output_paths import (
    Target,
    check_writable,
    choose_format,
    grid_shape,
    plan_targets,
    without_existing,
)


@pytest.mark.parametrize(
    ("out", "format_name", "grid", "paths"),
    [
        ("out", "mp4", False, ["out/3.mp4", "out/12.mp4"]),
        ("out/v1.5", "webm", False, ["out/v1.5/3.webm", "out/v1.5/12.webm"]),
        ("out/{seed}.mp4", "mp4", False, ["out/3.mp4", "out/12.mp4"]),
        ("out/face-{seed:04d}.GIF", "gif", False, ["out/face-0003.GIF", "out/face-0012.GIF"]),
        ("{seed:3}/video", "mp4", False, ["003/video.mp4", "012/video.mp4"]),
        ("out", "png", False, ["out/3", "out/12"]),
        ("out/{seed}-frames", "png", False, ["out/3-frames", "out/12-frames"]),
        ("out", "mp4", True, ["out/grid.mp4"]),
        ("out/all.mp4", "mp4", True, ["out/all.mp4"]),
        ("out", "png", True, ["out/grid"]),
    ],
)
def test_names(out: str, format_name: str, grid: bool, paths: list[str]) -> None:
    targets = plan_targets(out, format_name, [3, 12], grid=grid)
    assert [str(target.path) for target in targets] == paths
    assert targets[0].seeds == ((3, 12) if grid else (3,))
    assert str(sidecar_of(targets[0].path)) == paths[0] + ".json"


def test_one_seed_may_name_its_file() -> None:
    assert plan_targets("a/me.mp4", "mp4", [3], grid=False) == [Target((3,), Path("a/me.mp4"))]


@pytest.mark.parametrize(
    ("out", "grid"),
    [
        ("", False),
        ("one.mp4", False),
        ("{}.mp4", False),
        ("{seed!r}.mp4", False),
        ("{seed.real}.mp4", False),
        ("{seed:9999999999}.mp4", False),
        ("{name}.mp4", False),
        ("{seed", False),
        ("seed}.mp4", False),
        ("{seed}.mp4", True),
    ],
)
def test_odd_patterns_are_refused(out: str, grid: bool) -> None:
    with pytest.raises(UsageError, match="--out"):
        plan_targets(out, "mp4", [3, 12], grid=grid)


@pytest.mark.parametrize(
    ("out", "wanted", "chosen"),
    [("o", None, "mp4"), ("o", "gif", "gif"), ("o.webm", None, "webm"), ("o.MKV", "mkv", "mkv")],
)
def test_format(out: str, wanted: str | None, chosen: str) -> None:
    assert choose_format(out, wanted) == chosen


@pytest.mark.parametrize(
    ("out", "wanted"),
    [
        ("o.mp4", "gif"),
        ("o.avi", None),
        ("o.png", "png"),
        ("o.mp5", None),
        ("{seed}.safetensors", None),
        ("o.raw2", "gif"),
    ],
)
def test_format_that_does_not_fit_the_name(out: str, wanted: str | None) -> None:
    with pytest.raises(UsageError, match="--out"):
        choose_format(out, wanted)


def test_existing_videos(tmp_path: Path) -> None:
    targets = plan_targets(str(tmp_path), "mp4", [1, 2], grid=False)
    assert without_existing(targets, "mp4", force=False, skip_existing=False) == targets
    targets[0].path.touch()
    with pytest.raises(UsageError, match="would be overwritten"):
        without_existing(targets, "mp4", force=False, skip_existing=False)
    assert without_existing(targets, "mp4", force=False, skip_existing=True) == targets[1:]
    assert without_existing(targets, "mp4", force=True, skip_existing=False) == targets
    targets[0].path.unlink()
    targets[0].path.symlink_to("nowhere")  # a dangling link is something too
    with pytest.raises(UsageError, match="would be overwritten"):
        without_existing(targets, "mp4", force=False, skip_existing=False)


def test_force_replaces_frames_only(tmp_path: Path) -> None:
    targets = plan_targets(str(tmp_path), "png", [1], grid=False)
    targets[0].path.mkdir()
    (targets[0].path / "000000.png").touch()
    assert without_existing(targets, "png", force=True, skip_existing=False) == targets
    (targets[0].path / "thesis.txt").touch()
    with pytest.raises(UsageError, match="holds other things"):
        without_existing(targets, "png", force=True, skip_existing=False)
    with pytest.raises(UsageError, match="is a folder"):
        without_existing(targets, "mp4", force=True, skip_existing=False)


def test_writable(tmp_path: Path) -> None:
    check_writable([Target((1,), tmp_path / "new" / "deep" / "1.mp4")])
    assert list(tmp_path.iterdir()) == []  # trying leaves nothing
    (tmp_path / "file").touch()
    for bad in (tmp_path / "file" / "1.mp4", Path("/proc/nowhere/1.mp4")):
        with pytest.raises(StyleFaceVError, match="cannot write to"):
            check_writable([Target((1,), bad)])


def test_grid_is_as_square_as_can_be() -> None:
    shapes = [grid_shape(num, 64) for num in (1, 2, 3, 4, 5, 7, 10)]
    assert shapes == [(1, 1), (1, 2), (2, 2), (2, 2), (2, 3), (3, 3), (3, 4)]
    with pytest.raises(UsageError, match="too many"):
        grid_shape(100, 1024)


def test_a_folder_may_end_like_a_file_where_that_is_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.old").mkdir()
    for out in ("new.old/", "there.old", "v1.5", "runs.d"):
        assert choose_format(out, None) == "mp4"
    assert choose_format("shot.final", "png") == "png"
    with pytest.raises(
        UsageError, match=r"cannot write \.old files, only \.mp4.*put a / behind it"
    ):
        choose_format("new.old", None)


@pytest.mark.parametrize(
    ("name", "beside"),
    [("a" * 247 + ".mp4", ".json"), ("é" * 126 + ".mp4", ""), ("a" * 256 + "/1.mp4", ""),
     ("a/" * 2040 + "1.mp4", ""), ("a\0.mp4", "")],
)  # fmt: skip
def test_a_name_that_cannot_be_is_told_before_the_work(
    tmp_path: Path, name: str, beside: str
) -> None:
    with pytest.raises(UsageError, match="--out: "):
        check_writable([Target((0,), tmp_path / name)], beside)


def test_the_longest_name_can_be(tmp_path: Path) -> None:
    check_writable([Target((0,), tmp_path / ("a" * 246 + ".mp4"))])
