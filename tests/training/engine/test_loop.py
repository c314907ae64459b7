from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from notes import Notes

from stylefacev_cli.errors import IntegrityError, StyleFaceVError
from stylefacev_cli.training.engine.best import Measure
from stylefacev_cli.training.engine.budget import Budget
from stylefacev_cli.training.engine.checkpoint import (
    CheckpointStore,
    applying,
    read_checkpoint,
    read_state,
    write_checkpoint,
)
from stylefacev_cli.training.engine.loop import LoopConfig, StopFlag, finished, run_stage


class NoisySums:
    """A stage that adds numbers from all three random generators."""

    name = "sums"
    images_per_step = 2
    measure: Measure | None = None

    def __init__(self, bad_steps: tuple[int, ...] = (), signal_at: int | None = None) -> None:
        self.total = torch.zeros(3, dtype=torch.float64)
        self.bad_steps, self.signal_at = bad_steps, signal_at

    def step(self, index: int, progress: float) -> dict[str, float]:
        if index == self.signal_at:
            os.kill(os.getpid(), signal.SIGTERM)
        if index in self.bad_steps:
            return {"loss": float("nan")}
        self.total += torch.tensor([random.random(), np.random.rand(), float(torch.rand(()))])
        return {"loss": float(self.total.sum())}

    def state_dict(self) -> dict[str, Any]:
        return {"total": self.total.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.total = state["total"]

    def sample_grid(self) -> np.ndarray:
        return np.zeros((4, 4, 3), np.uint8)

    def validate(self) -> dict[str, float]:
        return {"error": 1.0}


def run(stage: NoisySums, folder: Path, budget: Budget, config: LoopConfig | None = None) -> Any:
    lines: list[str] = []
    with StopFlag() as stop:
        outcome = run_stage(stage, folder, budget, config or LoopConfig(), stop, Notes(lines))
    return outcome, lines


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def test_two_halves_equal_the_whole(tmp_path: Path) -> None:
    seed_all(5)
    whole = NoisySums()
    run(whole, tmp_path / "whole", Budget(num_images=20))

    seed_all(5)
    run(NoisySums(), tmp_path / "halves", Budget(num_images=10))
    seed_all(99)  # the second half starts with other random states, as a new process would
    second = NoisySums()
    outcome, lines = run(second, tmp_path / "halves", Budget(num_images=20))
    assert outcome.step == 10 and outcome.reason == "done"
    assert any("resumed from step 5" in line for line in lines)
    assert torch.equal(whole.total, second.total)


def test_sigterm_saves_at_the_end_of_the_step(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    outcome, _ = run(NoisySums(signal_at=3), tmp_path, Budget(num_images=1000))
    assert (outcome.reason, outcome.signal_number, outcome.step) == ("signal", signal.SIGTERM, 4)
    assert CheckpointStore(tmp_path / "checkpoints").load_newest()["step"] == 4  # type: ignore[index]
    assert signal.getsignal(signal.SIGTERM) == before


def test_minutes_of_a_run_end_it_resumably(tmp_path: Path) -> None:
    outcome, _ = run(NoisySums(), tmp_path, Budget(num_images=10**9, run_minutes=0.002))
    assert outcome.reason == "time"
    assert not finished(tmp_path, 2, Budget(num_images=10**9))
    again, _ = run(NoisySums(), tmp_path, Budget(num_images=10**9, run_minutes=0.002))
    assert again.step > outcome.step
    assert finished(tmp_path, 2, Budget(num_images=10**9, minutes=0.001))


def test_images_of_a_run_end_it_resumably(tmp_path: Path) -> None:
    seen: list[float] = []

    class Watched(NoisySums):
        def step(self, index: int, progress: float) -> dict[str, float]:
            seen.append(progress)
            return super().step(index, progress)

    stage = Watched()
    for until, reason, steps in ((7, "images", 4), (8, "images", 4), (12, "images", 6)):
        outcome, _ = run(stage, tmp_path, Budget(num_images=20, until_images=until))
        assert (outcome.reason, outcome.step) == (reason, steps)
        assert not finished(tmp_path, 2, Budget(num_images=20))
    outcome, _ = run(stage, tmp_path, Budget(num_images=20, until_images=50))
    assert (outcome.reason, outcome.step) == ("done", 10)
    assert seen == [pytest.approx(0.1 * step) for step in range(10)]  # of the whole stage


def test_non_finite_losses_are_skipped_then_end_the_run(tmp_path: Path) -> None:
    config = LoopConfig(max_skipped_steps=3, checkpoint_every_steps=1)
    run(NoisySums(bad_steps=(2, 3)), tmp_path / "few", Budget(num_images=20), config)
    state = CheckpointStore(tmp_path / "few" / "checkpoints").load_newest()
    assert state is not None and state["bad_steps"] == 2

    with pytest.raises(StyleFaceVError, match="not finite 3 times.*last good checkpoint is step 5"):
        many = NoisySums(bad_steps=tuple(range(5, 20)))
        run(many, tmp_path / "many", Budget(num_images=40), config)
    newest = CheckpointStore(tmp_path / "many" / "checkpoints").load_newest()
    assert newest is not None and newest["step"] == 5


def test_log_grids_and_number_of_checkpoints(tmp_path: Path) -> None:
    config = LoopConfig(checkpoint_every_steps=2, log_every_s=0.0, num_checkpoints=2)
    _, lines = run(NoisySums(), tmp_path, Budget(num_images=20), config)
    progress = next(line for line in lines if "step 4" in line)
    for word in ("images", "loss", "images/s", "left"):
        assert word in progress
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert records[0]["images"] == 4 and records[-1]["held_out"] == {"error": 1.0}
    assert (tmp_path / "sample_grids" / "step-000000010.png").exists()
    names = [path.name for path in CheckpointStore(tmp_path / "checkpoints").paths()]
    assert names == ["step-000000008.ckpt", "step-000000010.ckpt"]


def state_of(step: int, numbers: torch.Tensor) -> dict[str, Any]:
    return {"step": step, "used_s": 0.0, "bad_steps": 0, "stage": {"x": numbers}}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"step": 2}, "it is of step 2, not of that in its name"),
        ({"step": -1}, "its step is no number"),
        ({"step": 1.0}, "its step is no number"),
        ({"step": True}, "its step is no number"),
        ({"step": None}, "its step is no number"),
        ({"used_s": float("nan")}, "its time of training"),
        ({"used_s": "1"}, "its time of training"),
        ({"bad_steps": -3}, "its number of skipped steps"),
        ({"stage": []}, "it lacks the state of its stage"),
        ({"stage": {"networks": {"a": 3}}}, "its network a has no weights"),
        ({"stage": {"networks": {"a": {"w": 3}}}}, "w of its network a is no tensor"),
        ({"stage": {"networks": {"a": {"w": torch.tensor([torch.nan])}}}}, "is not finite"),
        ({"extra": {1, 2}}, "holds no training state"),
        ({"extra": np.float64(1)}, "holds no training state"),
    ],
)
def test_odd_content_under_a_right_checksum(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    store = CheckpointStore(tmp_path)
    store.save(1, state_of(1, torch.zeros(2)) | change)
    with pytest.raises(IntegrityError, match=told) as caught:
        read_state(store.paths()[0])
    assert "\n" not in str(caught.value)
    with pytest.raises(IntegrityError, match="all checkpoints"):
        store.load_newest()


def test_a_state_of_another_form_is_one_line() -> None:
    with pytest.raises(
        IntegrityError, match="step 3 does not fit what it is loaded into"
    ) as caught:
        with applying("s: the checkpoint of step 3"):
            torch.nn.Linear(2, 2).load_state_dict({"weight": torch.zeros(3, 3)})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_damaged_newest_falls_back(tmp_path: Path, damage: str) -> None:
    store = CheckpointStore(tmp_path)
    for step in (1, 2):
        store.save(step, state_of(step, torch.arange(100)))
    newest = store.paths()[-1]
    content = bytearray(newest.read_bytes())
    if damage == "flip":
        content[-50] ^= 1
    damaged = {"cut": content[:-7], "flip": content, "empty": b"", "other": b"x" * 99}[damage]
    newest.write_bytes(bytes(damaged))
    lines: list[str] = []
    state = store.load_newest(Notes(lines))
    assert state is not None and state["step"] == 1
    assert len(lines) == 1 and newest.name in lines[0]
    store.paths()[0].write_bytes(b"")
    with pytest.raises(IntegrityError, match="all checkpoints"):
        store.load_newest()


def save_for_ever(folder: Path) -> None:
    step = max([int(path.stem.split("-")[1]) for path in folder.glob("*.ckpt")], default=0)
    while True:
        step += 1
        CheckpointStore(folder, keep=2).save(step, state_of(step, torch.full((10**6,), step)))


@pytest.mark.slow  # test_saves kills at chosen places of a save; here it is anywhere
def test_kill_during_saves_leaves_a_whole_one(tmp_path: Path) -> None:
    # Spawned: a forked child waits for ever for the OpenMP threads that it did not inherit.
    context = multiprocessing.get_context("spawn")
    for round_ in range(3):
        seen = set(tmp_path.glob("*.ckpt"))
        process = context.Process(target=save_for_ever, args=(tmp_path,))
        process.start()
        deadline_s = time.monotonic() + 60
        while not set(tmp_path.glob("*.ckpt")) - seen:
            assert process.is_alive() and time.monotonic() < deadline_s
            time.sleep(0.005)
        time.sleep(0.05 + 0.017 * round_)
        process.kill()
        process.join()
        state = CheckpointStore(tmp_path).load_newest()
        assert state is not None and torch.all(state["stage"]["x"] == state["step"])


def test_a_save_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (os.system, ("true",))

    path = tmp_path / "step-1.ckpt"
    write_checkpoint(path, {"evil": Evil()})
    with pytest.raises(Exception, match="it wants posix.system, which is not on the list"):
        read_checkpoint(path)
