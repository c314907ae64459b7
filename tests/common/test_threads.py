from __future__ import annotations

import subprocess
import sys

import pytest

from stylefacev_cli.common.threads import set_num_threads

# In a process of its own: only the first call of a process starts numba's threads.
CODE = """
import torch
from stylefacev_cli.common.threads import num_threads, set_num_threads
torch.get_num_threads()  # torch starts its threads
set_num_threads(1)
print(num_threads(), torch.get_num_threads())
"""


def test_the_first_call_holds_for_torch_too() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


def test_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        set_num_threads(0)
