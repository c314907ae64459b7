"""What several rooms' tests share: one tiny model with random weights."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

# Before torch is loaded: threads that spin while they wait make tests of small networks ten times
# slower on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Triton, which torch.optim imports where it is installed, crashes if Mesa has loaded its own LLVM
# for the rendering tests before: so it goes first.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401

from tiny import TINY_FPS, tiny_networks  # noqa: E402


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model; not to be written to."""
    from stylefacev_cli.weights.bundle import save_bundle

    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_bundle(
        folder,
        tiny_networks(),
        name="tiny",
        fps=TINY_FPS,
        licence="CC0-1.0",
        provenance={"made": "for tests, from random numbers"},
    )
    return folder
