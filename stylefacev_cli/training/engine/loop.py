"""The training loop, which knows no model: steps, checkpoints, signals, budgets, validation.

    stage.step → losses → (log, validation) → checkpoint → … until images or minutes are used up

A stage trains whatever it likes; the loop asks it for a step, its state, a picture and numbers.
Resuming is exact: the state of the stage and of every random generator is saved between two steps.

Of several processes the first keeps the time, saves, logs and validates; before each step all of
them agree on how far they are and whether to stop, so that a signal to one stops all alike.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from stylefacev_cli.common.distributed import (
    largest,
    num_processes,
    process_index,
    wait_for_all,
)
from stylefacev_cli.common.listener import Listener
from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.training.engine.best import BestCheckpoint
from stylefacev_cli.training.engine.budget import Budget, Clock
from stylefacev_cli.training.engine.checkpoint import (
    CheckpointStore,
    applying,
    random_states,
    restore_random_states,
)
from stylefacev_cli.training.engine.stage_protocol import Losses, Stage
from stylefacev_cli.training.engine.training_log import TrainingLog


@dataclass(frozen=True)
class LoopConfig:
    """How a stage is run; the same fields for every stage."""

    checkpoint_every_minutes: float = 5.0
    checkpoint_every_steps: int = 0  # beside those by time; 0: by time alone
    validate_every_minutes: float = 10.0  # each validation comes with a sample grid
    log_every_s: float = 20.0  # time between progress lines and lines of the log
    num_checkpoints: int = 3  # kept, the newest
    max_skipped_steps: int = 20  # steps of non-finite losses in a row, before giving up

    def __post_init__(self) -> None:
        """Check the values once."""
        if self.num_checkpoints < 2:
            raise UsageError("num_checkpoints is at least 2: a damaged newest needs one before it")


@dataclass
class StopFlag:
    """Set by SIGTERM and SIGINT while it is entered; the loop looks at it between steps.

    Outside of a program's main thread, where signals cannot be caught, it never is.
    """

    signal_number: int | None = None
    _before: dict[int, Any] = field(default_factory=dict)

    def __enter__(self) -> StopFlag:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.signal_number = number


@dataclass(frozen=True)
class Outcome:
    """Why a run of the loop ended: `done`, `signal`, or this run's `images` or `time` are up."""

    reason: str
    step: int
    signal_number: int | None = None


def run_stage(
    stage: Stage,
    folder: Path,
    budget: Budget,
    config: LoopConfig,
    stop: StopFlag,
    listener: Listener,
) -> Outcome:
    """Train a stage from its newest checkpoint until its budget is used up or it is told to stop.

    Args:
        stage: what is trained.
        folder: gets `checkpoints/`, `sample_grids/`, `log.jsonl` and, if tensorboard is installed,
            `tensorboard/`.
        budget: how long.
        config: how often to save, to log and so on.
        stop: the flag that signals set.
        listener: is told lines of progress, and each step.

    Returns:
        Why it ended. A checkpoint of the last step is on the disk.

    Raises:
        StyleFaceVError: the loss was not finite `max_skipped_steps` times in a row, a checkpoint
            could not be written, or another process has ended.
        IntegrityError: all checkpoints are damaged.
    """
    return _StageRun(stage, folder, budget, config, stop, listener).run()


def finished(folder: Path, images_per_step: int, budget: Budget) -> bool:
    """Whether the newest checkpoint of a stage has used its budget up."""
    state = CheckpointStore(folder / "checkpoints").load_newest()
    if state is None:
        return False
    return budget.progress(state["step"] * images_per_step, state["used_s"]) >= 1


_ENDINGS = {
    "done": "done",
    "images": "this run's images are used up",
    "time": "this run's minutes are used up",
    "signal": "stopped by a signal",
}


@dataclass(frozen=True)
class _Moment:
    """What all processes agree on between two steps: the first one's clock, anyone's signal."""

    used_s: float
    run_s: float
    signal_number: int | None


