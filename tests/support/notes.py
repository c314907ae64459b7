"""A listener that keeps its notes, for tests."""

from __future__ import annotations

from stylefacev_cli.common.listener import LogListener


class Notes(LogListener):
    """Keeps what it is told in a list."""

    def __init__(self, lines: list[str] | None = None) -> None:
        self.lines: list[str] = [] if lines is None else lines

    def note(self, text: str) -> None:
        self.lines.append(text)
