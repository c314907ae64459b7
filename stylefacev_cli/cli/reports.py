"""What the commands of `stylefacev eval` share: setting up, and telling what was found."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from stylefacev_cli.cli.terminal import Terminal


def prepare(num_threads: int | None) -> None:
    """Keep freed memory, and use so many CPU threads; None: all."""
    from stylefacev_cli.networks.memory import keep_freed_memory
    from stylefacev_cli.networks.threads import set_num_threads

    keep_freed_memory()
    if num_threads:
        set_num_threads(num_threads)


def tell(terminal: Terminal, report: dict[str, Any], table: Iterable[str], as_json: bool) -> None:
    """Print a report, as JSON or as the lines of a table with its warnings on stderr."""
    if as_json:
        terminal.result(json.dumps(report))
        return
    for warning in report.get("warnings", ()):
        terminal.note(f"warning: {warning}")
    for line in table:
        terminal.result(line)
