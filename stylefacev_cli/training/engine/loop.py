"""The loop that knows no model: steps, progress, saves, signals, budgets, sheets and validation.

    stage.step → losses → (log, sheet, validation) → save → … until images or minutes are used up

A stage trains whatever it likes; the loop asks it for a step, its state, a picture and numbers.
Resuming is exact: the state of the stage and of every random generator is saved between two steps.

Of several processes the first keeps the time, saves, logs and validates; before each step all of
them agree on how far they are and whether to stop, so that a signal to one stops all alike.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from stylefacev_cli.common.distributed import (
    largest,
    num_processes,
    process_index,
    wait_for_all,
)
from stylefacev_cli.common.files import atomic_path
from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.training.engine.best import BestSave, Measure
from stylefacev_cli.training.engine.checkpoint import (
    CheckpointStore,
    random_states,
    restore_random_states,
)
from stylefacev_cli.training.engine.tensorboard import Board

Losses = dict[str, float]
SMOOTHING = 0.98  # of the losses in the progress line


class Stage(Protocol):
    """What the loop needs of a training stage."""

    name: str
    images_per_step: int

    @property
    def measure(self) -> Measure | None:
        """The number of `validate` by which its best save is chosen, if it has one."""

    def step(self, index: int, progress: float) -> Losses:
        """Train on one batch. `progress` in [0, 1] tells how much of the stage is done.

        A step that meets a non-finite loss changes nothing and returns that loss.
        """

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on: tensors and plain containers; in any process alike."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state."""

    def sheet(self) -> np.ndarray:
        """A picture of where training stands, uint8 [H, W, 3]."""

    def validate(self) -> Losses:
        """Numbers on held-out data."""


@dataclass(frozen=True)
class LoopConfig:
    """How a stage is run; the same fields for every stage."""

    save_every_minutes: float = 5.0  # time between saves
    save_every_steps: int = 0  # also save after this many steps; 0: by time alone
    sheet_every_minutes: float = 10.0  # time between sample sheets, each with a validation
    log_every_s: float = 20.0  # time between progress lines and lines of the log
    keep: int = 3  # saves kept
    max_bad_steps: int = 20  # non-finite losses in a row before giving up

    def __post_init__(self) -> None:
        """Check the values once."""
        if self.keep < 2:
            raise UsageError("keep is at least 2: a damaged newest save needs one before it")


@dataclass
class StopFlag:
    """Set by SIGTERM and SIGINT while it is entered; the loop looks at it between steps."""

    signal_number: int | None = None
    _before: dict[int, Any] = field(default_factory=dict)

    def __enter__(self) -> StopFlag:
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


@dataclass(frozen=True)
class Budget:
    """When a stage is done, and when this run of it ends."""

    num_images: int  # the stage is done after this many images …
    minutes: float | None = None  # … or after this many minutes of training over all its runs
    run_minutes: float | None = None  # this run ends after this many minutes, resumable …
    until_images: int | None = None  # … or when the stage has seen so many images in all its runs

    def progress(self, images: int, used_s: float) -> float:
        """How much of the stage is done, in [0, 1]: by images or by time, whichever is further."""
        done = images / max(self.num_images, 1)
        if self.minutes is not None:
            done = max(done, used_s / (60 * self.minutes))
        return min(done, 1.0)


