"""How a source can fail; neither error leaves the download."""

from __future__ import annotations


class SourceError(Exception):
    """A source does not give the file; the next one may."""


class TryAgain(Exception):  # noqa: N818 - no error yet
    """Something that another try may get over."""

    def __init__(self, what: str, wait_s: float | None = None, *, restart: bool = False) -> None:
        super().__init__(what)
        self.wait_s, self.restart = wait_s, restart
