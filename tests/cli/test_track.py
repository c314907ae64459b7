"""`stylefacev track`, `generate --track` and `reenact` with the tiny model, in this process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_videos import beep_begins_s, grey_source, of_unlike_frames, with_beep
from PIL import Image
from tiny import TINY_FPS, TINY_RESOLUTION_PX, tiny_networks

from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.motion_edits import MAX_SCALE, PARTS, parse_scales
from stylefacev_cli.generation.tracking import parse_cut
from stylefacev_cli.media import VideoSettings, read_frames, video_writer
from stylefacev_cli.media.ffmpeg import find_ffmpeg
from stylefacev_cli.media.sound import has_sound
from stylefacev_cli.motion.pose_tracks import read_track, write_track
from stylefacev_cli.pipeline import load_model

Outcome = tuple[int, str, str]


pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def saved(call: Callable[..., Outcome]) -> Path:
    """A track of 20 frames of seed 3."""
    arguments = ("--seeds", "3", "--frames", "20", "--format", "png", "-o", "own")
    assert call("generate", *arguments, "--save-track", "t/{seed}.safetensors")[0] == 0
    return Path("t/3.safetensors")


def pictures(folder: str) -> np.ndarray:
    return np.stack([np.asarray(Image.open(p)) for p in sorted(Path(folder).glob("*.png"))])


def test_what_was_saved_plays_the_same_video(call: Callable[..., Outcome], saved: Path) -> None:
    track = read_track(saved)
    assert len(track) == 20 and track.fps == TINY_FPS and track.origin["seed"] == 3
    assert track.key_points is not None
    code, out, _ = call("generate", "--seeds", "3,4", "--track", str(saved), "--format", "png",
                        "-o", "played")  # fmt: skip
    assert (code, out) == (0, "played/3\nplayed/4\n")
    played, own = pictures("played/3").astype(int), pictures("own/3").astype(int)
    assert np.abs(played - own).max() <= 2 and played.shape == own.shape
    record = json.loads(Path("played/4.json").read_text())
    assert record["track"]["file"] == "3.safetensors" and "motion_seed" not in record
    assert record["frames"] == 20


def test_resampled_motion_keeps_its_speed(call: Callable[..., Outcome], saved: Path) -> None:
    arguments = ("--seeds", "3", "--fps", "24", "--resample", "--format", "png")
    assert call("generate", *arguments, "--frames", "39", "-o", "own24")[0] == 0
    assert call("generate", *arguments, "--track", str(saved), "-o", "track24")[0] == 0
    own, resampled = pictures("own/3").astype(int), pictures("own24/3").astype(int)
    assert np.abs(resampled[::2] - own).max() <= 2
    assert np.abs(resampled[1::2] - own[:-1]).max() > 0  # between, not the same again
    assert len(pictures("track24/3")) == 39
    assert json.loads(Path("own24/3.json").read_text())["resampled_from_fps"] == TINY_FPS


def test_loops_go_on(call: Callable[..., Outcome], saved: Path) -> None:
    code, out, err = call("track", str(saved), "--loop", "--fade", "4", "-o", "loop.safetensors")
    assert (code, out) == (0, "loop.safetensors\n"), err
    loop = read_track(Path("loop.safetensors"))
    assert loop.loops
    num = len(loop)
    assert call("generate", "--track", "loop.safetensors", "--frames", str(2 * num),
                "--format", "png", "-o", "v")[0] == 0  # fmt: skip
    twice = pictures("v/0")
    assert np.abs(twice[:num].astype(int) - twice[num:]).max() <= 2
    code, _, err = call("generate", "--track", str(saved), "--frames", "21")
    assert code == 2 and "--loop" in err


def test_edits(call: Callable[..., Outcome], saved: Path) -> None:
    before = read_track(saved)
    code, out, err = call(
        "track", str(saved), "--cut", "2:18", "--reverse", "--smooth", "5", "--motion-scale", "0.5",
        "--scale", "mouth=0.5", "--json", "-o", "e.safetensors",
    )  # fmt: skip
    assert code == 0 and "motion energy" in err and "mouth ×" in err
    facts = json.loads(out)
    assert facts["frames"] == 16 and facts["origin"]["edits"]["motion_scale"] == 0.5
    call("track", str(saved), "--cut", "2:18", "--reverse", "-o", "r.safetensors")
    assert np.array_equal(read_track(Path("r.safetensors")).poses, before.poses[2:18][::-1])
    call("track", str(saved), "--join", str(saved), "--fade", "0", "-o", "j.safetensors")
    assert len(read_track(Path("j.safetensors"))) == 40
    call("track", str(saved), "--fps", "30", "-o", "f.safetensors")
    faster = read_track(Path("f.safetensors"))
    assert faster.fps == 30 and np.abs(faster.poses[::5] - before.poses[::2]).max() < 1e-4


def write_noise(path: Path, num: int = 10, width: int = 32, height: int = 32) -> None:
    random = np.random.default_rng(0)
    with video_writer(path, "mkv", VideoSettings(width, height, 10.0)) as video:
        for _ in range(num):
            video.write(random.integers(0, 255, (height, width, 3)).astype(np.uint8))


def with_sound(path: Path, out: Path) -> None:
    sound = ["-f", "lavfi", "-i", "sine=frequency=440:duration=1", "-c:v", "copy", "-c:a", "aac"]
    command = [find_ffmpeg(), "-v", "error", "-i", str(path), *sound, str(out)]
    subprocess.run(command, check=True, capture_output=True)


def test_reenact_with_sound(call: Callable[..., Outcome], saved: Path) -> None:
    write_noise(Path("mute.mkv"))
    with_sound(Path("mute.mkv"), Path("driver.mp4"))
    arguments = ("reenact", "--source", "5", "--driving", "driver.mp4", "--no-crop")
    code, out, err = call(*arguments, "--audio", "-o", "out.mp4")
    assert (code, out) == (0, "out.mp4\n"), err
    frames = list(read_frames(Path("out.mp4")))
    assert len(frames) == 10 and frames[0].shape == (TINY_RESOLUTION_PX, TINY_RESOLUTION_PX, 3)
    assert has_sound(Path("out.mp4")) and b'"ai_generated":true' in Path("out.mp4").read_bytes()
    record = json.loads(Path("out.mp4.json").read_text())
    assert record["motion"] == "relative" and record["audio"] and record["fps"] == 10
    assert record["driving"]["file"] == "driver.mp4" and record["seed"] == 5
    assert sorted(path.name for path in Path(".").iterdir() if path.name.startswith(".")) == []
    assert call(*arguments, "--absolute", "-o", "absolute.mp4")[0] == 0
    assert not has_sound(Path("absolute.mp4"))
    assert Path("absolute.mp4").read_bytes() != Path("out.mp4").read_bytes()
    code, _, err = call(*arguments, "-o", "out.mp4")
    assert code == 2 and "--force" in err


@pytest.mark.parametrize("later_s", [0.0, 0.2])
def test_sound_is_in_step(call: Callable[..., Outcome], saved: Path, later_s: float) -> None:
    """Of a video of unlike frames, whose picture may begin later than its sound."""
    source = grey_source(Path("source.mkv"), size=(32, 32))
    silent = of_unlike_frames(source, Path("silent.mp4"))
    driver = with_beep(silent, Path("driver.mp4"), 0.6, later_s)
    arguments = ("reenact", "--source", "5", "--driving", str(driver), "--no-crop", "--audio")
    code, _, err = call(*arguments, "-o", "out.mp4")
    assert code == 0 and "frame rate varies" in err, err
    begins_s = beep_begins_s(Path("out.mp4"))
    assert begins_s == pytest.approx(0.6 - later_s, abs=0.02)
    assert begins_s == pytest.approx(beep_begins_s(driver), abs=0.02)


def test_reenactments_in_every_form(call: Callable[..., Outcome], saved: Path) -> None:
    # A frame at a time: batches of other sizes round otherwise.
    source = ("reenact", "--source", "5", "--driving", str(saved), "--batch", "1")
    look = ("--mix", "7:3-", "--shift", "0,0:0.25,0")
    for where in (("--format", "png", "-o", "f"), ("-o", "f.npy"), ("--lossless", "-o", "f.mkv")):
        code, out, err = call(*source, *look, *where)
        assert (code, out) == (0, f"{where[-1]}\n"), err
    frames = pictures("f")
    assert len(frames) == 20 and np.array_equal(np.load("f.npy"), frames)
    assert np.array_equal(np.stack(list(read_frames(Path("f.mkv")))), frames)
    record = json.loads(Path("f.json").read_text())
    assert record["camera"] == {"shift": [[0, 0], [0.25, 0]]} and record["mix"][0]["seed"] == 7
    code, _, err = call(*source, *look, "-o", "s.png", "--format", "sheet", "--sheet-frames", "3")
    assert code == 0, err
    with Image.open("s.png") as sheet:
        assert np.array_equal(np.asarray(sheet), np.concatenate(frames[[0, 10, 19]], axis=1))
    assert call(*source, "--format", "png", "-o", "plain")[0] == 0
    plain = pictures("plain")
    assert (plain[0] != frames[0]).any() and (plain[-1] != frames[-1]).any()
    command = [sys.executable, "-m", "stylefacev_cli", *source, *look, "--format", "npy", "-o", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout == Path("f.npy").read_bytes()


def test_a_reenactment_of_itself(
    call: Callable[..., Outcome], saved: Path, tiny_model: Path
) -> None:
    """A driver with the source's own motion gives the source's own video, either way."""
    model = load_model(tiny_model, device="cpu")
    import torch

    poses = torch.from_numpy(read_track(saved).poses)
    own = pictures("own/3").astype(int)
    made = np.stack(list(model.reenact(3, poses, relative=False))).astype(int)
    assert np.abs(made - own).max() <= 2


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["track", "no.mp4", "-o", "a.safetensors"], 5, "no such video"),
        (["track", "no.safetensors", "-o", "a.safetensors"], 5, "no such pose track"),
        (["track", "T", "-o", "a.mp4"], 2, "ends in .safetensors"),
        (["track", "T", "-o", "T"], 2, "--force"),
        (["track", "T", "-o", "a.safetensors", "--smooth", "4"], 2, "odd"),
        (["track", "T", "-o", "a.safetensors", "--smooth", "21"], 2, "20 frames"),
        (["track", "T", "-o", "a.safetensors", "--cut", "5:99"], 2, "not there"),
        (["track", "T", "-o", "a.safetensors", "--scale", "nose=1"], 2, "head, mouth"),
        (["track", "T", "-o", "a.safetensors", "--motion-scale", "3"], 2, "motion-scale"),
        (["track", "N", "-o", "a.safetensors", "--no-crop"], 2, "not square"),
        (["track", "N", "-o", "a.safetensors"], 5, "no face in frame 0"),
        (["track", "N", "--detector", "face-alignment", "-o", "a.safetensors"], 3, "no weights"),
        (["reenact", "--source", "1", "--driving", "N", "--detector", "nobody", "-o", "a.mp4"], 3,
         "nobody"),
        (["track", "T", "-m", "default-64", "-o", "a.safetensors"], 2, "another pose extractor"),
        (["generate", "--track", "T", "--motion-seed", "3"], 2, "--motion-seed"),
        (["generate", "--resample"], 2, "--fps"),
        (["generate", "--seeds", "0-1", "--save-track", "a.safetensors"], 2, "--save-track"),
        (["generate", "--seeds", "3", "--save-track", "T"], 2, "overwritten"),
        (["reenact", "--source", "1", "--driving", "T", "--audio", "-o", "a.mp4"], 2, "no sound"),
        (["reenact", "--source", "1", "--driving", "N", "--audio", "-o", "a.mp4"], 2, "no sound"),
        (["reenact", "--source", "1", "--driving", "T", "-o", "a.txt"], 2, "only .mp4"),
        (["reenact", "--source", "1", "--driving", "T", "--json", "-o", "-"], 2, "--json"),
        (["reenact", "--source", "1", "--driving", "T", "--mix", "2:99", "-o", "a.mp4"], 2,
         "layers"),
        (["reenact", "--source", "1", "--driving", "T", "--sheet-frames", "2", "-o", "a.mp4"], 2,
         "--sheet-frames"),
        (["reenact", "--source", "me.txt", "--driving", "T", "-o", "a.mp4"], 2, "--source"),
        (["reenact", "--source", "no.jpg", "--driving", "T", "-o", "a.mp4"], 5, "no such photo"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_wrong_usage(
    call: Callable[..., Outcome], saved: Path, arguments: list[str], code: int, told: str
) -> None:
    write_noise(Path("noise.mkv"), num=3, width=48)
    names = {"T": str(saved), "N": "noise.mkv"}
    outcome = call(*(names.get(argument, argument) for argument in arguments))
    assert (outcome[0], outcome[1]) == (code, ""), outcome
    assert told in outcome[2] and outcome[2].count("\n") == 1
    assert not any(Path(name).exists() for name in ("a.safetensors", "a.mp4", "videos"))


def test_tracks_of_models_that_share_the_extractor(
    call: Callable[..., Outcome], saved: Path, tmp_path: Path
) -> None:
    from stylefacev_cli.weights.bundle import save_bundle

    networks = tiny_networks()
    assert networks.motion is not None
    networks.motion.b.data += 1  # another motion, the same poses
    save_bundle(tmp_path / "m", networks, name="other", fps=12.0, licence="x", provenance={})
    arguments = ("--track", str(saved), "--frames", "2", "-o", "v.mp4")
    assert call("generate", "-m", "./m", *arguments)[0] == 0
    track = read_track(saved)
    write_track(Path("foreign.safetensors"), type(track)(track.poses, 12.0, "0" * 64))
    code, _, err = call("generate", "--track", "foreign.safetensors", "-o", "w.mp4")
    assert code == 2 and "another pose extractor" in err


@given(st.integers(1, 10_000), st.data())
def test_cuts_that_make_sense(num_frames: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, num_frames - 1))
    last = data.draw(st.integers(first + 1, num_frames))
    assert parse_cut(f"{first}:{last}", num_frames, 25.0) == slice(first, last)
    assert parse_cut(f" :{last}", num_frames, 25.0) == slice(0, last)
    assert parse_cut(f"{first}:", num_frames, 25.0) == slice(first, num_frames)
    assert parse_cut(f"{first}s:{last}s", num_frames, 1.0) == slice(first, last)


@given(st.text(max_size=20) | st.from_regex(r"[-0-9.s]{0,5}:[-0-9.s]{0,5}"))
def test_cuts_are_slices_or_refused(text: str) -> None:
    try:
        cut = parse_cut(text, 50, 10.0)
    except UsageError as error:
        assert "--cut" in str(error)
    else:
        assert 0 <= cut.start < cut.stop <= 50


@given(st.dictionaries(st.sampled_from(PARTS), st.floats(0, MAX_SCALE)))
def test_scales_that_make_sense(scales: dict[str, float]) -> None:
    texts = [f"{part}={factor:.6f}" for part, factor in scales.items()]
    assert parse_scales(texts) == pytest.approx(scales, abs=1e-6)


@given(st.lists(st.text(max_size=12) | st.from_regex(r"mouth=[-+0-9.einf]{0,6}"), max_size=3))
def test_scales_are_factors_or_refused(texts: list[str]) -> None:
    try:
        scales = parse_scales(texts)
    except UsageError as error:
        assert "--scale" in str(error)
    else:
        assert set(scales) <= set(PARTS) and all(0 <= f <= MAX_SCALE for f in scales.values())
