"""Whom a download asks and tells: a terminal for a command line, the log for a call from Python.

One place says it for all that may have to fetch something, however deep below the call it stands.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stylefacev_cli.weights.download.registry import Entry

LOGGER = logging.getLogger("stylefacev_cli")


class Listener(Protocol):
    """Who is told how a download goes."""

    def note(self, text: str) -> None:
        """Something worth knowing, on one line."""

    def bytes(self, what: str, done: int, total: int | None) -> None:
        """So much of a file is there."""


class Silence:
    """Nobody is told."""

    def note(self, text: str) -> None:
        """Drop it."""

    def bytes(self, what: str, done: int, total: int | None) -> None:
        """Drop it."""


class LogListener(Silence):
    """Notes go to the log of this package, as information."""

    def note(self, text: str) -> None:
        """Log it."""
        LOGGER.info("%s", text)


class Interaction(Protocol):
    """Whom to ask and to tell."""

    @property
    def offline(self) -> bool:
        """Whether downloads are forbidden here, whatever the environment says."""

    def accepts(self, entry: Entry) -> bool:
        """Whether the licence of an entry is accepted; where somebody is there, they are asked."""

    def listening(self) -> AbstractContextManager[Listener]:
        """Who is told of downloads, and of what is made of them, while the block runs."""

    def importing(self) -> AbstractContextManager[None]:
        """Imports of torch inside the block are not interrupted."""


class CallFromPython:
    """Nobody is there: what the caller has said counts, and the log is told."""

    offline = False

    def __init__(self, *, accept_licence: bool = False) -> None:
        self._accept_licence = accept_licence

    def accepts(self, entry: Entry) -> bool:
        """What the caller has said."""
        return self._accept_licence

    @contextlib.contextmanager
    def listening(self) -> Iterator[Listener]:
        """The log."""
        yield LogListener()

    @contextlib.contextmanager
    def importing(self) -> Iterator[None]:
        """As anywhere in Python."""
        yield


_FROM_PYTHON = CallFromPython()
_CURRENT: ContextVar[Interaction] = ContextVar("interaction")


def interaction() -> Interaction:
    """The one of the call or command line that we run for."""
    return _CURRENT.get(_FROM_PYTHON)


@contextlib.contextmanager
def interacting(way: Interaction) -> Iterator[None]:
    """Let downloads ask and tell in this way while the block runs."""
    token = _CURRENT.set(way)
    try:
        yield
    finally:
        _CURRENT.reset(token)
