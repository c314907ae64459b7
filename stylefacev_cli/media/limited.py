"""Commands on untrusted files, run with limits of memory and time that end with their parent.

`limited_command` puts this file, as a script, before a command: it sets the limits of its own
process and becomes the command. Limits set in the parent's `preexec_fn` would not be safe beside
threads. Only the standard library is imported: the script starts in some 15 ms.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


def limited_command(
    command: list[str], memory_bytes: int, cpu_s: int, file_bytes: int = -1
) -> list[str]:
    """The command line that runs a command within limits; the command itself outside of POSIX.

    Args:
        command: the program and its arguments.
        memory_bytes: address space that it may take.
        cpu_s: processor time that it may take.
        file_bytes: that it may write to a file, its messages as well; −1: any number.

    Raises:
        OSError: there is no such program.
    """
    if shutil.which(command[0]) is None:
        number = errno.EACCES if os.path.exists(command[0]) else errno.ENOENT
        raise OSError(number, os.strerror(number))
    if os.name != "posix":
        return command
    limits = [str(number) for number in (os.getpid(), memory_bytes, cpu_s, file_bytes)]
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), *limits, *command]


def _become(
    parent: int, memory_bytes: int, cpu_s: int, file_bytes: int, command: list[str]
) -> None:
    """Set the limits of this process, tie it to its parent, and become the command."""
    import resource

    wanted = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_CORE: 0,
    }
    if file_bytes >= 0:
        wanted[resource.RLIMIT_FSIZE] = file_bytes
    for which, limit in wanted.items():
        hard = resource.getrlimit(which)[1]
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        with contextlib.suppress(OSError, ValueError):  # macOS takes no limit of address space
            resource.setrlimit(which, (limit, hard))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)
        if os.getppid() != parent:  # it ended before this line
            sys.exit(1)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    parent, memory, cpu, file = map(int, sys.argv[1:5])
    _become(parent, memory, cpu, file, sys.argv[5:])
