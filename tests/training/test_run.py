from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from discs import draw_frames, tiny_settings, write_discs
from notes import Notes

from stylefacev_cli.datasets.clips import INDEX_NAME, MANIFEST_NAME, ClipEntry, write_clip
from stylefacev_cli.errors import DataError, StyleFaceVError, UsageError
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.batches.reading import load_frames
from stylefacev_cli.training.engine.checkpoint import CheckpointStore
from stylefacev_cli.training.resources import checkpoint_bytes_of
from stylefacev_cli.training.run import RunOptions, train
from stylefacev_cli.training.settings import STAGES, load_settings
from stylefacev_cli.training.stages.detector import DetectorStage
from stylefacev_cli.training.trainer import locked
from stylefacev_cli.weights.bundle import load_bundle


def test_frames_are_read_as_they_were_written(clip_folder: Path, clips: Frames) -> None:
    read = load_frames([clip_folder], 16, held_out_permille=500)
    assert np.array_equal(read.images, clips.images) and read.fps == 25
    assert np.array_equal(read.factors, clips.factors)
    assert np.array_equal(read.starts, clips.starts)
    assert 0 < read.held_out.mean() < 1
    twice = load_frames([clip_folder, clip_folder], 16, held_out_permille=500)
    assert np.array_equal(twice.held_out[: len(read.images)], read.held_out)
    with pytest.raises(DataError, match="clip 0 is 16 px, the config says 32"):
        load_frames([clip_folder], 32, 0)
    with pytest.raises(DataError, match="--data"):
        load_frames([], 16, 0)


def test_long_clips_tell_the_rate(clip_folder: Path, clips: Frames, tmp_path: Path) -> None:
    labels = {"factors": clips.factors[:2], "landmarks": clips.landmarks[:2]}
    entry = ClipEntry("slow", "clips/slow.png", "clips/slow.npz", 2, 16, 2.0, 0, "clip")
    write_clip(tmp_path, entry, clips.images[:2], labels)
    (tmp_path / INDEX_NAME).write_text(entry.to_line())
    assert load_frames([tmp_path], 16, 0).fps == 2
    assert load_frames([clip_folder, tmp_path], 16, 0).fps == 25


def test_all_stages_then_a_model_that_loads(
    clip_folder: Path, clips: Frames, tmp_path: Path
) -> None:
    config = tiny_settings(["frames_in_memory_gb=0"])
    lines: list[str] = []
    outcome = train(config, [clip_folder], tmp_path, listener=Notes(lines))
    assert outcome.reason == "done" and not (tmp_path / "frames").exists()
    for stage in STAGES:
        assert any(line.startswith(f"{stage}: done at step") for line in lines), stage
        assert list((tmp_path / stage / "sample_grids").glob("*.png"))
        newest = sorted((tmp_path / stage / "checkpoints").glob("step-*.ckpt"))[-1].stat().st_size
        foreseen = checkpoint_bytes_of(config, stage, len(clips.images))
        assert 0.3 * newest < foreseen < 2 * newest, stage  # small saves are mostly names
    card = (tmp_path / "bundle" / "TRAINING_CARD.md").read_text()
    assert all(f"| {stage} |" in card for stage in STAGES)
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.manifest.name == "tiny" and bundle.manifest.resolution == 16
    ema = CheckpointStore(tmp_path / "finish" / "checkpoints").load_newest()
    assert ema is not None
    saved = ema["stage"]["networks"]["ema"]["mapping.fc0.weight"]
    loaded = bundle.networks.generator.state_dict()["mapping.fc0.weight"]
    torch.testing.assert_close(loaded, saved, rtol=1e-2, atol=1e-2)
    effective = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert effective["pose"]["key_point_weight"] == 10.0

    # Again: nothing is left to do.
    lines.clear()
    train(config, [clip_folder], tmp_path, listener=Notes(lines))
    assert [line for line in lines if "done before" in line] == [
        f"{stage}: done before" for stage in STAGES
    ]
    # With more images it goes on where it was.
    more = tiny_settings(["generator.num_images=64"])
    lines.clear()
    outcome = train(more, [clip_folder], tmp_path, stage="generator", listener=Notes(lines))
    assert outcome.step == 8 and any("resumed from step 6" in line for line in lines)

    # Another run starts from the generator of this model; it has no stage "generator" then.
    wanted = f"start_from={tmp_path / 'bundle'}"
    other = tiny_settings([wanted])
    train(other, [clip_folder], tmp_path / "other", stage="finish", listener=Notes(lines))
    start = bundle.networks.generator.state_dict()["synthesis.input.weight"]
    state = CheckpointStore(tmp_path / "other" / "finish" / "checkpoints").load_newest()
    assert state is not None
    moved = state["stage"]["networks"]["ema"]["synthesis.input.weight"]
    assert 0 < (moved - start).abs().mean() < 0.1 * start.abs().mean()
    wide = tiny_settings([wanted, "generator.architecture.channel_max=20",
                                                  "finish=null"])  # fmt: skip
    with pytest.raises(UsageError, match="generator.architecture is not that of"):
        train(wide, [clip_folder], tmp_path / "wide", listener=Notes(lines))


