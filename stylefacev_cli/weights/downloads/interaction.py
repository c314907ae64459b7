"""Whom a download asks and tells: a terminal for a command line, the log for a call from Python.

One place says it for all that may have to fetch something, however deep below the call it stands.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from stylefacev_cli.common.listener import Advance, Listener, LogListener

if TYPE_CHECKING:
    from stylefacev_cli.weights.downloads.registry import Entry

_MB = 10**6


class TransferListener(Protocol):
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


class _Transfers:
    """A listener of the engine, told of downloads: notes as they are, bytes as progress in MB."""

    def __init__(self, listener: Listener, stack: contextlib.ExitStack) -> None:
        self.note = listener.note
        self._listener, self._stack = listener, stack
        self._what = ""
        self._advance: Advance = lambda what: None
        self._shown = 0

    def bytes(self, what: str, done: int, total: int | None) -> None:
        """Count the megabytes that have come since the last call."""
        if total is None:
            return
        if what != self._what:
            self._stack.close()
            progress = self._listener.progress(math.ceil(total / _MB), "MB")
            self._advance, self._what, self._shown = self._stack.enter_context(progress), what, 0
        num_whole = math.ceil(done / _MB) if done == total else done // _MB
        for _ in range(num_whole - self._shown):
            self._advance(what)
        self._shown = max(num_whole, self._shown)


@contextlib.contextmanager
def as_transfers(listener: Listener) -> Iterator[TransferListener]:
    """Who is told of downloads where there is a listener of the engine; while the block runs."""
    with contextlib.ExitStack() as stack:
        yield _Transfers(listener, stack)


class Interaction(Protocol):
    """Whom to ask and to tell."""

    @property
    def offline(self) -> bool:
        """Whether downloads are forbidden here, whatever the environment says."""

    def accepts(self, entry: Entry) -> bool:
        """Whether the licence of an entry is accepted; where somebody is there, they are asked."""

    def listening(self) -> AbstractContextManager[TransferListener]:
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

    def listening(self) -> AbstractContextManager[TransferListener]:
        """The log, and a bar where stderr is a terminal."""
        return as_transfers(LogListener())

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