def run_stage(
    stage: Stage,
    folder: Path,
    budget: Budget,
    config: LoopConfig,
    stop: StopFlag,
    report: Callable[[str], None],
) -> Outcome:
    """Train a stage from its newest save until its budget is used up or it is told to stop.

    Args:
        stage: what is trained.
        folder: gets `checkpoints/`, `sheets/`, `log.jsonl` and, if tensorboard is installed,
            `tensorboard/`.
        budget: how long.
        config: how often to save, to log and so on.
        stop: the flag that signals set.
        report: is given one line of progress at a time.

    Returns:
        Why it ended. A save of the last step is on the disk.

    Raises:
        StyleFaceVError: the loss was not finite `max_bad_steps` times in a row, a save could not
            be written, or another process has ended.
        IntegrityError: all saves are damaged.
    """
    is_first = process_index() == 0
    store = CheckpointStore(folder / "checkpoints", config.keep)
    step, used_s, bad_total = _resume(stage, store, report)
    clock = _Clock(used_s)
    now = _agreed(clock, stop)
    board = Board(folder) if is_first else None
    logger = _Logger(stage, folder, budget, config, report, board)
    best = BestSave(store.folder, stage.measure if is_first else None, report)
    last_save = last_sheet = time.monotonic()
    saved_step = pictured_step = step
    bad_in_a_row = 0

    def state() -> dict[str, Any]:
        counts = {"step": step, "used_s": clock.used_s(), "bad_steps": bad_total}
        return counts | {"stage": stage.state_dict(), "random": random_states()}

    def save() -> None:
        nonlocal last_save, saved_step
        store.save(step, state())
        last_save, saved_step = time.monotonic(), step

    def picture() -> None:
        nonlocal last_sheet, pictured_step
        best.offer(logger.picture(step), state)
        last_sheet, pictured_step = time.monotonic(), step

    def ended() -> str | None:
        if budget.progress(step * stage.images_per_step, now.used_s) >= 1:
            return "done"
        if now.signal_number is not None:
            return "signal"
        images = step * stage.images_per_step
        if budget.until_images is not None and images >= budget.until_images:
            return "images"
        if budget.run_minutes is not None and now.run_s >= 60 * budget.run_minutes:
            return "time"
        return None

    while (reason := ended()) is None:
        losses = stage.step(step, budget.progress(step * stage.images_per_step, now.used_s))
        step += 1
        now = _agreed(clock, stop)
        bad = not all(math.isfinite(value) for value in losses.values())
        bad_in_a_row = bad_in_a_row + 1 if bad else 0
        bad_total += bad
        if bad_in_a_row >= config.max_bad_steps:
            raise StyleFaceVError(
                f"{stage.name}: the loss was not finite {bad_in_a_row} times in a row at step "
                f"{step}; the last good save is step {saved_step}: lower the learning rate"
            )
        if not is_first:  # the others wait in their next step for as long as this takes
            continue
        if not bad:
            logger.add(losses)
        logger.step(step, clock, bad_total)
        time_s = time.monotonic()
        by_steps = config.save_every_steps and step % config.save_every_steps == 0
        if not bad and (by_steps or time_s - last_save >= 60 * config.save_every_minutes):
            save()
        if time_s - last_sheet >= 60 * config.sheet_every_minutes:
            picture()
    if is_first and step != saved_step:  # before anything else can go wrong
        save()
    if is_first and step != pictured_step:
        picture()
    if board is not None:
        board.close()
    wait_for_all()  # for the save: what comes next reads it
    report(f"{stage.name}: {_ENDINGS[reason]} at step {step}, saved in {folder}")
    return Outcome(reason, step, now.signal_number)


_ENDINGS = {
    "done": "done",
    "images": "this run's images are used up",
    "time": "this run's minutes are used up",
    "signal": "stopped by a signal",
}


def finished(folder: Path, images_per_step: int, budget: Budget) -> bool:
    """Whether the newest save of a stage has used its budget up."""
    state = CheckpointStore(folder / "checkpoints").load_newest()
    if state is None:
        return False
    return budget.progress(state["step"] * images_per_step, state["used_s"]) >= 1


def _resume(
    stage: Stage, store: CheckpointStore, report: Callable[[str], None]
) -> tuple[int, float, int]:
    state = store.load_newest(report)
    step = -1.0 if state is None else float(state["step"])
    lowest, highest = largest(torch.tensor([-step, step], dtype=torch.float64)).tolist()
    if -lowest != highest:
        raise StyleFaceVError(
            f"{stage.name}: the {num_processes()} processes do not see the same saves: --out must "
            "be a folder that all of them share"
        )
    if state is None:
        return 0, 0.0, 0
    stage.load_state_dict(state["stage"])
    restore_random_states(state["random"])
    report(f"{stage.name}: resumed from step {state['step']}")
    return int(state["step"]), float(state["used_s"]), int(state["bad_steps"])


