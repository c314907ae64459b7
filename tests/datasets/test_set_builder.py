"""The command, from footage to a set that training reads."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import HEIGHT, U8, WIDTH, background, placed, write_movie
from PIL import Image

from stylefacev_cli.cli.app import run
from stylefacev_cli.datasets import clip_maker
from stylefacev_cli.datasets.clips import ClipEntry, ClipSet, write_clip
from stylefacev_cli.datasets.source_report import read_sources
from stylefacev_cli.detection.crop_window import Window
from stylefacev_cli.errors import DataError
from stylefacev_cli.training.batches.reading import load_frames

DETECTOR: list[str] = []  # the default: the face mesh
SMALL = [*DETECTOR, "--size", "48", "--min-window", "80"]
CLIPS = [*SMALL, "--min-frames", "6"]


def contents(folder: Path) -> dict[str, bytes]:
    """All files; of the manifest only the hash, since it tells the command too."""
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("manifest.yaml", ".lock")
    }
    content_hash = ClipSet(folder).manifest()["content_sha256"]
    return found | {"hash": content_hash.encode()}


def reasons(folder: Path) -> dict[str, list[str]]:
    return {done.source: [s["reason"] for s in done.skipped] for done in read_sources(folder)}


@pytest.fixture(scope="module")
def ravdess(faces: list[U8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good clips, of actors 1 and 2, and one of everything that cannot be used."""
    folder = tmp_path_factory.mktemp("footage")

    def name(actor: int, number: int, modality: str = "01") -> Path:
        return folder / f"Actor_{actor:02}" / f"{modality}-01-01-01-01-{number:02}-{actor:02}.mp4"

    write_movie(name(1, 1), placed(faces[0], 30, 12, background()))
    write_movie(name(2, 1), placed(faces[1], 52, 20, background(1)))
    name(1, 1, "02").write_bytes(name(1, 1).read_bytes())
    write_movie(name(3, 1), placed(faces[2][:3], 30, 12, background()))
    empty = [background(2)] * 8
    write_movie(name(3, 2), empty)
    two = np.concatenate([np.stack(empty)] * 2, axis=2)
    for i, picture in enumerate(two):
        picture[10:106, 5:101], picture[15:111, 190:286] = faces[0][i], faces[1][i]
    write_movie(name(4, 1), list(two))
    name(4, 2).write_bytes(name(4, 1).read_bytes()[:3000])
    name(4, 3).write_bytes(b"")
    # The face slides out of the picture.
    wide = np.pad(background(), ((0, 0), (0, 100), (0, 0)), mode="edge")
    sliding = [placed(faces[2][i : i + 1], 40 + 12 * i, 12, wide)[0][:, :WIDTH] for i in range(10)]
    write_movie(name(5, 1), sliding)
    return folder