def test_a_run_goes_on_with_other_data(tmp_path: Path) -> None:
    """Sets come and go; people held out, optimisers and the count of images stay."""
    config = tiny_settings(["held_out_permille=0", "frames_in_memory_gb=0"])
    held_out = write_discs(draw_frames(3, 4, seed=9), tmp_path / "held-out")
    index = held_out / INDEX_NAME
    index.write_text(index.read_text().replace("}\n", ', "split": "val"}\n'))
    run = tmp_path / "run"
    lines: list[str] = []

    def states() -> dict[str, Any]:
        state = CheckpointStore(run / "generator" / "checkpoints").load_newest()
        assert state is not None
        return state

    momenta = []
    for number, until in ((1, 16), (2, 32), (2, 32), (3, 999)):
        data = write_discs(draw_frames(5, 6, seed=number), tmp_path / "chunk")
        (data / MANIFEST_NAME).write_text(f"settings: {{seed: {number}}}")
        folders = [held_out, data]
        outcome = train(
            config,
            folders,
            run,
            stage="generator",
            listener=Notes(lines),
            options=RunOptions(until_images=until, accept_changes=True),
        )
        state = states()
        assert outcome.step == state["step"] == min(until, 48) // 8
        assert state["stage"]["others"]["sampler"]["num_rows"] == 30
        momenta.append(state["stage"]["others"]["optimisers"]["states"][0][0]["momentum"])
        assert len(list((run / "frames").iterdir())) == 1  # those of the set before are gone
        shutil.rmtree(data)
    assert outcome.reason == "done"
    assert torch.equal(momenta[1], momenta[2])  # nothing was left to do
    assert all(momentum.abs().sum() > 0 for momentum in momenta)
    assert lines.count("data: 42 frames, 12 of them held out") == 4
    epochs = states()["stage"]["others"]["sampler"]["epoch"]
    assert epochs == 2  # a new round over each set
    with pytest.raises(UsageError, match="--until-images counts the images of one stage"):
        train(config, [held_out], run, options=RunOptions(until_images=8))


def test_stages_need_those_before_them(clip_folder: Path, tmp_path: Path) -> None:
    config = tiny_settings([])
    with pytest.raises(DataError, match="no trained generator yet: `stylefacev train generator`"):
        train(config, [clip_folder], tmp_path, stage="pose")
    with pytest.raises(UsageError, match="no stage 'poses'"):
        train(config, [clip_folder], tmp_path, stage="poses")


def test_batches_that_do_not_split_are_told_before_the_first_stage(tmp_path: Path) -> None:
    config = tiny_settings(["joint.accumulate=4"])
    with pytest.raises(
        UsageError, match="joint: image_loss_share of num_generated 2 does not split evenly"
    ):
        train(config, [], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_run_a_stage_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(StyleFaceVError, match="another run"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


@pytest.mark.parametrize(
    "name", ["tiny", "default-64", "default-128", "default-256-start", "default-256"]
)
def test_example_settings_are_valid(name: str) -> None:
    assert load_settings(name, []).name == name


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("generator.batchsize=3", "unknown key 'batchsize'"),
        ("generator.objective=other", "objective 'other' is not paired or adversarial"),
        ("generator.num_factors=13", "num_factors"),
        ("appearance.architecture.num_ws=9", "num_ws 6"),
        ("resolution=32", "img_resolution"),
        ("loop.num_checkpoints=1", "num_checkpoints is at least 2"),
        ("joint.num_images=many", "tiny.yaml.joint.num_images must be a whole number"),
    ],
)
def test_wrong_settings(override: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        tiny_settings([override])
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_data_without_labels(clips: Frames, tmp_path: Path) -> None:
    labels = {"key_points": np.full((24, 14, 2), 0.5, np.float32)}
    entry = ClipEntry("0", "clips/0.png", "clips/0.npz", 24, 16, 25.0, 0, "clip", split="val")
    write_clip(tmp_path, entry, clips.images[:24], labels)
    (tmp_path / INDEX_NAME).write_text(entry.to_line())
    read = load_frames([tmp_path], 16, 0)
    assert read.held_out.all()  # the split of the index goes before the rule
    assert (read.key_point_batch(np.arange(2)) == 0.5).all()
    read.need_key_points("a stage")
    with pytest.raises(DataError, match="need the latents of rendered faces"):
        read.factor_batch(np.arange(2))
    config = tiny_settings([])
    with pytest.raises(DataError, match="0 factors a frame"):
        train(config, [tmp_path], tmp_path / "run", stage="generator")
    with pytest.raises(DataError, match="the stage detector needs 98 landmarks"):
        DetectorStage(config.detector, read, 0, None)
    unlabelled = dataclasses.replace(read, key_points=np.full_like(read.key_points, np.nan))
    with pytest.raises(DataError, match="key_point_surrogate_weight needs key points"):
        unlabelled.need_key_points("key_point_surrogate_weight")
