"""Manners at the terminal: results on stdout, all else on stderr, and how to stop."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from stylefacev_cli.errors import StyleFaceVError, StyleFaceVWarning

if TYPE_CHECKING:
    from types import FrameType

    from rich.progress import Progress, ProgressColumn


# Control characters but for tab and line end; those that turn the direction of writing; half ones.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


class Stopped(BaseException):
    """A signal asked the process to end; blocks clean up on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


class ClosedPipe(BaseException):  # noqa: N818 - no error: the reader has what it wanted
    """The reader of stdout or stderr has gone, as in `… | head`; end without a word."""

    exit_code = 128 + 13  # what a process has that SIGPIPE ends


class Terminal:
    """Where a command speaks. One is made by `main` and handed to the command as `ctx.obj`.

    Attributes:
        arguments: the command line.
        started_s: when the command began, on `time.perf_counter`.
        quiet: only results and errors.
        verbose: details, and tracebacks with errors.
        accept_licence: of what is downloaded, without being asked.
        offline: nothing is downloaded.
        way_on: how to go on after an interruption, for its message.
    """

    def __init__(self, arguments: list[str], started_s: float | None = None) -> None:
        self.arguments = arguments
        self.started_s = time.perf_counter() if started_s is None else started_s
        self.quiet = False
        self.verbose = False
        self.accept_licence = False
        self.offline = False
        self.way_on = ""
        self._on_the_line = False  # a progress bar stands on the last line of stderr
        self._describe: Callable[[str], None] | None = None  # what stands beside that bar

    def result(self, text: str, end: str = "\n") -> None:
        """Write a line of results to stdout, at once.

        Raises:
            ClosedPipe: nobody reads it.
            StyleFaceVError: stdout cannot be written, for another reason.
        """
        if self._on_the_line and is_terminal(sys.stdout):
            _write(sys.stderr, "\r\x1b[2K")
        try:
            shown = printable(text) if is_terminal(sys.stdout) else text  # scripts get it as it is
            _write(sys.stdout, shown + end)
        except OSError as error:
            raise cannot_write_stdout(error) from error

    def note(self, text: str) -> None:
        """Tell something that is worth knowing, unless -q."""
        if not self.quiet:
            self._say(text)

    def detail(self, text: str) -> None:
        """Tell something only with -v."""
        if self.verbose:
            self._say(text)

    def error(self, text: str) -> None:
        """Tell what went wrong, on one line; control characters (of a file name, say) are shown."""
        self._say(" ".join(text.split()))

    @contextlib.contextmanager
    def noting_warnings(self) -> Iterator[None]:
        """Inside, our own warnings are notes; others are shown as Python does."""
        with warnings.catch_warnings():
            shown = warnings.showwarning

            def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
                if issubclass(category, StyleFaceVWarning):
                    self.note(str(message))
                else:
                    shown(message, category, *where, **more)

            warnings.showwarning = show
            yield

    def ask(self, question: str) -> bool:
        """Ask on stderr whether to go on; whatever is not a yes is a no."""
        _write(sys.stderr, f"{printable(question)} [y/N] ")
        answer = sys.stdin.readline() if sys.stdin is not None else ""
        return answer.strip().lower() in ("y", "yes")

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a full disk behind stderr is no reason to stop
            _write(sys.stderr, ("\r\x1b[2K" if self._on_the_line else "") + printable(text) + "\n")

    @contextlib.contextmanager
    def progress(self, total: int, unit: str) -> Iterator[Callable[[str], None]]:
        """Show a bar with rate and time left while stderr is a terminal.

        Args:
            total: how many units there are to do.
            unit: what is counted, such as `frames`.

        Yields:
            A function that counts one more; its argument says what is being worked on.
        """
        if not self._shows_bars():
            yield lambda what: None
            return
        bar = _progress_bar(unit)
        task = bar.add_task("", total=total)
        with self._showing(bar):
            self._describe = lambda what: bar.update(
                task, description=printable(what), refresh=True
            )
            try:
                yield lambda what: bar.update(task, advance=1, description=printable(what))
            finally:
                self._describe = None

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Show what is being done, and for how long, while the block runs and stderr is a terminal.

        Where a progress bar stands there, it says so beside it. Elsewhere it is a line with -v.
        """
        if self._describe is not None:
            self._describe(what)
            yield
            return
        if not self._shows_bars() or self._on_the_line:
            self.detail(what)
            yield
            return
        bar = _activity()
        bar.add_task(printable(what), total=None)
        with self._showing(bar):
            yield

    @contextlib.contextmanager
    def downloads(self) -> Iterator[Callable[[str, int, int | None], None]]:
        """Show a bar of bytes with rate and time left while stderr is a terminal.

        Yields:
            A function that tells what is being fetched, how many bytes of it are there, and of how
            many, if that is known.
        """
        if not self._shows_bars():
            yield lambda what, done, total: None
            return
        bar = _bytes_bar()
        task = bar.add_task("", total=None, visible=False)
        shown = ""

        def show(what: str, done: int, total: int | None) -> None:
            nonlocal shown
            if what != shown:
                bar.reset(task, total=total)
            shown = what
            bar.update(task, completed=done, total=total, description=printable(what), visible=True)

        with self._showing(bar):
            yield show

    def _shows_bars(self) -> bool:
        return not self.quiet and is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"

    @contextlib.contextmanager
    def _showing(self, bar: Progress) -> Iterator[None]:
        with bar:
            self._on_the_line = True
            try:
                yield
            finally:
                self._on_the_line = False


def printable(text: str) -> str:
    """A text whose control characters, of a file's name or content, are shown and not obeyed."""
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a person reads a stream directly."""
    return stream is not None and not stream.closed and stream.isatty()


def cannot_write_stdout(error: OSError) -> StyleFaceVError:
    """Make the error of a stdout that takes no more, such as a file on a full disk."""
    give_up_stdout()
    return StyleFaceVError(f"cannot write to the standard output: {error.strerror or error}")


@contextlib.contextmanager
def stdout_stream(is_used: bool) -> Iterator[BinaryIO | None]:
    """The bytes of stdout, for a video; None where it is not used for one.

    Raises:
        ClosedPipe: nobody reads it any more.
        StyleFaceVError: it cannot be written, for another reason.
    """
    if not is_used:
        yield None
        return
    try:
        yield sys.stdout.buffer
    except BrokenPipeError as error:
        raise ClosedPipe from error
    except OSError as error:
        raise cannot_write_stdout(error) from error


def give_up_stdout() -> None:
    """Let whatever is still to be written to stdout go nowhere, without another error at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into `Stopped`; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Stopped(number)

    numbers = [signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)  # `nohup` ignores it, and is to be left alone
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:  # closed by the caller with `>&-`
        return
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError as error:
        raise ClosedPipe from error
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        _write(stream, text.encode(encoding, "backslashreplace").decode(encoding))


def _progress_bar(unit: str) -> Progress:
    from rich.progress import ProgressColumn, Task, TextColumn
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f} {unit}/s" if task.speed else f"– {unit}/s")

    return _bar(TextColumn("{task.completed}/{task.total}"), RateColumn())


def _bytes_bar() -> Progress:
    from rich.progress import DownloadColumn, TransferSpeedColumn

    return _bar(DownloadColumn(), TransferSpeedColumn())


def _activity() -> Progress:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _bar(*columns: ProgressColumn) -> Progress:
    """What is worked on, a bar, the columns, and the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeftColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *columns,
        TimeLeftColumn(),
        TextColumn("left"),
        console=Console(stderr=True),
        transient=True,
        # Results may go to a pipe: rich must not take them over to the terminal.
        redirect_stdout=False,
        redirect_stderr=False,
    )
