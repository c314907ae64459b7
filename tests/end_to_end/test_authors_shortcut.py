"""The authors' shortcut: their generator and two pre-trained files, `train joint`, `train motion`.

It ends in a bundle that generates.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from discs import SET_DISCS, draw_frames, write_discs
from released_files import write_released
from tiny import DISC_GENERATOR

from stylefacev_cli.cli.app import run
from stylefacev_cli.weights.bundle import load_bundle
from stylefacev_cli.weights.manifest import read_manifest


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Clips without labels, as `data prepare videos --keep-frames` makes them."""
    folder = write_discs(draw_frames(5, 24), tmp_path / "discs")
    index = folder / "index.jsonl"
    lines = index.read_text().splitlines()
    for number in range(len(lines)):
        lines[number] = lines[number].replace(f'"clips/{number}.npz"', "null")
    index.write_text("\n".join(lines) + "\n")
    return folder


def test_the_shortcut_ends_in_a_model_that_generates(
    data: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(2)  # some random pose extractors give one pose for all
    folder = tmp_path / "pretrained_models"
    folder.mkdir()
    write_released(folder, DISC_GENERATOR, filled=False)
    for name in ("latest_net_FE.pth", "latest_net_FE_lm.pth", "latest_net_FE_pose.pth"):
        (folder / name).unlink()  # these lie elsewhere, and were not fetched
    assert run(["weights", "import", "pre", "--archive", str(folder)]) == 0
    told = capsys.readouterr().err
    assert "motion_net.pth was left aside" in told and "it lacks landmarks, motion" in told

    out = tmp_path / "run"
    settings = [
        *("joint.num_images=3", "joint.num_clips=1", "joint.num_generated=1"),
        *("motion.num_images=32", "detector=null", "held_out_permille=0"),
    ]
    command = [
        *(
            "--config",
            "tiny",
            *SET_DISCS,
            "--data",
            str(data),
            "--out",
            str(out),
            "--start-from",
            "pre",
        ),
        *(part for setting in settings for part in ("--set", setting)),
    ]
    assert run(["train", "joint", *command]) == 0
    assert "no model yet: it lacks motion (`stylefacev train motion`)" in capsys.readouterr().err
    assert not (out / "bundle").exists()
    assert run(["train", "motion", *command]) == 0
    assert f"model: {out / 'bundle'}" in capsys.readouterr().err
    manifest = read_manifest(out / "bundle")
    assert manifest.missing == ()
    networks = load_bundle(out / "bundle").networks
    start = load_bundle("pre").networks
    assert networks.appearance is not None and start.appearance is not None
    assert networks.appearance.config == start.appearance.config  # of the released sizes
    video = tmp_path / "{seed}.mp4"
    generate = ["generate", "--model", str(out / "bundle"), "--seeds", "0-1", "--frames", "4"]
    assert run([*generate, "--out", str(video), "-q"]) == 0
    assert (tmp_path / "0.mp4").stat().st_size and (tmp_path / "1.mp4").stat().st_size
