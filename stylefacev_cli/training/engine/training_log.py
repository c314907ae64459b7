"""Progress lines, `log.jsonl` and sample grids of a stage while it trains."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from PIL import Image

from stylefacev_cli.common.files import replacing
from stylefacev_cli.common.listener import Listener
from stylefacev_cli.training.engine.budget import Budget, Clock, duration
from stylefacev_cli.training.engine.stage_protocol import Losses, Stage
from stylefacev_cli.training.engine.tensorboard import Board

LOG_NAME = "log.jsonl"
GRIDS_FOLDER = "sample_grids"
SMOOTHING = 0.98  # of the losses in the progress line


class TrainingLog:
    """Writes what a stage does into its folder, and tells a listener."""

    def __init__(
        self, stage: Stage, folder: Path, budget: Budget, log_every_s: float, listener: Listener
    ) -> None:
        """Nothing is written before the first line.

        Args:
            stage: what is trained.
            folder: gets `log.jsonl`, `sample_grids/` and, if it is installed, tensorboard's events.
            budget: how long; for the time left.
            log_every_s: seconds between lines.
            listener: is told each line.
        """
        self._stage, self._folder, self._budget = stage, folder, budget
        self._log_every_s, self._listener = log_every_s, listener
        self._board = Board(folder)
        self._means: Losses = {}
        self._counts: dict[str, int] = {}
        self._last_time = time.monotonic()
        self._last_step: int | None = None

    def add(self, losses: Losses) -> None:
        """Take the losses of a step into their running means."""
        for name, value in losses.items():
            count = self._counts[name] = self._counts.get(name, 0) + 1
            keep = min(SMOOTHING, 1 - 1 / count)
            self._means[name] = keep * self._means.get(name, 0.0) + (1 - keep) * value

    def after_step(self, step: int, clock: Clock, num_skipped: int) -> None:
        """Write a line if it is time for one."""
        now = time.monotonic()
        if self._last_step is None:  # the first step compiles kernels: not timed
            self._last_time, self._last_step = now, step
            return
        if now - self._last_time < self._log_every_s:
            return
        size = self._stage.images_per_step
        images, rate = step * size, (step - self._last_step) * size / (now - self._last_time)
        left_s = self._time_left_s(images, rate, clock)
        self._last_time, self._last_step = now, step
        skipped = f" · {num_skipped} skipped" if num_skipped else ""
        self._listener.note(
            f"{self._stage.name}: step {step} · {images} images · {_listed(self._means)}{skipped} "
            f"· {rate:.1f} images/s · {duration(left_s)} left"
        )
        self._write({"step": step, "images": images, "images_per_s": rate, **self._means})

    def validate(self, step: int) -> Losses:
        """Validate the stage and write a sample grid; returns the numbers of the validation."""
        with self._listener.doing(f"{self._stage.name}: validating"):
            numbers = self._stage.validate()
        if numbers:
            self._listener.note(f"{self._stage.name}: step {step} · held out: {_listed(numbers)}")
            self._write({"step": step, "held_out": numbers})
        folder = self._folder / GRIDS_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        grid = self._stage.sample_grid()
        with replacing(folder / f"step-{step:09d}.png") as part:
            Image.fromarray(grid).save(part, format="PNG")
        self._board.picture(step, grid)
        return numbers

    def close(self) -> None:
        """Close the file of tensorboard's events."""
        self._board.close()

    def _time_left_s(self, images: int, rate: float, clock: Clock) -> float:
        until = self._budget.num_images
        if self._budget.until_images is not None:
            until = min(until, self._budget.until_images)
        left_s = max(until - images, 0) / rate
        if self._budget.minutes is not None:
            left_s = min(left_s, 60 * self._budget.minutes - clock.used_s())
        if self._budget.run_minutes is not None:
            left_s = min(left_s, 60 * self._budget.run_minutes - clock.run_s())
        return max(left_s, 0.0)

    def _write(self, line: dict[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / LOG_NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._board.numbers(line["step"], line)


def _listed(numbers: Losses) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in numbers.items())
