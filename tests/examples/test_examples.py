"""The scripts of `examples/` run and make what they say."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from discs import SET_DISCS, draw_frames, write_discs
from PIL import Image

from stylefacev_cli.media import read_frames

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    monkeypatch.syspath_prepend(str(EXAMPLES))  # as of a script
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_frames_become_a_picture(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "frames.png"
    run("sample_frames.py", str(picture), str(tiny_model), monkeypatch=monkeypatch)
    with Image.open(picture) as image:
        assert image.size == (8 * 16, 16)


def test_one_person_moves_in_four_ways(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = tmp_path / "motions.mp4"
    run("one_person_many_motions.py", str(video), str(tiny_model), monkeypatch=monkeypatch)
    frames = list(read_frames(video))
    assert len(frames) == 32
    assert frames[0].shape == (16, 64, 3)
    # One person, so the same first frame; then the motions part.
    assert abs(frames[0][:, :16].astype(int) - frames[0][:, 16:32]).mean() < 3
    assert abs(frames[-1][:, :16].astype(int) - frames[-1][:, 16:32]).max() > 0


@pytest.mark.render
def test_pictures_of_the_options(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every command of the documentation's pictures; their sizes do not depend on the model's."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "pictures"
    run("pictures.py", str(folder), str(tiny_model), monkeypatch=monkeypatch)
    made = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(made) == sorted(folder.iterdir())
    sizes = {}
    for path in made:
        with Image.open(path) as picture:
            sizes[path.name] = (*picture.size, getattr(picture, "n_frames", 1))
    assert sizes["mix.png"] == (8 * 96, 4 * 96, 1) and sizes["camera.png"] == (8 * 96, 3 * 96, 1)
    assert sizes["matrix.gif"] == (3 * 72, 3 * 72, 16) and sizes["loop.gif"][:2] == (4 * 72, 72)
    shown = {path.name for path in (EXAMPLES / "pictures").iterdir()}
    assert shown == {path.name for path in made}
    assert sum(path.stat().st_size for path in (EXAMPLES / "pictures").iterdir()) < 3_000_000


def test_ablations_are_trained_and_tabled(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = write_discs(draw_frames(5, 24), tmp_path / "discs")
    arguments = ["--config", "tiny", *SET_DISCS, "--data", str(data)]
    arguments += ["--out", str(tmp_path), "--identity", "none", "--clips", "0", "--images", "8"]
    for few in ("generator=16", "detector=4", "pose=8", "appearance=4", "joint=5", "motion=16"):
        arguments += ["--set", few.replace("=", ".num_images=")]
    arguments += ["--set", "finish=null"]
    run("ablations.py", *arguments, monkeypatch=monkeypatch)
    printed = capsys.readouterr()
    table = [line for line in printed.out.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in table] == [
        "| variant", "| full", "| without embedding loss", "| without re-balance",
    ]  # fmt: skip
    for stage, times in {"generator": 1, "pose": 1, "appearance": 2, "joint": 3}.items():
        assert printed.err.count(f"{stage}: done at step") == times
    settings = [
        yaml.safe_load((tmp_path / name / "config.yaml").read_text())
        for name in ("full", "without-embedding-loss", "without-re-balance")
    ]
    weights = [config["appearance"]["embedding_weight"] for config in settings]
    assert weights == [100.0, 0, 100.0]
    assert [config["joint"]["rebalance"] for config in settings] == [True, True, False]


def test_identity_is_measured_against_other_people() -> None:
    module = runpy.run_path(str(EXAMPLES / "ablations.py"))

    class Means:
        def embed(self, frames: np.ndarray) -> np.ndarray:
            return frames.mean(axis=(1, 2))

    pictures = np.zeros((3, 4, 4, 3), np.uint8)
    pictures[[0, 1, 2], :, :, [0, 0, 1]] = 9
    own, other = module["identity_of"](Means(), pictures, pictures, np.array([5, 5, 6]))
    assert own == pytest.approx(1) and other == pytest.approx(0)


def test_a_step_is_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        "bench_training_step.py",
        "--small",
        "--steps",
        "1",
        "--threads",
        "1",
        monkeypatch=monkeypatch,
    )
    printed = capsys.readouterr()
    assert printed.out.startswith("ours, float32") and "1.0x" in printed.out
    assert "float32    wall" in printed.err


def test_inversion_is_measured(
    tmp_path: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, sheet = write_discs(draw_frames(3, 24), tmp_path / "discs"), tmp_path / "sheet.png"
    arguments = ["--data", str(data), "--model", str(tiny_model), "--people", "2", "--steps", "8"]
    arguments += ["--every", "2", "--identity", "none", "--perceptual", "none", "--tune"]
    run("measure_inversion.py", *arguments, "--sheet", str(sheet), monkeypatch=monkeypatch)
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("2 people")
    cells = {row.split(" | ")[0].strip("| "): row.split(" | ")[1:] for row in rows[1:]}
    assert list(cells) == ["copy", "encoder", "inverted", "tuned"]
    assert float(cells["copy"][0]) > 90  # a copy is the photo itself
    with Image.open(sheet) as picture:
        assert picture.height == 4 * 16 and picture.width >= 4 * 16


def test_controls_are_measured(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--model", str(tiny_model), "--people", "2", "--long", "24", "--identity", "none"]
    run("measure_controls.py", *few, monkeypatch=monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["--rotate 10", "--rotate 20"]
    assert sum(line.startswith("--loop, seed") for line in lines) == 4
    assert lines[-1].startswith("seed 3 --no-stabilise, 120 frames: ")
    apart = next(line for line in lines if line.startswith("motions are apart"))
    assert float(apart.split()[4]) > 0


def test_measured_zooms_are_those_that_were_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("measure_controls.py", "--only", "zoom", "--people", "3", monkeypatch=monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    found = {float(line.split()[1].rstrip(":")): float(line.split()[4]) for line in lines}
    assert found == pytest.approx({factor: factor for factor in (0.85, 0.9, 1.25)}, abs=0.05)