@dataclass(frozen=True)
class _Moment:
    """What all processes agree on between two steps: the first one's clock, anyone's signal."""

    used_s: float
    run_s: float
    signal_number: int | None


def _agreed(clock: _Clock, stop: StopFlag) -> _Moment:
    times = [clock.used_s(), clock.run_s()] if process_index() == 0 else [0.0, 0.0]
    values = torch.tensor([*times, stop.signal_number or 0], dtype=torch.float64)
    used_s, run_s, signal_number = largest(values).tolist()
    return _Moment(used_s, run_s, int(signal_number) or None)


class _Clock:
    """Seconds of training: of this run, and of all runs of the stage."""

    def __init__(self, used_before_s: float) -> None:
        self._before_s = used_before_s
        self._start = time.monotonic()

    def run_s(self) -> float:
        return time.monotonic() - self._start

    def used_s(self) -> float:
        return self._before_s + self.run_s()


class _Logger:
    """Progress lines, `log.jsonl`, sheets."""

    def __init__(
        self,
        stage: Stage,
        folder: Path,
        budget: Budget,
        config: LoopConfig,
        report: Callable[[str], None],
        board: Board | None,
    ) -> None:
        self._stage, self._folder, self._budget = stage, folder, budget
        self._config, self._report, self._board = config, report, board
        self._means: Losses = {}
        self._counts: dict[str, int] = {}
        self._last_time = time.monotonic()
        self._last_step: int | None = None

    def add(self, losses: Losses) -> None:
        for name, value in losses.items():
            count = self._counts[name] = self._counts.get(name, 0) + 1
            keep = min(SMOOTHING, 1 - 1 / count)
            self._means[name] = keep * self._means.get(name, 0.0) + (1 - keep) * value

    def step(self, step: int, clock: _Clock, bad_total: int) -> None:
        now = time.monotonic()
        if self._last_step is None:  # the first step compiles kernels: not timed
            self._last_time, self._last_step = now, step
            return
        if now - self._last_time < self._config.log_every_s:
            return
        size = self._stage.images_per_step
        images, rate = step * size, (step - self._last_step) * size / (now - self._last_time)
        left = self._time_left_s(images, rate, clock)
        self._last_time, self._last_step = now, step
        words = " ".join(f"{name} {value:.4g}" for name, value in self._means.items())
        skipped = f" · {bad_total} skipped" if bad_total else ""
        self._report(
            f"{self._stage.name}: step {step} · {images} images · {words}{skipped} · "
            f"{rate:.1f} images/s · {duration(left)} left"
        )
        self._write({"step": step, "images": images, "images_per_s": rate, **self._means})

    def picture(self, step: int) -> Losses:
        numbers = self._stage.validate()
        if numbers:
            words = " ".join(f"{name} {value:.4g}" for name, value in numbers.items())
            self._report(f"{self._stage.name}: step {step} · held out: {words}")
            self._write({"step": step, "held_out": numbers})
        folder = self._folder / "sheets"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"step-{step:09d}.png"
        sheet = self._stage.sheet()
        with atomic_path(path) as part:
            Image.fromarray(sheet).save(part, format="PNG")
        if self._board is not None:
            self._board.picture(step, sheet)
        return numbers

    def _time_left_s(self, images: int, rate: float, clock: _Clock) -> float:
        until = self._budget.num_images
        if self._budget.until_images is not None:
            until = min(until, self._budget.until_images)
        left = max(until - images, 0) / rate
        if self._budget.minutes is not None:
            left = min(left, 60 * self._budget.minutes - clock.used_s())
        if self._budget.run_minutes is not None:
            left = min(left, 60 * self._budget.run_minutes - clock.run_s())
        return max(left, 0.0)

    def _write(self, line: dict[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._board is not None:
            self._board.numbers(line["step"], line)


def duration(seconds: float) -> str:
    """Seconds as hours:minutes:seconds."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
