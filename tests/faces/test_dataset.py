from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from stylefacev_cli.cli.app import run
from stylefacev_cli.common.files import locked
from stylefacev_cli.datasets.clips import ClipSet
from stylefacev_cli.errors import DataError, StyleFaceVError, UsageError
from stylefacev_cli.faces import dataset
from stylefacev_cli.faces.dataset import Progress, render_set
from stylefacev_cli.faces.latent_renderer import LatentRenderer
from stylefacev_cli.faces.parameters import POSE_NAMES
from stylefacev_cli.faces.render_request import RenderSettings

SMALL = RenderSettings(num_identities=3, num_frames=4, size_px=32, seed=9, look="procedural")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def one_studio(studio: LatentRenderer, monkeypatch: pytest.MonkeyPatch) -> LatentRenderer:
    """Let sets use the session's studio at its size: one GL context per process."""

    def shared(size_px: int, framing: object, look: str) -> LatentRenderer:
        assert (size_px, look) == (64, "procedural")
        studio.factors = type(studio.factors)(framing)  # type: ignore[arg-type]
        return studio

    monkeypatch.setattr(dataset, "LatentRenderer", shared)
    return studio


def settings(**changes: object) -> RenderSettings:
    values = {"num_identities": 3, "num_frames": 4, "size_px": 64, "seed": 9}
    values |= {"look": "procedural", **changes}
    return RenderSettings(**values)  # type: ignore[arg-type]


@pytest.mark.render
def test_a_set_is_the_same_whatever_the_processes(
    one_studio: LatentRenderer, tmp_path: Path
) -> None:
    render_set(settings(), tmp_path / "one")
    render_set(settings(), tmp_path / "two", num_processes=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.render
def test_labels_belong_to_the_frames(one_studio: LatentRenderer, tmp_path: Path) -> None:
    render_set(settings(fps=15), tmp_path / "set")
    clips = ClipSet(tmp_path / "set")
    clips.check()
    assert len(clips) == 3
    clip = clips.clip(1)
    assert (clip.entry.kind, clip.entry.fps, clip.entry.identity) == ("clip", 15, 1)
    frames, labels = clip.frames(), clip.labels()
    assert frames.shape == (4, 64, 64, 3)
    assert labels["landmarks"].shape == (4, 98, 2) and labels["visible"].dtype == bool
    assert labels["expressions"].shape == (4, 52) == (4, len(labels["expression_names"]))
    columns = clips.manifest()["columns"]
    for name, table in columns.items():
        assert labels[name].shape[-1] >= len(table)
    z = labels["factors"]
    np.testing.assert_allclose((z**2).mean(-1), 1, atol=1e-5)
    again = one_studio.render(z[2])
    np.testing.assert_array_equal(again.image, frames[2])
    np.testing.assert_array_equal(again.landmarks, labels["landmarks"][2])
    pose = one_studio.factors.pose_of(z[2])
    np.testing.assert_allclose(
        labels["head_pose"][2], [pose.yaw_deg, pose.pitch_deg, pose.roll_deg], rtol=1e-6
    )


@pytest.mark.render
def test_clips_keep_scene_and_person_and_stills_only_the_person(
    one_studio: LatentRenderer, tmp_path: Path
) -> None:
    render_set(settings(num_identities=1), tmp_path / "clips")
    render_set(settings(num_identities=1, kind="stills", framing="wide"), tmp_path / "stills")
    factors = one_studio.factors
    moving = ClipSet(tmp_path / "clips").clip(0).labels()["factors"]
    stills = ClipSet(tmp_path / "stills").clip(0).labels()["factors"]
    for part in (factors.identity, factors.scene):
        assert (moving[:, part] == moving[0, part]).all()
    assert (stills[:, factors.identity] == stills[0, factors.identity]).all()
    assert (stills[1:, factors.scene] != stills[0, factors.scene]).all()
    assert (moving[1:, factors.pose] != moving[:-1, factors.pose]).any()


@pytest.mark.render
def test_an_interrupted_run_goes_on(one_studio: LatentRenderer, tmp_path: Path) -> None:
    render_set(settings(), tmp_path / "whole")

    def stop(progress: Progress) -> None:
        if progress.num_done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_set(settings(), tmp_path / "torn", report=stop)
    index = tmp_path / "torn" / "index.jsonl"
    index.write_text(index.read_text() + '{"id": "00000')  # a line cut off by a crash
    seen: list[int] = []
    render_set(settings(), tmp_path / "torn", report=lambda p: seen.append(p.num_done))
    assert seen == [2, 3]
    assert contents(tmp_path / "torn") == contents(tmp_path / "whole")
    render_set(settings(num_identities=4), tmp_path / "torn")  # a set may grow
    assert len(ClipSet(tmp_path / "torn")) == 4


def test_the_manifest_says_where_factors_are(tmp_path: Path) -> None:
    dataset._write_manifest(tmp_path, SMALL)
    (tmp_path / "index.jsonl").write_text(dataset._entry(SMALL, 0).to_line())
    manifest = ClipSet(tmp_path).manifest()
    names, blocks = manifest["columns"]["factors"], manifest["factor_blocks"]
    assert list(blocks) == ["identity", "scene", "pose"]
    first, stop = blocks["pose"]
    assert len({name.lstrip("-") for name in names}) == len(names) == stop
    assert {name.lstrip("-") for name in names[first:stop]} == set(POSE_NAMES)


def test_a_fixed_split_is_of_everybody(tmp_path: Path) -> None:
    for folder, split in ((tmp_path / "val", "val"), (tmp_path / "open", None)):
        one = settings(split=split)
        dataset._write_manifest(folder, one)
        lines = [dataset._entry(one, number).to_line() for number in range(3)]
        (folder / "index.jsonl").write_text("".join(lines))
        clips = ClipSet(folder)
        assert [entry.split for entry in clips.entries] == [split] * 3
        assert clips.manifest()["settings"].get("split") == split
    with pytest.raises(UsageError, match="other settings"):
        render_set(settings(split="train"), tmp_path / "val")
    with pytest.raises(UsageError, match="--split test: choose train or val"):
        settings(split="test")


def test_another_set_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump({"recipe": 0, "settings": {"seed": 1}}))
    with pytest.raises(UsageError, match="other settings"):
        render_set(SMALL, tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("")
    with pytest.raises(UsageError, match="not empty"):
        render_set(SMALL, tmp_path / "full")


def test_missing_clips_are_noticed(tmp_path: Path) -> None:
    dataset._write_manifest(tmp_path, SMALL)
    (tmp_path / "index.jsonl").write_text(dataset._entry(SMALL, 0).to_line())
    with pytest.raises(DataError, match="clip 0 is missing"):
        render_set(SMALL, tmp_path)


def test_an_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="choose another --out"):
        render_set(SMALL, tmp_path / "file" / "set")


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_identities": 0},
        {"num_frames": 10**9},
        {"size_px": 3},
        {"seed": -1},
        {"fps": 0.0},
        {"kind": "films"},
        {"framing": "odd"},
        {"look": "painted"},
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="--"):
        settings(**wrong)


