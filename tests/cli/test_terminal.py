"""Who sees what: progress for people only, closed pipes quiet, one line for each error."""

from __future__ import annotations

import io
import signal
import sys

import pytest

from stylefacev_cli.cli.terminal import ClosedPipe, Terminal, printable
from stylefacev_cli.common.signals import holding_signals
from stylefacev_cli.errors import StyleFaceVError


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def make_screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Put a terminal at stderr; in a test's body, since pytest sets stderr after the fixtures."""
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return screen


def count_to_three(terminal: Terminal) -> None:
    with terminal.progress(3, "frames") as advance:
        for _ in range(3):
            advance("seed 7")
            terminal.result("done")


def test_progress_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = make_screen(monkeypatch)
    count_to_three(Terminal([]))
    shown = screen.getvalue()
    assert "seed 7" in shown and "frames/s" in shown and "left" in shown and "\x1b[3" in shown
    assert capsys.readouterr().out == "done\n" * 3  # results do not go through the bar


def test_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = make_screen(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    count_to_three(Terminal([]))
    assert "frames/s" in screen.getvalue() and "\x1b[3" not in screen.getvalue()


def test_no_progress_for_dumb_terminals_pipes_and_the_quiet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = make_screen(monkeypatch)
    quiet = Terminal([])
    quiet.quiet = True
    count_to_three(quiet)
    monkeypatch.setenv("TERM", "dumb")
    count_to_three(Terminal([]))
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    count_to_three(Terminal([]))
    assert screen.getvalue() == pipe.getvalue() == ""


def test_errors_are_one_harmless_line(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = make_screen(monkeypatch)
    Terminal([]).error("no such file:\n\x1b[2J\x07é.mp4")
    assert screen.getvalue() == "no such file: \\x1b[2J\\x07é.mp4\n"


def test_signals_are_held_back_while_torch_is_imported() -> None:
    reached = []
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background
    try:
        with pytest.raises(KeyboardInterrupt):
            with holding_signals():
                signal.raise_signal(signal.SIGINT)
                reached.append("end of block")
            reached.append("after it")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, inherited)
    assert reached == ["end of block"]


class Failing(io.StringIO):
    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


def test_stdout_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Failing(BrokenPipeError()))
    with pytest.raises(ClosedPipe):
        Terminal([]).result("path")
    monkeypatch.setattr(sys, "stdout", Failing(OSError(28, "No space left on device")))
    with pytest.raises(StyleFaceVError, match="standard output: No space left"):
        Terminal([]).result("path")
    monkeypatch.setattr(sys, "stdout", None)
    Terminal([]).result("path")


def test_names_that_the_locale_cannot_write(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Terminal([]).result("é.mp4")
    assert raw.getvalue() == b"\\xe9.mp4\n"


def test_what_is_being_done_stands_beside_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = make_screen(monkeypatch)
    terminal = Terminal([])
    with terminal.doing("importing torch"):
        pass
    with terminal.progress(3, "steps") as advance:
        with terminal.doing("looking for the face"):
            pass
        advance("ws")
    shown = screen.getvalue()
    assert "importing torch" in shown and "looking for the face" in shown
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    terminal.verbose = True
    with terminal.doing("looking for the face"):
        pass
    assert pipe.getvalue() == "looking for the face\n"


def test_control_characters_of_files_are_shown_and_not_obeyed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = Terminal([])
    name = "a\x1b[31m\x07\u202e\udcff"
    terminal.note(f"{name}: odd")
    terminal.error(f"{name}:\nodd")
    for line in capsys.readouterr().err.splitlines():
        assert line == r"a\x1b[31m\x07\u202e\udcff: odd"
    terminal.result("a\tb\nc")
    assert capsys.readouterr().out == "a\tb\nc\n"
    assert printable("é – 漢字\t\n") == "é – 漢字\t\n"


def test_names_beside_a_bar_are_shown_and_not_obeyed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal([])
    monkeypatch.setattr(Terminal, "_shows_bars", lambda self: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with terminal.progress(2, "files") as advance:
        advance("a\x1b]0;b\x07")
    with terminal.progress(2, "files"):
        with terminal.doing("c\x1b[9m"):
            pass
    with terminal.doing("d\x1b[9m"):
        pass
    with terminal.downloads() as show:
        show("e\x1b[9m", 1, 2)
    monkeypatch.setattr("sys.stdin", io.StringIO("no"))
    assert not terminal.ask("f\x1b[9m")
    err = capsys.readouterr().err
    assert "a\\x1b]0;b\\x07" in err and "c\\x1b[9m" in err and "f\\x1b[9m" in err
    assert "\x1b[9m" not in err and "\x07" not in err
