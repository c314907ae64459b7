"""Listeners: they receive notes and progress of a job, for a terminal, a web page or the log."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

LOGGER = logging.getLogger("stylefacev_cli")

Advance = Callable[[str], None]
"""Counts one unit more; the argument says what is being worked on."""


class Listener(Protocol):
    """Receives notes and progress of a job; results are returned or yielded, never passed here."""

    def note(self, text: str) -> None:
        """Receive a note worth showing, on one line."""

    def detail(self, text: str) -> None:
        """Receive a detail, shown only on request (`-v`)."""

    def doing(self, what: str) -> AbstractContextManager[None]:
        """Show what is being done while the block runs, such as `looking for the face`."""

    def progress(self, total: int, unit: str) -> AbstractContextManager[Advance]:
        """Show how far a task of `total` units is.

        Args:
            total: how many units there are.
            unit: what is counted, such as `frames`.
        """


class LogListener:
    """The listener of Python's callers: notes go to the log `stylefacev_cli`, progress to a bar.

    Notes are logged as information, details as debugging.
    """

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

    @contextlib.contextmanager
    def progress(self, total: int, unit: str) -> Iterator[Advance]:
        """Show a bar while stderr is a terminal."""
        from tqdm import tqdm

        with tqdm(total=total, unit=f" {unit}", disable=None, leave=False) as bar:

            def advance(what: str) -> None:
                bar.set_postfix_str(what, refresh=False)
                bar.update()

            yield advance
