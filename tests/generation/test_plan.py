"""Matrices, names, records, formats and wrong usage of `generate`, with the tiny model."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny import TINY_FPS, TINY_RESOLUTION_PX

from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.camera import parse_camera
from stylefacev_cli.generation.mixing import parse_interpolation, parse_mixes
from stylefacev_cli.generation.requests import CameraOptions
from stylefacev_cli.motion.pose_tracks import MAX_TRACK_FRAMES, read_track

Outcome = tuple[int, str, str]
SIDE = TINY_RESOLUTION_PX


pytestmark = pytest.mark.usefixtures("workplace")


def differ(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max())


def record(path: str) -> dict[str, object]:
    content: dict[str, object] = json.loads(Path(path + ".json").read_text())
    return content


def test_rows_are_people_and_columns_motions(generate: Callable[..., Outcome]) -> None:
    matrix = ("--seeds", "3,4", "--motion-seeds", "7-9", "--frames", "4", "--format", "npy")
    code, out, _ = generate(*matrix, "-o", "all")
    names = [f"all/{seed}-{motion}.npy" for seed in (3, 4) for motion in (7, 8, 9)]
    assert code == 0 and out.splitlines() == names
    assert generate(*matrix, "--grid", "-o", "grid.npy")[:2] == (0, "grid.npy\n")
    grid = np.load("grid.npy").reshape(4, 2, SIDE, 3, SIDE, 3)
    for place, name in enumerate(names):
        assert differ(grid[:, place // 3, :, place % 3], np.load(name)) <= 2
    told = record("grid.npy")
    assert told["seeds"] == [3, 4] and told["motion_seeds"] == [7, 8, 9]
    assert (told["width"], told["height"]) == (3 * SIDE, 2 * SIDE)
    assert record("all/4-8.npy")["motion_seed"] == 8
    code, out, _ = generate(*matrix, "-o", "{motion_seed:03}/of-{seed}")
    assert code == 0 and out.splitlines()[1] == "008/of-3.npy"
    # One motion of all is no matrix; the option's old name means the same.
    assert generate("--seeds", "3", "--motion-seed", "8", "--frames", "4", "-o", "one.npy")[0] == 0
    assert differ(np.load("one.npy"), np.load("all/3-8.npy")) <= 2


def test_tracks_as_columns(generate: Callable[..., Outcome]) -> None:
    tracks = ("--motion-seeds", "7,8", "--save-track", "t/{seed}-{motion_seed}.safetensors")
    assert (
        generate("--seeds", "3", "--frames", "6", *tracks, "-o", "own", "--format", "npy")[0] == 0
    )
    assert read_track(Path("t/3-8.safetensors")).origin["motion_seed"] == 8
    columns = ("--track", "t/3-7.safetensors", "--track", "t/3-8.safetensors")
    code, out, _ = generate("--seeds", "3,5", *columns, "-o", "by/{track}/{seed}.npy")
    assert code == 0 and out.splitlines()[1] == "by/3-8/3.npy"
    assert differ(np.load("by/3-8/3.npy"), np.load("own/3-8.npy")) <= 2
    assert generate("--seeds", "3,5", *columns, "--grid", "-o", "grid.mp4")[0] == 0
    told = record("grid.mp4")
    assert [track["file"] for track in told["tracks"]] == ["3-7.safetensors", "3-8.safetensors"]  # type: ignore[attr-defined]


def test_seconds(generate: Callable[..., Outcome]) -> None:
    assert generate("--seconds", "0.5", "-o", "a.npy")[0] == 0
    assert generate("--seconds", "0.5", "--fps", "30", "-o", "b.npy")[0] == 0
    assert (len(np.load("a.npy")), len(np.load("b.npy"))) == (round(TINY_FPS / 2), 15)


def test_npy_down_a_pipe(tiny_model: Path) -> None:
    command = [sys.executable, "-m", "stylefacev_cli", "generate", "--frames", "3", "-o", "-"]
    made = subprocess.run([*command, "--format", "npy"], check=True, capture_output=True).stdout
    frames = np.load(io.BytesIO(made))
    assert frames.shape == (3, SIDE, SIDE, 3) and frames.dtype == np.uint8


def test_sheets(generate: Callable[..., Outcome]) -> None:
    some = ("--seeds", "3,4", "--frames", "10")
    assert generate(*some, "--format", "npy", "-o", "all")[0] == 0
    videos = [np.load(f"all/{seed}.npy") for seed in (3, 4)]
    sheet = ("--format", "sheet", "--sheet-frames", "4")
    assert generate(*some, *sheet, "--grid", "-o", "rows.png")[:2] == (0, "rows.png\n")
    rows = np.asarray(Image.open("rows.png")).reshape(2, SIDE, 4, SIDE, 3).swapaxes(1, 2)
    for row, video in zip(rows, videos, strict=True):
        assert differ(row, video[[0, 3, 6, 9]]) <= 2
    assert record("rows.png")["sheet"] == {"num_frames": 4, "num_columns": 4}
    code, out, _ = generate(*some, *sheet, "--sheet-columns", "3", "-o", "s")
    assert out.splitlines() == ["s/3.png", "s/4.png"]
    with Image.open("s/4.png") as picture:
        assert picture.size == (3 * SIDE, 2 * SIDE)
        assert json.loads(picture.text["Comment"])["ai_generated"] is True  # type: ignore[attr-defined]
        wrapped = np.asarray(picture).reshape(2, SIDE, 3, SIDE, 3)
    assert differ(wrapped[1, :, 0], videos[1][9]) <= 2 and wrapped[1, :, 1:].max() == 0
    # Courses and identities are spread over the whole video, not over the frames shown.
    moving = ("--interpolate", "3:4", "--shift", "0,0:0.25,0", "--frames", "10")
    assert generate(*moving, "-o", "m.npy")[0] == 0
    assert generate(*moving, *sheet, "-o", "m.png")[0] == 0
    shown = np.asarray(Image.open("m.png")).reshape(SIDE, 4, SIDE, 3).swapaxes(0, 1)
    assert differ(shown, np.load("m.npy")[[0, 3, 6, 9]]) <= 2


def test_everything_is_recorded(generate: Callable[..., Outcome]) -> None:
    who = ("--interpolate", "3:4:3", "--motion-seeds", "2", "--mix", "9:2-", "--mix", "8:0")
    camera = ("--rotate", "-3:4:-3", "--zoom", "1.1")
    edits = ("--loop", "--fade", "3", "--smooth", "3", "--motion-scale", "0.5")
    edits = (*edits, "--scale", "mouth=0.5", "--frames", "12", "--format", "npy")
    assert generate(*who, *camera, *edits)[:2] == (0, "videos/3-4-3.npy\n")
    told = record("videos/3-4-3.npy")
    expected = {
        **{"interpolate": [3, 4, 3], "motion_seed": 2, "frames": 12},
        "mix": [{"seed": 9, "layers": [2, "last"]}, {"seed": 8, "layers": [0, 0]}],
        "camera": {"rotate": [-3.0, 4.0, -3.0], "zoom": [1.1]},
        "edits": {
            **{"smooth": 3, "motion_scale": 0.5, "scales": {"mouth": 0.5}},
            **{"loop": True, "fade": 3},
        },
    }
    assert {key: told[key] for key in expected} == expected
    assert generate("-o", "plain.mp4")[0] == 0
    assert not {"mix", "camera", "edits", "interpolate", "sheet"} & set(record("plain.mp4"))


def test_edits_are_saved_with_the_track(generate: Callable[..., Outcome]) -> None:
    options = ("--frames", "20", "--loop", "--save-track", "t/{seed}.safetensors")
    assert generate("--seeds", "3", *options, "-o", "a.npy")[0] == 0
    track = read_track(Path("t/3.safetensors"))
    assert track.loops and len(track) == 20
    assert generate("--seeds", "3", "--track", "t/3.safetensors", "-o", "b.npy")[0] == 0
    assert differ(np.load("a.npy"), np.load("b.npy")) <= 2


def test_a_model_that_turns_badly_says_so(generate: Callable[..., Outcome]) -> None:
    """By its configuration: the tiny one has 1×1 kernels, but no radial filters."""
    assert "configuration T" in generate("--rotate", "30", "--frames", "1", "-o", "a.png",
                                         "--format", "sheet")[2]  # fmt: skip
    assert "heads lose" in generate("--zoom", "2", "--frames", "2", "-o", "b.npy")[2]
    quiet = generate("--rotate", "3", "--shift", "0.3,0", "--frames", "2", "-o", "c.npy")[2]
    assert quiet.count("\n") == 1  # the summary alone


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--seconds", "1", "--frames", "3"], "contradict"),
        (["--seeds", "1", "--interpolate", "1:2"], "contradict"),
        (["--seconds", "0"], "--seconds"),
        (["--seconds", "1e9"], "less than or equal to 10000000"),
        (["--interpolate", "3"], "two or more"),
        (["--interpolate", "3:x"], "two or more"),
        (["--interpolate", "3:4294967296"], "two or more"),
        (["--mix", "5"], "5:4-"),
        (["--mix", "5:9-2"], "backwards"),
        (["--mix", "5:6"], "0 to 5, not 6"),
        (["--mix", "5:0-3", "--mix", "6:3-"], "layer 3 is taken twice"),
        (["--rotate", "left"], "--rotate 'left'"),
        (["--rotate", "400"], "-360 to 360"),
        (["--rotate", "nan"], "--rotate"),
        (["--shift", "0.1"], "right,down"),
        (["--shift", "2,0"], "-1 to 1"),
        (["--zoom", "0"], "0.25 to 4"),
        (["--zoom", "1:"], "--zoom"),
        (["--loop", "--zoom", "1:1.2"], "A:B:A"),
        (["--loop", "--interpolate", "1:2"], "A:B:A"),
        (["--smooth", "4"], "odd"),
        (["--smooth", "65"], "64 frames"),
        (["--motion-scale", "3"], "motion-scale"),
        (["--scale", "nose=1"], "head, mouth"),
        (["--loop", "--frames", str(MAX_TRACK_FRAMES)], "too many to be edited"),
        (["--motion-seeds", "9-1"], "--motion-seeds: 9-1 runs backwards"),
        (["--seeds", "0-9999", "--motion-seeds", "0-9999"], "more than 1000000 videos"),
        (["--seeds", "0-1", "--motion-seeds", "0-1", "-o", "{seed}.mp4"], "{motion_seed}"),
        (["--seeds", "0-1", "--motion-seeds", "0-1", "-o", "a.mp4"], "a-{seed}-{motion_seed}.mp4"),
        (
            ["--seeds", "1,11", "--motion-seeds", "1,11", "-o", "{seed}{motion_seed}.mp4"],
            "one name",
        ),
        (["--motion-seeds", "0-999", "--grid"], "too many for one picture"),
        (["-o", "{track}.mp4"], "{motion_seed}"),
        (["--motion-seeds", "1,2", "-o", "-"], "one video, not 2"),
        (["--sheet-frames", "3"], "--format sheet"),
        (["--format", "sheet", "-o", "a.mp4"], "mp4"),
        (["-o", "a.png"], "--format sheet"),
        (["--lossless", "--format", "gif"], "--lossless"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(generate: Callable[..., Outcome], arguments: list[str], told: str) -> None:
    code, out, err = generate(*arguments)
    assert (code, out) == (2, ""), err
    assert told in err and err.count("\n") == 1 and err.startswith("error: ")
    assert not any(Path().iterdir())


def test_tracks_that_do_not_go_together(generate: Callable[..., Outcome]) -> None:
    for fps in ("12", "25"):
        save = ("--save-track", f"{fps}/t.safetensors")
        assert generate("--frames", "9", "--fps", fps, *save, "-o", f"{fps}.npy")[0] == 0
    both = ("--track", "12/t.safetensors", "--track", "25/t.safetensors", "-o", "no")
    assert "two tracks have one name" in generate(*both)[2]
    Path("25/t.safetensors").rename("u.safetensors")
    both = ("--track", "12/t.safetensors", "--track", "u.safetensors", "--format", "npy", "-o", "v")
    code, _, err = generate(*both)
    assert code == 2 and "12 and 25 frames per second" in err
    assert generate(*both, "--fps", "50", "--resample")[0] == 0
    assert len(np.load("v/0-t.npy")) == len(np.load("v/0-u.npy")) == 17  # the shorter one's
    code, _, err = generate("--track", "u.safetensors", "--frames", "10", "-o", "w.npy")
    assert code == 2 and "--loop" in err
    assert generate("--track", "u.safetensors", "--loop", "-o", "w.npy")[0] == 0
    assert len(np.load("w.npy")) == 6  # what fades, and where a loop may begin, is given up


Text = st.text(max_size=12) | st.from_regex(r"[-+0-9.,:]{0,12}")


@given(Text)
def test_odd_texts_are_refused(text: str) -> None:
    readers: tuple[Callable[[], object], ...] = (
        lambda: parse_interpolation(text),
        lambda: parse_mixes([text]),
        lambda: parse_camera(CameraOptions(rotate=text)),
        lambda: parse_camera(CameraOptions(shift=text)),
        lambda: parse_camera(CameraOptions(zoom=text)),
    )
    for reader in readers:
        try:
            reader()
        except UsageError as error:
            assert str(error).startswith("--")
