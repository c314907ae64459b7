from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from notes import Notes

from stylefacev_cli.training.artifacts import Checkpoints, checkpoint_of
from stylefacev_cli.training.engine import tensorboard
from stylefacev_cli.training.engine.best import BEST_NAME, BestCheckpoint, Measure
from stylefacev_cli.training.engine.budget import Budget
from stylefacev_cli.training.engine.checkpoint import CheckpointStore, read_checkpoint
from stylefacev_cli.training.engine.loop import LoopConfig, StopFlag, run_stage
from stylefacev_cli.training.engine.tensorboard import Board

ERROR = Measure("error", higher_is_better=False)


class UpAndDown:
    """Its validation error is 5, 3, 4, 6, … in the order of its validations."""

    name, images_per_step = "updown", 1
    measure: Measure | None = ERROR

    def __init__(self, errors: list[float]) -> None:
        self.errors, self.count = errors, 0

    def step(self, index: int, progress: float) -> dict[str, float]:
        self.count += 1
        return {"loss": 1.0}

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "x": torch.zeros(2)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]

    def sample_grid(self) -> np.ndarray:
        return np.zeros((4, 4, 3), np.uint8)

    def validate(self) -> dict[str, float]:
        return {"error": self.errors[self.count - 1]}


def train(stage: UpAndDown, folder: Path, num_images: int) -> list[str]:
    lines: list[str] = []
    config = LoopConfig(
        checkpoint_every_steps=1, validate_every_minutes=0, log_every_s=0, num_checkpoints=2
    )
    with StopFlag() as stop:
        run_stage(stage, folder, Budget(num_images), config, stop, Notes(lines))
    return lines


def test_the_best_save_stays_beside_the_newest(tmp_path: Path) -> None:
    run, folder = tmp_path, tmp_path / "updown"
    errors = [5.0, 3.0, 4.0, float("nan"), 6.0, 2.0, 9.0]
    train(UpAndDown(errors), folder, 5)
    saves = folder / "checkpoints"
    assert [path.name for path in CheckpointStore(saves).paths()] == [
        "step-000000004.ckpt", "step-000000005.ckpt",
    ]  # fmt: skip
    best = read_checkpoint(saves / BEST_NAME)
    assert (best["step"], best["held_out"]) == (2, {"error": 3.0})
    for use, step in (("best", 2), ("newest", 5)):
        save = checkpoint_of(Checkpoints(run, use), "updown")
        assert save is not None and save["step"] == step

    train(UpAndDown(errors), folder, 7)  # the value to beat is known after a restart
    assert read_checkpoint(saves / BEST_NAME)["step"] == 6
    newest = checkpoint_of(Checkpoints(run, "newest"), "updown")
    assert newest is not None and newest["step"] == 7


def test_a_damaged_best_save_is_told_and_made_again(tmp_path: Path) -> None:
    errors = [1.0, 2.0]
    train(UpAndDown(errors), tmp_path, 1)
    best = tmp_path / "checkpoints" / BEST_NAME
    best.write_bytes(best.read_bytes()[:-9])
    lines = train(UpAndDown(errors), tmp_path, 2)
    assert any("best.ckpt is damaged" in line and "makes a new one" in line for line in lines)
    assert read_checkpoint(best)["held_out"] == {"error": 2.0}


def test_without_a_measure_nothing_is_kept_and_the_newest_is_used(tmp_path: Path) -> None:
    keeper = BestCheckpoint(tmp_path, None, Notes())
    assert not keeper.offer({"error": 1.0}, dict)
    assert not BestCheckpoint(tmp_path, Measure("psnr", True), Notes()).offer({}, dict)
    assert not list(tmp_path.iterdir())
    CheckpointStore(tmp_path / "s" / "checkpoints").save(
        3, {"step": 3, "used_s": 0.0, "bad_steps": 0, "stage": {}}
    )
    save = checkpoint_of(Checkpoints(tmp_path, "best"), "s")
    assert save is not None and save["step"] == 3
    assert checkpoint_of(Checkpoints(tmp_path, "best"), "t") is None


def test_events_hold_what_the_log_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            written.append(folder)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def add_image(self, name: str, picture: np.ndarray, step: int, dataformats: str) -> None:
            written.append((name, picture.shape, step, dataformats))

        def flush(self) -> None: ...

        def close(self) -> None:
            written.append("closed")

    module = types.ModuleType("torch.utils.tensorboard")
    vars(module)["SummaryWriter"] = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: object())
    train(UpAndDown([4.0, 3.0, 2.0]), tmp_path, 3)
    assert written[0] == str(tmp_path / "tensorboard") and written[-1] == "closed"
    assert ("held_out/error", 3.0, 2) in written and ("sample_grid", (4, 4, 3), 3, "HWC") in written
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [(line["step"], line["loss"]) for line in records if "loss" in line]
    assert losses == [(item[2], item[1]) for item in written if item[0] == "loss"] != []


def test_without_tensorboard_there_are_no_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    board = Board(tmp_path)
    board.numbers(1, {"loss": 1.0})
    board.picture(1, np.zeros((2, 2, 3), np.uint8))
    board.close()
    assert not list(tmp_path.iterdir())


def test_real_events(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    board = Board(tmp_path)
    board.numbers(1, {"loss": 1.0, "held_out": {"psnr": 20.0}})
    board.picture(1, np.zeros((8, 8, 3), np.uint8))
    board.close()
    (events,) = (tmp_path / tensorboard.FOLDER_NAME).iterdir()
    content = events.read_bytes()
    assert b"held_out/psnr" in content and b"sample_grid" in content
