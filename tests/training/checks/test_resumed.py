"""Going on with other data, another batch or seed: said, and done with consent alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from discs import SET_DISCS, draw_frames, tiny_settings, write_discs
from notes import Notes

from stylefacev_cli.cli.app import run
from stylefacev_cli.datasets.clips import INDEX_NAME
from stylefacev_cli.errors import UsageError
from stylefacev_cli.training.engine.checkpoint import CheckpointStore, write_checkpoint
from stylefacev_cli.training.engine.resuming import KEY
from stylefacev_cli.training.run import RunOptions, train

Go = Callable[..., list[str]]


@pytest.fixture
def go(clip_folder: Path, tmp_path: Path) -> Go:
    """Goes on with a stage of one run, after a first step; returns what was told."""
    path = tmp_path / "run"
    first = RunOptions(until_images=8)
    train(tiny_settings(), [clip_folder], path, stage="generator", options=first)

    def again(*overrides: str, data: Path = clip_folder, **options: Any) -> list[str]:
        lines: list[str] = []
        config = tiny_settings(overrides)
        how = RunOptions(until_images=16, **options)
        train(config, [data], path, stage="generator", options=how, listener=Notes(lines))
        return lines

    return again


def test_the_same_data_elsewhere_goes_on_silently(
    go: Go, clip_folder: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere" / clip_folder.name
    shutil.copytree(clip_folder, moved)
    lines = go(data=moved)
    assert "generator: resumed from step 1" in lines
    assert not any("→" in line or "earlier version" in line for line in lines)


@pytest.mark.parametrize(
    ("override", "change"),
    [
        ("generator.batch_size=4", "batch_size 8 → 4"),
        ("seed=7", "seed 1 → 7"),
        ("held_out_permille=500", "held_out_permille 250 → 500"),
    ],
)
def test_other_settings_need_consent(go: Go, override: str, change: str, tmp_path: Path) -> None:
    newest = CheckpointStore(tmp_path / "run" / "generator" / "checkpoints").paths()
    with pytest.raises(UsageError, match=f"trained with something else: {change}; give --force"):
        go(override)
    assert CheckpointStore(newest[0].parent).paths() == newest
    assert f"generator: goes on with {change}" in go(override, accept_changes=True)
    assert not any("→" in line for line in go(override))  # the new checkpoint says it


def test_other_data_needs_consent(go: Go, tmp_path: Path, clip_folder: Path) -> None:
    other = write_discs(draw_frames(5, 6, seed=3), tmp_path / "other")
    with pytest.raises(UsageError, match=r"data discs \(120 frames\) → other \(30 frames\)"):
        go(data=other)
    changed = tmp_path / clip_folder.name
    shutil.copytree(clip_folder, changed)
    with (changed / INDEX_NAME).open("a") as index:
        index.write("\n")
    with pytest.raises(UsageError, match="their index or manifest is another"):
        go(data=changed)
    assert any("→ other (30 frames)" in line for line in go(data=other, accept_changes=True))


def test_checkpoints_of_earlier_versions_go_on_with_a_note(go: Go, tmp_path: Path) -> None:
    (path,) = (store := CheckpointStore(tmp_path / "run" / "generator" / "checkpoints")).paths()
    state = store.load_newest()
    assert state is not None
    assert state.pop(KEY)["sets"] == ["discs"]
    write_checkpoint(path, state)
    (line,) = (line for line in go("seed=7") if "earlier version" in line)
    assert "do not tell data, batch and seed" in line
    with pytest.raises(UsageError, match="seed 7 → 1"):
        go()


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(go: Go, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "run" / "generator" / "checkpoints")
    (path,) = store.paths()
    shutil.copy(path, newer := path.with_name("step-000000002.ckpt"))
    newer.write_bytes(newer.read_bytes()[:-9])
    lines = go()
    assert any("is damaged" in line and "trying the checkpoint before" in line for line in lines)
    assert "generator: resumed from step 1" in lines


def test_the_dry_run_and_the_command_ask_too(
    go: Go, tmp_path: Path, clip_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "generator", "--config", "tiny", *SET_DISCS, "--set", "seed=7"]
    words += ["--out", str(tmp_path / "run"), "--data", str(clip_folder), "--until-images", "8"]
    for more in ([], ["--dry-run"]):
        assert run([*words, *more]) == 2
        assert "seed 1 → 7; give --force" in capsys.readouterr().err
    assert run([*words, "--force"]) == 0