@pytest.fixture(scope="module")
def prepared(ravdess: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sets") / "talk"
    assert run(["data", "prepare", "ravdess", str(ravdess), str(out), *CLIPS]) == 0
    return out


@pytest.fixture(scope="module")
def two_clips(ravdess: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The good clips alone, for what is tried several times."""
    folder = tmp_path_factory.mktemp("few")
    for path in (ravdess / "Actor_01", ravdess / "Actor_02"):
        shutil.copytree(path, folder / path.name)
    return folder


@pytest.fixture(scope="module")
def small_set(two_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sets") / "small"
    assert run(["data", "prepare", "ravdess", str(two_clips), str(out), *CLIPS]) == 0
    return out


def test_what_becomes_of_every_file(prepared: Path) -> None:
    found = reasons(prepared)
    assert found == {
        "Actor_01/01-01-01-01-01-01-01.mp4": [],
        "Actor_01/02-01-01-01-01-01-01.mp4": ["same pictures as the file with sound"],
        "Actor_02/01-01-01-01-01-01-02.mp4": [],
        "Actor_03/01-01-01-01-01-01-03.mp4": ["too short"],
        "Actor_03/01-01-01-01-01-02-03.mp4": ["no face"],
        "Actor_04/01-01-01-01-01-01-04.mp4": ["two faces"],
        "Actor_04/01-01-01-01-01-02-04.mp4": ["damaged"],
        "Actor_04/01-01-01-01-01-03-04.mp4": ["damaged"],
        "Actor_05/01-01-01-01-01-01-05.mp4": found["Actor_05/01-01-01-01-01-01-05.mp4"],
    }
    assert {"no face"} <= set(found["Actor_05/01-01-01-01-01-01-05.mp4"])


def test_clips_have_one_window_and_labels_that_fit(
    prepared: Path, ravdess: Path, faces: list[U8]
) -> None:
    clips = ClipSet(prepared)
    clips.check()
    assert [entry.identity for entry in clips.entries] == [1, 2]
    for clip, (left, top) in zip(clips, [(30, 12), (52, 20)], strict=True):
        frames, labels = clip.frames(), clip.labels()
        assert frames.shape == (10, 48, 48, 3) and clip.entry.fps == 25
        assert labels["landmarks"].shape == (10, 98, 2) and labels["visible"].all()
        assert labels["key_points"].shape == (10, 14, 2)
        assert 0 < labels["landmarks"].min() and labels["landmarks"].max() < 1
        window = Window(*labels["window"])
        # The faces fill their frames as FFHQ's squares do, so the windows are nearly those.
        assert abs(window.left - left) < 15 and abs(window.top - top) < 15
        assert 90 <= window.side <= 120
        from stylefacev_cli.media import read_frames

        assert clip.entry.source is not None
        pictures = list(read_frames(ravdess / clip.entry.source))
        np.testing.assert_array_equal(window.cut(pictures[4], 48), frames[4])


def test_the_manifest_says_how(prepared: Path) -> None:
    manifest = ClipSet(prepared).manifest()
    assert manifest["licence"] == "CC-BY-NC-SA-4.0" and manifest["detector"]["name"] == "face-mesh"
    assert manifest["command"].startswith("stylefacev data prepare ravdess ")
    assert "Lanczos" in manifest["resize"] and "fixed" in manifest["window"]
    assert manifest["settings"]["min_frames"] == 6
    assert manifest["totals"]["clips"] == 2 and manifest["totals"]["skipped"]["damaged"] == 2
    assert manifest["content_sha256"] == ClipSet(prepared).content_hash()


def test_the_same_again_and_goes_on_after_a_kill(
    small_set: Path, two_clips: Path, tmp_path: Path
) -> None:
    out = tmp_path / "talk"
    command = ["data", "prepare", "ravdess", str(two_clips), str(out), *CLIPS]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "stylefacev_cli", *command],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
    )  # fmt: skip
    journal = out / "sources.jsonl"
    for _ in range(1200):  # until a clip is done
        if journal.exists() and '"fps"' in journal.read_text():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "index.jsonl").exists()
    with pytest.raises(DataError, match="not finished"):
        ClipSet(out)
    before = {d.source for d in read_sources(out)}
    journal.write_text(journal.read_text() + '{"source": "Actor_0')  # a line cut off by a crash
    first = next(out.glob("clips/*/*.png"))
    first.with_name("x.png.part").write_bytes(b"half")
    assert run(command) == 0
    assert before and contents(out) == contents(small_set)
    assert not list(out.rglob("*.part"))


def test_lost_files_are_made_again_and_other_settings_refused(
    small_set: Path, two_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "talk"
    shutil.copytree(small_set, out)
    (out / ClipSet(out).entries[1].file).unlink()
    command = ["data", "prepare", "ravdess", str(two_clips), str(out)]
    assert run([*command, *CLIPS]) == 0
    assert contents(out) == contents(small_set)
    assert run([*command, *CLIPS, "--margin", "0.2"]) == 2
    assert "other settings" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("")
    assert run([*command[:-1], str(tmp_path / "full"), *CLIPS]) == 2


def test_a_full_disk_leaves_a_set_that_goes_on(
    two_clips: Path, small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "talk"
    command = ["data", "prepare", "ravdess", str(two_clips), str(out), *CLIPS]
    real, written = Image.Image.save, []

    def save(image: Image.Image, path: Any, **options: Any) -> None:
        written.append(path)
        real(image, path, **options)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", save)
        assert run(command) == 5
    told = capsys.readouterr().err.splitlines()[-1]
    assert "No space left on device" in told and "goes on where it stopped" in told
    assert not list(out.rglob("*.png.part")) and not (out / "index.jsonl").exists()
    assert run(command) == 0
    assert contents(out) == contents(small_set)


def test_training_reads_a_prepared_set(prepared: Path) -> None:
    frames = load_frames([prepared], 48, 0)
    assert len(frames.images) == 20 and frames.fps == 25 and frames.moving.all()
    frames.need_landmarks("a stage")
    assert not np.isnan(frames.key_point_batch(np.arange(20)).numpy()).any()


def test_frames_that_are_cut_already_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the authors' processed RAVDESS: Actor_*/*.mp4; no finder and no weights of one."""
    movie = [background(i)[:96, :96] for i in range(25)]
    square = tmp_path / "actor_align_512" / "Actor_01" / "01-01-01-01-01-01-01.mp4"
    write_movie(square, movie)
    write_movie(square.with_name("wide.mp4"), [background(i) for i in range(12)])
    write_movie(square.with_name("short.mp4"), movie[:4])
    square.with_name("torn.mp4").write_bytes(square.read_bytes()[:900])
    command = ["data", "prepare", "videos", str(tmp_path / "actor_align_512"), str(tmp_path / "s")]
    options = ["--keep-frames", "--min-frames", "6", "--max-frames", "10", "--size"]
    assert run([*command, *options, "96"]) == 0
    assert {name[9:]: found for name, found in reasons(tmp_path / "s").items()} == {
        "01-01-01-01-01-01-01.mp4": [],
        "short.mp4": ["too short"],
        "torn.mp4": ["damaged"],
        "wide.mp4": ["not square"],
    }
    clips = ClipSet(tmp_path / "s")
    clips.check()
    assert [entry.num_frames for entry in clips.entries] == [8, 8, 9]
    assert {entry.person for entry in clips.entries} == {"Actor_01"}
    from stylefacev_cli.media import read_frames

    pictures = np.stack(list(read_frames(square)))
    np.testing.assert_array_equal(np.concatenate([clip.frames() for clip in clips]), pictures)
    manifest = clips.manifest()
    assert manifest["detector"] == {"name": "none"} and manifest["window"].startswith("none")
    assert np.isnan(load_frames([tmp_path / "s"], 96, 0).landmarks).all()
    assert run(["data", "inspect", str(tmp_path / "s"), "--check"]) == 0
    assert run([*command[:-1], str(tmp_path / "t"), *options, "48"]) == 0
    small = ClipSet(tmp_path / "t").clip(0).frames()
    np.testing.assert_array_equal(small[0], Window(0, 0, 96).cut(pictures[0], 48))


# --- images ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photos(faces: list[U8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for person, frames, count in (("anna", faces[0], 2), ("ben", faces[1], 1)):
        (folder / person).mkdir()
        for i in range(count):
            picture = placed(frames[5 * i : 5 * i + 1], 30, 12, background(i))[0]
            Image.fromarray(picture).save(folder / person / f"{i}.png")
    Image.fromarray(background(5)).save(folder / "nobody.png")
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    return folder


def test_images(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["data", "prepare", "images", str(photos)]
    assert run([*command, str(tmp_path / "a"), *SMALL, "--val-person", "ben", "--json"]) == 0
    told = capsys.readouterr()
    facts = json.loads(told.out)
    assert facts["num_clips"] == 3 and facts["skipped"] == {"no face": 1, "damaged": 1}
    assert "licence is not stated" in told.err
    clips = ClipSet(tmp_path / "a")
    assert [(e.person, e.split, e.kind) for e in clips.entries] == [
        ("anna", "train", "still"), ("anna", "train", "still"),
        ("ben", "val", "still"),
    ]  # fmt: skip
    windows = [clip.labels()["window"].tolist() for clip in clips]
    assert run([*command, str(tmp_path / "b"), *SMALL, "--seed", "1"]) == 0
    others = [clip.labels()["window"].tolist() for clip in ClipSet(tmp_path / "b")]
    assert [w[2] for w in windows] == [w[2] for w in others] and windows != others
    held_out = load_frames([tmp_path / "a"], 48, 0).held_out
    assert held_out.tolist() == [False, False, True]


def test_ffhq_with_its_own_landmarks_needs_no_finder(
    faces: list[U8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from footage import face_template

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    (tmp_path / "wild").mkdir()
    entries = {}
    for i in range(3):
        picture = np.random.default_rng(i).integers(0, 256, (200, 240, 3), np.uint8)
        Image.fromarray(picture).save(tmp_path / "wild" / f"{i:05}.png")
        points = (face_template() * 100 + [70, 50]) if i else face_template() * 190 + [-60, 0]
        entries[str(i)] = {
            "category": "validation" if i == 2 else "training",
            "in_the_wild": {"file_path": f"x/{i:05}.png", "face_landmarks": points.tolist()},
        }
    (tmp_path / "ffhq.json").write_text(json.dumps(entries))
    options = ["--size", "64", "--landmarks", str(tmp_path / "ffhq.json"), "--min-window", "90"]
    out = tmp_path / "ffhq"
    assert run(["data", "prepare", "ffhq", str(tmp_path / "wild"), str(out), *options]) == 0
    assert reasons(out)["00000.png"] == ["window leaves the picture"]
    clips = ClipSet(out)
    assert [entry.split for entry in clips.entries] == ["train", "val"]
    labels = clips.clip(0).labels()
    assert "landmarks" not in labels and labels["landmarks_68"].shape == (1, 68, 2)
    frames = load_frames([out], 64, 0)
    assert not np.isnan(frames.key_point_batch(np.arange(2)).numpy()).any()
    with pytest.raises(DataError, match=r"the stage detector needs 98 landmarks.*need no labels"):
        frames.need_landmarks("the stage detector")


def test_face_alignment(tmp_path: Path, fake_face_alignment: list[dict[str, Any]]) -> None:
    movie = []
    for i in range(12):
        picture = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
        picture[20:90, 30 + i : 100 + i, 1] = 250
        movie.append(picture)
    write_movie(tmp_path / "src" / "anna.mp4", movie)
    out = tmp_path / "set"
    options = ["--size", "32", "--min-frames", "6", "--search-every", "4", "--min-window", "40"]
    options += ["--detector", "face-alignment"]
    assert run(["data", "prepare", "videos", str(tmp_path / "src"), str(out), *options]) == 0
    labels = ClipSet(out).clip(0).labels()
    assert labels["landmarks_68"].shape == (12, 68, 2) and "visible" not in labels
    assert ClipSet(out).manifest()["detector"]["name"] == "face-alignment 1.5.0"


# --- refusals --------------------------------------------------------------------------------


def test_what_is_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    out, src = str(tmp_path / "out"), str(photos)

    def told(*arguments: str) -> tuple[int, str]:
        code = run(["data", "prepare", *arguments])
        error = capsys.readouterr().err.splitlines()
        assert len(error) == 1
        return code, error[0]

    assert told("images", src, out, "--detector", "face-alignment")[0] == 3
    code, message = told("images", str(tmp_path / "no"), out, *DETECTOR)
    assert code == 5 and "no such folder" in message
    code, message = told("videos", src, out, *DETECTOR)
    assert code == 5 and "holds no files of videos" in message
    code, message = told("images", src, out, *DETECTOR, "--random-shift", "3")
    assert code == 2 and "from 0 to 0.5" in message
    code, message = told("images", src, out, *DETECTOR, "--val-person", "eve")
    assert code == 2 and "eve" in message
    code, message = told("videos", src, out, "--size", "1024", *DETECTOR)
    assert code == 2 and "give at most 76" in message
    assert not (tmp_path / "out").exists()


def test_a_set_of_nothing_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "src").mkdir()
    Image.fromarray(background()).save(tmp_path / "src" / "a.png")
    code = run(["data", "prepare", "images", str(tmp_path / "src"), str(tmp_path / "out"), *SMALL])
    assert code == 5 and "no image could be made of 1 files (1 no face)" in capsys.readouterr().err
    assert clip_maker.DAMAGED == "damaged"


# --- looking at sets -------------------------------------------------------------------------


def test_inspect(prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "sheet.png"
    command = ["data", "inspect", str(prepared), "--json", "--val-permille", "500"]
    assert run([*command, "--check", "--sheet", str(sheet), "--columns", "4"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["clips"], facts["frames"], facts["sources"]) == (2, 20, 9)
    assert facts["skipped"]["damaged"] == 2 and facts["frames_per_clip"]["p50"] == 10
    assert facts["head_pose"]["from"] == "estimated from key points"
    assert abs(facts["head_pose"]["yaw_deg"]["p50"]) < 30
    with Image.open(sheet) as image:
        assert image.size == (4 * 128, 2 * 128)
    assert run([*command, "--sheet", str(sheet)]) == 2  # it is there
    assert run(["data", "inspect", str(prepared)]) == 0
    assert "skipped: " in capsys.readouterr().out


def test_changed_content_is_noticed(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(prepared, tmp_path / "talk")
    clip = ClipSet(tmp_path / "talk").clip(0)
    write_clip(clip.folder, clip.entry, 255 - clip.frames(), clip.labels())
    assert run(["data", "inspect", str(tmp_path / "talk"), "--check"]) == 4
    assert "was changed after it was made" in capsys.readouterr().err


def test_reading_takes_the_memory_of_one_clip(tmp_path: Path) -> None:
    lines = []
    for i in range(40):
        entry = ClipEntry(str(i), f"clips/{i}.png", None, 20, 64, 25.0, i, "clip")
        write_clip(tmp_path, entry, np.full((20, 64, 64, 3), i, np.uint8), {})
        lines.append(entry.to_line())
    (tmp_path / "index.jsonl").write_text("".join(lines))
    clip_bytes = 20 * 64 * 64 * 3
    clips = ClipSet(tmp_path)
    next(iter(clips)).frames()
    tracemalloc.start()
    try:
        assert sum(int(clip.frames()[0, 0, 0, 0]) for clip in clips) == sum(range(40))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * clip_bytes  # of the 40 clips that were read
