"""What the commands of `stylefacev eval` share: setting up, and telling what was found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stylefacev_cli.cli.gathering import Laboratory
from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.common.processes import joined_processes

if TYPE_CHECKING:
    from stylefacev_cli.datasets.videos import VideoSet
    from stylefacev_cli.evaluation.feature_store import Gathered

Report = dict[str, Any]


@contextmanager
def laboratory(
    terminal: Terminal, num_threads: int | None, *, skip_damaged: bool, use_store: bool = True
) -> Iterator[Laboratory]:
    """Set up for measuring: memory, threads, and the processes that torchrun has started.

    Args:
        terminal: of the command; only that of the first process is heard.
        num_threads: CPU threads; None: all.
        skip_damaged: go on after files that cannot be read.
        use_store: keep features of files, and take those that were kept.
    """
    from stylefacev_cli.common.memory import keep_freed_memory
    from stylefacev_cli.common.threads import set_num_threads

    keep_freed_memory()
    if num_threads:
        set_num_threads(num_threads)
    with joined_processes() as processes:
        terminal.quiet = terminal.quiet or not processes.is_first
        yield Laboratory(terminal, processes, skip_damaged, use_store)


def facts_of(videos: VideoSet, gathered: Gathered) -> Report:
    """The facts of one side of a measurement."""
    return {
        "from": videos.name,
        "codec": videos.codec,
        "used": len(gathered.rows),
        "too_short": gathered.too_short,
        "damaged": gathered.damaged,
        "cached": gathered.cached,
    }


def side_line(name: str, facts: Report, unit: str) -> str:
    """Those facts as a line of a table."""
    notes = [f"{facts['too_short']} too short"] if facts["too_short"] else []
    notes += [f"{len(facts['damaged'])} damaged"] if facts["damaged"] else []
    notes += ["features from the cache"] if facts["cached"] else []
    return f"{name:9} {facts['used']} {unit} of {facts['from']} ({facts['codec']})" + "".join(
        f", {note}" for note in notes
    )


def tell(
    lab: Laboratory, report: Report, table: Callable[[Report], Iterable[str]], as_json: bool
) -> None:
    """Print a report, as JSON or as the lines of a table with its warnings on stderr."""
    if not lab.processes.is_first:
        return
    terminal = lab.terminal
    if as_json:
        terminal.result(json.dumps(report))
        return
    for warning in report.get("warnings", ()):
        terminal.note(f"warning: {warning}")
    for line in table(report):
        terminal.result(line)