class _StageRun:
    """One run of `run_stage`, see there for the arguments."""

    def __init__(
        self,
        stage: Stage,
        folder: Path,
        budget: Budget,
        config: LoopConfig,
        stop: StopFlag,
        listener: Listener,
    ) -> None:
        self._stage, self._folder, self._budget = stage, folder, budget
        self._config, self._stop, self._listener = config, stop, listener
        self._store = CheckpointStore(folder / "checkpoints", config.num_checkpoints)
        self._step, used_s, self._num_skipped = self._resume()
        self._skipped_in_a_row = 0
        self._clock = Clock(used_s)
        self._now = self._agreed()
        self._is_first = process_index() == 0
        self._saved_step = self._validated_step = self._step
        if self._is_first:
            self._log = TrainingLog(stage, folder, budget, config.log_every_s, listener)
            self._best = BestCheckpoint(self._store.folder, stage.measure, listener)
        self._last_save = self._last_validation = time.monotonic()

    def run(self) -> Outcome:
        left = self._budget.num_images - self._num_images
        with self._listener.progress(
            max(-(-left // self._stage.images_per_step), 1), "steps"
        ) as on:
            while (reason := self._ending()) is None:
                self._train_on_one_batch()
                on(self._stage.name)
        if self._is_first:
            if self._step != self._saved_step:  # before anything else can go wrong
                self._save()
            if self._step != self._validated_step:
                self._validate()
            self._log.close()
        wait_for_all()  # for the checkpoint: what comes next reads it
        name, ending = self._stage.name, _ENDINGS[reason]
        self._listener.note(f"{name}: {ending} at step {self._step}, saved in {self._folder}")
        return Outcome(reason, self._step, self._now.signal_number)

    @property
    def _num_images(self) -> int:
        return self._step * self._stage.images_per_step

    def _ending(self) -> str | None:
        """Why the run ends now; None: it goes on."""
        budget, now = self._budget, self._now
        if budget.progress(self._num_images, now.used_s) >= 1:
            return "done"
        if now.signal_number is not None:
            return "signal"
        if budget.until_images is not None and self._num_images >= budget.until_images:
            return "images"
        if budget.run_minutes is not None and now.run_s >= 60 * budget.run_minutes:
            return "time"
        return None

    def _train_on_one_batch(self) -> None:
        progress = self._budget.progress(self._num_images, self._now.used_s)
        losses = self._stage.step(self._step, progress)
        self._step += 1
        self._now = self._agreed()
        is_finite = self._count_skipped(losses)
        if not self._is_first:  # the others wait in their next step for as long as this takes
            return
        if is_finite:
            self._log.add(losses)
        self._log.after_step(self._step, self._clock, self._num_skipped)
        now, config = time.monotonic(), self._config
        by_steps = config.checkpoint_every_steps and self._step % config.checkpoint_every_steps == 0
        if is_finite and (
            by_steps or now - self._last_save >= 60 * config.checkpoint_every_minutes
        ):
            self._save()
        if now - self._last_validation >= 60 * config.validate_every_minutes:
            self._validate()

    def _count_skipped(self, losses: Losses) -> bool:
        """Whether the losses of a step are finite; too many in a row that are not are an error."""
        is_finite = all(math.isfinite(value) for value in losses.values())
        self._skipped_in_a_row = 0 if is_finite else self._skipped_in_a_row + 1
        self._num_skipped += not is_finite
        if self._skipped_in_a_row >= self._config.max_skipped_steps:
            raise StyleFaceVError(
                f"{self._stage.name}: the loss was not finite {self._skipped_in_a_row} times in a "
                f"row at step {self._step}; the last good checkpoint is step {self._saved_step}: "
                "lower the learning rate"
            )
        return is_finite

    def _state(self) -> dict[str, Any]:
        return {
            "step": self._step,
            "used_s": self._clock.used_s(),
            "bad_steps": self._num_skipped,
            "stage": self._stage.state_dict(),
            "random": random_states(),
        }

    def _save(self) -> None:
        self._store.save(self._step, self._state())
        self._last_save, self._saved_step = time.monotonic(), self._step

    def _validate(self) -> None:
        self._best.offer(self._log.validate(self._step), self._state)
        self._last_validation, self._validated_step = time.monotonic(), self._step

    def _agreed(self) -> _Moment:
        clock, number = self._clock, self._stop.signal_number or 0
        times = [clock.used_s(), clock.run_s()] if process_index() == 0 else [0.0, 0.0]
        values = torch.tensor([*times, number], dtype=torch.float64)
        used_s, run_s, signal_number = largest(values).tolist()
        return _Moment(used_s, run_s, int(signal_number) or None)

    def _resume(self) -> tuple[int, float, int]:
        """Load the newest checkpoint; returns its step, seconds and skipped steps."""
        name = self._stage.name
        state = self._store.load_newest(self._listener)
        step = -1.0 if state is None else float(state["step"])
        lowest, highest = largest(torch.tensor([-step, step], dtype=torch.float64)).tolist()
        if -lowest != highest:
            raise StyleFaceVError(
                f"{name}: the {num_processes()} processes do not see the same checkpoints: --out "
                "must be a folder that all of them share"
            )
        if state is None:
            return 0, 0.0, 0
        with applying(f"{name}: the checkpoint of step {state['step']}"):
            self._stage.load_state_dict(state["stage"])
            restore_random_states(state["random"])
        self._listener.note(f"{name}: resumed from step {state['step']}")
        return int(state["step"]), float(state["used_s"]), int(state["bad_steps"])
