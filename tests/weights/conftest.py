"""The vectors' loader, which lies with the networks' tests, and a home for imported models."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "networks"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """$STYLEFACEV_HOME, empty."""
    folder = tmp_path / "home"
    monkeypatch.setenv("STYLEFACEV_HOME", str(folder))
    return folder
