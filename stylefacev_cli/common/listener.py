"""Who is told how a job goes: a terminal, a web page, a notebook, or the log of this package."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

LOGGER = logging.getLogger("stylefacev_cli")

Advance = Callable[[str], None]
"""Counts one unit more; the argument says what is being worked on."""


class Listener(Protocol):
    """What the engine tells while it works. Results are not told: they are returned or yielded."""

    def note(self, text: str) -> None:
        """Tell something worth knowing, on one line."""

    def detail(self, text: str) -> None:
        """Tell something that only somebody who looks for it wants to know."""

    def doing(self, what: str) -> AbstractContextManager[None]:
        """Tell what is being done while the block runs, such as `looking for the face`."""

    def progress(self, total: int, unit: str) -> AbstractContextManager[Advance]:
        """Show how far a task of `total` units is.

        Args:
            total: how many units there are.
            unit: what is counted, such as `frames`.
        """


class LogListener:
    """Notes go to the log `stylefacev_cli` as information, details as debugging."""

    def note(self, text: str) -> None:
        """Log it."""
        LOGGER.info("%s", text)

    def detail(self, text: str) -> None:
        """Log it."""
        LOGGER.debug("%s", text)

    def doing(self, what: str) -> AbstractContextManager[None]:
        """Log it."""
        LOGGER.debug("%s", what)
        return contextlib.nullcontext()

    def progress(self, total: int, unit: str) -> AbstractContextManager[Advance]:
        """Show nothing."""
        return contextlib.nullcontext(_show_nothing)


def _show_nothing(what: str) -> None:
    pass