@pytest.mark.render
def test_the_command(
    one_studio: LatentRenderer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    arguments = ["--identities", "1", "--frames", "2", "--size", "64", "--out", str(out), "--json"]
    arguments += ["--look", "procedural"]
    assert run(["data", "render", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["index"] == str(out / "index.jsonl")
    assert run(["data", "inspect", str(out), "--check", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["frames"], facts["look"]) == (2, "procedural")


def test_the_command_tells_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "render", "--kind", "films", "--out", str(tmp_path / "set")]) == 2
    assert run(["data", "inspect", str(tmp_path)]) == 5
    told = capsys.readouterr()
    assert told.out == ""
    first, second = told.err.splitlines()
    assert "choose clips or stills" in first and "no set of clips" in second


def test_two_runs_do_not_write_one_set(tmp_path: Path) -> None:
    with locked(tmp_path / ".lock"), pytest.raises(StyleFaceVError, match="another run"):
        render_set(SMALL, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]  # no manifest of the second


def test_two_processes_that_begin_one_set_together(tmp_path: Path) -> None:
    out, go = tmp_path / "set", tmp_path / "go"
    script = f"""
import time
from pathlib import Path
from stylefacev_cli.datasets.clips import ClipEntry
from stylefacev_cli.errors import StyleFaceVError
from stylefacev_cli.faces import dataset
from stylefacev_cli.faces.render_request import RenderSettings

def rendered(settings, folder, numbers, num_processes):
    for number in numbers:
        time.sleep(0.05)
        entry = dataset._entry(settings, number)
        for name in (entry.file, entry.labels):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        yield entry

dataset._render_all, dataset.fetch_assets = rendered, lambda look: None
import sys
seed = int(sys.argv[1])
settings = RenderSettings(8, num_frames=2, size_px=32, look="procedural", seed=seed)
print("ready", flush=True)
while not Path({str(go)!r}).exists():
    time.sleep(0.001)
try:
    dataset.render_set(settings, {str(out)!r})
except StyleFaceVError as error:
    print(error)
"""
    runs = [
        subprocess.Popen([sys.executable, "-c", script, seed], stdout=subprocess.PIPE, text=True)
        for seed in ("1", "2")
    ]
    for one in runs:
        assert one.stdout is not None and one.stdout.readline() == "ready\n"
    go.touch()
    told = [one.communicate(timeout=60)[0] for one in runs]
    assert [one.returncode for one in runs] == [0, 0]
    (won,) = (number for number, text in enumerate(told, start=1) if not text)
    assert "another run is rendering into" in "".join(told) or "other settings" in "".join(told)
    assert len((out / "index.jsonl").read_text().splitlines()) == 8
    assert yaml.safe_load((out / "manifest.yaml").read_text())["settings"]["seed"] == won
