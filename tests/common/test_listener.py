"""The listener of Python's callers: the log, and a bar where somebody looks."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from stylefacev_cli.common.listener import LogListener


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_notes_go_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    listener = LogListener()
    with caplog.at_level(logging.DEBUG, "stylefacev_cli"):
        listener.note("100 %")
        with listener.doing("looking"):
            listener.detail("more")
    assert [record.getMessage() for record in caplog.records] == ["100 %", "looking", "more"]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_bar_is_for_terminals(monkeypatch: pytest.MonkeyPatch, is_terminal: bool) -> None:
    screen = Screen() if is_terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    with LogListener().progress(2, "files") as advance:
        advance("a.mp4")
        advance("b.mp4")
    assert ("files" in screen.getvalue()) == is_terminal
