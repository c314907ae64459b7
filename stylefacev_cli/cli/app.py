"""The entry point of the command line: nothing heavy is imported before Ctrl-C is handled.

    0    done                          3    a model or asset is missing
    1    failed                        4    a file is damaged
    2    wrong usage                   5    data that cannot be used
    130  Ctrl-C    143  SIGTERM    141  the reader of the output has gone

The codes 1 to 5 are those of `errors.py`.
"""

from __future__ import annotations

import os
import sys
import time
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process and end with its exit code."""
    # Before torch is loaded: threads that spin while they wait slow down the encoder beside them,
    # and on a busy machine everything.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        exit_code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while the commands were being imported, or a second time
        print("interrupted", file=sys.stderr)
        exit_code = 130
    sys.exit(exit_code)


def run(arguments: list[str]) -> int:
    """Run a command line.

    Args:
        arguments: without the name of the program.

    Returns:
        The exit code; what went wrong stands on stderr.
    """
    started_s = time.perf_counter()
    from stylefacev_cli.cli.commands import execute

    return execute(arguments, started_s)
