"""What only a last step would need is told before the first one, by a run and by its dry run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from discs import SET_DISCS, SIZE_PX, tiny_settings
from notes import Notes

from stylefacev_cli.cli.app import run
from stylefacev_cli.datasets.clips import INDEX_NAME, ClipEntry, write_clip
from stylefacev_cli.errors import DataError, StyleFaceVError, UsageError
from stylefacev_cli.networks.stylefacev.appearance import AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.motion import MotionSampler
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.batches.pose_cache import PoseTracks
from stylefacev_cli.training.card import FACTS_NAME
from stylefacev_cli.training.run import train
from stylefacev_cli.training.stages.motion import check_moving
from stylefacev_cli.weights.bundle import Networks, save_bundle
from stylefacev_cli.weights.manifest import read_manifest

ONE_STEP = ["motion.num_images=16"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A whole model of the sizes of tiny.yaml, with random weights."""
    config = tiny_settings()
    assert config.detector is not None
    torch.manual_seed(2)
    networks = Networks(
        generator=Generator(config.generator.architecture),
        landmarks=LandmarkDetector(config.detector.architecture),
        pose=PoseExtractor(config.pose.architecture),
        appearance=AppearanceRecomposer(config.appearance.architecture),
        motion=MotionSampler(config.motion.architecture),
    )
    folder = tmp_path / "start"
    save_bundle(folder, networks, name="start", fps=25, licence="CC0-1.0", provenance={})
    return folder


