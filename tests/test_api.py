"""The public Python API: what there is, and that the generation engine does what commands do."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import TINY_FPS, TINY_RESOLUTION_PX

import stylefacev_cli as sf
from stylefacev_cli.cli.app import run
from stylefacev_cli.common.options import keyword_of, option_fields
from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.generation.requests import GenerateRequest
from stylefacev_cli.media import VideoSettings, video_writer
from stylefacev_cli.motion.pose_tracks import read_track

SIDE = TINY_RESOLUTION_PX


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STYLEFACEV_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def model(tiny_model: Path) -> Any:
    return sf.load_model(tiny_model, device="cpu")


def test_every_public_name_is_there() -> None:
    assert dir(sf) == sorted(sf.__all__)
    for name in sf.__all__:
        assert getattr(sf, name) is not None, name
    with pytest.raises(AttributeError, match="generatee"):
        sf.generatee  # noqa: B018


def test_a_model_is_one_line(model: Any) -> None:
    assert repr(model) == "<model tiny: 16 px, 12 fps, cpu, float32>"
    assert "\n" not in repr(model.person(3))


def test_functions_show_their_options() -> None:
    signature = inspect.signature(sf.generate)
    names = {keyword_of(one) for one in option_fields(GenerateRequest)}
    assert set(signature.parameters) == names | {"listener"}
    assert signature.parameters["out"].default is None
    assert signature.parameters["fade"].default == 8
    assert "Length of each video." in (inspect.getdoc(sf.generate) or "")


def test_frames_are_those_of_the_command(model: Any, tiny_model: Path) -> None:
    options = {"loop": True, "rotate": "0:5:0", "mix": "9:2-", "motion_seeds": 7}
    video = sf.generate(model=model, seeds=range(3, 5), grid=True, frames=12, **options)
    assert not isinstance(video, list)
    command = ["generate", "-q", "-m", str(tiny_model), "--device", "cpu", "--grid", "--seeds"]
    command += ["3,4", "--frames", "12", "--loop", "--rotate", "0:5:0", "--mix", "9:2-"]
    assert run([*command, "--motion-seeds", "7", "-o", "all.npy"]) == 0
    frames = np.load("all.npy")
    assert np.array_equal(video.numpy(), frames)
    assert np.array_equal(np.stack(list(video)), frames) and len(video) == 12
    told = json.loads(Path("all.npy.json").read_text())
    about = video.about | {"format": "npy"}
    assert about == {key: told[key] for key in about}


def test_several_videos_and_files(model: Any) -> None:
    videos = sf.generate(model=model, seeds="3,4", frames=4)
    assert isinstance(videos, list)
    assert [repr(one) for one in videos] == [
        f"<video of seed {seed}: 4 frames, 16×16 px, 12 fps>" for seed in (3, 4)
    ]
    files = sf.generate(model=model, seeds="3,4", frames=4, out="v", format="npy")
    assert isinstance(files, list)
    assert [str(one.path) for one in files] == ["v/3.npy", "v/4.npy"]
    for video, file in zip(videos, files, strict=True):
        assert np.array_equal(np.load(str(file.path)), video.numpy())
        assert np.array_equal(file.numpy(), video.numpy())
    with pytest.raises(UsageError, match="overwritten"):
        sf.generate(model=model, seeds="3", frames=4, out="v", format="npy")
    assert sf.generate(model=model, seeds=3, frames=4, out="v/3.npy", skip_existing=True) == []
    rest = sf.generate(model=model, seeds="3-5", frames=4, out="v/{seed}.npy", skip_existing=True)
    assert isinstance(rest, list) and len(rest) == 1  # a list, though one is left


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"frames": 0}, "frames 0: give a number from 1"),
        ({"fps": float("nan")}, "fps nan"),
        ({"format": "avi"}, "format 'avi': give one of mp4"),
        ({"seeds": 3, "interpolate": "3:4"}, "seeds and interpolate contradict"),
        ({"frames": 3, "seconds": 1}, "contradict"),
        ({"out": "-"}, "stream"),
        ({"save_track": "t"}, "give out"),
        ({"device": "cpu"}, "loaded model"),
        ({"seconds": float("inf")}, "seconds inf: give a number"),
        ({"from_": object()}, "no person"),
        ({"track": object()}, "no pose track"),
    ],
)
def test_wrong_values(model: Any, options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        sf.generate(model=model, **options)
    with pytest.raises(TypeError, match="no option 'sedes'"):
        sf.generate(model=model, sedes=3)


def test_something_that_is_no_model() -> None:
    with pytest.raises(UsageError, match="model '3': give a name"):
        sf.generate(model=3, frames=2)


def write_driver(model: Any) -> None:
    with video_writer(Path("clip.mkv"), "mkv", VideoSettings(SIDE, SIDE, 10.0)) as video:
        for frame in model.sample(5, 8):
            video.write(frame)


def test_people_and_tracks_in_memory(model: Any) -> None:
    write_driver(model)
    motion = sf.track("clip.mkv", model=model, crop=False, smooth=3)
    assert repr(motion) == "<pose track: 8 poses, 10 fps>"
    assert np.array_equal(read_track(motion.save("t.safetensors")).poses, motion.poses)
    faster = sf.track(motion, model=model, fps=20, join=motion, fade=0)
    assert faster.fps == 20 and len(faster) == 30

    Image.fromarray(next(iter(model.sample(7, 1)))).save("me.png")
    me = sf.invert("me.png", model=model, crop=False, steps=3)
    assert not isinstance(me, list)
    assert repr(me).startswith("<person of me.png in tiny: PSNR ")
    assert me.picture.shape == (SIDE, 3 * SIDE, 3) and me._repr_png_()[1:4] == b"PNG"
    me.save("me.safetensors")
    people = sf.invert(["me.png"], model=model, crop=False, steps=3, out="people")
    assert not isinstance(people, list)
    assert Path("people/me.safetensors.png").is_file()
    with pytest.raises(DataError, match="no face"):
        Image.new("RGB", (40, 40)).save("empty.png")
        sf.invert("empty.png", model=model)

    same = [
        sf.generate(model=model, from_=who, track=track, batch=1)
        for who in (me, "me.safetensors")
        for track in (motion, "t.safetensors")
    ]
    first = sf.reenact(me, motion, model=model, relative=False, batch=1)
    for video in same:
        assert not isinstance(video, list)
        assert np.array_equal(video.numpy(), first.numpy())
    assert len(first) == 8 and first.fps == 10
    by_seed = sf.reenact(3, Path("clip.mkv"), model=model, crop=False, out="r.mp4")
    assert by_seed.path == Path("r.mp4") and by_seed.about["driving"]["file"] == "clip.mkv"
    other = sf.load_model("default-64", device="cpu")
    for wrong in ({"from_": me}, {"track": motion}):
        with pytest.raises(UsageError, match="another"):
            sf.generate(model=other, **wrong)


def test_what_is_being_done_is_told(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from stylefacev_cli.common.listener import LogListener

    class Recorder(LogListener):
        def __init__(self) -> None:
            self.done: list[str] = []

        def doing(self, what: str) -> Any:
            self.done.append(what)
            return super().doing(what)

    recorder = Recorder()
    Image.new("RGB", (40, 40)).save("empty.png")
    with pytest.raises(DataError):
        sf.invert("empty.png", model=model, listener=recorder)
    assert "empty.png: looking for the face with face-mesh" in recorder.done
    video = sf.generate(model=str(model.manifest.folder), device="cpu", listener=recorder)
    assert "importing torch" in recorder.done and "loading the model tiny" in recorder.done
    assert not isinstance(video, list) and video.fps == TINY_FPS


SCRIPT = """
import sys
import stylefacev_cli as sf
assert {name for name in sys.modules if name.startswith("stylefacev_cli.")} == {
    "stylefacev_cli.version"}
assert not {"torch", "numpy"} & set(sys.modules)
video = sf.generate(model=sys.argv[1], device="cpu", frames=3)
assert video.numpy().shape[0] == 3
video.save("x.mp4")
loaded = {"typer", "rich"} & set(sys.modules)
assert not loaded, loaded
assert not any(name.startswith("stylefacev_cli.cli") for name in sys.modules)
"""


def test_nothing_of_a_terminal_is_imported(tiny_model: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SCRIPT, str(tiny_model)]
    subprocess.run(command, check=True, env=environment)
    assert Path("x.mp4").is_file()
