"""A save is there entirely or not at all: killed while it is written, or the disk full."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from every_stage import STAGES, frozen_networks, tensors_of, tracks, without_pictures
from tiny import DISC_GENERATOR

from stylefacev_cli.common.listener import LogListener
from stylefacev_cli.errors import StyleFaceVError
from stylefacev_cli.training.engine import checkpoint
from stylefacev_cli.training.engine.budget import Budget
from stylefacev_cli.training.engine.checkpoint import CheckpointStore
from stylefacev_cli.training.engine.loop import LoopConfig, StopFlag, run_stage

NUM_STEPS = 4
CONFIG = LoopConfig(checkpoint_every_steps=1)
FEW = ["detector", "pose"]
OTHERS = [name for name in STAGES if name not in FEW]


def train(name: str, folder: Path) -> list[torch.Tensor]:
    """To the end, from the newest save; the state there."""
    stage = STAGES[name]()
    without_pictures(stage)
    budget = Budget(NUM_STEPS * stage.images_per_step)
    with StopFlag() as stop:
        run_stage(stage, folder, budget, CONFIG, stop, LogListener())
    return tensors_of(stage.state_dict())


def train_until_killed(folder: Path, names: list[str]) -> None:
    """Each stage in a process of its own, killed in its third save: before the rename, or early.

    Processes are forked off one that has no other thread yet, and sees to it that none starts.
    """
    torch.set_num_threads(1)
    with torch.no_grad():  # what the children need not do again; a backward pass may start threads
        tracks()
        frozen_networks()[0](torch.randn(2, DISC_GENERATOR.z_dim))
    for number, name in enumerate(names):
        child = os.fork()
        if child == 0:
            kill_in_save(3, "replace" if number % 2 else "fsync")
            train(name, folder / name)
            os._exit(0)  # not reached
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, name


def kill_in_save(number: int, where: str) -> None:
    """Let this process be killed in the given save, with half of it written or all but renamed."""
    calls, original = 0, getattr(os, where)

    def killing(*arguments: Any) -> Any:
        nonlocal calls
        # A save syncs its file and then its folder.
        is_file = where == "replace" or os.fstat(arguments[0]).st_size > 10_000
        calls += is_file
        if calls < number or not is_file:
            return original(*arguments)
        if where == "fsync":
            os.truncate(arguments[0], os.fstat(arguments[0]).st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(os, where, killing)


def train_on_and_anew(killed: Path, whole: Path, names: list[str]) -> None:
    """Each stage from its newest save, and from its beginning; as the killed process had it.

    That is one thread, over which sums round alike, and networks that no other test has made.
    """
    torch.set_num_threads(1)
    for name in names:
        torch.save(train(name, killed / name), killed / f"{name}.tensors")
        torch.save(train(name, whole / name), whole / f"{name}.tensors")


def run_apart(target: Callable[..., None], *arguments: Any) -> None:
    """In a new process."""
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    process.join(timeout=300)
    assert process.exitcode == 0


# That every stage resumes exactly is tested without a kill; so two are enough, one for each place.
@pytest.mark.parametrize("names", [FEW, pytest.param(OTHERS, marks=pytest.mark.slow)])
def test_killed_in_a_save_then_resumed_equals_a_whole_run(names: list[str], tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    run_apart(train_until_killed, killed, names)
    for name in names:
        saves = killed / name / "checkpoints"
        assert len(list(saves.glob("*.part"))) == 1
        state = CheckpointStore(saves).load_newest()
        assert state is not None and state["step"] == 2
    run_apart(train_on_and_anew, killed, whole, names)
    for name in names:
        resumed, wanted = (torch.load(x / f"{name}.tensors") for x in (killed, whole))
        assert len(resumed) == len(wanted) > 20
        assert all(torch.equal(a, b) for a, b in zip(resumed, wanted, strict=True)), name
        assert not list((killed / name / "checkpoints").glob("*.part"))


def test_a_full_disk_is_told_and_leaves_the_older_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder, saves = tmp_path / "run", CheckpointStore(tmp_path / "run" / "checkpoints", keep=2)
    stage = STAGES["pose"]()
    without_pictures(stage)
    before = stage.step

    def filling(index: int, progress: float) -> dict[str, float]:
        if index == 2:
            monkeypatch.setattr(checkpoint.os, "fsync", full)
        return before(index, progress)

    stage.step = filling  # type: ignore[method-assign]
    with StopFlag() as stop, pytest.raises(StyleFaceVError) as caught:
        budget = Budget(NUM_STEPS * stage.images_per_step)
        run_stage(stage, folder, budget, CONFIG, stop, LogListener())
    message = str(caught.value)
    assert "step-000000003.ckpt: No space left on device; earlier checkpoints are whole" in message
    assert "\n" not in message
    names = [path.name for path in saves.folder.iterdir()]
    assert sorted(names) == ["step-000000001.ckpt", "step-000000002.ckpt"]

    monkeypatch.undo()  # there is room again
    resumed, whole = train("pose", folder), train("pose", tmp_path / "whole")
    assert all(torch.equal(a, b) for a, b in zip(resumed, whole, strict=True))
    assert saves.load_newest() is not None
