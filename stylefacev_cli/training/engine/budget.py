"""How long a stage is trained: its budget of images and minutes, and the clock of its runs."""

from __future__ import annotations

import time
from dataclasses import dataclass


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


class Clock:
    """Seconds of training: of this run, and of all runs of the stage."""

    def __init__(self, used_before_s: float) -> None:
        self._before_s = used_before_s
        self._start = time.monotonic()

    def run_s(self) -> float:
        """Of this run."""
        return time.monotonic() - self._start

    def used_s(self) -> float:
        """Of all runs."""
        return self._before_s + self.run_s()


def duration(seconds: float) -> str:
    """Seconds as hours:minutes:seconds."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
