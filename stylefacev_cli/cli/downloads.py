"""Downloads at the terminal: told on stderr, in a line and by a bar of bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from stylefacev_cli.cli.terminal import Terminal


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


def fetch_render_assets(terminal: Terminal, look: str) -> None:
    """Fetch what renders of a look need and is not here (errors as in `looks.fetch_assets`)."""
    from stylefacev_cli.faces.looks import fetch_assets

    with listening(terminal) as listener:
        fetch_assets(look, listener)
