"""Downloads at the terminal: consent to licences, and progress as a bar of bytes on stderr."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from stylefacev_cli.cli.terminal import Terminal, is_terminal
from stylefacev_cli.common.signals import holding_signals

if TYPE_CHECKING:
    from stylefacev_cli.weights.downloads.registry import Entry


class TerminalListener:
    """A listener of downloads that shows them at the terminal."""

    def __init__(
        self, terminal: Terminal, show_bytes: Callable[[str, int, int | None], None]
    ) -> None:
        self.note = terminal.note
        self.bytes = show_bytes


@contextlib.contextmanager
def listening(terminal: Terminal) -> Iterator[TerminalListener]:
    """A listener whose bar stands while the block runs."""
    with terminal.downloads() as show_bytes:
        yield TerminalListener(terminal, show_bytes)


class TerminalInteraction:
    """How commands ask for consent and show downloads, see `weights.downloads.interaction`."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    @property
    def offline(self) -> bool:
        """Whether `--offline` was given."""
        return self._terminal.offline

    def accepts(self, entry: Entry) -> bool:
        """Whether `--accept-licence` was given, or a person says yes."""
        licence = entry.licence
        where = f", see {licence.url}" if licence.url else ""
        told = f"{entry.name}: licence {licence.name}{where}; it allows: {licence.allows}"
        if self._terminal.accept_licence:
            self._terminal.note(told)
            return True
        is_asked = is_terminal(sys.stdin) and is_terminal(sys.stderr)
        return is_asked and self._terminal.ask(f"{told}\naccept it?")

    @contextlib.contextmanager
    def listening(self) -> Iterator[TerminalListener]:
        """As `listening`; an interruption inside says how to go on."""
        before = self._terminal.way_on
        self._terminal.way_on = "; run the same command again to go on"
        with listening(self._terminal) as listener:
            yield listener
        self._terminal.way_on = before

    def importing(self) -> AbstractContextManager[None]:
        """Signals wait until torch is there."""
        return holding_signals()
