"""Consent and progress of downloads: asked and shown at a terminal, logged for calls from Python.

A context variable, since downloads can start deep below the call that needs a file.
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
    """Receives notes and the progress of downloads."""

    def note(self, text: str) -> None:
        """Receive a note of one line."""

    def bytes(self, what: str, done: int, total: int | None) -> None:
        """Report how many bytes of a file are there."""


class Silence:
    """Ignores everything."""

    def note(self, text: str) -> None:
        """Drop it."""

    def bytes(self, what: str, done: int, total: int | None) -> None:
        """Drop it."""


class _Transfers:
    """Passes notes to a listener of the engine, and bytes as progress in MB."""

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
    """A listener of downloads that passes everything to a listener of the engine."""
    with contextlib.ExitStack() as stack:
        yield _Transfers(listener, stack)


class Interaction(Protocol):
    """How consent is asked for and progress is shown."""

    @property
    def offline(self) -> bool:
        """Whether downloads are forbidden here, whatever the environment says."""

    def accepts(self, entry: Entry) -> bool:
        """Whether the licence of an entry is accepted; at a terminal the user is asked."""

    def listening(self) -> AbstractContextManager[TransferListener]:
        """The listener of downloads, and of imports that follow them, while the block runs."""

    def importing(self) -> AbstractContextManager[None]:
        """Imports of torch inside the block are not interrupted."""


class CallFromPython:
    """Consent as the caller gave it; notes go to the log."""

    offline = False

    def __init__(self, *, accept_licence: bool = False) -> None:
        self._accept_licence = accept_licence

    def accepts(self, entry: Entry) -> bool:
        """As the caller said."""
        return self._accept_licence

    def listening(self) -> AbstractContextManager[TransferListener]:
        """The log, and a bar where stderr is a terminal."""
        return as_transfers(LogListener())

    @contextlib.contextmanager
    def importing(self) -> Iterator[None]:
        """Nothing special: signals are the caller's."""
        yield


_FROM_PYTHON = CallFromPython()
_CURRENT: ContextVar[Interaction] = ContextVar("interaction")


def interaction() -> Interaction:
    """The interaction of the current call or command."""
    return _CURRENT.get(_FROM_PYTHON)


@contextlib.contextmanager
def interacting(new: Interaction) -> Iterator[None]:
    """Use an interaction while the block runs."""
    token = _CURRENT.set(new)
    try:
        yield
    finally:
        _CURRENT.reset(token)