def refused(words: list[str], data: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says of a training, and its dry run, that must not begin."""
    told = set()
    arguments = ["train", *words, "--config", "tiny", *SET_DISCS, "--data", str(data)]
    for more in ([], ["--dry-run"]):
        code = run([*arguments, "--out", str(out), *more])
        message = capsys.readouterr().err
        assert message.count("\n") == 1 and "Traceback" not in message, message
        told.add((code, message))
    assert len(told) == 1 and not list(out.glob("*/checkpoints"))
    ((code, message),) = told
    return f"{code} {message}"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("name=a b", "2 stylefacev: name 'a b': give letters, digits, dots and dashes"),
        ('licence="CC\\u001b"', "2 stylefacev: licence has control characters"),
        ("perceptual=vgg61", "2 stylefacev: perceptual: 'vgg61' is not one of"),
        ("stages=[generator, pose]", "5 stylefacev: {out} has no trained detector yet, which the"),
        ("stages=[generator, finish]", "5 stylefacev: the model would lack landmarks, pose,"),
    ],
)
def test_settings(
    setting: str,
    message: str,
    clip_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    told = refused(["--set", setting], clip_folder, out, capsys)
    assert message.replace("{out}", str(out)).split(": ", 1)[1] in told
    assert told[0] == message[0]


def test_every_network_of_the_model_to_start_from(
    model: Path, clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, words = tmp_path / "run", ["--start-from", str(model)]
    file = model / "motion.safetensors"  # which the stages before the motion's do not touch
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert refused(words, clip_folder, out, capsys)[0] == "4"
    file.unlink()
    assert refused(["pose", *words], clip_folder, out, capsys)[0] == "3"


@pytest.mark.parametrize(
    "card",
    [
        "data: [1]\nstages: {}\n",
        "data: []\nstages: {pose: {steps: 1}}\n",
        "- a list",
        "{data: [], stages: {pose: {steps: 1, images: 1, hours: x, taken_step: 1, "
        "last_losses: {}, held_out: {}}}}",
    ],
)
def test_an_odd_card_of_the_model_is_told_and_ends_no_training(
    card: str, model: Path, clip_folder: Path, tmp_path: Path
) -> None:
    (model / FACTS_NAME).write_text(card)
    lines: list[str] = []
    config = tiny_settings([f"start_from={model}", "stages=[motion]", *ONE_STEP])
    assert train(config, [clip_folder], tmp_path / "run", listener=Notes(lines)).reason == "done"
    assert "its training card is left out of this run's" in lines[0]
    facts = yaml.safe_load((tmp_path / "run" / "bundle" / FACTS_NAME).read_text())
    assert facts["start_from"]["card"].startswith("not read: ")


def test_labels_that_some_clips_lack(
    clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "discs"
    shutil.copytree(clip_folder, data)
    entry = ClipEntry("x", "clips/x.png", "clips/x.npz", 24, SIZE_PX, 25.0, 9, "clip")
    factors = np.zeros((24, 12), np.float32)
    write_clip(data, entry, np.zeros((24, SIZE_PX, SIZE_PX, 3), np.uint8), {"factors": factors})
    with (data / INDEX_NAME).open("a") as index:
        index.write(entry.to_line())
    alone = ["generator.paired_weight=0", "generator.objective=adversarial"]
    alone += ["generator.discriminator={img_resolution: 16, channel_base: 128}", "finish=null"]
    with pytest.raises(DataError, match="the stage detector needs 98 landmarks for every frame"):
        train(tiny_settings(alone), [data], tmp_path / "run")
    assert not list((tmp_path / "run").glob("*/checkpoints"))


def test_rates_that_no_model_can_have(
    clips: Frames, clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "discs"
    shutil.copytree(clip_folder, data)
    index = data / INDEX_NAME
    index.write_text(index.read_text().replace('"fps": 25.0', '"fps": 1000.0'))
    message = refused([], data, tmp_path / "run", capsys)
    assert message[0] == "5" and "1000 frames a second" in message


def test_stills_alone_keep_the_rate_of_the_model(
    model: Path, clip_folder: Path, tmp_path: Path
) -> None:
    data = tmp_path / "discs"
    shutil.copytree(clip_folder, data)
    index = data / INDEX_NAME
    index.write_text(index.read_text().replace('"clip"', '"still"'))
    config = tiny_settings([f"start_from={model}", "appearance.pair_share=0"])
    train(config, [data], tmp_path / "run", stage="appearance")
    assert read_manifest(tmp_path / "run" / "bundle").fps == 25


def test_folders_of_the_model_and_the_stages(
    clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("bundle", "motion"):
        out = tmp_path / name
        out.mkdir()
        (out / name).write_text("a file")
        assert "is no folder" in refused([], clip_folder, out, capsys)


def test_poses_that_never_move(
    model: Path, clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PoseExtractor, "forward", lambda self, x: torch.ones(len(x), 1, 8, 8))
    config = tiny_settings([f"start_from={model}", *ONE_STEP])
    with pytest.raises(DataError, match="all poses of the clips are alike: train the stage pose"):
        train(config, [clip_folder], tmp_path / "run", stage="motion")
    assert not list((tmp_path / "run").glob("*/checkpoints"))
    tracks = PoseTracks(torch.ones(8, 64), np.array([[0, 4], [4, 4]]))
    with pytest.raises(DataError):
        check_moving(tracks, 4)
    tracks.poses[5] = 2
    check_moving(tracks, 4)


def test_what_comes_at_the_end_is_tried_by_the_dry_run(
    clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stylefacev_cli.training.dry_run import dry_run
    from stylefacev_cli.training.stages.pose import PoseStage

    def fail(self: Any) -> None:
        raise StyleFaceVError("no validation")

    monkeypatch.setattr(PoseStage, "validate", fail)
    with pytest.raises(StyleFaceVError, match="no validation"):
        dry_run(tiny_settings(), [clip_folder], tmp_path / "run", stage="pose")


def test_two_runs_in_one_folder(clip_folder: Path, tmp_path: Path) -> None:
    from stylefacev_cli.common.files import only_run

    config = tiny_settings()
    with only_run(tmp_path, "training in"), pytest.raises(StyleFaceVError, match="another run"):
        train(config, [clip_folder], tmp_path, stage="generator")
    assert not (tmp_path / "config.yaml").exists()  # of the run that is at it
    with pytest.raises(UsageError, match="no section"):
        train(tiny_settings(["finish=null"]), [clip_folder], tmp_path, stage="finish")
