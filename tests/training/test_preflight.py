"""What is checked before training, the dry run, and the card that training ends with."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from discs import SET_DISCS, tiny_settings

from stylefacev_cli.cli.app import run
from stylefacev_cli.datasets.clips import ClipEntry, write_clip
from stylefacev_cli.errors import DataError, StyleFaceVError, UsageError
from stylefacev_cli.training import preflight, resources
from stylefacev_cli.training.artifacts import Checkpoints
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.batches.reading import load_frames
from stylefacev_cli.training.card import FACTS_NAME, commit_of, set_facts, write_card
from stylefacev_cli.training.dry_run import StageCost, line_of, summary
from stylefacev_cli.training.engine.best import BEST_NAME
from stylefacev_cli.training.engine.checkpoint import CheckpointStore, write_checkpoint
from stylefacev_cli.training.preflight import check_run
from stylefacev_cli.training.resources import in_units
from stylefacev_cli.training.run import stages_of, train
from stylefacev_cli.training.settings import STAGES, TrainingConfig


def settings(*overrides: str) -> TrainingConfig:
    return tiny_settings(overrides)


def check(config: TrainingConfig, data: list[Path], out: Path) -> preflight.Needs:
    return check_run(config, data, out, stages_of(config, "all"))


def write_set(
    folder: Path,
    num_frames: int,
    labels: dict[str, Any],
    kind: str = "clip",
    split: str | None = None,
    fps: float = 25.0,
) -> Path:
    name = "clips/0"
    entry = ClipEntry("0", f"{name}.png", f"{name}.npz", num_frames, 16, fps, 0, kind, split=split)
    write_clip(folder, entry, np.zeros((num_frames, 16, 16, 3), np.uint8), labels)
    (folder / "index.jsonl").write_text(entry.to_line())
    return folder


def labels(num_frames: int, z_dim: int = 12) -> dict[str, Any]:
    return {
        "factors": np.zeros((num_frames, z_dim), np.float32),
        "landmarks": np.zeros((num_frames, 98, 2), np.float32),
    }


def test_a_good_run_passes_and_says_what_it_needs(clip_folder: Path, tmp_path: Path) -> None:
    needs = check(settings(), [clip_folder], tmp_path / "a" / "b")
    assert needs.num_frames == 5 * 24 and needs.data_bytes > 120 * 16 * 16 * 3
    assert list(needs.checkpoint_bytes) == stages_of(settings(), "all")
    saves = 5 * sum(needs.checkpoint_bytes.values())
    saves += resources.bundle_bytes_of(settings(), list(needs.checkpoint_bytes))
    assert needs.disk_bytes == saves and not needs.is_mapped
    mapped = check(settings("frames_in_memory_gb=0"), [clip_folder], tmp_path)
    assert mapped.disk_bytes == saves + needs.data_bytes and mapped.is_mapped
    assert not list(tmp_path.iterdir())
    assert [in_units(n) for n in (5, 51_000, 5.1e6, 5.1e10)] == ["5 B", "51 KB", "5 MB", "51.0 GB"]


def test_short_clips_are_told_before_the_first_stage(clip_folder: Path, tmp_path: Path) -> None:
    long = settings("motion.num_frames=30")
    with pytest.raises(DataError, match=r"motion needs clips of 30 frames .*longest .* has 24"):
        train(long, [clip_folder], tmp_path / "run")
    assert not (tmp_path / "run").exists()
    one = {"held_out_permille": 0}
    overrides = [f"{key}={value}" for key, value in one.items()]
    stills = write_set(tmp_path / "stills", 30, labels(30), kind="still")
    with pytest.raises(DataError, match="motion needs clips of 8 frames .* has 0"):
        check(settings(*overrides), [stills], tmp_path)
    short = write_set(tmp_path / "short", 8, labels(8))
    check(settings(*overrides, "joint.window.max_gap=4"), [short], tmp_path)
    with pytest.raises(DataError, match="joint needs clips of 13 frames"):
        check(settings(*overrides, "joint.window.min_gap=9"), [short], tmp_path)


@pytest.mark.parametrize(
    ("labelled", "message"),
    [
        ({"factors": np.zeros((24, 12), np.float32)}, "no landmarks for the stage detector"),
        (labels(24, z_dim=7), "7 factors a frame, the stage generator takes 12"),
    ],
)
def test_missing_labels(labelled: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 24, labelled)
    with pytest.raises(DataError, match=message):
        check(settings("held_out_permille=0"), [folder], tmp_path)


def test_prepared_sets_have_their_own_split_and_labels(tmp_path: Path) -> None:
    key_points = {"key_points": np.zeros((24, 14, 2), np.float32)}
    prepared = write_set(tmp_path / "prepared", 24, key_points, split="train")
    held_out = write_set(tmp_path / "held", 24, key_points, split="val")
    unlabelled = write_set(tmp_path / "unlabelled", 24, {})

    def for_stage(stage: str, folder: Path, *overrides: str) -> None:
        check_run(settings(*overrides), [folder], tmp_path / "run", [stage])

    everyone = "held_out_permille=1000"  # the split of the index goes before the rule
    for_stage("motion", prepared, everyone)
    with pytest.raises(DataError, match="nobody is left to train on"):
        for_stage("motion", held_out, "held_out_permille=0")
    with pytest.raises(DataError, match="appearance takes 12: .*do without .appearance.pair_share"):
        for_stage("appearance", prepared, everyone)
    for_stage("appearance", prepared, "appearance.pair_share=0", everyone)
    factors = {"factors": np.zeros((24, 12), np.float32)}
    drawn = write_set(tmp_path / "drawn", 24, factors, split="train")
    with pytest.raises(DataError, match="no landmarks for the stage generator"):
        for_stage("generator", drawn)
    with pytest.raises(DataError, match="no key points for the stage joint"):
        for_stage("joint", drawn, "joint.key_point_surrogate_weight=1")
    for_stage("joint", unlabelled, "held_out_permille=0")


def test_motion_is_learnt_at_one_rate(tmp_path: Path) -> None:
    rates = {"a": 25.0, "b": 30.0, "film": 23.976, "cinema": 24.0, "unknown": 0.0}
    sets = {
        name: write_set(tmp_path / name, 24, labels(24), fps=fps) for name, fps in rates.items()
    }
    config = settings("held_out_permille=0")

    def for_stage(stage: str, *names: str) -> None:
        check_run(config, [sets[name] for name in names], tmp_path / "run", [stage])

    for_stage("motion", "film", "cinema")
    with pytest.raises(DataError, match=r"has an unknown rate, and a model .* up to 240: .*--fps"):
        for_stage("motion", "unknown")  # not after the last step
    for_stage("detector", "a", "b")  # pictures have no rate
    sets["pairs"] = write_set(tmp_path / "pairs", 4, labels(4), fps=2)  # too short for motion
    for_stage("motion", "a", "pairs")
    frames = load_frames([sets["a"], sets["b"], sets["pairs"]], 16, 0)
    frames.need_one_rate(25, "x")
    with pytest.raises(DataError, match="x needs clips of one frame rate"):
        frames.need_one_rate(8, "x")
    with pytest.raises(DataError, match=r"the stage motion needs .* 25 and 30 frames a second"):
        for_stage("motion", "a", "b")
    with pytest.raises(DataError, match="an unknown number of and 25"):
        for_stage("motion", "a", "unknown")


def test_factors_are_where_the_set_says(tmp_path: Path) -> None:
    drawn = write_set(tmp_path / "drawn", 24, labels(24))
    for_all = ["held_out_permille=0", "generator.num_factors=9"]
    swaps = "appearance.pose_factors={first: 6, stop: 9}"
    check(settings(*for_all, swaps), [drawn], tmp_path)  # it says nothing

    def says(**content: Any) -> None:
        (drawn / "manifest.yaml").write_text(yaml.safe_dump(content))

    says(columns={"factors": [f"-f{i}" for i in range(9)]}, factor_blocks={"pose": [6, 9]})
    check(settings(*for_all, swaps), [drawn], tmp_path)
    says(columns={"factors": ["f"] * 8})
    with pytest.raises(DataError, match=r"names 8 factors, generator\.num_factors is 9: give it 8"):
        check(settings(*for_all, swaps), [drawn], tmp_path)
    check(settings(for_all[0], swaps), [drawn], tmp_path)
    says(factor_blocks={"pose": [5, 9]})
    with pytest.raises(
        DataError, match=r"factors 5 to 9, but appearance\.pose_factors says 6 to 9"
    ):
        check(settings(*for_all, swaps), [drawn], tmp_path)


def test_each_process_needs_its_memory(
    clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = check(settings(), [clip_folder], tmp_path)
    monkeypatch.setattr(resources, "available_memory", lambda: 3 * needs.data_bytes)
    check(settings(), [clip_folder], tmp_path)
    monkeypatch.setattr(resources, "num_processes", lambda: 4)
    with pytest.raises(StyleFaceVError, match="reading the data needs"):
        check(settings(), [clip_folder], tmp_path)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # the others are on another machine
    check(settings(), [clip_folder], tmp_path)


def test_wrong_data_folder_space_and_memory(
    clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="no data: name folders with --data"):
        check(settings(), [], tmp_path)
    with pytest.raises(DataError, match="is no set of clips"):
        check(settings(), [tmp_path], tmp_path)
    with pytest.raises(DataError, match="finish wants images beside videos .*clips alone"):
        check(settings("finish.video_share=0.5"), [clip_folder], tmp_path)
    with pytest.raises(DataError, match="nobody is left to train on"):
        check(settings("held_out_permille=1000"), [clip_folder], tmp_path)
    copy = tmp_path / clip_folder.name
    shutil.copytree(clip_folder, copy)
    (copy / "clips" / "3.png").unlink()
    with pytest.raises(DataError, match="lacks clips/3.png"):
        check(settings(), [copy], tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StyleFaceVError, match="file is no folder"):
        check(settings(), [clip_folder], tmp_path / "file" / "run")
    monkeypatch.setattr(resources.os, "access", lambda path, mode: False)
    with pytest.raises(StyleFaceVError, match="no right to write"):
        check(settings(), [clip_folder], tmp_path / "run")
    monkeypatch.undo()
    monkeypatch.setattr(resources, "available_memory", lambda: 1000)
    with pytest.raises(StyleFaceVError, match="memory, but 1 KB are available"):
        check(settings(), [clip_folder], tmp_path)
    monkeypatch.undo()
    little = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(resources.shutil, "disk_usage", lambda path: little)
    with pytest.raises(StyleFaceVError, match="but .* has 1 KB free: lower loop.num_checkpoints"):
        check(settings(), [clip_folder], tmp_path / "run")


def test_dry_run_measures_every_stage_and_writes_nothing(
    clip_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "run"
    arguments = ["train", "--dry-run", "--config", "tiny", *SET_DISCS, "--out", str(out)]
    assert run([*arguments, "--data", str(clip_folder)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("dry run passed: generator, finish, detector, pose, appearance,")
    assert printed.out.count("\n") == 1 and "peak memory" in printed.out
    for stage in stages_of(settings(), "all"):
        (line,) = (text for text in printed.err.splitlines() if text.startswith(f"{stage}: "))
        for word in (" M parameters", "peak", "s a step of", "for the whole stage"):
            assert word in line
        section = getattr(settings(), stage)
        assert f" {math.ceil(section.num_images / section.batch_size):,} steps, " in line
    assert not list(tmp_path.iterdir())
    one = [*arguments[:1], "pose", *arguments[1:], "--data", str(clip_folder)]
    assert run(one) == 0  # those before it, of which there are no saves, are built, not measured
    printed = capsys.readouterr()
    assert printed.out.startswith("dry run passed: pose; ") and "generator:" not in printed.err
    assert run([*arguments, "--data", str(clip_folder), "--set", "motion.num_frames=30"]) == 5
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and "needs clips of 30 frames" in printed.err
    monkeypatch.setenv("WORLD_SIZE", "2")  # as torchrun does
    assert run(arguments) == 2
    assert "measures one process: run it without torchrun" in capsys.readouterr().err


def test_long_trainings_are_told_in_days() -> None:
    costs = [
        StageCost("pose", 1_588_000, 10**9, 0, 0.5, 1, 400_000, total_s)
        for total_s in (3_600.0, 8_640_000.0)
    ]
    lines = [line_of(cost) for cost in costs]
    assert "0.5 s a step of 1 image (2 images/s) · 400,000 steps, 1:00:00 for the" in lines[0]
    assert "400,000 steps, 100 days for the whole stage" in lines[1]
    assert "pose, pose; about 100 days in all, peak memory 1.0 GB" in summary(costs)


def test_a_card_tells_what_was_trained(clip_folder: Path, tmp_path: Path) -> None:
    config, saved = settings("use_checkpoints=best"), Checkpoints(tmp_path, "best")
    for stage, step in (("pose", 3), ("generator", 5)):
        store = CheckpointStore(tmp_path / stage / "checkpoints")
        store.save(step, {"step": step, "used_s": 720.0, "bad_steps": 1, "stage": {}})
        log = [{"step": 2, "images": 4, "images_per_s": 9.0, "l1": 0.5}, {"step": 3, "l1": 0.25}]
        lines = [*log, {"step": step, "held_out": {"error": 7.5}}]
        (tmp_path / stage / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    best = {"step": 2, "used_s": 9.0, "bad_steps": 0, "held_out": {"error": 6.5}, "stage": {}}
    write_checkpoint(tmp_path / "pose" / "checkpoints" / BEST_NAME, best)
    path = write_card(tmp_path, config, [clip_folder], saved, STAGES, "none")
    facts = yaml.safe_load((tmp_path / FACTS_NAME).read_text())
    assert facts["data"] == [set_facts(clip_folder)] and facts["data"][0]["frames"] == 120
    assert facts["config"]["pose"]["key_point_weight"] == 10.0
    assert facts["licence"] == config.licence and facts["start_from"] is None
    assert facts["commit"] is None or len(facts["commit"]) >= 40
    assert list(facts["stages"]) == ["generator", "pose"]
    assert facts["stages"]["pose"] == {
        "steps": 3, "images": 24, "hours": 0.2, "skipped_steps": 1, "taken_step": 2,
        "last_losses": {"l1": 0.25}, "held_out": {"error": 7.5}, "best": {"step": 2, "error": 6.5},
    }  # fmt: skip
    text = path.read_text()
    row = "| pose | 3 | 24 | 0.20 | step 2 | l1 0.25 | error 7.5 |"
    for word in ("# Training card of tiny", "| discs | 5 | 120 | 5 |", row, "held out: 250"):
        assert word in text


def test_the_hash_of_a_set_tells_changes(tmp_path: Path, clips: Frames) -> None:
    folder = write_set(tmp_path / "set", 8, labels(8))
    before = set_facts(folder)
    assert set_facts(folder) == before
    with (folder / "clips" / "0.npz").open("ab") as file:
        file.write(b"x")
    assert set_facts(folder)["sha256"] != before["sha256"]
    assert commit_of(tmp_path) is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("generator.batch_size=0", "generator.batch_size is 0"),
        ("pose.batch_size=-2", "pose.batch_size is -2"),
        ("motion.num_clips=0", "motion.num_clips is 0"),
        ("motion.num_frames=0", "motion.num_frames"),
        ("seed=-1", "seed -1 is not"),
    ],
)
def test_counts_below_one_are_refused(override: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings(override)
